package concurrency

import (
	"bytes"
	"slices"

	"github.com/tidwall/btree"

	"simulacrum/db/keys"
)

// get finds the lock of a key, or nil.
func (t *LockTable) get(k keys.Key) *lock {
	if t.Len() == 0 {
		return nil
	}
	t.probe.key = k
	l, _ := t.locks.Get(&t.probe)
	t.probe.key = nil
	return l
}

// make finds or makes the lock of a key.
func (t *LockTable) make(k keys.Key) *lock {
	if t.locks == nil {
		t.locks = btree.NewBTreeGOptions(func(a, b *lock) bool {
			return bytes.Compare(a.key, b.key) < 0
		}, btree.Options{NoLocks: true})
	}
	if l := t.get(k); l != nil {
		return l
	}
	if t.limit > 0 && t.locks.Len() >= t.limit {
		t.forget(func(h *holder) bool { return !h.volatile() })
		if t.locks.Len() >= t.limit {
			t.forget(func(*holder) bool { return true })
		}
	}
	l := &lock{key: k}
	t.locks.Set(l)
	return l
}

// forget drops the locks that nobody waits for and whose holders may all go.
func (t *LockTable) forget(may func(*holder) bool) {
	for _, l := range slices.Clone(t.overlapping(keys.Span{EndKey: keys.Max})) {
		stays := l.contended() || l.finders > 0
		for i := range l.holders {
			stays = stays || !may(&l.holders[i])
		}
		if !stays {
			t.locks.Delete(l)
		}
	}
}

// overlapping lists the locks in s in order. The list is good until the next call.
func (t *LockTable) overlapping(s keys.Span) []*lock {
	t.scratch = t.scratch[:0]
	if t.Len() == 0 {
		return nil
	}
	if s.IsPoint() {
		if l := t.get(s.Key); l != nil {
			t.scratch = append(t.scratch, l)
		}
		return t.scratch
	}
	t.probe.key = s.Key
	t.locks.Ascend(&t.probe, func(l *lock) bool {
		if bytes.Compare(l.key, s.EndKey) >= 0 {
			return false
		}
		t.scratch = append(t.scratch, l)
		return true
	})
	t.probe.key = nil
	return t.scratch
}

func compareSeq(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
