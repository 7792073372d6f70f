package graph

import (
	"sort"

	"simulacrum/checker/history"
)

// waiting is a transaction that has ended, and whose edge to what begins now does
// not follow from later edges.
type waiting struct {
	node int32
	end  int64
}

// frontier is what has ended on one key. Only a writer makes earlier ones
// superfluous: they conflict with it, it conflicts with all that follow.
type frontier struct {
	writers, readers []waiting
}

// crowd is how many readers of a key may wait before an auxiliary node stands for
// them all: a key that many read and that only writers of unknown outcome touch
// would otherwise link each of these to each reader.
const crowd = 32

// clock walks through the history in true time, one event after another.
type clock struct {
	a     *analysis
	open  []waiting // a heap by end
	keys  []frontier
	dedup []int32 // of each node, the last target it was linked to
	seen  scratch
	reads []bool // of each slot in seen, whether the transaction only reads there
	key   []int32

	sessions   map[string]int32
	sessionOf  []int32
	ofSessions []frontier
}

// timeEdges draws session edges and keyed real-time edges. It goes through
// beginnings and ends in order of time and keeps for each key those that ended and
// are not yet followed, which is about as many as run at once; a pair that is not
// linked directly is linked through others (the transitive reduction of an
// interval order, as in Elle).
func (a *analysis) timeEdges() {
	if a.o.NoRealTime && a.o.NoSessions {
		return
	}
	c := &clock{a: a, keys: make([]frontier, len(a.keys)), sessions: map[string]int32{}}
	c.dedup = make([]int32, a.n, a.n+16)
	c.seen.size(len(a.keys))
	if !a.o.NoSessions {
		c.nameSessions()
	}
	for _, t := range a.byCall() {
		op := &a.h.Ops[t]
		if !a.in[t] {
			continue
		}
		for len(c.open) > 0 && c.open[0].end < op.Call {
			c.end(c.pop())
		}
		c.begin(t)
		if op.Outcome == history.OK {
			c.push(waiting{t, op.Return})
		}
	}
}

// byCall is the transactions in order of their calls, which is normally theirs.
func (a *analysis) byCall() []int32 {
	order := make([]int32, a.n)
	sorted := true
	for i := range order {
		order[i] = int32(i)
		sorted = sorted && (i == 0 || a.h.Ops[i-1].Call <= a.h.Ops[i].Call)
	}
	if !sorted {
		sort.SliceStable(order, func(i, j int) bool { return a.h.Ops[order[i]].Call < a.h.Ops[order[j]].Call })
	}
	return order
}

func (c *clock) nameSessions() {
	a := c.a
	c.sessionOf = make([]int32, a.n)
	type pair struct{ client, gateway string }
	byPair := map[pair]int32{}
	for t := range a.h.Ops {
		op := &a.h.Ops[t]
		c.sessionOf[t] = -1
		if !a.in[t] || op.Stale {
			continue
		}
		var id int32
		var ok bool
		if a.o.Session == nil {
			p := pair{op.Client, op.Gateway}
			if id, ok = byPair[p]; !ok {
				id = int32(len(c.ofSessions))
				byPair[p] = id
			}
		} else {
			name := a.o.Session(op)
			if name == "" {
				continue
			}
			if id, ok = c.sessions[name]; !ok {
				id = int32(len(c.ofSessions))
				c.sessions[name] = id
			}
		}
		if !ok {
			c.ofSessions = append(c.ofSessions, frontier{})
		}
		c.sessionOf[t] = id
	}
}

// touched lists the keys of a transaction in c.key, with c.reads. Of one whose
// outcome nobody knows only the writes count: whether its reads were served is
// not known.
func (c *clock) touched(t int32) {
	c.seen.next()
	c.key, c.reads = c.key[:0], c.reads[:0]
	info := c.a.h.Ops[t].Outcome == history.Info
	for _, s := range c.a.stepsOf(t) {
		changes := s.does.changes()
		if info && !changes {
			continue
		}
		slot, fresh := c.seen.at(s.key)
		if fresh {
			c.key, c.reads = append(c.key, s.key), append(c.reads, true)
		}
		if changes {
			c.reads[slot] = false
		}
	}
}

// begin links what has ended to a transaction that begins.
func (c *clock) begin(t int32) {
	a := c.a
	op := &a.h.Ops[t]
	if op.Stale {
		return
	}
	if c.sessionOf != nil && c.sessionOf[t] >= 0 {
		c.link(c.ofSessions[c.sessionOf[t]].writers, t, Session)
	}
	if a.o.NoRealTime {
		return
	}
	c.touched(t)
	for i, k := range c.key {
		f := &c.keys[k]
		if c.reads[i] {
			if !a.o.SkewExceeded {
				c.link(f.writers, t, RealTime)
			}
			continue
		}
		c.link(f.writers, t, RealTime)
		if len(f.readers) > crowd {
			f.readers = append(f.readers[:0], c.gather(f.readers))
		}
		c.link(f.readers, t, RealTime)
	}
}

func (c *clock) link(from []waiting, t int32, k Kind) {
	for _, f := range from {
		if f.node >= int32(c.a.n) {
			c.a.edges.add(f.node, t, link)
		} else if c.dedup[f.node] != t+1 {
			c.dedup[f.node] = t + 1
			c.a.edges.add(f.node, t, k)
		}
	}
}

// gather lets one auxiliary node stand for many that ended.
func (c *clock) gather(from []waiting) waiting {
	w := waiting{node: c.a.newAux()}
	for _, f := range from {
		k := RealTime
		if f.node >= int32(c.a.n) {
			k = link
		}
		c.a.edges.add(f.node, w.node, k)
		w.end = max(w.end, f.end)
	}
	return w
}

// end lets a transaction wait for what begins after it, in the place of those that
// it followed.
func (c *clock) end(w waiting) {
	a := c.a
	call := a.h.Ops[w.node].Call
	if c.sessionOf != nil && c.sessionOf[w.node] >= 0 {
		f := &c.ofSessions[c.sessionOf[w.node]]
		f.writers = append(unfollowed(f.writers, call), w)
	}
	if a.o.NoRealTime {
		return
	}
	stale := a.h.Ops[w.node].Stale
	c.touched(w.node)
	for i, k := range c.key {
		f := &c.keys[k]
		if c.reads[i] {
			f.readers = append(f.readers, w)
			continue
		}
		if !stale { // a read of the past follows nobody, and it does not write
			f.readers = unfollowed(f.readers, call)
			f.writers = unfollowed(f.writers, call)
		}
		f.writers = append(f.writers, w)
	}
}

// unfollowed drops those that ended before call.
func unfollowed(ws []waiting, call int64) []waiting {
	n := 0
	for _, w := range ws {
		if w.end >= call {
			ws[n] = w
			n++
		}
	}
	return ws[:n]
}

func (c *clock) push(w waiting) {
	h := append(c.open, w)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !sooner(h[i], h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	c.open = h
}

func (c *clock) pop() waiting {
	h := c.open
	top := h[0]
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < n && sooner(h[down], h[least]) {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	c.open = h
	return top
}

func sooner(a, b waiting) bool { return a.end < b.end || a.end == b.end && a.node < b.node }
