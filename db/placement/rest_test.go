package placement

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/kv"
)

// A range whose config states a survival goal survives, once at rest, what the goal says,
// from whatever placement it comes.
func TestSurvivalGoals(t *testing.T) {
	regions := []string{"us-east", "us-west", "europe", "asia"}
	rapid.Check(t, func(t *rapid.T) {
		names := regions[:rapid.IntRange(3, 4).Draw(t, "regions")]
		m := MultiRegion{rapid.SampledFrom(names).Draw(t, "home"), names, Goal(rapid.IntRange(0, 1).Draw(t, "goal")), false}
		m.Restricted = m.Goal == SurviveZone && rapid.Bool().Draw(t, "restricted")
		cfg, err := m.Config(DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		w := &world{settings: DefaultSettings(), stores: regular(names, 3, rapid.IntRange(1, 2).Draw(t, "nodes"))}
		for range rapid.IntRange(1, 4).Draw(t, "ranges") {
			drawRange(t, w, &cfg, names)
		}
		for _, r := range w.ranges {
			r.Behind = nil
		}
		settleWorld(t, w, drawChance(t))
		for _, r := range w.ranges {
			tier := map[Goal]string{SurviveZone: ZoneKey, SurviveRegion: RegionKey}[m.Goal]
			if critical := w.c.Critical(r.Desc, tier); len(critical) > 0 {
				t.Fatalf("%s does not survive the loss of %v", placement(r), critical)
			}
			for _, rep := range r.Desc.Replicas {
				home, _ := w.store(rep.StoreID).Locality.Value(RegionKey)
				if (m.Restricted || m.Goal == SurviveZone && rep.Type == kv.VoterFull) && home != m.Home {
					t.Fatalf("%s: s%d is in %s, not at home in %s", placement(r), rep.StoreID, home, m.Home)
				}
				if rep.StoreID == r.Leaseholder && home != m.Home {
					t.Fatalf("%s: the lease is in %s, not at home in %s", placement(r), home, m.Home)
				}
			}
		}
	})
}

// At rest no lease is on a draining node, if another voter could have it, none is with a
// voter that is preferred less than another, and none is far from its requests.
func TestLeasesAtRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		settleWorld(t, w, drawChance(t))
		for _, r := range w.ranges {
			v := w.c.view(r)
			holder := v.leaseholder()
			if holder == nil {
				continue
			}
			var nearest int64 = 1 << 62
			for i := range v.replicas {
				p := &v.replicas[i]
				if !p.canLead() || p.id == holder.id {
					continue
				}
				if holder.status == Draining {
					t.Fatalf("%s: s%d drains and keeps its lease, though s%d could take it", placement(r), holder.id, p.id)
				}
				if v.rank(p) < v.rank(holder) {
					t.Fatalf("%s: s%d is preferred", placement(r), p.id)
				}
				if v.rank(p) == v.rank(holder) {
					nearest = min(nearest, v.requestNanos(p))
				}
			}
			requests := int64(0)
			for _, o := range r.Origins {
				requests += o.Requests
			}
			s := &w.settings
			if own := v.requestNanos(holder); requests >= s.FollowMin && own > nearest+2*(nearest*s.FollowBand/1000+int64(s.FollowSlack)) {
				t.Fatalf("%s: %d ns from its requests, another voter is at %d", placement(r), own, nearest)
			}
		}
	})
}

// Where nothing stands in the way each store ends within the band, in ranges and in leases.
func TestBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{settings: DefaultSettings(), stores: regular([]string{"us-east"}, 1, rapid.IntRange(4, 9).Draw(t, "nodes"))}
		for i := range w.stores {
			w.stores[i].Capacity = 0
		}
		cfg := DefaultConfig()
		for range rapid.IntRange(20, 120).Draw(t, "ranges") {
			ids := rapid.Permutation(w.ids()[:rapid.IntRange(3, len(w.stores)).Draw(t, "among")]).Draw(t, "stores")
			w.count(w.newRange(&cfg, ids[:3], nil, ids[0]))
		}
		settleWorld(t, w, drawChance(t))
		for d, half := range map[Dimension]int64{Ranges: w.settings.Ranges.Min, Leases: w.settings.Leases.Min} {
			mean := w.c.Mean(d)
			half = max(half, mean*50/1000)
			for i := range w.stores {
				// One more than the band's half: what is on its edge may stay.
				if have := w.c.balance.held[i][d]; have > mean+half+1 || have < mean-half-1 {
					t.Fatalf("s%d has %d %s, the mean is %d", i+1, have, d, mean)
				}
			}
		}
	})
}

