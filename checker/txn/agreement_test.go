package txn_test

import (
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/txn"
)

// The deciders never contradict each other, whether the store is right or wrong.
func TestDecidersAgree(t *testing.T) {
	said := map[string]int{}
	for seed := uint64(1); seed <= 90; seed++ {
		c := config(seed, seed%2 == 0)
		if seed%3 > 0 {
			c.Skew, c.Defect = 100, toy.Defects()[int(seed)%len(toy.Defects())]
		}
		run := toy.Make(c)
		o := graph.Options{Versions: run.Versions}
		check := graph.ListAppend
		if c.Registers {
			check = graph.Registers
		}
		witness, _ := txn.Witness(run.History, txn.Options{Versions: run.Versions})
		g := check(run.History, o)
		v := txn.Agreement(g, witness)
		if v.Valid != checker.OK {
			t.Fatalf("seed %d, %q: %s\n%s\n%s", seed, c.Defect, v, g.Verdict, witness)
		}
		said[v.Summary]++
	}
	t.Log(said)
	if len(said) < 4 {
		t.Errorf("one-sided: %v", said)
	}
	bad := graph.ListAppend(hist(at(1, app("x", 1), history.Action{F: history.Read, Key: "y", Result: history.List(1)}), at(2, app("y", 1), read("x", 1))), graph.Options{})
	if v := txn.Agreement(bad, checker.Verdict{Valid: checker.OK}); v.Valid != checker.Violation || !strings.Contains(v.Summary, "G1c") {
		t.Error(v)
	}
}
