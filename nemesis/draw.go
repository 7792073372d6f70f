package nemesis

import (
	"slices"
	"strings"
	"time"

	"simulacrum/sim/env"
)

// fault draws one fault of a kind, all but its moment.
func (g *swarm) fault(k Kind, family Family) Fault {
	f := Fault{Kind: k, Times: 1}
	if kinds[k].lasting {
		f.For = g.length()
	}
	switch {
	case family == Clients:
		f.Who = [][]string{g.clients()}
		g.repeat(&f)
	case k == Partition:
		g.partition(&f)
		g.repeat(&f)
	case k == PowerLoss:
		f.Who = [][]string{g.blackout()}
		if len(f.Who[0]) > 1 && g.one(3) {
			f.Stagger = g.between(time.Millisecond, 2*time.Second)
		}
	case family == Network:
		g.links(&f)
	case kinds[k].asks:
		g.ranges(&f)
	case family == Membership:
		g.membership(&f)
	default:
		f.Who = [][]string{g.some()}
		g.hardness(&f)
		if k == CleanStop && g.one(3) {
			g.rolling(&f)
		}
	}
	return f
}

// repeat makes some faults come again and again: a crash loop, a flapping link.
func (g *swarm) repeat(f *Fault) {
	if !g.one(5) {
		return
	}
	f.For = g.between(50*time.Millisecond, max(g.Election, time.Second))
	f.Times = 2 + g.IntN(8)
	f.Every = f.For + g.between(100*time.Millisecond, 2*max(g.Election, time.Second))
}

// hardness draws the parameters of the kinds that have a degree.
func (g *swarm) hardness(f *Fault) {
	switch f.Kind {
	case Crash, Pause:
		g.repeat(f)
	case SlowCPU:
		f.Factor = pick(g.Rand, []int64{2, 4, 10, 50, 200})
	case SlowDisk:
		f.Factor = pick(g.Rand, []int64{3, 10, 50, 300})
	case WriteError, SyncError:
		f.Rate = pick(g.Rand, []int64{1_000, 10_000, 100_000, 1_000_000})
	case ClockStep, ClockOffset, ClockStrobe:
		f.Who = [][]string{{g.node().Name}}
		f.By = g.jump(f.Who[0][0])
		if f.Kind == ClockStrobe {
			f.Period = g.between(5*time.Millisecond, time.Second)
		}
	case ClockDrift:
		f.Who = [][]string{{g.node().Name}}
		f.PPM = pick(g.Rand, []int64{200, 5_000, 20_000, 100_000})
		if g.one(2) {
			f.PPM = -f.PPM
		}
	case ClockFreeze:
		f.Who = [][]string{{g.node().Name}}
		if !g.BeyondMaxOffset { // a standing clock falls behind by as long as it stands
			f.For = g.between(time.Millisecond, max(g.Model.MaxOffset, 2*time.Millisecond))
		}
	}
}

// rolling makes of a stop a rolling restart: of all nodes, or of one region's. Some
// leave a node no time to recover before the next one goes.
func (g *swarm) rolling(f *Fault) {
	f.Who = [][]string{{"all"}}
	if g.one(3) {
		f.Who = [][]string{{"region:" + g.node().Region}}
	}
	f.For = g.between(50*time.Millisecond, 2*time.Second)
	f.Stagger = g.between(f.For/2, f.For+2*max(g.Election, time.Second))
}

// ranges draws which ranges are asked for something, how often, and in whose favour:
// one request, or a storm that lasts as long as other faults do.
func (g *swarm) ranges(f *Fault) {
	n := g.Model.Topology.Ranges
	switch g.IntN(6) {
	case 0, 1:
		f.Who = [][]string{{"all"}}
	case 2:
		f.Who = [][]string{{g.node().Name}}
	case 3:
		f.Who = [][]string{{"region:" + g.node().Region}}
	default:
		var some []string
		for range 1 + g.IntN(3) {
			if r := g.Model.Topology.ranges()[g.IntN(n)]; !slices.Contains(some, r) {
				some = append(some, r)
			}
		}
		f.Who = [][]string{some}
	}
	if f.Kind.allows("to") && g.one(4) {
		f.To = g.node().Name
	}
	if g.one(2) {
		f.Every = g.between(20*time.Millisecond, pick(g.Rand, []time.Duration{200 * time.Millisecond, time.Second, 2 * max(g.Election, time.Second)}))
		f.Times = min(300, 2+int(g.length()/f.Every))
	}
}

