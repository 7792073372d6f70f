package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"simulacrum/checker"
)

// figures gives one example of each name that was found, what is easiest to follow
// first: a short cycle before a long one, and of two the one that was evident
// earlier. What needs no cycle has no picture and comes last. The second result is
// the whole text on the first figure, "" when there is none.
func (a *analysis) figures(times map[string]int) (out []checker.Figure, first string) {
	var of []*Anomaly
	for i := range a.found {
		if !a.found[i].Warning {
			of = append(of, &a.found[i])
		}
	}
	length := func(x *Anomaly) int {
		if x.Cycle == nil {
			return a.n + 1
		}
		return len(x.Cycle.Edges)
	}
	slices.SortStableFunc(of, func(x, y *Anomaly) int {
		return cmp.Or(cmp.Compare(length(x), length(y)), cmp.Compare(a.evident(x.Ops), a.evident(y.Ops)))
	})
	shown := map[string]bool{}
	for _, x := range of {
		if shown[x.Name] {
			continue
		}
		shown[x.Name] = true
		f := checker.Figure{Name: x.Name, Doc: Doc(x.Name), Ops: x.Ops, Times: int64(max(times[x.Name], a.times[x.Name]))}
		f.Caption, _, _ = strings.Cut(x.Text, "\n")
		if x.Cycle != nil {
			f.Caption = caption(x.Cycle)
			f.SVG = SVG(a.h, x.Cycle)
			for _, e := range x.Cycle.Edges {
				f.Edges = append(f.Edges, checker.FigureEdge{From: e.From, To: e.To, Kind: e.Kind.String(), Key: e.Key, Via: e.Via, Text: e.Text})
			}
		}
		if len(out) == 0 {
			first = x.Text
		}
		out = append(out, f)
	}
	return out, first
}

// caption names the transactions of a cycle in their impossible order.
func caption(c *Cycle) string {
	var b strings.Builder
	for i, e := range c.Edges {
		if i > 0 {
			b.WriteString(" before ")
		}
		b.WriteString(tn(e.From))
	}
	return fmt.Sprintf("No serial order exists: it would need %s before %s again.", b.String(), tn(c.Edges[0].From))
}
