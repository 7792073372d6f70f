package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// What all nodes say at one moment is known to all within two seconds, in clusters of 3
// to 90 nodes. A cluster that begins takes longer: nodes must find each other first.
func TestConvergence(t *testing.T) {
	for _, n := range []int{3, 9, 30, 90} {
		for seed := range uint64(3) {
			w := newWorld(t, seed, n, nil).start()
			w.sayAll(1)
			boot := w.await(1, 10*time.Second)
			w.run(30 * time.Second)
			var worst time.Duration
			for round := 2; round < 5; round++ {
				w.sayAll(round)
				worst = max(worst, w.await(round, 10*time.Second))
			}
			t.Logf("%d nodes, seed %d: %s at boot, then %s", n, seed, boot, worst)
			if boot > 5*time.Second || worst > 2*time.Second {
				t.Errorf("%d nodes, seed %d: %s at boot, then %s", n, seed, boot, worst)
			}
			w.s.Close()
		}
	}
}

// A fifth of all packets is lost, and everything takes up to 100 ms longer: it still
// becomes known, within four seconds.
func TestConvergenceUnderLoss(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, seed, 20, nil).start()
		all := w.names(0, 20)
		w.net.Degrade(all, all, network.LinkFault{Loss: 200_000, Jitter: 100 * time.Millisecond})
		w.run(20 * time.Second)
		w.sayAll(1)
		took := w.await(1, 30*time.Second)
		t.Logf("seed %d: %s", seed, took)
		if took > 4*time.Second {
			t.Errorf("seed %d: %s", seed, took)
		}
	}
}

// A cluster in two parts, each large enough that its nodes need nobody outside, becomes
// one again once the cut heals. A part of one node does, too.
func TestPartsFindEachOther(t *testing.T) {
	for _, c := range []struct{ size, left int }{{20, 10}, {12, 4}, {5, 1}, {3, 1}} {
		for seed := range uint64(3) {
			w := newWorld(t, seed, c.size, nil).start()
			w.run(20 * time.Second)
			cut := w.net.Cut(w.names(0, c.left), w.names(c.left, c.size), network.Drop)
			back := w.net.Cut(w.names(c.left, c.size), w.names(0, c.left), network.Drop)
			w.run(100 * time.Second)
			w.sayAll(7)
			w.run(10 * time.Second)
			if w.agree(7) {
				t.Fatal("the cut cuts nothing")
			}
			if within := w.members[0].heard(w.members[max(c.left-1, 0)]); within != "7" {
				t.Fatalf("within a part: %q", within)
			}
			cut.Heal()
			back.Heal()
			took := w.await(7, time.Minute)
			t.Logf("%d of %d, seed %d: %s", c.left, c.size, seed, took)
			if took > 20*time.Second {
				t.Errorf("%d of %d, seed %d: %s", c.left, c.size, seed, took)
			}
			w.s.Close()
		}
	}
}

// A node that lost sight of the sentinel looks for others at once, and not only when it
// is time to exchange a peer.
func TestSentinelLost(t *testing.T) {
	took, rotated := map[bool]time.Duration{}, map[bool]int64{}
	for seed := range uint64(6) {
		sentinel := seed%2 == 0
		w := newWorld(t, seed, 16, map[string]int64{"gossip.rotate": int64(time.Minute)}).start()
		if sentinel {
			m := w.members[15]
			m.p.Go("sentinel", func(t env.Task) {
				for t.Err() == nil {
					m.g.PublishSentinel(nil)
					t.Sleep(m.g.SentinelEvery())
				}
			})
		}
		w.run(20 * time.Second)
		if got := w.members[0].g.Connected(); got != sentinel {
			t.Fatalf("connected: %v", got)
		}
		cut := w.net.Cut(w.names(0, 8), w.names(8, 16), network.Drop)
		back := w.net.Cut(w.names(8, 16), w.names(0, 8), network.Drop)
		before := w.s.ProbeCount(ProbeRotated)
		w.run(150 * time.Second) // until even the descriptors have expired
		rotated[sentinel] += w.s.ProbeCount(ProbeRotated) - before
		if w.members[0].g.Connected() {
			t.Fatal("connected across a cut")
		}
		w.sayAll(1)
		cut.Heal()
		back.Heal()
		took[sentinel] += w.await(1, 2*time.Minute) / 3
		if (w.s.ProbeCount(ProbeCutOff) > 0) != sentinel {
			t.Fatal("who never heard the sentinel takes himself for cut off, or who missed it does not")
		}
		w.s.Close()
	}
	t.Logf("on average %v; peers exchanged: %v", took, rotated)
	if rotated[true] < 4*rotated[false] {
		t.Errorf("peers exchanged: %v", rotated)
	}
	if took[true] > 5*time.Second || took[false] <= took[true] {
		t.Fatalf("with the sentinel %s, without %s", took[true], took[false])
	}
}

