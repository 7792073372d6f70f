package nemesis

import (
	"math/rand/v2"
	"slices"
	"time"

	"simulacrum/sim/env"
)

// Bounds are what a scenario allows Swarm to draw.
type Bounds struct {
	From, To time.Duration // the fault window: none begins or lasts outside of it
	Families []Family      // those that may be on
	Strength int           // how many and how hard, from 1 (few) to 5 (many)

	// MaxDown is how many nodes process, power and disk faults may take out at one
	// instant, those at probes counted as if always in force. 0: all of them.
	MaxDown int
	// MaxActive is how many faults may be in force at one instant, those at probes
	// apart. 0: any number.
	MaxActive int
	// MinAvailable is the share of the window, in ppm, in which a quorum of each
	// range must be left, faults at probes apart.
	MinAvailable int64
	// BeyondMaxOffset lets clocks come further apart than the model's MaxOffset.
	BeyondMaxOffset bool

	// Lease and Election are the system's own durations: faults last shorter than,
	// about as long as, and longer than these.
	Lease, Election time.Duration
	// Probes are the rare points at which faults may be asked for.
	Probes []env.Probe
	// Given, if not nil, are faults that happen in any case, and may break bounds:
	// the plan holds them, and whatever is drawn keeps the bounds beside them.
	Given *Plan

	Model Model
}

// Swarm draws a plan. Each seed has some of the allowed families on, some of the
// kinds of each, and each at a rate of its own: a run with everything on finds
// less than many runs with a few things each.
func Swarm(rng *rand.Rand, b Bounds) *Plan {
	b.Strength = min(max(b.Strength, 1), 5)
	b.Model.spreads = map[string][][]string{}
	g := &swarm{Rand: rng, Bounds: b, plan: &Plan{}}
	if b.Given != nil {
		g.plan.Faults = slices.Clone(b.Given.Faults)
	}
	if b.To <= b.From || len(b.Model.Topology.Nodes) == 0 {
		return g.plan
	}
	on := subset(g.Rand, b.Families, 2)
	g.atProbes = len(b.Probes) > 0 && g.one(2)
	if g.one(2) {
		g.prey = g.node()
	}
	for _, family := range on {
		g.family(family)
	}
	if g.atProbes && !g.one(3) {
		g.crossroads(on)
	}
	g.plan.Sort()
	return g.plan
}

// swarm is a plan being drawn.
type swarm struct {
	*rand.Rand
	Bounds
	plan     *Plan
	atProbes bool  // some faults wait for probes
	probed   int   // how many do
	victim   Place // of those, where the bounds leave room for one node only
	prey     Place // a node that attracts faults, if it has a name
}

// one is true one time in n.
func (g *swarm) one(n int) bool { return g.IntN(n) == 0 }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// subset draws each with a chance of one in n, and at least one of them.
func subset[T any](r *rand.Rand, from []T, n int) []T {
	if len(from) == 0 {
		return nil
	}
	sure := r.IntN(len(from))
	var some []T
	for i, x := range from {
		if r.IntN(n) == 0 || i == sure {
			some = append(some, x)
		}
	}
	return some
}

// family draws the faults of one family over the whole window.
func (g *swarm) family(family Family) {
	var all []Kind
	for _, k := range Kinds() {
		if k.Family() != family {
			continue
		}
		all = append(all, k)
		switch k { // the ones that matter most come more often
		case Partition:
			all = append(all, k, k)
		case Crash, Degrade, LeaseTransfer, LeaderTransfer:
			all = append(all, k)
		}
	}
	switch {
	case family == Clients && len(g.Model.Topology.Clients) == 0, family == Ranges && g.Model.Topology.Ranges == 0:
		return
	case family == Membership:
		all = slices.DeleteFunc(all, func(k Kind) bool {
			return k == AddNode && len(g.Model.Topology.Spares) == 0 || kinds[k].asks && g.Model.Topology.Ranges == 0
		})
	case family == Clients:
		all = []Kind{Crash, Pause}
	}
	on := subset(g.Rand, all, 2)
	// From one fault in a whole window to one every second or two.
	gap := (g.To - g.From) / time.Duration(1+g.IntN(4*g.Strength))
	for at := g.From + g.below(gap); at < g.To; at += gap/4 + g.below(gap*3/2) {
		for range 4 { // a draw that breaks the bounds is drawn again, a few times
			f := g.fault(pick(g.Rand, on), family)
			f.At.T = at.Truncate(time.Millisecond)
			g.trigger(&f, family)
			if g.accept(f) {
				break
			}
		}
	}
}

