package verify

import (
	"errors"
	"fmt"
	"slices"

	"simulacrum/checker/graph"
	"simulacrum/checker/history"
)

// Cycle confirms a cycle: its edges join up, each is derived again from the two
// transactions that it joins, and each transaction certainly happened.
func Cycle(h *history.History, c *graph.Cycle, o graph.Options) error {
	if len(c.Edges) < 2 {
		return errors.New("a cycle has at least two edges")
	}
	v := &cycleCheck{h: h, o: &o, ops: map[int]*history.Op{}, universe: universe(h, &o)}
	for i := range h.Ops {
		v.ops[h.Ops[i].ID] = &h.Ops[i]
	}
	for i, e := range c.Edges {
		if next := c.Edges[(i+1)%len(c.Edges)]; e.To != next.From {
			return fmt.Errorf("edge %d leads to operation %d and the next begins at %d", i, e.To, next.From)
		}
		from, to := v.ops[e.From], v.ops[e.To]
		if from == nil || to == nil || from == to {
			return fmt.Errorf("edge %d joins operations %d and %d, which are not two of the history", i, e.From, e.To)
		}
		if !v.happened(from) {
			return fmt.Errorf("operation %d may never have happened", e.From)
		}
		if err := v.edge(e, from, to); err != nil {
			return fmt.Errorf("edge %d, %s from operation %d to %d: %w", i, e.Kind, e.From, e.To, err)
		}
	}
	return nil
}

type cycleCheck struct {
	h        *history.History
	o        *graph.Options
	ops      map[int]*history.Op
	universe []string
}

// happened: acknowledged, or of unknown outcome with a write that an acknowledged
// operation read, or that the store holds.
func (v *cycleCheck) happened(op *history.Op) bool {
	if op.Outcome != history.Info {
		return op.Outcome == history.OK
	}
	for _, a := range op.Actions {
		n, ok := a.Arg.Int()
		if !ok || !a.F.Writes() {
			continue
		}
		for i := range v.h.Ops {
			if v.h.Ops[i].Outcome != history.OK {
				continue
			}
			for _, r := range v.readings(&v.h.Ops[i]) {
				if r.key == a.Key && holds(r.found, n) {
					return true
				}
			}
		}
		for _, s := range v.o.Versions {
			if s.Key == a.Key && holds(s.Value, n) {
				return true
			}
		}
	}
	return false
}

func holds(v history.Value, n int64) bool {
	got, ok := v.Int()
	return ok && got == n || slices.Contains(v.List(), n)
}

// reading is what one transaction found at a key; own are the values that it had
// written there itself before.
type reading struct {
	key   string
	found history.Value
	own   []int64
}

func (v *cycleCheck) readings(op *history.Op) []reading {
	var out []reading
	own := map[string][]int64{}
	for _, a := range op.Actions {
		switch a.F {
		case history.Read:
			out = append(out, reading{a.Key, a.Result, slices.Clone(own[a.Key])})
		case history.CAS:
			out = append(out, reading{a.Key, a.Expect, slices.Clone(own[a.Key])})
		case history.Scan:
			if !a.Result.IsNone() {
				for key, found := range scanned(a, v.universe) { //determinism:ok looked through for any that serves
					out = append(out, reading{key, found, slices.Clone(own[key])})
				}
			}
		}
		if n, ok := a.Arg.Int(); ok && a.F.Writes() {
			own[a.Key] = append(own[a.Key], n)
		}
	}
	return out
}

func written(op *history.Op, key string) []int64 {
	var out []int64
	for _, a := range op.Actions {
		if a.Key == key && a.F.Writes() {
			if n, ok := a.Arg.Int(); ok {
				out = append(out, n)
			}
			out = append(out, a.Arg.List()...)
		}
	}
	return out
}

