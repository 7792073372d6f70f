package replica

import (
	"errors"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// evaluation turns the requests of one batch into responses and, if they write,
// into a batch of versions at one timestamp. It changes nothing itself.
type evaluation struct {
	r         *Replica
	reader    storage.Reader
	writer    mvcc.Writer // of a batch that writes
	ts        hlc.Timestamp
	responses []kv.Response
	// left is what the scans may still return; full says that nothing is. Zero
	// fields of left do not bind.
	left mvcc.Limit
	full bool
	// tooOld is set when a version stands at or above ts where one was to be written.
	tooOld *mvcc.WriteTooOldError
}

// run evaluates all requests at ts, or fails as a whole.
func (ev *evaluation) run(ba *kv.BatchRequest, ts hlc.Timestamp) *kv.Error {
	ev.ts = ts
	ev.left = mvcc.Limit{Keys: ba.MaxKeys, Bytes: ba.MaxBytes}
	ev.responses = make([]kv.Response, 0, len(ba.Requests))
	for i, q := range ba.Requests {
		resp, err := ev.one(q)
		if err != nil {
			e := ev.failed(q, err)
			e.Index = int32(i)
			return e
		}
		ev.responses = append(ev.responses, resp)
	}
	return nil
}

// Responses without content, shared: responses are immutable.
var (
	putResponse            = &kv.PutResponse{}
	conditionalPutResponse = &kv.ConditionalPutResponse{}
)

func (ev *evaluation) one(q kv.Request) (kv.Response, error) {
	switch q := q.(type) {
	case *kv.GetRequest:
		v, err := mvcc.Get(ev.reader, q.Key, ev.ts)
		ev.r.cfg.Env.Charge(env.ClassByte, int64(len(v.Bytes)))
		return &kv.GetResponse{Value: v.Bytes, Exists: v.Exists, Timestamp: v.Timestamp}, err
	case *kv.PutRequest:
		return putResponse, ev.writer.Put(q.Key, ev.ts, q.Value)
	case *kv.DeleteRequest:
		existed, err := ev.writer.Delete(q.Key, ev.ts)
		return &kv.DeleteResponse{Existed: existed}, err
	case *kv.ConditionalPutRequest:
		return conditionalPutResponse, ev.writer.ConditionalPut(q.Key, ev.ts, q.Value, q.Expected, q.ExpectedExists)
	case *kv.IncrementRequest:
		sum, err := ev.writer.Increment(q.Key, ev.ts, q.By)
		return &kv.IncrementResponse{Value: sum}, err
	case *kv.ScanRequest:
		rows, resume, err := ev.scan(q.Span(), mvcc.Scan)
		return &kv.ScanResponse{Rows: rows, Resume: resume}, err
	case *kv.ReverseScanRequest:
		rows, resume, err := ev.scan(q.Span(), mvcc.ReverseScan)
		return &kv.ReverseScanResponse{Rows: rows, Resume: resume}, err
	}
	return nil, kv.Errorf(kv.BadRequest, "%s cannot be evaluated", q.Method())
}

// scanner is mvcc.Scan or mvcc.ReverseScan.
type scanner func(storage.Reader, keys.Span, hlc.Timestamp, mvcc.Limit) ([]kv.KeyValue, keys.Span, error)

// scan reads rows within what the batch's limits leave. A scan for which nothing
// is left returns its whole span to be resumed.
func (ev *evaluation) scan(s keys.Span, of scanner) ([]kv.KeyValue, keys.Span, error) {
	if ev.full {
		return nil, s, nil
	}
	rows, resume, err := of(ev.reader, s, ev.ts, ev.left)
	var size int64
	for i := range rows {
		size += int64(len(rows[i].Key) + len(rows[i].Value))
	}
	ev.r.cfg.Env.Charge(env.ClassKey, int64(len(rows)))
	ev.r.cfg.Env.Charge(env.ClassByte, size)
	if ev.left.Keys > 0 {
		ev.left.Keys -= int64(len(rows))
		ev.full = ev.left.Keys <= 0
	}
	if ev.left.Bytes > 0 {
		ev.left.Bytes -= size
		ev.full = ev.full || ev.left.Bytes <= 0
	}
	return rows, resume, err
}

// failed is the client's error for why a request could not be evaluated. When the
// engine cannot read, its content is damaged, and an answer made without it would
// be wrong: then the process ends.
func (ev *evaluation) failed(q kv.Request, err error) *kv.Error {
	var e *kv.Error
	var condition *mvcc.ConditionFailedError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &condition):
		e = kv.Errorf(kv.ConditionFailed, "")
		e.Timestamp = ev.ts // it is a read as well
		if v := condition.Actual; v.Exists {
			e.Actual = &kv.KeyValue{Key: q.Span().Key, Value: v.Bytes, Timestamp: v.Timestamp}
		}
		return e
	case errors.As(err, &ev.tooOld), errors.Is(err, mvcc.ErrNotInteger), errors.Is(err, mvcc.ErrOverflow):
		return kv.Errorf(kv.BadRequest, "%s", err)
	}
	ev.r.cfg.Env.Fatal(err)
	return nil
}
