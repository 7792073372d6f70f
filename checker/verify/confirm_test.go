package verify_test

import (
	"slices"
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/txn"
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

// The order of timestamps is replayed, deletes and reads of the past included; one
// that does not replay is a bug of the checker.
func TestConfirmWitness(t *testing.T) {
	c := config(4)
	run := toy.Make(c)
	o := graph.Options{Versions: run.Versions}
	w, order := txn.Witness(run.History, txn.Options{Versions: run.Versions})
	if v := verify.ConfirmWitness(run.History, &w, order, o); v.Valid != checker.OK || w.Confirmed == "" || len(w.Certificate) != len(order) || len(order) == 0 {
		t.Fatalf("%s%s", v, w)
	}
	bad := slices.Clone(order)
	slices.Reverse(bad)
	w.Confirmed = ""
	if v := verify.ConfirmWitness(run.History, &w, bad, o); v.Valid != checker.Violation || w.Confirmed != "" {
		t.Errorf("an order turned round is confirmed: %s", v)
	}
	if v := verify.ConfirmWitness(run.History, &w, nil, o); v.Valid != checker.OK || w.Confirmed != "" {
		t.Errorf("no order is confirmed: %s", v)
	}
}

// Who found a key deleted that several delete may have come after any of them: the
// graph then gives no order, for it need not replay. The witness, which goes by
// timestamps, does.
func TestDeletesLeaveTheOrderToTheWitness(t *testing.T) {
	h := &history.History{}
	var versions []checker.Version
	add := func(a history.Action) {
		id := len(h.Ops)
		ts := history.Timestamp{Wall: int64(10*id + 1)}
		h.Ops = append(h.Ops, history.Op{ID: id, Client: "c", Gateway: "n1", Call: int64(10 * id), Return: int64(10*id + 5), Outcome: history.OK, TS: ts, Actions: []history.Action{a}})
		switch {
		case a.F == history.Delete:
			versions = append(versions, checker.Version{Key: a.Key, TS: ts, Value: history.NoKey()})
		case a.F.Writes():
			versions = append(versions, checker.Version{Key: a.Key, TS: ts, Value: a.Arg})
		}
	}
	for i := range int64(2) {
		add(history.Action{F: history.Write, Key: "x", Arg: history.Int(i + 1)})
		add(history.Action{F: history.Read, Key: "x", Result: history.Int(i + 1)})
		add(history.Action{F: history.Delete, Key: "x"})
		add(history.Action{F: history.Read, Key: "x", Result: history.NoKey()})
	}
	o := graph.Options{Versions: versions}
	r := graph.Registers(h, o)
	if r.Verdict.Valid != checker.OK || r.Order != nil || r.Verdict.Certificate != nil {
		t.Errorf("%swith the order %v", r.Verdict, r.Order)
	}
	w, order := txn.Witness(h, txn.Options{Versions: versions})
	if v := verify.ConfirmWitness(h, &w, order, o); v.Valid != checker.OK || len(w.Certificate) != len(h.Ops) {
		t.Errorf("%s%s", v, w)
	}
}
