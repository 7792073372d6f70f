package scenarios

import (
	"slices"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/cluster/invariants"
	"simulacrum/nemesis"
	"simulacrum/sim"
)

// lookEvery is how often the cluster is looked at from outside, between two events: that
// schedules nothing, and so changes nothing in the run.
const lookEvery = 500 * time.Millisecond

// advance runs to the given time, with looks on the way.
func (x *run) advance(to sim.Time) {
	for x.survey != nil && x.sim.Now() < to && !x.sim.Halted() {
		next := min(to, (x.sim.Now()/sim.Time(lookEvery)+1)*sim.Time(lookEvery))
		x.sim.RunUntil(next)
		if next%sim.Time(lookEvery) == 0 && !x.sim.Halted() {
			x.survey.Look()
		}
	}
	x.sim.RunUntil(to)
}

// topologyVerdicts judge where copies are, how long keys went unserved although a quorum
// lived, and what losses cost.
func (x *run) topologyVerdicts(r *Result) []checker.Verdict {
	var all []checker.Verdict
	r.Recoveries = checker.Recoveries(r.History, x.losses(r), x.workload.Universe())
	if x.survey != nil && x.Placement > 0 {
		all = append(all, x.survey.Placement(x.Placement))
	}
	return append(all, checker.Unserved(r.History, x.windows(r), x.paused(r), int64(x.Liveness)), checker.Recovery(r.Recoveries))
}

// takes are the kinds of faults that take nodes away.
var takes = [...]nemesis.Kind{nemesis.Crash, nemesis.CleanStop, nemesis.PowerLoss, nemesis.DrainNode, nemesis.LoseDisk, nemesis.ReplaceNode}

// losses are the moments at which nodes were taken away, those of clients apart.
func (x *run) losses(r *Result) []checker.Loss {
	var all []checker.Loss
	for _, f := range r.Faults {
		isolates := f.Fault.Kind == nemesis.Partition && f.Fault.Shape == nemesis.Isolate
		targets := slices.DeleteFunc(f.Fault.Targets(x.Topology), func(n string) bool { return strings.HasPrefix(n, "c") })
		if f.Count == 0 || len(targets) == 0 || !isolates && !slices.Contains(takes[:], f.Fault.Kind) {
			continue
		}
		l := checker.Loss{Name: f.Fault.Kind.String() + " " + strings.Join(f.Fault.Who[0], ","), What: whatIs(f.Fault.Who[0], targets), At: int64(f.Start)}
		if x.survey != nil {
			l.Restored = x.survey.Restored(sim.Time(f.Start))
		}
		all = append(all, l)
	}
	return all
}

// whatIs is the size of what a group of a fault stands for.
func whatIs(who, targets []string) string {
	switch {
	case len(who) == 1 && strings.HasPrefix(who[0], "region:"):
		return "region"
	case len(who) == 1 && strings.HasPrefix(who[0], "zone:"):
		return "zone"
	case len(targets) > 1:
		return "nodes"
	}
	return "node"
}

// windows are the times at which the system has no excuse: by what really happened a
// quorum of each range is up and in touch, and no client may be cut off from all others.
func (x *run) windows(r *Result) []checker.Window {
	happened := nemesis.Happened(r.Faults)
	budget := happened.Budget(x.Model())
	if !budget.ClocksWithin {
		return nil // a node whose clock strays ends itself, as often as it likes
	}
	m := x.Model()
	cut := &nemesis.Plan{}
	for _, f := range happened.Faults {
		if f.Kind.Family() == nemesis.Network {
			// In a model in which all nodes hold all ranges, whatever cuts anybody off takes
			// a quorum away.
			cut.Faults = append(cut.Faults, f)
		}
	}
	m.Groups, m.Replicas = pairs(x.Topology), 0
	apart := cut.Budget(m)
	var all []checker.Window
	for _, s := range budget.Spans {
		if !s.Available {
			continue
		}
		for _, t := range apart.Spans {
			w := checker.Window{From: int64(max(s.From, t.From)), To: int64(min(s.To, t.To))}
			if t.Available && w.From < w.To {
				all = append(all, w)
			}
		}
	}
	return joined(all, int64(x.Healed), int64(x.Duration))
}

// paused lists when clients really were paused, by name.
func (x *run) paused(r *Result) map[string][]checker.Window {
	all := map[string][]checker.Window{}
	for client, spans := range nemesis.Happened(r.Faults).Paused(x.Model()) {
		for _, s := range spans {
			all[client] = append(all[client], checker.Window{From: int64(s.From), To: int64(s.To)})
		}
	}
	return all
}

// pairs are each client or node with the first node: two that must be in touch.
func pairs(t nemesis.Topology) [][]string {
	var all [][]string
	for _, p := range slices.Concat(t.Nodes[1:], t.Clients) {
		all = append(all, []string{t.Nodes[0].Name, p.Name})
	}
	return all
}

// joined makes one window of those that follow each other, and has one that reaches the
// time of healing last until clients stop.
func joined(windows []checker.Window, healed, end int64) []checker.Window {
	var all []checker.Window
	for _, w := range windows {
		if w.To >= healed {
			w.To = max(w.To, end)
		}
		if n := len(all); n > 0 && all[n-1].To >= w.From {
			all[n-1].To = max(all[n-1].To, w.To)
			continue
		}
		all = append(all, w)
	}
	return all
}

// movements are what the queues of stores decided about where copies and leases are.
func (x *run) movements() []invariants.Movement {
	if x.watch == nil {
		return nil
	}
	return x.watch.Movements()
}

// rangeEvents are how often each kind of event happened to ranges. A sweep tells which
// kinds never did.
func (x *run) rangeEvents() []checker.Count {
	if x.watch == nil {
		return nil
	}
	return x.watch.RangeEvents()
}