// rounds lets each store decide for the ranges that it leads, by what it heard before
// the round, with its own decisions added: a few a round, of which a store takes in but
// one replica. It returns the decisions of each round.
func (w *world) rounds(t *testing.T, n int, rng *rand.Rand) []int {
	var out []int
	for range n {
		w.see()
		type deed struct {
			r *Range
			d Decision
		}
		var deeds []deed
		for i := range w.stores {
			own := NewCluster(w.settings, w.stores, w.trips)
			moves := 0
			for _, r := range w.ranges {
				if r.Leaseholder != w.stores[i].ID || moves == 3 {
					continue
				}
				if d := own.Decide(r, rng); d.Action != NoAction {
					own.Apply(r, d)
					deeds = append(deeds, deed{r, d})
					moves++
				}
			}
		}
		busy := map[kv.StoreID]bool{}
		done := 0
		for _, x := range deeds {
			if c := x.d.Changes; len(c) > 0 && c[0].From == None {
				if busy[c[0].Store] {
					continue // declines the snapshot
				}
				busy[c[0].Store] = true
			}
			if err := w.enact(x.r, x.d); err != nil {
				t.Fatal(err)
			}
			done++
		}
		out = append(out, done)
	}
	return out
}

// Many leaseholders that decide at once by the same old news come to rest too, since
// a store takes in one replica at a time: a new node is filled and not flooded.
func TestOldNews(t *testing.T) {
	for _, rng := range []*rand.Rand{nil, rand.New(rand.NewPCG(1, 2))} {
		w := &world{settings: DefaultSettings(), stores: regular([]string{"us-east", "us-west", "europe"}, 1, 3)}
		for i := range w.stores {
			w.stores[i].Capacity = 0
		}
		cfg := DefaultConfig()
		for i := range 180 {
			ids := []kv.StoreID{kv.StoreID(1 + i%3), kv.StoreID(4 + i/3%3), kv.StoreID(7 + i/9%3)}
			r := w.newRange(&cfg, ids, nil, ids[i%3])
			r.Load = Load{Requests: int64(i % 17), Writes: int64(i % 5)}
			w.count(r)
		}
		w.rounds(t, 30, rng)
		w.stores = append(w.stores, Store{ID: 10, Node: 10, Locality: w.stores[0].Locality})
		w.c = nil
		for i := range w.stores[:9] {
			w.stores[i].Ranges, w.stores[i].Leases, w.stores[i].Used, w.stores[i].Load = 0, 0, 0, Load{}
		}
		for _, r := range w.ranges {
			w.count(r)
		}
		got := w.rounds(t, 120, rng)
		total := 0
		for _, n := range got {
			total += n
		}
		for _, n := range got[100:] {
			if n > 0 {
				t.Fatalf("still moving after a hundred rounds: %v", got)
			}
		}
		if new, _ := w.c.Store(10); new.Ranges < 30 || total > 150 {
			t.Fatalf("%d decisions, and the new store has %d ranges: %v", total, new.Ranges, got)
		}
	}
}

// A cluster at rest stays at rest while the load of its ranges flickers by a tenth.
func TestFlicker(t *testing.T) {
	w := &world{settings: DefaultSettings(), stores: regular([]string{"us-east"}, 1, 6)}
	cfg := DefaultConfig()
	rng := rand.New(rand.NewPCG(3, 4))
	base := make([]int64, 120)
	for i := range base {
		base[i] = 20 + rng.Int64N(100)
		ids := []kv.StoreID{kv.StoreID(1 + i%6), kv.StoreID(1 + (i+1+i/6%2)%6), kv.StoreID(1 + (i+3)%6)}
		r := w.newRange(&cfg, ids, nil, ids[0])
		r.Size, r.Load = 1, Load{Requests: base[i], Writes: base[i] / 2}
		w.count(r)
	}
	w.rounds(t, 60, nil)
	moves := 0
	for range 50 {
		w.c = nil
		for i := range w.stores {
			w.stores[i].Ranges, w.stores[i].Leases, w.stores[i].Used, w.stores[i].Load = 0, 0, 0, Load{}
		}
		for i, r := range w.ranges {
			now := base[i] * (90 + rng.Int64N(21)) / 100
			r.Load = Load{Requests: now, Writes: now / 2}
			w.count(r)
		}
		for _, n := range w.rounds(t, 1, nil) {
			moves += n
		}
	}
	if moves > 3 {
		t.Errorf("%d moves in 50 looks at a load that did not change but for noise", moves)
	}
}

// With chance, equals are shared out: of many leaseholders that need a store at once,
// not all choose the emptiest.
func TestEqualsAreSharedOut(t *testing.T) {
	w := &world{settings: DefaultSettings(), stores: regular([]string{"us-east"}, 1, 30)}
	for i := range w.stores {
		w.stores[i].Ranges = int64(100 + i)
	}
	w.stores[0].Status = Dead
	cfg := DefaultConfig()
	r := w.newRange(&cfg, []kv.StoreID{1, 2, 3}, nil, 2)
	rng := rand.New(rand.NewPCG(5, 6))
	chosen := map[kv.StoreID]int{}
	for range 200 {
		chosen[w.see().Decide(r, rng).Changes[0].Store]++
	}
	if len(chosen) < 6 || chosen[4] < chosen[9] {
		t.Errorf("chosen: %v", chosen)
	}
}
