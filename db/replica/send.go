package replica

import (
	"fmt"

	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// maxEvaluations bounds how often one batch is evaluated because the lease went
// away under it; then the client is sent to look for the range anew.
const maxEvaluations = 8

// Send serves a batch. It is the whole life of a request at its replica:
//
//	bounds -> lease (acquire, or redirect) -> sequencer: latches, locks of others
//	   ^                                        |
//	   |                                        v
//	   +--- a lock in the way, a push       bounds and lease again, timestamp
//	        that must wait, a lease lost <--evaluate
//	                                          | -> [nothing to write: answer]
//	                                          v
//	                     propose -> [write of a transaction: answer early]
//	                          wait until applied -> answer
//
// The ticket of a write goes to its proposal and is finished when its fate is known,
// in the callback that applies it.
func (r *Replica) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	r.cfg.Env.Charge(env.ClassRequest, 1)
	br := r.send1(t, ba)
	if br.Err != nil && br.Err.RangeID == 0 {
		br.Err.RangeID = r.rangeID
	}
	return br
}

// outcome says how an attempt at a call went on.
type outcome uint8

const (
	answered  outcome = iota
	leaseLost         // it had no effect, and the lease is to be looked at again
	conflict          // it is to be sequenced again
)

func (r *Replica) send1(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if ba.Admin() {
		return r.sendAdmin(t, ba)
	}
	c := r.newCall(ba)
	for lost := 0; lost < maxEvaluations; {
		br, o := c.attempt(t)
		switch o {
		case answered:
			return br
		case leaseLost:
			lost++
		}
	}
	return kv.ErrorResponse(r.notLeaseholder())
}

// call is one batch on its way through its replica.
type call struct {
	r  *Replica
	ba *kv.BatchRequest
	// txn is the batch's transaction, with a reading of this node's clock from when it
	// first came here.
	txn     *kv.Txn
	req     concurrency.Request
	ticket  *concurrency.Ticket // nil: none
	effects effects             // what follows when the command applies
	rounds  int                 // conflicts so far, for the guard against going round for ever
	began   hlc.Timestamp
	// What most calls need, allocated with them.
	latches [3]concurrency.Latch
	locks   [2]concurrency.LockSpan
}

func (r *Replica) newCall(ba *kv.BatchRequest) *call {
	c := &call{r: r, ba: ba, txn: ba.Txn, began: r.cfg.Clock.Now()}
	c.req.Latches, c.req.Locks = c.latches[:0], c.locks[:0]
	if ba.Txn != nil {
		if _, ok := ba.Txn.ObservedAt(r.cfg.NodeID); !ok {
			txn := *ba.Txn
			txn.Observe(r.cfg.NodeID, c.began)
			c.txn = &txn
		}
	}
	// A read whose timestamp is chosen here is uncertain of what others wrote up to the
	// end of its interval, as a transaction's is.
	c.req.Set(ba, c.began.Add(r.cfg.Clock.MaxOffset()))
	return c
}

// latest is the highest timestamp that the batch states.
func (c *call) latest() hlc.Timestamp {
	if c.txn != nil {
		return c.txn.WriteTS.Forward(c.txn.ReadTS)
	}
	return c.ba.Timestamp
}

// finish gives the ticket back.
func (c *call) finish() {
	if c.ticket != nil {
		c.r.requests.Finish(c.ticket)
		c.ticket = nil
	}
}

// fail ends the call with an error.
func (c *call) fail(err *kv.Error) (*kv.BatchResponse, outcome) {
	c.finish()
	return kv.ErrorResponse(err), answered
}

// attempt takes the call from the front door to its answer, or to where it has to
// begin again.
func (c *call) attempt(t env.Task) (*kv.BatchResponse, outcome) {
	r := c.r
	if r.gone {
		return c.fail(r.elsewhere())
	}
	if err := r.checkBounds(c.ba); err != nil {
		return c.fail(err)
	}
	if err := r.awaitLease(t, c.latest()); err != nil {
		return c.fail(err)
	}
	if err := r.awaitThaw(t, c.ba); err != nil {
		return c.fail(err)
	}
	t.Yield("lease held, before latches")
	tk, br, err := r.requests.Sequence(t, c.ticket, &c.req)
	c.ticket = tk
	switch {
	case err != nil:
		return kv.ErrorResponse(err), answered
	case br != nil:
		return br, answered
	}
	t.Yield("latched, before evaluation")
	return c.execute(t)
}

