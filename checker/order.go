package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// Version is one value that the database applied to a key: what its commands
// left in the store, collected as they apply. A delete is the absent Value.
type Version struct {
	Key   string
	TS    history.Timestamp
	Value history.Value
}

// version is one step of a key's life: who wrote it (nil for the beginning).
type version struct {
	writer *keyOp
	value  valueID
}

// ordered is the life of a key as far as it is known.
type ordered struct {
	versions []version
	wrong    []problem
	// why there is no order to sweep along; empty when there is one.
	why string
	// uncertain: an operation of unknown outcome might stand at another place or
	// exist where none was put, so that only "linearizable" would be final.
	uncertain string
	resolved  int // operations of unknown outcome that turned out to have happened
}

// order finds the order of the versions of a key. Acknowledged writes are ordered
// by their timestamps. An operation of unknown outcome is put in when something
// proves that it happened: it is among the stored versions, or an operation with
// a timestamp found what only it can have left, and then it stands just before
// the earliest such operation, after every write with a timestamp at or below.
func (k *keyHistory) order(initial history.Value, stored []Version) ordered {
	start := k.values.id(initial)
	w := &orderer{k: k, cur: start, out: ordered{versions: []version{{value: start}}}}
	known, ok := w.known()
	if !ok {
		return w.out
	}
	if stored != nil {
		w.fromStored(known, stored)
		return w.out
	}
	w.fromSightings(known)
	return w.out
}

type orderer struct {
	k     *keyHistory
	cur   valueID // the value after the last version
	maybe []*keyOp
	used  map[*keyOp]bool
	// sets finds the operation of unknown outcome that leaves a value.
	sets map[valueID]*keyOp
	out  ordered
}

// known lists the acknowledged writes by timestamp, and sorts out the rest.
func (w *orderer) known() ([]*keyOp, bool) {
	var known []*keyOp
	w.used, w.sets = map[*keyOp]bool{}, map[valueID]*keyOp{}
	twice := map[valueID]bool{}
	adders, setters := false, false
	for i := range w.k.ops {
		o := &w.k.ops[i]
		switch {
		case o.does == doesNothing || o.void:
			continue
		case o.maybe:
			w.maybe = append(w.maybe, o)
		case o.op.TS.IsZero():
			w.out.why = fmt.Sprintf("op %d wrote it without reporting a timestamp", o.op.ID)
			return nil, false
		default:
			known = append(known, o)
		}
		adders = adders || o.maybe && o.does == doesAdd
		setters = setters || o.does == doesSet && o.sees != seesSum
		if o.does == doesSet && o.arg != absentID {
			if twice[o.arg] && (o.maybe || w.sets[o.arg] != nil) {
				w.out.uncertain = fmt.Sprintf("the value %s was written more than once, at least once by an operation of unknown outcome", w.k.values.String(o.arg))
			}
			twice[o.arg] = true
			if o.maybe && w.sets[o.arg] == nil {
				w.sets[o.arg] = o
			}
		}
	}
	if adders && setters {
		w.out.uncertain = "an addition of unknown outcome and plain writes can leave the same value"
	}
	sort.SliceStable(known, func(i, j int) bool { return known[i].op.TS.Compare(known[j].op.TS) < 0 })
	// Earliest call first: where several operations of unknown outcome would do,
	// the one that could have happened earliest constrains the least.
	sort.SliceStable(w.maybe, func(i, j int) bool { return w.maybe[i].call < w.maybe[j].call })
	for i := 1; i < len(known); i++ {
		if a, b := known[i-1], known[i]; a.op.TS == b.op.TS {
			w.out.wrong = append(w.out.wrong, problem{when: max(a.end, b.end), key: w.k.key, ops: []int{a.op.ID, b.op.ID},
				text: fmt.Sprintf("Key %s: two writers share one timestamp, so that their order is not defined.\n  %s\n  %s", w.k.key, a.op, b.op)})
		}
	}
	return known, true
}

// put appends a version written by o.
func (w *orderer) put(o *keyOp) {
	next, ok := w.k.after(o, w.cur)
	if !ok {
		w.out.wrong = append(w.out.wrong, problem{when: o.end, key: w.k.key, ops: []int{o.op.ID},
			text: fmt.Sprintf("Key %s: %s added to %s, which is no number.", w.k.key, o.op, w.k.values.String(w.cur))})
	}
	w.cur = next
	w.out.versions = append(w.out.versions, version{writer: o, value: next})
	if o.maybe {
		w.used[o] = true
		w.out.resolved++
	}
}

// fromSightings walks all that has a timestamp, in its order, and puts in an
// operation of unknown outcome wherever what was found needs one.
func (w *orderer) fromSightings(known []*keyOp) {
	events := known
	blind := false // somebody saw something without saying when
	for i := range w.k.ops {
		o := &w.k.ops[i]
		if o.maybe || o.does != doesNothing || o.sees == seesNothing {
			continue
		}
		if o.op.TS.IsZero() {
			blind = true
			continue
		}
		events = append(events, o)
	}
	if len(w.maybe) > 0 {
		// A write and a read at one timestamp: the read saw the write.
		sort.SliceStable(events, func(i, j int) bool {
			if c := events[i].op.TS.Compare(events[j].op.TS); c != 0 {
				return c < 0
			}
			return events[i].does != doesNothing && events[j].does == doesNothing
		})
		for _, e := range events {
			if !w.k.matches(e, w.cur) {
				w.explain(e)
			}
			if e.does != doesNothing {
				w.put(e)
			}
		}
	} else {
		for _, e := range known {
			w.put(e)
		}
	}
	if blind && len(w.used) < len(w.maybe) {
		w.blind()
	}
}

