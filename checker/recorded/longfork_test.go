package recorded

import (
	"testing"

	"pgregory.net/rapid"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Comparing neighbours finds a fork exactly where two reads of a group disagree.
func TestLongForkAgreesWithPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := []string{"a", "b", "c"}
		h := &history.History{}
		add := func(as ...history.Action) {
			n := int64(len(h.Ops))
			h.Ops = append(h.Ops, history.Op{ID: int(n), Client: "c", Call: 2 * n, Return: 2*n + 1, Outcome: history.OK, Actions: as})
		}
		for _, k := range keys {
			add(history.Action{F: history.Write, Key: k, Arg: history.Int(1)})
		}
		sights := rapid.SliceOfN(rapid.IntRange(0, 7), 2, 6).Draw(t, "sights")
		saw := false
		for _, s := range sights {
			var as []history.Action
			for i, k := range keys {
				v := history.NoKey()
				if s>>i&1 == 1 {
					v = history.Int(1)
				}
				as = append(as, history.Action{F: history.Read, Key: k, Result: v})
			}
			add(as...)
			saw = saw || s != 0
		}
		want := checker.Vacuous
		if saw {
			want = checker.OK
		}
		for _, a := range sights {
			for _, b := range sights {
				if a&^b != 0 && b&^a != 0 {
					want = checker.Violation
				}
			}
		}
		if v := judgeLongFork(h, Options{})[0]; v.Valid != want {
			t.Fatalf("want %s of %v, got %s", want, sights, v)
		}
	})
}
