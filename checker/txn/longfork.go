package txn

import (
	"fmt"
	"sort"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// LongFork looks for two transactions that saw two writes in opposite order: one
// saw x and not y, the other y and not x. Parallel snapshot isolation allows it
// (Sovran et al., 2011), serializability does not, whatever the clocks do. Each key
// is written once; transactions that saw the same keys are compared.
func LongFork(h *history.History, universe []string) checker.Verdict {
	v := checker.Verdict{Check: "long-fork"}
	if universe == nil {
		universe = named(h)
	}
	writers := map[string]int{}
	twice := ""
	for i := range h.Ops {
		if h.Ops[i].Outcome == history.Fail {
			continue
		}
		for _, a := range h.Ops[i].Actions {
			if a.F.Writes() {
				if writers[a.Key]++; writers[a.Key] == 2 && twice == "" {
					twice = a.Key
				}
			}
		}
	}
	type read struct {
		op    *history.Op
		keys  []string
		has   []bool
		count int
	}
	groups := map[string][]read{}
	var order []string
	reads := 0
	for i := range h.Ops {
		op := &h.Ops[i]
		seen := sights(op, universe)
		sort.SliceStable(seen, func(a, b int) bool { return seen[a].key < seen[b].key })
		r := read{op: op}
		for j, s := range seen {
			if j > 0 && seen[j-1].key == s.key {
				continue
			}
			r.keys, r.has = append(r.keys, s.key), append(r.has, !s.value.IsAbsent())
			if !s.value.IsAbsent() {
				r.count++
			}
		}
		if len(r.keys) < 2 {
			continue
		}
		reads++
		name := strings.Join(r.keys, "\x00")
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], r)
	}
	var fs []checker.Finding
	for _, name := range order {
		// Sorted by how much they saw, reads that agree on an order of writes contain
		// each other like the beginnings of one list.
		g := groups[name]
		sort.SliceStable(g, func(a, b int) bool { return g[a].count < g[b].count })
		for i := 1; i < len(g); i++ {
			a, b := &g[i-1], &g[i]
			onlyA, onlyB := "", ""
			for j := range a.keys {
				if a.has[j] && !b.has[j] && onlyA == "" {
					onlyA = a.keys[j]
				}
				if b.has[j] && !a.has[j] && onlyB == "" {
					onlyB = b.keys[j]
				}
			}
			if onlyA == "" {
				continue
			}
			if onlyB == "" {
				onlyB = "nothing more"
			}
			fs = append(fs, checker.Finding{When: max(a.op.Return, b.op.Return), Key: onlyA, Ops: []int{a.op.ID, b.op.ID},
				Text: fmt.Sprintf("One transaction saw %s and not %s, the other %s and not %s: no order of the two writes explains both.\n  %s\n  %s", onlyA, onlyB, onlyB, onlyA, title(a.op), title(b.op))})
		}
	}
	v.Counts = []checker.Count{{Name: "keys written", N: int64(len(writers))}, {Name: "reads of groups", N: int64(reads)}, {Name: "groups", N: int64(len(order))}}
	if twice != "" {
		v.Valid, v.Summary = checker.Unknown, "key "+twice+" is written more than once: what was seen has no one order"
		return v
	}
	return settle(v, fs, checker.Plural(len(fs), "long fork"), fmt.Sprintf("%s of groups agree on one order of writes", checker.Plural(reads, "read")),
		"nobody read two keys together that somebody wrote", reads > 1 && len(writers) > 1)
}
