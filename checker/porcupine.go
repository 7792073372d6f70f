package checker

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strings"

	"github.com/anishathalye/porcupine"

	"simulacrum/checker/history"
)

// Bounds of the search when Options leave them 0. Its cost grows with what is
// open at once, not with time on a clock, so it is bounded by work: the same
// history is decided, or not, on every machine.
const (
	defaultMaxOps         = 5_000
	defaultMaxConcurrency = 14
	defaultMaxSteps       = 400_000
	defaultSample         = 16
	// pictureOps is as much as Porcupine's page shows without becoming sluggish.
	pictureOps = 1_500
)

func (o *Options) bounds() (ops, concurrency, steps int) {
	or := func(n, d int) int {
		if n == 0 {
			return d
		}
		return n
	}
	return or(o.MaxOps, defaultMaxOps), or(o.MaxConcurrency, defaultMaxConcurrency), or(o.MaxSteps, defaultMaxSteps)
}

// searchInput is what the model is handed: the actions of one operation on one
// key. The model interprets actions itself, one after another, and shares none
// of the sweep's reduction: two deciders that share code share its bugs.
type searchInput struct {
	op      *history.Op
	actions []history.Action
}

// searchKey is the history of one key as the search sees it.
type searchKey struct {
	key    string
	ops    []porcupine.Operation
	pruned []porcupine.Operation // what the search leaves out
	inits  history.Value
}

// searchKeys takes a history apart for the search.
func searchKeys(h *history.History, o *Options) []*searchKey {
	universe := o.Universe
	if universe == nil {
		universe = namedKeys(h)
	}
	clients := map[string]int{}
	by := map[string]*searchKey{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Stale {
			continue
		}
		if _, ok := clients[op.Client]; !ok {
			clients[op.Client] = len(clients)
		}
		order, per := actionsByKey(op, universe)
		for _, name := range order {
			actions := relevant(op, per[name])
			if len(actions) == 0 {
				continue
			}
			k := by[name]
			if k == nil {
				k = &searchKey{key: name, inits: o.initial(name)}
				by[name] = k
			}
			ret := op.Return
			if op.Outcome == history.Info {
				ret = math.MaxInt64
			}
			k.ops = append(k.ops, porcupine.Operation{ClientId: clients[op.Client], Input: &searchInput{op, actions}, Call: op.Call, Return: ret})
		}
	}
	var out []*searchKey
	for _, k := range by { //determinism:ok each key is pruned alone, and the list is sorted below
		k.prune()
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out
}

// actionsByKey lists the actions of one operation by key; a scan becomes a read
// of each key that it covered.
func actionsByKey(op *history.Op, universe []string) ([]string, map[string][]history.Action) {
	per := map[string][]history.Action{}
	var order []string
	add := func(a history.Action) {
		if per[a.Key] == nil {
			order = append(order, a.Key)
		}
		per[a.Key] = append(per[a.Key], a)
	}
	for _, a := range op.Actions {
		if a.F != history.Scan {
			add(a)
			continue
		}
		if op.Outcome != history.OK {
			continue
		}
		found := map[string]history.Value{}
		for _, name := range universe {
			found[name] = history.NoKey()
		}
		if rows := a.Arg.Rows(); rows != nil {
			clear(found)
			for _, r := range rows {
				found[r.Key] = history.NoKey()
			}
		}
		for _, r := range a.Result.Rows() {
			found[r.Key] = r.Value
		}
		names := make([]string, 0, len(found))
		for name := range found {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			add(history.Action{F: history.Read, Key: name, Result: found[name]})
		}
	}
	return order, per
}

// relevant drops what says nothing: reads of unknown outcome, failures that saw
// nothing. What a failed condition found becomes a read.
func relevant(op *history.Op, actions []history.Action) []history.Action {
	switch op.Outcome {
	case history.OK:
		return actions
	case history.Info:
		for _, a := range actions {
			if a.F.Writes() {
				return actions
			}
		}
		return nil
	}
	if op.Err != history.ConditionFailed {
		return nil
	}
	var out []history.Action
	for _, a := range actions {
		if !a.Result.IsNone() {
			out = append(out, history.Action{F: history.Read, Key: a.Key, Result: a.Result})
		} else if a.F == history.CAS && len(op.Actions) == 1 {
			out = append(out, a)
		}
		if a.F.Writes() {
			break // what it found from here on is its own, and has gone with it
		}
	}
	return out
}

// prune drops single writes of unknown outcome whose value nobody found or
// expected: leaving one out changes nothing that anybody saw, and each would be
// open to the end and double the search. It is off where values are not found as
// they were written: increments, lists, failures that do not say what they found.
func (k *searchKey) prune() {
	seen := map[int64]bool{}
	for _, o := range k.ops {
		in := o.Input.(*searchInput)
		for _, a := range in.actions {
			if a.F == history.Increment || a.F == history.Append || in.op.Outcome == history.Fail && a.F == history.CAS {
				return
			}
			for _, v := range []history.Value{a.Result, a.Expect} {
				if n, ok := v.Int(); ok {
					seen[n] = true
				}
			}
		}
	}
	kept := k.ops[:0]
	for _, o := range k.ops {
		in := o.Input.(*searchInput)
		if n, ok := in.actions[0].Arg.Int(); ok && in.op.Outcome == history.Info && len(in.actions) == 1 && in.actions[0].F == history.Write && !seen[n] {
			k.pruned = append(k.pruned, o)
			continue
		}
		kept = append(kept, o)
	}
	k.ops = kept
}

// model is the specification of one key, which stops taking steps when the
// budget is spent: the caller then calls the outcome unknown.
func (k *searchKey) model(steps *int, budget int) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return k.inits },
		Step: func(state, input, _ interface{}) (bool, interface{}) {
			if *steps++; *steps > budget {
				return false, state
			}
			return step(state.(history.Value), input.(*searchInput))
		},
		Equal: func(a, b interface{}) bool { return a.(history.Value).Equal(b.(history.Value)) },
		Hash:  func(s interface{}) uint64 { return hashValue(s.(history.Value)) },
		DescribeOperation: func(input, _ interface{}) string {
			in := input.(*searchInput)
			var b strings.Builder
			for i, a := range in.actions {
				if i > 0 {
					b.WriteString("; ")
				}
				b.WriteString(a.String())
			}
			if in.op.Outcome != history.OK {
				b.WriteString(" " + in.op.Outcome.String())
			}
			return b.String()
		},
		DescribeState: func(s interface{}) string { return s.(history.Value).String() },
	}
}

