package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// Witness judges what the database says of itself: each read must have found the
// newest version at or below its timestamp, among the versions that were applied
// (an operation's own writes apart); no two writers may share a key and a
// timestamp; every acknowledged write must have been applied as acknowledged, and
// nothing applied that nobody tried. It needs no real time at all, so that it
// holds whatever the clocks do, and judges reads of the past as well.
//
// Replaying in the order of the database's own timestamps decides
// serializability in that order at once, where finding an order is NP-complete
// (Papadimitriou 1979). Versions may be given in any order, once for each
// replica; for keys that no operation names they are ignored.
func Witness(h *history.History, versions []Version, o Options) Verdict {
	w := &witness{stored: storedByKey(versions)}
	keys := o.keysOf(h)
	for _, k := range keys {
		if k.undecidable != "" {
			w.skipped++
			continue
		}
		w.key(k, w.stored[k.key], o.initial(k.key))
	}
	v := Verdict{Check: "witness", Valid: OK}
	v.Counts = []Count{{"keys", int64(len(keys))}, {"versions", int64(w.versions)}, {"reads judged", int64(w.reads)},
		{"reads of the past", int64(w.past)}, {"reads without timestamp", int64(w.untimed)}, {"writes found in the store", int64(w.found)}}
	v.report(w.problems)
	switch {
	case len(w.problems) > 0:
		v.Valid = Violation
		v.Summary = fmt.Sprintf("%s with the versions that were applied: %s", disagree(len(w.problems)), plural(w.reads, "read"))
	case w.skipped > 0:
		v.Valid = Unknown
		v.Summary = plural(w.skipped, "key") + " that are no registers cannot be judged"
	case w.reads == 0 || w.versions == 0:
		v.Valid = Vacuous
		v.Summary = fmt.Sprintf("nothing to judge: %s, %s with a timestamp", plural(w.versions, "version"), plural(w.reads, "read"))
	default:
		v.Summary = fmt.Sprintf("each of %s is the newest of %s at or below its timestamp", plural(w.reads, "read"), plural(w.versions, "version"))
	}
	return v
}

func disagree(n int) string {
	if n == 1 {
		return "1 operation disagrees"
	}
	return fmt.Sprintf("%d operations disagree", n)
}

type witness struct {
	stored                                         map[string][]Version
	versions, reads, past, untimed, found, skipped int
	problems                                       []problem
}

func (w *witness) key(k *keyHistory, stored []Version, initial history.Value) {
	w.versions += len(stored)
	for i := 1; i < len(stored); i++ {
		if stored[i].TS == stored[i-1].TS {
			w.problems = append(w.problems, problem{when: stored[i].TS.Wall, key: k.key,
				text: fmt.Sprintf("Key %s: two different values, %s and %s, were applied at one timestamp %s.", k.key, stored[i-1].Value, stored[i].Value, stored[i].TS)})
		}
	}
	w.problems = append(w.problems, k.wrong...)
	writers := map[history.Timestamp]*keyOp{}
	attempted := map[valueID]bool{}
	blanket := false // an addition of unknown outcome may have left any number
	for i := range k.ops {
		op := &k.ops[i]
		switch op.does {
		case doesSet:
			attempted[op.arg] = true
		case doesAdd:
			blanket = true
		}
		if op.does != doesNothing && !op.maybe {
			w.write(k, op, stored, writers)
		}
		if !op.maybe && op.sees != seesNothing {
			w.read(k, op, stored, initial)
		}
	}
	for _, s := range stored {
		if _, isInt := s.Value.Int(); attempted[k.values.id(s.Value)] || blanket && isInt {
			continue
		}
		w.problems = append(w.problems, problem{when: s.TS.Wall, key: k.key,
			text: fmt.Sprintf("Key %s: the store applied %s at %s, which no operation tried to write (or which was reported as certainly failed).", k.key, s.Value, s.TS)})
	}
}

// write looks for an acknowledged write in the store.
func (w *witness) write(k *keyHistory, op *keyOp, stored []Version, writers map[history.Timestamp]*keyOp) {
	ts := op.op.TS
	if ts.IsZero() {
		w.untimed++
		return
	}
	if other := writers[ts]; other != nil {
		w.problems = append(w.problems, problem{when: max(op.end, other.end), key: k.key, ops: []int{other.op.ID, op.op.ID},
			text: fmt.Sprintf("Key %s: two writers at one timestamp.\n  %s\n  %s", k.key, other.op, op.op)})
	}
	writers[ts] = op
	i := atOrBelow(stored, ts)
	if i < 0 || stored[i].TS != ts {
		w.problems = append(w.problems, problem{when: op.end, key: k.key, ops: []int{op.op.ID},
			text: fmt.Sprintf("Key %s: %s was acknowledged, but the store never applied a version at that timestamp.", k.key, op.op)})
		return
	}
	w.found++
	if op.does == doesSet && k.values.id(stored[i].Value) != op.arg {
		w.problems = append(w.problems, problem{when: op.end, key: k.key, ops: []int{op.op.ID},
			text: fmt.Sprintf("Key %s: %s was acknowledged, but the store applied %s at that timestamp.", k.key, op.op, stored[i].Value)})
	}
}

// read compares what was found with the newest version at or below the
// timestamp; for an operation that also writes the key, strictly below.
func (w *witness) read(k *keyHistory, op *keyOp, stored []Version, initial history.Value) {
	ts := op.op.TS
	if ts.IsZero() {
		w.untimed++
		return
	}
	w.reads++
	if op.op.Stale {
		w.past++
	}
	i := atOrBelow(stored, ts)
	if op.does != doesNothing && i >= 0 && stored[i].TS == ts {
		i--
	}
	want, from := initial, "the value at the beginning"
	if i >= 0 {
		want, from = stored[i].Value, "version "+stored[i].TS.String()
	}
	if k.matches(op, k.values.id(want)) {
		return
	}
	w.problems = append(w.problems, problem{when: op.end, key: k.key, ops: []int{op.op.ID},
		text: fmt.Sprintf("Key %s: %s should have found %s (%s), the newest at its timestamp.", k.key, op.op, want, from)})
}

// atOrBelow is the index of the newest version at or below ts, or -1.
func atOrBelow(stored []Version, ts history.Timestamp) int {
	return sort.Search(len(stored), func(i int) bool { return stored[i].TS.Compare(ts) > 0 }) - 1
}
