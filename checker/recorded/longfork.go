package recorded

import (
	"fmt"
	"sort"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// judgeLongFork judges keys that are written once each and read in groups. Reads
// of one group must not disagree about which write came first: of any two, one
// saw all that the other saw. Parallel snapshot isolation permits the fork,
// serializability forbids it, for old snapshots too. The idea is the long-fork
// test of Jepsen.
func judgeLongFork(h *history.History, o Options) []checker.Verdict {
	f := &forks{wrote: map[string]int64{}, groups: map[string]*group{}}
	for i := range h.Ops {
		f.writes(&h.Ops[i])
	}
	for i := range h.Ops {
		f.read(&h.Ops[i], o.Partial)
	}
	pairs, sights := 0, 0
	sort.Slice(f.order, func(i, j int) bool { return f.order[i].name < f.order[j].name })
	for _, g := range f.order {
		pairs += len(g.reads) - 1
		sights += f.compare(g)
	}
	v := checker.Verdict{Check: "long-fork", Valid: checker.OK, Counts: []checker.Count{{Name: "groups", N: int64(len(f.order))}, {Name: "reads", N: int64(pairs + len(f.order))}, {Name: "writes", N: int64(len(f.wrote))}}}
	v.Report(f.found)
	v.Details = append(v.Details, f.warnings...)
	of := fmt.Sprintf("%s of %s", checker.Plural(pairs+len(f.order), "read"), checker.Plural(len(f.order), "group"))
	switch {
	case len(f.found) > 0:
		v.Valid, v.Summary = checker.Violation, fmt.Sprintf("%s among %s", checker.Plural(len(f.found), "problem"), of)
	case f.twice != "":
		v.Valid, v.Summary = checker.Unknown, "the model wants each key written once, and "+f.twice
	case pairs == 0 || sights == 0:
		v.Valid, v.Summary = checker.Vacuous, "nothing to judge: "+of+", and no two of one group that saw a write"
	default:
		v.Summary = "one order of writes explains " + of
	}
	return []checker.Verdict{v}
}

// forks looks for reads that disagree.
type forks struct {
	wrote    map[string]int64 // what was written to a key
	twice    string           // says which key was not written once
	groups   map[string]*group
	order    []*group
	found    []checker.Finding
	warnings []string
}

// group is a set of keys that some reads had in common.
type group struct {
	name  string
	keys  []string
	reads []view
}

// view is what one read saw: which keys of its group were there.
type view struct {
	op   *history.Op
	seen []bool
	n    int
}

// writes notes what an operation may have written.
func (f *forks) writes(op *history.Op) {
	for _, a := range op.Actions {
		n, ok := a.Arg.Int()
		if a.F != history.Write || op.Outcome == history.Fail || !ok {
			continue
		}
		if _, again := f.wrote[a.Key]; again && f.twice == "" {
			f.twice = fmt.Sprintf("op %d writes %s again", op.ID, a.Key)
		}
		f.wrote[a.Key] = n
	}
}

// read adds what an operation saw to its group. One that writes too is left out.
func (f *forks) read(op *history.Op, partial bool) {
	s := statementOf(op)
	if s == nil || len(s.balances) < 2 {
		return
	}
	keys := make([]string, 0, len(s.balances))
	for k := range s.balances {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	w := view{op: op}
	for _, k := range keys {
		n, ok := s.balances[k].Int()
		w.seen = append(w.seen, ok)
		if !ok {
			continue
		}
		w.n++
		was, known := f.wrote[k]
		switch {
		case known && was == n:
		case known && partial && f.twice == "":
			f.twice = fmt.Sprintf("op %d read %d from %s, where %d was as well", op.ID, n, k, was)
		case known && f.twice == "":
			f.found = append(f.found, finding(op, fmt.Sprintf("Key %s: a read found %d, and %d is all that was written.\n  %s", k, n, was, op)))
		case known:
		case partial:
			f.wrote[k] = n
			f.warnings = append(f.warnings, fmt.Sprintf("Warning: nobody wrote %d to %s, and yet it was read by op %d.", n, k, op.ID))
		default:
			f.found = append(f.found, finding(op, fmt.Sprintf("Key %s: a read found %d, which nobody wrote.\n  %s", k, n, op)))
		}
	}
	name := fmt.Sprintf("%q", keys)
	g := f.groups[name]
	if g == nil {
		g = &group{name: name, keys: keys}
		f.groups[name] = g
		f.order = append(f.order, g)
	}
	g.reads = append(g.reads, w)
}

// compare puts the reads of a group in the order of how much they saw. Without a
// fork each saw all that the one before it saw, and so it is enough to compare
// neighbours. It returns how many saw anything.
func (f *forks) compare(g *group) (sights int) {
	reads := append([]view{}, g.reads...)
	sort.SliceStable(reads, func(i, j int) bool { return reads[i].n < reads[j].n })
	for i, r := range reads {
		if r.n > 0 {
			sights++
		}
		if i == 0 {
			continue
		}
		less := reads[i-1]
		var only, missed []string
		for k := range g.keys {
			switch {
			case less.seen[k] && !r.seen[k]:
				only = append(only, g.keys[k])
			case r.seen[k] && !less.seen[k]:
				missed = append(missed, g.keys[k])
			}
		}
		if len(only) > 0 {
			a, b := strings.Join(only, ", "), strings.Join(missed, ", ")
			f.found = append(f.found, checker.Finding{When: max(less.op.Return, r.op.Return), Ops: []int{less.op.ID, r.op.ID},
				Text: fmt.Sprintf("Long fork: op %d saw the write of %s and not that of %s, op %d saw that of %s and not that of %s. No order of the writes explains both.\n  %s\n  %s",
					less.op.ID, a, b, r.op.ID, b, a, less.op, r.op)})
		}
	}
	return sights
}
