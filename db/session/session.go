package session

import (
	"container/list"
	"time"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// session is one transaction of a client, as its gateway keeps it. Its steps are
// executed one after the other, each at most once, in the order of their numbers.
type session struct {
	g      *Gateway
	key    key
	client *client
	place  *list.Element // in the gateway's open or ended; nil: forgotten
	txn    kv.TxnSender  // nil before it has begun, and when it is over

	last    int64                   // the step that was executed last, or is being executed
	running bool                    // it is being executed
	answer  *response               // to it, if it is not
	kept    int64                   // bytes of answer
	joined  *env.Promise[*response] // those who asked again for what is being executed
	ended   string                  // why it has, for further steps; "": it is open
	since   time.Duration           // when the last step was over, or the session, by Mono
}

// step executes the step if it is the next, and answers the last one from memory. What
// is neither is late, or ahead of what was lost: to execute it would be wrong.
func (s *session) step(t env.Task, q *request) *response {
	switch {
	case q.Action == actRollback:
		s.rollback("its client rolled it back")
		return s.g.answer(accepted)
	case q.Step == s.last && s.running:
		return s.join(t)
	case q.Step == s.last:
		s.g.p.Probe(ProbeRemembered)
		return s.answer
	case s.ended != "":
		r := s.g.answer(refusedEnded)
		r.Err = kv.AbortedError(kv.AbortGatewayLost, "the session has ended: %s", s.ended)
		return r
	case q.Step != s.last+1 || s.running:
		s.g.p.Probe(ProbeRefused)
		return s.g.answer(refusedOrder)
	}
	return s.run(t, q)
}

// join waits for the answer to the step that is being executed.
func (s *session) join(t env.Task) *response {
	s.g.p.Probe(ProbeJoined)
	if s.joined == nil {
		s.joined = &env.Promise[*response]{}
	}
	r, err := s.joined.Wait(t, "session: step under way", -1)
	if err != nil {
		return s.g.answer(refusedUnderWay)
	}
	return r
}

// run executes a step and remembers the answer.
func (s *session) run(t env.Task, q *request) *response {
	s.last, s.running = q.Step, true
	s.keep(nil)
	r := s.execute(t, q)
	s.running = false
	s.keep(r)
	if s.joined != nil {
		s.joined.Resolve(r, nil)
		s.joined = nil
	}
	switch {
	case s.ended != "": // meanwhile
	case s.txn == nil:
		s.end("it did not begin")
	case q.commits() && r.Err == nil:
		s.end("it is committed")
	default:
		s.g.touch(s)
	}
	return r
}

// keep remembers the answer, unless it is too large or the session is forgotten.
func (s *session) keep(r *response) {
	size := int64(0)
	if s.place == nil {
		r = nil
	}
	if r != nil {
		if size = int64(r.Size()); size > int64(s.g.set.answerBytes) {
			r, size = s.g.answer(refusedForgotten), 0
		}
	}
	s.g.p.Memory(size - s.kept)
	s.answer, s.kept = r, size
}

// execute does what the step says.
func (s *session) execute(t env.Task, q *request) *response {
	r := s.g.answer(accepted)
	if q.Step == 1 {
		txn, err := s.g.starter.Begin(t, kv.TxnOptions{Name: q.Name, Priority: q.Priority, CommitWait: q.CommitWait})
		if err != nil {
			r.Err = plain(err)
			return r
		}
		s.txn = txn
	}
	txn := s.txn
	if q.Prioritize {
		txn.SetPriority(q.Priority)
	}
	switch q.Action {
	case actBatch:
		if et := q.Batch.EndTxn(); et != nil && !et.Commit {
			r.Err = kv.Errorf(kv.BadRequest, "a rollback is no batch of a session, but a step of its own")
			break
		}
		br := txn.Send(t, batch(q))
		if r.Err = plain(br.Err); br.Err == nil {
			r.Batch = &kv.BatchResponse{Timestamp: br.Timestamp, Responses: br.Responses}
		}
	case actRestart:
		r.Err = plain(txn.Restart(t))
	case actSavepoint:
		var err *kv.Error
		r.Savepoint, err = txn.Savepoint(t)
		r.Err = plain(err)
	case actRollbackTo:
		r.Err = plain(txn.RollbackTo(t, q.Savepoint))
	case actFix:
		r.Err = plain(txn.FixTimestamp(t, q.Timestamp))
	}
	r.Txn = view(txn.Txn())
	return r
}

// batch is the step's batch with only that of its header which is a client's to say.
func batch(q *request) *kv.BatchRequest {
	h := &q.Batch.Header
	return &kv.BatchRequest{Requests: q.Batch.Requests, Header: kv.Header{
		ID: h.ID, MaxKeys: h.MaxKeys, MaxBytes: h.MaxBytes, WaitPolicy: h.WaitPolicy, LockTimeout: h.LockTimeout, Timestamp: h.Timestamp,
	}}
}

// rollback ends the session without effect. A step that is being executed is let
// finish; if it commits, the session is committed.
func (s *session) rollback(why string) {
	if s.ended != "" {
		return
	}
	txn := s.txn
	s.end(why)
	if txn != nil {
		s.g.p.Go("session rollback", func(t env.Task) {
			txn.Send(t, &kv.BatchRequest{Requests: []kv.Request{&kv.EndTxnRequest{}}})
		})
	}
}

// end ends the session. It is remembered for a while, so that its last step can be
// asked for again, and a late one is told what was.
func (s *session) end(why string) {
	g := s.g
	s.ended = why
	s.txn, s.since = nil, g.p.Mono()
	g.open.Remove(s.place)
	s.place = g.ended.PushBack(s)
	if g.forgets == 0 {
		g.forgets = g.p.After(g.set.remember, "sessions forgotten", g.forget)
	}
	if g.drained != nil && g.open.Len() == 0 {
		g.drained.Resolve(struct{}{}, nil)
	}
}

// forget removes all trace of a session that has ended. A step that is still being
// executed has nowhere to leave its answer but with whoever waits.
func (s *session) forget() {
	g := s.g
	g.ended.Remove(s.place)
	s.place = nil
	delete(g.sessions, s.key)
	s.keep(nil)
	if s.client.sessions--; s.client.sessions == 0 {
		g.p.Stop(s.client.timer)
		delete(g.clients, s.key.client)
	}
}
