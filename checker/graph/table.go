package graph

import (
	"fmt"

	"simulacrum/checker/history"
)

// writeTable holds every write of a history, found again by its key and value. A
// table of open addressing over arrays: a map of millions of pairs would cost
// several times the rest of the check.
type writeTable struct {
	txn, key []int32
	value    []int64
	// pos is the place in the order of its key, noWrite where it has none.
	pos []int32
	// final: the last write of its transaction to its key, the only one that others
	// may see.
	final []bool
	// deletes: it removed the key, and its value means nothing.
	deletes []bool
	slots   []int32 // write + 1, or 0; the length is a power of two
	twice   []int32 // writes whose value another transaction wrote as well
}

func (w *writeTable) reserve(n int) {
	w.txn, w.key = make([]int32, 0, n), make([]int32, 0, n)
	w.value, w.deletes = make([]int64, 0, n), make([]bool, n)
	w.pos, w.final = make([]int32, 0, n), make([]bool, 0, n)
	size := 16
	for size < 2*n {
		size *= 2
	}
	w.slots = make([]int32, size)
}

// hashPair mixes a key and a value; the constants are those of splitmix64.
func hashPair(key int32, value int64) uint64 {
	x := uint64(value)*0x9e3779b97f4a7c15 + uint64(uint32(key))*0xbf58476d1ce4e5b9
	x ^= x >> 30
	x *= 0x94d049bb133111eb
	return x ^ x>>29
}

// slot is where a pair is or would be.
func (w *writeTable) slot(key int32, value int64) uint64 {
	mask := uint64(len(w.slots) - 1)
	for at := hashPair(key, value) & mask; ; at = (at + 1) & mask {
		i := w.slots[at] - 1
		if i < 0 || w.key[i] == key && w.value[i] == value {
			return at
		}
	}
}

func (w *writeTable) find(key int32, value int64) int32 {
	return w.slots[w.slot(key, value)] - 1
}

// add appends a write without entering it.
func (w *writeTable) add(txn, key int32, value int64) int32 {
	w.txn, w.key, w.value = append(w.txn, txn), append(w.key, key), append(w.value, value)
	w.pos, w.final = append(w.pos, noWrite), append(w.final, true)
	return int32(len(w.txn) - 1)
}

// collect enters all writes. Where a value was written twice, a write that failed
// gives way; two that may both have happened make the history undecidable.
func (a *analysis) collect() {
	w := &a.writes
	n := 0
	for i := range a.steps {
		if a.steps[i].does.changes() {
			n++
		}
	}
	w.reserve(n)
	last := make([]int32, 0, 16) // the latest write to each key of the transaction
	for t := int32(0); t < int32(a.n); t++ {
		a.seen.next()
		last = last[:0]
		for _, s := range a.stepsOf(t) {
			if !s.does.changes() {
				continue
			}
			i := w.add(t, s.key, s.n)
			slot, fresh := a.seen.at(s.key)
			if fresh {
				last = append(last, i)
			} else {
				w.final[last[slot]] = false
				last[slot] = i
			}
			if s.does == deletes {
				w.deletes[i] = true
				continue
			}
			at := w.slot(s.key, s.n)
			other := w.slots[at] - 1
			switch {
			case other < 0 || a.failed(w.txn[other]):
				w.slots[at] = i + 1
			case !a.failed(t):
				w.twice = append(w.twice, i)
			}
		}
	}
	if len(w.twice) > 0 {
		i := w.twice[0]
		other := w.find(w.key[i], w.value[i])
		a.undecide(fmt.Sprintf("operations %d and %d write the same value %d to key %s: who was read cannot be known", a.id(w.txn[other]), a.id(w.txn[i]), w.value[i], a.keys[w.key[i]]))
	}
}

func (a *analysis) failed(t int32) bool { return a.h.Ops[t].Outcome == history.Fail }
