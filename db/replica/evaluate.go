package replica

import (
	"bytes"
	"encoding/binary"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// evaluation turns the requests of one batch into responses and, if they write,
// into a batch of versions at one timestamp. It changes nothing itself.
type evaluation struct {
	r         *Replica
	reader    storage.Reader
	batch     *storage.Batch // nil for a batch that only reads
	ts        hlc.Timestamp
	responses []kv.Response
	// What the scans may still return; 0 at the start: anything.
	keysLeft, bytesLeft int64
	limitReached        bool
}

// run evaluates all requests, or fails as a whole.
func (ev *evaluation) run(ba *kv.BatchRequest) *kv.Error {
	ev.responses = make([]kv.Response, 0, len(ba.Requests))
	for i, q := range ba.Requests {
		resp, err := ev.one(q)
		if err != nil {
			if err.Index < 0 {
				err.Index = int32(i)
			}
			return err
		}
		ev.responses = append(ev.responses, resp)
	}
	return nil
}

func (ev *evaluation) one(q kv.Request) (kv.Response, *kv.Error) {
	switch q := q.(type) {
	case *kv.GetRequest:
		v := ev.get(q.Key)
		return &kv.GetResponse{Value: v.value, Exists: v.exists, Timestamp: v.ts}, nil
	case *kv.PutRequest:
		ev.put(q.Key, q.Value)
		return putResponse, nil
	case *kv.DeleteRequest:
		v := ev.get(q.Key)
		putVersion(ev.batch, q.Key, ev.ts, nil, false)
		return &kv.DeleteResponse{Existed: v.exists}, nil
	case *kv.ConditionalPutRequest:
		v := ev.get(q.Key)
		if v.exists != q.ExpectedExists || v.exists && !bytes.Equal(v.value, q.Expected) {
			e := kv.Errorf(kv.ConditionFailed, "")
			if v.exists {
				e.Actual = &kv.KeyValue{Key: q.Key, Value: v.value, Timestamp: v.ts}
			}
			return nil, e
		}
		ev.put(q.Key, q.Value)
		return conditionalPutResponse, nil
	case *kv.IncrementRequest:
		return ev.increment(q)
	case *kv.ScanRequest:
		rows, resume := ev.scan(q.Span(), false)
		return &kv.ScanResponse{Rows: rows, Resume: resume}, nil
	case *kv.ReverseScanRequest:
		rows, resume := ev.scan(q.Span(), true)
		return &kv.ReverseScanResponse{Rows: rows, Resume: resume}, nil
	}
	return nil, kv.Errorf(kv.BadRequest, "%s cannot be evaluated", q.Method())
}

// Responses without content, shared: responses are immutable.
var (
	putResponse            = &kv.PutResponse{}
	conditionalPutResponse = &kv.ConditionalPutResponse{}
)

func (ev *evaluation) get(k keys.Key) version {
	v, err := getVersion(ev.reader, k, ev.ts)
	ev.check(err)
	return v
}

func (ev *evaluation) put(k keys.Key, value []byte) {
	ev.r.cfg.Env.Charge(env.ClassKey, 1)
	putVersion(ev.batch, k, ev.ts, value, true)
}

func (ev *evaluation) increment(q *kv.IncrementRequest) (kv.Response, *kv.Error) {
	v := ev.get(q.Key)
	var n int64
	if v.exists {
		if len(v.value) != 8 {
			return nil, kv.Errorf(kv.BadRequest, "%s holds %d bytes, not a number", q.Key, len(v.value))
		}
		n = int64(binary.BigEndian.Uint64(v.value))
	}
	sum := n + q.By
	if (sum > n) != (q.By > 0) && q.By != 0 {
		return nil, kv.Errorf(kv.BadRequest, "%d%+d does not fit", n, q.By)
	}
	ev.put(q.Key, binary.BigEndian.AppendUint64(nil, uint64(sum)))
	return &kv.IncrementResponse{Value: sum}, nil
}

// scan reads rows within what the batch's limits leave. A scan for which nothing
// is left returns its whole span to be resumed.
func (ev *evaluation) scan(s keys.Span, reverse bool) ([]kv.KeyValue, keys.Span) {
	if ev.limitReached {
		return nil, s
	}
	rows, resume, err := scanVersions(ev.reader, s, ev.ts, reverse, ev.keysLeft, ev.bytesLeft)
	ev.check(err)
	var size int64
	for i := range rows {
		size += int64(len(rows[i].Key) + len(rows[i].Value))
	}
	ev.r.cfg.Env.Charge(env.ClassKey, int64(len(rows)))
	ev.r.cfg.Env.Charge(env.ClassByte, size)
	if ev.keysLeft > 0 {
		if ev.keysLeft -= int64(len(rows)); ev.keysLeft <= 0 {
			ev.limitReached = true
		}
	}
	if ev.bytesLeft > 0 {
		if ev.bytesLeft -= size; ev.bytesLeft <= 0 {
			ev.limitReached = true
		}
	}
	return rows, resume
}

// check ends the process when the engine cannot read: its content is damaged, and
// an answer made without it would be wrong.
func (ev *evaluation) check(err error) {
	if err != nil {
		ev.r.cfg.Env.Fatal(err)
	}
}
