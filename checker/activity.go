package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// Want is how often operations of one kind must have succeeded.
type Want struct {
	F   history.F
	Min int
}

// Vacuity asks whether enough happened: each kind of operation must have
// succeeded at least so often. A run in which every write was refused passes
// every other check. It also counts conflicts (operations that overlapped another
// on the same key, at least one of them writing), failed conditions and unknown
// outcomes, on which the other verdicts rest.
func Vacuity(h *history.History, wants []Want) Verdict {
	var ok [history.Append + 1]int
	var info, failed, conditions, undone int
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case op.Err == history.Undone:
			undone++
		case op.Outcome == history.Info:
			info++
		case op.Outcome == history.Fail:
			failed++
			if op.Err == history.ConditionFailed {
				conditions++
			}
		default:
			for _, a := range op.Actions {
				if int(a.F) < len(ok) {
					ok[a.F]++
				}
			}
		}
	}
	v := Verdict{Check: "vacuity", Valid: OK}
	short := 0
	for _, w := range wants {
		v.Counts = append(v.Counts, Count{w.F.String() + " succeeded", int64(ok[w.F])})
		if ok[w.F] < w.Min {
			short++
			v.Details = append(v.Details, fmt.Sprintf("%s succeeded %d times; at least %d were asked for.", w.F, ok[w.F], w.Min))
		}
	}
	v.Counts = append(v.Counts, Count{"operations", int64(len(h.Ops) - undone)}, Count{"conflicts", int64(conflicts(h))},
		Count{"conditions not met", int64(conditions)}, Count{"failed", int64(failed)}, Count{"unknown outcomes", int64(info)})
	if undone > 0 {
		v.Counts = append(v.Counts, Count{"undone on the way", int64(undone)})
	}
	v.Summary = fmt.Sprintf("%s, of which %d failed and %d have an unknown outcome", plural(len(h.Ops)-undone, "operation"), failed, info)
	if short > 0 || len(h.Ops) == 0 {
		v.Valid = Vacuous
		v.Summary = fmt.Sprintf("too little happened: %s below what was asked for", plural(short, "kind"))
	}
	return v
}

// conflicts counts operations that met another on one of their keys while both
// were open and one of them wrote.
func conflicts(h *history.History) int {
	type open struct {
		writes bool
		end    int64
		op     int
	}
	byKey := map[string][]open{}
	met := make([]bool, len(h.Ops))
	order := make([]int, len(h.Ops))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return h.Ops[order[i]].Call < h.Ops[order[j]].Call })
	for _, i := range order {
		op := &h.Ops[i]
		if op.Err == history.Undone {
			continue
		}
		for _, a := range op.Actions {
			list := byKey[a.Key]
			n := 0
			for _, other := range list {
				if other.end < op.Call {
					continue
				}
				list[n] = other
				n++
				if other.op != i && (other.writes || a.F.Writes()) {
					met[i], met[other.op] = true, true
				}
			}
			// What never ended stays open for good; keeping a few is enough to know
			// that later operations met one.
			if n < 64 {
				list = append(list[:n], open{writes: a.F.Writes(), end: op.Return, op: i})
			} else {
				list = list[:n]
			}
			byKey[a.Key] = list
		}
	}
	count := 0
	for _, m := range met {
		if m {
			count++
		}
	}
	return count
}

// FirstSuccess is when something first worked after everything had healed: a
// range, a client, a transaction that was open.
type FirstSuccess struct {
	Name string
	// Asked is when it was first asked for after healing, in virtual ns. What nobody
	// asks for cannot be served: the bound counts from here.
	Asked int64
	// At is virtual ns; history.Never when it never did.
	At int64
}

