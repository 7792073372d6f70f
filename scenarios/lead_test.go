package scenarios

import (
	"fmt"
	"strings"
	"testing"

	"simulacrum/checker/history"
	"simulacrum/db/server"
)

// How an operation came to its answer is told from its call to its answer, each
// event caused by one that is told before, the same each time, for operations far
// from each other too and for those after the workload's end. One that was never
// answered is left out.
func TestLeads(t *testing.T) {
	r, err := shortened(t, "default").Resolve(3, server.Knobs(), server.Probes())
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	last := len(res.History.Ops) - 1
	ops := []int{last, 3, 4, last / 2}
	open := -1
	for i, op := range res.History.Ops {
		if op.Return == history.Never {
			open = i
		}
	}
	leads, err := res.Leads(append(ops, open, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	if len(leads) != len(ops) {
		t.Fatalf("%d leads of %d operations that were answered", len(leads), len(ops))
	}
	for i, l := range leads {
		op := &res.History.Ops[ops[i]]
		first, end := l.Events[0], l.Events[len(l.Events)-1]
		if l.Op != ops[i] || end.Number != l.Answer || !strings.Contains(strings.Join(first.Notes, "\n"), fmt.Sprintf("begins op %d of %s", op.ID, op.Client)) ||
			!strings.Contains(strings.Join(end.Notes, "\n"), fmt.Sprintf("ends op %d of %s", op.ID, op.Client)) || int64(first.At) != op.Call || int64(end.At) != op.Return {
			t.Errorf("%s\nis told from\n%s\nto\n%s", op, &first, &end)
		}
		for j := 2; j < len(l.Events); j++ {
			if l.Events[j].Cause != l.Events[j-1].Number {
				t.Errorf("of op %d event %d is not caused by the one before it", op.ID, l.Events[j].Number)
			}
		}
		if len(l.Events) < 4 {
			t.Errorf("op %d is told in %d events", op.ID, len(l.Events))
		}
	}
	again, err := res.Leads(ops)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(leads) {
		t.Errorf("told again it differs (%v)", err)
	}
	res.Checkpoints[0]++
	if _, err := res.Leads(ops); err == nil || !strings.Contains(err.Error(), "another way") {
		t.Errorf("a run that goes another way is told all the same: %v", err)
	}
}
