package graph_test

import (
	"encoding/xml"
	"io"
	"os"
	"strings"
	"testing"

	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
)

// A picture is well-formed XML, names every transaction and edge of its cycle, and
// is the same each time. With SIMULACRUM_PICTURES set to a folder the pictures are
// left there to be looked at.
func TestPictures(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range toy.Defects() {
		for seed := uint64(1); seed <= 40; seed++ {
			c := config(seed, false)
			c.Skew, c.Defect = 100, d
			run := toy.Make(c)
			for _, a := range graph.ListAppend(run.History, graph.Options{}).Anomalies {
				if a.Cycle == nil || seen[a.Name] {
					continue
				}
				seen[a.Name] = true
				svg := graph.SVG(run.History, a.Cycle)
				if svg != graph.SVG(run.History, a.Cycle) {
					t.Fatal("two pictures of one cycle differ")
				}
				for dec := xml.NewDecoder(strings.NewReader(svg)); ; {
					if _, err := dec.Token(); err == io.EOF {
						break
					} else if err != nil {
						t.Fatalf("%v in\n%s", err, svg)
					}
				}
				if n := strings.Count(svg, `class="txn"`); n != len(a.Cycle.Edges) {
					t.Errorf("%s: %d boxes for %d transactions", a.Name, n, len(a.Cycle.Edges))
				}
				for _, e := range a.Cycle.Edges {
					if !strings.Contains(svg, e.Kind.String()) {
						t.Errorf("%s: no edge %s in the picture", a.Name, e.Kind)
					}
				}
				if dir := os.Getenv("SIMULACRUM_PICTURES"); dir != "" {
					if err := os.WriteFile(dir+"/"+a.Name+".svg", []byte(svg), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if len(seen) < 6 {
		t.Errorf("only %v were drawn", seen)
	}
}

// Text from a client does not become markup.
func TestPictureEscapes(t *testing.T) {
	h := &history.History{Ops: []history.Op{{ID: 0, Client: "<script>", Outcome: history.OK}, {ID: 1, Client: "&", Outcome: history.OK}}}
	svg := graph.SVG(h, &graph.Cycle{Name: "<b>", Edges: []graph.Edge{{From: 0, To: 1, Key: "<k>"}, {From: 1, To: 0, Text: "</title>"}}})
	if strings.Contains(svg, "<script>") || strings.Contains(svg, "<b>") || strings.Contains(svg, "<k>") {
		t.Error(svg)
	}
}
