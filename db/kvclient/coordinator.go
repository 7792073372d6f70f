package kvclient

import (
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// txnState is where a coordinator is in the life of its transaction.
type txnState uint8

const (
	txnActive txnState = iota
	txnRetry           // the next attempt is ready, and the client has to know of it
	txnFailed          // can only be rolled back
	txnEnded
)

// interceptor is one link of the chain that a batch passes on its way down, and its
// response on its way up. Each owns its part of the transaction's state.
//
// Down to the refresher there is one batch, with one copy of the transaction, that is
// changed on its way: it belongs to whom it is passed. The requests in it are the
// client's, and are replaced, not changed. From there on batches are sent, to be
// delivered as they are, and never change. The response of the refresher is again that
// of whom it is returned to.
type interceptor interface {
	kv.Sender
	// rollbackTo undoes the writes numbered above seq.
	rollbackTo(seq int32)
	// restarted begins the next attempt: the next epoch, or under a new ID.
	restarted(newID bool)
}

// coordinator is the head of the chain. It holds the transaction itself, and the rules
// of what may follow what.
type coordinator struct {
	s     *Txns
	txn   *kv.Txn // changed here and by the heartbeat alone; copies are sent
	state txnState
	err   *kv.Error // why, in txnRetry and txnFailed
	busy  env.Semaphore
	sent  bool     // the attempt has sent a batch
	clean kv.TxnID // what was cleaned up already

	// The links of the chain, from the first that is asked to the last.
	heart  heartbeater
	seq    sequencer
	pipe   pipeliner
	reads  refresher
	commit committer
	last   counter
}

func (s *Txns) newCoordinator(o kv.TxnOptions) *coordinator {
	c := &coordinator{s: s, txn: s.begin(o.Name, o.Priority, o.CommitWait)}
	c.busy.Free = 1
	c.last = counter{m: &s.metrics, next: s.below}
	c.commit = committer{c: c, next: &c.last}
	c.reads = refresher{c: c, next: &c.commit}
	c.pipe = pipeliner{c: c, next: &c.reads}
	c.seq = sequencer{next: &c.pipe}
	c.heart = heartbeater{c: c, next: &c.seq}
	return c
}

// Txn implements kv.TxnSender.
func (c *coordinator) Txn() *kv.Txn { return c.txn }

// SetPriority implements kv.TxnSender.
func (c *coordinator) SetPriority(priority int32) { c.txn.Priority = max(priority, kv.MinPriority) }

func (c *coordinator) chain() [6]interceptor {
	return [...]interceptor{&c.heart, &c.seq, &c.pipe, &c.reads, &c.commit, &c.last}
}

// lock waits until no other batch is under way.
func (c *coordinator) lock(t env.Task) *kv.Error {
	if err := c.busy.Acquire(t, "txn: another batch", -1); err != nil {
		return kv.Errorf(kv.Timeout, "%v", err)
	}
	return nil
}

// refused is why nothing can be sent now.
func (c *coordinator) refused() *kv.Error {
	switch {
	case c.state == txnEnded:
		return kv.Errorf(kv.TransactionStatus, "the transaction has ended")
	case c.state != txnActive:
		return c.err
	case c.txn.Status == kv.Aborted: // the heartbeat knows
		c.failed(kv.AbortedError(kv.AbortClientReject, "noticed by the heartbeat"), 0, false)
		return c.err
	}
	return nil
}

// Send implements kv.Sender.
func (c *coordinator) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	et := ba.EndTxn()
	if et != nil && !et.Commit && len(ba.Requests) == 1 {
		return c.rollback(t)
	}
	if err := c.lock(t); err != nil {
		return kv.ErrorResponse(err)
	}
	defer c.busy.Release()
	if err := c.refused(); err != nil {
		return kv.ErrorResponse(err)
	}
	sent := &outgoing{batch: *ba, txn: *c.txn}
	sent.txn.Status = kv.Pending
	sent.batch.Txn, sent.batch.Gateway = &sent.txn, c.s.gateway
	if err := check(&sent.batch); err != nil {
		return kv.ErrorResponse(err)
	}
	c.sent = true
	before := c.seq.last
	br := c.heart.Send(t, &sent.batch)
	if br.Txn != nil {
		c.txn.Update(br.Txn)
		c.txn.InFlight, c.txn.LockSpans = nil, nil // the coordinator has its own
	}
	if br.Err != nil {
		c.failed(br.Err, before, et != nil)
		return kv.ErrorResponse(br.Err)
	}
	if et != nil {
		if err := c.committed(t); err != nil {
			return kv.ErrorResponse(err)
		}
	}
	br.Txn = c.txn
	return br
}

