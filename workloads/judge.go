package workloads

import (
	"slices"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/checker/verify"
)

// Transactions are judged twice: by the dependencies that their reads prove, and by
// the order of their commit timestamps. That the two do not contradict each other
// is a verdict of its own, and so is that package verify confirms what they show.

// judgeRegisters judges transactions of registers, whose keys are universe.
func (b *base) judgeRegisters(h *history.History, ctx Context, universe []string) []checker.Verdict {
	o := graph.Options{Universe: universe, Versions: ctx.Versions, SkewExceeded: ctx.Skewed, Session: session, CausalReverse: true}
	return b.judge(h, ctx, graph.Registers(h, o), o)
}

// judgeLists judges transactions of lists.
func (b *base) judgeLists(h *history.History, ctx Context, universe []string) []checker.Verdict {
	o := graph.Options{Universe: universe, Versions: ctx.Versions, SkewExceeded: ctx.Skewed, Session: session, CausalReverse: true}
	return b.judge(h, ctx, graph.ListAppend(h, o), o)
}

func (b *base) judge(h *history.History, ctx Context, g graph.Result, o graph.Options) []checker.Verdict {
	to := txn.Options{Universe: o.Universe, Versions: o.Versions}
	w, order := txn.Witness(h, to)
	evidence, second := verify.Confirm(h, &g, o), verify.ConfirmWitness(h, &w, order, o)
	if evidence.Valid == checker.OK && (second.Valid != checker.OK || g.Verdict.Confirmed == "") {
		evidence = second // one verdict on both: what was refused, or else what was confirmed
	}
	all := []checker.Verdict{g.Verdict, w, txn.Agreement(g, w), evidence}
	if b.Txn.CommitWait && !ctx.Skewed {
		all = append(all, txn.Strict(h, to))
	}
	return all
}

// session names whose transactions follow each other: those of one client by one
// incarnation of a gateway. What was done outside of transactions belongs to none,
// for nobody knows which incarnation did it.
func session(op *history.Op) string {
	if !strings.Contains(op.Gateway, "/") {
		return ""
	}
	return op.Client + "@" + op.Gateway
}

// restrict is a history of some keys alone. Operations that have none are left out.
func restrict(h *history.History, part string) *history.History {
	out := &history.History{}
	for i := range h.Ops {
		op := h.Ops[i]
		op.Actions = nil
		for _, a := range h.Ops[i].Actions {
			if partOf(a.Key) == part {
				op.Actions = append(op.Actions, a)
			}
		}
		if len(op.Actions) > 0 {
			out.Ops = append(out.Ops, op)
		}
	}
	return out
}

// versionsOf are the versions of some keys alone; nil if nobody collected any.
func versionsOf(ctx Context, part string) []checker.Version {
	if ctx.Versions == nil {
		return nil
	}
	out := []checker.Version{}
	for _, v := range ctx.Versions {
		if partOf(v.Key) == part {
			out = append(out, v)
		}
	}
	return out
}

// partOf is the second part of a key, which names what it belongs to.
func partOf(key string) string {
	_, rest, _ := strings.Cut(key, "/")
	part, _, _ := strings.Cut(rest, "/")
	return part
}

// keysOf lists the keys that a history or a store names, sorted.
func keysOf(h *history.History, versions []checker.Version) []string {
	var all []string
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			all = append(all, a.Key)
			for _, r := range a.Arg.Rows() {
				all = append(all, r.Key)
			}
		}
	}
	for _, v := range versions {
		all = append(all, v.Key)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
