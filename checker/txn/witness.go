package txn

import (
	"fmt"
	"slices"
	"sort"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/names"
)

// Options tell what is known beside the history.
type Options struct {
	// Universe is what a scan covers that does not say so itself. Nil means every
	// key named by another action.
	Universe []string
	// Initial is the value of a key before the first write; nil means absent, which
	// is the empty list as well.
	Initial func(key string) history.Value
	// Versions are all versions that the database applied, in any order, once for
	// each replica or once. Nil means that nobody collected them.
	Versions []checker.Version
	// MaxOps and MaxSteps bound the searches; 0 means 10,000 operations and
	// 2,000,000 steps of the model.
	MaxOps, MaxSteps int
}

// Witness replays transactions of lists or registers in the order of their
// timestamps: each read must find exactly what is there, which is the newest
// version at or below its timestamp. At one timestamp a writer comes before those
// who read what it wrote; two writers of a key at one timestamp are wrong. With
// Versions given, what was applied must be what the replay applies, no more and no
// less, and transactions of unknown outcome are known by it. Without, such a
// transaction is taken to happen when somebody first sees it, and what that leaves
// open is unknown.
//
// The second result is the order, as operation ids: the certificate of a pass.
func Witness(h *history.History, o Options) (checker.Verdict, []int) {
	w := newWitness(h, &o)
	w.replay()
	v := checker.Verdict{Check: "transaction-witness", Valid: checker.OK}
	v.Counts = []checker.Count{{Name: "transactions", N: int64(len(w.order))}, {Name: "reads judged", N: w.reads}, {Name: "writes replayed", N: w.writes},
		{Name: "keys", N: int64(w.names.Len())}, {Name: "transactions at one timestamp", N: w.tied}, {Name: "without timestamp", N: w.untimed},
		{Name: "reads that unknown outcomes leave open", N: w.open}, {Name: "versions compared", N: w.compared}}
	v.Report(w.found)
	switch {
	case w.wrong > 0:
		v.Valid = checker.Violation
		v.Summary = fmt.Sprintf("the order of timestamps does not explain what happened: %s", checker.Plural(w.wrong, "contradiction"))
	case w.open > 0 || w.untimed > 0 || w.strange != "":
		v.Valid = checker.Unknown
		v.Summary = fmt.Sprintf("%d transactions have no timestamp and %d reads depend on unknown outcomes", w.untimed, w.open)
		if w.strange != "" {
			v.Summary = w.strange
		}
	case w.reads == 0 || w.writes == 0:
		v.Valid = checker.Vacuous
		v.Summary = fmt.Sprintf("nothing to judge: %d reads, %d writes", w.reads, w.writes)
	default:
		v.Summary = fmt.Sprintf("%d reads of %d transactions found what was there at their timestamps", w.reads, len(w.order))
		return v, w.order
	}
	return v, nil
}

// cell is the value of one key during the replay.
type cell struct {
	list   []int64
	n      int64
	kind   history.Kind // Absent, IntKind or ListKind
	writer int32        // the last to write it, while its timestamp lasts
	group  int32        // the timestamp at which that was
	// matched is one more than the last such timestamp at which the store applied it.
	matched int32
	unsure  bool // a transaction of unknown outcome may write it at any time
}

func (c *cell) value() history.Value {
	switch c.kind {
	case history.IntKind:
		return history.Int(c.n)
	case history.ListKind:
		return history.List(c.list...)
	}
	return history.NoKey()
}

func (c *cell) set(v history.Value) {
	c.kind = v.Kind()
	c.n, _ = v.Int()
	c.list = append([]int64(nil), v.List()...)
}

// shows compares without building values: a read of a list is the hot path. The
// empty list and the missing key are the same.
func (c *cell) shows(v history.Value) bool {
	switch v.Kind() {
	case history.IntKind:
		n, _ := v.Int()
		return c.kind == history.IntKind && c.n == n
	case history.ListKind:
		return c.kind != history.IntKind && slices.Equal(c.list, v.List())
	}
	return c.kind == history.Absent || c.kind == history.ListKind && len(c.list) == 0
}

type pair struct {
	key   int32
	value int64
}

type witness struct {
	h        *history.History
	o        *Options
	names    names.Table
	cells    []cell
	universe []int32

	queue   []moment
	late    map[pair]int32 // writes of transactions of unknown outcome and moment
	applied []bool         // of those, which have been replayed
	stored  []int32        // Versions in order of time, those of known keys
	next    int

	order                                        []int
	reads, writes, tied, untimed, open, compared int64
	found                                        []checker.Finding
	wrong                                        int
	strange                                      string
	touched                                      int // keeps fetch from being optimized away
}

func newWitness(h *history.History, o *Options) *witness {
	w := &witness{h: h, o: o, order: make([]int, 0, len(h.Ops)), queue: make([]moment, 0, len(h.Ops))}
	for _, name := range o.Universe {
		w.universe = append(w.universe, w.key(name))
	}
	var infos []int32
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case op.Outcome == history.Fail:
		case !op.TS.IsZero():
			w.queue = append(w.queue, moment{op.TS.Wall, op.TS.Logical, int32(i)})
		case op.Outcome == history.OK:
			w.untimed++
			infos = append(infos, int32(i))
		default:
			infos = append(infos, int32(i))
		}
	}
	w.resolve(infos)
	sortMoments(w.queue)
	return w
}

// key numbers a key and gives it its first value.
func (w *witness) key(name string) int32 {
	id := w.names.ID(name)
	if int(id) == len(w.cells) {
		c := cell{kind: history.Absent, group: -1}
		if w.o.Initial != nil {
			c.set(w.o.Initial(name))
		}
		w.cells = append(w.cells, c)
	}
	return id
}

