package storage

import (
	"bytes"

	"simulacrum/sim/env"
)

// A run that grows at its front is a span of keys of which this holds: what a commit
// puts there lies before every key that was there already and that it neither puts
// again nor deletes. Versions of one key, newest first, are such a run.
//
// Its first key is then in the newest source that has any put of the run which still
// stands. For suppose that source S has the key q, and the first key f < q is in an
// older one: when q was put, f was there, lay before it and was left alone. What
// memtables and the tables of level 0 hold is ordered by commits. Below, it is only so
// key by key: a table that holds the older versions of a run may go down a level after
// the one that holds the newer.

// maxGone is how many deleted keys of a run are remembered, before it is read as any
// other span.
const maxGone = 4

// front looks for the first key of a run.
type front struct {
	lo, hi []byte
	seq    uint64
	gone   [maxGone][]byte // keys whose newest entry, in the sources so far, is a deletion
	nGone  int
	seen   int64 // keys
	full   bool  // there were more deletions than can be remembered
}

// front is the first key of the run [lo, hi), as Front promises it.
func (e *Engine) front(extra *memtable, seq uint64, lo, hi []byte) (k, v []byte, ok bool, err error) {
	f := front{lo: lo, hi: hi, seq: seq}
	if c, ok := e.newestFront(&f, extra); ok {
		e.env.Charge(env.ClassKey, f.seen)
		return c.key, c.val, true, nil
	}
	i := e.newIter(e.state, extra, seq, lo, hi)
	defer i.Close()
	if !i.First() {
		return nil, nil, false, i.Err()
	}
	return i.Key(), i.Value(), true, nil
}

// newestFront looks through the sources that are ordered by commits.
func (e *Engine) newestFront(f *front, extra *memtable) (c entry, ok bool) {
	if extra != nil {
		if c, ok := e.frontOfMem(f, extra); ok || f.full {
			return c, ok
		}
	}
	for _, m := range e.state.mems {
		if c, ok := e.frontOfMem(f, m); ok || f.full {
			return c, ok
		}
	}
	for _, t := range e.state.levels[0] {
		if bytes.Compare(f.lo, t.hi) >= 0 || bytes.Compare(t.lo, f.hi) >= 0 {
			continue
		}
		e.frontTable = tableIter{t: t}
		c, ok := f.of(&e.frontTable, t.dels)
		if e.frontTable.e != nil { // the iterator that is made instead will say so
			return c, false
		}
		if ok || f.full {
			return c, ok
		}
	}
	return c, false
}

func (e *Engine) frontOfMem(f *front, m *memtable) (c entry, ok bool) {
	e.frontMem.m = m
	return f.of(&e.frontMem, &m.dels)
}

// of is the first key of the run in one source, given what newer ones have deleted.
func (f *front) of(s source, dels *rangeDels) (_ entry, ok bool) {
	if dels.touch(f.lo, f.hi) {
		f.full = true // rare: of a range that was cleared
		return entry{}, false
	}
	c := s.cur()
	for s.seekGE(f.lo, f.seq); c.ok && bytes.Compare(c.key, f.hi) < 0; {
		key := c.key
		if c.trailer.seq() > f.seq {
			s.seekGE(key, f.seq)
			continue // with the newest entry of the key that is to be seen, or a later key
		}
		if !f.isGone(key) {
			f.seen++
			if c.trailer.kind() == kindPut {
				return *c, true
			}
			if f.nGone == maxGone {
				f.full = true
				return entry{}, false
			}
			f.gone[f.nGone] = key
			f.nGone++
		}
		pass(s, c, key)
	}
	return entry{}, false
}

func (f *front) isGone(key []byte) bool {
	for _, k := range f.gone[:f.nGone] {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// touch reports that something in [lo, hi) was deleted as part of a range.
func (r *rangeDels) touch(lo, hi []byte) bool {
	if len(r.frags) == 0 {
		return false
	}
	i := r.find(lo)
	return i < len(r.frags) && bytes.Compare(r.frags[i].lo, hi) < 0
}
