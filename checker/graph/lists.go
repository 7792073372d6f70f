package graph

import (
	"fmt"
	"slices"

	"simulacrum/checker/history"
)

// The names of what is wrong without a cycle, and of the one cycle that has a name
// of its own.
const (
	abortedRead      = "G1a"
	intermediateRead = "G1b"
	internal         = "internal"
	dirtyUpdate      = "dirty-update"
	incompatible     = "incompatible-order"
	duplicates       = "duplicate-elements"
	garbage          = "garbage-read"
	lostUpdate       = "lost-update"
	lostWrite        = "lost-write"
	abortedWrite     = "aborted-write"
)

// ownList is what a transaction knows of a list while its steps go by.
type ownList struct {
	read  []int64 // what it last read
	have  bool
	since []int64 // what it has appended since
}

// readLists checks each transaction against itself and keeps what it saw from
// outside.
func (a *analysis) readLists() {
	a.collect()
	a.reads = make([]readRec, 0, len(a.lists))
	var own []ownList
	for t := int32(0); t < int32(a.n); t++ {
		if a.h.Ops[t].Outcome != history.OK {
			continue
		}
		a.seen.next()
		for _, s := range a.stepsOf(t) {
			slot, fresh := a.seen.at(s.key)
			if fresh {
				if int(slot) == len(own) {
					own = append(own, ownList{})
				}
				o := &own[slot]
				o.read, o.have, o.since = nil, false, o.since[:0]
			}
			o := &own[slot]
			switch s.does {
			case writes:
				o.since = append(o.since, s.n)
			case readsList:
				a.readList(t, s, o)
			}
		}
	}
}

func (a *analysis) readList(t int32, s step, o *ownList) {
	list := a.lists[s.n]
	base := len(list) - len(o.since)
	if o.have {
		if base != len(o.read) || !sameList(list[:base], o.read) || !slices.Equal(list[base:], o.since) {
			a.finding(internal, s.key, fmt.Sprintf("it read %s after it had read %s and appended %s itself", show(list), show(o.read), show(o.since)), t)
		}
	} else if base < 0 || !slices.Equal(list[base:], o.since) {
		a.finding(internal, s.key, fmt.Sprintf("it read %s after it had appended %s itself", show(list), show(o.since)), t)
	} else {
		a.reads = append(a.reads, readRec{txn: t, key: s.key, n: int32(base), of: int32(s.n)})
	}
	o.read, o.have, o.since = list, true, o.since[:0]
}

// sameList compares, without looking where both are the same memory.
func sameList(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}

// versionOrder is the order of each key's versions, one after another: those of
// key k are write[at[k]:at[k+1]].
type versionOrder struct {
	at    []int32
	write []int32 // noWrite where nobody wrote it
	// shown is the transaction whose read shows the order of a key; -1 when the
	// stored versions do, or nobody.
	shown []int32
	// firstFailed is the first place that a failed transaction wrote, or the length.
	firstFailed []int32
	list        [][]int64 // lists only: the elements
}

func (v *versionOrder) of(key int32) []int32 { return v.write[v.at[key]:v.at[key+1]] }

// orderLists takes the longest list that anybody read of each key as the order of
// its versions.
func (a *analysis) orderLists() {
	v := &a.order
	v.shown = make([]int32, len(a.keys))
	v.list = make([][]int64, len(a.keys))
	for k := range v.shown {
		v.shown[k] = -1
	}
	for i := range a.reads {
		if r := &a.reads[i]; int(r.n) > len(v.list[r.key]) {
			v.list[r.key], v.shown[r.key] = a.lists[r.of][:r.n], r.txn
		}
	}
	for i := range a.o.Versions {
		s := &a.o.Versions[i]
		k, ok := a.names.Find(s.Key)
		if !ok {
			continue
		}
		list, longest := s.Value.List(), v.list[k]
		if n := min(len(list), len(longest)); !sameList(list[:n], longest[:n]) {
			a.finding(incompatible, k, fmt.Sprintf("the store held %s at %s, which contradicts %s", show(list), s.TS, show(longest)), v.shown[k])
		} else if len(list) > n {
			v.list[k], v.shown[k] = list, -1
		}
	}
	total := 0
	for _, l := range v.list {
		total += len(l)
	}
	v.write = make([]int32, 0, total)
	v.firstFailed = make([]int32, len(a.keys))
	v.at = make([]int32, 1, len(a.keys)+1)
	for k := range a.keys {
		a.orderList(int32(k))
		v.at = append(v.at, int32(len(v.write)))
	}
	a.ownOrder()
	if a.o.Versions != nil {
		a.lostWrites()
	}
}

// ownOrder: what one transaction appended to a key stands in its own order, and
// the last of it not without the first.
func (a *analysis) ownOrder() {
	w := &a.writes
	for x := range w.txn {
		if w.final[x] {
			continue
		}
		y := x + 1
		for w.key[y] != w.key[x] {
			y++
		}
		if w.pos[y] != noWrite && (w.pos[x] == noWrite || w.pos[x] > w.pos[y]) {
			a.finding(incompatible, w.key[x], fmt.Sprintf("%d was appended after %d by the same transaction, and %s was read", w.value[y], w.value[x], show(a.order.list[w.key[x]])), w.txn[x], a.order.shown[w.key[x]])
		}
	}
}

