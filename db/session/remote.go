package session

import (
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/kvclient"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Remote is a kv.TxnStarter for clients outside the cluster: transactions are
// coordinated by a gateway node, at which each has a session. There is one for each
// incarnation of a client: a later one is taken for proof that the earlier is gone.
type Remote struct {
	p        env.Process
	node     *rpc.Node
	gateways *kvclient.Gateways
	id       ID // of the session begun last
	// answered is the gateway that answered last; "" if it is not known to answer. With
	// that one a transaction begins with its first step, and not before.
	answered    string
	incarnation int64 // of answered

	timeout, begin, pause time.Duration
}

// NewRemote returns a Remote that enters the cluster by the gateways' choice.
func NewRemote(p env.Process, n *rpc.Node, gateways *kvclient.Gateways) *Remote {
	return &Remote{
		p: p, node: n, gateways: gateways,
		id:      ID{Born: p.Mono(), Lot: p.Rand("session").Uint64()},
		timeout: env.Duration(p, knobTimeout), begin: env.Duration(p, knobBegin), pause: env.Duration(p, knobPause),
	}
}

var _ kv.TxnStarter = (*Remote)(nil)

// Begin implements kv.TxnStarter. See BeginTxn.
func (r *Remote) Begin(t env.Task, o kv.TxnOptions) (kv.TxnSender, *kv.Error) {
	c, err := r.BeginTxn(t, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// BeginTxn begins a transaction at the current gateway, or at the next one that
// answers. It ends by t's deadline, or in the time that the knobs give. A gateway that
// is known to answer is not asked for it: the transaction begins with its first step.
func (r *Remote) BeginTxn(t env.Task, o kv.TxnOptions) (*Txn, *kv.Error) {
	c := &Txn{r: r, options: o}
	c.busy.Free = 1
	if r.answered != "" && r.answered == r.gateways.Current() {
		r.id.Number++
		c.endpoint, c.incarnation, c.id = r.answered, r.incarnation, r.id
		c.txn = &kv.Txn{TxnMeta: kv.TxnMeta{Priority: o.Priority}}
		return c, nil
	}
	if err := c.begin(t); err != nil {
		return nil, err
	}
	return c, nil
}

// attempts is how often a step is sent at most. The first repetition gets through
// after a broken connection, the last one when a node was too slow to notice that.
const attempts = 3

// ask sends a step until there is an answer, under the same number, so that it is
// executed once at most. unsure reports that an attempt without an answer may have been
// executed; the error is then that attempt's.
func (r *Remote) ask(t env.Task, endpoint string, q *request, left time.Duration) (p *response, unsure bool, last error) {
	deadline := r.p.Mono() + left
	for try := 1; ; try++ {
		sent := *q
		sent.Left, sent.Again = max(answerIn(left), 1), unsure
		m, err := r.node.Call(t, endpoint, Kind, &sent, left)
		if err == nil {
			p := m.(*response)
			r.answered, r.incarnation = endpoint, p.Incarnation
			return p, unsure, nil
		}
		if !unsure {
			unsure, last = rpc.MaybeSent(err), err
		}
		left = deadline - r.p.Mono() - r.pause
		if try == attempts || left <= 0 || t.Sleep(r.pause) != nil {
			return nil, unsure, last
		}
	}
}

// answerIn is the part of the time left that the gateway gets, so that its answer
// still arrives.
func answerIn(left time.Duration) time.Duration { return left - left/16 }

// left is the time for a step: what is asked for, or a default, and no more than t has.
func (r *Remote) left(t env.Task, asked time.Duration) time.Duration {
	if asked <= 0 {
		asked = r.timeout
	}
	own := t.SetDeadline(0)
	t.SetDeadline(own)
	if own > 0 {
		asked = min(asked, own-r.p.Mono())
	}
	return asked
}

// leave moves on from a gateway that does not answer, or will not.
func (r *Remote) leave(endpoint string) {
	if r.answered == endpoint {
		r.answered = ""
	}
	r.gateways.Leave(endpoint)
}

// abandon has a session rolled back that its client will not use again. Nobody waits
// for that, and if it does not get through the gateway finds the session idle.
func (r *Remote) abandon(endpoint string, id ID, incarnation int64) {
	q := &request{ID: id, Incarnation: incarnation, Action: actRollback}
	r.p.Go("session rollback", func(t env.Task) { _, _, _ = r.ask(t, endpoint, q, r.timeout) })
}
