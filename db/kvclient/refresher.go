package kvclient

import (
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// refresher is the interceptor that moves a transaction's reads up in time. It keeps
// the spans of everything that was read in the attempt. When the transaction must
// commit, or read, above its read timestamp, it asks whether any of it has changed
// meanwhile; if nothing has, it is as if all had been read at the later time.
//
// The spans are condensed when they grow too large, and never forgotten before the
// attempt ends: not by a rollback to a savepoint either, since the client knows what
// it has read.
type refresher struct {
	c     *coordinator
	next  kv.Sender
	reads spanSet
}

// maxRefreshes is how often one batch is sent again after a refresh.
const maxRefreshes = 5

// Send implements kv.Sender.
func (l *refresher) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	br, last := l.send(t, ba, maxRefreshes)
	// Whatever the outcome, the coordinator learns what the timestamps are now.
	in := &incoming{response: *br, txn: *last}
	in.txn.Update(br.Txn)
	in.response.Txn = &in.txn
	return &in.response
}

// incoming is a response that is passed up the chain, with its own copy of the
// transaction.
type incoming struct {
	response kv.BatchResponse
	txn      kv.Txn
}

// send sends the batch, refreshing before and after as needed, and returns the
// transaction as it was sent last. ba is the callee's to change.
func (l *refresher) send(t env.Task, ba *kv.BatchRequest, left int) (*kv.BatchResponse, *kv.Txn) {
	et := ba.EndTxn()
	txn := ba.Txn
	if txn.ReadTS.Less(txn.WriteTS) && !txn.ReadTSFixed && (l.reads.empty() || et != nil && et.Commit && txn.IsLocking()) {
		// It will not commit as it is: better now than after the attempt. If nothing
		// was read it costs nothing.
		moved := *txn
		if err := l.refresh(t, &moved, txn.WriteTS); err != nil {
			if et != nil {
				return kv.ErrorResponse(err), txn
			}
		} else {
			ba.Txn = &moved
		}
	}
	ba.CanForwardReadTS = l.reads.empty() && !ba.Txn.ReadTSFixed
	br := l.next.Send(t, ba)
	if br.Err == nil || goesOn(br.Err) {
		l.note(ba, br)
	}
	if br.Err == nil {
		return br, ba.Txn
	}
	to := refreshTo(ba.Txn, br)
	if left == 0 || to.IsEmpty() || ba.Txn.ReadTSFixed {
		return br, ba.Txn
	}
	moved := *ba.Txn
	moved.Update(br.Txn)
	moved.Status = kv.Pending
	if err := l.refresh(t, &moved, to); err != nil {
		return br, ba.Txn
	}
	again := new(kv.BatchRequest)
	*again = *ba
	again.Txn = &moved
	if et != nil && len(ba.Requests) > 1 {
		return l.sendSplit(t, again, left-1)
	}
	if et != nil {
		again = serial(again)
	}
	return l.send(t, again, left-1)
}

// sendSplit sends what comes before the EndTxn, and then the EndTxn by itself. The
// attempt before may have staged the record and left some of the writes; were they
// listed again, while they are being written again, it would not be known which
// attempt they prove.
func (l *refresher) sendSplit(t env.Task, ba *kv.BatchRequest, left int) (*kv.BatchResponse, *kv.Txn) {
	n := len(ba.Requests) - 1
	end := *ba.Requests[n].(*kv.EndTxnRequest)
	end.InFlight = nil
	br, txn := l.send(t, with(ba, ba.Requests[:n]), left)
	if br.Err != nil {
		return br, txn
	}
	moved := *txn
	moved.Update(br.Txn)
	last := with(ba, []kv.Request{&end})
	last.Txn = &moved
	ended, txn := l.send(t, last, left)
	c := *ended
	if ended.Err != nil {
		if ended.Err.Index == 0 {
			err := *ended.Err
			err.Index = int32(n)
			c.Err = &err
		}
		return &c, txn
	}
	c.Responses = append(append(make([]kv.Response, 0, n+1), br.Responses...), ended.Responses...)
	return &c, txn
}

