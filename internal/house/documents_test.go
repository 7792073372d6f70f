package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"simulacrum/internal/source"
)

// Documents are true on every commit as far as a test can see: what they name is
// there. That is: files and folders that they link to; code that they name as
// `file.go:Symbol` or `file.go:Type.Method`; tests, by their names; and mutants, by
// theirs. ARCHITECTURE.md names every room.

var (
	links   = regexp.MustCompile(`(?:\]\(|src=")([^)"#:]+)(?:#[^)"]*)?[)"]`)
	codes   = regexp.MustCompile("`([a-z][a-zA-Z0-9_./-]*\\.go):([A-Za-z.]+)`")
	paths   = regexp.MustCompile("`([a-z][a-zA-Z0-9_-]*(?:/[a-zA-Z0-9_.*-]+)+/?)`")
	tests   = regexp.MustCompile("`(Test[A-Z][A-Za-z]*)`")
	mutants = regexp.MustCompile(`\bM[0-9]{2}\b`)
)

func TestDocuments(t *testing.T) {
	root, err := source.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docs", "decisions", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(root, "README.md"), filepath.Join(root, "ARCHITECTURE.md"))
	all := declaredTests(t, root)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range documentProblems(root, name, string(text), all) {
			t.Errorf("%s %s", filepath.Base(name), p)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range load(t).Packages {
		if !strings.Contains(string(text), p.Rel()) {
			t.Errorf("ARCHITECTURE.md does not name the room %s: add it to the table of folders", p.Rel())
		}
	}
}

// What is not there is reported, what is there is not.
func TestDocumentProblems(t *testing.T) {
	root, err := source.Root()
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(root, "x.md")
	text := "[a](no/such.md) [b](cmd/simulate) `internal/house/sizes.go:tooLong` `internal/house/sizes.go:nobody` " +
		"`internal/nowhere/x` `internal/house/` `TestHouse` `TestNobody` `internal/house/imports.go:importRule.binds` M99"
	got := strings.Join(documentProblems(root, here, text, declaredTests(t, root)), "\n")
	want := "links to no/such.md, which is not there\nnames nobody, which internal/house/sizes.go does not declare\n" +
		"names internal/nowhere/x, which is not there\nnames TestNobody, which is no test\nnames the mutant M99, which has no patch"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func documentProblems(root, name, text string, tested map[string]bool) []string {
	var out []string
	missing := func(path string) bool {
		found, err := filepath.Glob(path)
		return err != nil || len(found) == 0
	}
	for _, m := range links.FindAllStringSubmatch(text, -1) {
		if missing(filepath.Join(filepath.Dir(name), m[1])) {
			out = append(out, fmt.Sprintf("links to %s, which is not there", m[1]))
		}
	}
	for _, m := range codes.FindAllStringSubmatch(text, -1) {
		if !declares(filepath.Join(root, m[1]), m[2]) {
			out = append(out, fmt.Sprintf("names %s, which %s does not declare", m[2], m[1]))
		}
	}
	for _, m := range paths.FindAllStringSubmatch(text, -1) {
		top, _, _ := strings.Cut(m[1], "/")
		if top != "simulate-out" && !missing(filepath.Join(root, top)) && missing(filepath.Join(root, m[1])) {
			out = append(out, fmt.Sprintf("names %s, which is not there", m[1]))
		}
	}
	for _, m := range tests.FindAllStringSubmatch(text, -1) {
		if !tested[m[1]] {
			out = append(out, fmt.Sprintf("names %s, which is no test", m[1]))
		}
	}
	for _, m := range mutants.FindAllString(text, -1) {
		if missing(filepath.Join(root, "internal", "mutants", "patches", m+".patch")) {
			out = append(out, fmt.Sprintf("names the mutant %s, which has no patch", m))
		}
	}
	return out
}

// declares reports whether a file declares a name at its top level, or a method as
// Type.Method.
func declares(file, symbol string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				recv := d.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				if id, ok := recv.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			if name == symbol {
				return true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.Name == symbol {
						return true
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.Name == symbol {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// declaredTests are the names of all tests of the module.
func declaredTests(t *testing.T, root string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	decl := regexp.MustCompile(`(?m)^func (Test[A-Z][A-Za-z]*)\(`)
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() && path != root && (e.Name()[0] == '.' || e.Name() == "simulate-out") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range decl.FindAllStringSubmatch(string(text), -1) {
				found[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
