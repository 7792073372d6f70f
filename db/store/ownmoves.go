package store

import (
	"slices"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
)

// ownMove is a move that this store made, or is making. Until the stores concerned have
// told of it, their figures are corrected here: otherwise each decision up to then would
// be made as if the ones before it had not been, and all would go to the same store.
type ownMove struct {
	decision placement.Decision
	from     kv.StoreID // of the lease, if that moves
	size     int64
	load     placement.Load
	done     hlc.Timestamp // empty: under way
}

// start remembers a move that begins.
func (a *allocator) start(r *placement.Range, d placement.Decision) *ownMove {
	a.own = slices.DeleteFunc(a.own, a.told)
	m := &ownMove{decision: d, size: r.Size, load: r.Load}
	if d.LeaseTo != 0 {
		m.from = r.Leaseholder
	}
	a.own = append(a.own, m)
	return m
}

// toldWithin is after what time a store that has not told of a move will tell of nothing
// any more.
const toldWithin = time.Hour

// told reports that all figures contain the move, as far as they ever will.
func (a *allocator) told(m *ownMove) bool {
	contains := func(s kv.StoreID) bool {
		return s == 0 || m.missing(a.world.Told(s).Add(-a.clock.MaxOffset()), a.window) == 0
	}
	if m.done.IsEmpty() || m.done.Add(toldWithin).Less(a.clock.Now()) {
		return !m.done.IsEmpty()
	}
	for _, ch := range m.decision.Changes {
		if !contains(ch.Store) {
			return false
		}
	}
	return contains(m.from) && contains(m.decision.LeaseTo)
}

// forget takes back a move that came to nothing.
func (a *allocator) forget(m *ownMove) {
	a.own = slices.DeleteFunc(a.own, func(o *ownMove) bool { return o == m })
}

// addOwn corrects a store's figures by the moves that are not in them.
func (a *allocator) addOwn(s *placement.Store) {
	if len(a.own) == 0 {
		return
	}
	told := a.world.Told(s.ID).Add(-a.clock.MaxOffset())
	for _, m := range a.own {
		missing := m.missing(told, a.window)
		for _, ch := range m.decision.Changes {
			sign := int64(0)
			switch {
			case ch.Store != s.ID:
			case ch.From == placement.None:
				sign = 1
			case ch.To == placement.None:
				sign = -1
			}
			if missing == 1000 {
				s.Ranges += sign
				s.Used += sign * m.size
			}
			s.Load.Writes += sign * m.load.Writes * missing / 1000
		}
		sign := int64(0)
		switch s.ID {
		case m.decision.LeaseTo:
			sign = 1
		case m.from:
			sign = -1
		}
		if missing == 1000 {
			s.Leases += sign
		}
		s.Load.Requests += sign * m.load.Requests * missing / 1000
		s.Load.CPU += sign * m.load.CPU * missing / 1000
	}
	s.Ranges, s.Used, s.Leases = max(s.Ranges, 0), max(s.Used, 0), max(s.Leases, 0)
	s.Load = placement.Load{Requests: max(s.Load.Requests, 0), CPU: max(s.Load.CPU, 0), Writes: max(s.Load.Writes, 0)}
}

// missing is which part of the move's load, in thousandths, is not in figures that were
// told at a time: all of it if that was before, and then less and less, since load is
// counted over a window.
func (m *ownMove) missing(told hlc.Timestamp, window time.Duration) int64 {
	if m.done.IsEmpty() || told.LessEq(m.done) {
		return 1000
	}
	since := time.Duration(told.Wall - m.done.Wall)
	return max(999-int64(since)*1000/int64(window), 0)
}

// refusal is a store that could not take a replica a short time ago.
type refusal struct {
	store kv.StoreID
	until time.Duration // Mono
}

// refusedFor is for how long such a store is not asked again.
const refusedFor = 5 * time.Second

// noteRefusal keeps the targets of a decision that failed from being asked again at once.
func (a *allocator) noteRefusal(d placement.Decision) {
	for _, ch := range d.Changes {
		if ch.From == placement.None {
			a.refused = append(a.refused, refusal{ch.Store, a.p.Mono() + refusedFor})
		}
	}
	a.seen = nil
}
