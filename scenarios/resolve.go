package scenarios

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"simulacrum/nemesis"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// Resolved is a run with every draw made.
type Resolved struct {
	Scenario *Scenario
	Seed     uint64

	Topology nemesis.Topology
	Ranges   int
	Replicas int
	Params   workloads.Params // of the workload Scenario.Workload.Name

	MaxOffset time.Duration
	Offsets   []time.Duration // of the nodes' clocks, in the topology's order
	// Knobs are the values that differ from the defaults, sorted by name.
	Knobs []KnobValue
	// Decode says that messages are delivered as decoded copies.
	Decode bool

	Plan   *nemesis.Plan
	Budget nemesis.Budget

	Duration time.Duration // clients work so long; faults heal at Healed
	Healed   time.Duration
	Settle   time.Duration // the final reads may take so long
	// Liveness is the scenario's bound, widened by what drawn knobs slow down.
	Liveness time.Duration
	// Placement is the scenario's bound for copies to be where they belong, widened
	// likewise. 0: copies stay where they are.
	Placement time.Duration
	// DeadlockBound is for how long transactions may wait for each other.
	DeadlockBound time.Duration
	// Lease and Election are the durations in force.
	Lease, Election time.Duration
}

// KnobValue is a knob that was set or drawn.
type KnobValue struct {
	Name  string
	Value int64
}

// KnobError is a knob that a scenario sets wrongly.
type KnobError struct{ Knob, What string }

// Error implements error.
func (e *KnobError) Error() string { return fmt.Sprintf("%q: %s", e.Knob, e.What) }

