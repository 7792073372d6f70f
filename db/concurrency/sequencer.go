package concurrency

import (
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Transactions is how a sequencer reaches those that stand in the way, wherever their
// records are. The store gives it. Its methods wait, and end early when the task is
// cancelled; none has an effect on the caller's own batch, whatever its error.
type Transactions interface {
	// PushTxn sends the push to the pushee's record, recovers the pushee if it is
	// staging, and returns it as it then is. With WaitError it fails with
	// TransactionPush rather than wait. It fails with TransactionAborted if that is what
	// has become of the pusher.
	PushTxn(t env.Task, req *kv.PushTxnRequest, policy kv.WaitPolicy) (*kv.Txn, *kv.Error)
	// QueryTxn sends the query to the transaction's record.
	QueryTxn(t env.Task, req *kv.QueryTxnRequest) (*kv.QueryTxnResponse, *kv.Error)
	// ResolveLocks does to replicated locks what the updates say, and returns when that
	// is done.
	ResolveLocks(t env.Task, ups []kv.LockUpdate) *kv.Error
}

// Config is what the sequencers of a store share.
type Config struct {
	Env          env.Process
	Clock        *hlc.Clock
	Node         kv.NodeID
	Tunables     *Tunables
	Transactions Transactions
}

// Sequencer brings the requests of one range into an order in which none meets what
// conflicts with it. A request is sequenced before it is evaluated, and holds its
// ticket until its effect is in place.
//
//	Sequence:  [push or query? wait for the record] -> latches -> lock table -- free --> ticket
//	                                                    ^            | conflict
//	                                                    |      drop latches, wait; push the
//	                                                    +------ holder, resolve its lock
//	evaluation meets an intent:  HandleLockConflict, and Sequence again
//	a push does not succeed:     HandlePushConflict, and Sequence again
//	a query finds nothing new:   HandleQuery, and Sequence again
//
// A sequencer owns no task. Who waits is the request's own; what it sends to others
// while it waits is a task of its own, which ends with the wait.
//
// Whoever uses it checks the range's bounds and the lease after Sequence, since both
// may change during the wait.
type Sequencer struct {
	cfg     *Config
	latches Manager
	locks   LockTable
	waits   TxnWaitQueue
	// lease is the sequence of the lease under which locks are listed.
	lease int64
	free  []*Ticket
}

// Ticket is the right of a request to be evaluated: its latches, and its places at
// locks.
type Ticket struct {
	req   *Request
	latch *Guard // nil while it waits
	lock  LockGuard
	push  *PushWait  // entered already, by HandlePushConflict
	query *QueryWait // entered already, by HandleQuery
	asked bool       // the query has waited
}

// Request is what the ticket is for.
func (tk *Ticket) Request() *Request { return tk.req }

// NewSequencer is a sequencer for one range.
func NewSequencer(cfg *Config) *Sequencer {
	return &Sequencer{cfg: cfg, locks: LockTable{limit: cfg.Tunables.LockLimit}}
}

// Sequence waits until the request may be evaluated. tk is nil the first time, and the
// ticket that a handler was given when it comes again, which keeps its places.
//
// If the request needs no evaluation any more (a push whose pushee has yielded) a
// response is returned instead of a ticket; if it must not go on, an error. Then the
// ticket is finished.
func (s *Sequencer) Sequence(t env.Task, tk *Ticket, req *Request) (*Ticket, *kv.BatchResponse, *kv.Error) {
	if tk == nil {
		tk = s.ticket(req)
	}
	for {
		if req.Push != nil || tk.query != nil {
			if br, err := s.awaitRecord(t, tk); br != nil || err != nil {
				s.Finish(tk)
				return nil, br, err
			}
		}
		latch, err := s.latches.Acquire(t, req.Latches)
		if err != nil {
			s.Finish(tk)
			return nil, nil, kv.Errorf(kv.Timeout, "waiting for latches: %s", err)
		}
		tk.latch = latch
		wait := s.locks.Scan(&tk.lock)
		s.wake()
		if !wait && len(tk.lock.resolve) == 0 {
			return tk, nil, nil
		}
		s.dropLatches(tk)
		if err := s.awaitLocks(t, tk); err != nil {
			s.Finish(tk)
			return nil, nil, err
		}
	}
}

// HandleLockConflict is for a request whose evaluation, under the lease of the given
// sequence, met locks of others. It gives the latches back. Sequence again.
func (s *Sequencer) HandleLockConflict(tk *Ticket, locks []kv.Lock, lease int64) {
	if lease == s.lease {
		s.cfg.Env.Probe(probeDiscovered)
		s.locks.AddDiscovered(&tk.lock, locks)
	} else {
		s.cfg.Env.Probe(probeStaleLease)
	}
	s.dropLatches(tk)
	s.wake()
}

// HandlePushConflict is for a push that was evaluated and did not succeed, because of
// what pushee says. It gives the latches back; when the request is sequenced again, it
// waits for the pushee. The latches on the record exclude that it changes in between.
func (s *Sequencer) HandlePushConflict(tk *Ticket, pushee *kv.Txn) {
	tk.push = s.waits.Enqueue(tk.req.Push, pushee)
	s.dropLatches(tk)
}

// HandleQuery is for a query that was evaluated, and found the record as txn says. If
// there is nothing to answer yet it gives the latches back and returns true: the query
// waits for news when it is sequenced again, once, and is then evaluated and answered.
func (s *Sequencer) HandleQuery(tk *Ticket, txn *kv.Txn) (wait bool) {
	if tk.asked {
		return false
	}
	tk.asked = true
	tk.query = s.waits.Query(tk.req.Query, txn)
	if tk.query == nil {
		return false
	}
	s.dropLatches(tk)
	return true
}

// Locked is for a request that skips what is locked: who holds the key, or has
// reserved it.
func (s *Sequencer) Locked(tk *Ticket, k keys.Key, strength kv.LockStrength) (kv.TxnMeta, bool) {
	return s.locks.Locked(&tk.lock, k, strength)
}

// Dependents are those who wait for the transaction here, for the answer to a query.
func (s *Sequencer) Dependents(id keys.TxnID) []keys.TxnID { return s.waits.Dependents(id) }

// Finish gives all back that the ticket stands for. The ticket must not be used again.
func (s *Sequencer) Finish(tk *Ticket) {
	if tk.req == nil {
		panic("concurrency: ticket finished twice")
	}
	if tk.push != nil {
		s.waits.Leave(tk.push)
	}
	if tk.query != nil {
		s.waits.LeaveQuery(tk.query)
	}
	s.locks.Dequeue(&tk.lock)
	s.dropLatches(tk)
	s.wake()
	*tk = Ticket{lock: LockGuard{locks: tk.lock.locks[:0], found: tk.lock.found[:0], resolve: tk.lock.resolve[:0]}}
	if len(s.free) < keepFree {
		s.free = append(s.free, tk)
	}
}

func (s *Sequencer) ticket(req *Request) *Ticket {
	var tk *Ticket
	if n := len(s.free); n > 0 {
		tk = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		tk = new(Ticket)
	}
	tk.req, tk.lock.req = req, req
	return tk
}

func (s *Sequencer) dropLatches(tk *Ticket) {
	if tk.latch != nil {
		s.latches.Release(tk.latch)
		tk.latch = nil
	}
}

// wake tells the tasks whose waiting at locks has changed.
func (s *Sequencer) wake() { s.locks.Woken(wakeGuard) }

func wakeGuard(g *LockGuard) {
	if g.task != nil {
		g.task.Wake()
	}
}

// OnLockAcquired is for a lock that an evaluation took: in memory at once, or
// replicated when its command has applied. The request's ticket is still held.
func (s *Sequencer) OnLockAcquired(k keys.Key, txn kv.TxnMeta, strength kv.LockStrength, d kv.LockDurability) {
	s.locks.AcquireLock(k, txn, strength, d)
	s.wake()
}

// OnLockUpdated is for locks that were released or moved, when that has applied.
func (s *Sequencer) OnLockUpdated(u *kv.LockUpdate) {
	s.locks.UpdateLocks(u)
	s.wake()
}

// OnTxnUpdated is for a record in this range that was written, when that has applied.
func (s *Sequencer) OnTxnUpdated(txn *kv.Txn) {
	s.waits.Update(txn)
	if txn.Status.Finalized() {
		s.locks.TxnUpdated(kv.UpdateOf(txn, keys.Span{}))
	}
}

// OnLeaseChanged is for another lease, of the given sequence, that has applied, whoever
// holds it: what is known of locks is void, and all who wait go round.
func (s *Sequencer) OnLeaseChanged(sequence int64) {
	s.lease = sequence
	s.Clear()
}

// Clear lets all who wait go round, and forgets all locks, when the replica is removed.
func (s *Sequencer) Clear() {
	s.locks.Clear()
	s.waits.Clear()
	s.wake()
}

// OnSplit hands the locks on the user keys in right to the sequencer of the new range,
// and lets those who wait there, or for a record, go round.
func (s *Sequencer) OnSplit(to *Sequencer, right keys.Span) {
	s.locks.MoveTo(&to.locks, right)
	s.locks.MoveTo(&to.locks, keys.RangeLocalSpan(right))
	s.waits.Clear()
	s.wake()
}

// OnMerge takes over the locks of the range to the right, which is no more. Who waits
// there goes round.
func (s *Sequencer) OnMerge(from *Sequencer) {
	from.locks.MoveTo(&s.locks, keys.Span{EndKey: keys.Max})
	from.waits.Clear()
	from.wake()
}

// Latches are the latches alone, for those who need nothing else.
func (s *Sequencer) Latches() *Manager { return &s.latches }

// Locks is the lock table, for people and tests.
func (s *Sequencer) Locks() *LockTable { return &s.locks }

// Waits is the transaction wait queue, for people and tests.
func (s *Sequencer) Waits() *TxnWaitQueue { return &s.waits }

// String lists everything, for people.
func (s *Sequencer) String() string {
	return "latches:\n" + s.latches.String() + "locks:\n" + s.locks.String() + "waits:\n" + s.waits.String()
}

// lockConflict is the error of a request that does not wait for a lock.
func lockConflict(w *Wait, why string) *kv.Error {
	d := kv.Unreplicated
	if w.Durable {
		d = kv.Replicated
	}
	e := kv.Errorf(kv.LockConflict, "%s", why)
	e.Detail = &kv.ErrorDetail{Locks: []kv.Lock{{Key: w.Key, Txn: w.Txn, Strength: w.Strength, Durability: d}}}
	return e
}