func (v *cycleCheck) edge(e graph.Edge, from, to *history.Op) error {
	switch e.Kind {
	case graph.WW:
		return v.writeWrite(e, from, to)
	case graph.WR:
		for _, r := range v.readings(to) {
			for _, n := range written(from, e.Key) {
				if r.key == e.Key && holds(r.found, n) {
					return nil
				}
			}
		}
		return fmt.Errorf("nothing that the second read at %s was written by the first", e.Key)
	case graph.RW:
		return v.readWrite(e, from, to)
	case graph.Session:
		if from.End() >= to.Call || from.Stale || to.Stale {
			return errors.New("the first had not ended when the second began, or one reads the past")
		}
		if a, b := sessionName(from, v.o), sessionName(to, v.o); a != b || a == "" {
			return fmt.Errorf("the sessions are %s and %s", a, b)
		}
		return nil
	case graph.RealTime:
		if from.End() >= to.Call || to.Stale {
			return errors.New("the first had not ended when the second began, or the second reads the past")
		}
		a, inA := footprint(from, v.universe)[e.Key]
		b, inB := footprint(to, v.universe)[e.Key]
		if !inA || !inB || !a && !b || v.o.SkewExceeded && !b {
			return fmt.Errorf("they do not conflict at %s", e.Key)
		}
		return nil
	}
	return errors.New("of unknown kind")
}

// writeWrite: a list shows both elements in this order, or was read without the
// second; a register's second writer read the first; or the store holds both.
func (v *cycleCheck) writeWrite(e graph.Edge, from, to *history.Op) error {
	first, second := written(from, e.Key), written(to, e.Key)
	if len(second) == 0 {
		return fmt.Errorf("the second wrote nothing at %s", e.Key)
	}
	if via := v.ops[e.Via]; via != nil && via.Outcome == history.OK {
		for _, r := range v.readings(via) {
			if r.key == e.Key && shows(r.found.List(), first, second) {
				return nil
			}
		}
	}
	for _, r := range v.readings(to) {
		if n, ok := r.found.Int(); ok && r.key == e.Key && slices.Contains(first, n) && len(r.own) == 0 {
			return nil
		}
	}
	if v.stored(e.Key, first, second) {
		return nil
	}
	return fmt.Errorf("nothing shows that the second wrote %s later", e.Key)
}

// shows: the list holds an element of the first, and behind it, or not yet, one of
// the second.
func shows(list, first, second []int64) bool {
	for i, n := range list {
		if !slices.Contains(first, n) {
			continue
		}
		for _, m := range second {
			if j := slices.Index(list, m); j < 0 || j > i {
				return true
			}
		}
	}
	return false
}

// stored: the store held a list that shows the order, or both values one after the
// other.
func (v *cycleCheck) stored(key string, first, second []int64) bool {
	for _, s := range v.o.Versions {
		if s.Key != key {
			continue
		}
		if shows(s.Value.List(), first, second) {
			return true
		}
		n, ok := s.Value.Int()
		if !ok || !slices.Contains(first, n) {
			continue
		}
		for _, later := range v.o.Versions {
			m, ok := later.Value.Int()
			if ok && later.Key == key && slices.Contains(second, m) && later.TS.Compare(s.TS) > 0 {
				return true
			}
		}
	}
	return false
}

// readWrite: the first read the key without what the second wrote there, and what
// it did read is the initial value, was read by the second as well, or is older by
// the store. A list that lacks an element is older than the one with it.
func (v *cycleCheck) readWrite(e graph.Edge, from, to *history.Op) error {
	second := written(to, e.Key)
	deletes := slices.ContainsFunc(to.Actions, func(a history.Action) bool { return a.Key == e.Key && a.F == history.Delete })
	if len(second) == 0 && !deletes {
		return fmt.Errorf("the second wrote nothing at %s", e.Key)
	}
	for _, r := range v.readings(from) {
		if r.key != e.Key || r.found.IsNone() {
			continue
		}
		n, isInt := r.found.Int()
		if !isInt && !deletes {
			missing := slices.ContainsFunc(second, func(m int64) bool { return !slices.Contains(r.found.List(), m) })
			if listy(r.found) && missing {
				return nil
			}
			continue
		}
		if len(r.own) > 0 {
			continue
		}
		second := slices.DeleteFunc(slices.Clone(second), func(m int64) bool { return isInt && m == n })
		if v.o.Initial != nil && same(v.o.Initial(e.Key), r.found) || isInt && v.stored(e.Key, []int64{n}, second) {
			return nil
		}
		for _, s := range v.readings(to) {
			if s.key == e.Key && same(s.found, r.found) && len(s.own) == 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("nothing shows that the second wrote %s later than what the first read", e.Key)
}
