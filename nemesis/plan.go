package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plan is what goes wrong in a run: faults in the order in which they begin,
// those that wait for a probe last. As text it has one fault a line; blank lines
// and whatever follows "# " are for the reader.
type Plan struct {
	Faults []Fault
}

// String is the plan's text, without the comments it may have had.
func (p *Plan) String() string {
	var b strings.Builder
	for _, f := range p.Faults {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// LineError is what is wrong with one line of a plan.
type LineError struct {
	Line int // from 1
	Text string
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v\n\t%s", e.Line, e.Err, e.Text) }

// Unwrap gives the cause.
func (e *LineError) Unwrap() error { return e.Err }

// ParsePlan reads a plan's text. Faults that come out of order are sorted, since
// a plan is edited by hand. The error is a *LineError.
func ParsePlan(text string) (*Plan, error) {
	p := &Plan{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		bare := strings.TrimSpace(stripComment(line))
		if bare == "" {
			continue
		}
		f, err := Parse(bare)
		if err != nil {
			return nil, &LineError{Line: n, Text: strings.TrimSpace(line), Err: err}
		}
		p.Faults = append(p.Faults, f)
	}
	p.Sort()
	return p, nil
}

// stripComment cuts a line at a "#" that ends it or has a blank after it, outside
// of quotes. "#4" is a count, not a comment.
func stripComment(line string) string {
	line = strings.TrimRight(line, "\r\n")
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '#' && !quoted && (i+1 == len(line) || line[i+1] == ' ' || line[i+1] == '\t'):
			return line[:i]
		}
	}
	return line
}

// Sort puts the faults in order, keeping that of equals.
func (p *Plan) Sort() {
	slices.SortStableFunc(p.Faults, func(a, b Fault) int {
		if pa, pb := a.At.Probe != "", b.At.Probe != ""; pa != pb {
			if pa {
				return 1
			}
			return -1
		}
		return int(min(max(a.At.T-b.At.T, -1), 1))
	})
}

// Check says what a plan names that the topology does not have. The index is that
// of the fault, or -1.
func (p *Plan) Check(topo Topology) (int, error) {
	for i, f := range p.Faults {
		for _, g := range f.Who {
			for _, s := range g {
				switch {
				case f.Kind == AddNode && len(topo.newcomers([]string{s})) == 0:
					return i, fmt.Errorf("%s: there is no spare node %q in this topology: give its region spares", f, s)
				case len(topo.resolve(s, true)) == 0 && (!kinds[f.Kind].asks || !isRange(s)):
					return i, fmt.Errorf("%s: there is no %q in this topology", f, s)
				}
			}
		}
		if kinds[f.Kind].asks {
			if err := f.checkRanges(topo); err != nil {
				return i, err
			}
		}
		if f.At.Probe != "" && len(topo.resolve(f.At.Node, true)) == 0 {
			return i, fmt.Errorf("%s: there is no %q in this topology", f, f.At.Node)
		}
	}
	return -1, nil
}

// Without is the plan less the faults at the given indices: what a shrinker asks
// for.
func (p *Plan) Without(indices ...int) *Plan {
	q := &Plan{}
	for i, f := range p.Faults {
		if !slices.Contains(indices, i) {
			q.Faults = append(q.Faults, f)
		}
	}
	return q
}

// All lists the nodes that there can be: those of the beginning, then the spares.
func (topo Topology) All() []Place { return slices.Concat(topo.Nodes, topo.Spares) }

// resolve lists the names that a selector may stand for, in the topology's order: Any may be every node. Spares
// are where they stand before they have joined too: what is done to them has no effect.
func (topo Topology) resolve(selector string, clients bool) []string {
	var names []string
	region, isRegion := strings.CutPrefix(selector, "region:")
	zone, isZone := strings.CutPrefix(selector, "zone:")
	if isZone {
		region, zone, _ = strings.Cut(zone, "/")
	}
	match := func(places []Place, whole bool) {
		for _, p := range places {
			if selector == p.Name || isRegion && region == p.Region ||
				isZone && region == p.Region && zone == p.Zone || whole && (selector == "all" || selector == Any) {
				names = append(names, p.Name)
			}
		}
	}
	match(topo.Nodes, true)
	match(topo.Spares, true)
	if clients || len(names) == 0 {
		match(topo.Clients, false)
	}
	return names
}

// group lists the names that a group stands for, each once. Where a place is
// named, its clients belong to it only if clients is set.
func (topo Topology) group(selectors []string, clients bool) []string {
	var names []string
	for _, s := range selectors {
		for _, n := range topo.resolve(s, clients) {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// newcomers lists the spares that a group of AddNode stands for, each once.
func (topo Topology) newcomers(selectors []string) []string {
	spares := names(topo.Spares)
	return slices.DeleteFunc(topo.group(selectors, false), func(n string) bool { return !slices.Contains(spares, n) })
}

// everyone lists all names, nodes first, the spare ones after the others.
func (topo Topology) everyone() []string {
	var names []string
	for _, p := range topo.All() {
		names = append(names, p.Name)
	}
	for _, p := range topo.Clients {
		names = append(names, p.Name)
	}
	return names
}

func without(names, less []string) []string {
	var rest []string
	for _, n := range names {
		if !slices.Contains(less, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// cut is a direction in which nothing gets through.
type cut struct{ from, to []string }

// cuts lists what a partition cuts.
func (f Fault) cuts(topo Topology) []cut {
	groups := make([][]string, len(f.Who))
	for i, g := range f.Who {
		groups[i] = topo.group(g, true)
	}
	var all []cut
	apart := func(a, b []string) { all = append(all, cut{a, b}, cut{b, a}) }
	switch f.Shape {
	case Halves:
		for i := range groups {
			for j := range i {
				apart(groups[j], groups[i])
			}
		}
	case MajorityRing:
		n := len(groups)
		reach := (n/2 + 1) / 2 // neighbours on each side that make, with itself, a majority
		for i := range groups {
			for j := range i {
				if d := i - j; min(d, n-d) > reach {
					apart(groups[j], groups[i])
				}
			}
		}
	case Bridge:
		apart(groups[0], groups[1])
	case OneWay:
		all = append(all, cut{groups[0], groups[1]})
	case Isolate:
		apart(groups[0], without(topo.everyone(), groups[0]))
	case Partial:
		for _, g := range groups {
			for i := range g {
				for j := range i {
					apart(g[j:j+1], g[i:i+1])
				}
			}
		}
	}
	return all
}

// end is when the last repetition of f ends at the latest, if it begins at its
// time and the window ends at limit.
func (f Fault) end(limit time.Duration) time.Duration {
	spans := f.spans(f.At.T, limit)
	if len(spans) == 0 {
		return f.At.T
	}
	return spans[len(spans)-1][1]
}
