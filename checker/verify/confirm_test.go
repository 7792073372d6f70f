package verify_test

import (
	"slices"
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/verify"
)

// A pass and a violation are confirmed, and the verdict says by what. Evidence that
// was tampered with is a bug of the checker, and the verdict keeps silent.
func TestConfirm(t *testing.T) {
	for _, d := range []toy.Defect{"", toy.EarlyRead} {
		c := config(3)
		c.Registers, c.Defect = false, d
		h := toy.Make(c).History
		r := graph.ListAppend(h, graph.Options{})
		if (r.Verdict.Valid == checker.Violation) != (d != "") {
			t.Fatalf("defect %q: %s", d, r.Verdict)
		}
		if v := verify.Confirm(h, &r, graph.Options{}); v.Valid != checker.OK || !strings.Contains(r.Verdict.String(), "confirmed: verify") {
			t.Errorf("defect %q: %s%s", d, v, r.Verdict)
		}
		r.Verdict.Confirmed = ""
		if d == "" {
			r.Order = slices.Clone(r.Order)
			slices.Reverse(r.Order)
		} else {
			i := slices.IndexFunc(r.Anomalies, func(a graph.Anomaly) bool { return a.Cycle != nil })
			r.Anomalies[i].Cycle.Edges[0].Key = "none"
		}
		if v := verify.Confirm(h, &r, graph.Options{}); v.Valid != checker.Violation || r.Verdict.Confirmed != "" {
			t.Errorf("defect %q: false evidence is confirmed: %s%s", d, v, r.Verdict)
		}
	}
}

// What came without evidence is not said to be confirmed.
func TestConfirmNothing(t *testing.T) {
	r := graph.ListAppend(&history.History{}, graph.Options{})
	if v := verify.Confirm(&history.History{}, &r, graph.Options{}); v.Valid != checker.OK || !strings.Contains(v.Summary, "no evidence") || r.Verdict.Confirmed != "" {
		t.Error(v)
	}
}
