package session

import (
	"fmt"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Txn is a transaction as its client has it in hand: a kv.TxnSender that asks the
// gateway to do what it is asked to do.
//
// Once begun it is bound to one incarnation of one gateway. When that is lost the
// transaction can never commit, unless a commit was asked for, and errors say that it
// is aborted (kv.AbortGatewayLost), which is Retryable. Restart then begins it anew,
// under another ID and with the same priority, at the gateway that the client has
// chosen meanwhile: another one if the first did not answer, the same if it did, and
// had forgotten.
type Txn struct {
	r       *Remote
	options kv.TxnOptions
	busy    env.Semaphore

	// Where it is: these change when it begins anew.
	endpoint    string
	node        kv.NodeID
	incarnation int64
	id          ID
	step        int64 // the last one that was asked for; 0: it has not begun

	txn        *kv.Txn
	chosen     bool // the client chose the priority after the beginning
	prioritize bool // the next step says so
	lost       *kv.Error
	unknown    *kv.Error // of the commit
	ended      bool
}

var _ kv.TxnSender = (*Txn)(nil)

// Gateway names the node that coordinates the transaction, with its incarnation, such
// as "n3/2".
func (c *Txn) Gateway() string { return fmt.Sprintf("%s/%d", c.endpoint, c.incarnation) }

// Txn implements kv.TxnSender.
func (c *Txn) Txn() *kv.Txn { return c.txn }

// SetPriority implements kv.TxnSender.
func (c *Txn) SetPriority(priority int32) {
	c.options.Priority = max(priority, kv.MinPriority)
	c.chosen, c.prioritize = true, true
}

// begin begins the transaction somewhere.
func (c *Txn) begin(t env.Task) *kv.Error {
	r := c.r
	deadline := r.p.Mono() + r.left(t, 0)
	last := kv.Errorf(kv.NodeUnavailable, "no gateway was asked")
	for tries := 1; ; tries++ {
		left := deadline - r.p.Mono()
		if left <= 0 || t.Err() != nil {
			e := kv.Errorf(kv.Timeout, "no gateway began the transaction in time")
			e.Cause = last
			return e
		}
		if r.gateways.Len() > 1 {
			left = min(left, r.begin)
		}
		done, err := c.beginAt(t, r.gateways.Current(), left)
		if done {
			return err
		}
		last = err
		if tries%r.gateways.Len() == 0 {
			_ = t.Sleep(min(r.pause, max(deadline-r.p.Mono(), 0))) // an error is found above
		}
	}
}

// beginAt asks one gateway. done says that there is no use in asking another.
func (c *Txn) beginAt(t env.Task, endpoint string, left time.Duration) (done bool, _ *kv.Error) {
	r := c.r
	r.id.Number++
	q := &request{ID: r.id, Step: 1, Left: max(answerIn(left), 1), Action: actBegin,
		Name: c.options.Name, Priority: c.options.Priority, CommitWait: c.options.CommitWait}
	m, err := r.node.Call(t, endpoint, Kind, q, left)
	if err != nil {
		if rpc.MaybeSent(err) {
			r.abandon(endpoint, q.ID, 0)
		}
		r.leave(endpoint)
		return false, kv.Errorf(kv.NodeUnavailable, "%v", err)
	}
	p := m.(*response)
	switch {
	case p.Refusal != accepted:
		r.leave(endpoint)
		return false, kv.Errorf(kv.NodeUnavailable, "gateway %s: %s", endpoint, p.Refusal)
	case p.Err != nil:
		return true, p.Err
	}
	c.endpoint, c.node, c.incarnation, c.id = endpoint, p.Node, p.Incarnation, q.ID
	c.step, c.txn, c.prioritize, c.lost = 1, p.Txn, c.chosen, nil
	r.answered, r.incarnation = endpoint, p.Incarnation
	return true, nil
}

// first begins the transaction with its first step, at the incarnation of the gateway
// that answered last. If the step was not executed, or if nobody misses what it did, the
// transaction begins elsewhere, and then takes the step. A commit that may have been
// executed is not taken elsewhere.
func (c *Txn) first(t env.Task, q *request, asked time.Duration) (*response, *kv.Error) {
	r := c.r
	q.Name, q.CommitWait = c.options.Name, c.options.CommitWait
	c.number(q)
	left := r.left(t, asked)
	if left <= 0 {
		c.step = 0 // nothing was sent
		return nil, kv.Errorf(kv.Timeout, "no time was left to begin")
	}
	p, unsure, err := r.ask(t, c.endpoint, q, left)
	var why string
	switch {
	case err == nil && (p.Refusal == accepted || p.Refusal == refusedEnded):
		return c.answered(q, p, unsure)
	case err == nil:
		why = fmt.Sprintf("gateway %s: %s", c.endpoint, p.Refusal)
	default:
		why = fmt.Sprintf("no answer from gateway %s: %v", c.endpoint, err)
	}
	r.leave(c.endpoint)
	if unsure && q.commits() {
		return nil, c.failed(q, unsure, why)
	}
	if unsure {
		r.abandon(c.endpoint, c.id, 0)
	}
	if err := c.begin(t); err != nil {
		c.lost = err
		return nil, err
	}
	return c.ask(t, q, asked)
}

// number makes q the next step.
func (c *Txn) number(q *request) {
	c.step++
	q.ID, q.Incarnation, q.Step = c.id, c.incarnation, c.step
	q.Prioritize, q.Priority, c.prioritize = c.prioritize, c.options.Priority, false
}

// ask has the gateway execute the next step.
func (c *Txn) ask(t env.Task, q *request, asked time.Duration) (*response, *kv.Error) {
	if err := c.refused(); err != nil {
		return nil, err
	}
	if c.step == 0 {
		return c.first(t, q, asked)
	}
	r := c.r
	c.number(q)
	left := r.left(t, asked)
	if left <= 0 {
		return nil, c.lose("no time was left for a step")
	}
	p, unsure, err := r.ask(t, c.endpoint, q, left)
	if err != nil {
		r.leave(c.endpoint)
		return nil, c.failed(q, unsure, fmt.Sprintf("no answer from gateway %s: %v", c.Gateway(), err))
	}
	return c.answered(q, p, unsure)
}

// answered takes in the answer to a step.
func (c *Txn) answered(q *request, p *response, unsure bool) (*response, *kv.Error) {
	switch {
	case p.Refusal == refusedEnded:
		// The gateway remembers the session, and that this step is none of it.
		return nil, c.lose(fmt.Sprintf("gateway %s: %s", c.Gateway(), p.Err.Message))
	case p.Refusal != accepted:
		return nil, c.failed(q, unsure, fmt.Sprintf("gateway %s: %s", c.Gateway(), p.Refusal))
	}
	c.node = p.Node
	if p.Txn != nil { // else it did not begin
		c.txn = p.Txn
	}
	if unsure && q.commits() {
		c.r.p.Probe(ProbeCommitLearnt)
	}
	return p, p.Err
}

// refused is why nothing can be asked for now.
func (c *Txn) refused() *kv.Error {
	switch {
	case c.ended:
		return kv.Errorf(kv.TransactionStatus, "the transaction has ended")
	case c.unknown != nil:
		return c.unknown
	}
	return c.lost
}

// failed is the end of a step to which there is no answer. A commit that may have been
// executed has an unknown outcome, for ever; without it nothing can come of the rest.
func (c *Txn) failed(q *request, executed bool, why string) *kv.Error {
	if executed && q.commits() {
		c.r.p.Probe(ProbeAmbiguous)
		c.unknown = kv.AmbiguousError(kv.Errorf(kv.NodeUnavailable, "%s", why), "the outcome of the commit is not known")
		return c.unknown
	}
	return c.lose(why)
}

// lose gives the session up.
func (c *Txn) lose(why string) *kv.Error {
	c.r.p.Probe(ProbeLost)
	c.lost = kv.AbortedError(kv.AbortGatewayLost, "%s; no commit was executed, so the transaction may begin anew", why)
	c.r.abandon(c.endpoint, c.id, c.incarnation)
	return c.lost
}

// lock waits until no other step is under way.
func (c *Txn) lock(t env.Task) *kv.Error {
	if err := c.busy.Acquire(t, "session: another step", -1); err != nil {
		return kv.Errorf(kv.Timeout, "%v", err)
	}
	return nil
}

// locked asks for a step when no other is under way.
func (c *Txn) locked(t env.Task, q *request) (*response, *kv.Error) {
	if err := c.lock(t); err != nil {
		return nil, err
	}
	defer c.busy.Release()
	return c.ask(t, q, 0)
}

// Send implements kv.Sender.
func (c *Txn) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	et := ba.EndTxn()
	if et != nil && !et.Commit && len(ba.Requests) == 1 {
		return c.rollback()
	}
	if err := c.lock(t); err != nil {
		return kv.ErrorResponse(err)
	}
	defer c.busy.Release()
	q := &request{Action: actBatch, Batch: ba}
	p, err := c.ask(t, q, ba.Deadline)
	br := &kv.BatchResponse{Txn: c.txn, Err: err}
	if err != nil {
		return br
	}
	c.ended = q.commits()
	if p.Batch != nil {
		br.Timestamp, br.Responses = p.Batch.Timestamp, p.Batch.Responses
	}
	return br
}

