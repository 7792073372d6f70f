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
	if br.Err != nil && br.Err.Kind == kv.IntentMissing && len(et.InFlight) > 0 {
		br = l.missing(t, ba, br)
	}
	if br.Err != nil && br.Err.Kind == kv.TransactionStatus && et.Commit {
		// The record is final, and not by this coordinator's doing as far as it knows.
		br = &kv.BatchResponse{Err: kv.AmbiguousError(br.Err, "the transaction may be committed already"), Txn: br.Txn}
	}
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

// missing finds out why a proof failed beside a record that was being staged. Either
// the write was lost; then it can never come to be, and the transaction was not
// committed. Or somebody found the record staged with all its writes, committed the
// transaction and removed its intents before the proof arrived. The record tells.
func (l *committer) missing(t env.Task, ba *kv.BatchRequest, br *kv.BatchResponse) *kv.BatchResponse {
	ask := &kv.BatchRequest{
		Header:   kv.Header{Gateway: ba.Gateway, ID: ba.ID},
		Requests: []kv.Request{&kv.QueryTxnRequest{Key: ba.Txn.Key, Txn: ba.Txn.TxnMeta}},
	}
	answer := l.next.Send(t, ask)
	staged := br.Txn != nil && br.Txn.Status == kv.Staging
	unknown := func(why string) *kv.BatchResponse {
		return &kv.BatchResponse{Err: kv.AmbiguousError(br.Err, "%s", why), Txn: br.Txn}
	}
	if answer.Err != nil {
		return unknown("the record of a commit cannot be read: " + answer.Err.Error())
	}
	found := answer.Responses[0].(*kv.QueryTxnResponse)
	switch {
	case found.Exists && found.Txn.Status == kv.Committed:
		l.c.s.p.Probe(ProbeTxnRecovered)
		txn := *ba.Txn
		txn.Update(&found.Txn)
		return committedBy(ba, &txn)
	case found.Exists && found.Txn.Status == kv.Aborted:
		txn := *ba.Txn
		txn.Status = kv.Aborted
		return &kv.BatchResponse{Err: kv.AbortedError(kv.AbortRecordFound, "while it was being committed"), Txn: &txn}
	case !found.Exists && staged:
		return unknown("the record of a commit is gone")
	}
	return br
}

// committedBy is the answer to a batch whose transaction others have committed. All
// that may stand beside a record that is staged is answered without content, but for
// sums and what was deleted: those who ask for these do not get here (see mayStage).
func committedBy(ba *kv.BatchRequest, txn *kv.Txn) *kv.BatchResponse {
	br := &kv.BatchResponse{Txn: txn, Timestamp: txn.WriteTS, Responses: make([]kv.Response, len(ba.Requests))}
	for i, r := range ba.Requests {
		switch r.Method() {
		case kv.Put:
			br.Responses[i] = &kv.PutResponse{}
		case kv.ConditionalPut:
			br.Responses[i] = &kv.ConditionalPutResponse{}
		case kv.InitPut:
			br.Responses[i] = &kv.InitPutResponse{}
		case kv.QueryIntent:
			br.Responses[i] = &kv.QueryIntentResponse{Found: true}
		case kv.EndTxn:
			br.Responses[i] = &kv.EndTxnResponse{}
		}
	}
	return br
}

// mayStage reports that the batch may go together with a record that is staged: all
// else in it are point writes, and proofs of such. Those of writes whose answers are
// known beforehand, so that they can be given even if it is others who find that the
// transaction is committed.
func (l *committer) mayStage(ba *kv.BatchRequest) bool {
	if !l.c.s.set.parallel || ba.EndTxn().Trigger != nil {
		return false
	}
	for _, r := range ba.Requests[:len(ba.Requests)-1] {
		switch r.Method() {
		case kv.QueryIntent, kv.Put, kv.ConditionalPut, kv.InitPut:
		default:
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