// Liveness asks whether, once all faults had healed at the virtual time healed,
// everything named worked again within the bound (ns). Nothing named is vacuous.
func Liveness(healed, bound int64, firsts []FirstSuccess) Verdict {
	v := Verdict{Check: "liveness", Valid: OK}
	var worst FirstSuccess
	late, never := 0, 0
	for i, f := range firsts {
		if i == 0 || f.At > worst.At {
			worst = f
		}
		if f.At != history.Never && f.At <= max(healed, f.Asked)+bound {
			continue
		}
		late++
		if f.At == history.Never {
			never++
		}
		if len(v.Details) < maxDetails {
			at := "not before the run ended"
			if f.At != history.Never {
				at = fmt.Sprintf("only at %s, %.3f s after healing", history.Clock(f.At), float64(f.At-healed)/1e9)
			}
			v.Details = append(v.Details, fmt.Sprintf("%s worked again %s.", f.Name, at))
		}
	}
	v.Counts = []Count{{"observed", int64(len(firsts))}, {"late", int64(late)}, {"never", int64(never)}}
	if len(firsts) > 0 && worst.At != history.Never {
		v.Counts = append(v.Counts, Count{"slowest (ms after healing)", max(0, worst.At-healed) / 1e6})
	}
	limit := fmt.Sprintf("%.1f s of healing at %s", float64(bound)/1e9, history.Clock(healed))
	switch {
	case late > 0:
		v.Valid, v.Summary = Violation, fmt.Sprintf("%d of %d did not work again within %s", late, len(firsts), limit)
	case len(firsts) == 0:
		v.Valid, v.Summary = Vacuous, "nothing was observed after healing"
	default:
		v.Summary = fmt.Sprintf("all %d worked again within %s; %s was last", len(firsts), limit, worst.Name)
	}
	return v
}

// FirstSuccessByKey reads from a history when each of the keys was first served
// after healing: the end of the first acknowledged operation that began then. A scan
// asks for each key that it names.
func FirstSuccessByKey(h *history.History, healed int64, keys []string) []FirstSuccess {
	type times struct{ asked, at int64 }
	seen := map[string]times{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Call < healed || op.Err == history.Undone {
			continue
		}
		note := func(key string) {
			t, ok := seen[key]
			if !ok {
				t = times{op.Call, history.Never}
			}
			t.asked = min(t.asked, op.Call)
			if op.Outcome == history.OK {
				t.at = min(t.at, op.Return)
			}
			seen[key] = t
		}
		for _, a := range op.Actions {
			note(a.Key)
			if a.F == history.Scan {
				for _, row := range a.Arg.Rows() {
					note(row.Key)
				}
			}
		}
	}
	out := make([]FirstSuccess, 0, len(keys))
	for _, k := range keys {
		t, ok := seen[k]
		if !ok {
			t = times{healed, history.Never}
		}
		out = append(out, FirstSuccess{Name: "key " + k, Asked: t.asked, At: t.at})
	}
	return out
}

// Availability sums up how well clients were served. It never fails a run: what
// a fault costs is a measurement, and what must hold after healing is Liveness.
func Availability(h *history.History) Verdict {
	v := Verdict{Check: "availability", Valid: OK}
	var ends []int64
	var n [3]int64
	var first, last int64
	total := 0
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Err == history.Undone {
			continue
		}
		total++
		n[op.Outcome]++
		if i == 0 || op.Call < first {
			first = op.Call
		}
		if op.Return != history.Never {
			last = max(last, op.Return)
		}
		if op.Outcome == history.OK || op.Err == history.ConditionFailed {
			ends = append(ends, op.Return)
		}
	}
	if total == 0 {
		v.Valid, v.Summary = Vacuous, "no operations"
		return v
	}
	sort.Slice(ends, func(i, j int) bool { return ends[i] < ends[j] })
	gap, from, prev := int64(0), first, first
	for _, e := range append(ends, last) {
		if e-prev > gap {
			gap, from = e-prev, prev
		}
		prev = e
	}
	served := float64(len(ends)) / float64(total) * 100
	v.Counts = []Count{{"answered", int64(len(ends))}, {"failed", n[history.Fail]}, {"unknown outcomes", n[history.Info]}, {"longest silence (ms)", gap / 1e6}}
	v.Summary = fmt.Sprintf("%.2f %% of %d operations answered; longest time without an answer %.3f s from %s", served, total, float64(gap)/1e9, history.Clock(from))
	return v
}
