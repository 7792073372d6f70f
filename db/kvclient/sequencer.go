package kvclient

import (
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// sequencer is the interceptor that numbers the writes of an attempt. A read has the
// number of the last write before it, which it sees. Numbers are never given twice
// in one epoch, not even after a rollback to a savepoint: those rolled back are
// ignored by their numbers.
type sequencer struct {
	next kv.Sender
	last int32
}

// Send implements kv.Sender.
func (l *sequencer) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	numbered := make([]kv.Request, len(ba.Requests))
	for i, r := range ba.Requests {
		if r.Method().Intents() || r.Method() == kv.EndTxn {
			l.last++
		}
		numbered[i] = kv.WithSequence(r, l.last)
	}
	ba.Requests, ba.Txn.Sequence = numbered, l.last
	return l.next.Send(t, ba)
}

func (l *sequencer) rollbackTo(int32) {}

// restarted begins anew with the epoch.
func (l *sequencer) restarted(bool) { l.last = 0 }

// with is a batch like ba of other requests, and with a copy of its transaction.
func with(ba *kv.BatchRequest, requests []kv.Request) *kv.BatchRequest {
	txn := *ba.Txn
	c := *ba
	c.Txn, c.Requests = &txn, requests
	return &c
}
