package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/placement"
)

// Whatever stores crash, come back, come new, drain and leave, with news that are up to
// ten seconds old and allocators that know of one another by these alone:
//
//   - no change takes a live voter from a quorum, and none is made on two ranges at once
//     by one store, nor a second replica on a node (allocWorld looks);
//   - who declined is not asked again for a while;
//   - when the world stands still, all ranges come to where nothing needs to be done
//     any more, within a bounded number of movements, and then nothing moves.
func TestAllocators(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newAllocWorld(rapid.Uint64().Draw(t, "seed"), 3, rapid.IntRange(4, 9).Draw(t, "stores"), rapid.IntRange(1, 24).Draw(t, "ranges"), nil)
		defer w.s.Close()
		drawLoads(t, w)
		down := func() (n int) {
			for _, s := range w.stores {
				if !s.up {
					n++
				}
			}
			return n
		}
		// some does something to one of those of which something is true, if there are any.
		some := func(t *rapid.T, is func(s *allocStore) bool, do func(s *allocStore)) {
			var all []*allocStore
			for _, s := range w.stores {
				if is(s) {
					all = append(all, s)
				}
			}
			if len(all) > 0 {
				do(rapid.SampledFrom(all).Draw(t, "store"))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"crash": func(t *rapid.T) {
				some(t, func(s *allocStore) bool { return s.up && down() == 0 }, (*allocStore).kill)
			},
			"restart": func(t *rapid.T) { some(t, func(s *allocStore) bool { return !s.up }, (*allocStore).start) },
			"join": func(t *rapid.T) {
				if len(w.stores) <= 11 {
					w.addStore(rapid.IntRange(0, 3).Draw(t, "zone"))
				}
			},
			"decommission": func(t *rapid.T) {
				some(t, func(*allocStore) bool { return true }, func(s *allocStore) { s.live.Decommissioning = true })
			},
			"recommission": func(t *rapid.T) {
				some(t, func(s *allocStore) bool { return s.live.Decommissioning }, func(s *allocStore) { s.live.Decommissioning = false })
			},
			"drain": func(t *rapid.T) {
				some(t, func(*allocStore) bool { return true }, func(s *allocStore) { s.live.Draining = !s.live.Draining })
			},
			"load":    func(t *rapid.T) { drawLoads(t, w) },
			"refresh": func(*rapid.T) { w.run(3 * tellEvery) },
			"": func(t *rapid.T) {
				w.run(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
				judge(t, w)
			},
		})
		settle(t, w)
	})
}

func drawLoads(t *rapid.T, w *allocWorld) {
	for _, r := range w.ranges {
		r.load = placement.Load{Requests: rapid.Int64Range(0, 300).Draw(t, "requests"), Writes: rapid.Int64Range(0, 100).Draw(t, "writes")}
		r.load.CPU = r.load.Requests * 50_000
	}
}

func judge(t *rapid.T, w *allocWorld) {
	if len(w.problems) > 0 {
		t.Fatalf("%v\n%s", w.problems, w)
	}
}

// settle lets the world stand still, and judges where it comes to. What is uneven is moved
// by chance: it takes its time.
func settle(t *rapid.T, w *allocWorld) {
	before, left := len(w.done), "?"
	for n := 0; left != ""; n++ {
		if n == 12 {
			t.Fatalf("after an hour it is undone: %s\n%s", left, w)
		}
		w.run(5 * time.Minute)
		judge(t, w)
		left = w.undone()
	}
	if n := len(w.done) - before; n > 12*len(w.ranges) {
		t.Fatalf("%d movements of %d ranges\n%s", n, len(w.ranges), w)
	}
	w.run(30 * time.Second) // what was under way
	quiet := len(w.done)
	var late []string
	w.tell = func(format string, args ...any) { late = append(late, fmt.Sprintf(format, args...)) }
	w.run(5 * time.Minute)
	judge(t, w)
	if len(w.done) > quiet {
		t.Fatalf("when nothing was left to do there were %d movements: %s\n%s", len(w.done)-quiet, strings.Join(late, "\n"), w)
	}
}

// undone is what should still be done about a range that has a quorum; "" if nothing.
func (w *allocWorld) undone() string {
	for _, s := range w.stores {
		if s.up {
			s.publish()
		}
	}
	c := placement.NewCluster(w.set, w.Stores(hlc.Timestamp{}), nil)
	for _, r := range w.ranges {
		if live, voters := w.quorum(r.desc); live <= voters/2 {
			continue
		}
		cfg := placement.DefaultConfig()
		if d := c.Decide(&placement.Range{Desc: r.desc, Config: &cfg, Leaseholder: r.lease, Size: r.size, Load: r.load}, nil); d.Action != placement.NoAction {
			return d.String()
		}
	}
	return ""
}

// Nine leaseholders see, in the same news, that a store is empty and others are full. They
// fill it, and not more than that, and do not go on to carry replicas to and fro.
func TestHerd(t *testing.T) {
	worst, total := 0, 0
	for seed := range uint64(20) {
		w := newAllocWorld(seed, 3, 9, 45, map[string]int64{"placement.band.ranges.min": 1})
		w.run(time.Minute)
		w.done = nil
		w.addStore(1)
		w.run(10 * time.Minute)
		if len(w.problems) > 0 {
			t.Fatal(w.problems)
		}
		worst, total = max(worst, len(w.done)), total+len(w.done)
		if n := w.stores[9].count(); n < 11 || n > 15 {
			t.Errorf("seed %d: the new store has %d replicas of 135", seed, n)
		}
		quiet := len(w.done)
		if w.run(5 * time.Minute); len(w.done) > quiet {
			t.Errorf("seed %d: after ten minutes %d movements more, such as %s", seed, len(w.done)-quiet, w.done[quiet].String())
		}
		w.s.Close()
	}
	t.Logf("to move 11 replicas, up to %d movements were made, %d on average", worst, total/20)
	if worst > 25 || total > 20*17 {
		t.Errorf("to move 11 replicas, up to %d movements were made, %d on average", worst, total/20)
	}
}

// A leaseholder that hears no news knows what it has done itself: it fills an empty store,
// and goes on no longer than it takes.
func TestOwnMoves(t *testing.T) {
	w := newAllocWorld(3, 3, 3, 40, map[string]int64{"placement.band.ranges.min": 1, "placement.band.leases.min": 50})
	defer w.s.Close()
	for _, r := range w.ranges {
		r.lease = r.desc.Replicas[0].StoreID
		if _, ok := r.desc.Replica(1); ok {
			r.lease = 1
		}
		w.hold(r)
	}
	w.run(time.Minute)
	s := w.addStore(1)
	for _, o := range w.stores[1:] {
		o.a.replicas.interval, o.a.leases.interval = 0, 0
	}
	w.mute = true
	w.run(30 * time.Minute)
	if n := s.count(); len(w.problems) > 0 || n < 12 || n > 28 {
		t.Errorf("%d replicas of 120 on the new store; %v", n, w.problems)
	}
}
