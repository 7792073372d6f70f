package concurrency

import (
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// awaitRecord lets a push, or a query, wait at the record that it concerns. It returns
// neither response nor error if the request is to be evaluated.
func (s *Sequencer) awaitRecord(t env.Task, tk *Ticket) (*kv.BatchResponse, *kv.Error) {
	if tk.query != nil {
		x := tk.query
		tk.query = nil
		return nil, s.awaitQuery(t, x)
	}
	p := tk.push
	tk.push = nil
	if p == nil && tk.req.WaitPolicy == kv.WaitBlock {
		p = s.waits.Push(tk.req.Push)
	}
	if p == nil {
		return nil, nil
	}
	pushee, err := s.awaitPush(t, p)
	if pushee == nil || err != nil {
		return nil, err
	}
	return &kv.BatchResponse{Responses: []kv.Response{&kv.PushTxnResponse{Pushee: *pushee}}}, nil
}

// awaitPush waits until the push has come to something. It returns the pushee if it
// has yielded, and nil if the push is to be evaluated.
func (s *Sequencer) awaitPush(t env.Task, p *PushWait) (*kv.Txn, *kv.Error) {
	p.task = t
	defer func() {
		p.task = nil
		s.waits.Leave(p)
	}()
	// One that has locked nothing has no record, and nobody waits for it.
	if p.pusher.ID != (keys.TxnID{}) && len(p.pusher.Key) > 0 {
		child := s.cfg.Env.Go("query pusher", func(ct env.Task) { s.followPusher(ct, p) })
		defer child.Cancel(env.ErrCanceled)
	}
	for {
		switch p.state {
		case PushAnswered:
			return p.pushee, nil
		case PushEvaluate:
			return nil, nil
		case PushPusherEnd:
			s.cfg.Env.Probe(probePusherAborted)
			return nil, kv.AbortedError(kv.AbortRecordFound, "while it waited for %s", kv.FormatTxnID(p.req.Pushee.ID))
		case PushDeadlock:
			pushee, err := s.breakDeadlock(t, p)
			if pushee != nil || err != nil {
				return pushee, err
			}
			return nil, nil
		}
		left := s.waits.Expires(p, s.cfg.Clock.Now(), s.cfg.Tunables.Expiration)
		if left == 0 {
			s.cfg.Env.Probe(probePusheeExpired)
			continue
		}
		// Not for less than this: the hybrid clock stands still while the wall clock is behind
		// it, and the time left with it.
		if err := t.Park("pushee", max(left, time.Millisecond)); err != nil && err != env.ErrTimeout {
			return nil, kv.Errorf(kv.Timeout, "waiting for transaction %s: %s", kv.FormatTxnID(p.req.Pushee.ID), err)
		}
	}
}

// breakDeadlock aborts the pushee. If that does not succeed the push begins anew.
func (s *Sequencer) breakDeadlock(t env.Task, p *PushWait) (*kv.Txn, *kv.Error) {
	s.cfg.Env.Probe(probeDeadlock)
	force := *p.req
	force.Type, force.Force, force.Pusher = kv.PushAbort, true, p.pusher
	pushee, err := s.cfg.Transactions.PushTxn(t, &force, kv.WaitError)
	switch {
	case err == nil:
		return pushee, nil
	case err.Kind == kv.TransactionAborted:
		return nil, err
	}
	s.cfg.Env.Probe(probePushFailed)
	if e := t.Sleep(max(s.cfg.Tunables.DeadlockDelay, time.Millisecond)); e != nil {
		return nil, kv.Errorf(kv.Timeout, "breaking a deadlock: %s", err)
	}
	return nil, nil
}

// followPusher keeps the waiting push up to date about its own transaction, and about
// who waits for that, until the push has ended.
func (s *Sequencer) followPusher(t env.Task, p *PushWait) {
	req := kv.QueryTxnRequest{Key: p.pusher.Key, Txn: p.pusher}
	for p.state == PushPending {
		q := req
		resp, err := s.cfg.Transactions.QueryTxn(t, &q)
		switch {
		case t.Err() != nil || p.state != PushPending:
			return
		case err != nil:
			s.cfg.Env.Probe(probePushFailed)
			if t.Sleep(max(s.cfg.Tunables.DeadlockDelay, time.Millisecond)) != nil {
				return
			}
			continue
		}
		s.waits.Pusher(p, &resp.Txn, resp.Waiting)
		req.Txn.Priority = max(req.Txn.Priority, resp.Txn.Priority)
		// From now on the answer comes when it differs from this one.
		req.KnownWaiting, req.WaitForUpdate = resp.Waiting, true
	}
}

// awaitQuery waits for news of a transaction, but not for ever: whoever asks may be
// gone, and nobody would say so.
func (s *Sequencer) awaitQuery(t env.Task, x *QueryWait) *kv.Error {
	x.task = t
	defer func() {
		x.task = nil
		s.waits.LeaveQuery(x)
	}()
	until := s.cfg.Env.Mono() + s.cfg.Tunables.QueryWait
	for !x.news {
		left := until - s.cfg.Env.Mono()
		if left <= 0 {
			return nil
		}
		if err := t.Park("query", left); err != nil && err != env.ErrTimeout {
			return kv.Errorf(kv.Timeout, "waiting for news of transaction %s: %s", kv.FormatTxnID(x.id), err)
		}
	}
	return nil
}
