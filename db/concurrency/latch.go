package concurrency

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tidwall/btree"

	"simulacrum/db/keys"
	"simulacrum/sim/env"
)

// Access says what a request will do with a span.
type Access uint8

// The kinds of access. Two reads never conflict.
const (
	Read Access = iota
	Write
)

// String is "r" or "w".
func (a Access) String() string {
	if a == Write {
		return "w"
	}
	return "r"
}

// Latch is one claim. A nil EndKey claims the single key. The keys must not be
// changed while the claim stands.
type Latch struct {
	Span   keys.Span
	Access Access
}

// Guard is what a request was given for its claims.
type Guard struct {
	latches []claim
	// blocked lists the guards that count this one in waitingFor, once for each
	// pair of conflicting claims.
	blocked []*Guard
	// waitingFor is the number of conflicting pairs with earlier guards that are
	// not released. The guard holds its claims exactly when it is 0.
	waitingFor int
	task       env.Task // who waits, while it does
	seq        uint64   // order of arrival, for printing
	released   bool
	inline     [2]claim
}

// claim is one latch in the structure.
type claim struct {
	guard      *Guard
	span       keys.Span
	access     Access
	prev, next *claim // neighbours in the point queue, oldest first
	point      *point
}

// point is the line of claims on one single key.
type point struct {
	key        keys.Key
	head, tail *claim
}

// Manager keeps the latches of one range. The zero Manager is ready to use, and
// owns nothing until the first Acquire.
type Manager struct {
	// points has an entry for each single key that is claimed, and no other.
	points *btree.BTreeG[*point]
	// ranges are the claims of spans, in order of arrival. Scans and whole-range
	// operations are few at a time: a list beats an interval tree.
	ranges []*claim
	seq    uint64
	guards int // not yet released

	freeGuards []*Guard
	freePoints []*point
	probe      point // scratch for lookups
}

// Len is the number of guards that hold or wait.
func (m *Manager) Len() int { return m.guards }

// Acquire claims all the latches at once and waits until they are held. When the
// wait ends with an error nothing is claimed.
func (m *Manager) Acquire(t env.Task, latches []Latch) (*Guard, error) {
	g := m.enter(latches)
	for g.waitingFor > 0 {
		g.task = t
		err := t.Park("latch", -1)
		g.task = nil
		if err != nil && g.waitingFor > 0 {
			m.Release(g)
			return nil, err
		}
	}
	return g, nil
}

// Release gives the claims back and lets those go who waited for the last of
// what blocked them.
func (m *Manager) Release(g *Guard) {
	if g.released {
		panic("concurrency: guard released twice")
	}
	g.released = true
	m.guards--
	for i := range g.latches {
		m.remove(&g.latches[i])
	}
	for i, b := range g.blocked {
		g.blocked[i] = nil
		b.waitingFor--
		if b.waitingFor == 0 && b.task != nil {
			b.task.Wake()
		}
	}
	if g.waitingFor == 0 {
		// A guard that left the line early is still listed by those it waited for
		// and is not used again.
		m.recycle(g)
	}
}

// enter puts the claims into the structure and counts what they wait for.
func (m *Manager) enter(latches []Latch) *Guard {
	g := m.newGuard(len(latches))
	m.seq++
	g.seq = m.seq
	m.guards++
	for i := range latches {
		g.latches = append(g.latches, claim{guard: g, span: latches[i].Span, access: latches[i].Access})
	}
	for i := range g.latches { // after the last append: claims are linked by address
		m.insert(&g.latches[i])
	}
	return g
}

func (m *Manager) insert(c *claim) {
	for _, o := range m.ranges {
		if overlaps(o.span, c.span) {
			wait(c, o)
		}
	}
	if len(c.span.EndKey) > 0 {
		m.waitForPoints(c)
		m.ranges = append(m.ranges, c)
		return
	}
	p := m.point(c.span.Key)
	for o := p.head; o != nil; o = o.next {
		wait(c, o)
	}
	c.point, c.prev = p, p.tail
	if p.tail != nil {
		p.tail.next = c
	} else {
		p.head = c
	}
	p.tail = c
}