// outgoing is a batch that is passed down the chain, with its own copy of the
// transaction.
type outgoing struct {
	batch kv.BatchRequest
	txn   kv.Txn
}

// check refuses what only the coordinator may send, or makes no sense at all.
func check(ba *kv.BatchRequest) *kv.Error {
	for i, r := range ba.Requests {
		if !r.Method().Intents() && r.Method() != kv.Get && r.Method() != kv.Scan && r.Method() != kv.ReverseScan && r.Method() != kv.EndTxn {
			err := kv.Errorf(kv.BadRequest, "%s is not for clients of transactions", r.Method())
			err.Index = int32(i)
			return err
		}
	}
	if et := ba.EndTxn(); et != nil && !et.Commit {
		return kv.Errorf(kv.BadRequest, "a rollback is not alone in its batch")
	}
	return ba.Validate()
}

func (c *coordinator) copyTxn() *kv.Txn {
	txn := *c.txn
	txn.Status = kv.Pending
	return &txn
}

// goesOn reports that after the error the transaction goes on as if the batch had
// never been.
func goesOn(err *kv.Error) bool {
	return err.Kind == kv.ConditionFailed || err.Kind == kv.LockConflict || err.Kind == kv.BadRequest
}

// failed decides what an error means for the transaction. The writes of the batch are
// numbered above before.
func (c *coordinator) failed(err *kv.Error, before int32, commit bool) {
	switch {
	case err.Retryable():
		c.err, c.state = err, txnRetry
		c.prepare(err)
	case goesOn(err) && !commit:
		// Some of the batch may have been done, in other ranges.
		c.ignore(before)
	default:
		// A commit that failed may have been staged, with a list of writes that the
		// transaction must not add to.
		if commit && err.Ambiguous() {
			c.s.p.Probe(ProbeTxnAmbiguous)
			c.s.metrics.Ambiguous++
		}
		c.err, c.state = err, txnFailed
	}
}

// ignore has the writes above seq count as never made.
func (c *coordinator) ignore(seq int32) {
	if c.seq.last <= seq {
		return
	}
	c.txn.IgnoredSeqs = kv.AddIgnored(c.txn.IgnoredSeqs, kv.SeqRange{Start: seq + 1, End: c.seq.last})
	for _, l := range c.chain() {
		l.rollbackTo(seq)
	}
}

// prepare makes the next attempt ready: the next epoch at a timestamp at which the
// error would not be met, or, if the transaction is aborted, another transaction.
func (c *coordinator) prepare(err *kv.Error) {
	c.sent = false
	if err.Kind == kv.TransactionAborted || c.txn.Status == kv.Aborted {
		c.s.p.Probe(ProbeTxnAborted)
		c.s.metrics.Aborts++
		c.cleanUp()
		old := c.txn
		c.txn = c.s.begin(old.Name, old.Priority, old.CommitWait)
		c.restarted(true)
		return
	}
	c.s.p.Probe(ProbeTxnRestarted)
	c.s.metrics.Restarts++
	priority := c.txn.Priority
	if d := err.Detail; err.Kind == kv.TransactionPush && d != nil && d.Pushee != nil {
		priority = max(priority, d.Pushee.Priority-1)
	}
	c.txn.Restart(priority, retryAt(err))
	c.restarted(false)
}

func (c *coordinator) restarted(newID bool) {
	for _, l := range c.chain() {
		l.restarted(newID)
	}
}

// Restart implements kv.TxnSender.
func (c *coordinator) Restart(t env.Task) *kv.Error {
	if err := c.lock(t); err != nil {
		return err
	}
	defer c.busy.Release()
	if c.state != txnRetry {
		return kv.Errorf(kv.TransactionStatus, "no restart is due")
	}
	c.state, c.err = txnActive, nil
	return nil
}

// committed ends the transaction, and returns when its timestamp has passed: by the
// gateway's clock, or, if the transaction asks for it, by every clock. Then whoever
// hears of it and begins another, anywhere, is given a higher timestamp.
func (c *coordinator) committed(t env.Task) *kv.Error {
	c.state, c.txn.Status = txnEnded, kv.Committed
	c.heart.ended()
	c.s.metrics.Committed++
	ts := c.txn.WriteTS
	if !c.txn.IsLocking() {
		ts = c.txn.ReadTS
	}
	switch {
	case c.txn.CommitWait:
		ts = ts.Add(c.s.clock.MaxOffset())
	case ts.LessEq(c.s.clock.Last()):
		return nil
	}
	if c.s.clock.PhysicalNow() > ts.Wall {
		return nil
	}
	// The clock is not moved up to a timestamp that may lie in the future: it comes.
	c.s.p.Probe(ProbeTxnCommitWait)
	c.s.metrics.CommitWaits++
	if err := c.s.clock.WaitUntil(t, ts); err != nil {
		return kv.Errorf(kv.Ambiguous, "committed at %s, and did not wait until that had passed: %v", c.txn.WriteTS, err)
	}
	return nil
}

