package concurrency

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// LockTable knows which keys of a range are locked, as far as somebody met the lock
// or it is in memory alone, and who waits for them. It never waits itself: Scan says
// that a guard must, and Woken says for whom that has changed.
//
//	key  holders            queue: places in order          readers
//	a    T1 intent          #4 T2 (waits for T1)            #6 T4 at 20
//	                        #5 T3 (waits for T1)
//	b    -                  #4 T2 (reserved)
//
// A request that locks has a place at each key on its way, which becomes a
// reservation once nothing stands in its way there, and is given up when the request
// ends. So keys are handed on in order of arrival, and a request that goes round is
// not overtaken.
//
// Unreplicated locks exist here alone and are lost with the lease. Replicated ones
// are listed once they are met (AddDiscovered) or waited for; what is listed may be
// forgotten any time, since whoever evaluates meets it again.
//
// The zero table is ready to use.
type LockTable struct {
	locks *btree.BTreeG[*lock]
	seq   uint64
	woken []*LockGuard

	// finished are the transactions last heard to be over or pushed, newest last.
	finished finishedTxns

	// limit is the number of locks above which those that nobody waits for are
	// forgotten; 0: none.
	limit int

	probe   lock // scratch for lookups
	scratch []*lock
}

// finishedTxns are transactions that are known to be over, or to have been pushed,
// while locks of theirs may still stand. There are few: each waiter at their locks
// need not ask again.
type finishedTxns []kv.LockUpdate

// maxFinished bounds the transactions that are remembered as over.
const maxFinished = 8

// find is what is known of a holder that does not stand in the way of the request: it
// is over, or was pushed above what is read.
func (f finishedTxns) find(holder kv.TxnMeta, req *Request, strength kv.LockStrength) *kv.LockUpdate {
	for i := range f {
		u := &f[i]
		if u.Txn.ID != holder.ID {
			continue
		}
		if u.Status.Finalized() || strength == kv.LockNone && u.Txn.Epoch == holder.Epoch && req.ReadTS.Less(u.Txn.WriteTS) {
			return u
		}
	}
	return nil
}

// Len is the number of keys in the table.
func (t *LockTable) Len() int {
	if t.locks == nil {
		return 0
	}
	return t.locks.Len()
}

// Scan looks for the first lock that the guard's request cannot pass, takes places on
// the way, and reports whether the request has to wait there. It may be called again
// at any time: places are kept.
//
// Locks of transactions that are known to be over are passed, and added to what
// ToResolve returns.
func (t *LockTable) Scan(g *LockGuard) (wait bool) {
	if g.seq == 0 {
		t.seq++
		g.seq = t.seq
	}
	wait = t.scan(g)
	if len(g.found) > 0 {
		t.release(g)
	}
	return wait
}

func (t *LockTable) scan(g *LockGuard) (wait bool) {
	g.resolve = g.resolve[:0]
	if t.Len() == 0 {
		g.wait, g.at = Wait{}, nil
		return false
	}
	t.leave(g)
	for i := range g.req.Locks {
		s := &g.req.Locks[i]
		if s.Strength != kv.LockNone && g.req.WaitPolicy == kv.WaitSkip {
			continue // evaluation asks Locked, key by key
		}
		for _, l := range t.overlapping(s.Span) {
			if t.visit(g, l, s.Strength) {
				return true
			}
		}
	}
	return false
}

// visit is Scan at one lock.
func (t *LockTable) visit(g *LockGuard, l *lock, strength kv.LockStrength) (wait bool) {
	if h := l.holder(g.req.txnID()); h != nil && strength != kv.LockNone && h.strength() >= strength {
		return false // it is there already
	}
	t.passFinished(g, l, strength)
	if l.empty() {
		t.settle(l)
		return false
	}
	ahead := 0
	if strength != kv.LockNone {
		ahead = l.enter(g, strength)
	}
	w := l.blocker(t.finished, g, strength, ahead)
	if w.Kind == WaitNone {
		return false
	}
	g.at, g.wait, g.changed = l, w, true // settle says whether it is the head
	if strength == kv.LockNone {
		at, _ := slices.BinarySearchFunc(l.readers, g, func(a, b *LockGuard) int { return compareSeq(a.seq, b.seq) })
		l.readers = slices.Insert(l.readers, at, g)
	}
	t.settle(l)
	g.changed = false
	return true
}

// passFinished prepares for g to pass holders that are known not to stand in its way
// any more: a lock in memory is released at once, a replicated one is to be resolved.
func (t *LockTable) passFinished(g *LockGuard, l *lock, strength kv.LockStrength) {
	for i := 0; i < len(l.holders); i++ {
		h := &l.holders[i]
		if h.txn.ID == g.req.txnID() || !strength.Conflicts(h.strength()) || strength == kv.LockNone && g.req.ReadTS.Less(h.txn.WriteTS) {
			continue
		}
		switch u := t.finished.find(h.txn, g.req, strength); {
		case u == nil:
		case h.durable():
			up := *u
			up.Span = keys.Span{Key: l.key}
			g.resolve = append(g.resolve, up)
		case u.Status.Finalized():
			l.holders = slices.Delete(l.holders, i, i+1)
			t.settle(l)
			i--
		}
	}
}

