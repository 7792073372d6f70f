package txn

import (
	"fmt"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Predicate judges inserts that each looked first whether anybody had inserted: of
// a group of keys at most one may be there, since each transaction inserts only
// when it finds none (G2 by predicate, Adya 1999; the shape is Jepsen's test g2).
// The group of a key is what stands before its last slash, unless group says
// otherwise. Transactions of unknown outcome count when their key is seen.
func Predicate(h *history.History, universe []string, group func(key string) string) checker.Verdict {
	if group == nil {
		group = func(key string) string { return key[:max(0, strings.LastIndexByte(key, '/'))] }
	}
	if universe == nil {
		universe = named(h)
	}
	v := checker.Verdict{Check: "g2"}
	inserted := map[string]*history.Op{}
	var order []string
	var fs []checker.Finding
	var acknowledged, refused, blind int
	for i := range h.Ops {
		op := &h.Ops[i]
		wrote := ""
		looked, taken := map[string]bool{}, map[string]bool{} // by group
		for _, s := range sights(op, universe) {
			looked[group(s.key)] = true
			if !s.value.IsAbsent() {
				taken[group(s.key)] = true
			}
		}
		for _, a := range op.Actions {
			if a.F.Writes() {
				wrote = a.Key
			}
		}
		switch {
		case op.Outcome != history.OK:
			refused++
			continue
		case wrote == "":
			continue
		}
		acknowledged++
		g := group(wrote)
		if !looked[g] {
			blind++
			continue
		}
		if taken[g] {
			fs = append(fs, checker.Finding{When: op.Return, Key: g, Ops: []int{op.ID},
				Text: fmt.Sprintf("Group %s: this transaction inserted although it had found something there.\n  %s", g, title(op))})
		}
		if first := inserted[g]; first != nil {
			fs = append(fs, checker.Finding{When: max(first.Return, op.Return), Key: g, Ops: []int{first.ID, op.ID},
				Text: fmt.Sprintf("Group %s: two transactions found it empty and both inserted. Each missed what the other wrote (G2).\n  %s\n  %s", g, title(first), title(op))})
			continue
		}
		inserted[g] = op
		order = append(order, g)
	}
	// What anybody saw of a group must be one key.
	for i := range h.Ops {
		op := &h.Ops[i]
		in := map[string]string{}
		for _, s := range sights(op, universe) {
			g := group(s.key)
			if s.value.IsAbsent() || in[g] == s.key {
				continue
			}
			if other := in[g]; other != "" {
				fs = append(fs, checker.Finding{When: op.Return, Key: g, Ops: []int{op.ID},
					Text: fmt.Sprintf("Group %s: %s and %s were both there.\n  %s", g, other, s.key, title(op))})
				break
			}
			in[g] = s.key
		}
	}
	v.Counts = []checker.Count{{Name: "inserts acknowledged", N: int64(acknowledged)}, {Name: "groups with an insert", N: int64(len(order))},
		{Name: "refused or unknown", N: int64(refused)}, {Name: "inserts that did not look", N: int64(blind)}}
	return settle(v, fs, fmt.Sprintf("%s broken by predicate", checker.Plural(len(fs), "promise")), fmt.Sprintf("%s have one insert each", checker.Plural(len(order), "group")),
		"nobody inserted after looking", len(order) > 0)
}
