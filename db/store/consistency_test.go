package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/sim"
	"simulacrum/sim/disk"
)

// checksCluster is three stores that compare the replicas of three ranges every two seconds.
func checksCluster(t *testing.T, knobs map[string]int64) (*cluster, *checksSeen) {
	set := map[string]int64{"consistency.interval": int64(2 * time.Second)}
	for k, v := range knobs {
		set[k] = v
	}
	seen := &checksSeen{}
	c := newClusterOf(t, 3, sim.Config{Seed: 5, Knobs: set}, disk.Config{})
	for _, n := range c.nodes {
		n.store.checks.observer = seen
	}
	return c, seen
}

type checksSeen struct {
	compared map[int]int // by the number of replicas
	diverged []string
}

// Compared implements ConsistencyObserver.
func (s *checksSeen) Compared(_ kv.RangeID, replicas int) {
	if s.compared == nil {
		s.compared = map[int]int{}
	}
	s.compared[replicas]++
}

// Diverged implements ConsistencyObserver.
func (s *checksSeen) Diverged(id kv.RangeID, wrong []kv.ReplicaDescriptor, verdict string) {
	s.diverged = append(s.diverged, fmt.Sprintf("r%d %v: %s", id, wrong, verdict))
}

// Replicas that are asked in the middle of writes, through leases that move, and after one
// has got the state by a snapshot, are found to be the same.
func TestReplicasCompared(t *testing.T) {
	c, seen := checksCluster(t, map[string]int64{"consistency.rate": 64 << 10, "snapshot.chunk.bytes": 4 << 10})
	write := func(n int) {
		for i := range n {
			if br := c.do(put(fmt.Sprintf("k%03d", i), strings.Repeat("x", 300))); br.Err != nil {
				t.Fatal(br.Err)
			}
		}
	}
	for range 5 {
		write(100)
		c.run(2 * time.Second)
	}
	c.node(3).kill(false)
	write(100)
	c.run(20 * time.Second)
	c.node(3).start(false)
	c.node(3).await()
	c.node(3).store.checks.observer = seen
	for range 5 {
		write(50)
		c.run(2 * time.Second)
	}
	if len(seen.diverged) > 0 || seen.compared[3] < 5 || seen.compared[2] == 0 {
		t.Errorf("%v compared, %v", seen.compared, seen.diverged)
	}
}

// A replica that holds what the others do not is found, whoever has the lease, and its node
// ends with the verdict; those who agree go on.
func TestDivergence(t *testing.T) {
	for _, wrong := range []kv.NodeID{1, 2, 3} {
		c, seen := checksCluster(t, nil)
		if br := c.do(put("a", "1")); br.Err != nil {
			t.Fatal(br.Err)
		}
		c.run(5 * time.Second)
		if seen.compared[3] == 0 || len(seen.diverged) > 0 {
			t.Fatalf("%v compared, %v", seen.compared, seen.diverged)
		}
		n := c.node(wrong)
		b := n.engine.NewBatch()
		w := mvcc.Writer{Batch: b}
		w.PutNew(key("b"), hlc.Timestamp{Wall: 7}, []byte("nobody wrote this"))
		n.engine.Commit(b, false, nil)
		c.run(10 * time.Second)
		if len(seen.diverged) == 0 || !strings.Contains(seen.diverged[0], fmt.Sprintf("r1 [(n%d,s%d):%d]: ", wrong, wrong, wrong)) {
			t.Errorf("n%d is wrong: %v", wrong, seen.diverged)
		}
		for _, o := range c.nodes {
			if alive := o.proc.Alive(); alive == (o == n) {
				t.Errorf("n%d is wrong: n%d alive: %t", wrong, o.id, alive)
			}
		}
	}
}