// explain puts in what an operation must have found, when there is such a thing.
func (w *orderer) explain(e *keyOp) {
	switch e.sees {
	case seesValue:
		w.reach(e.seen, len(w.maybe))
	case seesSum:
		if !w.reach(w.k.values.intID(e.sum), len(w.maybe)) && e.sum == 0 {
			w.reach(absentID, len(w.maybe))
		}
	case seesNot:
		w.out.uncertain = "a condition failed without saying what it found"
	}
}

// reach makes the current value v by putting in operations of unknown outcome.
// A compare-and-set needs its own condition first, hence the recursion; depth
// bounds it.
func (w *orderer) reach(v valueID, depth int) bool {
	if w.cur == v {
		return true
	}
	if depth == 0 {
		return false
	}
	if v == absentID {
		for _, o := range w.maybe {
			if !w.used[o] && o.does == doesSet && o.arg == absentID && w.k.matches(o, w.cur) {
				w.put(o)
				return true
			}
		}
		return false
	}
	if o := w.sets[v]; o != nil && !w.used[o] {
		if w.k.matches(o, w.cur) || o.sees == seesValue && w.reach(o.seen, depth-1) {
			w.put(o)
			return true
		}
	}
	return w.count(v)
}

// count reaches a number by additions of unknown outcome, when all that are left
// add the same. With different amounts it would be a knapsack.
func (w *orderer) count(v valueID) bool {
	target, ok1 := w.k.values.number(v)
	now, ok2 := w.k.values.number(w.cur)
	if !ok1 || !ok2 {
		return false
	}
	var adders []*keyOp
	for _, o := range w.maybe {
		if w.used[o] || o.does != doesAdd {
			continue
		}
		if len(adders) > 0 && adders[0].delta != o.delta {
			w.out.uncertain = "additions of unknown outcome add different amounts"
			return false
		}
		adders = append(adders, o)
	}
	if len(adders) == 0 || adders[0].delta == 0 || (target-now)%adders[0].delta != 0 {
		return false
	}
	n := (target - now) / adders[0].delta
	if n < 1 || n > int64(len(adders)) {
		return false
	}
	for _, o := range adders[:n] {
		w.put(o)
	}
	return true
}

// blind decides what sightings without a timestamp leave open: they may have
// found an operation of unknown outcome whose place nobody can tell.
func (w *orderer) blind() {
	have := map[valueID]bool{}
	for _, v := range w.out.versions {
		have[v.value] = true
	}
	for i := range w.k.ops {
		o := &w.k.ops[i]
		if o.maybe || o.sees != seesValue || !o.op.TS.IsZero() || have[o.seen] {
			continue
		}
		if m := w.sets[o.seen]; m != nil && !w.used[m] {
			w.out.why = fmt.Sprintf("op %d found the value of op %d, whose outcome is unknown, and reported no timestamp", o.op.ID, m.op.ID)
			return
		}
	}
	w.out.uncertain = "some operations reported no timestamp and others have an unknown outcome"
}

// fromStored orders by what the database applied: complete, so that an operation
// of unknown outcome happened exactly when its version is there.
func (w *orderer) fromStored(known []*keyOp, stored []Version) {
	byTS := map[history.Timestamp]*keyOp{}
	for _, o := range known {
		if byTS[o.op.TS] == nil {
			byTS[o.op.TS] = o
		}
	}
	for i := range stored {
		s := &stored[i]
		id := w.k.values.id(s.Value)
		if o := byTS[s.TS]; o != nil {
			w.put(o)
			if w.cur != id {
				w.out.wrong = append(w.out.wrong, problem{when: o.end, key: w.k.key, ops: []int{o.op.ID},
					text: fmt.Sprintf("Key %s: the store holds %s at %s, but %s left %s.", w.k.key, s.Value, s.TS, o.op, w.k.values.String(w.cur))})
				w.cur = id
				w.out.versions[len(w.out.versions)-1].value = id
			}
			delete(byTS, s.TS)
			continue
		}
		if o := w.author(id); o != nil {
			w.put(o)
			continue
		}
		w.out.versions = append(w.out.versions, version{value: id})
		w.cur = id
		w.out.wrong = append(w.out.wrong, problem{when: s.TS.Wall, key: w.k.key,
			text: fmt.Sprintf("Key %s: the store applied %s at %s, which no client wrote (or which was reported as certainly failed).", w.k.key, s.Value, s.TS)})
	}
	for _, o := range known {
		if byTS[o.op.TS] == o {
			w.out.wrong = append(w.out.wrong, problem{when: o.end, key: w.k.key, ops: []int{o.op.ID},
				text: fmt.Sprintf("Key %s: %s was acknowledged, but the store never applied a version at that timestamp.", w.k.key, o.op)})
		}
	}
}

// author finds the operation of unknown outcome that left the next stored value.
func (w *orderer) author(id valueID) *keyOp {
	for _, o := range w.maybe {
		if w.used[o] {
			continue
		}
		if left, ok := w.k.after(o, w.cur); ok && left == id && w.k.matches(o, w.cur) {
			return o
		}
	}
	return nil
}
