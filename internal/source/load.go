package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module is the module path of this house.
const Module = "simulacrum"

// Package is one package of the module.
type Package struct {
	Path    string // import path, such as "simulacrum/sim/env"
	Dir     string
	Imports []string // direct imports of its non-test files
	Files   []*ast.File
	Types   *types.Package
	Info    *types.Info
}

// Rel is the import path inside the module, such as "sim/env", and "" for the root.
func (p *Package) Rel() string { return Rel(p.Path) }

// Rel strips the module from an import path. A path outside the module is
// returned unchanged.
func Rel(path string) string {
	if path == Module {
		return ""
	}
	return strings.TrimPrefix(path, Module+"/")
}

// In reports whether the module-relative path is the room or lies inside it.
func In(rel, room string) bool { return rel == room || strings.HasPrefix(rel, room+"/") }

// Set is what one load gave.
type Set struct {
	Fset     *token.FileSet
	Packages []*Package // in an order in which imports come first
}

// Position is the place of pos, with the file name relative to the module's root.
func (s *Set) Position(pos token.Pos) token.Position {
	at := s.Fset.Position(pos)
	if root, err := Root(); err == nil {
		if rel, err := filepath.Rel(root, at.Filename); err == nil {
			at.Filename = filepath.ToSlash(rel)
		}
	}
	return at
}

// Root is the directory of the module's go.mod, found upwards from the working
// directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod in the working directory or above it")
		}
		dir = up
	}
}

// listed is the part of go list's answer that matters here.
type listed struct {
	ImportPath, Dir, Export string
	Standard, DepOnly       bool
	GoFiles, Imports        []string
	Module                  *struct{ Path string }
	Error                   *struct{ Err string }
}

// Load lists, parses and type-checks the packages that the patterns name, which
// are those of the go command, seen from dir.
func Load(dir string, patterns ...string) (*Set, error) {
	all, err := list(dir, patterns)
	if err != nil {
		return nil, err
	}
	exports := make(map[string]string, len(all))
	for _, l := range all {
		exports[l.ImportPath] = l.Export
	}
	set := &Set{Fset: token.NewFileSet()}
	imp := importer.ForCompiler(set.Fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(exports[path])
	})
	for _, l := range all {
		if l.DepOnly || l.Module == nil || len(l.GoFiles) == 0 {
			continue
		}
		p, err := check(set.Fset, imp, l)
		if err != nil {
			return nil, err
		}
		set.Packages = append(set.Packages, p)
	}
	return set, nil
}

func list(dir string, patterns []string) ([]listed, error) {
	args := append([]string{"list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,Standard,DepOnly,GoFiles,Imports,Module,Error"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %v\n%s", strings.Join(patterns, " "), err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading go list's answer: %w", err)
		}
		if l.Error != nil {
			return nil, fmt.Errorf("%s: %s", l.ImportPath, l.Error.Err)
		}
		all = append(all, l)
	}
}

func check(fset *token.FileSet, imp types.Importer, l listed) (*Package, error) {
	p := &Package{Path: l.ImportPath, Dir: l.Dir, Imports: l.Imports, Info: &types.Info{
		Types:      map[ast.Expr]types.TypeAndValue{},
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Implicits:  map[ast.Node]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
		Instances:  map[*ast.Ident]types.Instance{},
		Scopes:     map[ast.Node]*types.Scope{},
	}}
	for _, name := range l.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(l.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.Files = append(p.Files, f)
	}
	var err error
	conf := types.Config{Importer: imp, Sizes: types.SizesFor("gc", "amd64")}
	p.Types, err = conf.Check(l.ImportPath, fset, p.Files, p.Info)
	if err != nil {
		return nil, fmt.Errorf("type-checking %s: %w", l.ImportPath, err)
	}
	return p, nil
}
