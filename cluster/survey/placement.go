package survey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/db/kv"
	"simulacrum/nemesis"
	"simulacrum/sim"
)

// placed is when a range was first seen, of those looks that count, and when its copies
// were first where they belong.
type placed struct {
	id          kv.RangeID
	seen, right sim.Time
	wrong       string // what was wrong at the last look; "": nothing
}

// judge holds the copies of a range against where they belong.
func (s *Survey) judge(d *kv.RangeDescriptor, m *Moment) {
	alive := 0
	for _, rd := range d.Replicas {
		if rd.Type == kv.VoterFull && s.replica(d, rd) != nil {
			alive++
		}
	}
	wrong := s.misplaced(d)
	if alive < min(s.want, s.members()) {
		m.Lacking++
	}
	if s.noQuorum(d) != "" {
		m.Down++
	}
	if wrong != "" {
		m.Misplaced++
	}
	if m.At < s.healed {
		return
	}
	i := slices.IndexFunc(s.placed, func(p placed) bool { return p.id == d.RangeID })
	if i < 0 {
		i = len(s.placed)
		s.placed = append(s.placed, placed{id: d.RangeID, seen: m.At})
	}
	p := &s.placed[i]
	p.wrong = wrong
	if wrong == "" && p.right == 0 {
		p.right = m.At
	}
}

// members counts the nodes that are part of the cluster, up or down.
func (s *Survey) members() int {
	n := 0
	for _, node := range s.c.Nodes() {
		if node.Joined() {
			n++
		}
	}
	return n
}

// living are the places of the nodes that can hold copies.
func (s *Survey) living() []nemesis.Place {
	var all []nemesis.Place
	for _, n := range s.c.Nodes() {
		if n.Joined() && n.Server() != nil {
			all = append(all, n.Place())
		}
	}
	return all
}

// misplaced says why the copies of a range are not where they belong: too few or too many,
// half way, on nodes that are down or have left, or closer together than they need be.
func (s *Survey) misplaced(d *kv.RangeDescriptor) string {
	living := s.living()
	want := min(s.want, len(living))
	var at []nemesis.Place
	for _, rd := range d.Replicas {
		switch {
		case rd.Type != kv.VoterFull:
			return fmt.Sprintf("a copy on %s is a %s", s.name(rd.NodeID), role(rd))
		case s.replica(d, rd) == nil:
			return fmt.Sprintf("a copy is on %s%s", s.name(rd.NodeID), s.why(rd.NodeID))
		case s.c.NodeOf(rd.NodeID).Left():
			return fmt.Sprintf("a copy is on %s, which has left", s.name(rd.NodeID))
		}
		at = append(at, s.c.NodeOf(rd.NodeID).Place())
	}
	if len(at) != want {
		return fmt.Sprintf("%d copies, not %d", len(at), want)
	}
	if have, best := distance(at), s.best(living, want); have < best {
		var names []string
		for _, p := range at {
			names = append(names, p.Name)
		}
		return fmt.Sprintf("copies on %s are closer together than they need be", strings.Join(names, ", "))
	}
	return ""
}

// distance adds up how far apart copies are: two in different regions are further apart
// than any number in different zones of one.
func distance(at []nemesis.Place) int {
	n := 0
	for i, p := range at {
		for _, q := range at[:i] {
			switch {
			case p.Region != q.Region:
				n += 1000
			case p.Zone != q.Zone:
				n++
			}
		}
	}
	return n
}

// best is the greatest distance that so many copies can have on these nodes.
func (s *Survey) best(living []nemesis.Place, copies int) int {
	var key strings.Builder
	for _, p := range living {
		key.WriteString(p.Name + " ")
	}
	if _, known := s.distances[key.String()]; !known {
		top := 0
		for _, set := range nemesis.Spread(nemesis.Topology{Nodes: living}, copies) {
			var at []nemesis.Place
			for _, p := range living {
				if slices.Contains(set, p.Name) {
					at = append(at, p)
				}
			}
			top = max(top, distance(at))
		}
		s.distances[key.String()] = top
	}
	return s.distances[key.String()]
}

// Placement judges where copies are once everything has healed: each range that there is
// at the end must have been placed right within the bound of healing, or of its beginning.
func (s *Survey) Placement(bound time.Duration) checker.Verdict {
	v := checker.Verdict{Check: "placement", Valid: checker.OK}
	var slowest time.Duration
	judged, never, late := 0, 0, 0
	for _, p := range s.placed {
		if !slices.ContainsFunc(s.Tree, func(l Leaf) bool { return l.Desc.RangeID == p.id }) {
			continue // merged away
		}
		judged++
		took := time.Duration(p.right - p.seen)
		switch {
		case p.right == 0 && time.Duration(s.c.Sim().Now()-p.seen) < bound:
			judged-- // it began so late that its time is not over
			continue
		case p.right == 0:
			never++
			v.Details = append(v.Details, fmt.Sprintf("r%d was never placed right: %s.", p.id, p.wrong))
		case took > bound:
			late++
			v.Details = append(v.Details, fmt.Sprintf("r%d was placed right only %.1f s after healing.", p.id, took.Seconds()))
		}
		slowest = max(slowest, took)
	}
	v.Counts = []checker.Count{{Name: "ranges", N: int64(judged)}, {Name: "late", N: int64(late)}, {Name: "never", N: int64(never)}}
	switch {
	case never+late > 0:
		v.Valid = checker.Violation
		v.Summary = fmt.Sprintf("%d of %d ranges were not placed right within %.1f s of healing: %s", never+late, judged, bound.Seconds(), strings.TrimSuffix(v.Details[0], "."))
	case judged == 0:
		v.Valid, v.Summary = checker.Vacuous, "no range was looked at after healing"
	default:
		v.Counts = append(v.Counts, checker.Count{Name: "slowest (ms after healing)", N: slowest.Milliseconds()})
		v.Summary = fmt.Sprintf("all %d ranges have %d copies as far apart as they can be, none where nobody serves; the last after %.1f s", judged, s.want, slowest.Seconds())
	}
	if len(v.Details) > 20 {
		v.Details = append(v.Details[:20], fmt.Sprintf("%d further ranges are not shown.", len(v.Details)-20))
	}
	return v
}

// Restored is the first look after a moment at which no range lacked a copy any more, in
// ns; 0 if none did, history.Never if that was not before the last look.
func (s *Survey) Restored(after sim.Time) int64 {
	lacking := false
	for _, m := range s.Moments {
		switch {
		case m.At <= after:
		case m.Lacking > 0:
			lacking = true
		case lacking:
			return int64(m.At)
		}
	}
	if lacking {
		return history.Never
	}
	return 0
}
