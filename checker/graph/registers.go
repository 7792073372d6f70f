package graph

import (
	"fmt"
	"slices"
	"sort"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// ownInt is what a transaction knows of a register while its steps go by.
type ownInt struct {
	value  int64
	absent bool
	known  bool
	wrote  bool
}

// readRegisters checks each transaction against itself, finds the write that each
// outside read saw, and judges aborted and intermediate reads.
func (a *analysis) readRegisters() {
	a.collect()
	deleted := make([]bool, len(a.keys))
	for _, s := range a.steps {
		if s.does == deletes {
			deleted[s.key] = true
		}
	}
	var own []ownInt
	for t := int32(0); t < int32(a.n); t++ {
		if a.h.Ops[t].Outcome != history.OK {
			continue
		}
		a.seen.next()
		for _, s := range a.stepsOf(t) {
			slot, fresh := a.seen.at(s.key)
			if int(slot) == len(own) {
				own = append(own, ownInt{})
			}
			if fresh {
				own[slot] = ownInt{}
			}
			o := &own[slot]
			now := ownInt{value: s.n, absent: s.does == readsAbsent || s.does == deletes, known: true, wrote: o.wrote || s.does.changes()}
			switch {
			case s.does == touches:
				continue
			case s.does.changes():
			case !o.known:
				a.readInt(t, s, deleted[s.key])
			case o.absent != now.absent || !o.absent && o.value != now.value:
				a.finding(internal, s.key, fmt.Sprintf("it read %s after %s", now, o.how()), t)
			}
			*o = now
		}
	}
}

func (o ownInt) String() string {
	if o.absent {
		return "nothing"
	}
	return fmt.Sprint(o.value)
}

func (o ownInt) how() string {
	if o.wrote {
		return "it had left " + o.String() + " there itself"
	}
	return "it had read " + o.String()
}

func (a *analysis) readInt(t int32, s step, deleted bool) {
	w := &a.writes
	initial := history.NoKey()
	if a.o.Initial != nil {
		initial = a.o.Initial(a.keys[s.key])
	}
	x := int32(noWrite)
	if s.does == readsInt {
		x = w.find(s.key, s.n)
	}
	first, isInt := initial.Int()
	if x == noWrite {
		switch {
		case s.does == readsAbsent && deleted:
			// Which delete it saw, nobody can tell without timestamps.
			a.anyDelete = true
			return
		case s.does == readsAbsent && !isInt, s.does == readsInt && isInt && first == s.n:
			a.reads = append(a.reads, readRec{txn: t, key: s.key, of: noWrite})
		case s.does == readsAbsent:
			a.finding(garbage, s.key, fmt.Sprintf("nothing was there, although it held %d from the beginning and nobody deletes", first), t)
		default:
			a.finding(garbage, s.key, fmt.Sprintf("nobody wrote %d, and yet it was read", s.n), t)
		}
		return
	}
	if isInt && first == s.n {
		a.undecide(fmt.Sprintf("key %s holds %d from the beginning, and it is written as well: who was read cannot be known", a.keys[s.key], s.n))
	}
	writer := w.txn[x]
	switch {
	case a.failed(writer):
		a.finding(abortedRead, s.key, fmt.Sprintf("it read %d, whose transaction failed", s.n), t, writer)
		return
	case !w.final[x] && writer != t:
		a.finding(intermediateRead, s.key, fmt.Sprintf("it read %d, after which its transaction wrote again", s.n), t, writer)
	case writer == t:
		a.finding(internal, s.key, fmt.Sprintf("it read %d before it wrote that itself", s.n), t)
		return
	}
	a.in[writer] = true
	a.reads = append(a.reads, readRec{txn: t, key: s.key, of: x})
}

// orderRegisters takes the order of versions from the store.
func (a *analysis) orderRegisters() {
	v, w := &a.order, &a.writes
	stored := newGroups(len(a.keys)) // indexes into the versions
	for pass := 0; pass < 2; pass++ {
		for i := range a.o.Versions {
			if k, ok := a.names.Find(a.o.Versions[i].Key); ok {
				stored.add(k, int32(i))
			}
		}
		stored.nextPass()
	}
	v.shown = make([]int32, len(a.keys))
	v.firstFailed = make([]int32, len(a.keys))
	v.at = make([]int32, len(a.keys)+1)
	for k := range a.keys {
		v.shown[k] = -1
		life := stored.of(int32(k))
		slices.SortStableFunc(life, func(x, y int32) int { return a.o.Versions[x].TS.Compare(a.o.Versions[y].TS) })
		for i := range life {
			s := &a.o.Versions[life[i]]
			if i > 0 {
				if before := &a.o.Versions[life[i-1]]; before.TS == s.TS && before.Value.Equal(s.Value) {
					continue // another replica
				}
			}
			x := a.storedWrite(int32(k), s)
			if x != noWrite {
				w.pos[x] = int32(len(v.write)) - v.at[k]
				if !a.failed(w.txn[x]) {
					a.in[w.txn[x]] = true
				}
			}
			v.write = append(v.write, x)
		}
		v.at[k+1] = int32(len(v.write))
		v.firstFailed[k] = int32(len(v.write))
	}
	kept := a.reads[:0]
	for _, r := range a.reads {
		if r.of != noWrite {
			r.n = w.pos[r.of] + 1
			if r.n == 0 {
				if w.final[r.of] {
					a.finding(lostWrite, r.key, fmt.Sprintf("%d was read and the store never held it", w.value[r.of]), r.txn, w.txn[r.of])
				}
				continue
			}
		}
		kept = append(kept, r)
	}
	a.reads = kept
	a.lostWrites()
}

// storedWrite finds who wrote a stored version. A delete has no value, and is
// found by its timestamp.
func (a *analysis) storedWrite(k int32, s *checker.Version) int32 {
	w := &a.writes
	if n, ok := s.Value.Int(); ok {
		x := w.find(k, n)
		if x != noWrite && w.pos[x] != noWrite {
			a.finding(duplicates, k, fmt.Sprintf("%d was applied a second time at %s", n, s.TS), w.txn[x])
			return noWrite
		}
		if x == noWrite {
			a.finding(garbage, k, fmt.Sprintf("the store applied %d at %s, which nobody wrote", n, s.TS))
		} else if a.failed(w.txn[x]) {
			a.finding(abortedWrite, k, fmt.Sprintf("the store applied %d at %s, whose transaction failed", n, s.TS), w.txn[x])
		}
		return x
	}
	for x := range w.txn {
		if op := &a.h.Ops[w.txn[x]]; w.key[x] == k && w.deletes[x] && w.final[x] && op.TS == s.TS {
			return int32(x)
		}
	}
	return noWrite
}

// partialEdges draws the edges that registers show without a known order: a
// transaction that read one value and wrote another put it right behind, and all
// writes come behind the initial value.
func (a *analysis) partialEdges() {
	w := &a.writes
	n := len(w.txn)
	// Readers and successors of each version; initial versions come after the writes.
	readers := newGroups(n + len(a.keys))
	followers := newGroups(n + len(a.keys))
	version := func(r *readRec) int32 {
		if r.of == noWrite {
			return int32(n) + r.key
		}
		return r.of
	}
	for pass := 0; pass < 2; pass++ {
		for i := range a.reads {
			r := &a.reads[i]
			readers.add(version(r), r.txn)
			if r.of != noWrite {
				if x := a.finalWrite(r.txn, r.key); x != noWrite {
					followers.add(r.of, r.txn)
				}
			}
		}
		for x := range w.txn {
			if t := w.txn[x]; w.final[x] && a.in[t] {
				followers.add(int32(n)+w.key[x], t)
			}
		}
		readers.nextPass()
		followers.nextPass()
	}
	for v := int32(0); v < int32(n+len(a.keys)); v++ {
		rs, fs := readers.of(v), followers.of(v)
		if v < int32(n) {
			writer := w.txn[v]
			for _, r := range rs {
				a.edges.add(writer, r, WR)
			}
			for _, f := range fs {
				a.edges.add(writer, f, WW)
			}
		}
		a.before(rs, fs)
	}
}

// finalWrite is the last write of a transaction to a key. Writes stand in order of
// transactions, so that its own are found by search.
func (a *analysis) finalWrite(t, k int32) int32 {
	w := &a.writes
	for i := sort.Search(len(w.txn), func(i int) bool { return w.txn[i] >= t }); i < len(w.txn) && w.txn[i] == t; i++ {
		if w.key[i] == k && w.final[i] {
			return int32(i)
		}
	}
	return noWrite
}
