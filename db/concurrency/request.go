package concurrency

import (
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// Request is what this room needs to know of a batch. It must not be changed while a
// ticket for it is in use.
type Request struct {
	// Txn sends the batch; nil: nobody's transaction. If the batch locks anything it has
	// an anchor: others find out there what has become of it, and without one could not
	// find a deadlock.
	Txn *kv.Txn
	// ReadTS is up to where reads look: the read timestamp, or the end of the
	// uncertainty interval, since an intent in there may be committed already.
	ReadTS hlc.Timestamp
	// WaitPolicy says what is done about the locks of others.
	WaitPolicy kv.WaitPolicy
	// LockTimeout is how long to wait at any one lock; 0: as long as it takes.
	LockTimeout time.Duration

	Latches []Latch
	Locks   []LockSpan

	// Push and Query are set for a batch that is exactly that: it may wait in the
	// transaction wait queue.
	Push  *kv.PushTxnRequest
	Query *kv.QueryTxnRequest
}

// LockSpan says which locks of others, in a span, a request cannot pass.
type LockSpan struct {
	Span keys.Span
	// Strength is that of the lock the request is to take; LockNone: it reads.
	Strength kv.LockStrength
}

// Set describes a batch that reads at ts, reusing the memory of the request. now is
// the timestamp of a batch that states none.
func (r *Request) Set(ba *kv.BatchRequest, now hlc.Timestamp) {
	*r = Request{Txn: ba.Txn, ReadTS: now, WaitPolicy: ba.WaitPolicy, LockTimeout: ba.LockTimeout,
		Latches: r.Latches[:0], Locks: r.Locks[:0]}
	switch {
	case ba.Txn != nil:
		r.ReadTS = ba.Txn.ReadTS.Forward(ba.Txn.GlobalLimit)
	case !ba.Timestamp.IsEmpty():
		r.ReadTS = ba.Timestamp
	}
	for _, q := range ba.Requests {
		r.add(q)
	}
	if len(ba.Requests) == 1 {
		r.Push, _ = ba.Requests[0].(*kv.PushTxnRequest)
		r.Query, _ = ba.Requests[0].(*kv.QueryTxnRequest)
	}
}

// add notes what one request claims. Those that concern a transaction's record claim
// the record, and not its anchor, which is a key like others.
func (r *Request) add(q kv.Request) {
	s := q.Span()
	access := Read
	if q.Method().Writes() {
		access = Write
	}
	record := func(id keys.TxnID, a Access) {
		r.Latches = append(r.Latches, Latch{keys.Span{Key: keys.TxnRecordKey(s.Key, id)}, a})
	}
	switch q := q.(type) {
	case *kv.GetRequest, *kv.ScanRequest, *kv.ReverseScanRequest:
		if r.WaitPolicy == kv.WaitCommitted {
			break
		}
		strength := kv.LockOf(q).Lock
		if strength != kv.LockNone && r.Txn != nil {
			access = Write // two who lock the same key come one after the other
		}
		r.Locks = append(r.Locks, LockSpan{s, strength})
	case *kv.QueryTxnRequest:
		record(q.Txn.ID, Read)
		return
	case *kv.PushTxnRequest:
		record(q.Pushee.ID, Write)
		return
	case *kv.RecoverTxnRequest:
		record(q.Txn.ID, Write)
		return
	case *kv.HeartbeatTxnRequest:
		record(r.txnID(), Write)
		return
	case *kv.EndTxnRequest:
		record(r.txnID(), Write)
		if len(q.InFlight) > 0 {
			return // staged: nothing is resolved, and writes in flight are not waited for
		}
		if t := q.Trigger; t != nil && t.Split != nil {
			// Nothing goes on in the range while it is divided, and what went on is applied.
			all := keys.Span{Key: t.Split.Left.StartKey, EndKey: t.Split.Right.EndKey}
			r.Latches = append(r.Latches, Latch{all, Write}, Latch{keys.RangeLocalSpan(all), Write})
		}
		if t := q.Trigger; t != nil && t.Merge != nil {
			// The left side stands still; the right side does so already. What was written
			// below its threshold may not be looked at while that is raised.
			left := keys.Span{Key: t.Merge.Left.StartKey, EndKey: t.Merge.Right.StartKey}
			r.Latches = append(r.Latches, Latch{left, Write}, Latch{keys.RangeLocalSpan(left), Write})
		}
		for _, l := range q.LockSpans { // its locks in this range are resolved with it
			r.Latches = append(r.Latches, Latch{l, Write})
		}
		return
	case *kv.GCRequest: // what it deletes, and not all that it is addressed by
		for _, g := range q.Keys {
			r.Latches = append(r.Latches, Latch{keys.Span{Key: g.Key}, Write})
		}
		return
	default:
		if q.Method().Intents() {
			r.Locks = append(r.Locks, LockSpan{s, kv.LockIntent})
		}
	}
	r.Latches = append(r.Latches, Latch{s, access})
}

// txnID is the identity of the sender, zero without a transaction.
func (r *Request) txnID() keys.TxnID {
	if r.Txn == nil {
		return keys.TxnID{}
	}
	return r.Txn.ID
}

// meta is what the sender tells of itself, zero without a transaction.
func (r *Request) meta() kv.TxnMeta {
	if r.Txn == nil {
		return kv.TxnMeta{}
	}
	return r.Txn.TxnMeta
}
