package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// valueID names a value within one key; comparing ids compares values.
type valueID int32

// absentID is the id of the missing key, in every table.
const absentID valueID = 0

// valueTable gives the values of one key small numbers.
type valueTable struct {
	ints map[int64]valueID
	rest map[string]valueID // lists, by their printed form
	vals []history.Value
}

func newValueTable() *valueTable {
	return &valueTable{ints: map[int64]valueID{}, rest: map[string]valueID{}, vals: []history.Value{history.NoKey()}}
}

func (t *valueTable) id(v history.Value) valueID {
	if n, ok := v.Int(); ok {
		return t.intID(n)
	}
	if v.Kind() != history.ListKind && v.Kind() != history.RowsKind {
		return absentID
	}
	s := v.String()
	if id, ok := t.rest[s]; ok {
		return id
	}
	id := valueID(len(t.vals))
	t.vals = append(t.vals, v)
	t.rest[s] = id
	return id
}

func (t *valueTable) intID(n int64) valueID {
	if id, ok := t.ints[n]; ok {
		return id
	}
	id := valueID(len(t.vals))
	t.vals = append(t.vals, history.Int(n))
	t.ints[n] = id
	return id
}

// number is the value as an increment sees it: an absent key counts as 0.
func (t *valueTable) number(id valueID) (int64, bool) {
	if id == absentID {
		return 0, true
	}
	return t.vals[id].Int()
}

func (t *valueTable) String(id valueID) string { return t.vals[id].String() }

// sight is what an operation says about the value it found.
type sight uint8

const (
	seesNothing sight = iota
	seesValue         // exactly keyOp.seen
	seesNot           // anything but keyOp.seen: a failed condition that did not say what it found
	seesSum           // the number keyOp.sum, where an absent key is 0
)

// effect is what an operation does to the value.
type effect uint8

const (
	doesNothing effect = iota
	doesSet            // leaves keyOp.arg
	doesAdd            // adds keyOp.delta to whatever was there
)

// keyOp is one operation reduced to what it means for one key: what it found
// before its own writes, and what it left. Several actions of a batch on one key
// fold into one keyOp, because the batch is atomic.
type keyOp struct {
	op        *history.Op
	call, end int64 // it took effect within; end is Never when that is open
	sees      sight
	does      effect
	maybe     bool // its effect may not have happened
	void      bool // its effect cannot have happened
	fromScan  bool
	seen, arg valueID
	sum       int64
	delta     int64
}

// keyHistory is the history of one key.
type keyHistory struct {
	key    string
	values *valueTable
	ops    []keyOp
	// wrong are contradictions within a single operation.
	wrong []problem
	// undecidable says why this key cannot be judged as a register, or is empty.
	undecidable string
}

// matches reports whether finding the value id agrees with what the operation saw.
func (k *keyHistory) matches(o *keyOp, id valueID) bool {
	switch o.sees {
	case seesValue:
		return id == o.seen
	case seesNot:
		return id != o.seen
	case seesSum:
		n, ok := k.values.number(id)
		return ok && n == o.sum
	}
	return true
}

// after is the value that the operation leaves where it found prev.
func (k *keyHistory) after(o *keyOp, prev valueID) (valueID, bool) {
	switch o.does {
	case doesSet:
		return o.arg, true
	case doesAdd:
		n, ok := k.values.number(prev)
		if !ok {
			return prev, false
		}
		return k.values.intID(n + o.delta), true
	}
	return prev, true
}

// splitter takes a history apart by key.
type splitter struct {
	byKey map[string]*keyHistory
	keys  []*keyHistory // in order of first appearance, sorted at the end
}

// splitKeys reduces a history to the histories of its keys, ordered by key. The
// universe is what a scan covers that does not say so itself; nil means every key
// that any other action names.
func splitKeys(h *history.History, universe []string) []*keyHistory {
	if universe == nil {
		universe = namedKeys(h)
	}
	s := &splitter{byKey: map[string]*keyHistory{}}
	for i := range h.Ops {
		s.op(&h.Ops[i], universe)
	}
	sort.Slice(s.keys, func(i, j int) bool { return s.keys[i].key < s.keys[j].key })
	return s.keys
}

// namedKeys lists the keys of all actions but scans, and the rows of scans.
func namedKeys(h *history.History) []string {
	seen := map[string]bool{}
	var keys []string
	add := func(k string) {
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if a.F != history.Scan {
				add(a.Key)
				continue
			}
			for _, r := range a.Result.Rows() {
				add(r.Key)
			}
		}
	}
	sort.Strings(keys)
	return keys
}

func (s *splitter) key(name string) *keyHistory {
	k := s.byKey[name]
	if k == nil {
		k = &keyHistory{key: name, values: newValueTable()}
		s.byKey[name] = k
		s.keys = append(s.keys, k)
	}
	return k
}

// slot is the keyOp of this operation on this key, made when there is none yet.
func (k *keyHistory) slot(op *history.Op) *keyOp {
	if n := len(k.ops); n > 0 && k.ops[n-1].op == op {
		return &k.ops[n-1]
	}
	end := op.Return
	if op.Outcome == history.Info {
		end = history.Never
	}
	k.ops = append(k.ops, keyOp{op: op, call: op.Call, end: end, maybe: op.Outcome == history.Info})
	return &k.ops[len(k.ops)-1]
}

func (s *splitter) op(op *history.Op, universe []string) {
	for i := range op.Actions {
		a := &op.Actions[i]
		switch {
		case a.F == history.Scan:
			if op.Outcome == history.OK {
				s.scan(op, a, universe)
			}
		case op.Outcome == history.Fail:
			if !ownWriteBefore(op, i) {
				s.key(a.Key).failed(op, a)
			}
		default:
			s.key(a.Key).fold(op, a)
		}
	}
}