// below draws a time in [0, d), in whole milliseconds.
func (g *swarm) below(d time.Duration) time.Duration {
	return time.Duration(g.Int64N(max(1, int64(d/time.Millisecond)))) * time.Millisecond
}

// between draws a time in [lo, hi), in whole milliseconds, at least one.
func (g *swarm) between(lo, hi time.Duration) time.Duration {
	return max(time.Millisecond, lo.Truncate(time.Millisecond)) + g.below(hi-lo)
}

// length draws how long a fault lasts: an instant, long enough for an election, or
// for a lease to run out, or for most of the window.
func (g *swarm) length() time.Duration {
	e, l := max(g.Election, 100*time.Millisecond), max(g.Lease, 100*time.Millisecond)
	switch g.IntN(8) {
	case 0:
		return g.between(10*time.Millisecond, 300*time.Millisecond)
	case 1, 2:
		return g.between(300*time.Millisecond, e)
	case 3, 4:
		return g.between(e, e*5/2)
	case 5, 6:
		return g.between(l*3/4, l*7/4)
	}
	return g.between(l*3/2, l*7/2)
}

// accept adds a fault to the plan unless the plan would break its bounds.
func (g *swarm) accept(f Fault) bool {
	if f.At.Probe == "" {
		if f.At.T+f.For >= g.To {
			f.For = g.To - f.At.T
		}
		for f.Times > 1 && f.At.T+time.Duration(f.Times-1)*f.Every+f.For > g.To {
			f.Times--
		}
		if f.Times == 1 {
			f.Every = 0
		}
		if kinds[f.Kind].lasting && f.For < time.Millisecond {
			return false
		}
	}
	if f.Validate() != nil {
		return false
	}
	plan := &Plan{Faults: append(slices.Clone(g.plan.Faults), f)}
	if !g.within(plan) {
		return false
	}
	g.plan = plan
	if f.At.Probe != "" {
		g.probed++
	}
	return true
}

// within reports whether a plan keeps all bounds.
func (g *swarm) within(plan *Plan) bool {
	m := g.Model
	m.End = g.To
	timed, clocks := &Plan{}, &Plan{}
	for _, f := range plan.Faults {
		if f.At.Probe == "" {
			timed.Faults = append(timed.Faults, f)
		}
		if f.Kind.Family() == Clock {
			clocks.Faults = append(clocks.Faults, f)
		}
	}
	if !g.BeyondMaxOffset && !clocks.Budget(m).ClocksWithin {
		return false
	}
	if g.MinAvailable > 0 && timed.Budget(m).Share(g.From, g.To) < g.MinAvailable {
		return false
	}
	if plan.leaves(m) != "" {
		return false
	}
	if g.MaxDown == 0 && g.MaxActive == 0 {
		return true
	}
	down, _ := plan.peak(m)
	_, active := timed.peak(m)
	return (g.MaxDown == 0 || down <= g.MaxDown) && (g.MaxActive == 0 || active <= g.MaxActive)
}

// peak is the greatest number of nodes that process, power and disk faults take
// out at one instant, and that of faults in force.
func (p *Plan) peak(m Model) (down, active int) {
	var all []force
	for _, f := range p.Faults {
		all = append(all, m.forces(f)...)
	}
	for _, x := range all { // a peak begins where some fault begins
		var in []force
		for _, y := range all {
			if y.from <= x.from && (x.from < y.to || x.from == y.from) {
				in = append(in, y)
			}
		}
		active = max(active, len(in))
		down = max(down, m.down(in))
	}
	return down, active
}

// down is how many nodes process, power and disk faults touch, however little.
func (m Model) down(in []force) int {
	var names []string
	some := 0
	for _, x := range in {
		switch x.Kind.Family() {
		case Process, Power, Disk, Membership:
		default:
			continue
		}
		switch {
		case x.Kind == SlowCPU, x.Kind == SlowDisk, kinds[x.Kind].asks:
		case x.one:
			some++
		default:
			for _, n := range m.Topology.Nodes {
				if slices.Contains(x.who, n.Name) && !slices.Contains(names, n.Name) {
					names = append(names, n.Name)
				}
			}
		}
	}
	return min(len(m.Topology.Nodes), len(names)+some)
}