// waitForPoints makes c, the claim of a span, wait for the single keys in it.
func (m *Manager) waitForPoints(c *claim) {
	if m.points == nil {
		return
	}
	m.points.Ascend(&point{key: c.span.Key}, func(p *point) bool {
		if bytes.Compare(p.key, c.span.EndKey) >= 0 {
			return false
		}
		for o := p.head; o != nil; o = o.next {
			wait(c, o)
		}
		return true
	})
}

// wait makes the guard of c wait for that of o if the two claims, which overlap,
// exclude one another.
func wait(c, o *claim) {
	if c.guard == o.guard || c.access == Read && o.access == Read {
		return
	}
	o.guard.blocked = append(o.guard.blocked, c.guard)
	c.guard.waitingFor++
}

func (m *Manager) remove(c *claim) {
	if c.point == nil {
		for i, o := range m.ranges {
			if o == c {
				m.ranges = append(m.ranges[:i], m.ranges[i+1:]...)
				return
			}
		}
		panic("concurrency: claim is not in the list of spans")
	}
	p := c.point
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		p.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		p.tail = c.prev
	}
	if p.head == nil {
		m.points.Delete(p)
		p.key = nil
		m.freePoints = append(m.freePoints, p)
	}
}

// point finds or makes the line of a key.
func (m *Manager) point(k keys.Key) *point {
	if m.points == nil {
		m.points = btree.NewBTreeGOptions(func(a, b *point) bool {
			return bytes.Compare(a.key, b.key) < 0
		}, btree.Options{NoLocks: true})
	}
	m.probe.key = k
	p, ok := m.points.Get(&m.probe)
	m.probe.key = nil
	if ok {
		return p
	}
	if n := len(m.freePoints); n > 0 {
		p = m.freePoints[n-1]
		m.freePoints = m.freePoints[:n-1]
	} else {
		p = new(point)
	}
	p.key = k
	m.points.Set(p)
	return p
}

func (m *Manager) newGuard(n int) *Guard {
	var g *Guard
	if k := len(m.freeGuards); k > 0 {
		g = m.freeGuards[k-1]
		m.freeGuards = m.freeGuards[:k-1]
		g.released = false
	} else {
		g = new(Guard)
		g.latches = g.inline[:0]
	}
	if cap(g.latches) < n {
		g.latches = make([]claim, 0, n)
	}
	return g
}

// keepFree bounds the guards kept for reuse, so that an idle range holds little.
const keepFree = 16

func (m *Manager) recycle(g *Guard) {
	if len(m.freeGuards) >= keepFree {
		return
	}
	clear(g.latches)
	g.latches, g.blocked, g.waitingFor = g.latches[:0], g.blocked[:0], 0
	m.freeGuards = append(m.freeGuards, g)
}

// overlaps reports whether two spans share a key.
func overlaps(a, b keys.Span) bool {
	return startsBeforeEnd(a.Key, b) && startsBeforeEnd(b.Key, a)
}

// startsBeforeEnd reports whether k lies before the end of s.
func startsBeforeEnd(k keys.Key, s keys.Span) bool {
	if len(s.EndKey) == 0 {
		return bytes.Compare(k, s.Key) <= 0
	}
	return bytes.Compare(k, s.EndKey) < 0
}

// String lists the guards in order of arrival, for people.
func (m *Manager) String() string {
	var all []*Guard
	seen := func(c *claim) {
		at := len(all)
		for i, g := range all {
			if g == c.guard {
				return
			}
			if g.seq > c.guard.seq && at == len(all) {
				at = i
			}
		}
		all = append(all, nil)
		copy(all[at+1:], all[at:])
		all[at] = c.guard
	}
	for _, c := range m.ranges {
		seen(c)
	}
	if m.points != nil {
		m.points.Scan(func(p *point) bool {
			for c := p.head; c != nil; c = c.next {
				seen(c)
			}
			return true
		})
	}
	var b strings.Builder
	for _, g := range all {
		fmt.Fprintf(&b, "#%d", g.seq)
		for i := range g.latches {
			fmt.Fprintf(&b, " %s%s", g.latches[i].access, g.latches[i].span)
		}
		if g.waitingFor > 0 {
			fmt.Fprintf(&b, " waits for %d", g.waitingFor)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