// hashValue is FNV-1a: the same in every process, so that the search is as well.
func hashValue(v history.Value) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	if n, ok := v.Int(); ok {
		return (h ^ uint64(n)) * prime
	}
	for _, c := range []byte(v.String()) {
		h = (h ^ uint64(c)) * prime
	}
	return h
}

// step applies the actions of one operation to the value of the key.
func step(state history.Value, in *searchInput) (bool, history.Value) {
	// An operation of unknown outcome is open to the end of time, so that "it never
	// happened" is the same as "it happened after everything". Only one with a
	// condition needs more: where the condition does not hold, it does nothing.
	info := in.op.Outcome == history.Info
	was := state
	for _, a := range in.actions {
		switch a.F {
		case history.Read:
			if !info && !a.Result.Equal(normal(state, a.Result)) {
				return false, was
			}
		case history.Write:
			state = a.Arg
		case history.Delete:
			state = history.NoKey()
		case history.CAS:
			holds := state.Equal(a.Expect)
			if in.op.Outcome == history.Fail {
				return !holds, was
			}
			if !holds {
				return info, was
			}
			state = a.Arg
		case history.Increment:
			n, _ := state.Int()
			by, _ := a.Arg.Int()
			state = history.Int(n + by)
			if !info && !a.Result.IsNone() && !a.Result.Equal(state) {
				return false, was
			}
		case history.Append:
			state = history.List(append(append([]int64{}, state.List()...), a.Arg.List()...)...)
		default:
			return false, was
		}
	}
	return true, state
}

// normal lets an absent key read as the empty list, in histories of lists.
func normal(state, read history.Value) history.Value {
	if state.IsAbsent() && read.Kind() == history.ListKind {
		return history.List()
	}
	return state
}

// search decides one key within the bounds.
func (k *searchKey) search(o *Options) KeyResult {
	maxOps, maxConcurrency, maxSteps := o.bounds()
	r := KeyResult{Key: k.key, Ops: len(k.ops), Concurrency: searchConcurrency(k.ops)}
	switch {
	case r.Ops > maxOps:
		r.Why = fmt.Sprintf("it has %d operations, and the search is bounded to %d", r.Ops, maxOps)
		return r
	case r.Concurrency > maxConcurrency:
		r.Why = fmt.Sprintf("%d operations are open at once, and the search is bounded to %d", r.Concurrency, maxConcurrency)
		return r
	}
	legal := porcupine.CheckOperations(k.model(&r.Steps, maxSteps), k.ops)
	switch {
	case legal:
		r.Valid = OK // a linearization was found, whatever it cost
	case r.Steps > maxSteps:
		r.Why = fmt.Sprintf("the search took more than %d steps", maxSteps)
	default:
		r.Valid = Violation
		r.Why, r.Witness = k.stuck(maxSteps)
	}
	return r
}

