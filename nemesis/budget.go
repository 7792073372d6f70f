package nemesis

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Model is what a Budget is reckoned against.
type Model struct {
	Topology Topology
	// Groups are the sets of nodes that hold a copy of some range: those in force,
	// or Spread's, when placement may change.
	Groups [][]string
	// Replicas is how many copies of a range the system restores when nodes come and go.
	// 0: copies stay where they are.
	Replicas int
	// Repair is how long that takes once a node is lost for good. 0: to the end.
	Repair time.Duration
	// MaxOffset is how far apart two wall clocks may be.
	MaxOffset time.Duration
	// Offsets are the nodes' clocks at the beginning, in the topology's order, less
	// true time. Missing ones are 0.
	Offsets []time.Duration
	// End is when all faults heal.
	End time.Duration
	// Grace is what the system is given to recover after a fault that took a quorum.
	Grace time.Duration

	spreads map[string][][]string // by who is there: see groups; looked up only
}

// Budget says what a plan leaves a right to expect. Safety is expected always.
type Budget struct {
	// Spans tile the time from 0 to End, and Grace after it.
	Spans []Span
	// MaxSkew is how far apart any two nodes' wall clocks can come.
	MaxSkew time.Duration
	// ClocksWithin reports that they never come further apart than MaxOffset.
	ClocksWithin bool
}

// Span is a time during which the same is expected.
type Span struct {
	From, To time.Duration
	// Available says that each range has a majority of its copies up, healthy and
	// in touch with one of them. It may still be choosing a leader or waiting for a
	// lease to run out, and a client may be cut off from it.
	Available bool
	Why       string // what is missing, if not
}

// String is the budget for a person, one line a span.
func (b Budget) String() string {
	var s strings.Builder
	for _, p := range b.Spans {
		word := "available"
		if !p.Available {
			word = "safe only: " + p.Why
		}
		fmt.Fprintf(&s, "%s to %s %s\n", formatTime(p.From), formatTime(p.To), word)
	}
	word := "within"
	if !b.ClocksWithin {
		word = "beyond"
	}
	fmt.Fprintf(&s, "clocks up to %v apart, %s max_offset\n", b.MaxSkew, word)
	return s.String()
}

// Available reports what is expected at a time.
func (b Budget) Available(at time.Duration) bool {
	for _, p := range b.Spans {
		if p.From <= at && at < p.To {
			return p.Available
		}
	}
	return true
}

// Share is the part of [from, to) that is expected available, in millionths.
func (b Budget) Share(from, to time.Duration) int64 {
	if to <= from {
		return 1_000_000
	}
	lost := time.Duration(0)
	for _, p := range b.Spans {
		if !p.Available {
			lost += max(0, min(p.To, to)-max(p.From, from))
		}
	}
	hi, lo := bits.Mul64(uint64(to-from-lost), 1_000_000)
	share, _ := bits.Div64(hi, lo, uint64(to-from))
	return int64(share)
}

// These bounds say from when on a fault that only hinders counts as one that
// prevents: generous, since a system is not asked to shine under them.
const (
	hopelessLoss      = 100_000 // ppm of frames
	hopelessCorrupt   = 10_000  // ppm of frames; each ends a connection
	hopelessDelay     = 500 * time.Millisecond
	hopelessBandwidth = 100_000 // bytes a second
	hopelessCPU       = 20      // times slower
	hopelessDisk      = 50      // times slower
	// A lease or a leader that moves as often as this serves nobody in between: what
	// follows the move takes a tick or two, and a renewal an undisturbed moment. One
	// that moves once costs no more than a lease that runs out, which any election may.
	hopelessMoves = 2 * time.Second
)

// Budget reckons what the plan allows to expect. A fault that waits for a probe
// may be in force at any time until End.
func (p *Plan) Budget(m Model) Budget {
	if m.spreads == nil {
		m.spreads = map[string][][]string{}
	}
	var forces []force
	for _, f := range p.Faults {
		forces = append(forces, m.forces(f)...)
	}
	edges := []time.Duration{0, m.End}
	for _, x := range forces {
		edges = append(edges, min(x.from, m.End), min(x.to, m.End))
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)

	b := Budget{}
	for i := range len(edges) - 1 {
		from, to := edges[i], edges[i+1]
		var in []force
		for _, x := range forces {
			if x.from < to && from < x.to {
				in = append(in, x)
			}
		}
		why := m.missing(in)
		b.add(Span{From: from, To: to, Available: why == "", Why: why})
		b.MaxSkew = max(b.MaxSkew, m.skew(in))
	}
	b.grace(m)
	b.ClocksWithin = b.MaxSkew <= m.MaxOffset
	return b
}

