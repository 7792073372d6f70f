package replica

import (
	"simulacrum/db/concurrency"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// maxEvaluations bounds how often one batch is evaluated because the lease went
// away under it; then the client is sent to look for the range anew.
const maxEvaluations = 8

// Send serves a batch. It is the whole life of a request at its replica:
//
//	bounds -> lease (acquire, or redirect) -> latches -> lease again, timestamp
//	   -> evaluate -> [read: answer]
//	               -> propose, wait until applied -> answer
//
// The latches of a write go to its proposal and are released when its fate is
// known, in the callback that applies it.
func (r *Replica) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	r.cfg.Env.Charge(env.ClassRequest, 1)
	br := r.send1(t, ba)
	if br.Err != nil && br.Err.RangeID == 0 {
		br.Err.RangeID = r.rangeID
	}
	return br
}

func (r *Replica) send1(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if ba.Admin() {
		return r.sendAdmin(t, ba)
	}
	var buf [4]concurrency.Latch
	latches := buf[:0]
	write := false
	for _, q := range ba.Requests {
		l := concurrency.Latch{Span: q.Span()}
		if q.Method().Writes() {
			l.Access, write = concurrency.Write, true
		}
		latches = append(latches, l)
	}
	for i := 0; i < maxEvaluations; i++ {
		if err := r.checkBounds(ba); err != nil {
			return kv.ErrorResponse(err)
		}
		if err := r.awaitLease(t); err != nil {
			return kv.ErrorResponse(err)
		}
		t.Yield("lease held, before latches")
		guard, err := r.latches.Acquire(t, latches)
		if err != nil {
			return kv.ErrorResponse(r.errorf(kv.Timeout, "waiting for latches: %s", err))
		}
		t.Yield("latched, before evaluation")
		var br *kv.BatchResponse
		if write {
			br = r.write(t, ba, guard)
		} else {
			br = r.read(ba)
			r.latches.Release(guard)
		}
		if br != nil {
			return br
		}
	}
	return kv.ErrorResponse(r.notLeaseholder())
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

// read answers a batch that only reads, under latches. It returns nil if the lease
// went away while the batch waited.
//
// Latches make it wait for writes that came before, whatever their timestamps: one
// that is in flight below a stated timestamp must be seen.
func (r *Replica) read(ba *kv.BatchRequest) *kv.BatchResponse {
	ts := ba.Timestamp
	if !ts.IsEmpty() {
		// A stated timestamp must not lie in the future, where writes may yet land.
		if err := r.cfg.Clock.Update(ts); err != nil {
			e := r.errorf(kv.TimestampTooFarAhead, "%s", err)
			e.Timestamp = r.cfg.Clock.Last()
			return kv.ErrorResponse(e)
		}
	}
	now := r.cfg.Clock.Now()
	if r.LeaseStatus(now) != LeaseValid {
		return nil
	}
	if ts.IsEmpty() {
		ts = now
	}
	if gc := r.state.GCThreshold; !gc.IsEmpty() && ts.LessEq(gc) {
		e := r.errorf(kv.ReadBelowGC, "")
		e.Timestamp = gc
		return kv.ErrorResponse(e)
	}
	ev := evaluation{r: r, reader: r.engine}
	if err := ev.run(ba, ts); err != nil {
		return kv.ErrorResponse(err)
	}
	if o := r.cfg.Observer; o != nil {
		o.Served(r, ts, r.state.Lease.Sequence)
	}
	return &kv.BatchResponse{Timestamp: ts, Responses: ev.responses}
}

// write evaluates, proposes and waits. It owns the guard. It returns nil if the
// batch had no effect and may be evaluated again.
func (r *Replica) write(t env.Task, ba *kv.BatchRequest, guard *concurrency.Guard) *kv.BatchResponse {
	var b storage.Batch
	ev := evaluation{r: r, reader: r.engine}
	ev.writer = mvcc.Writer{Reader: r.engine, Batch: &b}
	if len(ba.Requests) > 1 {
		ev.reader = r.engine.NewOverlay(&b) // requests see the writes of those before
		ev.writer.Reader = ev.reader
	}
	sequence := r.state.Lease.Sequence
	ts := r.cfg.Clock.Now()
	if r.LeaseStatus(ts) != LeaseValid {
		r.latches.Release(guard)
		return nil
	}
	err := ev.run(ba, ts)
	if ev.tooOld != nil {
		// The clock is above all that was read and written here, normally, because it
		// was forwarded to the lease's start; but wall clocks step back across
		// restarts. Nothing may be written below what is there.
		r.cfg.Env.Probe(probeClockBehindWrites)
		r.cfg.Clock.Forward(ev.tooOld.Existing)
		r.latches.Release(guard)
		return nil
	}
	if err == nil && int64(b.Size()) > r.cfg.Tunables.MaxCommandBytes {
		err = r.errorf(kv.BadRequest, "the batch writes %d bytes", b.Size())
	}
	if err != nil || b.Empty() {
		r.latches.Release(guard)
		if err != nil {
			return kv.ErrorResponse(err)
		}
		if o := r.cfg.Observer; o != nil {
			o.Served(r, ts, sequence)
		}
		return &kv.BatchResponse{Timestamp: ts, Responses: ev.responses}
	}
	r.cfg.Env.Probe(probeEvaluated)
	t.Yield("evaluated, before proposing")
	if sequence != r.state.Lease.Sequence {
		// It is proposed all the same: what decides is the check below consensus,
		// which sees every change of lease, and not this one, which sees some.
		r.cfg.Env.Probe(probeLeaseMoved)
	}
	c := Command{Kind: KindWrite, LeaseSequence: sequence, WriteTS: ts, Stats: ev.writer.Stats, Batch: b.Repr()}
	r.wake(true)
	p := r.propose(&c, guard)
	why, werr := p.wait(t, "proposal")
	switch {
	case werr != nil:
		// The guard stays with the proposal, which stays pending.
		r.cfg.Env.Probe(probeAmbiguous)
		e := r.errorf(kv.Ambiguous, "proposal %s in flight: %s", p.id, werr)
		return kv.ErrorResponse(e)
	case why == RejectLeaseSequence || why == RejectLeaseIndex:
		return nil
	case why == RejectGCThreshold:
		e := r.errorf(kv.ReadBelowGC, "written at %s", ts)
		e.Timestamp = r.state.GCThreshold
		return kv.ErrorResponse(e)
	case why != Applied:
		panic("replica: a write was rejected: " + why.String())
	}
	t.Yield("applied, before answer")
	return &kv.BatchResponse{Timestamp: ts, Responses: ev.responses}
}

// sendAdmin serves requests about the range itself.
func (r *Replica) sendAdmin(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
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
		if err := r.awaitLease(t); err != nil {
			return kv.ErrorResponse(err)
		}
		l := r.state.Lease
		return &kv.BatchResponse{Lease: &l, Responses: []kv.Response{&kv.RequestLeaseResponse{Lease: l}}}
	}
	return kv.ErrorResponse(r.errorf(kv.BadRequest, "%s is not served here", ba.Requests[0].Method()))
}
