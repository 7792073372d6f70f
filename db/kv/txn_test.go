package kv

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/sim/env"
)

func at(wall int64) hlc.Timestamp { return hlc.Timestamp{Wall: wall} }

// What is known of a transaction never goes back, in whatever order news arrives.
func TestUpdateOnlyAdvances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() *Txn {
			ts := at(rapid.Int64Range(1, 9).Draw(t, "ts"))
			txn := NewTxn(TxnID{1}, "t", rapid.Int32Range(0, 3).Draw(t, "prio"), ts, at(20))
			txn.MinTS, txn.Epoch = at(1), rapid.Int32Range(0, 2).Draw(t, "epoch")
			txn.Status = rapid.SampledFrom([]TxnStatus{Pending, Staging, Committed, Aborted}).Draw(t, "status")
			txn.Sequence = rapid.Int32Range(0, 5).Draw(t, "seq")
			txn.Observe(NodeID(rapid.IntRange(1, 3).Draw(t, "node")), ts)
			return txn
		}
		txn := draw()
		for range 4 {
			news, before := draw(), *txn
			sent := *news
			txn.Update(news)
			switch {
			case txn.WriteTS.Less(before.WriteTS), txn.Epoch < before.Epoch, txn.Priority < before.Priority,
				txn.Epoch == before.Epoch && (txn.ReadTS.Less(before.ReadTS) || txn.Sequence < before.Sequence || txn.Status < before.Status),
				before.Status.Finalized() && txn.Status != before.Status,
				len(txn.Observed) < len(before.Observed):
				t.Fatalf("%s and the news %s make %s", &before, &sent, txn)
			}
			for _, o := range before.Observed {
				if now, ok := txn.ObservedAt(o.NodeID); !ok || o.TS.Less(now) {
					t.Fatalf("observation of n%d rises from %s to %s", o.NodeID, o.TS, now)
				}
			}
		}
		other := draw()
		other.ID = TxnID{2}
		before := *txn
		if txn.Update(other); txn.WriteTS != before.WriteTS || txn.Status != before.Status {
			t.Fatal("another transaction's news was taken in")
		}
		epoch, limit := txn.Epoch, txn.GlobalLimit
		txn.Restart(1, at(15))
		if txn.Epoch != epoch+1 || txn.ReadTS != txn.WriteTS || txn.WriteTS.Less(at(15)) || txn.GlobalLimit != limit || txn.Sequence != 0 || txn.Status != Pending {
			t.Fatalf("restarted: %s", txn)
		}
	})
}

// Ignored sequences agree with the plain rule, and stay a short list.
func TestIgnoredSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranges []SeqRange
		plain := map[int32]bool{}
		last := int32(0)
		for range 8 {
			last += rapid.Int32Range(1, 4).Draw(t, "writes")
			start := rapid.Int32Range(1, last).Draw(t, "back to")
			before := fmt.Sprint(ranges)
			next := AddIgnored(ranges, SeqRange{start, last})
			if fmt.Sprint(ranges) != before {
				t.Fatal("the list that was sent is changed")
			}
			ranges = next
			for i := start; i <= last; i++ {
				plain[i] = true
			}
			for i := int32(0); i <= last+1; i++ {
				if SeqIgnored(ranges, i) != plain[i] {
					t.Fatalf("%v: %d", ranges, i)
				}
			}
			for i := 1; i < len(ranges); i++ {
				if ranges[i].Start <= ranges[i-1].End+1 {
					t.Fatalf("%v could be shorter", ranges)
				}
			}
		}
	})
}

func TestLockStrengthsConflict(t *testing.T) {
	for _, c := range []struct {
		a, b LockStrength
		want bool
	}{
		{LockNone, LockNone, false}, {LockNone, LockShared, false}, {LockNone, LockExclusive, false}, {LockNone, LockIntent, true},
		{LockShared, LockShared, false}, {LockShared, LockExclusive, true}, {LockShared, LockIntent, true},
		{LockExclusive, LockExclusive, true}, {LockExclusive, LockIntent, true}, {LockIntent, LockIntent, true},
	} {
		if c.a.Conflicts(c.b) != c.want || c.b.Conflicts(c.a) != c.want {
			t.Errorf("%s and %s", c.a, c.b)
		}
	}
}