// orderList gives the elements of one key's longest list their writers.
func (a *analysis) orderList(k int32) {
	v, w := &a.order, &a.writes
	v.firstFailed[k] = int32(len(v.list[k]))
	for i, e := range v.list[k] {
		x := w.find(k, e)
		switch {
		case x == noWrite:
			a.finding(garbage, k, fmt.Sprintf("nobody appended %d, and yet %s was read", e, show(v.list[k])), v.shown[k])
		case w.pos[x] != noWrite:
			a.finding(duplicates, k, fmt.Sprintf("%d stands twice in %s", e, show(v.list[k])), v.shown[k], w.txn[x])
			x = noWrite
		case a.failed(w.txn[x]):
			v.firstFailed[k] = min(v.firstFailed[k], int32(i))
			w.pos[x] = int32(i)
		default:
			w.pos[x] = int32(i)
			a.in[w.txn[x]] = true
			if f := v.firstFailed[k]; int(f) < i {
				bad := v.write[int(v.at[k])+int(f)]
				a.finding(dirtyUpdate, k, fmt.Sprintf("%d was appended behind %d, whose transaction failed", e, w.value[bad]), w.txn[x], w.txn[bad])
				v.firstFailed[k] = f
			}
		}
		v.write = append(v.write, x)
	}
}

// matchPrefixes compares every read with the order of its key, of which it must
// be a beginning that ends where a transaction ended.
func (a *analysis) matchPrefixes() {
	v, w := &a.order, &a.writes
	kept := a.reads[:0]
	own := 0 // writes stand in the order of transactions, as the reads do
	for _, r := range a.reads {
		for own < len(w.txn) && w.txn[own] < r.txn {
			own++
		}
		early := false
		for i := own; i < len(w.txn) && w.txn[i] == r.txn; i++ {
			if w.key[i] == r.key && w.pos[i] != noWrite && w.pos[i] < r.n {
				early = true
				a.finding(internal, r.key, fmt.Sprintf("it read %s before it appended %d itself", show(a.lists[r.of][:r.n]), w.value[i]), r.txn)
				break
			}
		}
		if early {
			continue
		}
		list, longest := a.lists[r.of][:r.n], v.list[r.key]
		if int(r.n) > len(longest) || !sameList(list, longest[:r.n]) {
			a.mismatch(r, list)
			continue
		}
		if r.n > v.firstFailed[r.key] {
			bad := v.of(r.key)[v.firstFailed[r.key]]
			a.finding(abortedRead, r.key, fmt.Sprintf("%s contains %d, whose transaction failed", show(list), a.writes.value[bad]), r.txn, a.writes.txn[bad])
		}
		if r.n > 0 {
			a.intermediate(r.txn, r.key, v.of(r.key)[r.n-1], list)
		}
		kept = append(kept, r)
	}
	a.reads = kept
}

func (a *analysis) intermediate(t, k, x int32, list []int64) {
	if w := &a.writes; x != noWrite && !w.final[x] && w.txn[x] != t {
		a.finding(intermediateRead, k, fmt.Sprintf("%s ends in %d, after which its transaction wrote again", show(list), w.value[x]), t, w.txn[x])
	}
}

// mismatch explains a read that is no beginning of the order of its key.
func (a *analysis) mismatch(r readRec, list []int64) {
	v, w := &a.order, &a.writes
	a.finding(incompatible, r.key, fmt.Sprintf("%s and %s cannot both have been", show(list), show(v.list[r.key])), r.txn, v.shown[r.key])
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	for i, e := range sorted {
		if i > 0 && sorted[i-1] == e {
			a.finding(duplicates, r.key, fmt.Sprintf("%d stands twice in %s", e, show(list)), r.txn)
			continue
		}
		x := w.find(r.key, e)
		switch {
		case x == noWrite:
			a.finding(garbage, r.key, fmt.Sprintf("nobody appended %d, and yet %s was read", e, show(list)), r.txn)
		case a.failed(w.txn[x]):
			a.finding(abortedRead, r.key, fmt.Sprintf("%s contains %d, whose transaction failed", show(list), e), r.txn, w.txn[x])
		default:
			a.in[w.txn[x]] = true
		}
	}
	if n := len(list); n > 0 {
		a.intermediate(r.txn, r.key, w.find(r.key, list[n-1]), list)
	}
}

// lostWrites: with all versions known, what certainly happened must be among them.
func (a *analysis) lostWrites() {
	w := &a.writes
	for i := range w.txn {
		t := w.txn[i]
		if a.in[t] && w.pos[i] == noWrite && !w.deletes[i] && (w.final[i] || a.check == "list-append") {
			a.finding(lostWrite, w.key[i], fmt.Sprintf("%d was written by a transaction that certainly happened, and the store never held it", w.value[i]), t)
		}
	}
}
