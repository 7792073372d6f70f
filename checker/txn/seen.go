package txn

import (
	"sort"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// sight is a key as one transaction found it, before it wrote there itself.
type sight struct {
	key   string
	value history.Value
}

// sights lists what an acknowledged transaction found, in the order in which it
// looked; of a scan every key of the universe that its span covers.
func sights(op *history.Op, universe []string) []sight {
	if op.Outcome != history.OK {
		return nil
	}
	var out []sight
	own := map[string]bool{}
	see := func(key string, v history.Value) {
		if !own[key] && !v.IsNone() {
			out = append(out, sight{key, v})
		}
	}
	for i := range op.Actions {
		a := &op.Actions[i]
		switch {
		case a.F == history.Read:
			see(a.Key, a.Result)
		case a.F == history.CAS:
			see(a.Key, a.Expect)
		case a.F == history.Scan && !a.Result.IsNone():
			found := map[string]history.Value{}
			for _, r := range a.Result.Rows() {
				found[r.Key] = r.Value
			}
			covered := universe
			if rows := a.Arg.Rows(); rows != nil {
				covered = make([]string, 0, len(rows))
				for _, r := range rows {
					covered = append(covered, r.Key)
				}
			}
			for _, key := range covered {
				if v, ok := found[key]; ok {
					see(key, v)
				} else {
					see(key, history.NoKey())
				}
				delete(found, key)
			}
			extra := make([]string, 0, len(found))
			for key := range found {
				extra = append(extra, key)
			}
			sort.Strings(extra)
			for _, key := range extra {
				see(key, found[key])
			}
		}
		if a.F.Writes() {
			own[a.Key] = true
		}
	}
	return out
}

// named lists the keys that a history names, sorted.
func named(h *history.History) []string {
	seen := map[string]bool{}
	var out []string
	for i := range h.Ops {
		for j := range h.Ops[i].Actions {
			if a := &h.Ops[i].Actions[j]; a.F != history.Scan && !seen[a.Key] {
				seen[a.Key] = true
				out = append(out, a.Key)
			}
		}
	}
	sort.Strings(out)
	return out
}

// settle gives a verdict its outcome: violations first, then vacuity.
func settle(v checker.Verdict, fs []checker.Finding, bad, fine, little string, enough bool) checker.Verdict {
	v.Report(fs)
	switch {
	case len(fs) > 0:
		v.Valid, v.Summary = checker.Violation, bad
	case !enough:
		v.Valid, v.Summary = checker.Vacuous, little
	default:
		v.Valid, v.Summary = checker.OK, fine
	}
	return v
}
