package replica

import (
	"errors"
	"time"

	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/sim/env"
)

// The right side of a merge serves nothing from the moment at which it has said what it
// read and wrote, until it is known what has become of the merge's transaction:
//
//	Subsume, or a lease that finds the descriptor deleted by an intent
//	   |
//	   v
//	frozen -- the watch asks for the transaction --> aborted: thaws, who waits goes on
//	                                            \--> committed: waits to be taken in
//
// Whoever gets the lease meanwhile finds the intent and is frozen too. So the intent must
// be there before the range is asked to stop.

// freeze is what a frozen replica waits for.
type freeze struct {
	txn kv.TxnMeta
	// committed: the left side holds what this one held, or is about to.
	committed bool
	over      env.Promise[struct{}] // resolved when the outcome is known
}

// admits reports that the batch is let pass: proofs of the merge's own writes, and its
// question whether what it read has changed. Neither sees or changes what others do.
func (f *freeze) admits(ba *kv.BatchRequest) bool {
	if ba.Txn == nil || ba.Txn.ID != f.txn.ID {
		return false
	}
	for _, q := range ba.Requests {
		switch q.Method() {
		case kv.QueryIntent, kv.Refresh, kv.RefreshRange:
		default:
			return false
		}
	}
	return true
}

// end lets everybody go who waits.
func (f *freeze) end(committed bool) {
	if !f.over.Ready() {
		f.committed = committed
		f.over.Resolve(struct{}{}, nil)
	}
}

// stops reports that the batch may not be served now.
func (r *Replica) stops(ba *kv.BatchRequest) bool { return r.frozen != nil && !r.frozen.admits(ba) }

// awaitThaw waits until the range serves again. The error says that it does not, or that
// the time is up.
func (r *Replica) awaitThaw(t env.Task, ba *kv.BatchRequest) *kv.Error {
	for r.stops(ba) {
		f := r.frozen
		if r.gone {
			return r.elsewhere()
		}
		if f.committed {
			return r.errorf(kv.RangeNotFound, "the range to the left takes it in")
		}
		r.cfg.Env.Probe(probeFrozenWait)
		if _, err := f.over.Wait(t, "merge", -1); err != nil {
			return r.errorf(kv.Timeout, "waiting for a merge: %s", err)
		}
	}
	return nil
}

// Subsume stops the range for a merge: it serves nothing more until the outcome is known.
func (r *Replica) Subsume(t env.Task, q *kv.SubsumeRequest) (*kv.SubsumeResponse, *kv.Error) {
	if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
		return nil, err
	}
	// What is under way ends: writes are applied, reads are noted. What comes later waits
	// for the latches, and finds the range frozen.
	guard, werr := r.requests.Latches().Acquire(t, r.allKeys())
	if werr != nil {
		return nil, r.errorf(kv.Timeout, "waiting for requests to drain: %s", werr)
	}
	defer r.requests.Latches().Release(guard)
	start := r.cfg.Clock.Now()
	switch {
	case r.gone:
		return nil, r.elsewhere()
	case r.LeaseStatus(start) != LeaseValid:
		return nil, r.notLeaseholder()
	case r.state.Desc.String() != q.Right.String():
		return nil, r.errorf(kv.ConditionFailed, "it is not %s any more", &q.Right)
	case r.frozen != nil && r.frozen.txn.ID != q.Txn.ID:
		return nil, r.errorf(kv.NodeUnavailable, "another merge is not over")
	}
	txn, deleted, err := r.deleting()
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	if !deleted || txn.ID != q.Txn.ID || txn.Epoch != q.Txn.Epoch {
		// A later leaseholder would not know that it has to keep still.
		return nil, r.errorf(kv.ConditionFailed, "the transaction has not deleted the descriptor")
	}
	if r.frozen == nil {
		r.freeze(txn)
	}
	r.cfg.Env.Probe(probeSubsumed)
	reads := r.readSummary(start)
	return &kv.SubsumeResponse{LeaseIndex: r.state.LeaseAppliedIndex, FreezeStart: start, Reads: reads.Encode(nil)}, nil
}

// allKeys are latches on every key that can be addressed in the range.
func (r *Replica) allKeys() []concurrency.Latch {
	user := r.state.Desc.Span()
	return []concurrency.Latch{
		{Span: user, Access: concurrency.Write},
		{Span: keys.RangeLocalSpan(user), Access: concurrency.Write},
	}
}

// deleting is the transaction that has deleted the range's descriptor and is not known to
// have ended. Only a merge does that.
func (r *Replica) deleting() (txn kv.TxnMeta, ok bool, err error) {
	k := keys.RangeDescriptorKey(r.state.Desc.StartKey)
	_, err = mvcc.GetWith(r.engine, k, hlc.Max, mvcc.ReadOptions{})
	var locked *mvcc.LockConflictError
	if !errors.As(err, &locked) {
		return txn, false, err
	}
	txn = locked.Locks[0].Txn
	v, err := mvcc.GetWith(r.engine, k, hlc.Max, mvcc.ReadOptions{Txn: &kv.Txn{TxnMeta: txn}})
	return txn, err == nil && !v.Exists, err
}

// freezeIfDeleted is for a lease that begins here: what its last holder had promised to a
// merge holds for this one.
func (r *Replica) freezeIfDeleted() {
	txn, deleted, err := r.deleting()
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	if deleted && r.frozen == nil {
		r.cfg.Env.Probe(probeFrozenByLease)
		r.freeze(txn)
	}
}

// freeze stops the range and begins the watch.
func (r *Replica) freeze(txn kv.TxnMeta) {
	f := &freeze{txn: txn}
	r.frozen = f
	r.cfg.Env.Go("replica: merge watch", func(t env.Task) { r.watch(t, f) })
}

// watchPause is the time after which the watch asks again when it got no answer.
const watchPause = 100 * time.Millisecond

// watch finds out what has become of the merge. Nothing but an answer ends it: to thaw on
// a guess would be to serve what the left side may be serving already.
func (r *Replica) watch(t env.Task, f *freeze) {
	for !f.over.Ready() {
		committed, err := r.cfg.Host.MergeOutcome(t, r, f.txn)
		switch {
		case f.over.Ready() || t.Err() != nil:
			return
		case err != nil:
			if t.Sleep(watchPause) != nil {
				return
			}
			continue
		case !committed:
			r.cfg.Env.Probe(probeThawed)
			r.frozen = nil
		}
		f.end(committed)
	}
}
