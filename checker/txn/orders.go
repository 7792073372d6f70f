package txn

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Monotonic judges transactions that each read the greatest value so far and wrote
// one greater: the order of their timestamps must be the order of their values, and
// no value comes twice (Jepsen's test of the same name for CockroachDB). The value
// is what was written, added or appended, or what an increment gave.
func Monotonic(h *history.History) checker.Verdict {
	type entry struct {
		op *history.Op
		n  int64
	}
	v := checker.Verdict{Check: "monotonic"}
	var all []entry
	untimed := 0
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OK {
			continue
		}
		for _, a := range op.Actions {
			if !a.F.Writes() {
				continue
			}
			n, ok := a.Arg.Int()
			if a.F == history.Increment {
				n, ok = a.Result.Int()
			}
			switch {
			case !ok:
			case op.TS.IsZero():
				untimed++
			default:
				all = append(all, entry{op, n})
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		if c := all[i].op.TS.Compare(all[j].op.TS); c != 0 {
			return c < 0
		}
		return all[i].n < all[j].n
	})
	var fs []checker.Finding
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		what := ""
		switch {
		case a.n == b.n:
			what = fmt.Sprintf("%d was written twice", a.n)
		case a.n > b.n:
			what = fmt.Sprintf("%d has an earlier timestamp than %d", a.n, b.n)
		case a.op != b.op && a.op.TS == b.op.TS:
			what = fmt.Sprintf("%d and %d have one timestamp", a.n, b.n)
		default:
			continue
		}
		fs = append(fs, checker.Finding{When: max(a.op.Return, b.op.Return), Ops: []int{a.op.ID, b.op.ID}, Text: what + ".\n  " + title(a.op) + "\n  " + title(b.op)})
	}
	v.Counts = []checker.Count{{Name: "values", N: int64(len(all))}, {Name: "values without timestamp", N: int64(untimed)}}
	if len(fs) == 0 && untimed > 0 {
		v.Valid, v.Summary = checker.Unknown, checker.Plural(untimed, "value")+" without a timestamp"
		return v
	}
	return settle(v, fs, fmt.Sprintf("timestamps and values disagree %d times", len(fs)), fmt.Sprintf("%s rise with their timestamps", checker.Plural(len(all), "value")),
		"fewer than two values were written", len(all) > 1)
}

// Sequential judges families of keys that one client writes in order, each key in
// a transaction of its own: who sees a later key sees the earlier ones. Where one
// gateway served both writes that must hold; across gateways it is counted. A key
// names its family and place as "family/3", unless parse says otherwise. An
// operation that reads several keys must read later ones first.
func Sequential(h *history.History, universe []string, parse func(key string) (family string, place int, ok bool)) checker.Verdict {
	if parse == nil {
		parse = familyAndPlace
	}
	if universe == nil {
		universe = named(h)
	}
	v := checker.Verdict{Check: "sequential"}
	writer := map[string]*history.Op{}
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if a.F.Writes() && h.Ops[i].Outcome == history.OK && writer[a.Key] == nil {
				writer[a.Key] = &h.Ops[i]
			}
		}
	}
	var fs []checker.Finding
	reads, across := 0, 0
	for i := range h.Ops {
		op := &h.Ops[i]
		type member struct {
			key   string
			place int
		}
		latest := map[string]member{}
		seen := sights(op, universe)
		for _, s := range seen {
			if f, place, ok := parse(s.key); ok && !s.value.IsAbsent() && place >= latest[f].place {
				latest[f] = member{s.key, place}
			}
		}
		if len(seen) > 0 {
			reads++
		}
		for _, s := range seen {
			f, place, ok := parse(s.key)
			late, any := latest[f]
			if !ok || !any || !s.value.IsAbsent() || place >= late.place {
				continue
			}
			first, second := writer[s.key], writer[late.key]
			switch {
			case first == nil || second == nil || first.Return >= second.Call:
				// Not certainly written in that order.
			case first.Gateway != second.Gateway:
				across++
			default:
				fs = append(fs, checker.Finding{When: op.Return, Key: s.key, Ops: []int{op.ID, first.ID, second.ID},
					Text: fmt.Sprintf("%s was seen and %s was not, although the same gateway had written it before.\n  %s\n  %s\n  %s", late.key, s.key, title(op), title(first), title(second))})
			}
		}
	}
	v.Counts = []checker.Count{{Name: "keys written", N: int64(len(writer))}, {Name: "reads", N: int64(reads)}, {Name: "out of order across gateways", N: int64(across)}}
	return settle(v, fs, fmt.Sprintf("%s out of order", checker.Plural(len(fs), "sight")), fmt.Sprintf("%s saw what each gateway wrote in its order", checker.Plural(reads, "read")),
		"nothing was written or read", reads > 0 && len(writer) > 1)
}

func familyAndPlace(key string) (string, int, bool) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(key[i+1:])
	return key[:i], n, err == nil
}

// CausalReverse counts transactions that saw a write and not another that had been
// answered before it began. Between keys that no transaction ties together a
// database without waiting may show that: it is counted and never fails a run.
func CausalReverse(h *history.History, universe []string) checker.Verdict {
	v := checker.Verdict{Check: "causal-reverse"}
	if universe == nil {
		universe = named(h)
	}
	writer := map[string]*history.Op{} // of keys written once
	many := map[string]bool{}
	for i := range h.Ops {
		if h.Ops[i].Outcome == history.Fail {
			continue
		}
		for _, a := range h.Ops[i].Actions {
			if a.F.Writes() {
				many[a.Key] = many[a.Key] || writer[a.Key] != nil && writer[a.Key] != &h.Ops[i]
				writer[a.Key] = &h.Ops[i]
			}
		}
	}
	reads, reversed := 0, 0
	example := ""
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Stale {
			continue
		}
		var missed, saw *history.Op // of those missed the first to end, of those seen the last to begin
		seen := sights(op, universe)
		for _, s := range seen {
			w := writer[s.key]
			switch {
			case w == nil || many[s.key]:
			case s.value.IsAbsent() && w.Outcome == history.OK && (missed == nil || w.Return < missed.Return):
				missed = w
			case !s.value.IsAbsent() && (saw == nil || w.Call > saw.Call):
				saw = w
			}
		}
		if len(seen) > 1 {
			reads++
		}
		if missed != nil && saw != nil && missed != saw && missed.Return < saw.Call {
			if reversed++; example == "" {
				example = fmt.Sprintf("Seen: the second write; not seen: the first, which had been answered before the second began.\n  %s\n  %s\n  %s", title(op), title(missed), title(saw))
			}
		}
	}
	v.Counts = []checker.Count{{Name: "reads of several keys", N: int64(reads)}, {Name: "reversed", N: int64(reversed)}}
	if example != "" {
		v.Details = []string{example}
	}
	v.Valid, v.Summary = checker.OK, fmt.Sprintf("%d of %s of several keys saw real time reversed across keys (allowed)", reversed, checker.Plural(reads, "read"))
	if reads == 0 {
		v.Valid, v.Summary = checker.Vacuous, "nobody read several keys"
	}
	return v
}
