package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// globals reports every place that changes a package-level variable, or could
// hand out the means to. Filling a table in func init is construction and allowed,
// for it happens once, before any simulation.
var globals = &analysis.Analyzer{
	Name: "globals",
	Doc:  "forbid package-level state that changes: many simulations share a process",
	Run:  runGlobals,
}

const keepInRun = "simulations in one process would share it, and the second would not be a replay of the first; keep it in the Sim, the Env or the object that owns it"

// immutable are types whose address may be taken and whose methods may be called
// through a package-level variable, because nothing changes them once made.
var immutable = map[string]string{
	"simulacrum/sim/env.Knob": "declared once, read through Env.Knob",
	"hash/crc32.Table":        "a table of constants",
	"regexp.Regexp":           "safe for shared use; matching keeps no state",
	"text/template.Template":  "executed only",
	"html/template.Template":  "executed only",
	"embed.FS":                "read-only by construction",
	"reflect.rtype":           "a type",
	"strings.Replacer":        "safe for shared use",
}

func runGlobals(pass *analysis.Pass) (any, error) {
	g := &globalCheck{pass}
	for _, f := range pass.Files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				continue
			}
			ast.Inspect(d, g.visit)
		}
	}
	return nil, nil
}

type globalCheck struct{ pass *analysis.Pass }

func (g *globalCheck) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, left := range n.Lhs {
				g.changed(left, "assigned to")
			}
		}
	case *ast.IncDecStmt:
		g.changed(n.X, "changed")
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			g.changed(n.Key, "assigned to")
			g.changed(n.Value, "assigned to")
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			g.addressed(n.X)
		}
	case *ast.CallExpr:
		g.call(n)
	}
	return true
}

// global is the package-level variable that e is a part of, or nil.
func (g *globalCheck) global(e ast.Expr) *types.Var {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		v, ok := g.pass.TypesInfo.Uses[e].(*types.Var)
		if ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
			return v
		}
	case *ast.SelectorExpr:
		if v, ok := g.pass.TypesInfo.Uses[e.Sel].(*types.Var); ok && !v.IsField() && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
			return v // another package's
		}
		return g.global(e.X)
	case *ast.IndexExpr:
		return g.global(e.X)
	case *ast.SliceExpr:
		return g.global(e.X)
	case *ast.StarExpr:
		return g.global(e.X)
	}
	return nil
}

func (g *globalCheck) changed(e ast.Expr, how string) {
	if e == nil {
		return
	}
	if v := g.global(e); v != nil {
		g.pass.Reportf(e.Pos(), "package-level variable %s is %s: %s", v.Name(), how, keepInRun)
	}
}

func (g *globalCheck) addressed(e ast.Expr) {
	t := g.pass.TypesInfo.TypeOf(e)
	if v := g.global(e); v != nil && !isImmutable(t) {
		g.pass.Reportf(e.Pos(), "the address of package-level variable %s is taken, so that it may change: %s", v.Name(), keepInRun)
	}
}

// call judges builtins and sorts that write to their argument, and methods that
// may write to their receiver.
func (g *globalCheck) call(call *ast.CallExpr) {
	switch builtin(g.pass.TypesInfo, call.Fun) {
	case "delete", "clear", "copy":
		g.changed(call.Args[0], "changed")
		return
	}
	path, name := called(g.pass.TypesInfo, call.Fun)
	if (path == "sort" || path == "slices" && (strings.HasPrefix(name, "Sort") && !strings.HasPrefix(name, "Sorted") || name == "Reverse")) && len(call.Args) > 0 {
		g.changed(call.Args[0], "reordered")
		return
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	s := g.pass.TypesInfo.Selections[sel]
	if s == nil || s.Kind() != types.MethodVal {
		return
	}
	recv := s.Obj().(*types.Func).Signature().Recv()
	if _, ok := recv.Type().Underlying().(*types.Pointer); !ok || isImmutable(g.pass.TypesInfo.TypeOf(sel.X)) {
		return
	}
	if v := g.global(sel.X); v != nil {
		g.pass.Reportf(sel.Pos(), "method %s may change package-level variable %s: %s", sel.Sel.Name, v.Name(), keepInRun)
	}
}

func isImmutable(t types.Type) bool {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil {
		return false
	}
	return immutable[n.Obj().Pkg().Path()+"."+n.Obj().Name()] != ""
}
