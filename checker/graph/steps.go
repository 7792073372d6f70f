package graph

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
	"simulacrum/checker/names"
)

// step is one action on one key, small enough that millions are cheap.
type step struct {
	key  int32
	does stepKind
	// n is the value written or read; for a list read the index of the list.
	n int64
}

type stepKind uint8

const (
	readsList   stepKind = iota + 1 // n is an index into lists
	readsInt                        // n is the value
	readsAbsent                     // the key was not there
	touches                         // a read that says nothing about what it saw
	writes                          // n is the value or the element
	deletes
)

func (k stepKind) changes() bool { return k >= writes }

// readRec is what a transaction saw of a key from outside: its first read, less
// its own writes before.
type readRec struct {
	txn, key int32
	// n is how many versions of the key's order the read had seen; of a register
	// without a known order it means nothing.
	n int32
	// of is the list that was read, or the write whose value was read (initially:
	// noWrite).
	of int32
}

const noWrite = -1

// analysis is the work on one history. Transactions are numbered as the
// operations of the history; numbers beyond are auxiliary nodes.
type analysis struct {
	h     *history.History
	o     *Options
	check string
	n     int

	keys  []string // by number
	names names.Table
	first []int32 // of each transaction, its first step; one more at the end
	steps []step
	lists [][]int64

	// in tells which transactions certainly happened: those that were acknowledged,
	// and those of unknown outcome of which somebody saw a write.
	in     []bool
	writes writeTable
	reads  []readRec // in order of transactions
	order  versionOrder

	edges edgeList
	aux   int

	found     []Anomaly
	times     map[string]int // how often each name was found, told or not
	infos     int64
	undecided string
	anyDelete bool // a read found a key deleted, by any of several: an order need not replay
	byID      map[int]int
	seen      scratch
	name      func(write int32) string
}

func newAnalysis(h *history.History, o *Options, check string) *analysis {
	a := &analysis{h: h, o: o, check: check, n: len(h.Ops), times: map[string]int{}}
	a.in = make([]bool, a.n)
	a.first = make([]int32, a.n+1)
	var actions, reads int
	for i := range h.Ops {
		op := &h.Ops[i]
		a.in[i] = op.Outcome == history.OK
		if op.Outcome == history.Info {
			a.infos++
		}
		actions += len(op.Actions)
		for j := range op.Actions {
			if op.Actions[j].F == history.Read {
				reads++
			}
		}
	}
	a.steps = make([]step, 0, actions)
	if check == "list-append" {
		a.lists = make([][]int64, 0, reads)
	}
	return a
}

// intern numbers a key.
func (a *analysis) intern(name string) int32 {
	id := a.names.ID(name)
	if int(id) == len(a.keys) {
		a.keys = append(a.keys, name)
	}
	return id
}

func (a *analysis) stepsOf(t int32) []step { return a.steps[a.first[t]:a.first[t+1]] }

func (a *analysis) id(t int32) int { return a.h.Ops[t].ID }

// op finds an operation by its id, which normally is its place.
func (a *analysis) op(id int) *history.Op {
	if id >= 0 && id < a.n && a.h.Ops[id].ID == id {
		return &a.h.Ops[id]
	}
	if a.byID == nil {
		a.byID = map[int]int{}
		for i := range a.h.Ops {
			a.byID[a.h.Ops[i].ID] = i
		}
	}
	if i, ok := a.byID[id]; ok {
		return &a.h.Ops[i]
	}
	return nil
}

// internLists turns operations on lists into steps.
func (a *analysis) internLists() {
	for t := range a.h.Ops {
		op := &a.h.Ops[t]
		for i := range op.Actions {
			x := &op.Actions[i]
			switch x.F {
			case history.Append:
				k := a.intern(x.Key)
				if n, ok := x.Arg.Int(); ok {
					a.steps = append(a.steps, step{k, writes, n})
				} else {
					for _, n := range x.Arg.List() {
						a.steps = append(a.steps, step{k, writes, n})
					}
				}
			case history.Read:
				a.listRead(a.intern(x.Key), x.Result)
			case history.Scan:
				a.scan(op, x, a.listRead)
			default:
				a.cannot(op, x)
			}
		}
		a.first[t+1] = int32(len(a.steps))
	}
	a.seen.size(len(a.keys))
}

func (a *analysis) listRead(k int32, v history.Value) {
	switch v.Kind() {
	case history.ListKind, history.Absent:
		a.steps = append(a.steps, step{k, readsList, int64(len(a.lists))})
		a.lists = append(a.lists, v.List())
	default:
		a.steps = append(a.steps, step{k, touches, 0})
	}
}

