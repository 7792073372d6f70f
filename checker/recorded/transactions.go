package recorded

import (
	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/checker/verify"
)

func judgeLists(h *history.History, o Options) []checker.Verdict {
	g := graph.Options{Imported: o.Partial}
	return deciders(h, graph.ListAppend(h, g), g)
}

func judgeTransactions(h *history.History, o Options) []checker.Verdict {
	g := graph.Options{Imported: o.Partial}
	return deciders(h, graph.Registers(h, g), g)
}

// deciders are the graph's verdict with its evidence confirmed, and that of the
// second decider, which goes by the timestamps that the history tells. That counts
// when it decides: a history alone seldom says all that it needs, and then the
// graph's verdict stands by itself.
func deciders(h *history.History, r graph.Result, o graph.Options) []checker.Verdict {
	evidence := verify.Confirm(h, &r, o)
	all := []checker.Verdict{r.Verdict}
	if evidence.Valid != checker.OK {
		all = append(all, evidence)
	}
	if !timed(h) || deletesUnknown(h) {
		return all
	}
	if w, _ := txn.Witness(h, txn.Options{}); w.Valid == checker.OK || w.Valid == checker.Violation {
		all = append(all, w)
	}
	return all
}

// deletesUnknown reports whether the outcome of some deletion is unknown. Without
// the stored versions a witness knows such operations by who saw what they wrote,
// and nothing can be seen of a deletion.
func deletesUnknown(h *history.History) bool {
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if h.Ops[i].Outcome == history.Info && a.F.Writes() && (a.F == history.Delete || a.Arg.IsAbsent()) {
				return true
			}
		}
	}
	return false
}

// timed reports whether a history tells timestamps.
func timed(h *history.History) bool {
	for i := range h.Ops {
		if !h.Ops[i].TS.IsZero() {
			return true
		}
	}
	return false
}

func judgeLongFork(h *history.History, _ Options) []checker.Verdict {
	return []checker.Verdict{txn.LongFork(h, nil)}
}
