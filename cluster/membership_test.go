package cluster_test

import (
	"testing"
	"time"

	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/db/kv"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
	"simulacrum/workloads"
)

// withSpares runs a plan against a node in each of three regions and a spare in each,
// whose client writes all the time, for 20 s.
func withSpares(t *testing.T, plan string, look func(s *sim.Sim, c *cluster.Cluster)) []nemesis.Report {
	t.Helper()
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	w := invariants.New()
	topo := cluster.Uniform(regions, 1, 1, 1)
	for i, r := range regions {
		topo.Spares = append(topo.Spares, nemesis.Place{Name: []string{"n4", "n5", "n6"}[i], Region: r, Zone: "a"})
	}
	c := cluster.New(s, cluster.Config{Topology: topo, MaxOffset: 500 * time.Millisecond, Network: network.Config{Decode: true}, Observer: w})
	w.Attach(c)
	p, err := nemesis.ParsePlan(plan)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(c.Topology()); err != nil {
		t.Fatal(err)
	}
	r := nemesis.Run(s.World(), c, p, nemesis.Options{End: 15 * time.Second})
	c.Boot()
	served := sim.Time(0)
	c.Clients()[0].Run(func(task env.Task, session *cluster.Session) {
		for task.Sleep(100*time.Millisecond) == nil {
			if _, err := session.Do(task, []workloads.Op{{Kind: workloads.Put, Key: []byte("a"), Value: []byte("7")}}, workloads.Options{}); err == nil {
				served = s.Now()
			}
		}
	})
	look(s, c)
	s.RunUntil(sim.Time(20 * time.Second))
	if served < sim.Time(15*time.Second) {
		t.Errorf("the last write succeeded at %s", served)
	}
	wantAllWell(t, s, w)
	return r.Reports()
}

// A spare is not started with the others, nor by anybody who starts what is down; once it
// has joined it runs under the next identity, on an empty disk, with no replica.
func TestAddNode(t *testing.T) {
	reports := withSpares(t, "at T+5s add-node n4\nat T+6s crash n4 for 1s\nat T+7s crash n5 for 1s", func(s *sim.Sim, c *cluster.Cluster) {
		s.RunUntil(sim.Time(4 * time.Second))
		if n := c.Nodes()[3]; n.Joined() || n.Server() != nil || !c.Ready() {
			t.Errorf("n4 is part of the cluster before it is added (ready: %v)", c.Ready())
		}
		s.RunUntil(sim.Time(12 * time.Second))
		n := c.Nodes()[3]
		if n.Server() == nil || n.ID() != 4 || len(c.Replicas("n4")) != 0 {
			t.Errorf("n4, added and crashed: server %v, id %d, replicas %v", n.Server() != nil, n.ID(), c.Replicas("n4"))
		}
	})
	if reports[0].Count != 1 || reports[1].Count != 1 || reports[2].Nothing == "" {
		t.Errorf("%v", reports)
	}
}

// Who comes back after its disk was lost is another node: the identity that voted before
// is never used again, though the machine, and so the address, is the same. One that is
// not replaced does not come back when everything heals.
func TestLostDisk(t *testing.T) {
	reports := withSpares(t, "at T+5s replace-node n2 for 2s", func(s *sim.Sim, c *cluster.Cluster) {
		s.RunUntil(sim.Time(6 * time.Second))
		if c.NodeOf(2) != nil || c.ServerOf(2) != nil || c.Alive("n2") {
			t.Error("node 2 is still there without its disk")
		}
		s.RunUntil(sim.Time(12 * time.Second))
		n := c.Nodes()[1]
		if n.ID() != kv.NodeID(1002) || n.Server() == nil || c.NodeOf(1002) != n || len(c.Replicas("n2")) != 0 {
			t.Errorf("n2 is node %d, with replicas %v", n.ID(), c.Replicas("n2"))
		}
	})
	if reports[0].Count != 1 {
		t.Errorf("%v", reports)
	}
	withSpares(t, "at T+5s lose-disk n2", func(s *sim.Sim, c *cluster.Cluster) {
		s.RunUntil(sim.Time(19 * time.Second))
		if c.Alive("n2") {
			t.Error("n2 has come back without a disk")
		}
	})
}

// A disk is lost while another node is down, since that one will be back; the disk of a
// second one is spared, since nothing makes new copies here.
func TestSecondDiskIsSpared(t *testing.T) {
	reports := withSpares(t, "at T+5s crash n3 for 3s\nat T+6s replace-node n2 for 1s\nat T+10s lose-disk n3", func(s *sim.Sim, c *cluster.Cluster) {
		s.RunUntil(sim.Time(12 * time.Second))
		if c.NodeOf(2) != nil || c.NodeOf(3) == nil {
			t.Errorf("the disk of n2 is lost: %v, and that of n3: %v", c.NodeOf(2) == nil, c.NodeOf(3) == nil)
		}
	})
	if reports[1].Count != 1 || reports[2].Count != 0 || reports[2].Nothing != "without the disk of n3 most voters of r1 would be lost" {
		t.Errorf("%v", reports)
	}
}