// Locked is the transaction that keeps the guard's request from locking a key, as a
// holder or by a reservation, for a request that skips what is locked. Replicated locks
// that nobody waits for may be missing: evaluation meets them itself.
func (t *LockTable) Locked(g *LockGuard, k keys.Key, strength kv.LockStrength) (kv.TxnMeta, bool) {
	l := t.get(k)
	if l == nil {
		return kv.TxnMeta{}, false
	}
	w := l.blocker(t.finished, g, strength, len(l.queue))
	return w.Txn, w.Kind != WaitNone
}

// AddDiscovered notes replicated locks that the evaluation of the guard's request met.
// What evaluation saw is the truth: replicated locks of others that conflict with them
// are no more. They stay listed, however full the table is, until the guard has been
// scanned again: else two requests that meet a lock each could make the table forget
// the other's, for ever (scenarios/found/forgetful-table).
func (t *LockTable) AddDiscovered(g *LockGuard, locks []kv.Lock) {
	for i := range locks {
		l := t.make(locks[i].Key)
		l.finders++
		g.found = append(g.found, l)
		h := t.hold(l, locks[i].Txn, locks[i].Strength, kv.Replicated)
		if h == nil {
			// Of an epoch that is over, and void, but it stands in the way until somebody
			// pushes its holder and resolves it (workload bank, seed 3).
			h = l.holder(locks[i].Txn.ID)
			h.hold(locks[i].Strength, kv.Replicated, locks[i].Txn.Sequence)
		}
		if locks[i].Strength == kv.LockIntent {
			h.txn.WriteTS = locks[i].Txn.WriteTS // whatever was thought of it
		}
		t.settle(l)
	}
}

// AcquireLock notes a lock that a request has taken, under latches and after a Scan
// that met nobody. A replicated lock on a key that is not listed is left out: whoever
// meets it will bring it. It panics if somebody else holds, in memory, a lock that
// conflicts: that is a fault of our own.
func (t *LockTable) AcquireLock(k keys.Key, txn kv.TxnMeta, strength kv.LockStrength, d kv.LockDurability) {
	l := t.get(k)
	if l == nil && d == kv.Replicated {
		return
	}
	if l == nil {
		l = t.make(k)
	}
	for i := range l.holders {
		if h := &l.holders[i]; h.txn.ID != txn.ID && h.volatile() && strength.Conflicts(h.strength()) {
			panic(fmt.Sprintf("concurrency: %s locks what is locked:\n%s", txn, l))
		}
	}
	t.hold(l, txn, strength, d)
	t.settle(l)
}

// hold adds a lock to what the transaction holds, and returns that; nil if the lock is
// of an epoch that is over.
func (t *LockTable) hold(l *lock, txn kv.TxnMeta, strength kv.LockStrength, d kv.LockDurability) *holder {
	l.holders = slices.DeleteFunc(l.holders, func(h holder) bool {
		return h.txn.ID != txn.ID && !h.volatile() && strength.Conflicts(h.strength())
	})
	h := l.holder(txn.ID)
	switch {
	case h == nil:
		l.holders = append(l.holders, holder{txn: txn})
		h = &l.holders[len(l.holders)-1]
	case txn.Epoch < h.txn.Epoch:
		return nil
	case txn.Epoch > h.txn.Epoch:
		*h = holder{txn: txn}
	default:
		txn.WriteTS = txn.WriteTS.Forward(h.txn.WriteTS)
		h.txn = txn
	}
	h.hold(strength, d, txn.Sequence)
	return h
}

// UpdateLocks notes what has become of a transaction's locks in a span, once that is
// done to the replicated ones.
func (t *LockTable) UpdateLocks(u *kv.LockUpdate) {
	for _, l := range t.overlapping(u.Span) {
		for i := range l.holders {
			if l.holders[i].txn.ID != u.Txn.ID {
				continue
			}
			if !l.holders[i].update(u) {
				l.holders = slices.Delete(l.holders, i, i+1)
			}
			t.settle(l)
			break
		}
	}
}

// TxnUpdated remembers that a transaction is over, or was pushed, so that its other
// locks are not waited for. The update's span has no meaning.
func (t *LockTable) TxnUpdated(u kv.LockUpdate) {
	t.finished = slices.DeleteFunc(t.finished, func(o kv.LockUpdate) bool { return o.Txn.ID == u.Txn.ID })
	if len(t.finished) == maxFinished {
		t.finished = slices.Delete(t.finished, 0, 1)
	}
	u.Span = keys.Span{}
	t.finished = append(t.finished, u)
}