// membership draws who comes and who goes: mostly one node.
func (g *swarm) membership(f *Fault) {
	f.Who = [][]string{{g.node().Name}}
	switch f.Kind {
	case AddNode:
		f.Who = [][]string{{pick(g.Rand, g.Model.Topology.Spares).Name}}
	case DrainNode:
		if g.one(3) {
			g.rolling(f)
		}
	}
}

// jump draws how far a node's clock moves: close to as far as is allowed, or, if
// that is asked for, well beyond.
func (g *swarm) jump(name string) time.Duration {
	at := func(i int) time.Duration {
		if i < len(g.Model.Offsets) {
			return g.Model.Offsets[i]
		}
		return 0
	}
	var own, lo, hi time.Duration
	for i, n := range g.Model.Topology.Nodes {
		if n.Name == name {
			own = at(i)
		}
		if i == 0 {
			lo, hi = at(i), at(i)
		}
		lo, hi = min(lo, at(i)), max(hi, at(i))
	}
	room := lo + g.Model.MaxOffset - own // forward
	sign := time.Duration(1)
	if g.one(2) {
		room, sign = own-(hi-g.Model.MaxOffset), -1
	}
	share := pick(g.Rand, []time.Duration{100, 500, 750, 900, 990})
	if g.BeyondMaxOffset && g.one(2) {
		share = pick(g.Rand, []time.Duration{1_100, 2_000, 10_000})
	}
	return (sign * room * share / 1000).Truncate(time.Microsecond)
}

// node draws a node, more often the one that attracts faults.
func (g *swarm) node() Place {
	if g.prey.Name != "" && g.one(2) {
		return g.prey
	}
	return pick(g.Rand, g.Model.Topology.Nodes)
}

// some draws the victims of a process, disk or clock fault: mostly one node.
func (g *swarm) some() []string {
	n := g.node()
	switch g.IntN(6) {
	case 0:
		return g.several(2)
	case 1:
		return []string{"zone:" + n.Region + "/" + n.Zone}
	}
	return []string{n.Name}
}

// several draws n nodes, or as many as there are, in the topology's order.
func (g *swarm) several(n int) []string {
	nodes := g.Model.Topology.Nodes
	var chosen []int
	for range n {
		chosen = append(chosen, g.IntN(len(nodes)))
	}
	slices.Sort(chosen)
	var names []string
	for _, i := range slices.Compact(chosen) {
		names = append(names, nodes[i].Name)
	}
	return names
}

// blackout draws who loses power together.
func (g *swarm) blackout() []string {
	n := g.node()
	switch g.IntN(8) {
	case 0:
		return []string{n.Name}
	case 1:
		return []string{"zone:" + n.Region + "/" + n.Zone}
	case 2:
		return []string{"region:" + n.Region}
	case 3:
		return []string{"all"}
	}
	return g.several(2 + g.IntN(max(1, len(g.Model.Topology.Nodes)*2/3)))
}

// clients draws some clients, in the topology's order.
func (g *swarm) clients() []string {
	all := g.Model.Topology.Clients
	if g.one(8) {
		return names(all)
	}
	from := g.IntN(len(all))
	return names(all[from:min(len(all), from+1+g.IntN(4))])
}

func names(places []Place) []string {
	var all []string
	for _, p := range places {
		all = append(all, p.Name)
	}
	return all
}