// stream is the named stream of a seed. Streams are independent, so that a draw
// added to one shifts no other.
func stream(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte("scenario/" + name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// places deals nodes n1.. and clients c1.. to the zones, and to spares the numbers after
// those of all nodes.
func (s *Scenario) places() nemesis.Topology {
	t := nemesis.Topology{Ranges: 1 + s.Topology.Ranges} // the first holds the index of the others
	for _, r := range s.Topology.Regions {
		for _, z := range r.Zones {
			for range r.Nodes {
				t.Nodes = append(t.Nodes, nemesis.Place{Name: fmt.Sprintf("n%d", len(t.Nodes)+1), Region: r.Name, Zone: z})
			}
		}
		for i := range r.Clients {
			t.Clients = append(t.Clients, nemesis.Place{Name: fmt.Sprintf("c%d", len(t.Clients)+1), Region: r.Name, Zone: r.Zones[i%len(r.Zones)]})
		}
	}
	for _, r := range s.Topology.Regions {
		for i := range r.Spares * len(r.Zones) {
			t.Spares = append(t.Spares, nemesis.Place{Name: fmt.Sprintf("n%d", len(t.Nodes)+len(t.Spares)+1), Region: r.Name, Zone: r.Zones[i/r.Spares]})
		}
	}
	return t
}

// explicit is the plan that happens whatever the seed. It has been validated.
func (s *Scenario) explicit() *nemesis.Plan {
	p, err := nemesis.ParsePlan(strings.Join(s.Faults.Plan, "\n"))
	if err != nil {
		panic("scenarios: a plan that was validated does not parse: " + err.Error())
	}
	return p
}

// graceAfterQuorum is what a system is given to recover when a quorum returns: two
// lease durations, for a lease and the election before it.
const graceAfterQuorum = 12 * time.Second

// model is what budgets are reckoned against before anything is drawn. Any range
// may lie anywhere that spreads its copies best.
func (s *Scenario) model() nemesis.Model {
	topo := s.places()
	m := nemesis.Model{Topology: topo, Groups: nemesis.Spread(topo, s.Topology.Replicas), MaxOffset: time.Duration(s.Clocks.MaxOffset),
		End: time.Duration(s.Faults.To), Grace: graceAfterQuorum}
	if s.Checks.Placement > 0 {
		m.Replicas, m.Repair = s.Topology.Replicas, time.Duration(s.Checks.Placement)
	}
	for _, d := range s.Clocks.Offsets {
		m.Offsets = append(m.Offsets, time.Duration(d))
	}
	return m
}

// Resolve makes every draw of a run. knobs and probes are those of all rooms; the
// error names a knob that the scenario sets and no room has, or a value beyond
// its bounds.
func (s *Scenario) Resolve(seed uint64, knobs []*env.Knob, probes []env.Probe) (*Resolved, error) {
	r := &Resolved{Scenario: s, Seed: seed, Topology: s.places(), Ranges: s.Topology.Ranges, Replicas: s.Topology.Replicas, Params: s.Params(),
		MaxOffset: time.Duration(s.Clocks.MaxOffset), Duration: time.Duration(s.Duration), Healed: time.Duration(s.Faults.To),
		Settle: time.Duration(s.Settle), Liveness: time.Duration(s.Checks.Liveness), Placement: time.Duration(s.Checks.Placement),
		Decode: s.Network.Decode || stream(seed, "decode").IntN(4) == 0}
	if err := r.drawKnobs(knobs); err != nil {
		return nil, err
	}
	r.drawOffsets(knobs)
	r.slowness(knobs)
	r.drawPlan(probes)
	return r, nil
}

// drawOffsets sets the clocks before any fault: most anywhere in the spread, some
// at its ends, where bugs are. Where nodes stop themselves on finding their clock
// too far from their peers', offsets that last for the whole run stay short of
// that, or some node could never live; clock faults go beyond for a while.
func (r *Resolved) drawOffsets(knobs []*env.Knob) {
	for _, d := range r.Scenario.Clocks.Offsets {
		r.Offsets = append(r.Offsets, time.Duration(d))
	}
	if len(r.Offsets) > 0 {
		return
	}
	rng := stream(r.Seed, "offsets")
	share := int64(r.Scenario.Clocks.Spread)
	if r.inForce(knobs, "rpc.offset_check", 0) != 0 {
		share = min(share, r.inForce(knobs, "rpc.offset_percent", 80)*9_500)
	}
	half := int64(r.MaxOffset) / 1000 * share / 1000 / 2
	for range r.Topology.All() {
		d := half
		switch rng.IntN(4) {
		case 0:
			d = -half
		case 1:
		default:
			d = rng.Int64N(2*half+1) - half
		}
		r.Offsets = append(r.Offsets, time.Duration(d).Truncate(time.Microsecond))
	}
}

// notDrawn reports that a knob is only ever set. Where each range has room for a few rows, who
// reads them all asks hundreds of ranges, one after the other, and no client waits so
// long: scenarios that are about small ranges set it, with clients to match. The others
// switch whole parts of the database on.
func notDrawn(knob string) bool {
	switch knob {
	case "range.max.bytes", "range.min.bytes", "range.split.qps", "lease.epoch", "allocator.interval", "consistency.interval", "replicagc.interval":
		return true
	}
	return false
}

// drawKnobs sets what the scenario sets and, if it says so, draws the others.
func (r *Resolved) drawKnobs(knobs []*env.Knob) error {
	set := r.Scenario.Knobs.Set
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		i := slices.IndexFunc(knobs, func(k *env.Knob) bool { return k.Name == name })
		if i < 0 {
			return &KnobError{name, "no room has that knob: simulate -list names all"}
		}
		if v := set[name]; v < knobs[i].Min || v > knobs[i].Max {
			return &KnobError{name, fmt.Sprintf("%d is out of bounds: say %d to %d", v, knobs[i].Min, knobs[i].Max)}
		}
		r.Knobs = append(r.Knobs, KnobValue{name, set[name]})
	}
	for _, k := range knobs {
		if _, fixed := set[k.Name]; fixed || !r.Scenario.Knobs.Perturb || notDrawn(k.Name) {
			continue
		}
		if v := draw(stream(r.Seed, "knob/"+k.Name), k); v != k.Default {
			r.Knobs = append(r.Knobs, KnobValue{k.Name, v})
		}
	}
	slices.SortFunc(r.Knobs, func(a, b KnobValue) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// draw draws a knob's value: its default in two of five runs, else something near,
// anywhere (evenly by its number of digits), or an extreme. Nothing is near to nothing: then
// it is anywhere, evenly. A switch is thrown in one run
// of five: what is new is mostly on, and two switches must often be on together.
func draw(rng *rand.Rand, k *env.Knob) int64 {
	v := k.Default
	if k.Min == 0 && k.Max == 1 {
		if rng.IntN(5) == 0 {
			v = 1 - v
		}
		return v
	}
	switch rng.IntN(10) {
	case 0, 1, 2, 3:
	case 4, 5, 6:
		if v == 0 {
			v = rng.Int64N(k.Max + 1)
			break
		}
		v = k.Default/2 + rng.Int64N(max(1, k.Default+k.Default/2))
	case 7, 8:
		v = k.Min + rng.Int64N(max(1, k.Max-k.Min+1))>>rng.IntN(20)
	default:
		v = []int64{k.Min, k.Max}[rng.IntN(2)]
	}
	return min(max(v, k.Min), k.Max)
}

// Knob is the value in force, or def if it was neither set nor drawn.
func (r *Resolved) Knob(name string, def int64) int64 {
	for _, k := range r.Knobs {
		if k.Name == name {
			return k.Value
		}
	}
	return def
}

// inForce is the value of a knob in this run: usual if no room has it.
func (r *Resolved) inForce(knobs []*env.Knob, name string, usual int64) int64 {
	if i := slices.IndexFunc(knobs, func(k *env.Knob) bool { return k.Name == name }); i >= 0 {
		usual = knobs[i].Default
	}
	return r.Knob(name, usual)
}

// slowness reads from the knobs how long leases and elections last, and how long locks
// of the dead stay, and widens the bounds of liveness by what that is longer than usual.
// A system without these knobs is taken to have the usual durations.
func (r *Resolved) slowness(knobs []*env.Knob) {
	const lease, election, expiration, grace, idle = 6 * time.Second, 2 * time.Second, 5 * time.Second, 2 * time.Second, 15 * time.Second
	r.Lease = time.Duration(r.inForce(knobs, "lease.duration", int64(lease)))
	r.Election = time.Duration(r.inForce(knobs, "raft.tick", int64(500*time.Millisecond)) * r.inForce(knobs, "raft.election.ticks", 4))
	more := 2*max(0, r.Lease-lease) + 4*max(0, r.Election-election)
	if workloads.Transactional(r.Scenario.Workload.Name) {
		// A transaction whose gateway died is anybody's to abort after the one, and one
		// whose client died is rolled back by its gateway after the other.
		more += max(0, time.Duration(r.inForce(knobs, "txn.expiration", int64(expiration)))-expiration)
		more += max(0, time.Duration(r.inForce(knobs, "session.grace", int64(grace)))-grace)
		// One whose client lives and says nothing is rolled back only for that.
		more += max(0, time.Duration(r.inForce(knobs, "session.idle", int64(idle)))-idle)
		// And whoever comes to a lock that was left behind pushes after a delay; a transaction
		// may meet some such locks.
		more += 4 * time.Duration(r.inForce(knobs, "lock.push.deadlock", 0)+r.inForce(knobs, "lock.push.liveness", 0))
	}
	// A push is sent after a delay, a query may be answered late, and each may have to be
	// sent again: a few rounds of both, and the time to find the lease.
	r.DeadlockBound = r.Lease + r.Election +
		4*time.Duration(r.inForce(knobs, "lock.push.deadlock", int64(100*time.Millisecond))+r.inForce(knobs, "txnwait.query", int64(time.Second)))
	r.Liveness += more
	r.Settle += more
	if r.Placement > 0 {
		r.Placement += more
	}
	// Clients go on until liveness and placement have been judged.
	r.Duration = max(r.Duration, r.Healed+r.Liveness, r.Healed+r.Placement)
}

// drawPlan joins the scenario's own faults with those that the seed draws.
func (r *Resolved) drawPlan(probes []env.Probe) {
	f := r.Scenario.Faults
	r.Plan = r.Scenario.explicit()
	m := r.Scenario.model()
	m.Offsets = r.Offsets
	m.Grace = max(m.Grace, 2*r.Lease)
	b := nemesis.Bounds{From: time.Duration(f.From), To: time.Duration(f.To), Strength: f.Strength, MaxDown: f.MaxDown, MaxActive: f.MaxActive,
		MinAvailable: int64(f.MinAvailable), BeyondMaxOffset: f.Beyond, Lease: r.Lease, Election: r.Election, Model: m, Given: r.Plan}
	// While it draws, the full time of grace would leave room for hardly one fault
	// that takes a quorum; that half a lease may pass between two is enough.
	b.Model.Grace = r.Election + r.Lease/2
	if f.Expect == "available" {
		b.MinAvailable = 1_000_000
	} else if f.Probes {
		b.Probes = probes // whose faults come at unknown times, and can take any quorum away
	}
	for _, name := range f.Families {
		if family, err := nemesis.ParseFamily(name); err == nil {
			b.Families = append(b.Families, family)
		}
	}
	r.Plan = nemesis.Swarm(stream(r.Seed, "faults"), b)
	r.Budget = r.Plan.Budget(m)
}

// Model is what the plan's budget, and that of what really happened, is reckoned
// against.
func (r *Resolved) Model() nemesis.Model {
	m := r.Scenario.model()
	m.Offsets, m.Grace = r.Offsets, max(m.Grace, 2*r.Lease)
	return m
}

// Pin is a scenario in which nothing is left to draw but what the simulator itself
// draws: with the same seed it gives the same run.
func (r *Resolved) Pin() *Scenario {
	s := *r.Scenario
	s.Faults.Families, s.Faults.Plan = []string{}, []string{}
	for _, f := range r.Plan.Faults {
		s.Faults.Plan = append(s.Faults.Plan, f.String())
	}
	s.Clocks.Offsets = nil
	for _, d := range r.Offsets {
		s.Clocks.Offsets = append(s.Clocks.Offsets, Duration(d))
	}
	s.Knobs = Knobs{Set: map[string]int64{}}
	for _, k := range r.Knobs {
		s.Knobs.Set[k.Name] = k.Value
	}
	return &s
}