// release lets go of the locks that the guard discovered.
func (t *LockTable) release(g *LockGuard) {
	for i, l := range g.found {
		g.found[i] = nil
		if l.finders--; t.get(l.key) == l {
			t.settle(l)
		}
	}
	g.found = g.found[:0]
}

// Dequeue ends the guard's presence: its places and reservations are handed on.
func (t *LockTable) Dequeue(g *LockGuard) {
	t.release(g)
	t.leave(g)
	for i, l := range g.locks {
		g.locks[i] = nil
		if at := l.place(g); at >= 0 {
			l.queue = slices.Delete(l.queue, at, at+1)
			t.settle(l)
		}
	}
	g.locks = g.locks[:0]
}

// leave ends the guard's waiting, not its places.
func (t *LockTable) leave(g *LockGuard) {
	l := g.at
	if l == nil {
		return
	}
	g.at, g.wait = nil, Wait{}
	l.readers = slices.DeleteFunc(l.readers, func(o *LockGuard) bool { return o == g })
	t.settle(l)
}

// settle finds out what each waiter at the lock waits for now, and forgets the lock if
// nobody has to do with it.
func (t *LockTable) settle(l *lock) {
	head := l.head(t.finished)
	for i := range l.queue {
		if g := l.queue[i].guard; g.at == l {
			t.told(g, l.blocker(t.finished, g, l.queue[i].strength, i), g == head)
		}
	}
	kept := l.readers[:0]
	for _, g := range l.readers {
		if t.told(g, l.blocker(t.finished, g, kv.LockNone, 0), g == head); g.at == l {
			kept = append(kept, g)
		}
	}
	clear(l.readers[len(kept):])
	l.readers = kept
	if l.empty() {
		t.locks.Delete(l)
	}
}

// head is the guard that has waited longest at the lock and still has to, or nil.
func (l *lock) head(finished finishedTxns) *LockGuard {
	var head *LockGuard
	consider := func(g *LockGuard, strength kv.LockStrength, ahead int) {
		if g.at == l && (head == nil || g.seq < head.seq) && l.blocker(finished, g, strength, ahead).Kind != WaitNone {
			head = g
		}
	}
	for i := range l.queue {
		consider(l.queue[i].guard, l.queue[i].strength, i)
	}
	for _, g := range l.readers {
		consider(g, kv.LockNone, 0)
	}
	return head
}

// told gives a waiting guard its new wait.
func (t *LockTable) told(g *LockGuard, w Wait, head bool) {
	w.Head = head
	if w.Kind == WaitNone {
		g.at = nil
	} else if w.Kind == g.wait.Kind && w.Txn.ID == g.wait.Txn.ID && w.Head == g.wait.Head && w.Strength == g.wait.Strength {
		return
	}
	g.wait = w
	if !g.changed {
		g.changed = true
		t.woken = append(t.woken, g)
	}
}

// Woken calls fn for each guard whose wait has changed since it was last called, in
// the order in which that came about.
func (t *LockTable) Woken(fn func(*LockGuard)) {
	if len(t.woken) == 0 {
		return
	}
	woken := t.woken
	t.woken = nil
	for i, g := range woken {
		woken[i] = nil
		if g.changed {
			g.changed = false
			fn(g)
		}
	}
	if t.woken == nil {
		t.woken = woken[:0]
	}
}

// Clear forgets all locks, when the lease is lost or the range is no more. Waiters are
// woken with nothing to wait for: they go round, and find the lease gone.
func (t *LockTable) Clear() {
	t.drop(keys.Span{EndKey: keys.Max}, nil)
	t.finished = nil
}

// MoveTo hands the locks in s, which is no point, to the table of another range, when
// ranges split or merge. Waiters are woken with nothing to wait for: they go round, and
// find out which range they belong to.
func (t *LockTable) MoveTo(to *LockTable, s keys.Span) { t.drop(s, to) }

func (t *LockTable) drop(s keys.Span, to *LockTable) {
	for _, l := range slices.Clone(t.overlapping(s)) {
		t.locks.Delete(l)
		for _, g := range append(l.queueGuards(), l.readers...) {
			if g.at == l {
				t.told(g, Wait{}, false)
			}
			g.locks = slices.DeleteFunc(g.locks, func(o *lock) bool { return o == l })
		}
		if to != nil && len(l.holders) > 0 {
			to.make(l.key).holders = l.holders
		}
	}
}

func (l *lock) queueGuards() []*LockGuard {
	var all []*LockGuard
	for i := range l.queue {
		all = append(all, l.queue[i].guard)
	}
	return all
}

// String lists the table by key, for people.
func (t *LockTable) String() string {
	var b strings.Builder
	if t.locks != nil {
		t.locks.Scan(func(l *lock) bool {
			b.WriteString(l.String())
			return true
		})
	}
	if b.Len() == 0 {
		return "no locks\n"
	}
	return b.String()
}
