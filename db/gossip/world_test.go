package gossip

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// world is a cluster of nodes that do nothing but gossip, on the simulated network,
// which hands over what was encoded and decoded.
type world struct {
	t       testing.TB
	s       *sim.Sim
	net     *network.Network
	members []*member
	cluster func(i int) ClusterID // nil: all belong to cluster 1
	near    bool                  // all stand in one zone, not in three regions
	quiet   bool                  // nobody begins an exchange by itself
}

// member is a node; its fields are those of its present incarnation.
type member struct {
	w           *world
	name        string
	m           *sim.Machine
	p           *sim.Proc
	rpc         *rpc.Node
	g           *Gossip
	incarnation int64
}

type simEnv struct {
	*sim.Proc
	*network.Endpoint
}

func (simEnv) FS() vfs.FS { return nil }

// newWorld makes a cluster of n nodes, not started, in three regions.
func newWorld(t testing.TB, seed uint64, n int, knobs map[string]int64) *world {
	s := sim.New(sim.Config{Seed: seed, Epoch: 1e18, Knobs: knobs})
	t.Cleanup(s.Close)
	w := &world{t: t, s: s, net: network.New(s, network.Config{Decode: true})}
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		w.members = append(w.members, &member{w: w, name: name, m: s.Machine(name, sim.MachineConfig{Cores: 4, Memory: 1 << 30})})
	}
	return w
}

// start starts members, all if none is named.
func (w *world) start(which ...int) *world {
	if len(which) == 0 {
		for i := range w.members {
			which = append(which, i)
		}
	}
	for _, i := range which {
		m := w.members[i]
		m.incarnation++
		m.p = m.m.Start("test")
		e := simEnv{m.p, w.net.Attach(m.p, m.location(i))}
		clock := hlc.NewClock(e, 500*time.Millisecond)
		m.rpc = rpc.New(e, clock)
		cluster := ClusterID(1)
		if w.cluster != nil {
			cluster = w.cluster(i)
		}
		m.g = New(Config{
			Env: e, RPC: m.rpc, Clock: clock, Cluster: cluster, Bootstrap: []string{"n1", "n2", "n3"},
			Self: NodeDescriptor{NodeID: kv.NodeID(i + 1), Address: m.name, Incarnation: m.incarnation},
		})
		m.rpc.Listen()
		if !w.quiet {
			m.g.Start()
		}
	}
	return w
}

func (m *member) location(i int) network.Location {
	if m.w.near {
		i = 0
	}
	return network.Location{Region: []string{"us-east", "us-west", "europe-west"}[i%3], Zone: "a"}
}

func (w *world) run(d time.Duration) {
	w.t.Helper()
	w.s.RunUntil(w.s.Now().Add(d))
	for _, f := range w.s.Findings() {
		w.t.Fatalf("finding: %s", f.String())
	}
}

// names are those of members [from, to).
func (w *world) names(from, to int) []string {
	var all []string
	for _, m := range w.members[from:to] {
		all = append(all, m.name)
	}
	return all
}

// say has a member publish a number as its own.
func (m *member) say(n int) {
	if err := m.g.Publish("said:"+m.name, []byte(fmt.Sprint(n)), 0); err != nil {
		m.w.t.Fatal(err)
	}
}

// heard is what a member knows that another said.
func (m *member) heard(of *member) string {
	x, _ := m.g.Get("said:" + of.name)
	return string(x.Value)
}

// await runs until every one of the members that are up knows of each of them that it
// said n, and returns how long that took; limit if it did not.
func (w *world) await(n int, limit time.Duration) time.Duration {
	w.t.Helper()
	from := w.s.Now()
	for w.s.Now().Sub(from) < limit {
		w.run(50 * time.Millisecond)
		if w.agree(n) {
			return w.s.Now().Sub(from)
		}
	}
	return limit
}

func (w *world) agree(n int) bool {
	for _, a := range w.members {
		for _, b := range w.members {
			if a.up() && b.up() && a.heard(b) != fmt.Sprint(n) {
				return false
			}
		}
	}
	return true
}

func (m *member) up() bool { return m.p != nil && m.p.Alive() }

func (w *world) sayAll(n int) {
	for _, m := range w.members {
		if m.up() {
			m.say(n)
		}
	}
}

var _ env.Env = simEnv{}
