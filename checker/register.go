package checker

import (
	"fmt"
	"math"
	"sort"

	"simulacrum/checker/history"
)

// Options say what the checks of registers know beside the history.
type Options struct {
	// Keys to judge; nil means all.
	Keys []string
	// Universe is what a scan covers that does not say so itself. Nil means every
	// key named by another action.
	Universe []string
	// Initial is the value of a key before the first operation; nil means Absent.
	Initial func(key string) history.Value
	// Versions are all versions that the database applied, any order. Nil means
	// that nobody collected them: then an operation of unknown outcome is known
	// by who saw it.
	Versions []Version
	// SkewExceeded: clocks have left their bounds, where the database promises
	// less: writes stay linearizable, and a read finds some version written before
	// the read ended. Stale reads are counted and not failed.
	SkewExceeded bool
	// MaxOps, MaxConcurrency and MaxSteps bound the search of Porcupine for each
	// key; 0 means 5,000 operations, 14 at once, 400,000 steps of the model.
	MaxOps, MaxConcurrency, MaxSteps int
	// Sample is how many of the keys that the sweep decided Porcupine checks as
	// well, spread evenly; 0 means 16, negative means none.
	Sample int
}

func (o *Options) initial(key string) history.Value {
	if o.Initial == nil {
		return history.NoKey()
	}
	return o.Initial(key)
}

// keysOf filters the keys of a history.
func (o *Options) keysOf(h *history.History) []*keyHistory {
	all := splitKeys(h, o.Universe)
	if o.Keys == nil {
		return all
	}
	want := map[string]bool{}
	for _, k := range o.Keys {
		want[k] = true
	}
	var out []*keyHistory
	for _, k := range all {
		if want[k.key] {
			out = append(out, k)
		}
	}
	return out
}

// storedByKey groups the stored versions, each key's by timestamp, equal ones
// once: replicas apply the same command more than once between them.
func storedByKey(vs []Version) map[string][]Version {
	if vs == nil {
		return nil
	}
	by := map[string][]Version{}
	for _, v := range vs {
		by[v.Key] = append(by[v.Key], v)
	}
	for key, list := range by { //determinism:ok each key's list is sorted alone
		sort.SliceStable(list, func(i, j int) bool { return list[i].TS.Compare(list[j].TS) < 0 })
		n := 0
		for i, v := range list {
			if i > 0 && list[n-1].TS == v.TS && list[n-1].Value.Equal(v.Value) {
				continue
			}
			list[n] = v
			n++
		}
		by[key] = list[:n]
	}
	return by
}

// KeyResult is what one decider concluded about one key.
type KeyResult struct {
	Key   string
	Valid Valid
	// Why says why it is unknown, or where a search got stuck.
	Why string
	// Witness are the operations that Why shows of a violation.
	Witness []int
	// Ops and Concurrency measure the key: operations that say anything about it,
	// and how many were open at once.
	Ops, Concurrency int
	// Steps is the work of a search, in steps of its model.
	Steps int
}

// tally is what a register verdict rests on.
type tally struct {
	reads, writes, resolved, unresolved, stale int
	searched                                   int // operations on keys that only the search decided
	problems                                   []problem
	keys                                       []KeyResult
}

// Register decides by a linear sweep whether each key is linearizable in the
// order of its timestamps. Keys without a known order are unknown here; Registers
// asks Porcupine about them.
func Register(h *history.History, o Options) Verdict {
	t := sweepAll(o.keysOf(h), &o)
	return t.verdict(o.SkewExceeded)
}

func sweepAll(keys []*keyHistory, o *Options) *tally {
	t := &tally{}
	stored := storedByKey(o.Versions)
	for _, k := range keys {
		var list []Version
		if stored != nil {
			if list = stored[k.key]; list == nil {
				list = []Version{}
			}
		}
		t.keys = append(t.keys, t.key(k, o, list))
	}
	return t
}

