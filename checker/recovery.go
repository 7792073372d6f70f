package checker

import (
	"cmp"
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

// Unserved asks whether within the windows, in which the system has no excuse, a key was
// asked for in vain for longer than the bound (ns): requests for it followed each other,
// by whomever, with no more than a quarter of the bound between them, and none was served.
// A key is served by an operation that succeeds, and also by one that fails on account of
// others after it had an answer for this one: a transaction that read it and then ran out
// of time while it waited for another key. Such an answer came at an unknown time, so it
// counts as one that came when the operation ended, the latest it can have been
// (scenarios/found/answered-and-failed).
// A window that is shorter than the bound says nothing, and a request that is not made
// again after it failed says no more than that it failed. Nor does one whose client was
// paused, by name in paused, while it waited: it may have been answered in the meantime, or have
// failed only because its deadline passed, and so it counts as one that was made until the
// pause began (scenarios/found/frozen-clients).
func Unserved(h *history.History, windows []Window, paused map[string][]Window, bound int64) Verdict {
	v := Verdict{Check: "unserved", Valid: OK}
	windows = slices.DeleteFunc(slices.Clone(windows), func(w Window) bool { return w.To-w.From < bound })
	var keys []string
	asked, served := map[string][]Window{}, map[string][]int64{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Err == history.Undone {
			continue
		}
		w := Window{op.Call, op.Return}
		if op.Return == history.Never {
			w.To = op.Call // its client died: nobody waits
		}
		for _, p := range paused[op.Client] {
			if op.Call <= p.From {
				w.To = min(w.To, p.From)
			}
		}
		succeeded := op.Outcome == history.OK || op.Err == history.ConditionFailed
		for j := range op.Actions {
			a := &op.Actions[j]
			answered := op.Return != history.Never && (succeeded || !a.Result.IsNone())
			for _, key := range keysOf(a) {
				if asked[key] == nil {
					keys = append(keys, key)
				}
				asked[key] = append(asked[key], w)
				if answered {
					served[key] = append(served[key], op.Return)
				}
			}
		}
	}
	slices.Sort(keys)
	longest, late := int64(0), 0
	var total, stretches int64
	for _, w := range windows {
		total += w.To - w.From
	}
	for _, key := range keys {
		slices.Sort(served[key])
		told := false
		for _, s := range inVain(asked[key], served[key], bound/4) {
			if !slices.ContainsFunc(windows, func(w Window) bool { return w.From <= s.From && s.From+bound <= w.To }) {
				continue
			}
			stretches++
			longest = max(longest, s.To-s.From)
			if s.To-s.From > bound && !told {
				told = true
				late++
				if len(v.Details) < maxDetails {
					v.Details = append(v.Details, fmt.Sprintf("Key %s was asked for from %s to %s, and nobody was served.", key, history.Clock(s.From), history.Clock(s.To)))
				}
			}
		}
	}
	v.Counts = []Count{{"seconds without an excuse", total / 1e9}, {"stretches", stretches}, {"keys unserved", int64(late)}, {"longest (ms)", longest / 1e6}}
	switch {
	case late > 0:
		v.Valid, v.Summary = Violation, fmt.Sprintf("%s unserved for longer than %.1f s while a quorum of every range lived", plural(late, "key"), float64(bound)/1e9)
	case stretches == 0:
		v.Summary = fmt.Sprintf("at no time was there a quorum of every range for as long as %.1f s", float64(bound)/1e9)
	default:
		v.Summary = fmt.Sprintf("while a quorum of every range lived, for %d s, no key went unserved for longer than %.3f s", total/1e9, float64(longest)/1e9)
	}
	return v
}

// inVain lists the stretches in which a key was asked for until somebody was served, or
// until for longer than the gap nobody asked any more.
func inVain(asked []Window, served []int64, gap int64) []Window {
	slices.SortFunc(asked, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
	var all []Window
	until := int64(0) // when somebody is served, in the last stretch
	for _, a := range asked {
		n := len(all)
		if n == 0 || a.From >= until || a.From-all[n-1].To > gap {
			i, _ := slices.BinarySearch(served, a.From)
			until = history.Never
			if i < len(served) {
				until = served[i]
			}
			all = append(all, Window{a.From, a.From})
			n++
		}
		all[n-1].To = max(all[n-1].To, min(a.To, until))
	}
	return all
}

// keysOf lists the keys that an action asks for.
func keysOf(a *history.Action) []string {
	if a.F != history.Scan {
		return []string{a.Key}
	}
	var all []string
	for _, row := range a.Arg.Rows() {
		all = append(all, row.Key)
	}
	return all
}
