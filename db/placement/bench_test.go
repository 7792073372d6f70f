package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"simulacrum/db/kv"
)

// large is 90 stores in three regions of three zones, with so many ranges. Each range is
// spread over the regions, so that the cluster is nearly at rest, as clusters are; or all
// of them are on the first nine stores.
func large(ranges int, spread bool) *world {
	w := &world{settings: DefaultSettings(), stores: regular([]string{"us-east", "us-west", "europe"}, 3, 10)}
	for i := range w.stores {
		w.stores[i].Capacity = 1 << 20
	}
	cfg := DefaultConfig()
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range ranges {
		at := []int{i % 30, 30 + i/3%30, 60 + i/7%30}
		if !spread {
			at = []int{i % 3, 30 + i%3, 60 + i%3}
		}
		var ids []kv.StoreID
		for _, k := range at {
			ids = append(ids, w.stores[k].ID)
		}
		r := w.newRange(&cfg, ids, nil, ids[i%3])
		r.Load = Load{Requests: rng.Int64N(50), CPU: rng.Int64N(1e6), Writes: rng.Int64N(20)}
		w.count(r)
	}
	w.see()
	return w
}

// BenchmarkDecideRest is a decision for one range of a cluster of 90 stores that is at
// rest: what happens nearly always.
func BenchmarkDecideRest(b *testing.B) {
	w := large(5000, true)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.c.Decide(w.ranges[i%len(w.ranges)], nil)
	}
}

// BenchmarkDecideRepair is one for a range with a dead replica.
func BenchmarkDecideRepair(b *testing.B) {
	w := large(5000, true)
	w.stores[0].Status = Dead
	w.see()
	b.ReportAllocs()
	for b.Loop() {
		if d := w.c.Decide(w.ranges[0], nil); d.Action != ReplaceDeadVoter {
			b.Fatal(d)
		}
	}
}

// BenchmarkDecideWorkload is one for a range with constraints, preferences and requests
// from three regions.
func BenchmarkDecideWorkload(b *testing.B) {
	w := large(5000, true)
	cfg, err := MultiRegion{"us-east", []string{"us-east", "us-west", "europe"}, SurviveRegion, false}.Config(DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	r := w.newRange(&cfg, []kv.StoreID{1, 11, 31, 41, 61}, nil, 1)
	for _, n := range []string{"us-east", "us-west", "europe"} {
		r.Origins = append(r.Origins, Origin{Locality{{RegionKey, n}}, 100})
	}
	b.ReportAllocs()
	for b.Loop() {
		w.c.Decide(r, nil)
	}
}

// BenchmarkCluster is a look at all ranges of a cluster, with the making of the state.
func BenchmarkCluster(b *testing.B) {
	for _, ranges := range []int{500, 5000} {
		b.Run(fmt.Sprintf("stores=90/ranges=%d", ranges), func(b *testing.B) {
			w := large(ranges, true)
			b.ReportAllocs()
			for b.Loop() {
				c := NewCluster(w.settings, w.stores, nil)
				for _, r := range w.ranges {
					c.Decide(r, nil)
				}
			}
		})
	}
}

// BenchmarkSettle carries out all that is decided for 5,000 ranges on 9 of 90 stores, until
// the cluster is at rest.
func BenchmarkSettle(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		w := large(5000, false)
		b.StartTimer()
		steps := 0
		for before := -1; before != steps; {
			before = steps
			for _, r := range w.ranges {
				if d := w.c.Decide(r, nil); d.Action != NoAction {
					steps++
					if err := w.enact(r, d); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		b.ReportMetric(float64(steps), "decisions")
	}
}

func BenchmarkNewCluster(b *testing.B) {
	w := large(90, true)
	b.ReportAllocs()
	for b.Loop() {
		NewCluster(w.settings, w.stores, nil)
	}
}
