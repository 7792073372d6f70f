package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/db/kv"
	"simulacrum/db/store"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
	"simulacrum/workloads"
)

// A node of nine is lost for good, another joins, a third is decommissioned, under load:
// all ranges come back to three living replicas in three regions, the new node is
// filled and the leaving one emptied; after each nothing moves any more.
func TestAllocator(t *testing.T) {
	s := sim.New(sim.Config{Seed: 3, Knobs: map[string]int64{
		"allocator.interval": int64(2 * time.Second), "store.dead.after": int64(15 * time.Second), "replicagc.interval": int64(5 * time.Second),
		"server.publish": int64(3 * time.Second), "placement.band.ranges.min": 1, "consistency.interval": int64(20 * time.Second), "allocator.load.window": int64(10 * time.Second),
	}})
	defer s.Close()
	m := &movesWatcher{Watcher: invariants.New(), t: t}
	cfg := cluster.Config{
		Topology: cluster.Uniform(regions, 3, 1, 1), MaxOffset: 500 * time.Millisecond,
		Network: network.Config{Decode: true}, Observer: m,
	}
	cfg.Topology.Spares = append(cfg.Topology.Spares, nemesis.Place{Name: "n10", Region: "us-west", Zone: "b"})
	var ks []string
	for i := range 12 {
		ks = append(ks, fmt.Sprintf("k%02d", i))
		cfg.Splits = append(cfg.Splits, []byte(ks[i]))
	}
	c := cluster.New(s, cfg)
	m.Attach(c)
	m.sim = s
	c.Boot()
	s.RunUntil(sim.Time(10 * time.Second))
	for _, cl := range c.Clients() {
		cl.Run(func(task env.Task, session *cluster.Session) {
			for task.Err() == nil {
				for _, k := range ks {
					_, _ = session.Do(task, []workloads.Op{{Kind: workloads.Put, Key: []byte(k), Value: []byte("7")}}, workloads.Options{})
				}
				if task.Sleep(200*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	settle := func(what string, ok func() string) {
		t.Helper()
		began, why := s.Now(), "?"
		for ; why != ""; why = ok() {
			if s.Now() > began.Add(4*time.Minute) {
				t.Fatalf("%s: after four minutes: %s\n%s", what, why, c)
			}
			s.RunUntil(s.Now().Add(time.Second))
		}
		t.Logf("%s: after %s, %d movements", what, s.Now()-began, m.moved)
		s.RunUntil(s.Now().Add(2 * time.Minute)) // what is left to even out
		m.moved = 0
		s.RunUntil(s.Now().Add(time.Minute))
		if m.moved > 0 {
			t.Errorf("%s: %d movements in the third minute after all was well", what, m.moved)
		}
		if why := ok(); why != "" {
			t.Errorf("%s: %s, again", what, why)
		}
		m.moved = 0
	}
	settle("at first", func() string { return misplaced(c, m) })
	c.PowerLoss([]string{"n5"})
	settle("n5 lost", func() string { return misplaced(c, m) })
	c.Join("n10")
	c.Start("n10")
	settle("n10 joins", func() string {
		if n := held(c, m)["n10"]; n < 3 {
			return fmt.Sprintf("n10 has %d replicas", n)
		}
		return misplaced(c, m)
	})
	c.Decommission("n1")
	settle("n1 leaves", func() string {
		if n := held(c, m)["n1"]; n > 0 {
			return fmt.Sprintf("n1 has %d replicas", n)
		}
		return misplaced(c, m)
	})
	m.CompareReplicas()
	for _, v := range m.Verdicts() {
		if v.Valid != checker.OK {
			t.Error(v)
		}
		for _, n := range v.Counts {
			if n.Name == "ranges compared by the consistency queue" && n.N < 100 {
				t.Errorf("%s: %d", n.Name, n.N)
			}
		}
	}
	for _, f := range s.Findings() {
		t.Errorf("%s\n%s", &f, f.Stack)
	}
}

// movesWatcher is invariants that count what the allocator moves.
type movesWatcher struct {
	*invariants.Watcher
	t     *testing.T
	sim   *sim.Sim
	moved int
}

// Moved implements store.MoveObserver.
func (m *movesWatcher) Moved(s kv.StoreID, v store.Movement) {
	if v.Outcome == "done" {
		m.moved++
	}
	m.Watcher.Moved(s, v)
	m.t.Logf("%s s%d: %s", m.sim.Now(), s, v.String())
}

// misplaced says what is wrong with where a range is: replicas on nodes that are down, too
// few, or two in a region. "" is nothing.
func misplaced(c *cluster.Cluster, m *movesWatcher) string {
	for _, d := range m.Ranges() {
		seen := map[string]bool{}
		for _, r := range d.Replicas {
			n := c.NodeOf(r.NodeID)
			if n == nil || n.Server() == nil || r.Type != kv.VoterFull {
				return fmt.Sprintf("%s has %s", d, r)
			}
			seen[n.Place().Region] = true
		}
		if len(seen) != 3 || len(d.Replicas) != 3 {
			return fmt.Sprintf("%s is in %d regions", d, len(seen))
		}
	}
	return ""
}

// held counts the replicas of each node, by the descriptors.
func held(c *cluster.Cluster, m *movesWatcher) map[string]int {
	n := map[string]int{}
	for _, d := range m.Ranges() {
		for _, r := range d.Replicas {
			if node := c.NodeOf(r.NodeID); node != nil {
				n[node.Name()]++
			}
		}
	}
	return n
}
