package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// maporder accepts a loop over a map when each of its statements is one of
//
//	s = append(s, pure)      and s is sorted later in the same function
//	n++  n += pure           integers only, also -= |= &= ^= and max/min
//	m[k] = pure              k is the loop's key, so that each key is written once
//	v.field = pure           v is the loop's value, taken to belong to one key alone
//	m[pure] = constant       a set; whoever comes last writes the same
//	x = constant             whoever comes last writes the same
//	delete(m, pure)
//	x := pure, if pure {...}, continue, nested loops of the same kind
//	return constants         when nothing else in the loop has an effect and all ways
//	x = constant; break      out of it are alike
//
// where pure is an expression without calls, but for builtins, conversions, the
// functions of bytes, strings, cmp, math and strconv, and methods whose names say
// that they only look (Less, Equal, Compare, IsEmpty, Len, Size, String ...).
// A loop without variables runs the same body n times and is accepted.
var maporder = &analysis.Analyzer{
	Name: "maporder",
	Doc:  "forbid loops over maps whose outcome can depend on the order",
	Run:  runMaporder,
}

const sortKeys = "order differs from run to run; collect the keys, sort them and range over the slice, or keep an ordered map (tidwall/btree)"

func runMaporder(pass *analysis.Pass) (any, error) {
	for _, f := range pass.Files {
		for _, d := range f.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.RangeStmt:
					checkRange(pass, d, n)
				case *ast.CallExpr:
					checkMapsIter(pass, f, n)
				}
				return true
			})
		}
	}
	return nil, nil
}

func checkRange(pass *analysis.Pass, decl ast.Node, loop *ast.RangeStmt) {
	t := pass.TypesInfo.TypeOf(loop.X)
	if t == nil {
		return
	}
	if _, ok := t.Underlying().(*types.Map); !ok {
		return
	}
	if blank(loop.Key) && blank(loop.Value) {
		return
	}
	b := &body{pass: pass, decl: decl, loop: loop}
	b.key, _ = loop.Key.(*ast.Ident)
	b.block(loop.Body.List)
	if b.problem == "" && b.leaves && b.effects {
		b.problem = "it leaves early and has an effect before"
	}
	if b.problem != "" {
		pass.Reportf(loop.Pos(), "range over a map: %s, and the %s", b.problem, sortKeys)
	}
}

func blank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return e == nil || ok && id.Name == "_"
}

// checkMapsIter reports maps.Keys and its kin unless sorted on the spot.
func checkMapsIter(pass *analysis.Pass, f *ast.File, call *ast.CallExpr) {
	path, name := called(pass.TypesInfo, call.Fun)
	if path == "reflect" || path != "maps" || name != "Keys" && name != "Values" && name != "All" {
		return
	}
	sorted := false
	ast.Inspect(f, func(n ast.Node) bool {
		if outer, ok := n.(*ast.CallExpr); ok && len(outer.Args) > 0 && outer.Args[0] == ast.Expr(call) {
			p, fn := called(pass.TypesInfo, outer.Fun)
			sorted = sorted || p == "slices" && strings.HasPrefix(fn, "Sorted") || p == "maps" && fn == "Collect"
		}
		return !sorted
	})
	if !sorted {
		pass.Reportf(call.Pos(), "maps.%s: the %s (slices.Sorted(maps.Keys(m)) is fine)", name, sortKeys)
	}
}

// body judges the statements of one loop. problem is the first that does not
// commute; leaves and effects tell whether it can end early and whether anything
// it did before would show.
type body struct {
	pass            *analysis.Pass
	decl            ast.Node
	loop            *ast.RangeStmt
	key             *ast.Ident
	nested          int // loops inside that are being judged
	leaves, effects bool
	returned        string
	problem         string
}

func (b *body) fail(why string) {
	if b.problem == "" {
		b.problem = why
	}
}

func (b *body) block(list []ast.Stmt) {
	if b.answers(list) {
		return
	}
	for _, s := range list {
		b.stmt(s)
	}
}

// inner judges the body of a loop inside, whose break does not leave this one.
func (b *body) inner(body *ast.BlockStmt) {
	b.nested++
	b.block(body.List)
	b.nested--
}