// rollback ends the transaction. It does not wait.
func (c *Txn) rollback() *kv.BatchResponse {
	if c.ended {
		return kv.ErrorResponse(kv.Errorf(kv.TransactionStatus, "the transaction has ended"))
	}
	c.ended = true
	if c.lost == nil && c.step > 0 {
		c.r.abandon(c.endpoint, c.id, c.incarnation)
	}
	return &kv.BatchResponse{Responses: []kv.Response{&kv.EndTxnResponse{}}, Txn: c.txn}
}

// Restart implements kv.TxnSender.
func (c *Txn) Restart(t env.Task) *kv.Error {
	if err := c.lock(t); err != nil {
		return err
	}
	defer c.busy.Release()
	if c.lost == nil {
		_, err := c.ask(t, &request{Action: actRestart}, 0)
		if err == nil || c.lost == nil {
			return err
		}
	}
	if c.ended {
		return kv.Errorf(kv.TransactionStatus, "the transaction has ended")
	}
	c.r.p.Probe(ProbeBegunAnew)
	if !c.chosen { // it has waited long enough to keep what it was given
		c.options.Priority = c.txn.Priority
	}
	return c.begin(t)
}

// Savepoint implements kv.TxnSender.
func (c *Txn) Savepoint(t env.Task) (kv.Savepoint, *kv.Error) {
	p, err := c.locked(t, &request{Action: actSavepoint})
	if err != nil {
		return kv.Savepoint{}, err
	}
	return p.Savepoint, nil
}

// RollbackTo implements kv.TxnSender.
func (c *Txn) RollbackTo(t env.Task, s kv.Savepoint) *kv.Error {
	_, err := c.locked(t, &request{Action: actRollbackTo, Savepoint: s})
	return err
}

// FixTimestamp implements kv.TxnSender.
func (c *Txn) FixTimestamp(t env.Task, ts hlc.Timestamp) *kv.Error {
	_, err := c.locked(t, &request{Action: actFix, Timestamp: ts})
	return err
}
