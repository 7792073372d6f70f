package kvclient

import (
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// heartbeater is the interceptor that chooses the anchor, the first key that is
// locked, and from then on keeps the record alive: a transaction whose record was not
// heard of for a while is anybody's to abort. It is also how a coordinator whose
// client thinks learns that somebody aborted it.
//
// A transaction that is locked and ended by one batch has no loop: it is over before
// anybody would wait for it. If the batch fails the next one starts the loop.
type heartbeater struct {
	c    *coordinator
	next kv.Sender
	beat kv.TxnID // whose heart beats; zero: nobody's
}

// Send implements kv.Sender.
func (l *heartbeater) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if ba.Locks() {
		if !l.c.txn.IsLocking() {
			for _, r := range ba.Requests {
				if kv.LockOf(r).Lock != kv.LockNone {
					l.c.txn.Key = r.Span().Key
					break
				}
			}
			ba = with(ba, ba.Requests)
			ba.Txn.Key = l.c.txn.Key
		}
		if l.beat != ba.Txn.ID && ba.EndTxn() == nil {
			id := ba.Txn.ID
			l.beat = id
			l.c.s.p.Go("txn heartbeat", func(t env.Task) { l.loop(t, id) })
		}
	}
	return l.next.Send(t, ba)
}

func (l *heartbeater) rollbackTo(int32) {}

// restarted leaves the loop of a transaction that goes on under the same ID, which
// still has its locks. The loop of any other notices.
func (l *heartbeater) restarted(newID bool) {
	if newID {
		l.beat = kv.TxnID{}
	}
}

// loop sends heartbeats until the transaction has ended, or goes on under another ID.
func (l *heartbeater) loop(t env.Task, id kv.TxnID) {
	c := l.c
	for {
		if t.Sleep(c.s.set.heartbeat) != nil || l.over(id) {
			return
		}
		txn := *c.txn
		txn.Status = kv.Pending
		c.s.metrics.Heartbeats++
		br := c.s.below.Send(t, &kv.BatchRequest{
			Header:   kv.Header{Txn: &txn, Gateway: c.s.gateway, Deadline: c.s.set.heartbeat * 5},
			Requests: []kv.Request{&kv.HeartbeatTxnRequest{Key: txn.Key, Now: c.s.clock.Now()}},
		})
		if l.over(id) {
			return
		}
		switch {
		case br.Err != nil && br.Err.Kind == kv.TransactionAborted, br.Err == nil && br.Txn != nil && br.Txn.Status == kv.Aborted:
			c.s.p.Probe(ProbeTxnAbortNoticed)
			c.noticeAbort()
			return
		case br.Err == nil && br.Txn != nil && br.Txn.Status == kv.Committed:
			return // recovered by others: whoever commits will be told
		case br.Err == nil && br.Txn != nil && br.Txn.Epoch == c.txn.Epoch:
			c.txn.LastHeartbeat = c.txn.LastHeartbeat.Forward(br.Txn.LastHeartbeat)
		}
	}
}

// over reports that there is nothing more to keep alive.
func (l *heartbeater) over(id kv.TxnID) bool {
	return l.beat != id || l.c.txn.ID != id || l.c.state == txnEnded || l.c.txn.Status.Finalized()
}
