package house

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"slices"
	"sort"

	"simulacrum/internal/source"
)

const envPath = source.Module + "/sim/env"

// names is what one package says about its probes, or its knobs: where each is
// used, and which its list function declares.
type names struct {
	used     map[string]string // name -> place of the first use
	declared map[string]bool
	forwards []string // places that pass on a name which is not a constant
}

// declaredProblems checks that each probe and knob that the room uses stands in
// its function Probes or Knobs, and that nothing stands there unused.
func declaredProblems(set *source.Set, p *source.Package) []string {
	d := &declarations{set: set, p: p,
		probes: names{used: map[string]string{}, declared: map[string]bool{}},
		knobs:  names{used: map[string]string{}, declared: map[string]bool{}},
	}
	for _, f := range p.Files {
		for _, decl := range f.Decls {
			d.decl(decl)
		}
	}
	out := d.probes.problems(p.Rel(), "probe", "Probes")
	return append(out, d.knobs.problems(p.Rel(), "knob", "Knobs")...)
}

func (n names) problems(rel, what, list string) []string {
	var out []string
	for _, name := range sortedKeys(n.used) {
		if !n.declared[name] {
			out = append(out, fmt.Sprintf("%s: %s %s is not listed by %s in %s, so that no run can report on it", n.used[name], what, name, list, rel))
		}
	}
	for _, name := range sortedKeys(n.declared) {
		if n.used[name] == "" {
			out = append(out, fmt.Sprintf("%s: %s lists %s %s, which nothing uses", rel, list, what, name))
		}
	}
	for _, at := range n.forwards {
		out = append(out, fmt.Sprintf("%s: a %s must be named where it is used, so that a reader finds it", at, what))
	}
	return out
}

type declarations struct {
	set           *source.Set
	p             *source.Package
	probes, knobs names
}

func (d *declarations) decl(decl ast.Decl) {
	fn, ok := decl.(*ast.FuncDecl)
	if ok && fn.Recv == nil && (fn.Name.Name == "Probes" || fn.Name.Name == "Knobs") {
		d.list(fn)
		return
	}
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			d.call(n)
		case *ast.Ident: // a knob may be read through a helper: any mention is a use
			if v, ok := d.p.Info.Uses[n].(*types.Var); ok && d.isKnob(v) {
				d.use(&d.knobs, v.Name(), n)
			}
		}
		return true
	})
}

// list collects what Probes or Knobs mentions: constants of type env.Probe, and
// package-level knobs.
func (d *declarations) list(fn *ast.FuncDecl) {
	ast.Inspect(fn, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if tv := d.p.Info.Types[e]; tv.Value != nil && isEnv(tv.Type, "Probe") {
			d.probes.declared[constant.StringVal(tv.Value)] = true
		}
		if id, ok := e.(*ast.Ident); ok {
			if v, ok := d.p.Info.Uses[id].(*types.Var); ok && d.isKnob(v) {
				d.knobs.declared[v.Name()] = true
			}
		}
		return true
	})
}

// call notes a call of Probe by its argument. An argument that is a parameter of
// the enclosing function is reported as a forward.
func (d *declarations) call(call *ast.CallExpr) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Probe" || len(call.Args) != 1 {
		return
	}
	tv := d.p.Info.Types[call.Args[0]]
	if d.p.Info.Selections[sel] == nil || !isEnv(tv.Type, "Probe") {
		return
	}
	if tv.Value == nil {
		d.probes.forwards = append(d.probes.forwards, d.set.Position(call.Pos()).String())
		return
	}
	d.use(&d.probes, constant.StringVal(tv.Value), call)
}

func (d *declarations) use(n *names, name string, at ast.Node) {
	if n.used[name] == "" {
		n.used[name] = d.set.Position(at.Pos()).String()
	}
}

func (d *declarations) isKnob(v *types.Var) bool {
	return v.Pkg() == d.p.Types && v.Parent() == d.p.Types.Scope() && isEnv(v.Type(), "Knob")
}

// isEnv reports whether t is the named type of sim/env, or a pointer to it.
func isEnv(t types.Type, name string) bool {
	if t == nil {
		return false
	}
	if ptr, ok := types.Unalias(t).(*types.Pointer); ok {
		t = ptr.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == envPath
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return slices.Compact(keys)
}
