package graph

import "slices"

// edgeList collects edges in pieces, so that growing copies nothing.
type edgeList struct {
	pieces [][]rawEdge
	count  [kinds]int64
}

// rawEdge is an edge with its kind in the low bits of the target.
type rawEdge struct{ from, to uint32 }

const (
	kindBits  = 3
	kindMask  = 1<<kindBits - 1
	pieceBits = 14 // a piece holds at most 16 << pieceBits edges
)

func (l *edgeList) add(from, to int32, k Kind) {
	if from == to {
		return
	}
	l.count[k]++
	n := len(l.pieces)
	if n == 0 || len(l.pieces[n-1]) == cap(l.pieces[n-1]) {
		l.pieces = append(l.pieces, make([]rawEdge, 0, 16<<min(n, pieceBits)))
		n++
	}
	l.pieces[n-1] = append(l.pieces[n-1], rawEdge{uint32(from), uint32(to)<<kindBits | uint32(k)})
}

// csr is the graph by source: the edges of v are out[at[v]:at[v+1]].
type csr struct {
	at  []uint32
	out []uint32 // target and kind, as in rawEdge
}

func (g *csr) of(v uint32) []uint32 { return g.out[g.at[v]:g.at[v+1]] }

// build sorts the edges by source, and forgets the list.
func (l *edgeList) build(nodes int) *csr {
	g := &csr{at: make([]uint32, nodes+2)}
	total := 0
	for _, p := range l.pieces {
		total += len(p)
		for _, e := range p {
			g.at[e.from+2]++
		}
	}
	for v := 2; v < len(g.at); v++ {
		g.at[v] += g.at[v-1]
	}
	g.out = make([]uint32, total)
	for i, p := range l.pieces {
		for _, e := range p {
			g.out[g.at[e.from+1]] = e.to
			g.at[e.from+1]++
		}
		l.pieces[i] = nil
	}
	g.at = g.at[:nodes+1]
	l.pieces = nil
	return g
}

// groups collects numbers by group in two passes: the first counts, the second
// fills.
type groups struct {
	at     []int32
	items  []int32
	filled bool
}

func newGroups(n int) *groups { return &groups{at: make([]int32, n+2)} }

func (g *groups) add(group, item int32) {
	if !g.filled {
		g.at[group+2]++
		return
	}
	g.items[g.at[group+1]] = item
	g.at[group+1]++
}

func (g *groups) nextPass() {
	if g.filled {
		return
	}
	for i := 2; i < len(g.at); i++ {
		g.at[i] += g.at[i-1]
	}
	g.items = make([]int32, g.at[len(g.at)-1])
	g.filled = true
}

func (g *groups) of(group int32) []int32 { return g.items[g.at[group]:g.at[group+1]] }

// orderedEdges draws the edges between neighbours in the order of versions. What
// lies further apart follows through those between.
func (a *analysis) orderedEdges() {
	v, w := &a.order, &a.writes
	// Of each version, the nearest transaction that takes part, at or before it and
	// at or after it.
	before, after := make([]int32, len(v.write)), make([]int32, len(v.write))
	lastOf := make([]int32, len(a.keys))
	for k := range a.keys {
		prev := int32(-1)
		for i := v.at[k]; i < v.at[k+1]; i++ {
			if x := v.write[i]; x != noWrite && a.in[w.txn[x]] {
				if t := w.txn[x]; t != prev {
					if prev >= 0 {
						a.edges.add(prev, t, WW)
					}
					prev = t
				}
			}
			before[i] = prev
		}
		lastOf[k] = prev
		next := int32(-1)
		for i := v.at[k+1] - 1; i >= v.at[k]; i-- {
			if x := v.write[i]; x != noWrite && a.in[w.txn[x]] {
				next = w.txn[x]
			}
			after[i] = next
		}
	}
	unplaced := a.unplaced()
	full := newGroups(len(a.keys)) // who saw all versions of a key
	for pass := 0; pass < 2; pass++ {
		for i := range a.reads {
			r := &a.reads[i]
			at := v.at[r.key] + r.n
			seesAll := at == v.at[r.key+1] || after[at] < 0
			if seesAll && len(unplaced.of(r.key)) > 0 {
				full.add(r.key, r.txn)
			}
			if pass > 0 {
				continue
			}
			if r.n > 0 && before[at-1] >= 0 {
				a.edges.add(before[at-1], r.txn, WR)
			}
			if !seesAll {
				a.edges.add(r.txn, after[at], RW)
			}
		}
		full.nextPass()
	}
	for k := range a.keys {
		late := unplaced.of(int32(k))
		if lastOf[k] >= 0 {
			for _, t := range late {
				a.edges.add(lastOf[k], t, WW)
			}
		}
		a.before(full.of(int32(k)), late)
	}
}

// unplaced groups by key the transactions that certainly wrote and whose write
// nobody saw. Their versions come behind all that were seen, in an order that
// nobody knows. Only lists allow that conclusion: a register is overwritten.
func (a *analysis) unplaced() *groups {
	w := &a.writes
	g := newGroups(len(a.keys))
	for pass := 0; pass < 2; pass++ {
		for x := range w.txn {
			if a.check == "list-append" && w.pos[x] == noWrite && w.final[x] && a.in[w.txn[x]] {
				g.add(w.key[x], w.txn[x])
			}
		}
		g.nextPass()
	}
	return g
}

// before draws the edges from readers of a version to all writers that come
// behind, other than themselves. Both lists ascend. An auxiliary node keeps the
// number of edges linear: readers lead to it and it leads to the writers. That
// cannot serve a reader who is one of the writers, who would come before himself;
// where there is one, he gets edges of his own, and where there are two, each has
// missed the other's write, which is a cycle and is enough.
func (a *analysis) before(readers, writers []int32) {
	if len(readers) == 0 || len(writers) == 0 {
		return
	}
	hub := int32(-1)
	star := int32(-1)
	for _, r := range readers {
		_, both := slices.BinarySearch(writers, r)
		switch {
		case both && star < 0:
			star = r
			for _, t := range writers {
				a.edges.add(r, t, RW)
			}
		case both:
			a.edges.add(star, r, RW)
			a.edges.add(r, star, RW)
		case len(writers) == 1:
			a.edges.add(r, writers[0], RW)
		default:
			if hub < 0 {
				hub = a.newAux()
				for _, t := range writers {
					a.edges.add(hub, t, link)
				}
			}
			a.edges.add(r, hub, RW)
		}
	}
}

func (a *analysis) newAux() int32 {
	a.aux++
	return int32(a.n + a.aux - 1)
}
