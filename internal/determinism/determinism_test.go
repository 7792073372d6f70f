package determinism

import (
	"go/ast"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"simulacrum/internal/source"
)

// A want is an expectation in a fixture's comment: want "pattern" for its own
// line, want:-7 "pattern" for a line further up.
var want = regexp.MustCompile(`want(?::(-\d+))? "((?:[^"\\]|\\.)*)"`)

type expected struct {
	pattern *regexp.Regexp
	met     bool
}

// Every fixture states a claim; the findings are exactly what its comments want.
func TestFixtures(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, e := range entries {
		patterns = append(patterns, "./testdata/"+e.Name())
	}
	set, err := source.Load(".", patterns...)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Packages) != len(entries) {
		t.Fatalf("loaded %d of %d fixtures", len(set.Packages), len(entries))
	}
	for _, p := range set.Packages {
		t.Run(p.Types.Name(), func(t *testing.T) { checkFixture(t, set, p) })
	}
}

func checkFixture(t *testing.T, set *source.Set, p *source.Package) {
	wants := map[int][]*expected{}
	for _, f := range p.Files {
		collect(t, set, f, wants)
	}
	found, err := Check(set.Fset, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		at := set.Fset.Position(d.Pos)
		if !meet(wants[at.Line], d.Message) {
			t.Errorf("%s: unwanted: [%s] %s", set.Position(d.Pos), d.Analyzer, d.Message)
		}
	}
	for line, list := range wants {
		for _, e := range list {
			if !e.met {
				t.Errorf("%s:%d: nothing matched %q", p.Dir, line, e.pattern)
			}
		}
	}
}

func collect(t *testing.T, set *source.Set, f *ast.File, wants map[int][]*expected) {
	for _, group := range f.Comments {
		for _, c := range group.List {
			for _, m := range want.FindAllStringSubmatch(c.Text, -1) {
				line := set.Fset.Position(c.Pos()).Line
				if m[1] != "" {
					up, _ := strconv.Atoi(m[1])
					line += up
				}
				pattern := strings.ReplaceAll(m[2], `\"`, `"`)
				re, err := regexp.Compile(pattern)
				if err != nil {
					t.Fatal(err)
				}
				wants[line] = append(wants[line], &expected{pattern: re})
			}
		}
	}
}

func meet(list []*expected, message string) bool {
	for _, e := range list {
		if !e.met && e.pattern.MatchString(message) {
			e.met = true
			return true
		}
	}
	return false
}

// The scope is the rooms under simulation, without the parts that meet the real
// world and without the house itself.
func TestScope(t *testing.T) {
	for rel, in := range map[string]bool{
		"sim": true, "sim/env": true, "sim/disk": true, "db/replica": true, "cluster/invariants": true,
		"sim/env/realenv": false, "internal/mutants": false, "cmd/simulate": false, "simulation": false,
	} {
		if InScope(rel) != in {
			t.Errorf("InScope(%s) = %v", rel, !in)
		}
	}
}
