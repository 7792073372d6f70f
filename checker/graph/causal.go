package graph

import (
	"slices"

	"simulacrum/checker/history"
)

// causalReverse counts the cycles that appear when real time counts between any
// two transactions, whether they share a key or not. A database without waiting
// does not promise that none do, only that each is consistent in itself: what one
// person saw, another who came later may not see yet. The graph is drawn again,
// with the edges it had and a chain of the moments at which something ended.
func (a *analysis) causalReverse(g *csr, before *condensed) int {
	var l edgeList
	for v := uint32(0); v < uint32(len(g.at)-1); v++ {
		for _, e := range g.of(v) {
			l.add(int32(v), int32(e>>kindBits), Kind(e&kindMask))
		}
	}
	var ended []waiting
	for t := range a.h.Ops {
		if a.in[t] && a.h.Ops[t].Outcome == history.OK {
			ended = append(ended, waiting{int32(t), a.h.Ops[t].Return})
		}
	}
	slices.SortFunc(ended, func(x, y waiting) int {
		if sooner(x, y) {
			return -1
		}
		return 1
	})
	first := int32(len(g.at) - 1)
	for i, w := range ended {
		l.add(w.node, first+int32(i), RealTime)
		if i > 0 {
			l.add(first+int32(i)-1, first+int32(i), link)
		}
	}
	next := 0
	for _, t := range a.byCall() {
		op := &a.h.Ops[t]
		if !a.in[t] || op.Stale {
			continue
		}
		for next < len(ended) && ended[next].end < op.Call {
			next++
		}
		if next > 0 {
			l.add(first+int32(next)-1, t, link)
		}
	}
	after := components(l.build(int(first) + len(ended)))
	// A component that had a cycle before is a violation, and not counted again.
	fresh := 0
	for _, members := range after.members() {
		known := false
		sizes := map[uint32]bool{}
		for _, v := range members {
			if v >= uint32(first) {
				continue
			}
			if sizes[before.of[v]] {
				known = true
				break
			}
			sizes[before.of[v]] = true
		}
		if !known {
			fresh++
		}
	}
	return fresh
}