// key sweeps one key and keeps what was found.
func (t *tally) key(k *keyHistory, o *Options, stored []Version) KeyResult {
	r := KeyResult{Key: k.key, Ops: len(k.ops), Concurrency: k.concurrency()}
	if k.undecidable != "" {
		r.Why = k.undecidable
		return r
	}
	ord := k.order(o.initial(k.key), stored)
	if ord.why != "" {
		r.Why = ord.why
		return r
	}
	s := k.run(&ord, o.SkewExceeded)
	problems := append(append([]problem{}, k.wrong...), ord.wrong...)
	problems = append(problems, k.explainAll(&ord, &s)...)
	r.Valid = OK
	switch {
	case len(problems) > 0 && ord.uncertain != "":
		r.Valid, r.Why = Unknown, "it fits no order tried, but "+ord.uncertain
		return r
	case len(problems) > 0:
		r.Valid = Violation
		t.problems = append(t.problems, problems...)
	case s.gaveUp:
		r.Valid, r.Why = Unknown, fmt.Sprintf("its reads could not be given to versions in %d passes", maxPasses)
	}
	t.reads += s.reads
	t.writes += len(ord.versions) - 1
	t.resolved += ord.resolved
	t.stale += len(s.stale)
	for i := range k.ops {
		if k.ops[i].maybe && k.ops[i].does != doesNothing {
			t.unresolved++
		}
	}
	t.unresolved -= ord.resolved
	return r
}

func (t *tally) verdict(loose bool) Verdict {
	v := Verdict{Check: "register", Valid: OK}
	unknown, bad := 0, 0
	for _, k := range t.keys {
		switch k.Valid {
		case Unknown:
			unknown++
			if unknown <= 3 {
				v.Details = append(v.Details, fmt.Sprintf("Key %s is not decided by the sweep: %s.", k.Key, k.Why))
			}
		case Violation:
			bad++
		}
	}
	v.Counts = []Count{
		{"keys", int64(len(t.keys))}, {"keys undecided", int64(unknown)}, {"versions", int64(t.writes)}, {"reads", int64(t.reads)},
		{"unknown outcomes that happened", int64(t.resolved)}, {"unknown outcomes never seen", int64(t.unresolved)},
	}
	if loose {
		v.Counts = append(v.Counts, Count{"stale reads", int64(t.stale)})
	}
	notes := v.Details
	v.Details = nil
	v.report(t.problems)
	v.Details = append(v.Details, notes...)
	of := fmt.Sprintf("%s, %s, %s", plural(len(t.keys), "key"), plural(t.writes, "version"), plural(t.reads, "read"))
	switch {
	case bad > 0:
		v.Valid = Violation
		v.Summary = fmt.Sprintf("not linearizable: %s on %s (of %s)", plural(len(t.problems), "problem"), plural(bad, "key"), of)
	case unknown > 0:
		v.Valid = Unknown
		v.Summary = fmt.Sprintf("%s undecided of %s", plural(unknown, "key"), of)
	case (t.writes == 0 || t.reads == 0) && t.searched == 0:
		v.Valid = Vacuous
		v.Summary = fmt.Sprintf("nothing to judge: %s", of)
	case loose:
		v.Summary = fmt.Sprintf("writes are linearizable; clocks were out of bounds and %s stale (%s)", isAre(t.stale, "read"), of)
	default:
		v.Summary = "linearizable in the order of timestamps: " + of
	}
	return v
}

func isAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " was"
	}
	return fmt.Sprintf("%d %ss were", n, noun)
}

// concurrency is how many operations on the key were open at one moment, at most.
func (k *keyHistory) concurrency() int {
	type edge struct {
		at   int64
		open int
	}
	edges := make([]edge, 0, 2*len(k.ops))
	for i := range k.ops {
		o := &k.ops[i]
		edges = append(edges, edge{o.call, 1})
		if o.end != math.MaxInt64 {
			edges = append(edges, edge{o.end, -1})
		}
	}
	sort.Slice(edges, func(i, j int) bool {
		if edges[i].at != edges[j].at {
			return edges[i].at < edges[j].at
		}
		return edges[i].open > edges[j].open // intervals are closed
	})
	now, most := 0, 0
	for _, e := range edges {
		now += e.open
		most = max(most, now)
	}
	return most
}