// Paused lists when the plan has clients paused, by name. A plan that was made of what
// happened waits for no probe, and knows all of them.
func (p *Plan) Paused(m Model) map[string][]Span {
	all := map[string][]Span{}
	for _, f := range p.Faults {
		if f.Kind != Pause || f.At.Probe != "" {
			continue
		}
		for _, x := range m.forces(f) {
			for _, who := range x.who {
				if slices.ContainsFunc(m.Topology.Clients, func(c Place) bool { return c.Name == who }) {
					all[who] = append(all[who], Span{From: x.from, To: x.to})
				}
			}
		}
	}
	return all
}

// force is one fault during one stretch of time.
type force struct {
	Fault
	from, to time.Duration
	anyTime  bool     // it may, or may not, be in force in the stretch
	one      bool     // it hits one of who, and it is not known which
	who      []string // the endpoints of its first group, as its kind reads it
	dead     []cut    // directions in which it lets nothing useful through
	gone     []string // nodes that have left for good
	came     []string // nodes that have joined
}

// forces lists the stretches of time in which f is in force.
func (m Model) forces(f Fault) []force {
	whole := force{Fault: f, to: m.End, anyTime: f.At.Probe != "", one: f.hitsAny()}
	whole.who = m.Topology.group(f.Who[0], f.Kind.Family() == Network)
	whole.dead = m.deadLinks(whole)
	if kinds[f.Kind].asks {
		return m.restless(whole)
	}
	switch f.Kind {
	case AddNode, Decommission, LoseDisk, ReplaceNode:
		return m.memberships(whole)
	}
	if whole.anyTime {
		return []force{whole}
	}
	var all []force
	for _, s := range f.spans(f.At.T, m.End) {
		if f.Stagger > 0 {
			all = append(all, m.staggered(whole, s[0])...)
			continue
		}
		if f.Kind == ClockStep {
			s[1] = m.End // it stays until everything heals
		}
		x := whole
		x.from, x.to = s[0], s[1]
		all = append(all, x)
	}
	return all
}

// staggered is a force for each endpoint of a repetition that begins at start: each
// goes down a while after the one before it, and is down for a time of its own.
func (m Model) staggered(whole force, start time.Duration) []force {
	var all []force
	for i, n := range whole.who {
		x := whole
		x.who, x.from, x.to = []string{n}, start+time.Duration(i)*whole.Stagger, m.End
		if x.For > 0 {
			x.to = min(m.End, x.from+x.For)
		}
		if x.from < m.End {
			all = append(all, x)
		}
	}
	return all
}

// restless is the force of a fault of ranges: none, but for leases or leaders that
// move again before they have settled.
func (m Model) restless(whole force) []force {
	if whole.Kind == TruncateLog || whole.Times == 1 || whole.Every >= hopelessMoves {
		return nil
	}
	if !whole.anyTime {
		whole.from, whole.to = whole.At.T, min(m.End, whole.At.T+time.Duration(whole.Times)*whole.Every)
	}
	return []force{whole}
}

// add appends a span, joined with the last where they expect the same.
func (b *Budget) add(s Span) {
	if s.From >= s.To {
		return
	}
	if n := len(b.Spans); n > 0 && b.Spans[n-1].Available == s.Available && b.Spans[n-1].Why == s.Why {
		b.Spans[n-1].To = s.To
		return
	}
	b.Spans = append(b.Spans, s)
}

// grace turns the time after each span that is not available into one that is
// not either.
func (b *Budget) grace(m Model) {
	old := append(b.Spans, Span{From: m.End, To: m.End + m.Grace, Available: true})
	b.Spans = nil
	until := time.Duration(0)
	for _, s := range old {
		if !s.Available {
			b.add(s)
			until = s.To + m.Grace
			continue
		}
		const why = "recovering"
		b.add(Span{From: s.From, To: min(s.To, until), Why: why})
		b.add(Span{From: max(s.From, until), To: s.To, Available: true})
	}
}

// missing says which range lacks a quorum under these faults, or "".
func (m Model) missing(in []force) string {
	out, some := m.out(in)
	var dead []cut
	for _, x := range in {
		if kinds[x.Kind].asks {
			return fmt.Sprintf("%s every %v", x.Kind, x.Every)
		}
		dead = append(dead, x.dead...)
	}
	if len(out) == 0 && some == 0 && len(dead) == 0 {
		return ""
	}
	for _, g := range m.groups(in) {
		if !m.survives(g, out, some, dead) {
			return fmt.Sprintf("no quorum of %s", strings.Join(g, ","))
		}
	}
	return ""
}

