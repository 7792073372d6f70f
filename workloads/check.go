package workloads

import (
	"fmt"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Check implements Workload: vacuity of each kind of operation, answers that are
// wrong in themselves, and what each part promises of its own keys.
func (w *mixed) Check(h *history.History, ctx Context) []checker.Verdict {
	all := []checker.Verdict{checker.Vacuity(h, w.wants()), w.wellFormed(h)}
	for _, p := range w.parts {
		all = append(all, p.check(h, ctx)...)
	}
	return all
}

// Universe lists the keys of all parts as histories call them: what the checks
// cover, and what liveness is measured on.
func (w *mixed) Universe() []string {
	var all []string
	for _, p := range w.parts {
		all = append(all, p.universe()...)
	}
	slices.Sort(all)
	return all
}

// wants lists the kinds of operations that must have succeeded.
func (w *mixed) wants() []checker.Want {
	var all []checker.Want
	for i, p := range w.parts {
		if w.weights[i] == 0 {
			continue
		}
		for _, f := range p.kinds() {
			if !slices.ContainsFunc(all, func(x checker.Want) bool { return x.F == f }) {
				all = append(all, checker.Want{F: f, Min: 1})
			}
		}
	}
	return all
}

// wellFormed is the verdict on answers that no history is needed to condemn.
func (b *base) wellFormed(h *history.History) checker.Verdict {
	v := checker.Verdict{Check: "well-formed", Valid: checker.OK, Details: b.odd,
		Summary: "every answer had the shape of its question",
		Counts:  []checker.Count{{Name: "operations", N: int64(len(h.Ops))}}}
	if len(b.odd) > 0 {
		v.Valid = checker.Violation
		v.Summary = fmt.Sprintf("%d answers were malformed, the first: %s", len(b.odd), b.odd[0])
	}
	return v
}

// Registers implements Workload.
func (w *mixed) Registers(ctx Context) checker.Options {
	for _, p := range w.parts {
		if r, ok := p.(*registers); ok {
			return r.options(ctx)
		}
	}
	return checker.Options{}
}

func (r *registers) options(ctx Context) checker.Options {
	keys := r.universe()
	return checker.Options{Keys: keys, Universe: keys, Versions: ctx.Versions, SkewExceeded: ctx.Skewed}
}

func (r *registers) check(h *history.History, ctx Context) []checker.Verdict {
	o := r.options(ctx)
	all := checker.Registers(h, o).Verdicts
	if ctx.Versions != nil {
		all = append(all, checker.Witness(h, ctx.Versions, o))
	}
	return all
}

// kinds lists what the mixture asks for.
func (r *registers) kinds() []history.F {
	var all []history.F
	m := r.Mix
	for _, k := range []struct {
		weight int
		f      history.F
	}{{m.Read, history.Read}, {m.Write, history.Write}, {m.CAS, history.CAS}, {m.Delete, history.Delete}, {m.Scan + m.Reverse, history.Scan}} {
		if k.weight > 0 {
			all = append(all, k.f)
		}
	}
	return all
}

func (w *counters) check(h *history.History, ctx Context) []checker.Verdict {
	if ctx.Skewed {
		h = withoutReadsBeforeTheEnd(h, w.keys)
	}
	return []checker.Verdict{checker.Counter(h, checker.Options{Keys: w.universe()})}
}

func (w *counters) kinds() []history.F { return []history.F{history.Increment, history.Read} }

func (w *sets) check(h *history.History, ctx Context) []checker.Verdict {
	return []checker.Verdict{checker.SetDurable(h, checker.Options{Keys: w.universe()})}
}

func (w *sets) kinds() []history.F { return []history.F{history.Add, history.Read} }

// withoutReadsBeforeTheEnd leaves out reads of the keys that were called before the
// last of the key's writes was. With clocks beyond their bounds such a read may
// legally be stale; those after it, in a cluster whose clocks are healed, may not.
func withoutReadsBeforeTheEnd(h *history.History, keys []string) *history.History {
	last := map[string]int64{}
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if a.F == history.Increment {
				last[a.Key] = max(last[a.Key], h.Ops[i].Call)
			}
		}
	}
	early := func(op *history.Op) bool {
		return slices.ContainsFunc(op.Actions, func(a history.Action) bool {
			return a.F == history.Read && slices.Contains(keys, a.Key) && op.Call <= last[a.Key]
		})
	}
	out := &history.History{}
	for i := range h.Ops {
		if op := &h.Ops[i]; !early(op) {
			out.Ops = append(out.Ops, *op)
		}
	}
	return out
}