// execute evaluates the batch, under its ticket, and has done what it writes.
func (c *call) execute(t env.Task) (*kv.BatchResponse, outcome) {
	r := c.r
	if r.gone {
		return c.fail(r.elsewhere())
	}
	if r.LeaseStatus(r.cfg.Clock.Now()) != LeaseValid || !r.leaseCovers(c.latest()) {
		c.finish()
		return nil, leaseLost
	}
	if err := r.checkBounds(c.ba); err != nil {
		return c.fail(err)
	}
	if r.stops(c.ba) { // since it waited for latches
		c.finish()
		return nil, conflict
	}
	ev := evaluation{r: r, call: c}
	if err := ev.run(); err != nil {
		return c.refused(t, &ev, err)
	}
	ev.noteReads()
	r.noteServed(c.ba, ev.cost)
	if ev.batch.Empty() {
		if o := r.cfg.Observer; o != nil && c.ba.ReadsOnly() && ev.tells() {
			o.Served(r, c.ba.Span(), ev.ts, r.state.Lease.Sequence)
		}
		ev.effects.follow(r)
		c.finish()
		return ev.response(), answered
	}
	return c.propose(t, &ev)
}

// refused goes on after an evaluation that failed.
func (c *call) refused(t env.Task, ev *evaluation, err *kv.Error) (*kv.BatchResponse, outcome) {
	r := c.r
	switch {
	case len(ev.conflicts) > 0:
		r.requests.HandleLockConflict(c.ticket, ev.conflicts, r.state.Lease.Sequence)
		// It may have looked further than was thought when it came: what it met there has
		// to be waited for.
		c.req.ReadTS = c.req.ReadTS.Forward(ev.ts).Forward(ev.uncertainty.GlobalLimit)
		c.goRound()
		return nil, conflict
	case ev.waitFor != nil:
		r.requests.HandlePushConflict(c.ticket, ev.waitFor)
		c.goRound()
		return nil, conflict
	case ev.queryWaits:
		c.goRound()
		return nil, conflict
	case err.Kind == kv.IndeterminateCommit && ev.rollback:
		// Whether the transaction is committed must be found out before anything.
		c.finish()
		pushee := err.Detail.Pushee
		push := &kv.PushTxnRequest{Key: pushee.Key, Pushee: pushee.TxnMeta, Type: kv.PushAbort, Force: true}
		if _, err := r.cfg.Requests.Transactions.PushTxn(t, push, kv.WaitError); err != nil {
			return kv.ErrorResponse(err), answered
		}
		c.goRound()
		return nil, conflict
	}
	ev.noteFailedReads(err)
	c.finish()
	br := kv.ErrorResponse(err)
	br.Txn = ev.news()
	return br, answered
}

// maxRounds is far more conflicts than any request meets while time passes.
const maxRounds = 10_000

func (c *call) goRound() {
	if c.rounds++; c.rounds > maxRounds {
		panic(fmt.Sprintf("replica: a request goes round for ever: %s, up to %s\n%s", c.ba, c.req.ReadTS, c.r.requests))
	}
}

// propose has replicated what the evaluation writes.
func (c *call) propose(t env.Task, ev *evaluation) (*kv.BatchResponse, outcome) {
	r := c.r
	if int64(ev.batch.Size()) > r.cfg.Tunables.MaxCommandBytes {
		return c.fail(r.errorf(kv.BadRequest, "the batch writes %d bytes", ev.batch.Size()))
	}
	sequence := r.state.Lease.Sequence
	r.cfg.Env.Probe(probeEvaluated)
	t.Yield("evaluated, before proposing")
	if sequence != r.state.Lease.Sequence {
		// It is proposed all the same: what decides is the check below consensus,
		// which sees every change of lease, and not this one, which sees some.
		r.cfg.Env.Probe(probeLeaseMoved)
	}
	cmd := Command{Kind: KindWrite, LeaseSequence: sequence, WriteTS: ev.writtenAt(), GCThreshold: ev.threshold,
		Stats: ev.writer.Stats, Batch: ev.batch.Repr()}
	if ev.divided != nil {
		cmd.Kind, cmd.Split = KindSplit, ev.divided
	}
	if ev.joined != nil {
		cmd.Kind, cmd.Merge = KindMerge, ev.joined
	}
	p := &proposal{call: c}
	if ev.changed != nil && !r.gone {
		cmd.Kind, cmd.Change = KindChange, ev.changed
		p.conf, _ = confChangeOf(r.state.Desc, ev.changed) // evaluated: no error
	}
	c.effects = ev.effects
	r.wake(true)
	r.propose(&cmd, p)
	if ev.ackEarly() {
		r.ackedEarly = true
		return ev.response(), answered
	}
	why, err := p.wait(t, "proposal")
	switch {
	case err != nil:
		// The ticket stays with the proposal, which stays pending.
		r.cfg.Env.Probe(probeAmbiguous)
		return kv.ErrorResponse(r.errorf(kv.Ambiguous, "proposal %s in flight: %s", p.id, err)), answered
	case why == RejectLeaseSequence || why == RejectLeaseIndex:
		return nil, leaseLost
	case why == RejectGCThreshold:
		e := r.errorf(kv.ReadBelowGC, "written at %s", cmd.WriteTS)
		e.Timestamp = r.state.GCThreshold
		return kv.ErrorResponse(e), answered
	case why != Applied:
		panic("replica: a write was rejected: " + why.String())
	}
	t.Yield("applied, before answer")
	return ev.response(), answered
}

