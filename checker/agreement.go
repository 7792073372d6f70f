package checker

import (
	"fmt"

	"simulacrum/checker/history"
)

// RegisterResult is what the deciders of registers concluded together.
type RegisterResult struct {
	// Verdicts are "register", and where it applied "porcupine" and "agreement".
	Verdicts []Verdict
	Keys     []KeyResult // by the sweep, or by Porcupine where there was no order
	Searched []KeyResult // by Porcupine
	// PictureKey is the key most worth a picture: one that failed, or else one
	// that the search passed. Empty when there is none.
	PictureKey string
}

// Registers decides registers by both means: the sweep along timestamps, and
// Porcupine for keys without an order, for keys that failed, and for a sample of
// the rest. That the two contradict each other is a verdict of its own.
//
// They can differ without a bug in one direction only. The sweep knows the order
// that the database claims, so a key may fail it although some other order would
// explain the answers: then the timestamps are wrong, which is a violation. What
// the sweep passes it has ordered, so Porcupine must pass it as well.
func Registers(h *history.History, o Options) RegisterResult {
	t := sweepAll(o.keysOf(h), &o)
	var out RegisterResult
	if o.SkewExceeded {
		// The search knows no reads that may be stale.
		out.Verdicts, out.Keys = []Verdict{t.verdict(true)}, t.keys
		out.PictureKey = pictureKey(t.keys, nil)
		return out
	}
	pick := pickForSearch(t.keys, &o)
	bySearch := map[string]KeyResult{}
	if len(pick) > 0 {
		maxOps, _, _ := o.bounds()
		for _, k := range searchKeys(h, &o) {
			if why, ok := pick[k.key]; ok {
				if why == OK {
					k = k.prefix(maxOps)
				}
				r := k.search(&o)
				bySearch[k.key] = r
			}
		}
	}
	cross := map[string]KeyResult{}
	for i, k := range t.keys {
		r, ok := bySearch[k.Key]
		if !ok {
			continue
		}
		if k.Valid == Unknown {
			t.adopt(i, r)
			out.Searched = append(out.Searched, r)
		} else if r.Valid != Unknown {
			cross[k.Key] = r
			out.Searched = append(out.Searched, r)
		}
	}
	v := t.verdict(false)
	v.Counts = append(v.Counts, Count{"keys also searched", int64(len(cross))})
	out.Verdicts, out.Keys = []Verdict{v}, t.keys
	if len(out.Searched) > 0 {
		sv := searchVerdict(out.Searched)
		out.Verdicts = append(out.Verdicts, sv)
	}
	if len(cross) > 0 {
		out.Verdicts = append(out.Verdicts, agreement(t.keys, cross))
	}
	out.PictureKey = pictureKey(t.keys, out.Searched)
	return out
}

// pickForSearch chooses the keys for Porcupine, with what the sweep said of each.
func pickForSearch(keys []KeyResult, o *Options) map[string]Valid {
	pick := map[string]Valid{}
	var rest []string
	for _, k := range keys {
		if k.Valid == OK {
			rest = append(rest, k.Key)
		} else {
			pick[k.Key] = k.Valid
		}
	}
	n := o.Sample
	if n == 0 {
		n = defaultSample
	}
	for i := 0; i < n && n <= len(rest); i++ {
		pick[rest[i*len(rest)/n]] = OK
	}
	if n > len(rest) {
		for _, k := range rest {
			pick[k] = OK
		}
	}
	return pick
}

// adopt takes the search's word for a key that the sweep could not decide.
func (t *tally) adopt(i int, r KeyResult) {
	why := t.keys[i].Why
	t.keys[i].Valid, t.keys[i].Steps = r.Valid, r.Steps
	switch r.Valid {
	case Unknown:
		t.keys[i].Why = why + "; the search does not decide it either: " + r.Why
	case Violation:
		t.problems = append(t.problems, problem{key: r.Key, when: history.Never, ops: r.Witness,
			text: fmt.Sprintf("Key %s: no order of its %d operations explains what they found (decided by search: %s). %s", r.Key, r.Ops, why, r.Why)})
	default:
		t.searched += r.Ops
	}
}

// agreement compares what both deciders decided.
func agreement(keys []KeyResult, search map[string]KeyResult) Verdict {
	v := Verdict{Check: "agreement", Valid: OK}
	var both, order, contradictions int64
	for _, k := range keys {
		r, ok := search[k.Key]
		if !ok {
			continue
		}
		both++
		switch {
		case k.Valid == OK && r.Valid == Violation:
			contradictions++
			v.Details = append(v.Details, fmt.Sprintf("Key %s: the sweep put its operations in order and Porcupine says that there is none. This is a bug of a checker, not of the database.", k.Key))
		case k.Valid == Violation && r.Valid == OK:
			order++
			v.Details = append(v.Details, fmt.Sprintf("Key %s: some order explains what its clients found, but not the order of the timestamps (or not the versions in the store). The fault is in those.", k.Key))
		}
	}
	v.Counts = []Count{{"keys decided twice", both}, {"contradictions", contradictions}, {"wrong in the order of timestamps only", order}}
	v.Summary = fmt.Sprintf("sweep and search agree on %s", plural(int(both), "key"))
	if contradictions > 0 {
		v.Valid, v.Summary = Violation, fmt.Sprintf("sweep and search contradict each other on %s: a bug of a checker", plural(int(contradictions), "key"))
	}
	return v
}

// pictureKey prefers a violation with few operations, then a searched key.
func pictureKey(keys, searched []KeyResult) string {
	best, rank := "", -1
	ops := 0
	consider := func(k KeyResult, r int) {
		if r > rank || r == rank && k.Ops < ops {
			best, rank, ops = k.Key, r, k.Ops
		}
	}
	for _, k := range searched {
		if k.Valid == Violation {
			consider(k, 3)
		} else if k.Valid == OK {
			consider(k, 1)
		}
	}
	for _, k := range keys {
		if k.Valid == Violation {
			consider(k, 2)
		} else {
			consider(k, 0)
		}
	}
	return best
}

// PictureKey chooses the key to draw when all that is left of the checks are their
// verdicts: the key of the first witness of the first violation, or else, of the
// keys that the caller names, the one with the most operations that a picture
// shows whole. Empty when nothing suits.
func PictureKey(h *history.History, verdicts []Verdict, keys []string) string {
	wanted := map[string]bool{}
	for _, k := range keys {
		wanted[k] = true
	}
	n := map[string]int{}
	witness := map[int]string{}
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if wanted[a.Key] {
				n[a.Key]++
				if witness[h.Ops[i].ID] == "" {
					witness[h.Ops[i].ID] = a.Key
				}
			}
		}
	}
	for _, v := range verdicts {
		if v.Valid == Violation && len(v.Ops) > 0 && witness[v.Ops[0]] != "" {
			return witness[v.Ops[0]]
		}
	}
	best := ""
	for _, k := range keys {
		if c := n[k]; c > 0 && c <= pictureOps && (best == "" || c > n[best] || c == n[best] && k < best) {
			best = k
		}
	}
	return best
}
