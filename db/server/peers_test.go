package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// loud has the nodes of a world go on spreading news.
var loud = map[string]int64{"lease.epoch": 1}

// Nodes that were told of n1 and n2 alone know all others soon, and what their stores hold.
func TestPeersAreLearned(t *testing.T) {
	w := newWorld(t, loud, nil)
	for _, n := range w.nodes {
		s := n.server
		for id := kv.NodeID(1); id <= numNodes; id++ {
			if got := s.peers.address(id); got != endpoint(id) {
				t.Errorf("n%d takes %q for the address of n%d", n.id, got, id)
			}
		}
		if !s.gossip.Connected() {
			t.Errorf("n%d has not heard of the first range", n.id)
		}
		w.run(15 * time.Second)
		stores := (*clusterView)(s).Stores(s.now())
		if len(stores) != numNodes {
			t.Fatalf("n%d knows %d stores: %v", n.id, len(stores), stores)
		}
		for i, st := range stores {
			want := int64(3)
			if i >= replicas {
				want = 0
			}
			if st.Ranges != want || st.Status != placement.Live || (*clusterView)(s).Told(st.ID).IsEmpty() {
				t.Errorf("n%d takes s%d for %s", n.id, i+1, &st)
			}
		}
	}
}

// A node that comes back while those it was told of at its first start are down finds the
// others, whose addresses it has kept.
func TestAddressesAreKept(t *testing.T) {
	w := newWorld(t, loud, nil)
	for _, id := range []kv.NodeID{1, 2, 4} {
		w.node(id).kill()
	}
	w.run(time.Second)
	w.node(4).boot()
	w.until(20*time.Second, "n4 does not start", func() bool { return w.node(4).server != nil })
	w.until(20*time.Second, "n4 does not hear of n3", func() bool { return w.node(4).server.peers.known[3].desc != nil })
}

// A machine that lost its disk is another node, at the same address. The one that it was
// cannot be reached any more, in whatever order one hears of the two, and though somebody
// answers there.
func TestAddressOfALostDisk(t *testing.T) {
	w := newWorld(t, nil, nil)
	say := func(n kv.NodeID, second int64) (*gossip.NodeDescriptor, hlc.Timestamp) {
		return &gossip.NodeDescriptor{NodeID: n, Address: "n9"}, hlc.Timestamp{Wall: second * 1e9}
	}
	for _, order := range [][]kv.NodeID{{9, 1009}, {1009, 9}} {
		p := &peers{engine: w.node(1).server.engine, known: map[kv.NodeID]peer{}}
		for _, n := range order {
			p.learn(say(n, int64(n)))
		}
		if p.address(9) != "" || p.address(1009) != "n9" {
			t.Errorf("after %v: n9 is at %q, n1009 at %q", order, p.address(9), p.address(1009))
		}
	}
}

// Each node measures the clocks of others though it has nothing to say to them, also after
// they were away: n4 and n5 have no ranges.
func TestWitnesses(t *testing.T) {
	w := newWorld(t, map[string]int64{"rpc.idle": int64(2 * time.Second)}, nil)
	w.run(30 * time.Second)
	if n := len(w.node(5).server.rpc.RemoteOffsets()); n != numNodes-1 {
		t.Errorf("n5 has measured %d clocks", n)
	}
	w.node(4).kill()
	w.run(30 * time.Second)
	if n := len(w.node(5).server.rpc.RemoteOffsets()); n != numNodes-2 {
		t.Errorf("while n4 is down, n5 has measured %d clocks", n)
	}
	w.node(4).boot()
	w.run(10 * time.Second)
	if n := len(w.node(5).server.rpc.RemoteOffsets()); n != numNodes-1 {
		t.Errorf("since n4 is back, n5 has measured %d clocks", n)
	}
}

