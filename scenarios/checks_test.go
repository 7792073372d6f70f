package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"simulacrum/checker/graph"
	"simulacrum/workloads"
)

// The page on consistency names every workload, every check that judges runs, and
// every anomaly that the graph can find, each of which says what it is.
func TestConsistencyPage(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "docs", "consistency.md"))
	if err != nil {
		t.Fatal(err)
	}
	var first []string // of each row of its tables
	for line := range strings.SplitSeq(string(raw), "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for name := range strings.SplitSeq(cells[1], ",") {
				first = append(first, strings.TrimSpace(name))
			}
		}
	}
	for _, name := range append(workloads.Names(), graph.Names()...) {
		if !slices.Contains(first, name) {
			t.Errorf("no table has a row for %s", name)
		}
	}
	for _, c := range CheckDocs() {
		if !strings.Contains(string(raw), "`"+c.Name+"`") {
			t.Errorf("the check %s is not named", c.Name)
		}
	}
	for _, name := range graph.Names() {
		for _, suffix := range []string{"", "-session", "-realtime"} {
			if graph.Doc(name+suffix) == "" {
				t.Errorf("%s has no explanation", name+suffix)
			}
		}
	}
}
