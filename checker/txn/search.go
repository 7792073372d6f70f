package txn

import (
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Bounds of the searches when Options leave them 0, counted in work and not in
// time, so that every machine decides the same.
const (
	defaultMaxOps   = 10_000
	defaultMaxSteps = 2_000_000
)

// Strict searches for an order of whole transactions that keeps real time between
// all of them, whether they share keys or not: strict serializability. That is
// more than the database promises without waiting for commits. The search is
// Porcupine's, with a transaction for an operation and all keys for its state; it
// decides small runs with few transactions open at once. Reads of the past are
// left out.
func Strict(h *history.History, o Options) checker.Verdict {
	s := newSearch(h, &o)
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Stale || op.Outcome == history.Fail || op.Outcome == history.Info && !s.writes(op) {
			continue
		}
		s.add(op, op.Call, op.End())
	}
	return s.run("strict", "in real time")
}

// AtTimestamps searches likewise, with commit timestamps for intervals: whatever is
// at different timestamps has its order given, and only what shares one is
// searched. It decides what Witness decides, by other code. Transactions without
// timestamp make it unknown, unless they certainly failed.
func AtTimestamps(h *history.History, o Options) checker.Verdict {
	s := newSearch(h, &o)
	var ms []moment
	untimed := 0
	for i := range h.Ops {
		switch op := &h.Ops[i]; {
		case op.Outcome == history.Fail:
		case !op.TS.IsZero():
			ms = append(ms, moment{op.TS.Wall, op.TS.Logical, int32(i)})
		case op.Outcome == history.OK:
			untimed++
		default:
			// It may have happened at any timestamp.
			s.add(op, 0, history.Never)
		}
	}
	sortMoments(ms)
	rank := int64(0)
	for i, m := range ms {
		if i > 0 && !m.same(ms[i-1]) {
			rank += 2
		}
		s.add(&h.Ops[m.txn], rank, rank+1)
	}
	v := s.run("timestamp-search", "in the order of timestamps")
	if untimed > 0 && v.Valid == checker.OK {
		v.Valid, v.Summary = checker.Unknown, checker.Plural(untimed, "transaction")+" without timestamp"
	}
	return v
}

// search is a history of transactions as Porcupine is handed it.
type search struct {
	o        *Options
	key      map[string]int
	names    []string
	universe []string
	ops      []porcupine.Operation
	clients  map[string]int
	steps    int
}

func newSearch(h *history.History, o *Options) *search {
	s := &search{o: o, key: map[string]int{}, clients: map[string]int{}, universe: o.Universe}
	if s.universe == nil {
		s.universe = named(h)
	}
	index := func(name string) {
		if _, ok := s.key[name]; !ok {
			s.key[name] = len(s.names)
			s.names = append(s.names, name)
		}
	}
	for _, name := range named(h) {
		index(name)
	}
	for _, name := range s.universe {
		index(name)
	}
	return s
}

func (s *search) writes(op *history.Op) bool {
	return slices.ContainsFunc(op.Actions, func(a history.Action) bool { return a.F.Writes() })
}

func (s *search) add(op *history.Op, call, ret int64) {
	id, ok := s.clients[op.Client]
	if !ok {
		id = len(s.clients)
		s.clients[op.Client] = id
	}
	if ret == history.Never {
		ret = math.MaxInt64
	}
	s.ops = append(s.ops, porcupine.Operation{ClientId: id, Input: op, Call: call, Return: ret})
}