// Live is a node that answers, whatever its record says; one that answers nobody is not,
// long before its record expires; of one that was never called the record tells.
func TestLive(t *testing.T) {
	w := newWorld(t, loud, nil)
	tr := (*transport)(w.node(4).server)
	if !tr.Live(5) || tr.Live(9) {
		t.Errorf("n5 is live %t, n9 %t", tr.Live(5), tr.Live(9))
	}
	w.node(5).kill()
	w.run(time.Second)
	now := w.node(4).server.now()
	if tr.Live(5) || !tr.liveness.IsLive(5, now) {
		t.Errorf("a second after its death n5 is live %t, its record %t", tr.Live(5), tr.liveness.IsLive(5, now))
	}
	w.run(20 * time.Second)
	w.node(5).boot()
	w.until(20*time.Second, "n5 is not live again", func() bool { return tr.Live(5) })

	// The records are out of reach, and expire. Whoever answers is live.
	for _, a := range []string{"n4", "n5"} {
		for _, b := range []string{"n1", "n2", "n3"} {
			w.net.Cut([]string{a}, []string{b}, network.Drop)
			w.net.Cut([]string{b}, []string{a}, network.Drop)
		}
	}
	w.run(15 * time.Second)
	if now := w.node(4).server.now(); tr.liveness.IsLive(5, now) || !tr.Live(5) {
		t.Errorf("n5's record is live %t, and it answers and is live %t", tr.liveness.IsLive(5, now), tr.Live(5))
	}
}

// A node that drains has no leases in the end, and others see that it drains. When it is
// back it does no more.
func TestDrain(t *testing.T) {
	w := newWorld(t, loud, nil)
	n := w.node(1)
	done := false
	n.proc.Go("drain", func(task env.Task) {
		n.server.Drain(task)
		done = true
	})
	w.until(10*time.Second, "n1 does not drain", func() bool { return done })
	w.run(2 * time.Second)
	if h, _ := w.replica(2); h == nil || h == n {
		t.Error("n1 has kept the lease of r2, or nobody has it")
	}
	status := func() placement.Status {
		s := w.node(3).server
		return (*clusterView)(s).Stores(s.now())[0].Status
	}
	if status() != placement.Draining {
		t.Errorf("n3 takes n1 for %s", status())
	}
	holder, r := w.replica(2)
	var err error
	holder.proc.Go("move", func(task env.Task) {
		if _, e := r.TransferLease(task, 1); e != nil {
			err = e
		}
	})
	w.run(2 * time.Second)
	if err == nil || !strings.Contains(err.Error(), "n1 is draining") || !r.HoldsLease() {
		t.Errorf("a lease is handed to the node that drains: %v", err)
	}
	n.kill()
	n.boot()
	w.until(20*time.Second, "n1 drains still", func() bool { return n.server != nil && status() != placement.Draining })
}

// A node that is decommissioned learns of it by its next heartbeat, and ends itself. So it
// does whenever it is started again.
func TestDecommission(t *testing.T) {
	w := newWorld(t, loud, nil)
	ended := 0
	n := w.node(5)
	n.ended = func() { ended++ }
	n.kill()
	n.boot()
	w.run(5 * time.Second)
	var err error
	began := w.sim.Now()
	w.node(1).proc.Go("decommission", func(task env.Task) { err = w.node(1).server.Decommission(task, 5) })
	w.until(20*time.Second, "n5 does not end", func() bool { return ended == 1 })
	if err != nil || w.sim.Now().Sub(began) > 10*time.Second {
		t.Errorf("decommissioned in %s: %v", w.sim.Now().Sub(began), err)
	}

	// One that has replicas, which nobody takes, stays. It may be kept.
	w.node(1).proc.Go("decommission", func(task env.Task) {
		task.SetDeadline(w.node(1).proc.Mono() + 10*time.Second)
		err = w.node(1).server.Decommission(task, 3)
	})
	w.until(20*time.Second, "it is not given up", func() bool { return err != nil })
	status := func() placement.Status {
		s := w.node(2).server
		return (*clusterView)(s).Stores(s.now())[2].Status
	}
	if s := status(); s != placement.Decommissioning || !errors.Is(err, env.ErrDeadline) {
		t.Errorf("n3 is %s: %v", s, err)
	}
	w.node(1).proc.Go("recommission", func(task env.Task) { err = w.node(1).server.Recommission(task, 3) })
	w.until(20*time.Second, "n3 is not kept", func() bool { return err == nil && status() == placement.Live })

	n.kill()
	n.boot()
	w.until(20*time.Second, "n5 does not end again", func() bool { return ended == 2 })
}