// answers reports whether the block is "x = constant; break": a way out that says
// the same whichever element it came to first.
func (b *body) answers(list []ast.Stmt) bool {
	last := len(list) - 1
	if last < 1 || b.nested > 0 {
		return false
	}
	if out, ok := list[last].(*ast.BranchStmt); !ok || out.Tok != token.BREAK || out.Label != nil {
		return false
	}
	text := "break"
	for _, s := range list[:last] {
		a, ok := s.(*ast.AssignStmt)
		if !ok || a.Tok != token.ASSIGN || len(a.Lhs) != 1 || len(a.Rhs) != 1 || !b.constant(a.Rhs[0]) {
			return false
		}
		text += " " + types.ExprString(a.Lhs[0]) + " = " + types.ExprString(a.Rhs[0])
	}
	b.leaveAs(text)
	return true
}

// leaveAs notes a way out of the loop, which must be the only kind.
func (b *body) leaveAs(text string) {
	b.leaves = true
	if b.returned != "" && b.returned != text {
		b.fail("it ends in one way or another by what it came to first")
	}
	b.returned = text
}

func (b *body) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
	case *ast.BlockStmt:
		b.block(s.List)
	case *ast.IfStmt:
		b.stmt(s.Init)
		b.pure(s.Cond)
		b.block(s.Body.List)
		b.stmt(s.Else)
	case *ast.ForStmt:
		b.stmt(s.Init)
		if s.Cond != nil {
			b.pure(s.Cond)
		}
		b.stmt(s.Post)
		b.inner(s.Body)
	case *ast.RangeStmt:
		b.pure(s.X)
		b.inner(s.Body)
	case *ast.IncDecStmt:
		b.integer(s.X)
	case *ast.AssignStmt:
		b.assign(s)
	case *ast.BranchStmt:
		if s.Tok == token.GOTO || s.Label != nil || s.Tok == token.BREAK && b.nested == 0 {
			b.leaveAs(s.Tok.String())
		}
	case *ast.ReturnStmt:
		b.leave(s)
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		if !ok || builtin(b.pass.TypesInfo, call.Fun) != "delete" {
			b.fail("its body calls something that may have an effect")
			return
		}
		b.effects = true
		b.pure(call.Args[0])
		b.pure(call.Args[1])
	case *ast.DeclStmt:
	default:
		b.fail("its body does more than collect, count, sum or delete")
	}
}

func (b *body) leave(s *ast.ReturnStmt) {
	values := "return"
	for _, r := range s.Results {
		if !b.constant(r) {
			b.fail("it returns something of the element it came to first")
		}
		values += " " + types.ExprString(r)
	}
	b.leaveAs(values)
}

func (b *body) assign(s *ast.AssignStmt) {
	if s.Tok != token.DEFINE && s.Tok != token.ASSIGN {
		b.pure(s.Rhs[0])
		b.integer(s.Lhs[0])
		if s.Tok == token.QUO_ASSIGN || s.Tok == token.REM_ASSIGN || s.Tok == token.SHL_ASSIGN || s.Tok == token.SHR_ASSIGN {
			b.fail("its arithmetic does not commute")
		}
		return
	}
	if len(s.Lhs) != len(s.Rhs) {
		b.pure(s.Rhs[0])
		if s.Tok == token.ASSIGN {
			b.fail("it assigns to a variable that outlives the element")
		}
		return
	}
	for i, left := range s.Lhs {
		b.store(left, s.Rhs[i], s.Tok == token.DEFINE)
	}
}

// store judges left = right.
func (b *body) store(left, right ast.Expr, define bool) {
	if b.local(left) {
		define = true
	}
	if call, ok := right.(*ast.CallExpr); ok && !define {
		switch name := builtin(b.pass.TypesInfo, call.Fun); name {
		case "append":
			for _, arg := range call.Args {
				b.pure(arg)
			}
			if b.perKey(left) {
				b.effects = true
			} else if types.ExprString(left) != types.ExprString(call.Args[0]) || !b.sortedLater(left) {
				b.fail("it appends to " + types.ExprString(left) + ", which is not sorted afterwards")
			}
			b.effects = true
			return
		case "max", "min":
			b.pure(right)
			b.integer(left)
			return
		}
	}
	b.pure(right)
	switch {
	case define || blank(left):
	case b.perKey(left), b.ofElement(left), b.constant(right):
		b.effects = true
	default:
		b.fail("it assigns to a variable that outlives the element")
	}
}

