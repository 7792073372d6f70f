package kvclient

import (
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// committer is the interceptor that decides how a transaction is ended.
//
//   - One that locked nothing needs no record: its EndTxn is answered here.
//   - A commit that has writes in flight is made in parallel with them: the record is
//     staged with their list, and when each request of the batch has succeeded, at or
//     below the staging timestamp, the transaction is committed, implicitly. It is
//     made explicit afterwards, when nobody waits any more.
//   - Otherwise, or if the knob says so, the record is written when everything else
//     has succeeded (serial).
//
// Whether one phase is enough is decided where the batch arrives.
type committer struct {
	c    *coordinator
	next kv.Sender
}

// Send implements kv.Sender.
func (l *committer) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	et := ba.EndTxn()
	switch {
	case et == nil:
		return l.next.Send(t, ba)
	case !ba.Txn.IsLocking():
		return l.elide(t, ba, et)
	}
	if len(et.InFlight) > 0 && !l.mayStage(ba) {
		ba = serial(ba)
		et = ba.EndTxn()
	}
	br := l.next.Send(t, ba)
	if br.Err != nil || !et.Commit {
		return unstaged(br)
	}
	if br.Txn == nil || br.Txn.Status != kv.Staging {
		return br
	}
	// Implicitly committed? The list counts as it was sent: nothing above it.
	staged := stagedAt(br)
	if staged.IsEmpty() || staged.Less(br.Txn.WriteTS) {
		l.c.s.p.Probe(ProbeTxnStagedTooLow)
		br = unstaged(br)
		failed := kv.ErrorResponse(kv.RetryError(kv.RetrySerializable, "staged at %s, and a write was moved to %s", staged, br.Txn.WriteTS))
		failed.Txn = br.Txn
		return failed
	}
	l.c.s.metrics.Parallel++
	l.c.s.p.Probe(ProbeTxnStaged)
	committed := *br
	txn := *br.Txn
	txn.Status = kv.Committed
	committed.Txn = &txn
	l.makeExplicit(ba, &txn)
	return &committed
}

// mayStage reports that the batch may go together with a record that is staged: all
// else in it are point writes, and proofs of such.
func (l *committer) mayStage(ba *kv.BatchRequest) bool {
	if !l.c.s.set.parallel {
		return false
	}
	for _, r := range ba.Requests[:len(ba.Requests)-1] {
		if r.Method() != kv.QueryIntent && (!r.Method().Intents() || r.Method().Ranged()) {
			return false
		}
	}
	return true
}

// serial is the batch without a list of writes in flight, so that its EndTxn comes
// last.
func serial(ba *kv.BatchRequest) *kv.BatchRequest {
	n := len(ba.Requests) - 1
	end := *ba.Requests[n].(*kv.EndTxnRequest)
	end.InFlight = nil
	return with(ba, append(append(make([]kv.Request, 0, n+1), ba.Requests[:n]...), &end))
}

// stagedAt is the timestamp at which the last request of the batch staged the record.
func stagedAt(br *kv.BatchResponse) hlc.Timestamp {
	if end, ok := br.Responses[len(br.Responses)-1].(*kv.EndTxnResponse); ok {
		return end.StagingTS
	}
	return hlc.Timestamp{}
}

// unstaged is the response of an attempt to commit that did not: the record stays as
// it is, the transaction is pending.
func unstaged(br *kv.BatchResponse) *kv.BatchResponse {
	if br.Txn == nil || br.Txn.Status != kv.Staging {
		return br
	}
	c, txn := *br, *br.Txn
	txn.Status, txn.InFlight = kv.Pending, nil
	c.Txn = &txn
	return &c
}

// makeExplicit writes the record of a transaction that is committed. If that fails
// others will find out, by recovery.
func (l *committer) makeExplicit(ba *kv.BatchRequest, txn *kv.Txn) {
	explicit := *txn
	explicit.Status, explicit.InFlight = kv.Staging, nil
	end := *ba.EndTxn()
	end.InFlight = nil
	b := *ba
	b.Txn, b.Requests, b.CanForwardReadTS = &explicit, []kv.Request{&end}, false
	b.Deadline = l.c.s.set.cleanup
	l.c.s.p.Go("txn explicit commit", func(t env.Task) { l.next.Send(t, &b) })
}

// elide ends a transaction that locked nothing, after what else is in the batch. The
// deadline is tested here: its commit timestamp is that at which it read.
func (l *committer) elide(t env.Task, ba *kv.BatchRequest, et *kv.EndTxnRequest) *kv.BatchResponse {
	br := &kv.BatchResponse{Txn: ba.Txn}
	if n := len(ba.Requests) - 1; n > 0 {
		if br = l.next.Send(t, with(ba, ba.Requests[:n])); br.Err != nil {
			return br
		}
	}
	txn := *ba.Txn
	txn.Update(br.Txn)
	if et.Commit && !et.Deadline.IsEmpty() && et.Deadline.LessEq(txn.ReadTS) {
		failed := kv.ErrorResponse(kv.RetryError(kv.RetryDeadline, "read at %s, deadline %s", txn.ReadTS, et.Deadline))
		failed.Err.Index = int32(len(ba.Requests) - 1)
		failed.Txn = &txn
		return failed
	}
	txn.Status = kv.Aborted
	if et.Commit {
		txn.Status = kv.Committed
		l.c.s.metrics.ReadOnly++
	}
	done := *br
	done.Txn = &txn
	done.Responses = append(append(make([]kv.Response, 0, len(br.Responses)+1), br.Responses...), &kv.EndTxnResponse{})
	return &done
}

func (l *committer) rollbackTo(int32) {}
func (l *committer) restarted(bool)   {}
