package graph

import "slices"

// Bounds of the search for short cycles. They are counted in edges looked at, so
// that every machine finds the same cycle.
const (
	maxExplained = 32         // components whose cycles are searched
	maxVisits    = 20_000_000 // edges looked at for one kind of cycle in one component
	shortVisits  = 2_000      // edges looked at from one beginning, at first
)

// hop is one edge of a cycle between transactions.
type hop struct {
	from, to int32
	kind     Kind
}

// shape is a kind of cycle: it has at least one edge of the first kind, and
// otherwise only edges of allowed kinds.
type shape struct {
	must    Kind
	allowed uint16
	apart   bool // no two anti-dependencies next to each other
}

func mask(ks ...Kind) uint16 {
	m := uint16(1 << link)
	for _, k := range ks {
		m |= 1 << k
	}
	return m
}

// shapes lists, from worst to mildest, what is looked for among data edges and
// some more. Of the last three only the first that is found is told: they grow out
// of each other.
func shapes(more ...Kind) []shape {
	ww := mask(append(more, WW)...)
	wr := ww | mask(WR)
	rw := wr | mask(RW)
	out := []shape{{WW, ww, false}, {WR, wr, false}, {RW, wr, false}, {RW, rw, true}, {RW, rw, false}}
	if len(more) > 0 {
		// A cycle of these alone and of writes has no dependency that must be there.
		out = append([]shape{{more[len(more)-1], ww, false}}, out[1:]...)
	}
	return out
}

// hunter looks for short cycles inside one component.
type hunter struct {
	g       *csr
	of      []uint32
	members []uint32
	// seen holds for each node, with and without an anti-dependency just behind, the
	// search that reached it and from where.
	seen  []int32
	from  []uint32
	via   []Kind
	now   int32
	queue []uint32
}

// explainCycles finds a short cycle of each kind in each component.
func (a *analysis) explainCycles(g *csr, c *condensed) {
	if c.cyclic == 0 {
		return
	}
	n := len(g.at) - 1
	hu := &hunter{g: g, of: c.of, seen: make([]int32, 2*n), from: make([]uint32, 2*n), via: make([]Kind, 2*n)}
	levels := [][]shape{shapes(), shapes(Session), shapes(Session, RealTime)}
	for i, members := range c.members() {
		if i == maxExplained {
			break
		}
		hu.members = members
		told := false
		for _, level := range levels {
			for s, sh := range level {
				cycle := hu.shortest(sh)
				if cycle == nil {
					continue
				}
				told = true
				a.tell(a.shorten(cycle))
				if s >= 2 {
					break
				}
			}
			if told {
				break
			}
		}
		if !told {
			// The component is too large to be searched for each kind. Any cycle will do.
			for _, e := range g.of(members[0]) {
				if to := e >> kindBits; c.of[to] == c.of[members[0]] {
					a.tell(a.shorten(hu.close(members[0], e, shape{allowed: 1<<kinds - 1}, nil)))
					break
				}
			}
		}
	}
}

// shortest is a shortest cycle of a shape, nil when there is none (or none was
// found within the bound). Most cycles are short: so every edge has a small search
// first, and only when none finds anything do they search as far as it takes.
func (hu *hunter) shortest(sh shape) []hop {
	var best []hop
	left := maxVisits
	for _, most := range [2]int{shortVisits, maxVisits} {
		cut := false
		for _, u := range hu.members {
			for _, e := range hu.g.of(u) {
				if Kind(e&kindMask) != sh.must || hu.of[e>>kindBits] != hu.of[u] {
					continue
				}
				budget := min(most, left)
				before := budget
				c := hu.close(u, e, sh, &budget)
				left -= before - budget
				cut = cut || budget <= 0
				if c != nil && (best == nil || len(c) < len(best)) {
					best = c
				}
				if len(best) == 2 || left <= 0 {
					return best
				}
			}
		}
		if best != nil || !cut {
			return best
		}
	}
	return nil
}

