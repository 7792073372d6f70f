package house

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"simulacrum/internal/determinism"
	"simulacrum/internal/source"
)

// whole is the module, loaded once for all tests.
var whole = sync.OnceValues(func() (*source.Set, error) {
	root, err := source.Root()
	if err != nil {
		return nil, err
	}
	return source.Load(root, "./...")
})

func load(t *testing.T) *source.Set {
	t.Helper()
	set, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The load sees every package of the module: each directory with Go files, but for
// test data. (Walking them also tells the go command's cache of test results what
// this test depends on.)
func TestNothingIsLeftOut(t *testing.T) {
	root, err := source.Root()
	if err != nil {
		t.Fatal(err)
	}
	loaded := map[string]bool{}
	for _, p := range load(t).Packages {
		loaded[p.Rel()] = true
	}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != root && (name == "testdata" || name == "simulate-out" || name[0] == '.' || name[0] == '_'):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err == nil && !loaded[filepath.ToSlash(rel)] {
			t.Errorf("%s is not among the %d packages loaded", path, len(loaded))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// debts are the known violations; report fails the test for all others.
type debts struct {
	lines []string
	met   map[string]bool
}

func readDebts(t *testing.T) *debts {
	t.Helper()
	text, err := os.ReadFile("debts.txt")
	if err != nil {
		t.Fatal(err)
	}
	d := &debts{met: map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			d.lines = append(d.lines, line)
		}
	}
	return d
}

func (d *debts) known(problem string) bool {
	for _, line := range d.lines {
		if strings.Contains(problem, line) {
			d.met[line] = true
			return true
		}
	}
	return false
}

// The house keeps its rules: imports, determinism, docs, declarations, sizes.
func TestHouse(t *testing.T) {
	set, d := load(t), readDebts(t)
	report := func(t *testing.T, problems ...string) {
		for _, p := range problems {
			if d.known(p) {
				t.Log("known: ", p)
			} else {
				t.Error(p)
			}
		}
	}
	each := func(name string, judge func(t *testing.T, p *source.Package)) {
		t.Run(name, func(t *testing.T) {
			for _, p := range set.Packages {
				judge(t, p)
			}
		})
	}
	each("imports", func(t *testing.T, p *source.Package) { report(t, importProblems(p.Rel(), p.Imports)...) })
	each("determinism", func(t *testing.T, p *source.Package) {
		if !determinism.InScope(p.Rel()) {
			return
		}
		found, err := determinism.Check(set.Fset, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			report(t, fmt.Sprintf("%s: [%s] %s", set.Position(f.Pos), f.Analyzer, f.Message))
		}
	})
	each("docs", func(t *testing.T, p *source.Package) { report(t, docProblems(set, p)...) })
	each("declared", func(t *testing.T, p *source.Package) {
		if source.In(p.Rel(), "db") {
			report(t, declaredProblems(set, p)...)
		}
	})
	each("sizes", func(t *testing.T, p *source.Package) {
		for _, s := range sizeProblems(set, p) {
			if s.fails {
				report(t, s.text)
			} else {
				t.Log(s.text)
			}
		}
	})
	for _, line := range d.lines {
		if !d.met[line] {
			t.Logf("debts.txt: %q no longer applies: remove the line", line)
		}
	}
}

// Each import rule detects what it forbids, and lets the allowed pass.
func TestImportRules(t *testing.T) {
	const ours = source.Module + "/"
	for _, c := range []struct {
		from, imports string
		allowed       bool
	}{
		{"sim/env", "strings", true},
		{"sim/env", "github.com/cockroachdb/pebble/v2/vfs", true},
		{"sim/env", "github.com/tidwall/btree", false},
		{"sim/env", ours + "sim", false},
		{"sim/env/realenv", "github.com/tidwall/btree", true},
		{"sim/network", ours + "sim", true},
		{"sim/network", ours + "db/codec", false},
		{"sim", ours + "nemesis", false},
		{"db/storage", ours + "sim/env", true},
		{"db/storage", ours + "sim/disk", false},
		{"db/storage", ours + "sim", false},
		{"db/storage", "os", false},
		{"db/storage", "sync/atomic", false},
		{"db/storage", "net/netip", false},
		{"db/storage", "github.com/cockroachdb/pebble/v2", false},
		{"db/storage", "github.com/cockroachdb/pebble/v2/sstable", false},
		{"db/storage", "github.com/cockroachdb/pebble/v2/vfs", true},
		{"db/storage", ours + "db/codec", true},
		{"db/storage", ours + "db/mvcc", false},
		{"db/store", ours + "db/replica", true},
		{"db/replica", ours + "db/store", false},
		{"db/replica", ours + "db/placement", true},
		{"db/placement", ours + "db/rpc", false},
		{"db/placement", ours + "db/gossip", false},
		{"db/placement", ours + "db/liveness", false},
		{"db/placement", ours + "db/kv", true},
		{"db/kvclient", ours + "db/kv", true},
		{"db/kvclient", ours + "db/replica", false},
		{"db/gossip", ours + "db/rpc", true},
		{"db/gossip", ours + "db/placement", true},
		{"db/placement", ours + "db/gossip", false},
		{"db/gossip", ours + "db/storage", false},
		{"db/gossip", ours + "db/liveness", false},
		{"db/liveness", ours + "db/gossip", true},
		{"db/liveness", ours + "db/concurrency", false},
		{"db/replica", ours + "db/liveness", true},
		{"db/sql/opt", ours + "db/kv", true},
		{"db/sql/opt", ours + "db/mvcc", false},
		{"db/sql/opt", ours + "db/sql/parse", true},
		{"db/server", ours + "db/newroom", true},
		{"db/store", ours + "db/newroom", false},
		{"checker", ours + "checker/history", true},
		{"checker", ours + "db/hlc", false},
		{"checker", ours + "sim/env", false},
		{"nemesis", ours + "sim/env", true},
		{"nemesis", ours + "cluster", false},
		{"workloads", ours + "checker/history", true},
		{"workloads", ours + "db/kv", false},
		{"cluster", ours + "db/server", true},
		{"cluster", ours + "nemesis", true},
		{"cluster", ours + "scenarios", false},
		{"scenarios", ours + "cluster", true},
		{"scenarios", ours + "internal/mutants", false},
		{"internal/mutants", ours + "scenarios", false},
		{"cmd/simulate", ours + "scenarios", true},
		{"cmd/simulate", "github.com/spf13/cobra", false},
	} {
		problems := importProblems(c.from, []string{c.imports})
		if c.allowed != (len(problems) == 0) {
			t.Errorf("%s importing %s: %q", c.from, c.imports, problems)
		}
		for _, p := range problems {
			if !strings.Contains(p, "; use ") {
				t.Errorf("%q names no replacement", p)
			}
		}
	}
}

// A package without a comment, with undeclared and with idle probes and knobs is
// reported for each of these.
func TestSloppyPackage(t *testing.T) {
	set, err := source.Load(".", "./testdata/sloppy")
	if err != nil {
		t.Fatal(err)
	}
	p := set.Packages[0]
	got := strings.Join(append(docProblems(set, p), declaredProblems(set, p)...), "\n")
	for _, want := range []string{
		"has 0 package comments", "used, not listed is not listed", "said on the spot is not listed",
		"lists probe listed, not used", "knobUnlisted is not listed", "must be named where it is used",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing reports %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "listed and used") || strings.Contains(got, "knobListed") {
		t.Errorf("what is in order is reported:\n%s", got)
	}
}

// Sizes are counted from first to last line, and an annotation needs a reason.
func TestSizes(t *testing.T) {
	dir := t.TempDir()
	long := "// Package long is made up.\npackage long\n\nfunc long() {" + strings.Repeat("\n\t_ = 0", 130) + "\n}\n\n//house:flat one line a case\nfunc flat() {" +
		strings.Repeat("\n\t_ = 0", 130) + "\n}\n\n//house:flat\nfunc silent() {" + strings.Repeat("\n\t_ = 0", 80) + "\n}\n" + strings.Repeat("\n", 400)
	if err := os.WriteFile(dir+"/long.go", []byte(long), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/go.mod", []byte("module long\n\ngo 1.26.0\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	set, err := source.Load(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sizeProblems(set, set.Packages[0]) {
		words := strings.Fields(s.text[strings.Index(s.text, ": ")+2:])
		got = append(got, fmt.Sprintf("%s %s %v", words[0], words[1], s.fails))
	}
	if want := "[file of true function long true function silent false]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
