package store

import (
	"time"

	"simulacrum/db/concurrency"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Txns settles what is open about transactions, wherever their records and locks are.
// Requests of this store's ranges ask it about those that stand in their way: it is
// their concurrency.Transactions. Records in this store's ranges that became final are
// handed to it by Finish.
//
//	a request meets a lock           a record becomes final     the GC queue finds an old one
//	   |  PushTxn, QueryTxn             |  Finish                  |  abandoned
//	   |                                v                          v
//	   |         recovery            cleanup, in tasks of its own, so many at once:
//	   |  (one a transaction,        locks are resolved; when none is left, and not before,
//	   |   however many wait)        the record is removed
//	   v            v                   v
//	 the Sender: ranges anywhere
//
// Fault model: whatever is sent may be lost, late and executed twice. Nothing here is
// remembered beyond one incarnation, and nothing needs to be: a lock that was not
// resolved is met by somebody, a record that was not removed is found by the GC queue,
// and a recovery that broke off is begun again by whoever is in need of it.
type Txns struct {
	p      env.Process
	node   kv.NodeID
	sender kv.Sender
	set    txnSettings

	recoveries map[kv.TxnID]*env.Promise[recovered] // in progress
	cleanup    cleanup
}

var _ concurrency.Transactions = (*Txns)(nil)

func newTxns(p env.Process, node kv.NodeID, sender kv.Sender) *Txns {
	x := &Txns{p: p, node: node, sender: sender, set: readTxnSettings(p), recoveries: make(map[kv.TxnID]*env.Promise[recovered])}
	x.cleanup = cleanup{x: x, known: make(map[kv.TxnID]bool)}
	return x
}

// PushTxn implements concurrency.Transactions. It tries again for as long as the task
// lives, since that a push did not arrive says nothing of the pushee.
func (x *Txns) PushTxn(t env.Task, req *kv.PushTxnRequest, policy kv.WaitPolicy) (*kv.Txn, *kv.Error) {
	for pause := x.pause(); ; {
		pushee, err := x.push(t, req, policy)
		if err == nil || !mayPass(err) {
			return pushee, err
		}
		if e := pause.wait(t); e != nil {
			return nil, gaveUp(e, err)
		}
	}
}

// push sends a push once, and recovers the pushee if that is what it takes.
func (x *Txns) push(t env.Task, req *kv.PushTxnRequest, policy kv.WaitPolicy) (*kv.Txn, *kv.Error) {
	br := x.send(t, kv.Header{WaitPolicy: policy}, req)
	switch {
	case br.Err == nil:
		return &br.Responses[0].(*kv.PushTxnResponse).Pushee, nil
	case br.Err.Kind != kv.IndeterminateCommit || br.Err.Detail == nil || br.Err.Detail.Pushee == nil:
		return nil, br.Err
	}
	txn, err := x.Recover(t, br.Err.Detail.Pushee)
	if err != nil {
		return nil, err
	}
	if !txn.Status.Finalized() {
		// It lives, and has moved on. Whether it has to yield is to be judged anew.
		x.p.Probe(probeRecoveryMoot)
		return nil, br.Err
	}
	return txn, nil
}

// QueryTxn implements concurrency.Transactions. Like PushTxn it tries again.
func (x *Txns) QueryTxn(t env.Task, req *kv.QueryTxnRequest) (*kv.QueryTxnResponse, *kv.Error) {
	for pause := x.pause(); ; {
		br := x.send(t, kv.Header{}, req)
		if br.Err == nil {
			return br.Responses[0].(*kv.QueryTxnResponse), nil
		}
		if !mayPass(br.Err) {
			return nil, br.Err
		}
		if e := pause.wait(t); e != nil {
			return nil, gaveUp(e, br.Err)
		}
	}
}

// send sends requests that belong to no transaction.
func (x *Txns) send(t env.Task, h kv.Header, reqs ...kv.Request) *kv.BatchResponse {
	h.Gateway = x.node
	return x.sender.Send(t, &kv.BatchRequest{Header: h, Requests: reqs})
}

// mayPass reports that the error is about the way there, or the moment, and not about
// the transaction.
func mayPass(e *kv.Error) bool {
	return e.Refused() || e.Ambiguous() || e.Kind == kv.Timeout || e.Kind == kv.IndeterminateCommit
}

// gaveUp is the error of a task that was ended while it tried again. The last attempt's
// own would be mistaken for one of the request that waits: refused, or ambiguous.
func gaveUp(ended error, last *kv.Error) *kv.Error {
	return kv.Errorf(kv.Timeout, "%s; last: %s", ended, last)
}

// pause is the time between two attempts. It doubles, up to a bound.
type pause struct{ next, max time.Duration }

// maxPauses is how many times longer than the first a pause becomes.
const maxPauses = 16

func (x *Txns) pause() pause { return pause{x.set.pause, maxPauses * x.set.pause} }

func (p *pause) wait(t env.Task) error {
	d := p.next
	p.next = min(2*d, p.max)
	return t.Sleep(d)
}