// close finds the shortest way back from the end of an edge to its beginning,
// breadth first, while the budget lasts; a nil budget lasts for ever.
func (hu *hunter) close(u uint32, first uint32, sh shape, budget *int) []hop {
	hu.now++
	state := func(v uint32, k Kind, before uint32) uint32 {
		// Through an auxiliary node an edge goes on, and stays what it is.
		if sh.apart && (k == RW || k == link && before&1 == 1) {
			return v<<1 | 1
		}
		return v << 1
	}
	start := state(first>>kindBits, Kind(first&kindMask), 0)
	hu.seen[start] = hu.now
	hu.from[start] = start
	hu.queue = append(hu.queue[:0], start)
	for i := 0; i < len(hu.queue); i++ {
		s := hu.queue[i]
		for _, e := range hu.g.of(s >> 1) {
			if budget != nil {
				if *budget--; *budget <= 0 {
					return nil
				}
			}
			w, k := e>>kindBits, Kind(e&kindMask)
			if hu.of[w] != hu.of[u] || sh.allowed&(1<<k) == 0 || sh.apart && s&1 == 1 && k == RW {
				continue
			}
			next := state(w, k, s)
			if w == u {
				if next&1 == 1 && sh.apart {
					continue // the cycle begins with an anti-dependency
				}
				return hu.path(u, first, s, k)
			}
			if hu.seen[next] == hu.now {
				continue
			}
			hu.seen[next], hu.from[next], hu.via[next] = hu.now, s, k
			hu.queue = append(hu.queue, next)
		}
	}
	return nil
}

// path reads the cycle off the search, from u over its first edge and back by an
// edge of the last kind from state s.
func (hu *hunter) path(u, first, s uint32, last Kind) []hop {
	kind := []Kind{last}
	node := []uint32{s >> 1}
	for hu.from[s] != s {
		kind = append(kind, hu.via[s])
		s = hu.from[s]
		node = append(node, s>>1)
	}
	kind = append(kind, Kind(first&kindMask))
	node = append(node, u)
	slices.Reverse(kind)
	slices.Reverse(node)
	var out []hop
	for i, v := range node {
		to := node[(i+1)%len(node)]
		if kind[i] == link {
			out[len(out)-1].to = int32(to)
			continue
		}
		out = append(out, hop{int32(v), int32(to), kind[i]})
	}
	return out
}

// shorten joins neighbours in time: the edges of the graph leave out what follows
// through others, and a cycle is better told without those.
func (a *analysis) shorten(c []hop) []hop {
	timed := func(k Kind) bool { return k == Session || k == RealTime }
	for again := true; again && len(c) > 2; {
		again = false
		for i := range c {
			j := (i + 1) % len(c)
			if !timed(c[i].kind) || !timed(c[j].kind) || len(c) <= 2 {
				continue
			}
			k, ok := a.joined(c[i].from, c[j].to)
			if !ok {
				continue
			}
			c[i].to, c[i].kind = c[j].to, k
			c = slices.Delete(c, j, j+1)
			again = true
			break
		}
	}
	// The least transaction comes first, so that the same cycle reads the same.
	least := 0
	for i := range c {
		if c[i].from < c[least].from {
			least = i
		}
	}
	return append(slices.Clone(c[least:]), c[:least]...)
}

// joined tells whether time alone puts t before u, and how.
func (a *analysis) joined(t, u int32) (Kind, bool) {
	x, y := &a.h.Ops[t], &a.h.Ops[u]
	if x.End() >= y.Call || y.Stale {
		return 0, false
	}
	if _, ok := a.meet(t, u); ok && !a.o.NoRealTime {
		return RealTime, true
	}
	if a.o.NoSessions || x.Stale {
		return 0, false
	}
	if a.o.Session != nil {
		return Session, a.o.Session(x) != "" && a.o.Session(x) == a.o.Session(y)
	}
	return Session, x.Client == y.Client && x.Gateway == y.Gateway
}

// label names a cycle by its edges.
func label(c []hop) string {
	var n [kinds]int
	adjacent := false
	for i := range c {
		n[c[i].kind]++
		if c[i].kind == RW && c[(i+1)%len(c)].kind == RW {
			adjacent = true
		}
	}
	name := "G0"
	switch {
	case n[RW] == 1:
		name = "G-single"
	case n[RW] > 1 && adjacent:
		name = "G2-item"
	case n[RW] > 1:
		name = "G-nonadjacent"
	case n[WR] > 0:
		name = "G1c"
	}
	switch {
	case n[RealTime] > 0:
		name += "-realtime"
	case n[Session] > 0:
		name += "-session"
	}
	return name
}
