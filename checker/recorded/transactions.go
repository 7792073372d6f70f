package recorded

import (
	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
)

func judgeLists(h *history.History, o Options) []checker.Verdict {
	return witnessed(h, graph.ListAppend(h, graph.Options{Imported: o.Partial}).Verdict)
}

func judgeTransactions(h *history.History, o Options) []checker.Verdict {
	return witnessed(h, graph.Registers(h, graph.Options{Imported: o.Partial}).Verdict)
}

// witnessed adds the second decider, which goes by the timestamps that the history
// tells. It counts when it decides: a history alone seldom says all that it needs,
// and then the graph's verdict stands by itself.
func witnessed(h *history.History, v checker.Verdict) []checker.Verdict {
	if !timed(h) || deletesUnknown(h) {
		return []checker.Verdict{v}
	}
	w, _ := txn.Witness(h, txn.Options{})
	if w.Valid == checker.Unknown || w.Valid == checker.Vacuous {
		return []checker.Verdict{v}
	}
	return []checker.Verdict{v, w}
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