// internRegisters turns operations on registers into steps. A CAS that succeeded
// read what it expected.
func (a *analysis) internRegisters() {
	for t := range a.h.Ops {
		op := &a.h.Ops[t]
		for i := range op.Actions {
			x := &op.Actions[i]
			switch x.F {
			case history.Read:
				a.intRead(a.intern(x.Key), x.Result)
			case history.Scan:
				a.scan(op, x, a.intRead)
			case history.CAS:
				a.intRead(a.intern(x.Key), x.Expect)
				a.intWrite(op, x)
			case history.Write:
				a.intWrite(op, x)
			case history.Delete:
				a.steps = append(a.steps, step{a.intern(x.Key), deletes, 0})
			default:
				a.cannot(op, x)
			}
		}
		a.first[t+1] = int32(len(a.steps))
	}
	a.seen.size(len(a.keys))
}

func (a *analysis) intWrite(op *history.Op, x *history.Action) {
	n, ok := x.Arg.Int()
	if !ok {
		a.cannot(op, x)
	}
	a.steps = append(a.steps, step{a.intern(x.Key), writes, n})
}

func (a *analysis) intRead(k int32, v history.Value) {
	if n, ok := v.Int(); ok {
		a.steps = append(a.steps, step{k, readsInt, n})
	} else if v.IsAbsent() {
		a.steps = append(a.steps, step{k, readsAbsent, 0})
	} else {
		a.steps = append(a.steps, step{k, touches, 0})
	}
}

// scan is a read of each key that it covers: what it did not return was absent.
func (a *analysis) scan(op *history.Op, x *history.Action, read func(int32, history.Value)) {
	if x.Result.IsNone() || op.Outcome != history.OK {
		return
	}
	found := map[string]history.Value{}
	var names []string
	cover := func(name string, v history.Value) {
		if _, ok := found[name]; !ok {
			names = append(names, name)
		}
		found[name] = v
	}
	if rows := x.Arg.Rows(); rows != nil {
		for _, r := range rows {
			cover(r.Key, history.NoKey())
		}
	} else {
		for _, name := range a.universe() {
			cover(name, history.NoKey())
		}
	}
	for _, r := range x.Result.Rows() {
		cover(r.Key, r.Value)
	}
	sort.Strings(names)
	for _, name := range names {
		read(a.intern(name), found[name])
	}
}

func (a *analysis) universe() []string {
	if a.o.Universe != nil {
		return a.o.Universe
	}
	named := map[string]bool{}
	all := []string{}
	for i := range a.h.Ops {
		for j := range a.h.Ops[i].Actions {
			if x := &a.h.Ops[i].Actions[j]; x.F != history.Scan && !named[x.Key] {
				named[x.Key] = true
				all = append(all, x.Key)
			}
		}
	}
	sort.Strings(all)
	a.o.Universe = all
	return all
}

// cannot notes an action that this check has no meaning for.
func (a *analysis) cannot(op *history.Op, x *history.Action) {
	a.undecide(fmt.Sprintf("operation %d does %s, which has no place in a history of %s", op.ID, x, a.check))
}

func (a *analysis) undecide(why string) {
	if a.undecided == "" {
		a.undecided = why
	}
}

// keep bounds how many findings of one name are told: a database that is broken
// through and through would fill the memory with its faults.
const keep = 64

// finding notes something wrong that needs no cycle.
func (a *analysis) finding(name string, key int32, text string, txns ...int32) {
	if a.times[name]++; a.times[name] > keep {
		return
	}
	x := Anomaly{Name: name, Key: a.keys[key], Text: fmt.Sprintf("%s at key %s: %s", name, a.keys[key], text)}
	for _, t := range txns {
		if t < 0 {
			continue
		}
		x.Ops = append(x.Ops, a.id(t))
		x.Text += "\n  " + title(&a.h.Ops[t])
	}
	x.Warning = name == garbage && a.o.Imported
	a.found = append(a.found, x)
}

// scratch remembers something for each key while one transaction is looked at;
// starting the next costs nothing.
type scratch struct {
	stamp []int32
	slot  []int32
	now   int32
	used  int32
}

func (s *scratch) size(keys int) {
	s.stamp, s.slot = make([]int32, keys), make([]int32, keys)
}

func (s *scratch) next() {
	s.now++
	s.used = 0
}

// at is the slot of a key in this transaction, and whether it is new.
func (s *scratch) at(key int32) (slot int32, fresh bool) {
	if s.stamp[key] == s.now {
		return s.slot[key], false
	}
	s.stamp[key], s.slot[key] = s.now, s.used
	s.used++
	return s.used - 1, true
}
