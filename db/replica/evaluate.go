package replica

import (
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// evaluation turns the requests of one batch into responses, into a storage batch of
// what they write, and into the effects of that. It changes nothing itself.
//
// A batch of a transaction is evaluated at the transaction's timestamps, any other at
// one that is stated or chosen here.
type evaluation struct {
	r    *Replica
	call *call
	now  hlc.Timestamp // of this node's clock

	txn *kv.Txn // own copy, whose timestamps and status move
	// ts is that of reads, and of the versions of whoever has no transaction.
	ts          hlc.Timestamp
	least       hlc.Timestamp // for ts, where it is chosen here
	uncertainty mvcc.Uncertainty
	onePhase    bool // the batch is a whole transaction, whose versions are committed at once
	twoPhases   bool // and that was found to be impossible

	batch     storage.Batch
	reader    storage.Reader
	writer    mvcc.Writer
	effects   effects
	divided   *Split              // what the commit's trigger does; nil: it has none
	changed   *kv.RangeDescriptor // likewise
	joined    *Merge              // likewise
	threshold hlc.Timestamp       // what the range's GC threshold is raised to
	responses []kv.Response
	cost      int64 // of what was looked at, ns
	// left is what requests with limits may still return or change; full says that
	// nothing is. Zero fields of left do not bind.
	left mvcc.Limit
	full bool

	// Why it failed, beside the error:
	conflicts  []kv.Lock // locks of others are in the way
	waitFor    *kv.Txn   // the push has to wait for this one
	queryWaits bool      // the query waits for news, its latches are given back
	rollback   bool      // of what may be committed
}

// maxForwards bounds how often one evaluation is begun again at a higher timestamp.
const maxForwards = 10

// run evaluates all requests, or fails as a whole.
func (ev *evaluation) run() *kv.Error {
	for n := 0; ; n++ {
		err := ev.prepare()
		if err == nil {
			err = ev.all()
		}
		if err == nil || n == maxForwards || !ev.forward(err) {
			return err
		}
	}
}

// prepare begins anew: timestamps first, since what follows depends on them.
func (ev *evaluation) prepare() *kv.Error {
	r, ba := ev.r, ev.call.ba
	ev.now = r.cfg.Clock.Now()
	switch {
	case ev.call.txn != nil:
		if ev.txn == nil {
			txn := *ev.call.txn
			ev.txn = &txn
		}
	case !ba.Timestamp.IsEmpty():
		// A stated timestamp must not lie in the future, where writes may yet land.
		if err := r.cfg.Clock.Update(ba.Timestamp); err != nil {
			e := r.errorf(kv.TimestampTooFarAhead, "%s", err)
			e.Timestamp = r.cfg.Clock.Last()
			return e
		}
		ev.ts = ba.Timestamp
	default:
		ev.ts = ev.now.Forward(ev.least)
	}
	ev.batch.Reset()
	ev.effects, ev.conflicts, ev.divided, ev.joined, ev.changed = effects{}, nil, nil, nil, nil
	ev.left, ev.full = mvcc.Limit{Keys: ba.MaxKeys, Bytes: ba.MaxBytes}, false
	ev.responses = make([]kv.Response, 0, len(ba.Requests))
	ev.forwardPastReads()
	if ev.txn != nil {
		ev.ts = ev.txn.ReadTS
	}
	ev.onePhase = !ev.twoPhases && ev.mayBeOnePhase()
	ev.uncertainty = ev.interval()
	ev.reader = r.engine
	if ev.readsOwnWrites() {
		ev.reader = r.engine.NewOverlay(&ev.batch)
	}
	ev.writer = mvcc.Writer{Reader: ev.reader, Batch: &ev.batch, Local: ev.now}
	if !ev.onePhase {
		ev.writer.Txn = ev.txn
	}
	if err := ev.checkThreshold(); err != nil {
		return err
	}
	return ev.checkAbortSpan()
}

// readsOwnWrites reports that a request may have to see what one before it writes. The
// end of a transaction in one phase looks at its record alone, and at locks on keys that
// the batch does not write.
func (ev *evaluation) readsOwnWrites() bool {
	all := ev.call.ba.Requests
	if ev.onePhase {
		all = all[:len(all)-1]
	}
	for i := 1; i < len(all); i++ {
		if q := all[i-1]; q.Method().Writes() || kv.LockOf(q).Lock != kv.LockNone { // reads that lock may write locks
			return true
		}
	}
	return false
}

// forwardPastReads moves writes above what others have read.
func (ev *evaluation) forwardPastReads() {
	for _, q := range ev.call.ba.Requests {
		if !q.Method().Intents() {
			continue
		}
		m := ev.r.reads.Max(q.Span())
		if ev.txn == nil {
			ev.ts = m.Allows(ev.ts, keys.TxnID{})
		} else if to := m.Allows(ev.txn.WriteTS, ev.txn.ID); ev.txn.WriteTS.Less(to) {
			ev.r.cfg.Env.Probe(probeWriteForwarded)
			ev.txn.WriteTS = to
		}
	}
	if ev.txn != nil && ev.txn.ReadTS.Less(ev.txn.WriteTS) && ev.mayForward() {
		ev.txn.ReadTS = ev.txn.WriteTS
	}
}

// mayForward reports that nothing depends on the transaction's read timestamp yet.
func (ev *evaluation) mayForward() bool {
	return ev.call.ba.CanForwardReadTS && !ev.txn.ReadTSFixed
}

// forward prepares for another evaluation at a timestamp at which the error would not
// be met, and reports whether that may be done.
func (ev *evaluation) forward(err *kv.Error) bool {
	if ev.onePhase && (err.Kind == kv.WriteTooOld || err.Kind == kv.LockConflict) {
		// In one phase nobody's own replicated locks are known from others'.
		ev.twoPhases = true
		return true
	}
	to := hlc.Timestamp{}
	switch {
	case err.Kind == kv.WriteTooOld:
		to = err.Detail.ActualTS
	case err.Kind == kv.Uncertainty:
		to = err.Detail.ValueTS.Next()
	case err.Kind == kv.TransactionRetry && err.Detail.Retry == kv.RetrySerializable && ev.txn != nil:
		to = ev.txn.WriteTS
	}
	if to.IsEmpty() || !ev.r.leaseCovers(to) {
		return false
	}
	if ev.txn == nil {
		ev.least = to
		return ev.call.ba.Timestamp.IsEmpty()
	}
	if !ev.mayForward() || to.LessEq(ev.txn.ReadTS) {
		return false
	}
	ev.r.cfg.Env.Probe(probeForwarded)
	ev.txn.Refreshed(to)
	return true
}

// interval is what reads are uncertain of. What was written when this node's clock was
// past the reading that the transaction took is certainly later than its beginning; so
// is what was written after the lease began, and after a range was taken in, but of what
// was written before, the local timestamps are those of other clocks.
func (ev *evaluation) interval() mvcc.Uncertainty {
	limit, local := ev.ts, ev.now
	switch {
	case ev.txn != nil:
		limit = ev.txn.GlobalLimit
		local, _ = ev.txn.ObservedAt(ev.r.cfg.NodeID)
	case ev.call.ba.Timestamp.IsEmpty():
		limit = ev.call.began.Add(ev.r.cfg.Clock.MaxOffset())
	}
	if limit.LessEq(ev.ts) {
		return mvcc.Uncertainty{}
	}
	return mvcc.Uncertainty{GlobalLimit: limit, LocalLimit: local.Forward(ev.r.state.Lease.Start).Forward(ev.r.observable).Backward(limit)}
}

// checkThreshold refuses to look at what may have been collected.
func (ev *evaluation) checkThreshold() *kv.Error {
	gc := ev.r.state.GCThreshold
	if gc.IsEmpty() {
		return nil
	}
	for _, q := range ev.call.ba.Requests {
		ts := ev.ts
		switch q := q.(type) {
		case *kv.QueryIntentRequest, *kv.QueryTxnRequest:
			continue
		case *kv.RefreshRequest:
			ts = q.RefreshFrom
		case *kv.RefreshRangeRequest:
			ts = q.RefreshFrom
		default:
			if !q.Method().Reads() && !q.Method().Intents() {
				continue
			}
		}
		if mvcc.CheckReadable(ts, gc) != nil {
			e := ev.r.errorf(kv.ReadBelowGC, "")
			e.Timestamp = gc
			return e
		}
	}
	return nil
}

// all evaluates request after request.
func (ev *evaluation) all() *kv.Error {
	for i, q := range ev.call.ba.Requests {
		if ev.txn != nil {
			ev.txn.Sequence = q.Seq()
		}
		resp, err := ev.one(q)
		if err != nil {
			e := *ev.failed(q, err)
			e.Index = int32(i)
			return &e
		}
		if ev.txn != nil && !ev.onePhase {
			// A write that met its own intent above stays there.
			ev.txn.WriteTS = ev.txn.WriteTS.Forward(ev.writer.Written)
		}
		ev.responses = append(ev.responses, resp)
	}
	return nil
}

// Responses without content, shared: responses are immutable.
var (
	putResponse            = &kv.PutResponse{}
	conditionalPutResponse = &kv.ConditionalPutResponse{}
	initPutResponse        = &kv.InitPutResponse{}
)

//house:flat one case a method
func (ev *evaluation) one(q kv.Request) (kv.Response, error) {
	switch q := q.(type) {
	case *kv.GetRequest:
		return ev.get(q)
	case *kv.ScanRequest:
		rows, resume, err := ev.scan(q.Span(), q.Locking, mvcc.ScanWith)
		return &kv.ScanResponse{Rows: rows, Resume: resume}, err
	case *kv.ReverseScanRequest:
		rows, resume, err := ev.scan(q.Span(), q.Locking, mvcc.ReverseScanWith)
		return &kv.ReverseScanResponse{Rows: rows, Resume: resume}, err
	case *kv.PutRequest:
		return putResponse, ev.wrote(q, ev.writer.Put(q.Key, ev.ts, q.Value))
	case *kv.DeleteRequest:
		existed, err := ev.writer.Delete(q.Key, ev.ts)
		return &kv.DeleteResponse{Existed: existed}, ev.wrote(q, err)
	case *kv.ConditionalPutRequest:
		return conditionalPutResponse, ev.wrote(q, ev.writer.ConditionalPut(q.Key, ev.ts, q.Value, q.Expected, q.ExpectedExists))
	case *kv.InitPutRequest:
		return initPutResponse, ev.wrote(q, ev.writer.InitPut(q.Key, ev.ts, q.Value, false))
	case *kv.IncrementRequest:
		sum, err := ev.writer.Increment(q.Key, ev.ts, q.By)
		return &kv.IncrementResponse{Value: sum}, ev.wrote(q, err)
	case *kv.DeleteRangeRequest:
		return ev.deleteRange(q)
	case *kv.RefreshRequest:
		return &kv.RefreshResponse{}, mvcc.Refresh(ev.reader, q.Span(), q.RefreshFrom, ev.ts, ev.txn.ID)
	case *kv.RefreshRangeRequest:
		return &kv.RefreshRangeResponse{}, mvcc.Refresh(ev.reader, q.Span(), q.RefreshFrom, ev.ts, ev.txn.ID)
	case *kv.QueryIntentRequest:
		return ev.queryIntent(q)
	case *kv.ResolveIntentRequest:
		return ev.resolveIntent(q)
	case *kv.ResolveIntentRangeRequest:
		return ev.resolveIntentRange(q)
	case *kv.GCRequest:
		return ev.collect(q)
	case *kv.HeartbeatTxnRequest:
		return ev.heartbeatTxn(q)
	case *kv.EndTxnRequest:
		return ev.endTxn(q)
	case *kv.PushTxnRequest:
		return ev.pushTxn(q)
	case *kv.QueryTxnRequest:
		return ev.queryTxn(q)
	case *kv.RecoverTxnRequest:
		return ev.recoverTxn(q)
	}
	return nil, kv.Errorf(kv.BadRequest, "%s cannot be evaluated", q.Method())
}

// wrote notes the lock that a write of a transaction leaves.
func (ev *evaluation) wrote(q kv.Request, err error) error {
	if err == nil && ev.writer.Txn != nil {
		ev.effects.acquire(q.Span().Key, ev.txn.TxnMeta, kv.LockIntent, kv.Replicated)
	}
	return err
}

func (ev *evaluation) options(l kv.Locking) mvcc.ReadOptions {
	o := mvcc.ReadOptions{Txn: ev.txn, Uncertainty: ev.uncertainty, Committed: ev.call.ba.WaitPolicy == kv.WaitCommitted}
	if ev.txn != nil && l.Lock != kv.LockNone {
		o.Lock, o.FailOnMoreRecent = l.Lock, true
		o.SkipLocked = ev.call.ba.WaitPolicy == kv.WaitSkip
	}
	return o
}

func (ev *evaluation) get(q *kv.GetRequest) (kv.Response, error) {
	o := ev.options(q.Locking)
	v, err := mvcc.GetWith(ev.reader, q.Key, ev.ts, o)
	if err != nil || v.Exists && o.SkipLocked && ev.locked(q.Key, o.Lock) {
		return &kv.GetResponse{}, err
	}
	ev.charge(env.ClassByte, int64(len(v.Bytes)))
	if v.Exists {
		err = ev.lock(q.Key, q.Locking)
	}
	return &kv.GetResponse{Value: v.Bytes, Exists: v.Exists, Timestamp: v.Timestamp}, err
}

// locked reports that others have a lock that is not replicated, for a read that
// leaves out what is locked.
func (ev *evaluation) locked(k keys.Key, s kv.LockStrength) bool {
	_, locked := ev.r.requests.Locked(ev.call.ticket, k, s)
	return locked
}

// lock takes the lock that a read asks for on what it found.
func (ev *evaluation) lock(k keys.Key, l kv.Locking) error {
	if ev.txn == nil || l.Lock == kv.LockNone {
		return nil
	}
	ev.effects.acquire(k, ev.txn.TxnMeta, l.Lock, l.Durability)
	if l.Durability == kv.Replicated && !ev.onePhase {
		return ev.writer.AcquireLock(k, l.Lock)
	}
	return nil
}

// scanner is mvcc.ScanWith or mvcc.ReverseScanWith.
type scanner func(storage.Reader, keys.Span, hlc.Timestamp, mvcc.Limit, mvcc.ReadOptions) ([]kv.KeyValue, keys.Span, error)

// scan reads rows within what the batch's limits leave. A scan for which nothing
// is left returns its whole span to be resumed.
func (ev *evaluation) scan(s keys.Span, l kv.Locking, of scanner) ([]kv.KeyValue, keys.Span, error) {
	if ev.full {
		return nil, s, nil
	}
	o := ev.options(l)
	rows, resume, err := of(ev.reader, s, ev.ts, ev.left, o)
	var size int64
	kept := rows[:0]
	for i := range rows {
		if o.SkipLocked && ev.locked(rows[i].Key, o.Lock) {
			continue
		}
		if err == nil {
			err = ev.lock(rows[i].Key, l)
		}
		kept = append(kept, rows[i])
		size += int64(len(rows[i].Key) + len(rows[i].Value))
	}
	ev.charge(env.ClassKey, int64(len(rows)))
	ev.charge(env.ClassByte, size)
	ev.take(int64(len(kept)), size)
	return kept, resume, err
}

// take takes what a request returned, or changed, off the limits.
func (ev *evaluation) take(n, size int64) {
	if ev.left.Keys > 0 {
		ev.left.Keys -= n
		ev.full = ev.full || ev.left.Keys <= 0
	}
	if ev.left.Bytes > 0 {
		ev.left.Bytes -= size
		ev.full = ev.full || ev.left.Bytes <= 0
	}
}

func (ev *evaluation) deleteRange(q *kv.DeleteRangeRequest) (kv.Response, error) {
	if ev.full {
		return &kv.DeleteRangeResponse{Resume: q.Span()}, nil
	}
	deleted, resume, err := ev.writer.DeleteRange(q.Span(), ev.ts, ev.left.Keys)
	if err == nil && ev.writer.Txn != nil {
		for _, k := range deleted {
			ev.effects.acquire(k, ev.txn.TxnMeta, kv.LockIntent, kv.Replicated)
		}
	}
	ev.charge(env.ClassKey, int64(len(deleted)))
	ev.take(int64(len(deleted)), 0)
	return &kv.DeleteRangeResponse{Count: int64(len(deleted)), Resume: resume}, err
}

// writtenAt is the timestamp by which the command is judged: that of the versions, if
// clients' versions are among what it writes.
func (ev *evaluation) writtenAt() hlc.Timestamp {
	for _, q := range ev.call.ba.Requests {
		if q.Method().Intents() {
			if ev.txn != nil {
				return ev.txn.WriteTS
			}
			return ev.ts
		}
	}
	return ev.now
}

// ackEarly reports that the answer need not wait for consensus: the coordinator will
// ask for a proof.
func (ev *evaluation) ackEarly() bool {
	ba := ev.call.ba
	return ba.AsyncConsensus && ba.Txn != nil && ba.EndTxn() == nil
}

// news is what the evaluation means for the transaction; nil without one.
func (ev *evaluation) news() *kv.Txn {
	if ev.txn != nil {
		ev.txn.Sequence = ev.call.ba.Txn.Sequence
	}
	return ev.txn
}

func (ev *evaluation) response() *kv.BatchResponse {
	return &kv.BatchResponse{Timestamp: ev.ts, Responses: ev.responses, Txn: ev.news()}
}
