package kvclient

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// process is one incarnation with all that a node or a client has here.
type process struct {
	*sim.Proc
	*network.Endpoint
	node   *rpc.Node
	router *Router
	remote *Remote
}

func (p *process) FS() vfs.FS { return nil }

// cluster is three nodes and a client on the simulated network. Their stores are
// those of a fakeCluster, which share their data, as if consensus were perfect.
type cluster struct {
	tb    testing.TB
	s     *sim.Sim
	net   *network.Network
	store *fakeCluster
	procs map[string]*process
}

var testNames = []string{"n1", "n2", "n3"}

func newCluster(tb testing.TB, seed uint64) *cluster {
	store := newFakeCluster(tb, seed)
	c := &cluster{tb: tb, s: store.s, store: store, procs: map[string]*process{}}
	c.net = network.New(c.s, network.Config{Decode: true})
	for i := range testNames {
		c.startNode(kv.NodeID(i + 1))
	}
	client := c.start("c1")
	client.remote = NewRemote(client, client.node, testNames)
	return c
}

func (c *cluster) start(name string) *process {
	var m *sim.Machine
	if old := c.procs[name]; old != nil {
		m = old.Machine()
	} else {
		m = c.s.Machine(name, sim.MachineConfig{Cores: 4, Memory: 1 << 32})
	}
	p := &process{Proc: m.Start("test")}
	p.Endpoint = c.net.Attach(p.Proc, network.Location{Region: "r", Zone: name})
	p.node = rpc.New(p, hlc.NewClock(p, 500*time.Millisecond))
	c.procs[name] = p
	return p
}

func (c *cluster) startNode(id kv.NodeID) {
	p := c.start(fmt.Sprintf("n%d", id))
	local := kv.SenderFunc(func(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
		if t.Sleep(2*time.Millisecond) != nil {
			return kv.ErrorResponse(kv.Errorf(kv.Timeout, "before evaluation"))
		}
		br := c.store.evaluate(id, ba)
		if t.Sleep(2*time.Millisecond) != nil && !ba.ReadsOnly() {
			return kv.ErrorResponse(kv.AmbiguousError(nil, "deadline while replicating"))
		}
		return br
	})
	tr := NewTransport(p, p.node, id, local, func(n kv.NodeID) string { return fmt.Sprintf("n%d", n) })
	boot := descriptor(1, keys.Min, keys.Max, 1, 1, 2, 3)
	p.router = NewRouter(p, tr, Config{Self: id, FirstRange: func() *kv.RangeDescriptor { return boot }})
	ServeStore(p, p.node, local)
	ServeGateway(p, p.node, p.router)
	p.node.Listen()
}

func (c *cluster) run(d time.Duration) {
	c.s.RunUntil(c.s.Now() + sim.Time(d))
	for _, f := range c.s.Findings() {
		c.tb.Fatalf("finding: %s", f.String())
	}
}

func (c *cluster) setHolder(k string, n kv.NodeID) {
	r := c.store.find(keys.Key(k))
	r.holder = n
	r.seq++
}

// A client gets through to leaseholders on any node, from any gateway.
func TestRemote(t *testing.T) {
	c := newCluster(t, 1)
	c.store.split(keys.Key("g"), 2)
	c.store.split(keys.Key("p"), 3)
	c.setHolder("g", 2)
	c.setHolder("p", 3)
	client := c.procs["c1"]
	db := kv.NewDB(client.remote, 0)
	ok := false
	client.Go("client", func(t env.Task) {
		for _, k := range []string{"a", "h", "q"} {
			if _, err := db.Put(t, keys.Key(k), []byte(k)); err != nil {
				c.tb.Errorf("put %s: %v", k, err)
			}
		}
		if v, err := db.Get(t, keys.Key("q")); err != nil || string(v.Bytes) != "q" {
			c.tb.Errorf("get: %+v, %v", v, err)
		}
		for _, page := range []int64{1, 2, 10} {
			up, err := db.Paged(page).Scan(t, keys.Key("a"), keys.Key("z"), 0)
			down, err2 := db.Paged(page).ReverseScan(t, keys.Key("a"), keys.Key("z"), 0)
			if err != nil || err2 != nil || len(up) != 3 || len(down) != 3 || !up[0].Key.Equal(down[2].Key) {
				c.tb.Errorf("scans by %d: %v %v %v %v", page, up, down, err, err2)
			}
		}
		ok = true
	})
	c.run(5 * time.Second)
	if !ok || client.remote.Gateway() != "n1" {
		t.Fatalf("done %v, gateway %s", ok, client.remote.Gateway())
	}
}

