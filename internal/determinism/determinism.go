package determinism

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"sort"
	"strings"

	"golang.org/x/tools/go/analysis"

	"simulacrum/internal/source"
)

// Analyzers are all passes, in the order in which they are documented.
func Analyzers() []*analysis.Analyzer {
	return []*analysis.Analyzer{concurrency, clock, maporder, globals}
}

// scope lists the rooms that run under simulation, and the checkers, whose verdicts
// must not depend on the host either; except holds the parts of them
// that live in the real world.
var (
	scope  = []string{"sim", "db", "cluster", "nemesis", "checker", "workloads", "scenarios"}
	except = []string{"sim/env/realenv", "sim/env/envtest", "checker/history", "checker/report"}
)

// InScope reports whether a package, named relative to the module, is under
// simulation.
func InScope(rel string) bool {
	for _, room := range except {
		if source.In(rel, room) {
			return false
		}
	}
	for _, room := range scope {
		if source.In(rel, room) {
			return true
		}
	}
	return false
}

// Finding is a diagnostic with the analyzer that made it.
type Finding struct {
	Analyzer string
	Pos      token.Pos
	Message  string
}

// Check runs every analyzer over one package, drops what is annotated, and
// reports annotations that are empty or idle. Findings come in source order.
func Check(fset *token.FileSet, p *source.Package) ([]Finding, error) {
	notes := annotations(fset, p.Files)
	var found []Finding
	for _, a := range Analyzers() {
		pass := &analysis.Pass{
			Analyzer: a, Fset: fset, Files: p.Files, Pkg: p.Types, TypesInfo: p.Info,
			Report: func(d analysis.Diagnostic) {
				if !notes.silence(fset.Position(d.Pos)) {
					found = append(found, Finding{a.Name, d.Pos, d.Message})
				}
			},
		}
		if _, err := a.Run(pass); err != nil {
			return nil, fmt.Errorf("%s on %s: %w", a.Name, p.Path, err)
		}
	}
	found = append(found, notes.leftover()...)
	sort.SliceStable(found, func(i, j int) bool { return found[i].Pos < found[j].Pos })
	return found, nil
}

const marker = "//determinism:ok"

type place struct {
	file string
	line int
}

type note struct {
	pos    token.Pos
	reason string
	used   bool
}

type noteSet map[place]*note

func annotations(fset *token.FileSet, files []*ast.File) noteSet {
	set := noteSet{}
	for _, f := range files {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if rest, ok := strings.CutPrefix(c.Text, marker); ok {
					at := fset.Position(c.Pos())
					set[place{at.Filename, at.Line}] = &note{pos: c.Pos(), reason: strings.TrimSpace(rest)}
				}
			}
		}
	}
	return set
}

// silence reports whether the line, or the one above it, carries a reason.
func (s noteSet) silence(at token.Position) bool {
	for _, line := range []int{at.Line, at.Line - 1} {
		if n := s[place{at.Filename, line}]; n != nil && n.reason != "" {
			n.used = true
			return true
		}
	}
	return false
}

func (s noteSet) leftover() []Finding {
	var found []Finding
	for _, n := range s {
		switch {
		case n.reason == "":
			found = append(found, Finding{"annotation", n.pos, marker + " gives no reason: write why the order or the host cannot matter here"})
		case !n.used:
			found = append(found, Finding{"annotation", n.pos, marker + " silences nothing: remove it, or the next reader will trust it"})
		}
	}
	return found
}

// called is the package path and name of the package-level function that the
// call's operand names, or empty strings.
func called(info *types.Info, fun ast.Expr) (path, name string) {
	switch f := ast.Unparen(fun).(type) {
	case *ast.IndexExpr:
		return called(info, f.X)
	case *ast.IndexListExpr:
		return called(info, f.X)
	case *ast.SelectorExpr:
		return function(info.Uses[f.Sel])
	case *ast.Ident:
		return function(info.Uses[f])
	}
	return "", ""
}

func function(obj types.Object) (path, name string) {
	fn, ok := obj.(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Signature().Recv() != nil {
		return "", ""
	}
	return fn.Pkg().Path(), fn.Name()
}

// builtin is the name of the predeclared function that a call's operand names.
func builtin(info *types.Info, fun ast.Expr) string {
	if id, ok := ast.Unparen(fun).(*ast.Ident); ok {
		if b, ok := info.Uses[id].(*types.Builtin); ok {
			return b.Name()
		}
	}
	return ""
}

// inspect walks all files of a pass.
func inspect(pass *analysis.Pass, visit func(ast.Node) bool) {
	for _, f := range pass.Files {
		ast.Inspect(f, visit)
	}
}
