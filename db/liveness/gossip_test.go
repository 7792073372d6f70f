package liveness

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

type simEnv struct {
	*sim.Proc
	*network.Endpoint
}

func (simEnv) FS() vfs.FS { return nil }

// startWithGossip starts a node whose records go over the real gossip.
func (n *toyNode) startWithGossip(net *network.Network) {
	n.p = n.m.Start("node")
	e := simEnv{n.p, net.Attach(n.p, network.Location{Region: []string{"us-east", "europe-west", "asia"}[n.id%3], Zone: "a"})}
	n.clock = hlc.NewClock(e, maxOffset)
	r := rpc.New(e, n.clock)
	g := gossip.New(gossip.Config{Env: e, RPC: r, Clock: n.clock, Cluster: 1, Bootstrap: []string{"n1", "n2"},
		Self: gossip.NodeDescriptor{NodeID: n.id, Address: n.m.Name(), Incarnation: int64(e.Mono()) + 1}})
	n.l = New(Config{Env: e, Clock: n.clock, NodeID: n.id, Gossip: g,
		DB: kv.NewDB(kv.SenderFunc(func(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse { return n.send(t, ba) }), 0)})
	r.Listen()
	g.Start()
	n.l.Start()
}

// Gossip is quick enough: in a cluster of thirty nodes on three continents every node
// takes every other for live, all the time, and one that dies for unavailable within
// liveness.expiry and the time that its last record takes.
func TestOverGossip(t *testing.T) {
	w := newToy(t, 1, 30, nil)
	w.delay, w.jitter = 50*time.Millisecond, 100*time.Millisecond
	net := network.New(w.s, network.Config{Decode: true})
	for _, n := range w.nodes {
		n.m.Clock().SetOffset(time.Duration(w.rand.Int64N(int64(maxOffset))) - maxOffset/2)
		n.startWithGossip(net)
	}
	w.run(10 * time.Second)
	slack := time.Hour
	for range 300 {
		w.run(200 * time.Millisecond)
		for _, n := range w.nodes {
			now := n.l.now()
			for _, m := range w.nodes {
				slack = min(slack, time.Duration(n.l.Record(m.id).Expiration.Wall-now.Wall))
				if n.status(m.id) != "live" {
					t.Fatalf("n%d takes n%d for %s:\n%s", n.id, m.id, n.status(m.id), n.l)
				}
			}
		}
	}
	t.Logf("no record came closer to its expiration than %s", slack)
	if slack < time.Second {
		t.Errorf("a record was %s from its expiration when the next came", slack)
	}
	w.nodes[7].m.Kill("test")
	w.run(6*time.Second + maxOffset)
	for _, n := range w.nodes {
		if n.p.Alive() && n.status(8) != "unavailable" {
			t.Errorf("n%d takes n8 for %s", n.id, n.status(8))
		}
	}
	w.nodes[7].startWithGossip(net)
	w.run(3 * time.Second)
	for _, n := range w.nodes {
		if got := fmt.Sprint(n.status(8), n.l.Record(8).Epoch); n.id != 8 && got != "suspect2" {
			t.Errorf("n%d takes n8, which is back, for %s", n.id, got)
		}
	}
}