// all is what a scan covers that does not say so.
func (w *witness) all() []int32 {
	if w.universe == nil {
		for i := range w.h.Ops {
			for j := range w.h.Ops[i].Actions {
				if a := &w.h.Ops[i].Actions[j]; a.F != history.Scan {
					w.key(a.Key)
				}
			}
		}
		for k := range w.cells {
			w.universe = append(w.universe, int32(k))
		}
	}
	return w.universe
}

// resolve finds out when transactions without a timestamp happened: the store
// says, when it was asked.
func (w *witness) resolve(infos []int32) {
	w.late = map[pair]int32{}
	for _, i := range infos {
		for j := range w.h.Ops[i].Actions {
			a := &w.h.Ops[i].Actions[j]
			if n, ok := a.Arg.Int(); ok && a.F.Writes() {
				w.late[pair{w.key(a.Key), n}] = i
			}
		}
	}
	if len(infos) > 0 {
		w.applied = make([]bool, len(w.h.Ops))
	}
	if w.o.Versions == nil {
		for p := range w.late {
			w.cells[p.key].unsure = true
		}
		return
	}
	for i := range w.h.Ops {
		for j := range w.h.Ops[i].Actions {
			if a := &w.h.Ops[i].Actions[j]; a.F.Writes() {
				w.key(a.Key)
			}
		}
	}
	for i := range w.o.Versions {
		s := &w.o.Versions[i]
		k, ok := w.names.Find(s.Key)
		if !ok {
			continue
		}
		w.stored = append(w.stored, int32(i))
		n, isInt := s.Value.Int()
		if l := s.Value.List(); len(l) > 0 {
			n, isInt = l[len(l)-1], true
		}
		if t, ok := w.late[pair{k, n}]; isInt && ok && !w.applied[t] {
			w.applied[t] = true
			w.queue = append(w.queue, moment{s.TS.Wall, s.TS.Logical, t})
		}
	}
	slices.SortStableFunc(w.stored, func(a, b int32) int {
		x, y := &w.o.Versions[a], &w.o.Versions[b]
		if c := x.TS.Compare(y.TS); c != 0 {
			return c
		}
		return int(w.names.ID(x.Key)) - int(w.names.ID(y.Key))
	})
	w.late = nil
}

// replay goes through the moments, those at one timestamp together.
func (w *witness) replay() {
	fetched := 0
	for i := 0; i < len(w.queue); {
		if i >= fetched {
			fetched = min(len(w.queue), i+ahead)
			w.fetch(w.queue[i:fetched])
		}
		j := i + 1
		for j < len(w.queue) && w.queue[j].same(w.queue[i]) {
			j++
		}
		group := w.queue[i:j]
		if len(group) > 1 {
			w.tied += int64(len(group))
			group = w.untie(group)
		}
		for _, m := range group {
			w.run(m.txn, int32(i))
		}
		if w.o.Versions != nil {
			w.compare(group, int32(i))
		}
		i = j
	}
	for ; w.next < len(w.stored); w.next++ {
		w.foreign(&w.o.Versions[w.stored[w.next]])
	}
}

// ahead is how many transactions are fetched together: few enough that the nearest
// cache holds what belongs to them.
const ahead = 32

// fetch touches what the replay of some transactions will look at. They lie all over
// the memory, and the replay would wait for one after another; these loads depend on
// nothing between them, so that a processor has many under way at a time. It
// saves a sixth of the time of a large history.
func (w *witness) fetch(ms []moment) {
	sum := 0
	for _, m := range ms {
		op := &w.h.Ops[m.txn]
		sum += op.ID + len(op.Actions) + int(op.Outcome)
	}
	for _, m := range ms {
		actions := w.h.Ops[m.txn].Actions
		for i := range actions {
			sum += int(actions[i].F) + int(actions[i].Result.Kind())
		}
	}
	for _, m := range ms {
		actions := w.h.Ops[m.txn].Actions
		for i := range actions {
			if l := actions[i].Result.List(); len(l) > 0 {
				sum += int(l[0] + l[len(l)/2] + l[len(l)-1])
			}
		}
	}
	w.touched += sum
}

// untie orders transactions at one timestamp so that who writes a key comes before
// who reads it. Where they read each other there is no such order; then the first
// called goes first, and its read shows that it is wrong.
func (w *witness) untie(group []moment) []moment {
	rest := slices.Clone(group)
	sort.SliceStable(rest, func(i, j int) bool { return rest[i].txn < rest[j].txn })
	out := make([]moment, 0, len(rest))
	for len(rest) > 0 {
		pick := 0
		for i := range rest {
			free := true
			for j := range rest {
				if i != j && w.sees(rest[i].txn, rest[j].txn) {
					free = false
					break
				}
			}
			if free {
				pick = i
				break
			}
		}
		out = append(out, rest[pick])
		rest = slices.Delete(rest, pick, pick+1)
	}
	return out
}

// sees: t reads a key that u writes. A scan that does not say what it covers is taken
// to cover everything.
func (w *witness) sees(t, u int32) bool {
	for i := range w.h.Ops[t].Actions {
		a := &w.h.Ops[t].Actions[i]
		if a.F != history.Read && a.F != history.Scan && a.F != history.CAS {
			continue
		}
		for j := range w.h.Ops[u].Actions {
			if b := &w.h.Ops[u].Actions[j]; b.F.Writes() && covers(a, b.Key) {
				return true
			}
		}
	}
	return false
}

// covers: a, which reads, looks at the key.
func covers(a *history.Action, key string) bool {
	if a.F != history.Scan {
		return a.Key == key
	}
	rows := a.Arg.Rows()
	return rows == nil || slices.ContainsFunc(rows, func(r history.Row) bool { return r.Key == key })
}