// out lists the nodes that do not take part under these faults, and says how many more do
// not of which nobody knows which they are.
func (m Model) out(in []force) (names []string, some int) {
	for _, x := range in {
		switch x.Kind {
		case SlowCPU:
			if x.Factor < hopelessCPU {
				continue
			}
		case SlowDisk:
			if x.Factor < hopelessDisk {
				continue
			}
		case Crash, CleanStop, Pause, PowerLoss, DrainNode, LoseDisk, ReplaceNode, StallDisk, FullDisk, WriteError, SyncError:
		case Partition, Degrade, NeedSnapshot: // of a node that is not known every link counts as dead
			if !x.one || x.Kind == Degrade && !x.Link.hopeless() {
				continue
			}
		default:
			continue
		}
		if x.one {
			some++
			continue
		}
		for _, n := range x.who {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names, some
}

// hopeless reports that links under this fault let nothing useful through.
func (l LinkFault) hopeless() bool {
	return l.Loss >= hopelessLoss || l.Corrupt >= hopelessCorrupt || l.Delay+l.Jitter >= hopelessDelay ||
		l.Bandwidth != 0 && l.Bandwidth < hopelessBandwidth
}

// deadLinks lists the directions in which a fault lets nothing useful through.
func (m Model) deadLinks(x force) []cut {
	if x.one {
		return nil
	}
	switch x.Kind {
	case Partition:
		return x.cuts(m.Topology)
	case NeedSnapshot:
		others := without(m.Topology.everyone(), x.who)
		return []cut{{x.who, others}, {others, x.who}}
	case Degrade:
		if !x.Link.hopeless() {
			return nil
		}
		others := m.Topology.everyone()
		if len(x.Who) > 1 {
			others = m.Topology.group(x.Who[1], true)
		}
		return []cut{{x.who, others}, {others, x.who}}
	}
	return nil
}

// survives reports whether the group has a quorum whichever so many more of its members are
// out.
func (m Model) survives(group, out []string, more int, dead []cut) bool {
	if !m.quorum(group, out, dead) {
		return false
	}
	for _, n := range group {
		if more > 0 && !slices.Contains(out, n) && !m.survives(group, append(slices.Clone(out), n), more-1, dead) {
			return false
		}
	}
	return true
}

// quorum reports whether some member of the group is in touch with a majority.
func (m Model) quorum(group, out []string, dead []cut) bool {
	for _, leader := range group {
		votes := 0
		for _, voter := range group {
			if !slices.Contains(out, leader) && !slices.Contains(out, voter) &&
				(leader == voter || !isDead(dead, leader, voter) && !isDead(dead, voter, leader)) {
				votes++
			}
		}
		if votes > len(group)/2 {
			return true
		}
	}
	return false
}

func isDead(dead []cut, from, to string) bool {
	for _, c := range dead {
		if slices.Contains(c.from, from) && slices.Contains(c.to, to) {
			return true
		}
	}
	return false
}

// skew bounds how far apart two nodes' wall clocks can be under these faults. A
// clock that drifts or stands may be anywhere between where it was and where the
// whole stretch takes it.
func (m Model) skew(in []force) time.Duration {
	var lowest, highest time.Duration
	for i, n := range m.Topology.All() {
		var lo, hi time.Duration
		if i < len(m.Offsets) {
			lo, hi = m.Offsets[i], m.Offsets[i]
		}
		for _, x := range in {
			if x.Kind.Family() != Clock || !slices.Contains(x.who, n.Name) {
				continue
			}
			a, b := x.moves()
			lo, hi = lo+a, hi+b
		}
		if i == 0 {
			lowest, highest = lo, hi
		}
		lowest, highest = min(lowest, lo), max(highest, hi)
	}
	return highest - lowest
}

// moves bounds what a clock fault adds to a clock.
func (x force) moves() (lo, hi time.Duration) {
	length := x.to - x.from
	if x.For > 0 {
		length = min(length, x.For)
	}
	by := x.By
	switch x.Kind {
	case ClockStep, ClockOffset:
		if x.anyTime {
			if x.Kind == ClockStep {
				by *= time.Duration(x.Times)
			}
			return min(0, by), max(0, by)
		}
		return by, by
	case ClockDrift:
		by = length / 1000 * time.Duration(x.PPM) / 1000
	case ClockFreeze:
		by = -length
	}
	return min(0, by), max(0, by)
}
