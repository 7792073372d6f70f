package report

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"simulacrum/checker/history"
)

// families in the order of the legend. Each has a colour in page.css.
var families = [...]string{"process", "power", "network", "clock", "disk", "topology", "ranges", "knobs"}

// familyOf is the class of a family that the page knows, or "other".
func familyOf(f string) string {
	for _, known := range families {
		if f == known {
			return f
		}
	}
	return "other"
}

// lane heights in pixels.
const (
	laneHeight = 11
	rowPad     = 7
)

// timelineRow is one line of the timeline: a node, or the whole cluster.
type timelineRow struct {
	Region string // set on the first row of a region
	Name   string
	Height int
	Bars   []bar
	// Mid is the middle of the row, for its baseline.
	Mid int
}

// bar is one fault on one row, in percent of the width and pixels of height.
type bar struct {
	Family      string
	X, W        string
	Y, H        int
	Hint        string
	lane        int
	start, end_ int64
}

// tick is one mark of the time axis.
type tick struct {
	X, Text, Anchor string
}

// timeline lays faults out by node, nodes by region and name, in the order of
// the topology.
func (r *Report) timeline() []timelineRow {
	nodes := r.orderedNodes()
	rows := make([]timelineRow, 0, len(nodes)+1)
	at := map[string][]int{} // node, zone or region → rows
	for i, n := range nodes {
		row := timelineRow{Name: n.Name}
		if i == 0 || nodes[i-1].Region != n.Region {
			row.Region = n.Region
		}
		rows = append(rows, row)
		for _, name := range []string{n.Name, n.Zone, n.Region} {
			if name != "" {
				at[name] = appendNew(at[name], i)
			}
		}
	}
	others := map[string]int{} // the rows below the nodes
	span := r.span()
	for _, f := range r.Faults {
		var on []int
		for _, t := range f.Targets {
			for _, name := range targetNames(t, at) {
				for _, i := range at[name] {
					on = appendNew(on, i)
				}
			}
		}
		if len(on) == 0 {
			name := "cluster"
			if r.onlyClients(f) {
				name = "clients"
			}
			i, ok := others[name]
			if !ok {
				i = len(rows)
				others[name] = i
				rows = append(rows, timelineRow{Region: "all", Name: name})
			}
			on = []int{i}
		}
		for _, i := range on {
			rows[i].Bars = append(rows[i].Bars, newBar(f, span))
		}
	}
	for i := range rows {
		rows[i].lay()
	}
	return rows
}

// onlyClients reports whether a fault concerns clients and nobody else.
func (r *Report) onlyClients(f Fault) bool {
	for _, t := range f.Targets {
		if !slices.Contains(r.Clients, t) {
			return false
		}
	}
	return len(f.Targets) > 0
}

// targetNames finds the names that a target speaks of: "n1", or "n1→n2".
func targetNames(t string, at map[string][]int) []string {
	if at[t] != nil {
		return []string{t}
	}
	return strings.FieldsFunc(t, func(c rune) bool { return strings.ContainsRune(" ,|→<>+{}[]()", c) })
}

func appendNew(list []int, i int) []int {
	for _, j := range list {
		if j == i {
			return list
		}
	}
	return append(list, i)
}

func (r *Report) orderedNodes() []Node {
	nodes := append([]Node{}, r.Topology...)
	first := map[string]int{}
	for i, n := range nodes {
		if _, ok := first[n.Region]; !ok {
			first[n.Region] = i
		}
	}
	sort.SliceStable(nodes, func(i, j int) bool { return first[nodes[i].Region] < first[nodes[j].Region] })
	return nodes
}

func newBar(f Fault, span int64) bar {
	end, until := f.End, history.Clock(f.End)
	if end == history.Never {
		end, until = span, "the end, never healed"
	}
	x := float64(f.Start) / float64(span) * 100
	w := max(float64(end-f.Start)/float64(span)*100, 0.25)
	return bar{Family: familyOf(f.Family), X: fmt.Sprintf("%.3f%%", x), W: fmt.Sprintf("%.3f%%", min(w, 100-x)), H: laneHeight - 2, start: f.Start, end_: max(end, f.Start+span/400),
		Hint: fmt.Sprintf("%s\n%s to %s, %d effects", f.Line, history.Clock(f.Start), until, f.Effects)}
}

// lay puts bars that overlap in time into lanes of their own.
func (row *timelineRow) lay() {
	sort.SliceStable(row.Bars, func(i, j int) bool { return row.Bars[i].start < row.Bars[j].start })
	var free []int64 // by lane: when it is free
	for i := range row.Bars {
		b := &row.Bars[i]
		b.lane = len(free)
		for l, t := range free {
			if t <= b.start {
				b.lane = l
				break
			}
		}
		if b.lane == len(free) {
			free = append(free, 0)
		}
		free[b.lane] = b.end_
		b.Y = rowPad + b.lane*laneHeight
	}
	row.Height = 2*rowPad + laneHeight*max(1, len(free)) - 2
	row.Mid = row.Height / 2
}

// ticks marks the time axis at round seconds, six to twelve times.
func ticks(span int64) []tick {
	step := int64(1e6)
	for span/step > 10 {
		switch {
		case strings.HasPrefix(fmt.Sprint(step), "2"):
			step = step / 2 * 5
		default:
			step *= 2
		}
	}
	var out []tick
	for t := int64(0); t <= span; t += step {
		k := tick{X: fmt.Sprintf("%.3f%%", float64(t)/float64(span)*100), Text: fmt.Sprintf("%g s", float64(t)/1e9), Anchor: "middle"}
		if t == 0 {
			k.Anchor = "start"
		} else if t > span-step/4 {
			k.Anchor = "end"
		}
		out = append(out, k)
	}
	return out
}