// refreshTo is the timestamp at which the batch, which failed, might succeed; empty if
// that is no matter of timestamps.
func refreshTo(txn *kv.Txn, br *kv.BatchResponse) hlc.Timestamp {
	to := txn.WriteTS
	if br.Txn != nil {
		to = to.Forward(br.Txn.WriteTS)
	}
	switch br.Err.Kind {
	case kv.TransactionRetry:
		if why := br.Err.RetryReason(); why != kv.RetrySerializable && why != kv.RetryWriteTooOld && why != kv.RetryDelayed {
			return hlc.Timestamp{}
		}
	case kv.WriteTooOld, kv.Uncertainty:
		to = to.Forward(retryAt(br.Err))
	default:
		return hlc.Timestamp{}
	}
	if to.LessEq(txn.ReadTS) {
		return hlc.Timestamp{}
	}
	return to
}

// retryAt is the least timestamp that the error asks for.
func retryAt(err *kv.Error) hlc.Timestamp {
	d := err.Detail
	switch {
	case d == nil:
		return hlc.Timestamp{}
	case err.Kind == kv.WriteTooOld:
		return d.ActualTS
	case err.Kind == kv.Uncertainty:
		// The leaseholder's clock, as it was at the first visit, is beyond all else
		// that is uncertain there.
		return d.ValueTS.Next().Forward(d.LocalTS)
	case err.Kind == kv.TransactionPush && d.Pushee != nil:
		return d.Pushee.WriteTS
	}
	return hlc.Timestamp{}
}

// refresh moves txn to ts, if nothing that was read has changed between its read
// timestamp and ts. The requests count as reads at ts.
func (l *refresher) refresh(t env.Task, txn *kv.Txn, ts hlc.Timestamp) *kv.Error {
	from := txn.ReadTS
	txn.Refreshed(ts)
	if l.reads.empty() {
		return nil
	}
	spans := l.reads.list()
	for len(spans) > 0 {
		n := min(len(spans), kv.MaxRequests)
		ba := &kv.BatchRequest{Header: kv.Header{Txn: txn, Gateway: l.c.s.gateway}, Requests: make([]kv.Request, n)}
		for i, s := range spans[:n] {
			if s.IsPoint() {
				ba.Requests[i] = &kv.RefreshRequest{Key: s.Key, RefreshFrom: from}
			} else {
				ba.Requests[i] = &kv.RefreshRangeRequest{Key: s.Key, EndKey: s.EndKey, RefreshFrom: from}
			}
		}
		spans = spans[n:]
		if br := l.next.Send(t, ba); br.Err != nil {
			l.c.s.metrics.RefreshFailed++
			l.c.s.p.Probe(ProbeTxnRefreshFailed)
			err := kv.RetryError(kv.RetrySerializable, "what was read at %s has changed by %s: %s", from, ts, br.Err)
			if br.Err.Kind == kv.TransactionAborted {
				return br.Err
			}
			return err
		}
	}
	l.c.s.metrics.Refreshed++
	l.c.s.p.Probe(ProbeTxnRefreshed)
	return nil
}

// note keeps what the batch has read: up to where a limit cut it short, or, if it
// failed and says so because of what it read, all that it may have read.
func (l *refresher) note(ba *kv.BatchRequest, br *kv.BatchResponse) {
	for i, r := range ba.Requests {
		if !r.Method().Reads() || r.Method() == kv.QueryIntent || r.Method().NeedsTxn() {
			continue
		}
		s := r.Span()
		if br.Err == nil {
			switch resume := kv.ResumeOf(br.Responses[i]); {
			case resume.IsPoint():
			case r.Method() == kv.ReverseScan:
				s.Key = resume.EndKey
			default:
				s.EndKey = resume.Key
			}
		}
		if !s.IsPoint() && !s.Key.Less(s.EndKey) {
			continue // a scan for which nothing was left
		}
		if l.reads.add(s, l.c.s.set.refreshBytes) {
			l.c.s.metrics.Condensed++
			l.c.s.p.Probe(ProbeTxnCondensed)
		}
	}
}

// rollbackTo does nothing: what was read stays read.
func (l *refresher) rollbackTo(int32) {}

// restarted forgets what was read: the attempt is void.
func (l *refresher) restarted(bool) { l.reads.clear() }