// with adds to nodes the clients near them, half of the time: a node cut off
// alone is a node that nobody asks.
func (g *swarm) with(nodes []Place) []string {
	all := names(nodes)
	if g.one(2) {
		return all
	}
	for _, c := range g.Model.Topology.Clients {
		for _, n := range nodes {
			if n.Region == c.Region && n.Zone == c.Zone {
				all = append(all, c.Name)
				break
			}
		}
	}
	return all
}

// shuffled lists the nodes in a drawn order.
func (g *swarm) shuffled() []Place {
	nodes := slices.Clone(g.Model.Topology.Nodes)
	g.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	return nodes
}

// partition draws a shape and its groups.
func (g *swarm) partition(f *Fault) {
	if g.one(4) {
		f.Mode = Hold
	}
	nodes := g.shuffled()
	n := len(nodes)
	f.Shape = pick(g.Rand, []Shape{Halves, Halves, MajorityRing, Bridge, OneWay, Isolate, Isolate, Isolate, Partial})
	switch {
	case f.Shape == MajorityRing && n >= 4:
		for i := range nodes {
			f.Who = append(f.Who, g.with(nodes[i:i+1]))
		}
	case f.Shape == Bridge && n >= 3:
		cut := 1 + g.IntN(n-2)
		f.Who = [][]string{g.with(nodes[1 : 1+cut]), g.with(nodes[1+cut:]), names(nodes[:1])}
	case f.Shape == OneWay && n >= 2:
		cut := 1 + g.IntN(n-1)
		f.Who = [][]string{g.with(nodes[:cut]), g.with(nodes[cut:])}
	case f.Shape == Partial && n >= 2:
		f.Who = [][]string{names(nodes[:2])}
		if n >= 4 && g.one(2) {
			f.Who = append(f.Who, names(nodes[2:4]))
		}
	case f.Shape == Halves && n >= 2:
		cut := 1 + g.IntN(n-1)
		if g.one(2) {
			cut = max(1, n/2)
		}
		f.Who = [][]string{g.with(nodes[:cut]), g.with(nodes[cut:])}
	default:
		f.Shape = Isolate
		at := g.node()
		f.Who = [][]string{pick(g.Rand, [][]string{
			g.with([]Place{at}), g.with([]Place{at}),
			{"zone:" + at.Region + "/" + at.Zone}, {"region:" + at.Region},
		})}
	}
}

// links draws which links suffer, and how.
func (g *swarm) links(f *Fault) {
	a, b := g.node(), g.node()
	switch g.IntN(4) {
	case 0:
		f.Who = [][]string{{a.Name}}
	case 1:
		f.Who = [][]string{{"region:" + a.Region}}
	case 2:
		f.Who = [][]string{{"all"}}
	default:
		f.Who = [][]string{{a.Name}, {b.Name}}
		if a == b {
			f.Who = f.Who[:1]
		}
	}
	if f.Kind == Reset {
		if g.one(2) {
			f.Times, f.Every = 2+g.IntN(20), g.between(50*time.Millisecond, time.Second)
		}
		return
	}
	rates := []int64{1_000, 10_000, 50_000, 200_000, 500_000}
	for _, what := range subset(g.Rand, []int{0, 1, 2, 3, 4, 5}, 5) {
		switch what {
		case 0:
			f.Link.Loss = pick(g.Rand, rates)
		case 1:
			f.Link.Duplicate = pick(g.Rand, rates)
		case 2:
			f.Link.Reorder = pick(g.Rand, rates)
		case 3:
			f.Link.Corrupt = pick(g.Rand, rates[:3])
		case 4:
			f.Link.Delay = g.between(time.Millisecond, pick(g.Rand, []time.Duration{20, 200, 2000})*time.Millisecond)
			if g.one(2) {
				f.Link.Jitter = g.between(time.Millisecond, 300*time.Millisecond)
			}
		case 5:
			f.Link.Bandwidth = pick(g.Rand, []int64{20_000, 100_000, 1_000_000, 10_000_000})
		}
	}
}

