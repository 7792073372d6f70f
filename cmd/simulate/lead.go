package main

import (
	"fmt"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/report"
	"simulacrum/scenarios"
)

// maxLeads bounds the operations of which a report tells how they came to their
// answers.
const maxLeads = 16

// ledBy lists the operations of the first example of each violation: those of which
// a reader will want to know the events.
func ledBy(verdicts []checker.Verdict) []int {
	var ops []int
	for _, v := range verdicts {
		if v.Valid != checker.Violation || len(v.Figures) == 0 {
			continue
		}
		for _, id := range v.Figures[0].Ops {
			if len(ops) < maxLeads && !slices.Contains(ops, id) {
				ops = append(ops, id)
			}
		}
	}
	return ops
}

// leads makes a run that violated something again, for the events of its examples,
// and notes the commands that tell more. A run that does not repeat itself is an
// internal error: that is what everything rests on.
func leads(q request, res *scenarios.Result, out *result) ([]report.Lead, error) {
	ops := ledBy(res.Verdicts)
	if len(ops) == 0 {
		return nil, nil
	}
	found, err := res.Leads(ops)
	if err != nil {
		return nil, err
	}
	var list []report.Lead
	for _, l := range found {
		lead := report.Lead{Op: l.Op, Why: fmt.Sprintf("%s -why %d", q.command("go run ./cmd/simulate"), l.Answer)}
		for i := range l.Events {
			e := &l.Events[i]
			lead.Events = append(lead.Events, report.Event{Number: e.Number, At: int64(e.At), Machine: e.Machine, Text: e.Doing(), Notes: e.Notes})
		}
		list = append(list, lead)
		out.Leads = append(out.Leads, leadTo{Op: l.Op, Answer: l.Answer})
	}
	return list, nil
}
