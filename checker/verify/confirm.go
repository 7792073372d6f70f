package verify

import (
	"fmt"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
)

// Evidence is the name of the verdicts that Confirm gives.
const Evidence = "evidence"

// Confirm holds the evidence of a result against the history that it is about, and
// says in the result's verdict what it confirmed. The verdict that it returns is
// about the checker, under the name Evidence: a violation of it means that the
// checker, and not the database, is wrong. It is ok, and says so, when there was no
// evidence to hold against anything: for an unknown, a pass of registers without
// stored versions, a violation that needs no cycle.
func Confirm(h *history.History, r *graph.Result, o graph.Options) checker.Verdict {
	v := checker.Verdict{Check: Evidence, Valid: checker.OK, Summary: fmt.Sprintf("%s gave no evidence that could be confirmed", r.Verdict.Check)}
	var refused error
	cycles := 0
	for _, a := range r.Anomalies {
		if a.Cycle == nil {
			continue
		}
		if err := Cycle(h, a.Cycle, o); err != nil {
			refused = fmt.Errorf("the cycle %s of %s: %w", a.Name, checker.Plural(len(a.Cycle.Edges), "transaction"), err)
			break
		}
		cycles++
	}
	if r.Order != nil && refused == nil {
		if err := Order(h, r.Order, o); err != nil {
			refused = fmt.Errorf("the serial order: %w", err)
		}
	}
	switch {
	case refused != nil:
		v.Valid = checker.Violation
		v.Summary = "a bug of the checker " + r.Verdict.Check + ", whose evidence does not hold: " + refused.Error()
		return v
	case r.Order != nil:
		r.Verdict.Confirmed = fmt.Sprintf("verify replayed the serial order of %s", checker.Plural(len(r.Order), "transaction"))
	case cycles > 0:
		r.Verdict.Confirmed = fmt.Sprintf("verify derived each edge of %s again", checker.Plural(cycles, "cycle"))
	default:
		return v
	}
	v.Summary = r.Verdict.Check + ": " + r.Verdict.Confirmed
	return v
}

// ConfirmWitness replays the order of timestamps that passes a verdict, and says so
// in it. Only what was read counts: whether timestamps keep real time is for the
// graph to say. The verdict that it returns is about the checker, as Confirm's is.
func ConfirmWitness(h *history.History, w *checker.Verdict, order []int, o graph.Options) checker.Verdict {
	v := checker.Verdict{Check: Evidence, Valid: checker.OK, Summary: w.Check + " gave no evidence that could be confirmed"}
	if order == nil {
		return v
	}
	o.NoRealTime, o.NoSessions = true, true
	if err := Order(h, order, o); err != nil {
		v.Valid, v.Summary = checker.Violation, "a bug of the checker "+w.Check+", whose order does not replay: "+err.Error()
		return v
	}
	w.Certificate = order
	w.Confirmed = fmt.Sprintf("verify replayed %s in the order of their timestamps", checker.Plural(len(order), "transaction"))
	v.Summary = w.Check + ": " + w.Confirmed
	return v
}
