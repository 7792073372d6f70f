package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// addNodes has spares join, with a stagger one a while after the other. One whose place
// has no power at that moment begins when it has.
func (r *Runner) addNodes(x *running) {
	came := &tally{}
	x.late = append(x.late, came)
	for i, n := range r.topo.newcomers(x.Who[0]) {
		join := func() {
			if r.over {
				return
			}
			if !r.t.Join(n) {
				x.reason = fmt.Sprintf("%s was there already", n)
				return
			}
			came.n++
			if r.endpoint(n).down == 0 {
				r.t.Start(n)
			}
		}
		if at := time.Duration(i) * x.Stagger; at > 0 {
			r.after(at, join)
		} else {
			join()
		}
	}
}

// tally is an effect that only counts.
type tally struct{ n int64 }

// Heal implements Effect: what was done is not undone.
func (t *tally) Heal() {}

// Count implements Effect.
func (t *tally) Count() int64 { return t.n }

// loseDisks takes power and disk, but of those that are spared. A node that is replaced
// begins again, as another, when the fault is over; the others never do.
func (r *Runner) loseDisks(x *running, o *occurrence) {
	var count int64
	o.count = func() int64 { return count }
	var held []*endpoint
	for _, n := range r.victims(x) {
		if why := r.t.LoseDisk(n); why != "" {
			x.reason = why
			continue
		}
		count++
		e := r.endpoint(n)
		e.down++
		if x.Kind == LoseDisk {
			e.gone = true
		} else {
			held = append(held, e)
		}
	}
	o.heal = func() {
		for _, e := range held {
			if e.down--; e.down == 0 {
				r.t.Start(e.name)
			}
		}
		held = nil
	}
}

// decommission has nodes emptied and ended. It may take longer than the fault window:
// what was asked for is not taken back when everything heals.
func (r *Runner) decommission(x *running) {
	x.reason = "no node was emptied before the run ended"
	for _, n := range r.victims(x) {
		x.late = append(x.late, r.t.Decommission(n))
	}
}

// snapshotLead is how long before its return a node is outrun: the logs of its ranges
// are cut short while it cannot hear of it.
const snapshotLead = 500 * time.Millisecond

// outrun isolates nodes, and before it lets them back has the logs of the ranges that
// they hold copies of cut short behind them: what they have missed they can only get as
// a snapshot. What is counted are the logs that were cut.
func (r *Runner) outrun(x *running, o *occurrence) {
	names := r.victims(x)
	others := without(r.topo.everyone(), names)
	cuts := []Effect{r.t.Cut(names, others, Drop), r.t.Cut(others, names, Drop)}
	x.reason = fmt.Sprintf("no log of the ranges of %s could be cut", strings.Join(names, ","))
	asked := false
	ask := func() {
		if asked {
			return
		}
		asked = true
		var all []string
		for _, n := range names {
			for _, name := range r.t.Replicas(n) {
				if !slices.Contains(all, name) {
					all = append(all, name)
				}
			}
		}
		for _, name := range all {
			x.late = append(x.late, r.t.Range(name, RangeFault{Kind: CutLog}))
		}
	}
	if x.For > 0 {
		r.after(max(x.For/2, x.For-snapshotLead), ask)
	}
	o.heal = func() {
		ask()
		for _, c := range cuts {
			c.Heal()
		}
	}
}

// leaves says what a plan would take away for good that must not go, or "": a majority
// of the copies of some range, whose data would be lost, or more nodes than can hold all
// copies. Disks that are lost one after another, with time for repair between them, count
// as if lost at once: how long a repair takes under other faults is not known. Nor is where
// copies have been moved meanwhile; that is for Target.LoseDisk to look at.
func (p *Plan) leaves(m Model) string {
	var lost []string
	members := len(m.Topology.Nodes)
	need := m.Replicas
	if need == 0 && len(m.Groups) > 0 {
		need = len(m.Groups[0])
	}
	for _, f := range p.inOrder() {
		switch f.Kind {
		case LoseDisk, ReplaceNode:
			for _, n := range m.Topology.group(f.Who[0], false) {
				if slices.Contains(lost, n) {
					continue
				}
				lost = append(lost, n)
				if f.Kind == LoseDisk {
					members--
				}
			}
		case Decommission:
			members -= len(m.Topology.group(f.Who[0], false))
		case AddNode:
			if f.At.Probe == "" { // at a probe it may never happen
				members += len(m.Topology.newcomers(f.Who[0]))
			}
		}
		if members < need {
			return fmt.Sprintf("%s leaves %d nodes for %d copies", f, members, need)
		}
	}
	for _, g := range m.Groups {
		left := 0
		for _, n := range g {
			if !slices.Contains(lost, n) {
				left++
			}
		}
		if left <= len(g)/2 {
			return fmt.Sprintf("%s: the disks lost hold a majority of the copies on %s", strings.Join(lost, ","), strings.Join(g, ","))
		}
	}
	return ""
}

// inOrder lists the faults by time, those at probes first: they may come at any time.
func (p *Plan) inOrder() []Fault {
	all := slices.Clone(p.Faults)
	slices.SortStableFunc(all, func(a, b Fault) int { return int(min(max(a.At.T-b.At.T, -1), 1)) })
	return all
}

// memberships are the forces of a fault that changes who is there: for as long as copies
// are lost with a node its vote is missing, and once nodes have come or gone ranges may
// have their copies elsewhere.
func (m Model) memberships(whole force) []force {
	var all []force
	for _, s := range whole.spans(whole.At.T, m.End) {
		x := whole
		x.from, x.to = s[0], m.End
		if whole.anyTime {
			x.from = 0
		}
		switch x.Kind {
		case LoseDisk, ReplaceNode:
			out := x
			if m.Repair > 0 && !whole.anyTime {
				out.to = min(m.End, max(s[1], s[0])+m.Repair)
			}
			if x.Kind == LoseDisk {
				x.gone = x.who
			}
			x.who = nil
			all = append(all, out)
			if x.gone == nil {
				continue
			}
		case Decommission:
			x.gone, x.who = x.who, nil
		case AddNode:
			x.came, x.who = m.Topology.newcomers(x.Who[0]), nil
		}
		all = append(all, x)
	}
	return all
}

// groups are the sets of nodes that may hold the copies of a range under these faults.
func (m Model) groups(in []force) [][]string {
	var gone, came []string
	for _, x := range in {
		gone, came = append(gone, x.gone...), append(came, x.came...)
	}
	if m.Replicas == 0 || len(gone)+len(came) == 0 {
		return m.Groups
	}
	var now Topology
	for _, p := range m.Topology.Nodes {
		if !slices.Contains(gone, p.Name) {
			now.Nodes = append(now.Nodes, p)
		}
	}
	for _, p := range m.Topology.Spares {
		if slices.Contains(came, p.Name) && !slices.Contains(gone, p.Name) {
			now.Nodes = append(now.Nodes, p)
		}
	}
	key := strings.Join(names(now.Nodes), ",")
	if _, ok := m.spreads[key]; !ok {
		m.spreads[key] = slices.Concat(m.Groups, Spread(now, m.Replicas))
	}
	return m.spreads[key]
}