// run searches, and is unknown when the work allowed is spent.
func (s *search) run(check, how string) checker.Verdict {
	maxOps, maxSteps := s.o.MaxOps, s.o.MaxSteps
	if maxOps == 0 {
		maxOps = defaultMaxOps
	}
	if maxSteps == 0 {
		maxSteps = defaultMaxSteps
	}
	v := checker.Verdict{Check: check, Valid: checker.OK, Counts: []checker.Count{{Name: "transactions", N: int64(len(s.ops))}, {Name: "keys", N: int64(len(s.names))}}}
	switch {
	case len(s.ops) == 0:
		v.Valid, v.Summary = checker.Vacuous, "no transactions"
		return v
	case len(s.ops) > maxOps:
		v.Valid, v.Summary = checker.Unknown, fmt.Sprintf("%d transactions are more than the %d that a search takes on", len(s.ops), maxOps)
		return v
	}
	found := porcupine.CheckOperations(s.model(maxSteps), s.ops)
	v.Counts = append(v.Counts, checker.Count{Name: "steps", N: int64(s.steps)})
	switch {
	case found:
		v.Summary = fmt.Sprintf("%s have a serial order %s", checker.Plural(len(s.ops), "transaction"), how)
	case s.steps > maxSteps:
		v.Valid, v.Summary = checker.Unknown, fmt.Sprintf("gave up after %d steps", maxSteps)
	default:
		v.Valid, v.Summary = checker.Violation, fmt.Sprintf("no serial order of %s %s explains what they read", checker.Plural(len(s.ops), "transaction"), how)
	}
	return v
}

// model is the specification of all keys together. A state is a slice of values by
// key, never changed once made.
func (s *search) model(budget int) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} {
			state := make([]history.Value, len(s.names))
			for i, name := range s.names {
				if state[i] = history.NoKey(); s.o.Initial != nil {
					state[i] = s.o.Initial(name)
				}
			}
			return state
		},
		Step: func(state, input, _ interface{}) (bool, interface{}) {
			if s.steps++; s.steps > budget {
				return false, state
			}
			return s.step(state.([]history.Value), input.(*history.Op))
		},
		Equal: func(a, b interface{}) bool {
			return slices.EqualFunc(a.([]history.Value), b.([]history.Value), history.Value.Equal)
		},
		Hash: func(state interface{}) uint64 {
			const offset, prime = 14695981039346656037, 1099511628211
			h := uint64(offset)
			for _, v := range state.([]history.Value) {
				n, _ := v.Int()
				h = (h ^ uint64(n) ^ uint64(v.Kind())<<60) * prime
				for _, e := range v.List() {
					h = (h ^ uint64(e)) * prime
				}
			}
			return h
		},
		DescribeOperation: func(input, _ interface{}) string { return input.(*history.Op).String() },
	}
}

// step applies a transaction. One of unknown outcome is open to the end, and after
// everything nobody sees what it does: so it need not be able to not happen.
func (s *search) step(state []history.Value, op *history.Op) (bool, []history.Value) {
	now := state
	own := false
	at := func(name string) history.Value { return now[s.key[name]] }
	put := func(name string, v history.Value) {
		if !own {
			now, own = slices.Clone(now), true
		}
		now[s.key[name]] = v
	}
	agrees := func(name string, found history.Value) bool {
		v := at(name)
		return op.Outcome != history.OK || found.IsNone() || v.Equal(found) || emptyList(v) && emptyList(found)
	}
	for _, a := range op.Actions {
		switch a.F {
		case history.Read:
			if !agrees(a.Key, a.Result) {
				return false, state
			}
		case history.Scan:
			one := history.Op{Outcome: op.Outcome, Actions: []history.Action{a}}
			for _, seen := range sights(&one, s.universe) {
				if _, known := s.key[seen.key]; !known || !agrees(seen.key, seen.value) {
					return false, state
				}
			}
		case history.CAS:
			if !agrees(a.Key, a.Expect) {
				return false, state
			}
			if !at(a.Key).Equal(a.Expect) {
				return true, state // of unknown outcome, and its condition did not hold
			}
			put(a.Key, a.Arg)
		case history.Write:
			put(a.Key, a.Arg)
		case history.Delete:
			put(a.Key, history.NoKey())
		case history.Append:
			list := slices.Clone(at(a.Key).List())
			if n, ok := a.Arg.Int(); ok {
				list = append(list, n)
			}
			put(a.Key, history.List(append(list, a.Arg.List()...)...))
		case history.Increment:
			n, _ := at(a.Key).Int()
			by, _ := a.Arg.Int()
			if !a.Result.IsNone() && op.Outcome == history.OK && !a.Result.Equal(history.Int(n+by)) {
				return false, state
			}
			put(a.Key, history.Int(n+by))
		}
	}
	return true, now
}

func emptyList(v history.Value) bool {
	return v.IsAbsent() || v.Kind() == history.ListKind && len(v.List()) == 0
}
