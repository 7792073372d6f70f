package recorded

import (
	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
)

func judgeLists(h *history.History, o Options) []checker.Verdict {
	return []checker.Verdict{graph.ListAppend(h, graph.Options{Imported: o.Partial}).Verdict}
}

func judgeTransactions(h *history.History, o Options) []checker.Verdict {
	return []checker.Verdict{graph.Registers(h, graph.Options{Imported: o.Partial}).Verdict}
}

func judgeLongFork(h *history.History, _ Options) []checker.Verdict {
	return []checker.Verdict{txn.LongFork(h, nil)}
}
