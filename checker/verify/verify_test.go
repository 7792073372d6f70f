package verify_test

import (
	"slices"
	"strings"
	"testing"

	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/verify"
)

func config(seed uint64) toy.Config {
	return toy.Config{Seed: seed, Txns: 120, Clients: 6, Keys: 3, Gateways: 3, Actions: 3, MaxOffset: 100, Skew: 80, Infos: 6, Fails: 6, Stale: 6, Registers: seed%2 == 0, PerKey: 20}
}

// Nearly every change of a serial order is refused; the few that are not swap
// transactions that have nothing to do with each other.
func TestChangedOrdersAreRefused(t *testing.T) {
	refused, tried := 0, 0
	for seed := uint64(1); seed <= 30; seed++ {
		c := config(seed)
		run := toy.Make(c)
		o := graph.Options{}
		r := graph.ListAppend(run.History, o)
		if c.Registers {
			o.Versions = run.Versions
			r = graph.Registers(run.History, o)
		}
		if err := verify.Order(run.History, r.Order, o); err != nil {
			t.Fatal(err)
		}
		for i := range r.Order {
			gone := slices.Delete(slices.Clone(r.Order), i, i+1)
			op := run.History.Ops[r.Order[i]]
			if err := verify.Order(run.History, gone, o); err == nil && op.Outcome == history.OK {
				t.Fatalf("seed %d: operation %d is missing and nobody says so", seed, op.ID)
			}
			twice := append(slices.Clone(r.Order), r.Order[i])
			if verify.Order(run.History, twice, o) == nil {
				t.Fatalf("seed %d: operation %d stands twice", seed, op.ID)
			}
			back := append([]int{r.Order[i]}, gone...)
			tried++
			if verify.Order(run.History, back, o) != nil {
				refused++
			}
		}
	}
	if refused*10 < tried*8 {
		t.Errorf("of %d orders with one transaction moved to the front only %d were refused", tried, refused)
	}
}

// A cycle with an edge turned round, of another kind, at another key or from
// another transaction is refused.
func TestChangedCyclesAreRefused(t *testing.T) {
	tried := 0
	for seed := uint64(1); seed <= 40; seed++ {
		c := config(seed)
		c.Defect = toy.EarlyRead
		run := toy.Make(c)
		o := graph.Options{}
		check := graph.ListAppend
		if c.Registers {
			o.Versions, check = run.Versions, graph.Registers
		}
		for _, a := range check(run.History, o).Anomalies {
			if a.Cycle == nil {
				continue
			}
			if err := verify.Cycle(run.History, a.Cycle, o); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, a.Text)
			}
			for i := range a.Cycle.Edges {
				for what, change := range map[string]func(*graph.Edge){
					"key":  func(e *graph.Edge) { e.Key += "'" },
					"from": func(e *graph.Edge) { e.From = len(run.History.Ops) },
					"to":   func(e *graph.Edge) { e.To = e.From },
					"kind": func(e *graph.Edge) { e.Kind = 99 },
				} {
					e := a.Cycle.Edges[i]
					if what == "key" && e.Kind == graph.Session {
						continue
					}
					changed := graph.Cycle{Name: a.Cycle.Name, Edges: slices.Clone(a.Cycle.Edges)}
					change(&changed.Edges[i])
					tried++
					if verify.Cycle(run.History, &changed, o) == nil {
						t.Fatalf("seed %d: edge %d with another %s is confirmed\n%s", seed, i, what, a.Text)
					}
				}
			}
			if len(a.Cycle.Edges) > 2 {
				// Turned round, the edges no longer follow from the transactions.
				back := graph.Cycle{}
				for _, e := range slices.Backward(a.Cycle.Edges) {
					e.From, e.To = e.To, e.From
					back.Edges = append(back.Edges, e)
				}
				if verify.Cycle(run.History, &back, o) == nil {
					t.Fatalf("seed %d: the cycle is confirmed backwards\n%s", seed, a.Text)
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d changes were tried", tried)
	}
}

// What is refused is refused with its reason.
func TestReasons(t *testing.T) {
	w := history.Op{ID: 0, Client: "a", Call: 0, Return: 5, Outcome: history.OK, Actions: []history.Action{{F: history.Append, Key: "x", Arg: history.Int(1)}}}
	r := history.Op{ID: 1, Client: "b", Call: 10, Return: 15, Outcome: history.OK, Actions: []history.Action{{F: history.Read, Key: "x", Result: history.List()}}}
	f := history.Op{ID: 2, Client: "c", Call: 10, Return: 15, Outcome: history.Fail}
	h := &history.History{Ops: []history.Op{w, r, f}}
	for _, c := range []struct {
		order []int
		want  string
	}{
		{[]int{0, 1}, "read [] at x, where [1] was"},
		{[]int{1, 0}, "had ended at"},
		{[]int{1}, "missing"},
		{[]int{1, 2}, "certainly failed"},
		{[]int{1, 7}, "not in the history"},
	} {
		if err := verify.Order(h, c.order, graph.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: want %q, got %v", c.order, c.want, err)
		}
	}
	if err := verify.Order(h, []int{1, 0}, graph.Options{SkewExceeded: true}); err != nil {
		t.Error(err)
	}
}