// rollback ends the transaction without effect. Nobody waits for the record and the
// locks to go.
func (c *coordinator) rollback(t env.Task) *kv.BatchResponse {
	done := &kv.BatchResponse{Responses: []kv.Response{&kv.EndTxnResponse{}}, Txn: c.txn}
	if c.state == txnEnded {
		return kv.ErrorResponse(kv.Errorf(kv.TransactionStatus, "the transaction has ended"))
	}
	if err := c.lock(t); err == nil {
		defer c.busy.Release()
	} // a task that has no time left must still be able to give up
	if c.state == txnEnded {
		return done
	}
	c.state = txnEnded
	c.heart.ended()
	c.s.metrics.RolledBack++
	c.cleanUp()
	return done
}

// noticeAbort is called by the heartbeat. Others may wait for the locks, and the client
// may think for long: they are removed at once, unless a batch is under way, which
// will find out for itself.
func (c *coordinator) noticeAbort() {
	c.txn.Status = kv.Aborted
	if c.busy.Free > 0 {
		c.cleanUp()
	}
}

// cleanUp has the record and the locks removed, in a task of its own. The transaction
// is rolled back, whatever others think it is.
func (c *coordinator) cleanUp() {
	if !c.txn.IsLocking() || c.txn.Status == kv.Committed || c.clean == c.txn.ID {
		return
	}
	c.clean = c.txn.ID
	txn := c.copyTxn()
	txn.Sequence = c.seq.last
	ba := &kv.BatchRequest{
		Header:   kv.Header{Txn: txn, Gateway: c.s.gateway, Deadline: c.s.set.cleanup},
		Requests: []kv.Request{&kv.EndTxnRequest{Key: txn.Key, LockSpans: append([]keys.Span(nil), c.pipe.locks()...), Poison: true}},
	}
	c.s.p.Go("txn rollback", func(t env.Task) { c.s.below.Send(t, ba) })
}

// Savepoint implements kv.TxnSender.
func (c *coordinator) Savepoint(t env.Task) (kv.Savepoint, *kv.Error) {
	if err := c.lock(t); err != nil {
		return kv.Savepoint{}, err
	}
	defer c.busy.Release()
	if err := c.refused(); err != nil {
		return kv.Savepoint{}, err
	}
	if c.txn.SeqIgnored(c.seq.last) {
		c.seq.last++ // a number that stands: one that was undone would name no savepoint
	}
	return kv.Savepoint{ID: c.txn.ID, Epoch: c.txn.Epoch, Sequence: c.seq.last}, nil
}

// RollbackTo implements kv.TxnSender.
func (c *coordinator) RollbackTo(t env.Task, s kv.Savepoint) *kv.Error {
	if err := c.lock(t); err != nil {
		return err
	}
	defer c.busy.Release()
	if err := c.refused(); err != nil {
		return err
	}
	if s.ID != c.txn.ID || s.Epoch != c.txn.Epoch || s.Sequence > c.seq.last || c.txn.SeqIgnored(s.Sequence) {
		return kv.Errorf(kv.BadRequest, "the savepoint is not of this attempt")
	}
	c.ignore(s.Sequence)
	return nil
}

// FixTimestamp implements kv.TxnSender.
func (c *coordinator) FixTimestamp(t env.Task, ts hlc.Timestamp) *kv.Error {
	if err := c.lock(t); err != nil {
		return err
	}
	defer c.busy.Release()
	if err := c.refused(); err != nil {
		return err
	}
	if !ts.IsEmpty() && ts != c.txn.ReadTS {
		if c.sent || c.txn.Epoch > 0 {
			return kv.Errorf(kv.BadRequest, "the timestamp is fixed too late")
		}
		// The client asks for the state at ts: later values, though written before it
		// asked, are not uncertain but too late.
		c.txn.ReadTS, c.txn.WriteTS, c.txn.GlobalLimit, c.txn.MinTS = ts, ts, ts, ts
	}
	c.txn.ReadTSFixed = true
	return nil
}

// String prints the coordinator's state for reading.
func (c *coordinator) String() string {
	return fmt.Sprintf("%s\nseq %d, %d in flight, footprint %v, read %v", c.txn, c.seq.last, len(c.pipe.inFlight), c.pipe.footprint.spans, c.reads.reads.spans)
}
