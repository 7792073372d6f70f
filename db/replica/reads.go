package replica

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// noteReads remembers what the evaluation has read, so that no write lands beneath
// it. It runs before the latches are released.
func (ev *evaluation) noteReads() {
	if ev.call.ba.WaitPolicy == kv.WaitCommitted {
		return // no promise was made
	}
	for i, q := range ev.call.ba.Requests {
		switch q := q.(type) {
		case *kv.GetRequest, *kv.RefreshRequest, *kv.RefreshRangeRequest:
			ev.noteRead(q.Span())
		case *kv.ScanRequest, *kv.ReverseScanRequest, *kv.DeleteRangeRequest:
			ev.noteRead(covered(q, ev.responses[i]))
		case *kv.QueryIntentRequest:
			if !ev.responses[i].(*kv.QueryIntentResponse).Found {
				ev.prevent(q)
			}
		}
	}
}

// tells reports that the answer tells of what keys hold at the timestamp of reads. A proof
// that is found tells of one intent, at whatever timestamp it is asked for: no mark stays
// of it, and nobody is handed one with the lease.
func (ev *evaluation) tells() bool {
	for _, q := range ev.call.ba.Requests {
		if m := q.Method(); m != kv.QueryIntent && m != kv.QueryTxn {
			return true
		}
	}
	return false
}

// noteFailedReads does the same for what an error tells: a condition that was tested,
// a write that was not found.
func (ev *evaluation) noteFailedReads(err *kv.Error) {
	if err.Index < 0 || int(err.Index) >= len(ev.call.ba.Requests) {
		return
	}
	switch q := ev.call.ba.Requests[err.Index]; err.Kind {
	case kv.ConditionFailed:
		ev.noteRead(q.Span())
	case kv.IntentMissing:
		if q, ok := q.(*kv.QueryIntentRequest); ok {
			ev.prevent(q)
		}
	}
}

func (ev *evaluation) noteRead(s keys.Span) {
	var by keys.TxnID
	if ev.txn != nil {
		by = ev.txn.ID
	}
	ev.r.reads.Add(s, ev.ts, by)
}

// prevent makes sure that a write that was looked for in vain never lands, not even if
// it is its own transaction's request that is late.
func (ev *evaluation) prevent(q *kv.QueryIntentRequest) {
	ev.r.cfg.Env.Probe(probePrevented)
	ev.r.reads.Add(q.Span(), q.Txn.WriteTS, keys.TxnID{})
}

// covered is the part of a request's span that was looked at before a limit was
// reached; no valid span if none was.
func covered(q kv.Request, resp kv.Response) keys.Span {
	s := q.Span()
	switch resume := kv.ResumeOf(resp); {
	case resume.IsPoint():
	case q.Method() == kv.ReverseScan:
		s.Key = resume.EndKey
	default:
		s.EndKey = resume.Key
	}
	if !s.Key.Less(s.EndKey) {
		return keys.Span{Key: s.Key, EndKey: s.Key}
	}
	return s
}