// What executes in the EndTxn's own batch needs no proof; a whole attempt is known
// by its numbers.
func TestWithoutProven(t *testing.T) {
	put := func(k string, seq int32) Request {
		return &PutRequest{RequestHeader: RequestHeader{seq}, Key: keys.Key(k)}
	}
	end := func(seq int32, w ...SequencedWrite) Request {
		return &EndTxnRequest{RequestHeader: RequestHeader{seq}, Commit: true, InFlight: w}
	}
	a, b := SequencedWrite{keys.Key("a"), 1}, SequencedWrite{keys.Key("b"), 2}
	for _, c := range []struct {
		requests []Request
		left     int
		complete bool
	}{
		{[]Request{put("a", 1), put("b", 2), end(3, a, b)}, 0, true},
		{[]Request{put("b", 2), end(3, a, b)}, 1, false},
		{[]Request{put("b", 2), end(3, b)}, 0, false},
		{[]Request{put("a", 1), end(3, a, b)}, 1, false},
		{[]Request{&QueryIntentRequest{Key: keys.Key("a"), Txn: TxnMeta{Sequence: 1}}, put("b", 2), end(3, a, b)}, 0, false},
		{[]Request{end(3, a, b)}, 2, false},
		{[]Request{end(1)}, 0, false},
	} {
		ba := &BatchRequest{Header: Header{Txn: &Txn{}}, Requests: c.requests}
		got := ba.WithoutProven()
		if n := len(got.EndTxn().InFlight); n != c.left || got.IsCompleteTxn() != c.complete {
			t.Errorf("%s: %d left, complete %t", ba, n, got.IsCompleteTxn())
		}
	}
}

// scriptedTxn is a TxnSender that fails as it is told.
type scriptedTxn struct {
	fail       []*Error // of the commits to come
	restarts   int
	rolledBack bool
	txn        Txn
}

func (s *scriptedTxn) Begin(env.Task, TxnOptions) (TxnSender, *Error) { return s, nil }
func (s *scriptedTxn) Txn() *Txn                                      { return &s.txn }
func (s *scriptedTxn) Restart(env.Task) *Error                        { s.restarts++; return nil }
func (s *scriptedTxn) Savepoint(env.Task) (Savepoint, *Error)         { return Savepoint{}, nil }
func (s *scriptedTxn) RollbackTo(env.Task, Savepoint) *Error          { return nil }
func (s *scriptedTxn) SetPriority(int32)                              {}
func (s *scriptedTxn) FixTimestamp(_ env.Task, ts hlc.Timestamp) *Error {
	s.txn.ReadTS = ts
	return nil
}
func (s *scriptedTxn) Send(_ env.Task, ba *BatchRequest) *BatchResponse {
	et := ba.EndTxn()
	switch {
	case et != nil && !et.Commit:
		s.rolledBack = true
	case len(s.fail) > 0:
		err := s.fail[0]
		s.fail = s.fail[1:]
		return ErrorResponse(err)
	}
	return &BatchResponse{Responses: []Response{&EndTxnResponse{}}}
}

// aliveTask is a task of which nothing is asked but whether it may go on.
type aliveTask struct{ env.Task }

func (aliveTask) Err() error { return nil }

// The loop runs the function again after what may be retried, and after nothing else.
func TestTxnLoop(t *testing.T) {
	retry, aborted := RetryError(RetrySerializable, "x"), AbortedError(AbortPushed, "x")
	run := func(s *scriptedTxn, ts hlc.Timestamp, fn func() error) (runs int, err error) {
		db := NewDB(s, 0).WithTxns(s)
		if !ts.IsEmpty() {
			db = db.At(ts)
		}
		err = db.Txn(aliveTask{}, func(tx *TxnHandle) error { runs++; return fn() })
		return runs, err
	}
	ok := func() error { return nil }
	s := &scriptedTxn{fail: []*Error{retry, aborted, retry}}
	if runs, err := run(s, hlc.Timestamp{}, ok); runs != 4 || err != nil || s.restarts != 3 || s.rolledBack {
		t.Fatalf("%d runs: %v", runs, err)
	}
	ambiguous := AmbiguousError(nil, "x")
	s = &scriptedTxn{fail: []*Error{retry, ambiguous}}
	if runs, err := run(s, hlc.Timestamp{}, ok); runs != 2 || err != error(ambiguous) || !s.rolledBack {
		t.Fatalf("%d runs: %v", runs, err)
	}
	s = &scriptedTxn{fail: []*Error{retry}}
	if runs, err := run(s, at(5), ok); runs != 1 || err != error(retry) || !s.rolledBack {
		t.Fatalf("at a fixed time: %d runs: %v", runs, err)
	}
	mine := errors.New("mine")
	s = &scriptedTxn{}
	if runs, err := run(s, hlc.Timestamp{}, func() error { return mine }); runs != 1 || err != mine || !s.rolledBack {
		t.Fatalf("%d runs: %v", runs, err)
	}
	left := 2
	s = &scriptedTxn{}
	if runs, err := run(s, hlc.Timestamp{}, func() error {
		if left--; left >= 0 {
			return fmt.Errorf("wrapped: %w", retry)
		}
		return nil
	}); runs != 3 || err != nil {
		t.Fatalf("%d runs: %v", runs, err)
	}
	if _, err := NewDB(s, 0).Begin(nil, TxnOptions{}); err == nil {
		t.Fatal("a handle without transactions began one")
	}
}