// trigger has some faults wait for a probe in place of their moment: those that
// end or freeze a process at that very point, or have its leases go elsewhere.
func (g *swarm) trigger(f *Fault, family Family) {
	if !g.atProbes || family == Clients || g.probed > g.Strength || !g.one(3) {
		return
	}
	switch f.Kind {
	case Crash, Pause, PowerLoss, LeaseTransfer, LeaderTransfer, ForcedElection, LoseDisk, ReplaceNode, MoveReplica:
	default:
		return
	}
	if g.victim.Name == "" {
		g.victim = g.node()
	}
	at := g.victim.Name
	if g.MaxDown == 0 || g.MaxDown > 1 && g.one(2) {
		at = g.node().Name
		if g.one(2) && f.Kind != LoseDisk && f.Kind != ReplaceNode {
			at = Any
		}
	}
	g.at(f, pick(g.Rand, g.Probes), at)
}

// at has the fault wait for a probe, which a node reaches, or any.
func (g *swarm) at(f *Fault, p env.Probe, at string) {
	f.Times, f.Every = 1, 0
	f.At = Trigger{Probe: p, Node: at, Nth: 1 + g.Int64N(1<<g.IntN(8))}
	if who := f.Who[0]; f.Kind == PowerLoss && (len(who) > 1 || who[0] == "all") {
		return // these lose power together when one of them is there
	}
	f.Who = [][]string{{at}}
	if f.Kind == Partition {
		f.Shape = Isolate
	}
}

// crossroads chooses a few points in the code and has something happen at each of them
// several times, to whichever node is there: a single fault, at one point of all, mostly meets
// nothing that matters, and a node that was chosen before is mostly not the one that matters.
// The points are mostly such between two steps that belong together, where half is
// done. What happens there is short, mostly: who comes back soon finds the other
// half, before others have done something about it.
func (g *swarm) crossroads(on []Family) {
	var kinds []Kind
	for _, k := range []Kind{Crash, Pause, PowerLoss, Partition, Reset, StallDisk} {
		if slices.Contains(on, k.Family()) {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return
	}
	var halfway []env.Probe
	for _, p := range g.Probes {
		if strings.Contains(string(p), ", before ") {
			halfway = append(halfway, p)
		}
	}
	point := func() env.Probe {
		if len(halfway) == 0 || g.one(4) {
			return pick(g.Rand, g.Probes)
		}
		return pick(g.Rand, halfway)
	}
	kinds = subset(g.Rand, kinds, 2)
	if g.MaxDown == 1 { // then only one node may be there
		if g.victim.Name == "" {
			g.victim = g.node()
		}
		points := []env.Probe{point(), point(), point()}[:1+g.IntN(3)]
		for range 4 + g.IntN(10*g.Strength) {
			f := g.brief(pick(g.Rand, kinds))
			g.at(&f, pick(g.Rand, points), g.victim.Name)
			g.accept(f)
		}
		return
	}
	for range 2 + g.IntN(2+2*g.Strength) { // of these points a run reaches about one in three
		p := point()
		for range 1 + g.IntN(2) {
			f := g.brief(pick(g.Rand, kinds))
			g.at(&f, p, Any)
			if !g.one(4) { // the next may come before the cluster is what it was
				f.Times = 2 + g.IntN(8)
				f.Every = f.For + g.between(100*time.Millisecond, pick(g.Rand, []time.Duration{time.Second, 2 * max(g.Election, time.Second)}))
			}
			g.accept(f)
		}
	}
}

// brief draws a fault of one node that is over soon, mostly.
func (g *swarm) brief(k Kind) Fault {
	f := g.fault(k, k.Family())
	if f.For > 0 && !g.one(4) {
		f.For = g.between(10*time.Millisecond, pick(g.Rand, []time.Duration{time.Second, 2 * time.Second}))
	}
	f.Who, f.Stagger = [][]string{{Any}}, 0
	return f
}