// However large the cluster, a node sends a bounded number of messages a second, has a
// bounded number of peers, and does not talk to everybody. BenchmarkTraffic has the curve.
func TestTrafficIsBounded(t *testing.T) {
	for _, n := range []int{9, 30, 90} {
		w := newWorld(t, 1, n, nil).start()
		w.run(20 * time.Second)
		chatter(w)
		before := w.exchanges()
		w.run(20 * time.Second)
		after := w.exchanges()
		var worst int64
		for i := range after {
			worst = max(worst, after[i]-before[i])
		}
		// Each of three peers of its own choice and at most ten callers, four times a second.
		if limit := int64((20*4 + 1) * (3 + 10)); worst > limit {
			t.Errorf("%d nodes: %d exchanges of one node in 20 s, more than %d", n, worst, limit)
		}
		for i, m := range w.members {
			if len(m.g.peers) > 3 || len(m.g.incoming) > 10 {
				t.Errorf("%d nodes: %s has %d peers and %d callers", n, m.name, len(m.g.peers), len(m.g.incoming))
			}
			if n == 90 && i >= 3 && len(m.g.known) > 30 { // all begin with the first three
				t.Errorf("%s has exchanged infos with %d nodes in 40 s", m.name, len(m.g.known))
			}
		}
		w.s.Close()
	}
}

// chatter has every node publish what nodes of an idle cluster do: a liveness record
// every 3 s, a store's descriptor every 10 s.
func chatter(w *world) {
	for i, m := range w.members {
		d := &StoreDescriptor{StoreID: kv.StoreID(i + 1), NodeID: kv.NodeID(i + 1)}
		for j, every := range []time.Duration{3 * time.Second, 10 * time.Second} {
			m.p.Go("chatter", func(t env.Task) {
				t.Sleep(time.Duration(i) * every / time.Duration(len(w.members)))
				for t.Err() == nil {
					if j == 0 {
						m.g.PublishVersion(LivenessKey(kv.NodeID(i+1)), make([]byte, 20), m.g.clock.Now(), 0)
					} else {
						d.Capacity.Used++
						m.g.PublishStore(d, time.Minute)
					}
					t.Sleep(every)
				}
			})
		}
	}
}

func (w *world) exchanges() []int64 {
	var all []int64
	for _, m := range w.members {
		st := m.g.Stats()
		all = append(all, st.Exchanges+st.Served)
	}
	return all
}

// A node that has all the callers it wants lets no more in, and each finds others.
func TestFull(t *testing.T) {
	w := newWorld(t, 2, 40, map[string]int64{"gossip.incoming": 8}).start()
	w.run(40 * time.Second)
	for _, m := range w.members {
		if len(m.g.incoming) > 8 {
			t.Errorf("%s has %d callers", m.name, len(m.g.incoming))
		}
		if len(m.g.peers) != 3 {
			t.Errorf("%s has %d peers", m.name, len(m.g.peers))
		}
	}
	if w.s.ProbeCount(ProbeFull) == 0 {
		t.Error("forty nodes that begin with the same three were never refused")
	}
}

// Nodes of two clusters that know each other's addresses tell each other nothing.
func TestClustersDoNotMix(t *testing.T) {
	w := newWorld(t, 1, 6, nil)
	w.cluster = func(i int) ClusterID { return ClusterID(1 + i%2) }
	w.start()
	w.run(5 * time.Second)
	w.sayAll(1)
	w.run(20 * time.Second)
	for i, a := range w.members {
		for j, b := range w.members {
			if heard := a.heard(b) != ""; heard != (i%2 == j%2) {
				t.Errorf("%s heard of %s: %v", a.name, b.name, heard)
			}
		}
	}
	if w.s.ProbeCount(ProbeAlien) == 0 {
		t.Error("nobody was refused")
	}
}

