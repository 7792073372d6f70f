package concurrency

import (
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// lockWait is the waiting of one request at locks, in its own task: for news from the
// table, and for the moment to push who stands in the way.
type lockWait struct {
	s    *Sequencer
	t    env.Task
	tk   *Ticket
	at   Wait          // what was waited for when the clocks below were last set
	key  time.Duration // Mono, when the request came to wait at the key
	who  time.Duration // Mono, when it came to wait for at.Txn
	sent bool          // a push was sent since
}

// forever is longer than any run.
const forever = time.Duration(1<<63 - 1)

// awaitLocks waits until nothing that the table knows of stands in the way, and
// resolves what the last scan walked past. The request holds no latches.
func (s *Sequencer) awaitLocks(t env.Task, tk *Ticket) *kv.Error {
	if ups := tk.lock.resolve; len(ups) > 0 {
		s.cfg.Env.Probe(probeFinishedPassed)
		return s.resolve(t, append([]kv.LockUpdate(nil), ups...))
	}
	w := lockWait{s: s, t: t, tk: tk}
	tk.lock.task = t
	defer func() { tk.lock.task = nil }()
	for tk.lock.wait.Kind != WaitNone {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

// step waits until something happens, or does what the time has come for.
func (w *lockWait) step() *kv.Error {
	now := w.s.cfg.Env.Mono()
	cur := w.tk.lock.wait
	w.follow(cur, now)
	pushIn := w.pushIn(&cur, now)
	giveUpIn := forever
	if d := w.tk.req.LockTimeout; d > 0 {
		giveUpIn = w.key + d - now
	}
	switch {
	case giveUpIn <= 0:
		w.s.cfg.Env.Probe(probeLockTimeout)
		return w.touch(&cur, "lock timeout")
	case pushIn <= 0 && w.tk.req.WaitPolicy == kv.WaitError:
		return w.touch(&cur, "the key is locked")
	case pushIn <= 0:
		return w.push(&cur, w.request(&cur), kv.WaitBlock, giveUpIn)
	}
	d := min(pushIn, giveUpIn)
	if d == forever {
		d = -1
	}
	if err := w.t.Park("lock", d); err != nil && err != env.ErrTimeout {
		return kv.Errorf(kv.Timeout, "waiting for a lock at %s: %s", cur.Key, err)
	}
	return nil
}

// follow sets the clocks when the wait is for another key, or another transaction.
func (w *lockWait) follow(cur Wait, now time.Duration) {
	newKey := !cur.Key.Equal(w.at.Key) || w.at.Kind == WaitNone
	if newKey {
		w.key = now
	}
	if newKey || cur.Txn.ID != w.at.Txn.ID || cur.Kind != w.at.Kind {
		w.who, w.sent = now, false
		if cur.Kind == WaitHolder {
			w.s.cfg.Env.Probe(probeLockWait)
		} else {
			w.s.cfg.Env.Probe(probeReservationWait)
		}
	}
	w.at = cur
}

// pushIn is when to push: at once, if there is nothing to wait for; the first in line
// after the liveness delay, since the holder may be gone and nobody else finds out;
// the others after the delay for deadlocks. Requests without a transaction, and so
// without a record, cannot be pushed.
func (w *lockWait) pushIn(cur *Wait, now time.Duration) time.Duration {
	tun := w.s.cfg.Tunables
	if len(cur.Txn.Key) == 0 {
		return forever
	}
	d := tun.DeadlockDelay
	switch {
	case !w.sent && (w.tk.req.WaitPolicy == kv.WaitError || outranks(w.tk.req.meta(), cur.Txn.Priority)):
		return 0
	case cur.Head && cur.Kind == WaitHolder:
		d = min(d, tun.LivenessDelay)
	}
	return w.who + d - now
}

// request is the push: readers want the holder above what they read, others want it
// gone.
func (w *lockWait) request(cur *Wait) *kv.PushTxnRequest {
	req := &kv.PushTxnRequest{Key: cur.Txn.Key, Pusher: w.tk.req.meta(), Pushee: cur.Txn, Type: kv.PushAbort}
	req.PusherIsActive = len(req.Pusher.Key) > 0
	if w.tk.lock.reads() {
		req.Type, req.PushTo = kv.PushTimestamp, w.tk.req.ReadTS.Next()
	}
	return req
}

// touch finds out whether who stands in the way is alive, and if so fails.
func (w *lockWait) touch(cur *Wait, why string) *kv.Error {
	if len(cur.Txn.Key) == 0 {
		return lockConflict(cur, why)
	}
	req := w.request(cur)
	req.Type = kv.PushTouch
	err := w.push(cur, req, kv.WaitError, forever)
	if err != nil && err.Kind == kv.TransactionPush {
		return lockConflict(cur, why)
	}
	return err
}

// push sends a push and waits for its end, for the lock to be freed otherwise, or for
// limit to pass. It then does to the lock what the pushee's fate says.
func (w *lockWait) push(cur *Wait, req *kv.PushTxnRequest, policy kv.WaitPolicy, limit time.Duration) *kv.Error {
	// Read before the pushee's state is: what moves up was not there any later.
	observed := kv.ObservedTimestamp{NodeID: w.s.cfg.Node, TS: w.s.cfg.Clock.Now()}
	pushee, done, err := w.send(cur, req, policy, limit)
	w.who, w.sent = w.s.cfg.Env.Mono(), true // what comes next waits again
	switch {
	case err != nil && (err.Kind == kv.TransactionAborted || err.Kind == kv.TransactionPush && policy == kv.WaitError || w.t.Err() != nil):
		return err
	case err != nil:
		// That it did not arrive says nothing of the lock.
		w.s.cfg.Env.Probe(probePushFailed)
		return w.pause()
	case !done:
		return nil
	}
	up := kv.UpdateOf(pushee, keys.Span{Key: cur.Key})
	if up.Status == kv.Staging {
		up.Status = kv.Pending // it was pushed, or is to be asked again; it is not over
	}
	if up.Status == kv.Pending {
		// The lock met may be of an epoch that has not come to the record yet.
		up.Txn.Epoch = max(up.Txn.Epoch, cur.Txn.Epoch)
		up.ClockObservation = observed
	}
	w.s.locks.TxnUpdated(up)
	w.s.cfg.Env.Probe(probePushed)
	switch {
	case cur.Kind == WaitReservation:
		return nil // its request will find out, and leave
	case cur.Durable:
		return w.s.resolve(w.t, []kv.LockUpdate{up})
	}
	w.s.OnLockUpdated(&up)
	return nil
}

// send runs the push in a task of its own, which is given up when the wait is for
// something else before it ends. done is false then, and after limit.
func (w *lockWait) send(cur *Wait, req *kv.PushTxnRequest, policy kv.WaitPolicy, limit time.Duration) (pushee *kv.Txn, done bool, err *kv.Error) {
	abandoned := false
	child := w.s.cfg.Env.Go("push", func(t env.Task) {
		txn, e := w.s.cfg.Transactions.PushTxn(t, req, policy)
		if !abandoned {
			pushee, err, done = txn, e, true
			w.t.Wake()
		}
	})
	until := forever
	if limit != forever {
		until = w.s.cfg.Env.Mono() + limit
	}
	for !done {
		if now := w.tk.lock.wait; now.Kind != cur.Kind || now.Txn.ID != cur.Txn.ID || !now.Key.Equal(cur.Key) {
			w.s.cfg.Env.Probe(probePushInterrupted)
			break
		}
		d := time.Duration(-1)
		if until != forever {
			if d = until - w.s.cfg.Env.Mono(); d <= 0 {
				break
			}
		}
		if e := w.t.Park("push", d); e != nil && e != env.ErrTimeout && !done {
			err = kv.Errorf(kv.Timeout, "waiting for %s at %s: %s", cur, cur.Key, e)
			break
		}
	}
	if !done {
		abandoned = true
		child.Cancel(env.ErrCanceled)
	}
	return pushee, done, err
}

// pause waits a while before something is tried again.
func (w *lockWait) pause() *kv.Error {
	if err := w.t.Sleep(max(w.s.cfg.Tunables.DeadlockDelay, time.Millisecond)); err != nil {
		return kv.Errorf(kv.Timeout, "waiting for a lock at %s: %s", w.at.Key, err)
	}
	return nil
}

// resolve has replicated locks resolved, and takes notice of that.
func (s *Sequencer) resolve(t env.Task, ups []kv.LockUpdate) *kv.Error {
	if err := s.cfg.Transactions.ResolveLocks(t, ups); err != nil {
		if t.Err() != nil {
			return kv.Errorf(kv.Timeout, "resolving locks: %s", err)
		}
		s.cfg.Env.Probe(probePushFailed)
		if e := t.Sleep(max(s.cfg.Tunables.DeadlockDelay, time.Millisecond)); e != nil {
			return kv.Errorf(kv.Timeout, "resolving locks: %s", e)
		}
		return nil // the locks still stand, and are met again
	}
	for i := range ups {
		s.OnLockUpdated(&ups[i])
	}
	return nil
}