func searchConcurrency(ops []porcupine.Operation) int {
	k := keyHistory{ops: make([]keyOp, len(ops))}
	for i, o := range ops {
		k.ops[i] = keyOp{call: o.Call, end: o.Return}
	}
	return k.concurrency()
}

// prefix is the beginning of a key's history, up to the call of its n-th
// operation.
func (k *searchKey) prefix(n int) *searchKey {
	if len(k.ops) <= n {
		return k
	}
	ops := append([]porcupine.Operation{}, k.ops...)
	sort.SliceStable(ops, func(i, j int) bool { return ops[i].Call < ops[j].Call })
	k = &searchKey{key: k.key, inits: k.inits, ops: ops}
	return k.until(ops[n-1].Call)
}

// until is a key's history up to a moment: what was still open then is open for
// good, if it writes, and is left out, if it only reads. A history that was cut so
// is linearizable if the whole is.
func (k *searchKey) until(until int64) *searchKey {
	p := &searchKey{key: k.key, inits: k.inits}
	for _, o := range k.ops {
		if o.Call > until {
			continue
		}
		if o.Return > until {
			in := o.Input.(*searchInput)
			writes := false
			for _, a := range in.actions {
				writes = writes || a.F.Writes()
			}
			if !writes || in.op.Outcome == history.Fail {
				continue
			}
			open := *in.op
			open.Outcome = history.Info
			o.Input, o.Return = &searchInput{&open, in.actions}, math.MaxInt64
		}
		p.ops = append(p.ops, o)
	}
	return p
}

// Porcupine decides by search whether each key is linearizable in any order,
// within the bounds of the options. A key out of bounds is unknown.
func Porcupine(h *history.History, o Options) (Verdict, []KeyResult) {
	want := map[string]bool{}
	for _, k := range o.Keys {
		want[k] = true
	}
	var results []KeyResult
	for _, k := range searchKeys(h, &o) {
		if o.Keys == nil || want[k.key] {
			results = append(results, k.search(&o))
		}
	}
	return searchVerdict(results), results
}

func searchVerdict(results []KeyResult) Verdict {
	v := Verdict{Check: "porcupine", Valid: OK}
	var good, bad, unknown, steps int
	for _, r := range results {
		steps += r.Steps
		switch r.Valid {
		case OK:
			good++
		case Violation:
			bad++
			v.Details = append(v.Details, fmt.Sprintf("Key %s: no order of its %d operations explains what they found. %s", r.Key, r.Ops, r.Why))
			v.Ops = append(v.Ops, r.Witness...)
		default:
			unknown++
			v.Details = append(v.Details, fmt.Sprintf("Key %s is unknown: %s.", r.Key, r.Why))
		}
	}
	if len(v.Details) > maxDetails {
		v.Details = append(v.Details[:maxDetails:maxDetails], fmt.Sprintf("%d further keys are not shown.", len(v.Details)-maxDetails))
	}
	v.Counts = []Count{{"keys", int64(len(results))}, {"linearizable", int64(good)}, {"not linearizable", int64(bad)}, {"unknown", int64(unknown)}, {"steps", int64(steps)}}
	switch {
	case bad > 0:
		v.Valid, v.Summary = Violation, fmt.Sprintf("%s of %d not linearizable in any order", plural(bad, "key"), len(results))
	case unknown > 0:
		v.Valid, v.Summary = Unknown, fmt.Sprintf("%s of %d undecided within the bounds of the search", plural(unknown, "key"), len(results))
	case good == 0:
		v.Valid, v.Summary = Vacuous, "no key to search"
	default:
		v.Summary = fmt.Sprintf("a linearization exists for each of %s", plural(good, "key"))
	}
	return v
}

// Picture writes Porcupine's page for one key: its operations as bars by client
// and how far they can be put in order. Long histories show their first 1,500
// operations. The page is one file without links.
func Picture(w io.Writer, h *history.History, o Options, key string) error {
	for _, k := range searchKeys(h, &o) {
		if k.key != key {
			continue
		}
		steps := 0
		_, _, maxSteps := o.bounds()
		k = k.prefix(pictureOps)
		m := k.model(&steps, maxSteps)
		_, info := porcupine.CheckOperationsVerbose(m, k.ops, 0)
		// Drawing replays the order found; those steps are not part of the search.
		steps = 0
		return porcupine.Visualize(k.model(&steps, math.MaxInt), info, w)
	}
	return errors.New("the history has no operation on key " + key)
}