// What a new incarnation says replaces what the old one said, even if the clock has gone
// back by more than has passed since.
func TestIncarnations(t *testing.T) {
	w := newWorld(t, 3, 5, nil).start()
	w.run(5 * time.Second)
	m := w.members[4]
	m.m.Clock().Step(450 * time.Millisecond)
	m.say(1)
	w.run(400 * time.Millisecond)
	m.m.Kill("test")
	m.m.Clock().Step(-900 * time.Millisecond)
	if w.members[0].heard(m) != "1" {
		t.Fatal("the old incarnation was not heard")
	}
	w.start(4)
	m.say(2)
	if m.heard(m) != "2" {
		t.Fatal("a node does not know what it says")
	}
	w.run(10 * time.Second)
	for _, a := range w.members {
		if a.heard(m) != "2" {
			t.Errorf("%s heard %q", a.name, a.heard(m))
		}
		if d, ok := a.g.Node(5); !ok || d.Incarnation != 2 {
			t.Errorf("%s knows %v", a.name, d)
		}
	}
	if w.s.ProbeCount(ProbePredecessor) == 0 {
		t.Error("the old incarnation's infos were not in the way")
	}
}

// A node whose memory is new is told everything, although its peers told it before.
func TestRebornPeerIsToldAgain(t *testing.T) {
	w := newWorld(t, 1, 3, map[string]int64{"gossip.message_bytes": 1 << 10}).start()
	w.run(3 * time.Second)
	for i := range 40 {
		for _, m := range w.members {
			if err := m.g.Publish(fmt.Sprintf("many:%s:%d", m.name, i), make([]byte, 100), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.sayAll(1)
	w.run(10 * time.Second)
	w.members[1].m.Kill("test")
	w.start(1)
	w.run(15 * time.Second)
	for _, m := range w.members {
		n := 0
		m.g.Visit("many:", func(Info) bool { n++; return true })
		if n != 120 {
			t.Errorf("%s knows %d of 120", m.name, n)
		}
	}
	if w.s.ProbeCount(ProbeReborn) == 0 || w.s.ProbeCount(ProbeDivided) == 0 {
		t.Error("nobody noticed the new memory, or all went in one message")
	}
}

// While nodes are killed, cut off and started again, nobody is ever told something
// older than he knows; and when it is over everybody knows the last that was said.
func TestNobodyGoesBack(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, seed, 10, nil).start()
		rnd := w.s.Rand("test")
		last := map[string]int{} // of an incarnation, what it heard last of each
		watch := func(m *member) {
			who := fmt.Sprintf("%s.%d", m.name, m.incarnation)
			m.g.OnChange("said:", func(x Info) {
				var n int
				fmt.Sscan(string(x.Value), &n)
				if k := who + x.Key; n <= last[k] {
					t.Errorf("seed %d: %s heard %d of %s after %d", seed, who, n, x.Key, last[k])
				} else {
					last[k] = n
				}
			})
		}
		for _, m := range w.members {
			watch(m)
		}
		for n := 1; n < 40; n++ {
			w.sayAll(n)
			i := rnd.IntN(10)
			switch m := w.members[i]; {
			case !m.up():
				w.start(i)
				watch(m)
				m.say(n)
			case rnd.IntN(2) == 0:
				m.m.Kill("test")
			default:
				from := rnd.IntN(9)
				cut := w.net.Cut(w.names(from, from+1), w.names(from+1, 10), network.Drop)
				w.s.Schedule(time.Duration(rnd.IntN(6000))*time.Millisecond, "heal", cut.Heal)
			}
			w.run(time.Duration(rnd.IntN(2000)) * time.Millisecond)
		}
		w.run(10 * time.Second)
		for i, m := range w.members {
			if !m.up() {
				w.start(i)
			}
		}
		w.sayAll(99)
		if took := w.await(99, time.Minute); took > 20*time.Second {
			t.Errorf("seed %d: %s", seed, took)
		}
		w.s.Close()
	}
}

// An info is not shown after its time, and an older one that lives longer does not come
// back in its place, neither here nor at a node that begins later.
func TestExpiry(t *testing.T) {
	w := newWorld(t, 1, 4, nil).start(0, 1, 2)
	w.run(3 * time.Second)
	a, b := w.members[0], w.members[1]
	old := a.g.clock.Now()
	if err := a.g.PublishVersion("x", []byte("new"), a.g.clock.Now(), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	if x, ok := b.g.Get("x"); !ok || string(x.Value) != "new" || x.Hops == 0 {
		t.Fatalf("%v %v", x, ok)
	}
	w.run(3 * time.Second)
	if x, ok := b.g.Get("x"); ok {
		t.Fatalf("shown after its time: %s", &x)
	}
	w.start(3)
	d := w.members[3]
	d.g.OnChange("x", func(x Info) { t.Errorf("%s is shown as news", &x) })
	w.run(5 * time.Second)
	if err := d.g.PublishVersion("x", []byte("old"), old, 0); err != nil {
		t.Fatal(err)
	}
	w.run(5 * time.Second)
	for _, m := range w.members {
		if x, ok := m.g.Get("x"); ok {
			t.Errorf("%s: %s came back", m.name, &x)
		}
		n := 0
		m.g.Visit("x", func(Info) bool { n++; return true })
		m.g.OnChange("x", func(Info) { n++ })
		if n != 0 {
			t.Errorf("%s is shown what has expired", m.name)
		}
	}
}

// A node whose infos come over too many hands is chosen, and the one that told least
// makes room.
func TestFarNodesAreChosen(t *testing.T) {
	w := newWorld(t, 1, 8, map[string]int64{"gossip.max_hops": 2}).start(0, 1, 2)
	w.run(3 * time.Second)
	g := w.members[0].g
	for i := 3; i < 8; i++ {
		d := NodeDescriptor{NodeID: kv.NodeID(i + 1), Address: fmt.Sprintf("n%d", i+1), Incarnation: 1}
		x := Info{Key: NodeKey(d.NodeID), Value: d.Encode(nil), Version: g.clock.Now(), Origin: d.NodeID, Hops: 1}
		if i == 5 {
			x.Hops = 3
		}
		g.accept(x, teller{})
	}
	if c, ok := g.choose(g.e.Mono()); !ok || c.address != "n6" {
		t.Fatalf("%v %v", c, ok)
	}
	g.peers = g.peers[:0]
	for i, fresh := range []int{5, 1, 3} {
		g.begin(candidate{address: []string{"n4", "n5", "n7"}[i]}).fresh = fresh
	}
	g.rotatePeer(g.e.Mono())
	var names []string
	for _, p := range g.peers {
		names = append(names, p.address)
	}
	if !slices.Equal(names, []string{"n4", "n7", "n6"}) || w.s.ProbeCount(ProbeFar) == 0 {
		t.Fatalf("%v", names)
	}
}

// What nodes and stores say of themselves is known everywhere, and what cannot be read is
// as good as unknown.
func TestDescriptors(t *testing.T) {
	w := newWorld(t, 1, 3, nil).start()
	a, b := w.members[0], w.members[1]
	store := StoreDescriptor{StoreID: 4, NodeID: 1, Attributes: []string{"ssd"},
		Capacity: StoreCapacity{Capacity: 100, Used: 7, Leases: 3, Load: placement.Load{Requests: 9}}}
	if err := a.g.PublishStore(&store, time.Minute); err != nil {
		t.Fatal(err)
	}
	a.g.SetDraining(true)
	if err := a.g.Publish(NodeKey(77), []byte("no descriptor"), 0); err != nil {
		t.Fatal(err)
	}
	if err := a.g.Publish(StoreKey(77), nil, 0); err != nil {
		t.Fatal(err)
	}
	w.run(5 * time.Second)
	if got, ok := b.g.Store(4); !ok || got.String() != store.String() || len(b.g.Stores()) != 1 {
		t.Errorf("%v of %v", got, b.g.Stores())
	}
	if d, ok := b.g.Node(1); !ok || !d.Draining || d.Address != "n1" || len(b.g.Nodes()) != 3 {
		t.Errorf("%v of %v", d, b.g.Nodes())
	}
	if _, ok := b.g.Node(77); ok {
		t.Error("a node that nobody can read is known")
	}
	if err := a.g.Publish("k", make([]byte, MaxValue+1), 0); err == nil {
		t.Error("too large a value is published")
	}
	a.g.Stop()
	at := a.g.Stats().Exchanges
	w.run(5 * time.Second)
	if a.g.Stats().Exchanges != at {
		t.Error("exchanges go on after Stop")
	}
}

// Descriptors do not expire while their nodes are up, and do when they are not.
func TestDescriptorsAreRenewed(t *testing.T) {
	w := newWorld(t, 1, 3, nil).start()
	w.run(5 * time.Minute)
	if n := len(w.members[0].g.Nodes()); n != 3 {
		t.Fatalf("%d of three nodes are known after five minutes:\n%s", n, w.members[0].g)
	}
	w.members[2].m.Kill("test")
	w.run(3 * time.Minute)
	if _, ok := w.members[0].g.Node(3); ok {
		t.Error("a node that is down for three minutes is still shown")
	}
}

// exchange has one member begin one exchange with another.
func (m *member) exchange(with *member) {
	m.w.t.Helper()
	k := m.g.known[with.name]
	if k == nil {
		k = &acquaintance{}
		m.g.known[with.name] = k
	}
	p := &peering{g: m.g, address: with.name, known: k}
	err := fmt.Errorf("still under way")
	m.p.Go("exchange", func(t env.Task) { err = p.exchange(t) })
	m.w.run(3 * time.Second)
	if err != nil {
		m.w.t.Fatal(err)
	}
}

// Each half of what two nodes remember of each other is void when one of them has a new
// memory: here one exchange at a time, so that nothing else makes up for it.
func TestNewMemory(t *testing.T) {
	knows := func(m *member, key string) {
		t.Helper()
		if _, ok := m.g.Get(key); !ok {
			t.Errorf("%s does not know %s", m.name, key)
		}
	}
	begin := func() (w *world, a, b *member) {
		w = newWorld(t, 1, 2, nil)
		w.quiet = true
		w.start()
		a, b = w.members[0], w.members[1]
		a.g.Publish("x", nil, 0)
		for _, key := range []string{"p", "q"} {
			b.g.Publish(key, nil, 0)
		}
		a.exchange(b)
		knows(b, "x")
		b.m.Kill("test")
		w.run(5 * time.Second)
		w.start(1)
		b.g.Publish("y", nil, 0)
		return w, a, b
	}
	_, a, b := begin()
	a.exchange(b)
	knows(a, "y") // though a had b's infos up to a higher number
	a.exchange(b)
	knows(b, "x") // though a had told b

	_, a, b = begin()
	a.exchange(b) // which leaves x out
	b.exchange(a)
	knows(b, "x") // though a has told b all up to a higher number
}

// BenchmarkTraffic is a second of an idle cluster's gossip: what it costs to simulate,
// and what one node sends in it.
func BenchmarkTraffic(b *testing.B) {
	for _, n := range []int{3, 9, 30, 90} {
		b.Run(fmt.Sprintf("%d-nodes", n), func(b *testing.B) {
			w := newWorld(b, 1, n, nil).start()
			w.run(10 * time.Second)
			chatter(w)
			w.run(10 * time.Second)
			before := w.total()
			b.ResetTimer()
			for range b.N {
				w.run(time.Second)
			}
			after := w.total()
			per := func(x int64) float64 { return float64(x) / float64(b.N*n) }
			b.ReportMetric(per(after.Exchanges+after.Served-before.Exchanges-before.Served), "messages/node/s")
			b.ReportMetric(per(after.BytesSent-before.BytesSent), "bytes/node/s")
			b.ReportMetric(per(after.InfosSent-before.InfosSent), "infos/node/s")
			b.ReportMetric(per(after.Fresh-before.Fresh), "news/node/s")
		})
	}
}

func (w *world) total() (sum Stats) {
	for _, m := range w.members {
		st := m.g.Stats()
		sum.Exchanges += st.Exchanges
		sum.Served += st.Served
		sum.BytesSent += st.BytesSent
		sum.InfosSent += st.InfosSent
		sum.Fresh += st.Fresh
	}
	return sum
}
