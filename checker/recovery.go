package checker

import (
	"fmt"
	"slices"

	"simulacrum/checker/history"
)

// Loss is a moment at which part of the system was taken away.
type Loss struct {
	// Name says what: "power-loss region:us-east".
	Name string
	// What it took: "node", "nodes", "zone" or "region".
	What string
	At   int64 // virtual ns
	// Restored is when nothing lacked a copy any more, history.Never if that was not
	// before the end; 0 if nothing lacked one.
	Restored int64
}

// Recovered is what a loss cost.
type Recovered struct {
	Loss
	// Served is how long the worst key was asked for in vain after the loss, in ns;
	// history.Never if it was not served any more.
	Served int64
	Key    string // that key
}

// Recoveries measures, for each loss, how long keys were asked for in vain after it: from
// the first request for a key to its first success, of those that began after the loss.
func Recoveries(h *history.History, losses []Loss, keys []string) []Recovered {
	var all []Recovered
	for _, l := range losses {
		r := Recovered{Loss: l}
		for _, f := range FirstSuccessByKey(h, l.At, keys) {
			waited := int64(history.Never)
			if f.At != history.Never {
				waited = f.At - max(f.Asked, l.At)
			}
			if waited > r.Served || r.Key == "" {
				r.Served, r.Key = waited, f.Name
			}
		}
		all = append(all, r)
	}
	return all
}

// Recovery sums up what losses cost. It never fails a run: what a loss costs is a
// measurement, and what must hold is Liveness and Unserved.
func Recovery(rs []Recovered) Verdict {
	v := Verdict{Check: "recovery", Valid: OK, Summary: "nothing was lost"}
	worst := map[string]int64{}
	var slowest *Recovered
	for i := range rs {
		r := &rs[i]
		text := fmt.Sprintf("%s at %s: ", r.Name, history.Clock(r.At))
		if r.Served == history.Never {
			text += r.Key + " was not served again before the end"
		} else {
			text += fmt.Sprintf("requests for %s waited longest, %.3f s", r.Key, float64(r.Served)/1e9)
		}
		switch r.Restored {
		case 0:
		case history.Never:
			text += "; copies were not restored before the end"
		default:
			text += fmt.Sprintf("; all copies were restored after %.1f s", float64(r.Restored-r.At)/1e9)
		}
		v.Details = append(v.Details, text+".")
		worst[r.What] = max(worst[r.What], r.Served)
		if slowest == nil || r.Served > slowest.Served {
			slowest = r
		}
	}
	if slowest == nil {
		return v
	}
	v.Counts = []Count{{"losses", int64(len(rs))}}
	for _, what := range []string{"node", "nodes", "zone", "region"} {
		if n, ok := worst[what]; ok && n != history.Never {
			v.Counts = append(v.Counts, Count{"slowest after loss of a " + what + " (ms)", n / 1e6})
		}
	}
	v.Summary = fmt.Sprintf("after %s of nodes the worst key waited %.3f s, after %s", plural(len(rs), "removal"), float64(slowest.Served)/1e9, slowest.Name)
	if slowest.Served == history.Never {
		v.Summary = fmt.Sprintf("after %s %s was not served again before the end", slowest.Name, slowest.Key)
	}
	return v
}

// Window is a time [From, To) in virtual ns.
type Window struct{ From, To int64 }

// Unserved asks whether within the windows, in which the system has no excuse, a request
// for a key ever found nobody for longer than the bound (ns): no request for that key, by
// whomever, succeeded meanwhile. A window that is shorter than the bound says nothing.
func Unserved(h *history.History, windows []Window, bound int64) Verdict {
	v := Verdict{Check: "unserved", Valid: OK}
	windows = slices.DeleteFunc(slices.Clone(windows), func(w Window) bool { return w.To-w.From < bound })
	var keys []string
	calls, served := map[string][]int64{}, map[string][]int64{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Err == history.Undone {
			continue
		}
		for _, key := range keysOf(op) {
			if calls[key] == nil {
				keys = append(keys, key)
			}
			calls[key] = append(calls[key], op.Call)
			if op.Return != history.Never && (op.Outcome == history.OK || op.Err == history.ConditionFailed) {
				served[key] = append(served[key], op.Return)
			}
		}
	}
	slices.Sort(keys)
	longest, requests, late := int64(0), int64(0), 0
	var total int64
	for _, w := range windows {
		total += w.To - w.From
	}
	for _, key := range keys {
		slices.Sort(calls[key])
		slices.Sort(served[key])
		told := false
		for _, c := range calls[key] {
			if !slices.ContainsFunc(windows, func(w Window) bool { return w.From <= c && c+bound <= w.To }) {
				continue
			}
			requests++
			at, _ := slices.BinarySearch(served[key], c)
			waited := bound + 1 // or more: it is not known how long it would have been
			if at < len(served[key]) {
				waited = served[key][at] - c
			}
			longest = max(longest, waited)
			if waited > bound && !told {
				told = true
				late++
				if len(v.Details) < maxDetails {
					v.Details = append(v.Details, fmt.Sprintf("Key %s was asked for at %s, and nobody was served for longer than %.1f s.", key, history.Clock(c), float64(bound)/1e9))
				}
			}
		}
	}
	v.Counts = []Count{{"seconds without an excuse", total / 1e9}, {"requests", requests}, {"keys unserved", int64(late)}, {"longest (ms)", longest / 1e6}}
	switch {
	case late > 0:
		v.Valid, v.Summary = Violation, fmt.Sprintf("%s unserved for longer than %.1f s while a quorum of every range lived", plural(late, "key"), float64(bound)/1e9)
	case requests == 0:
		v.Summary = fmt.Sprintf("at no time was there a quorum of every range for as long as %.1f s", float64(bound)/1e9)
	default:
		v.Summary = fmt.Sprintf("while a quorum of every range lived, for %d s, no key went unserved for longer than %.3f s", total/1e9, float64(longest)/1e9)
	}
	return v
}

// keysOf lists the keys that an operation asks for.
func keysOf(op *history.Op) []string {
	var all []string
	for _, a := range op.Actions {
		if a.F != history.Scan {
			all = append(all, a.Key)
			continue
		}
		for _, row := range a.Arg.Rows() {
			all = append(all, row.Key)
		}
	}
	return all
}
