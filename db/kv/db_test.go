package kv

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/sim/env"
)

// fakeRows is a Sender that answers scans from a fixed number of keys, and cuts
// them short as their header says.
type fakeRows struct {
	n    int
	sent []*BatchRequest
}

func rowKey(i int) keys.Key { return keys.Key(fmt.Sprintf("k%03d", i)) }

func (f *fakeRows) Send(_ env.Task, ba *BatchRequest) *BatchResponse {
	f.sent = append(f.sent, ba)
	s := ba.Requests[0].Span()
	var rows []KeyValue
	resume := keys.Span{}
	reverse := ba.Requests[0].Method() == ReverseScan
	for j := range f.n {
		i := j
		if reverse {
			i = f.n - 1 - j
		}
		k := rowKey(i)
		if !s.ContainsKey(k) {
			continue
		}
		if int64(len(rows)) == ba.MaxKeys {
			resume = keys.Span{Key: k, EndKey: s.EndKey}
			if reverse {
				resume = keys.Span{Key: s.Key, EndKey: k.Next()}
			}
			break
		}
		rows = append(rows, KeyValue{Key: k})
	}
	if reverse {
		return &BatchResponse{Responses: []Response{&ReverseScanResponse{Rows: rows, Resume: resume}}}
	}
	return &BatchResponse{Responses: []Response{&ScanResponse{Rows: rows, Resume: resume}}}
}

// Scans return every row once and in order, whatever the page and the limit.
func TestScanPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fakeRows{n: rapid.IntRange(0, 20).Draw(t, "rows")}
		db := NewDB(f, 0).Paged(rapid.Int64Range(1, 8).Draw(t, "page"))
		limit := rapid.IntRange(0, 25).Draw(t, "limit")
		want := f.n
		if limit > 0 {
			want = min(want, limit)
		}
		for _, reverse := range []bool{false, true} {
			scan := db.Scan
			if reverse {
				scan = db.ReverseScan
			}
			rows, err := scan(nil, keys.Key("k"), keys.Key("l"), int64(limit))
			if err != nil || len(rows) != want {
				t.Fatalf("%d rows, %v, want %d", len(rows), err, want)
			}
			for i, row := range rows {
				if reverse {
					i = f.n - 1 - i
				}
				if !row.Key.Equal(rowKey(i)) {
					t.Fatalf("%s instead of %s", row.Key, rowKey(i))
				}
			}
		}
	})
}

// A handle at a timestamp states it in every batch and does not write; IDs differ
// across handles made from one another.
func TestAt(t *testing.T) {
	f := &fakeRows{n: 5}
	db := NewDB(f, 100)
	ts := hlc.Timestamp{Wall: 7}
	past := db.At(ts).Paged(2)
	if _, err := past.Scan(nil, keys.Key("k"), keys.Key("l"), 0); err != nil {
		t.Fatal(err)
	}
	db.Scan(nil, keys.Key("k"), keys.Key("l"), 0)
	ids := map[uint64]bool{}
	for i, ba := range f.sent {
		if (ba.Timestamp == ts) != (i < 3) || ids[ba.ID] || ba.ID <= 100 {
			t.Fatalf("batch %d: %s with ID %d", i, ba, ba.ID)
		}
		ids[ba.ID] = true
	}
	var e *Error
	if _, err := past.Put(nil, keys.Key("k"), nil); !errors.As(err, &e) || e.Kind != BadRequest {
		t.Fatal(err)
	}
}

// An answer that does not fit the question leaves the outcome unknown.
func TestMismatchedResponse(t *testing.T) {
	for _, br := range []*BatchResponse{{}, {Responses: []Response{&PutResponse{}}}} {
		db := NewDB(SenderFunc(func(env.Task, *BatchRequest) *BatchResponse { return br }), 0)
		if _, err := db.Inc(nil, keys.Key("a"), 1); err == nil || !AsError(err).Ambiguous() {
			t.Fatal(err)
		}
	}
	refused := NewDB(SenderFunc(func(env.Task, *BatchRequest) *BatchResponse {
		return ErrorResponse(Errorf(NodeUnavailable, "busy"))
	}), 0)
	if existed, err := refused.Del(nil, keys.Key("a")); existed || err == nil || !strings.Contains(err.Error(), "busy") {
		t.Fatal(err)
	}
}
