package kvclient

import (
	"slices"
	"time"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// heartbeater is the interceptor that chooses the anchor, the first key that is
// locked, and from then on keeps the record alive: a transaction whose record was not
// heard of for a while is anybody's to abort. It is also how a coordinator whose
// client thinks learns that somebody aborted it.
//
// A transaction that is locked and ended by one batch has no heartbeat: it is over
// before anybody would wait for it. If the batch fails the next one starts it.
type heartbeater struct {
	c    *coordinator
	next kv.Sender
	beat kv.TxnID // whose heart beats; zero: nobody's
	due  *heart   // the next beat, if it is in the line
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
			ba.Txn.Key = l.c.txn.Key
		}
		if l.beat != ba.Txn.ID && ba.EndTxn() == nil {
			l.beat = ba.Txn.ID
			l.due = l.c.s.hearts.add(l, l.beat)
		}
	}
	return l.next.Send(t, ba)
}

func (l *heartbeater) rollbackTo(int32) {}

// restarted leaves the heart of a transaction that goes on under the same ID, which
// still has its locks. That of any other stops.
func (l *heartbeater) restarted(newID bool) {
	if newID {
		l.ended()
	}
}

// ended stops the heart. What waits in the line holds nothing of the transaction.
func (l *heartbeater) ended() {
	l.beat = kv.TxnID{}
	if l.due != nil {
		l.due.l, l.due = nil, nil
	}
}

// beatOnce sends a heartbeat, and reports whether there is to be another.
func (l *heartbeater) beatOnce(t env.Task, id kv.TxnID) bool {
	c := l.c
	txn := *c.txn
	txn.Status = kv.Pending
	c.s.metrics.Heartbeats++
	br := c.s.below.Send(t, &kv.BatchRequest{
		Header:   kv.Header{Txn: &txn, Gateway: c.s.gateway, Deadline: c.s.set.heartbeat * 5},
		Requests: []kv.Request{&kv.HeartbeatTxnRequest{Key: txn.Key, Now: c.s.clock.Now()}},
	})
	if t.Err() != nil || l.over(id) {
		return false
	}
	switch {
	case br.Err != nil && br.Err.Kind == kv.TransactionAborted, br.Err == nil && br.Txn != nil && br.Txn.Status == kv.Aborted:
		c.s.p.Probe(ProbeTxnAbortNoticed)
		c.noticeAbort()
		return false
	case br.Err == nil && br.Txn != nil && br.Txn.Status == kv.Committed:
		return false // recovered by others: whoever commits will be told
	case br.Err == nil && br.Txn != nil && br.Txn.Epoch == c.txn.Epoch:
		c.txn.LastHeartbeat = c.txn.LastHeartbeat.Forward(br.Txn.LastHeartbeat)
	}
	return true
}

// over reports that there is nothing more to keep alive.
func (l *heartbeater) over(id kv.TxnID) bool {
	return l.beat != id || l.c.txn.ID != id || l.c.state == txnEnded || l.c.txn.Status.Finalized()
}

// hearts are the heartbeats of all transactions of a gateway. Most transactions are over
// before the first is due: so there is one timer for all, and a task only for a
// transaction that is alive when its turn comes.
type hearts struct {
	p      env.Process
	period time.Duration
	line   []*heart  // by when they are due
	timer  env.Timer // 0: nobody waits
}

type heart struct {
	l   *heartbeater // nil: it has ended
	id  kv.TxnID
	due time.Duration // by Mono
}

// add has the transaction's heart beat once, a period from now.
func (h *hearts) add(l *heartbeater, id kv.TxnID) *heart {
	b := &heart{l, id, h.p.Mono() + h.period}
	h.line = append(h.line, b)
	if h.timer == 0 {
		h.timer = h.p.After(h.period, "txn heartbeats", h.turn)
	}
	return b
}

// turn lets those beat whose time has come, forgets those before them in the line that
// are over, and comes again for the next that is alive.
func (h *hearts) turn() {
	h.timer = 0
	n := 0
	for ; n < len(h.line); n++ {
		b := h.line[n]
		l := b.l
		if l == nil || l.over(b.id) {
			continue
		}
		if left := b.due - h.p.Mono(); left > 0 {
			h.timer = h.p.After(left, "txn heartbeats", h.turn)
			break
		}
		l.due = nil
		h.p.Go("txn heartbeat", func(t env.Task) {
			if l.beatOnce(t, b.id) {
				l.due = h.add(l, b.id)
			}
		})
	}
	h.line = slices.Delete(h.line, 0, n)
}
