package graph_test

import (
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/toy"
)

// A violation has one figure of each name that was found, a shortest cycle first,
// with the edges of the cycle that it shows; what it shows first is told first. A
// pass has none, and neither has a warning.
func TestFigures(t *testing.T) {
	several, pictured := 0, 0
	for _, d := range append(toy.Defects(), "") {
		for seed := uint64(1); seed <= 12; seed++ {
			c := config(seed, false)
			c.Skew, c.Defect = 100, d
			r := graph.ListAppend(toy.Make(c).History, graph.Options{})
			v := r.Verdict
			names, shortest := map[string]bool{}, 0
			for _, a := range r.Anomalies {
				names[a.Name] = true
				if a.Cycle != nil && (shortest == 0 || len(a.Cycle.Edges) < shortest) {
					shortest = len(a.Cycle.Edges)
				}
			}
			if want := min(len(names), 8); len(v.Figures) != want {
				t.Fatalf("%q, seed %d: %d figures of %d names", d, seed, len(v.Figures), want)
			}
			if v.Valid != checker.Violation {
				continue
			}
			if len(v.Figures) > 1 {
				several++
			}
			first := v.Figures[0]
			if !strings.HasPrefix(v.Details[0], first.Name) {
				t.Errorf("%q, seed %d: shown first is %s, told first is %s", d, seed, first.Name, v.Details[0])
			}
			if len(first.Edges) != shortest {
				t.Errorf("%q, seed %d: the first figure has %d edges, the shortest cycle %d", d, seed, len(first.Edges), shortest)
			}
			for _, f := range v.Figures {
				if !names[f.Name] || f.Doc == "" || f.Caption == "" || f.Times == 0 || len(f.Ops) == 0 || (f.SVG == "") != (len(f.Edges) == 0) {
					t.Errorf("%q, seed %d: figure %+v", d, seed, f)
				}
				delete(names, f.Name)
				if f.SVG != "" {
					pictured++
				}
			}
		}
	}
	if several == 0 || pictured == 0 {
		t.Errorf("%d violations had several names, %d figures a picture: too few to mean anything", several, pictured)
	}
}
