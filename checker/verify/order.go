package verify

import (
	"fmt"

	"simulacrum/checker/graph"
	"simulacrum/checker/history"
)

// Order replays operations in the order given, as ids. It confirms that every
// acknowledged operation stands in it once and no failed one, that each read finds
// what it found, and that sessions and keyed real time lead forward.
func Order(h *history.History, order []int, o graph.Options) error {
	ops := map[int]*history.Op{}
	acknowledged := 0
	for i := range h.Ops {
		ops[h.Ops[i].ID] = &h.Ops[i]
		if h.Ops[i].Outcome == history.OK {
			acknowledged++
		}
	}
	r := &replay{o: &o, state: map[string]history.Value{}, universe: universe(h, &o), times: newTimes(&o)}
	used := map[int]bool{}
	for place, id := range order {
		op := ops[id]
		switch {
		case op == nil:
			return fmt.Errorf("place %d of the order names operation %d, which is not in the history", place, id)
		case used[id]:
			return fmt.Errorf("operation %d stands in the order twice", id)
		case op.Outcome == history.Fail:
			return fmt.Errorf("operation %d certainly failed and stands in the order", id)
		}
		used[id] = true
		if op.Outcome == history.OK {
			acknowledged--
		}
		if err := r.run(op); err != nil {
			return fmt.Errorf("replay at place %d: %w", place, err)
		}
		if err := r.times.place(op, r.universe); err != nil {
			return err
		}
	}
	if acknowledged > 0 {
		return fmt.Errorf("%d acknowledged operations are missing from the order", acknowledged)
	}
	return nil
}

func universe(h *history.History, o *graph.Options) []string {
	if o.Universe != nil {
		return o.Universe
	}
	var all []string
	named := map[string]bool{}
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if a.F != history.Scan && !named[a.Key] {
				named[a.Key] = true
				all = append(all, a.Key)
			}
		}
	}
	return all
}

type replay struct {
	o        *graph.Options
	state    map[string]history.Value
	universe []string
	times    *times
}

func (r *replay) now(key string) history.Value {
	if v, ok := r.state[key]; ok {
		return v
	}
	if r.o.Initial != nil {
		return r.o.Initial(key)
	}
	return history.NoKey()
}

func (r *replay) run(op *history.Op) error {
	see := func(key string, found history.Value) error {
		now := r.now(key)
		if op.Outcome != history.OK || found.IsNone() || same(now, found) {
			return nil
		}
		return fmt.Errorf("operation %d read %s at %s, where %s was", op.ID, found, key, now)
	}
	for _, a := range op.Actions {
		switch a.F {
		case history.Read:
			if err := see(a.Key, a.Result); err != nil {
				return err
			}
		case history.Scan:
			if a.Result.IsNone() {
				continue
			}
			for key, found := range scanned(a, r.universe) { //determinism:ok whether any of the keys differs is the same in any order
				if err := see(key, found); err != nil {
					return err
				}
			}
		case history.CAS:
			if err := see(a.Key, a.Expect); err != nil {
				return err
			}
			r.state[a.Key] = a.Arg
		case history.Write:
			r.state[a.Key] = a.Arg
		case history.Delete:
			r.state[a.Key] = history.NoKey()
		case history.Append:
			list := append([]int64{}, r.now(a.Key).List()...)
			if n, ok := a.Arg.Int(); ok {
				list = append(list, n)
			}
			r.state[a.Key] = history.List(append(list, a.Arg.List()...)...)
		default:
			return fmt.Errorf("operation %d does %s, which is neither of lists nor of registers", op.ID, a)
		}
	}
	return nil
}

// scanned is what a scan says of each key that it covered.
func scanned(a history.Action, universe []string) map[string]history.Value {
	found := map[string]history.Value{}
	if rows := a.Arg.Rows(); rows != nil {
		for _, r := range rows {
			found[r.Key] = history.NoKey()
		}
	} else {
		for _, key := range universe {
			found[key] = history.NoKey()
		}
	}
	for _, r := range a.Result.Rows() {
		found[r.Key] = r.Value
	}
	return found
}

// same compares values; the missing list and the empty one are the same.
func same(a, b history.Value) bool {
	return a.Equal(b) || len(a.List()) == 0 && len(b.List()) == 0 && listy(a) && listy(b)
}

func listy(v history.Value) bool { return v.IsAbsent() || v.Kind() == history.ListKind }

// times confirms that the order keeps real time. An operation must not come after
// one that began when it had ended: so it is enough to know, of all that came so
// far, the latest beginning.
type times struct {
	o *graph.Options
	// Of each key the latest beginning among those that wrote it, and those that
	// touched it; of each session the latest of all.
	wrote, touched, session map[string]int64
}

func newTimes(o *graph.Options) *times {
	return &times{o: o, wrote: map[string]int64{}, touched: map[string]int64{}, session: map[string]int64{}}
}

// footprint tells of each key that an operation touched whether it wrote it.
func footprint(op *history.Op, universe []string) map[string]bool {
	keys := map[string]bool{}
	for _, a := range op.Actions {
		switch {
		case a.F.Writes():
			keys[a.Key] = true
		case op.Outcome != history.OK:
			// Whether its reads were served is not known.
		case a.F == history.Scan:
			if !a.Result.IsNone() {
				for key := range scanned(a, universe) {
					keys[key] = keys[key]
				}
			}
		default:
			keys[a.Key] = keys[a.Key]
		}
	}
	return keys
}

func (t *times) place(op *history.Op, universe []string) error {
	late := func(what string) error {
		return fmt.Errorf("operation %d had ended at %s, before another began that stands earlier in the order; they share %s", op.ID, history.Clock(op.End()), what)
	}
	if !t.o.NoRealTime {
		for key, writes := range footprint(op, universe) { //determinism:ok each key for itself; any that fails fails the order
			before := t.wrote
			if writes && !t.o.SkewExceeded {
				before = t.touched
			}
			if at, ok := before[key]; ok && at > op.End() {
				return late("key " + key)
			}
			if op.Stale {
				continue
			}
			raise(t.touched, key, op.Call)
			if writes {
				raise(t.wrote, key, op.Call)
			}
		}
	}
	if t.o.NoSessions || op.Stale {
		return nil
	}
	name := sessionName(op, t.o)
	if name == "" {
		return nil
	}
	if at, ok := t.session[name]; ok && at > op.End() {
		return late("session " + name)
	}
	raise(t.session, name, op.Call)
	return nil
}

func sessionName(op *history.Op, o *graph.Options) string {
	if o.Session != nil {
		return o.Session(op)
	}
	return fmt.Sprintf("%q at %q", op.Client, op.Gateway)
}

func raise(m map[string]int64, key string, at int64) {
	if old, ok := m[key]; !ok || at > old {
		m[key] = at
	}
}
