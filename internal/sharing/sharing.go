package sharing

import (
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"regexp"
	"sort"
	"strings"

	"simulacrum/sim/env"
)

// Allowed is a type that nodes may share, with the reason.
type Allowed struct {
	Type   reflect.Type
	Reason string
}

// Allow makes T one that may be shared. T is the type as it is held: a pointer,
// slice, map or channel type; an allowed interface or struct type ends the walk at
// each value of it.
func Allow[T any](reason string) Allowed { return Allowed{reflect.TypeFor[T](), reason} }

// always are allowed in every walk.
func always() []Allowed {
	return []Allowed{
		Allow[*env.Knob]("declared once, nothing assigns to it"),
		Allow[*crc32.Table]("a table of constants"),
		Allow[*regexp.Regexp]("safe for shared use, keeps no state"),
		{reflect.TypeOf(errors.New("")), "an error value of a package"},
		{reflect.TypeOf(reflect.TypeFor[int]()), "a type"},
	}
}

// Sharing is one block of memory that both roots reach.
type Sharing struct {
	Type reflect.Type
	A, B string // how each root reaches it
}

// String names the type and both paths.
func (s Sharing) String() string {
	return fmt.Sprintf("%v is shared: a%s and b%s are the same memory; send a message instead, or allow the type with the reason why it never changes", s.Type, s.A, s.B)
}

// Between reports what a and b share, in the order in which b reaches it. Blocks
// behind a shared one are not reported again.
func Between(a, b any, allowed ...Allowed) []Sharing {
	allow := map[reflect.Type]bool{}
	for _, x := range append(always(), allowed...) {
		allow[x.Type] = true
	}
	mine := walk(a, allow, nil)
	sort.Slice(mine, func(i, j int) bool { return mine[i].lo < mine[j].lo })
	reach := make([]uintptr, len(mine)) // the furthest end among the blocks up to i
	for i, m := range mine {
		reach[i] = m.hi
		if i > 0 && reach[i-1] > m.hi {
			reach[i] = reach[i-1]
		}
	}
	var out []Sharing
	walk(b, allow, func(y block) bool {
		for i := sort.Search(len(mine), func(i int) bool { return mine[i].lo >= y.hi }) - 1; i >= 0 && reach[i] > y.lo; i-- {
			if mine[i].hi > y.lo {
				out = append(out, Sharing{y.kind, mine[i].at.String(), y.at.String()})
				return false
			}
		}
		return true
	})
	return out
}

// block is a stretch of memory that was reached by a reference.
type block struct {
	lo, hi uintptr
	kind   reflect.Type
	at     *path
}

// path is how a value was reached, as a list from the end.
type path struct {
	up   *path
	step string
}

func (p *path) String() string {
	var steps []string
	for ; p != nil; p = p.up {
		steps = append(steps, p.step)
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		b.WriteString(steps[i])
	}
	return b.String()
}

type item struct {
	v  reflect.Value
	at *path
}

type seen struct {
	addr uintptr
	kind reflect.Type
}

type walker struct {
	allow   map[reflect.Type]bool
	enter   func(block) bool
	visited map[seen]bool
	todo    []item
	blocks  []block
}

// walk gives every block that root reaches. enter, if not nil, is asked whether to
// go on behind each.
func walk(root any, allow map[reflect.Type]bool, enter func(block) bool) []block {
	w := &walker{allow: allow, enter: enter, visited: map[seen]bool{}}
	w.push(reflect.ValueOf(root), nil, "")
	for len(w.todo) > 0 {
		last := len(w.todo) - 1
		next := w.todo[last]
		w.todo = w.todo[:last]
		w.look(next.v, next.at)
	}
	return w.blocks
}

func (w *walker) push(v reflect.Value, up *path, step string) {
	if v.IsValid() && !w.allow[v.Type()] {
		w.todo = append(w.todo, item{v, &path{up, step}})
	}
}

// block notes memory and reports whether to look into it.
func (w *walker) block(v reflect.Value, size uintptr, at *path) bool {
	addr := v.Pointer()
	key := seen{addr, v.Type()}
	if addr == 0 || size == 0 || w.visited[key] {
		return false
	}
	w.visited[key] = true
	b := block{addr, addr + size, v.Type(), at}
	w.blocks = append(w.blocks, b)
	return w.enter == nil || w.enter(b)
}

func (w *walker) look(v reflect.Value, at *path) {
	switch v.Kind() {
	case reflect.Pointer:
		if w.block(v, v.Type().Elem().Size(), at) {
			w.push(v.Elem(), at, "")
		}
	case reflect.Slice:
		if w.block(v, uintptr(v.Cap())*v.Type().Elem().Size(), at) {
			w.elements(v, at)
		}
	case reflect.Map:
		if w.block(v, 1, at) {
			for it := v.MapRange(); it.Next(); {
				w.push(it.Key(), at, "[key]")
				w.push(it.Value(), at, "[...]")
			}
		}
	case reflect.Chan:
		w.block(v, 1, at)
	case reflect.Interface:
		w.push(v.Elem(), at, "")
	case reflect.Array:
		w.elements(v, at)
	case reflect.Struct:
		for i := range v.NumField() {
			w.push(v.Field(i), at, "."+v.Type().Field(i).Name)
		}
	}
}

func (w *walker) elements(v reflect.Value, at *path) {
	if plain(v.Type().Elem()) {
		return
	}
	for i := range v.Len() {
		w.push(v.Index(i), at, fmt.Sprintf("[%d]", i))
	}
}

// plain reports whether values of t hold no references.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Chan, reflect.Interface, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}