func (r *Replica) checkBounds(ba *kv.BatchRequest) *kv.Error {
	for i, q := range ba.Requests {
		if !r.state.Desc.ContainsSpan(q.Span()) {
			e := r.errorf(kv.RangeKeyMismatch, "%s is not in the range", q.Span())
			e.Index, e.Descs = int32(i), []*kv.RangeDescriptor{r.state.Desc}
			return e
		}
	}
	return nil
}

// sendAdmin serves requests about the range itself.
func (r *Replica) sendAdmin(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if r.gone {
		return kv.ErrorResponse(r.elsewhere())
	}
	if err := r.checkBounds(ba); err != nil {
		return kv.ErrorResponse(err)
	}
	switch q := ba.Requests[0].(type) {
	case *kv.TransferLeaseRequest:
		l, err := r.TransferLease(t, q.Target)
		if err != nil {
			return kv.ErrorResponse(err)
		}
		return &kv.BatchResponse{Lease: &l, Responses: []kv.Response{&kv.TransferLeaseResponse{Lease: l}}}
	case *kv.RequestLeaseRequest:
		if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
			return kv.ErrorResponse(err)
		}
		l := r.state.Lease
		return &kv.BatchResponse{Lease: &l, Responses: []kv.Response{&kv.RequestLeaseResponse{Lease: l}}}
	case *kv.AdminSplitRequest:
		if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
			return kv.ErrorResponse(err)
		}
		at, err := r.cfg.Host.Split(t, r, q.SplitKey)
		if err != nil {
			return kv.ErrorResponse(err)
		}
		return &kv.BatchResponse{Responses: []kv.Response{&kv.AdminSplitResponse{SplitKey: at}}}
	case *kv.AdminMergeRequest:
		if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
			return kv.ErrorResponse(err)
		}
		d, err := r.cfg.Host.Merge(t, r)
		if err != nil {
			return kv.ErrorResponse(err)
		}
		return &kv.BatchResponse{Responses: []kv.Response{&kv.AdminMergeResponse{Desc: *d}}}
	case *kv.RangeStatsRequest:
		if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
			return kv.ErrorResponse(err)
		}
		return &kv.BatchResponse{Responses: []kv.Response{&kv.RangeStatsResponse{
			Desc: *r.state.Desc, Bytes: r.state.Stats.Total(), Requests: r.Load().Requests}}}
	case *kv.SubsumeRequest:
		resp, err := r.Subsume(t, q)
		if err != nil {
			return kv.ErrorResponse(err)
		}
		return &kv.BatchResponse{Responses: []kv.Response{resp}}
	}
	if q, ok := ba.Requests[0].(*kv.AdminChangeReplicasRequest); ok {
		return r.sendChange(t, q)
	}
	return kv.ErrorResponse(r.errorf(kv.BadRequest, "%s is not served here", ba.Requests[0].Method()))
}

func (r *Replica) sendChange(t env.Task, q *kv.AdminChangeReplicasRequest) *kv.BatchResponse {
	if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
		return kv.ErrorResponse(err)
	}
	d, err := r.cfg.Host.ChangeReplicas(t, r, q)
	if err != nil {
		return kv.ErrorResponse(err)
	}
	return &kv.BatchResponse{Responses: []kv.Response{&kv.AdminChangeReplicasResponse{Desc: *d}}}
}
