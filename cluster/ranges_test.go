package cluster_test

import (
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// underPlan runs a plan against three nodes whose only client writes to both ranges
// all the time, for 35 s, and returns what the plan's faults did.
func underPlan(t *testing.T, plan string, look func(s *sim.Sim, c *cluster.Cluster)) []nemesis.Report {
	t.Helper()
	return underPlanAt(t, 1, plan, look)
}

func underPlanAt(t *testing.T, seed uint64, plan string, look func(*sim.Sim, *cluster.Cluster)) []nemesis.Report {
	t.Helper()
	s := sim.New(sim.Config{Seed: seed})
	defer s.Close()
	c, w := boot(t, s, 1, 1, "m")
	c.Clients()[0].Run(func(task env.Task, session *cluster.Session) {
		for task.Err() == nil {
			for _, key := range []string{"a", "z"} {
				_, _ = session.Do(task, []workloads.Op{{Kind: workloads.Put, Key: []byte(key), Value: []byte("7")}}, workloads.Options{})
			}
			if task.Sleep(50*time.Millisecond) != nil {
				return
			}
		}
	})
	p, err := nemesis.ParsePlan(plan)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(c.Topology()); err != nil {
		t.Fatal(err)
	}
	end := s.Now().Add(35 * time.Second)
	r := nemesis.Run(s.World(), c, p, nemesis.Options{End: 30 * time.Second})
	look(s, c)
	s.RunUntil(end)
	wantAllWell(t, s, w)
	return r.Reports()
}

// wantAllWell compares replicas, and fails the test for what was found in the run.
func wantAllWell(t *testing.T, s *sim.Sim, w *invariants.Watcher) {
	t.Helper()
	w.CompareReplicas()
	for _, v := range w.Verdicts() {
		if v.Valid != checker.OK {
			t.Error(v)
		}
	}
	for _, f := range s.Findings() {
		t.Errorf("%s\n%s", &f, f.Stack)
	}
}

func count(s *sim.Sim, probe env.Probe) int64 { return s.ProbeCount(probe) }

// holder is the node that holds the lease of a range, and leader the one that leads;
// "" if nobody does.
func at(c *cluster.Cluster, id kv.RangeID) (holder, leader string) {
	for _, n := range c.Nodes() {
		if n.Server() == nil {
			continue
		}
		r := n.Server().Store().Replica(id)
		if r.HoldsLease() {
			holder = n.Name()
		}
		if r.IsLeader() {
			leader = n.Name()
		}
	}
	return holder, leader
}

// A lease goes to the node that was named, or to the next in turn; a storm moves it
// again and again; what a node holds can be named by the node. A range whose replica
// the target lacks, or that has no lease, refuses, and that is not counted.
func TestLeaseTransfer(t *testing.T) {
	var holders []string
	reports := underPlan(t, `
		at T+8s lease-transfer r2 to=n3
		at T+10s lease-transfer r2 to=n1
		at T+12s lease-transfer r2
		at T+14s lease-transfer r2 times=10 every=300ms
		at T+20s lease-transfer r2,r3 to=n2
		at T+22s lease-transfer n2 to=n2
		at T+23s lease-transfer n2 to=n1`,
		func(s *sim.Sim, c *cluster.Cluster) {
			begin := s.Now()
			for _, after := range []time.Duration{10, 12, 14, 22, 25} {
				s.RunUntil(begin.Add(after*time.Second - time.Millisecond))
				h, _ := at(c, 2)
				holders = append(holders, h)
			}
		})
	want := []string{"n3", "n1", "n2", "n2", "n1"}
	for i := range want {
		if holders[i] != want[i] {
			t.Errorf("held by %v, want %v", holders, want)
			break
		}
	}
	for i, least := range []int64{1, 1, 1, 3, 1, 0, 1} {
		if n := reports[i].Count; n < least || least == 0 && n > 0 || n > int64(reports[i].Done)*3 {
			t.Errorf("%s", reports[i])
		}
	}
}

// Leadership goes to a replica that does not hold the lease, while proposals are in
// flight; some are proposed anew, and it comes back to the leaseholder.
func TestLeaderTransfer(t *testing.T) {
	apart, moved := 0, int64(0)
	reports := underPlan(t, `at T+8s leader-transfer r2,r3 times=8 every=1500ms`,
		func(s *sim.Sim, c *cluster.Cluster) {
			begin := s.Now()
			for after := 8 * time.Second; after < 20*time.Second; after += 50 * time.Millisecond {
				s.RunUntil(begin.Add(after))
				if h, l := at(c, 2); h != "" && l != "" && h != l {
					apart++
				}
			}
			moved = count(s, "replica: leadership handed to the leaseholder")
		})
	if reports[0].Count < 14 || apart < 10 || moved < 5 {
		t.Errorf("%s\napart at %d of 240 moments, handed back %d times", reports[0], apart, moved)
	}
}

// A storm of handovers that is faster than ticks keeps leadership from the leaseholder
// for a good part of the time: nobody hands it to the leaseholder in its turn. If its
// turn came, it would be there nearly always.
func TestLeaderStormSparesTheLeaseholder(t *testing.T) {
	apart, together := 0, 0
	for seed := uint64(1); seed <= 3; seed++ {
		underPlanAt(t, seed, `at T+8s leader-transfer r2 times=40 every=70ms`,
			func(s *sim.Sim, c *cluster.Cluster) {
				begin := s.Now()
				for after := 8500 * time.Millisecond; after < 10800*time.Millisecond; after += 5 * time.Millisecond {
					s.RunUntil(begin.Add(after))
					if h, l := at(c, 2); h != "" && h == l {
						together++
					} else if l != "" {
						apart++
					}
				}
			})
	}
	if apart < together/2 {
		t.Errorf("apart at %d moments, together at %d", apart, together)
	}
}

// A node that dies while it is at a request does not keep its range from being asked
// again.
func TestRequestEndsWithItsNode(t *testing.T) {
	reports := underPlan(t, `
		at T+8s lease-transfer r2 to=n1
		at T+10s partition isolate n1 for 2s
		at T+10500ms lease-transfer r2
		at T+11s crash n1 for 1s
		at T+25s lease-transfer r2`,
		func(*sim.Sim, *cluster.Cluster) {})
	if reports[2].Count != 0 || reports[4].Count != 1 {
		t.Error(reports)
	}
}

// A replica that is made to stand for election ends the leader's term, whether or not
// it wins. What the old leader had in flight is decided by the new one.
func TestForcedElection(t *testing.T) {
	terms := map[kv.RangeID]uint64{}
	reports := underPlan(t, `at T+8s campaign r2,r3 times=4 every=4s`,
		func(s *sim.Sim, c *cluster.Cluster) {
			s.RunUntil(s.Now().Add(7 * time.Second))
			for _, id := range []kv.RangeID{2, 3} {
				_, terms[id] = c.Nodes()[0].Server().Store().Replica(id).Leader()
			}
			s.RunUntil(s.Now().Add(17 * time.Second))
			for _, id := range []kv.RangeID{2, 3} {
				_, after := c.Nodes()[0].Server().Store().Replica(id).Leader()
				terms[id] = after - terms[id]
			}
		})
	if reports[0].Count < 6 || terms[2] < 4 || terms[3] < 4 {
		t.Errorf("%s\n%v more terms", reports[0], terms)
	}
}

// A log that is cut while a node is down has that node get a snapshot.
func TestTruncateLog(t *testing.T) {
	var snapshots int64
	var bounds [2]uint64
	reports := underPlan(t, `
		at T+4s crash n2 for 6s
		at T+8s truncate-log all`,
		func(s *sim.Sim, c *cluster.Cluster) {
			begin := s.Now()
			truncated := func() uint64 {
				var most uint64
				for _, n := range c.Nodes() {
					if n.Server() != nil {
						n.Server().Store().VisitReplicas(func(r *replica.Replica) bool {
							if r.RangeID() == 2 {
								to, _ := r.LogBounds()
								most = max(most, to)
							}
							return true
						})
					}
				}
				return most
			}
			s.RunUntil(begin.Add(7900 * time.Millisecond))
			bounds[0] = truncated()
			s.RunUntil(begin.Add(9900 * time.Millisecond))
			bounds[1] = truncated()
			s.RunUntil(begin.Add(20 * time.Second))
			snapshots = count(s, "replica: snapshot installed, before sync")
		})
	if reports[1].Count < 2 || bounds[1] <= bounds[0] || snapshots < 2 {
		t.Errorf("%s\ntruncated to %v, %d snapshots", reports[1], bounds, snapshots)
	}
}

// A rolling restart ends each node in order and starts it again, one at a time, and
// the leases go elsewhere before.
func TestRollingRestart(t *testing.T) {
	var deaths [][]string
	var moved int64
	reports := underPlan(t, `at T+4s stop all for 1s stagger=5s`,
		func(s *sim.Sim, c *cluster.Cluster) {
			s.RunUntil(s.Now().Add(20 * time.Second))
			for _, n := range c.Nodes() {
				deaths = append(deaths, n.Deaths())
			}
			moved = count(s, "replica: lease transferred")
		})
	if reports[0].Count != 3 || moved < 2 {
		t.Errorf("%s\n%d leases moved", reports[0], moved)
	}
	for i, d := range deaths {
		if len(d) != 1 || d[0] != "stopped" {
			t.Errorf("n%d ended %q", i+1, d)
		}
	}
}

// A fault at a probe asks in an event of its own: the probe may lie in the middle of
// the work of the very replica that is asked.
func TestRangesAtProbe(t *testing.T) {
	reports := underPlan(t, `
		at probe "replica: applied, before ack" n1 #60 lease-transfer
		at probe "replica: applied, before ack" n2 #80 lease-transfer
		at probe "replica: applied, before ack" n3 #100 lease-transfer
		at probe "replica: append written, before sync" n1 #120 leader-transfer all
		at probe "replica: append written, before sync" n2 #140 truncate-log all`,
		func(*sim.Sim, *cluster.Cluster) {})
	var leases int64
	for _, r := range reports[:3] {
		leases += r.Count
	}
	if leases < 1 || reports[3].Count < 1 || reports[4].Count < 1 {
		t.Error(reports)
	}
}
