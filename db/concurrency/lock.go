package concurrency

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// lock is what is known of one key that is locked, or waited for.
type lock struct {
	key keys.Key
	// holders are transactions whose locks do not conflict with each other; the
	// earliest first.
	holders []holder
	// queue are the places of requests that want to lock the key: those whose
	// transactions hold it already, in a weaker form, before all others (who wait for
	// them anyway), and else in order of arrival. Each stays until its request ends:
	// one that no longer waits has reserved the key.
	queue []place
	// readers are requests that wait to read the key, in order of arrival. They reserve
	// nothing.
	readers []*LockGuard
	finders int // guards that have discovered it, and are about to wait
}

// place is one request's place in a queue.
type place struct {
	guard    *LockGuard
	strength kv.LockStrength
	promotes bool // the transaction holds the key already
}

// before tells the order of places.
func (p *place) before(o *place) bool {
	if p.promotes != o.promotes {
		return p.promotes
	}
	return p.guard.seq < o.guard.seq
}

// holder is one transaction's locks on the key.
type holder struct {
	txn kv.TxnMeta // of the highest timestamp and the epoch known
	// held has, for each strength above LockNone and durability, 1 + the lowest
	// sequence at which it was acquired, or 0. The lowest is enough: a rollback that
	// undoes it undoes the later ones too.
	held [3][2]int32
}

func (h *holder) hold(s kv.LockStrength, d kv.LockDurability, seq int32) {
	if at := &h.held[s-1][d]; *at == 0 || seq+1 < *at {
		*at = seq + 1
	}
}

// strength is the highest that is held, or LockNone.
func (h *holder) strength() kv.LockStrength {
	for s := kv.LockIntent; s > kv.LockNone; s-- {
		if h.held[s-1] != [2]int32{} {
			return s
		}
	}
	return kv.LockNone
}

// durable reports that some of it is replicated, so that to release it takes a write.
func (h *holder) durable() bool {
	for _, d := range h.held {
		if d[kv.Replicated] != 0 {
			return true
		}
	}
	return false
}

// volatile reports that some of it is held in memory alone.
func (h *holder) volatile() bool {
	for _, d := range h.held {
		if d[kv.Unreplicated] != 0 {
			return true
		}
	}
	return false
}

// update takes notice of what has become of the holder, and reports whether anything
// is left.
func (h *holder) update(u *kv.LockUpdate) (left bool) {
	switch {
	case u.Status.Finalized() || u.Txn.Epoch > h.txn.Epoch:
		return false // an earlier epoch's locks are void
	case u.Txn.Epoch < h.txn.Epoch:
		return true
	}
	h.txn.WriteTS = h.txn.WriteTS.Forward(u.Txn.WriteTS)
	for s := range h.held {
		for d := range h.held[s] {
			if at := &h.held[s][d]; *at != 0 && kv.SeqIgnored(u.IgnoredSeqs, *at-1) {
				*at = 0
			}
		}
	}
	return h.strength() > kv.LockNone
}

// holder finds the transaction's locks.
func (l *lock) holder(id keys.TxnID) *holder {
	for i := range l.holders {
		if l.holders[i].txn.ID == id {
			return &l.holders[i]
		}
	}
	return nil
}

// place finds the guard's place in the queue: its index, or -1.
func (l *lock) place(g *LockGuard) int {
	for i := range l.queue {
		if l.queue[i].guard == g {
			return i
		}
	}
	return -1
}

// enter makes sure that g has a place, of at least the given strength, and returns
// its index.
func (l *lock) enter(g *LockGuard, strength kv.LockStrength) int {
	if i := l.place(g); i >= 0 {
		l.queue[i].strength = max(l.queue[i].strength, strength)
		return i
	}
	p := place{guard: g, strength: strength, promotes: l.holder(g.req.txnID()) != nil}
	i := len(l.queue)
	for i > 0 && p.before(&l.queue[i-1]) {
		i--
	}
	l.queue = slices.Insert(l.queue, i, p)
	g.locks = append(g.locks, l)
	return i
}

func (l *lock) empty() bool {
	return len(l.holders) == 0 && len(l.queue) == 0 && len(l.readers) == 0 && l.finders == 0
}

// contended reports that somebody waits for the key, or has reserved it.
func (l *lock) contended() bool { return len(l.queue) > 0 || len(l.readers) > 0 }

// blocker is what stands in the way of g, which wants the key with the given strength
// and is behind the first ahead places of the queue. Kind WaitNone: nothing, or
// holders alone of whom finished says that they are over.
func (l *lock) blocker(finished finishedTxns, g *LockGuard, strength kv.LockStrength, ahead int) Wait {
	own := g.req.txnID()
	for i := range l.holders {
		h := &l.holders[i]
		held := h.strength()
		if h.txn.ID == own || !strength.Conflicts(held) {
			continue
		}
		if strength == kv.LockNone && g.req.ReadTS.Less(h.txn.WriteTS) {
			continue // the intent lies above what is read
		}
		if finished.find(h.txn, g.req, strength) != nil {
			continue
		}
		return Wait{Kind: WaitHolder, Key: l.key, Txn: h.txn, Strength: held, Durable: h.durable()}
	}
	if strength == kv.LockNone {
		return Wait{}
	}
	for i := range l.queue[:ahead] {
		p := &l.queue[i]
		id := p.guard.req.txnID()
		if p.guard == g || !strength.Conflicts(p.strength) || id == own && own != (keys.TxnID{}) {
			continue
		}
		if id == (keys.TxnID{}) && own != (keys.TxnID{}) {
			// Nobody could find a deadlock with a request that has no transaction, and
			// may wait elsewhere: it reserves nothing against those who have one.
			continue
		}
		return Wait{Kind: WaitReservation, Key: l.key, Txn: p.guard.req.meta(), Strength: p.strength}
	}
	return Wait{}
}

// String prints the lock for reading, in several lines.
func (l *lock) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", l.key)
	for i := range l.holders {
		h := &l.holders[i]
		fmt.Fprintf(&b, "  held by %s epoch %d at %s:", kv.FormatTxnID(h.txn.ID), h.txn.Epoch, h.txn.WriteTS)
		for s := kv.LockShared; s <= kv.LockIntent; s++ {
			for d := kv.Unreplicated; d <= kv.Replicated; d++ {
				if at := h.held[s-1][d]; at != 0 {
					fmt.Fprintf(&b, " %s %s (seq %d)", d, s, at-1)
				}
			}
		}
		b.WriteByte('\n')
	}
	for i := range l.queue {
		p := &l.queue[i]
		fmt.Fprintf(&b, "  %d. %s %s", i+1, p.guard, p.strength)
		if p.promotes {
			b.WriteString(", promoting")
		}
		if p.guard.at == l {
			fmt.Fprintf(&b, ", waits for %s", p.guard.wait)
		}
		b.WriteByte('\n')
	}
	for _, g := range l.readers {
		fmt.Fprintf(&b, "  reader %s, waits for %s\n", g, g.wait)
	}
	return b.String()
}