// perKey reports whether e is m[k] with the loop's own key.
func (b *body) perKey(e ast.Expr) bool {
	index, ok := e.(*ast.IndexExpr)
	if !ok || b.key == nil {
		return false
	}
	id, ok := index.Index.(*ast.Ident)
	return ok && b.object(id) != nil && b.object(id) == b.object(b.key)
}

// ofElement reports whether e is a field or element of the loop's own value, which
// is taken to belong to one key alone.
func (b *body) ofElement(e ast.Expr) bool {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.Ident:
			value, ok := b.loop.Value.(*ast.Ident)
			return ok && b.object(x) != nil && b.object(x) == b.object(value)
		default:
			return false
		}
	}
}

func (b *body) object(id *ast.Ident) types.Object { return b.pass.TypesInfo.ObjectOf(id) }

// local reports whether e is a variable declared inside the loop.
func (b *body) local(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	if !ok {
		return false
	}
	obj := b.object(id)
	return obj != nil && b.loop.Body.Pos() <= obj.Pos() && obj.Pos() < b.loop.Body.End()
}

func (b *body) integer(e ast.Expr) {
	b.effects = b.effects || !b.local(e)
	t, ok := b.pass.TypesInfo.TypeOf(e).Underlying().(*types.Basic)
	if !ok || t.Info()&types.IsInteger == 0 {
		b.fail("it accumulates something other than integers")
	}
}

func (b *body) constant(e ast.Expr) bool {
	tv := b.pass.TypesInfo.Types[e]
	if tv.Value != nil || tv.IsNil() {
		return true
	}
	lit, ok := e.(*ast.CompositeLit)
	return ok && len(lit.Elts) == 0
}

var lookingPackages = map[string]bool{"bytes": true, "strings": true, "cmp": true, "math": true, "math/bits": true, "strconv": true}

var lookingMethods = map[string]bool{"Less": true, "LessEq": true, "Compare": true, "Equal": true, "IsEmpty": true,
	"IsZero": true, "Len": true, "Size": true, "String": true, "Contains": true, "Has": true}

// pure fails the loop when e calls something that may have an effect.
func (b *body) pure(e ast.Expr) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // made, not called
		case *ast.CallExpr:
			if b.pass.TypesInfo.Types[n.Fun].IsType() {
				return true
			}
			switch builtin(b.pass.TypesInfo, n.Fun) {
			case "len", "cap", "min", "max", "new", "make", "append":
				return true
			}
			path, _ := called(b.pass.TypesInfo, n.Fun)
			sel, isSel := n.Fun.(*ast.SelectorExpr)
			if !lookingPackages[path] && !(isSel && lookingMethods[sel.Sel.Name]) {
				b.fail("it calls " + types.ExprString(n.Fun) + ", which may have an effect")
			}
		}
		return true
	})
}

// sortedLater reports whether e is an argument of a sort after the loop, in the
// same declaration: a function of sort or slices, or any whose name says it sorts.
func (b *body) sortedLater(e ast.Expr) bool {
	want, found := types.ExprString(e), false
	ast.Inspect(b.decl, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Pos() < b.loop.End() {
			return true
		}
		if !strings.Contains(strings.ToLower(types.ExprString(call.Fun)), "sort") {
			return true
		}
		for _, arg := range call.Args {
			found = found || mentions(arg, want)
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && types.ExprString(sel.X) == want {
			found = true
		}
		return !found
	})
	return found
}

// mentions reports whether an expression, or one inside it, reads as want.
func mentions(e ast.Expr, want string) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if inner, ok := n.(ast.Expr); ok && types.ExprString(inner) == want {
			found = true
		}
		return !found
	})
	return found
}