// Under crashes, cuts, resets, pauses and moving leases, what clients are told about
// their increments bounds what the counter holds.
func TestRemoteUnderFaults(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(6) {
		c := newCluster(t, seed)
		client := c.procs["c1"]
		r := c.s.Rand("faults")
		names := append([]string{"c1"}, testNames...)
		for at := time.Second; at < 40*time.Second; at += time.Duration(r.Int64N(int64(2 * time.Second))) {
			a, b := names[r.IntN(4)], names[r.IntN(4)]
			n := kv.NodeID(1 + r.IntN(3))
			m := c.procs[fmt.Sprintf("n%d", n)].Machine()
			switch r.IntN(5) {
			case 0:
				c.s.Schedule(at, "crash", func() {
					if m.Proc() != nil {
						m.Kill("test")
						c.s.Schedule(700*time.Millisecond, "start", func() { c.startNode(n) })
					}
				})
			case 1:
				c.s.Schedule(at, "cut", func() {
					cut := c.net.Cut([]string{a}, []string{b}, network.Drop)
					c.s.Schedule(3*time.Second, "heal", cut.Heal)
				})
			case 2:
				c.s.Schedule(at, "reset", func() { c.net.Reset([]string{a}, []string{b}) })
			case 3:
				c.s.Schedule(at, "pause", func() {
					m.Pause()
					c.s.Schedule(time.Second, "resume", m.Resume)
				})
			case 4:
				c.s.Schedule(at, "lease", func() { c.setHolder("a", n) })
			}
		}
		sure, unsure, failed := int64(0), int64(0), 0
		for i := range 4 {
			db := kv.NewDB(client.remote, uint64(i)<<32)
			client.Go("client", func(t env.Task) {
				for client.Mono() < time.Hour+45*time.Second {
					start := client.Mono()
					_, err := db.Batch(t, kv.Header{Deadline: 2 * time.Second}, &kv.IncrementRequest{Key: keys.Key("a"), By: 1})
					if took := client.Mono() - start; took > 2*time.Second+time.Millisecond {
						c.tb.Errorf("took %s", took)
					}
					switch {
					case err == nil:
						sure++
					case kv.AsError(err).Ambiguous():
						unsure++
					default:
						failed++
						t.Sleep(50 * time.Millisecond)
					}
				}
			})
		}
		c.run(50 * time.Second)
		var counter int64
		if row, ok := c.store.data["a"]; ok {
			counter = int64(binary.BigEndian.Uint64(row.Value))
		}
		if counter < sure || counter > sure+unsure || sure < 1000 {
			t.Fatalf("seed %d: %d sure, %d unsure, %d failed; the counter is %d", seed, sure, unsure, failed, counter)
		}
		for id, n := range c.store.runs {
			if n > 1 {
				t.Fatalf("seed %d: batch %d was executed %d times", seed, id, n)
			}
		}
		total["sure"] += int(sure)
		total["unsure"] += int(unsure)
		total["failed"] += failed
		for _, p := range append(Probes(), rpc.Probes()...) {
			total[string(p)] += int(c.s.ProbeCount(p))
		}
		c.s.Close()
	}
	t.Logf("%v", total)
	for _, name := range []string{"unsure", "failed", string(ProbeRedirected), string(ProbeGatewayLost), string(ProbeAmbiguous), string(rpc.ProbePingTimeout), string(rpc.ProbeLostCall)} {
		if total[name] == 0 {
			t.Errorf("never happened: %s", name)
		}
	}
}

// The client leaves a gateway that refuses or is silent. What it wrote there and got
// no answer to is ambiguous, though the next gateway could have answered; what it
// read is read there.
func TestRemoteChangesGateways(t *testing.T) {
	c := newCluster(t, 3)
	client := c.procs["c1"]
	db := kv.NewDB(client.remote, 0)
	var errs []error
	var gateways []string
	step := func(do func(t env.Task) error) {
		client.Go("client", func(t env.Task) {
			errs = append(errs, do(t))
			gateways = append(gateways, client.remote.Gateway())
		})
		c.run(20 * time.Second)
	}
	inc := func(t env.Task) error { _, err := db.Inc(t, keys.Key("a"), 1); return err }
	get := func(t env.Task) error { _, err := db.Get(t, keys.Key("a")); return err }

	step(inc)
	c.net.Cut([]string{"n1"}, []string{"c1"}, network.Drop)
	step(inc)
	c.procs["n2"].Machine().Kill("test")
	step(inc)
	step(get)
	c.net.Cut([]string{"n3"}, []string{"c1"}, network.Drop)
	step(get)
	want := []struct {
		kind    kv.ErrorKind
		gateway string
	}{{0, "n1"}, {kv.Ambiguous, "n2"}, {0, "n3"}, {0, "n3"}, {kv.Timeout, ""}}
	for i, w := range want {
		var kind kv.ErrorKind
		if errs[i] != nil {
			kind = kv.AsError(errs[i]).Kind
		}
		if kind != w.kind || w.gateway != "" && gateways[i] != w.gateway {
			t.Errorf("step %d: %v at gateway %s, want %v at %s", i, errs[i], gateways[i], w.kind, w.gateway)
		}
	}
	if n := binary.BigEndian.Uint64(c.store.data["a"].Value); n != 3 {
		t.Errorf("the counter is %d", n)
	}
}

// The same seed gives the same run.
func TestDeterministic(t *testing.T) {
	run := func() uint64 {
		c := newCluster(t, 5)
		client := c.procs["c1"]
		c.s.Schedule(50*time.Millisecond, "reset", func() { c.net.Reset([]string{"c1"}, []string{"n1"}) })
		c.s.Schedule(80*time.Millisecond, "lease", func() { c.setHolder("a", 3) })
		for i := range 8 {
			db := kv.NewDB(client.remote, uint64(i)<<32)
			client.Go("client", func(t env.Task) {
				for range 50 {
					db.Inc(t, keys.Key("a"), 1)
				}
			})
		}
		c.run(10 * time.Second)
		return c.s.Hash()
	}
	if a, b := run(), run(); a != b {
		t.Fatalf("%x and %x", a, b)
	}
}
