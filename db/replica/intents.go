package replica

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
)

// queryIntent finds out whether a write came to be. To the transaction itself an
// intent that was pushed is its own, and moves the transaction up; to whoever recovers
// it, an intent above the timestamp that it staged at is none.
func (ev *evaluation) queryIntent(q *kv.QueryIntentRequest) (kv.Response, error) {
	res, err := mvcc.QueryIntent(ev.reader, q.Key, &q.Txn)
	if err != nil {
		return nil, err
	}
	found := res.Proven
	if ev.txn != nil && ev.txn.ID == q.Txn.ID && res.Found {
		ev.txn.WriteTS = ev.txn.WriteTS.Forward(res.At)
		found = true
	}
	if !found && q.ErrorIfMissing {
		e := kv.Errorf(kv.IntentMissing, "")
		e.Detail = &kv.ErrorDetail{Key: q.Key}
		return nil, e
	}
	return &kv.QueryIntentResponse{Found: found}, nil
}

func (ev *evaluation) resolveIntent(q *kv.ResolveIntentRequest) (kv.Response, error) {
	changed, err := ev.resolve(q.Update())
	if err == nil && q.Status == kv.Aborted {
		err = ev.noteAbort(&q.Txn, q.Poison, changed > 0)
	}
	return &kv.ResolveIntentResponse{}, err
}

func (ev *evaluation) resolveIntentRange(q *kv.ResolveIntentRangeRequest) (kv.Response, error) {
	if ev.full {
		return &kv.ResolveIntentRangeResponse{Resume: q.Span()}, nil
	}
	u := q.Update()
	n, resume, err := ev.writer.ResolveIntentRange(u.Span, u, ev.left.Keys)
	if err == nil && q.Status == kv.Aborted {
		err = ev.noteAbort(&q.Txn, q.Poison, n > 0)
	}
	if !resume.IsPoint() {
		u.Span.EndKey = resume.Key
	}
	if u.Span.Key.Less(u.Span.EndKey) {
		ev.effects.update(u)
	}
	ev.take(n, 0)
	return &kv.ResolveIntentRangeResponse{Count: n, Resume: resume}, err
}

// resolve does to the transaction's locks in a point or span of the range what u says.
func (ev *evaluation) resolve(u kv.LockUpdate) (changed int64, err error) {
	ev.effects.update(u)
	if !u.Span.IsPoint() {
		changed, _, err = ev.writer.ResolveIntentRange(u.Span, u, 0)
		return changed, err
	}
	one, err := ev.writer.ResolveIntent(u.Span.Key, u)
	if one {
		changed = 1
	}
	return changed, err
}

// collect removes garbage. The threshold must have been raised, by an earlier command,
// to where nobody can read any more what is removed here.
func (ev *evaluation) collect(q *kv.GCRequest) (kv.Response, error) {
	if ev.r.state.GCThreshold.Less(q.Threshold) {
		ev.threshold = ev.threshold.Forward(q.Threshold)
		ev.batch.Put(keys.GCThresholdKey(ev.r.rangeID), q.Threshold.Encode(nil))
	}
	for _, k := range q.Keys {
		switch {
		case k.Timestamp.IsEmpty():
			if err := ev.collectLocal(k.Key); err != nil {
				return nil, err
			}
		case ev.r.state.GCThreshold.Less(k.Timestamp):
			return nil, kv.Errorf(kv.BadRequest, "%s is to be collected up to %s, above the threshold %s", k.Key, k.Timestamp, ev.r.state.GCThreshold)
		default:
			if err := ev.writer.GC(k.Timestamp, []keys.Key{k.Key}); err != nil {
				return nil, err
			}
		}
	}
	return &kv.GCResponse{}, nil
}

// collectLocal removes the record of a transaction that is over, or a note of the abort
// span. What is neither, or is not over, stays.
func (ev *evaluation) collectLocal(k keys.Key) error {
	if of, _, ok := keys.DecodeAbortSpanKey(k); ok && of == ev.r.rangeID {
		ev.batch.Delete(k)
		return nil
	}
	anchor, id, ok := keys.DecodeTxnRecordKey(k)
	if !ok {
		return kv.Errorf(kv.BadRequest, "%s cannot be collected", k)
	}
	rec, err := ev.record(anchor, id)
	if err != nil || rec == nil {
		return err
	}
	if !rec.Status.Finalized() {
		return kv.Errorf(kv.BadRequest, "the record of %s is %s", rec.TxnMeta, rec.Status)
	}
	ev.dropRecord(anchor, id)
	ev.effects.tombs = append(ev.effects.tombs, tomb{txn: rec.TxnMeta})
	return nil
}

// intersect is the part of a point or span that lies in the range, and what lies
// before and after it.
func intersect(d *kv.RangeDescriptor, s keys.Span) (here keys.Span, ok bool, rest []keys.Span) {
	if s.IsPoint() {
		if d.ContainsKey(s.Key) {
			return s, true, nil
		}
		return keys.Span{}, false, []keys.Span{s}
	}
	here, ok = s.Intersect(d.Span())
	if !ok {
		return here, false, []keys.Span{s}
	}
	if s.Key.Less(here.Key) {
		rest = append(rest, keys.Span{Key: s.Key, EndKey: here.Key})
	}
	if here.EndKey.Less(s.EndKey) {
		rest = append(rest, keys.Span{Key: here.EndKey, EndKey: s.EndKey})
	}
	return here, true, rest
}
