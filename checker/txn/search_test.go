package txn_test

import (
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/txn"
)

// With perfect clocks the toy is strictly serializable, and the search says so; at
// timestamps it agrees with the witness on right and wrong histories alike.
func TestSearchAgrees(t *testing.T) {
	decided := map[checker.Valid]int{}
	for seed := uint64(1); seed <= 60; seed++ {
		c := config(seed, seed%2 == 0)
		c.Txns, c.Clients, c.Skew, c.Infos = 120, 4, 0, 0
		if seed%3 == 0 {
			c.Skew, c.Defect = 100, toy.Defects()[int(seed/3)%len(toy.Defects())]
		}
		run := toy.Make(c)
		o := txn.Options{}
		if v := txn.Strict(run.History, o); c.Defect == toy.NoDefect && v.Valid != checker.OK {
			t.Fatalf("seed %d: %s", seed, v)
		}
		search := txn.AtTimestamps(run.History, o)
		witness, _ := txn.Witness(run.History, o)
		decided[witness.Valid]++
		if search.Valid != witness.Valid {
			t.Fatalf("seed %d, %q: search says %s, witness says %s", seed, c.Defect, search, witness)
		}
	}
	if decided[checker.OK] < 10 || decided[checker.Violation] < 5 {
		t.Errorf("one-sided: %v", decided)
	}
}

// What nobody could see may have happened or not; what was read must have.
func TestStrictUnknownOutcomes(t *testing.T) {
	lost := history.Op{Client: "a", Call: 1, Return: history.Never, Actions: []history.Action{app("x", 1), app("y", 1)}}
	for _, c := range []struct {
		name string
		h    *history.History
		want checker.Valid
	}{
		{"seen late", hist(lost, at(5, read("x")), at(10, read("x", 1)), at(20, read("y", 1))), checker.OK},
		{"seen in part", hist(lost, at(5, read("x", 1)), at(10, read("y"))), checker.Violation},
		{"never seen", hist(lost, at(5, read("x")), at(10, app("y", 2)), at(15, read("y", 2))), checker.OK},
		{"seen and gone", hist(lost, at(5, read("x", 1)), at(10, read("x"))), checker.Violation},
	} {
		if v := txn.Strict(c.h, txn.Options{}); v.Valid != c.want {
			t.Errorf("%s: %s", c.name, v)
		}
	}
	if v := txn.Strict(hist(at(1, app("x", 1)), at(2, app("x", 2))), txn.Options{MaxOps: 1}); v.Valid != checker.Unknown {
		t.Errorf("beyond the bound: %s", v)
	}
}
