package recorded

import (
	"fmt"
	"math"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// search are the bounds of a search: here only its work counts, since somebody
// asked for this history and waits.
func search(o Options) checker.Options {
	return checker.Options{MaxOps: math.MaxInt, MaxConcurrency: math.MaxInt, MaxSteps: o.Steps}
}

// judgeRegisters sweeps along timestamps where the history has some, and searches
// where it has none.
func judgeRegisters(h *history.History, o Options) []checker.Verdict {
	if timed(h) {
		return checker.Registers(h, search(o)).Verdicts
	}
	return judgeKV(h, o)
}

func judgeKV(h *history.History, o Options) []checker.Verdict {
	v, _ := checker.Porcupine(h, search(o))
	return []checker.Verdict{v}
}

// judgeEtcd takes every cas that failed for one that found another value.
func judgeEtcd(h *history.History, o Options) []checker.Verdict {
	told := &history.History{Ops: append([]history.Op{}, h.Ops...)}
	for i := range told.Ops {
		op := &told.Ops[i]
		if op.Outcome == history.Fail && len(op.Actions) == 1 && op.Actions[0].F == history.CAS {
			op.Err = history.ConditionFailed
		}
	}
	return judgeRegisters(told, o)
}

func judgeSet(h *history.History, _ Options) []checker.Verdict {
	return []checker.Verdict{checker.SetDurable(h, checker.Options{})}
}

// judgeCounter judges a counter. Additions that nobody read afterwards make a run
// of ours vacuous: it was to end with a read. The part of a history that has none
// contradicts nothing, which is what can be said of it.
func judgeCounter(h *history.History, o Options) []checker.Verdict {
	v := checker.Counter(h, checker.Options{})
	if n := v.Count("additions acknowledged"); o.Partial && v.Valid == checker.Vacuous && n > 0 {
		v.Valid = checker.OK
		v.Summary = fmt.Sprintf("nothing contradicts %d additions; warning: no read follows the last, so that none was lost is not shown", n)
	}
	return []checker.Verdict{v}
}
