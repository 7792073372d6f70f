package placement

import (
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/kv"
)

// Towards a merge the right range comes to its left neighbour's stores step by step, each
// of them safe; and what is merged is not split again at once.
func TestMergeSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{settings: DefaultSettings(), stores: regular([]string{"a", "b"}, 2, 3)}
		cfg := DefaultConfig()
		cfg.MinBytes, cfg.MaxBytes = 50, 100
		for range 2 {
			ids := rapid.Permutation(w.ids()).Draw(t, "stores")
			voters := rapid.IntRange(1, 5).Draw(t, "voters")
			r := w.newRange(&cfg, ids[:voters], ids[voters:voters+rapid.IntRange(0, 3).Draw(t, "nonvoters")], ids[0])
			r.Size = rapid.Int64Range(0, 110).Draw(t, "size")
			r.Load.Requests = rapid.Int64Range(0, 3000).Draw(t, "requests")
			w.count(r)
		}
		w.see()
		left, right := w.ranges[0], w.ranges[1]
		for step := 0; ; step++ {
			d := w.c.Merge(left, right)
			if d.Action == NoAction {
				if d.Reason.Cause == Unmergeable {
					t.Fatalf("stuck on the way to the merge of %s and %s: %s", placement(left), placement(right), d)
				}
				return
			}
			if d.Action == Merge {
				sum := *right
				sum.Size, sum.Load.Requests = left.Size+right.Size, left.Load.Requests+right.Load.Requests
				if s := w.c.Split(&sum); s.Action != NoAction {
					t.Fatalf("%s, then %s", d, s)
				}
				if len(left.Desc.Replicas) != len(right.Desc.Replicas) {
					t.Fatalf("%s of %s and %s", d, placement(left), placement(right))
				}
				return
			}
			if step > 12 {
				t.Fatalf("no end of steps: %s towards %s: %s", placement(right), placement(left), d)
			}
			old := *right
			if err := w.enact(right, d); err != nil {
				t.Fatal(err)
			}
			judgeSafety(t, w, &old, right, d)
		}
	})
}

func (w *world) ids() []kv.StoreID {
	out := make([]kv.StoreID, len(w.stores))
	for i := range out {
		out[i] = w.stores[i].ID
	}
	return out
}