// ownWriteBefore reports whether an operation wrote the key of its i-th action
// before that action: what a failed batch found there is then its own, and has
// gone with it.
func ownWriteBefore(op *history.Op, i int) bool {
	for j := 0; j < i; j++ {
		if op.Actions[j].Key == op.Actions[i].Key && op.Actions[j].F.Writes() {
			return true
		}
	}
	return false
}

// failed takes what a failed condition saw. A failure of another kind saw nothing.
func (k *keyHistory) failed(op *history.Op, a *history.Action) {
	if op.Err != history.ConditionFailed {
		return
	}
	switch {
	case !a.Result.IsNone():
		k.observe(k.slot(op), a.Result)
	case a.F == history.CAS && len(op.Actions) == 1:
		o := k.slot(op)
		o.sees, o.seen = seesNot, k.values.id(a.Expect)
	}
}

// scan reads each key of the universe: what has no row was absent.
func (s *splitter) scan(op *history.Op, a *history.Action, universe []string) {
	cover := universe
	if rows := a.Arg.Rows(); rows != nil {
		cover = make([]string, 0, len(rows))
		for _, r := range rows {
			cover = append(cover, r.Key)
		}
	}
	rows := a.Result.Rows()
	found := make(map[string]history.Value, len(rows))
	for i, r := range rows {
		if _, twice := found[r.Key]; twice {
			s.key(r.Key).contradict(op, fmt.Sprintf("its scan returned key %s twice", r.Key))
		} else if i > 0 && rows[i-1].Key > r.Key {
			s.key(r.Key).contradict(op, fmt.Sprintf("its scan returned key %s after key %s", r.Key, rows[i-1].Key))
		}
		found[r.Key] = r.Value
	}
	covered := make(map[string]bool, len(cover))
	for _, name := range cover {
		covered[name] = true
		v, ok := found[name]
		if !ok {
			v = history.NoKey()
		}
		k := s.key(name)
		o := k.slot(op)
		o.fromScan = true
		k.observe(o, v)
	}
	for _, r := range rows {
		if !covered[r.Key] {
			k := s.key(r.Key)
			o := k.slot(op)
			o.fromScan = true
			k.observe(o, r.Value)
		}
	}
}

// contradict notes that one operation alone makes no sense. An Info operation
// that makes none has not happened.
func (k *keyHistory) contradict(op *history.Op, why string) {
	if op.Outcome == history.Info {
		k.slot(op).void = true
		return
	}
	k.wrong = append(k.wrong, problem{when: op.Return, key: k.key, ops: []int{op.ID},
		text: fmt.Sprintf("Key %s: %s contradicts itself: %s.", k.key, op.String(), why)})
}

// fold adds one action of an OK or Info operation.
func (k *keyHistory) fold(op *history.Op, a *history.Action) {
	ok := op.Outcome == history.OK
	switch a.F {
	case history.Read:
		if !ok {
			return
		}
		if a.Result.IsNone() {
			k.undecidable = fmt.Sprintf("op %d read it and recorded no result", op.ID)
			return
		}
		k.observe(k.slot(op), a.Result)
	case history.Write:
		o := k.slot(op)
		o.does, o.arg = doesSet, k.values.id(a.Arg)
	case history.Delete:
		o := k.slot(op)
		o.does, o.arg = doesSet, absentID
	case history.CAS:
		o := k.slot(op)
		k.observe(o, a.Expect)
		o.does, o.arg = doesSet, k.values.id(a.Arg)
	case history.Increment:
		k.increment(k.slot(op), a, ok)
	default:
		k.undecidable = fmt.Sprintf("op %d does %s, which is not done to a register", op.ID, a.F)
	}
}

// observe notes that the operation found v where its own writes have got to.
func (k *keyHistory) observe(o *keyOp, v history.Value) {
	id := k.values.id(v)
	switch o.does {
	case doesSet:
		if o.arg != id {
			k.contradict(o.op, fmt.Sprintf("it read %s after writing %s itself", v, k.values.String(o.arg)))
		}
		return
	case doesAdd:
		n, isInt := v.Int()
		if !isInt {
			k.contradict(o.op, fmt.Sprintf("it read %s after adding to a number", v))
			return
		}
		k.observeSum(o, n-o.delta)
		return
	}
	if o.sees != seesNothing && !k.matches(o, id) {
		k.contradict(o.op, fmt.Sprintf("it read both %s and another value at one moment", v))
		return
	}
	o.sees, o.seen = seesValue, id
}

func (k *keyHistory) observeSum(o *keyOp, n int64) {
	switch o.sees {
	case seesNothing:
		o.sees, o.sum = seesSum, n
	case seesValue:
		if found, ok := k.values.number(o.seen); !ok || found != n {
			k.contradict(o.op, fmt.Sprintf("it found %s and added to %d", k.values.String(o.seen), n))
		}
	case seesSum:
		if o.sum != n {
			k.contradict(o.op, fmt.Sprintf("it added to both %d and %d at one moment", o.sum, n))
		}
	}
}

// increment folds an addition: with a result it tells what was there before.
func (k *keyHistory) increment(o *keyOp, a *history.Action, ok bool) {
	by, _ := a.Arg.Int()
	result, known := a.Result.Int()
	known = known && ok
	if o.does == doesSet {
		n, isInt := k.values.number(o.arg)
		if !isInt || known && result != n+by {
			k.contradict(o.op, fmt.Sprintf("it added %d to its own %s and got %s", by, k.values.String(o.arg), a.Result))
			return
		}
		o.arg = k.values.intID(n + by)
		return
	}
	o.delta += by
	if !known {
		o.does = doesAdd
		return
	}
	k.observeSum(o, result-o.delta)
	o.does, o.arg = doesSet, k.values.intID(result)
}
