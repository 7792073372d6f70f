package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/kvclient"
	"simulacrum/db/replica"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

const maxOffset = 500 * time.Millisecond

// world is five nodes, started as they are in earnest, each 10 ms from each other. n1, n2
// and n3 have a replica of each range: r1, with the index, whose lease is given to n3;
// r2, with the keys below m, whose lease is n1's; and r3, with the others, whose lease is
// n2's. n4 and n5 have none, and are the clients' gateways.
type world struct {
	tb    testing.TB
	sim   *sim.Sim
	net   *network.Network
	nodes []*node
	descs []*kv.RangeDescriptor
	start int64 // what true wall clocks read when all had been set up
	watch watcher
	// quiet: once all nodes know each other, they spread no news and have no heartbeats.
	// Every message brings clocks together, and a dialogue that is about clocks, or that
	// takes long, should show what its own messages do.
	quiet bool
}

// watcher stands between the routers of all nodes and what they send to stores, their
// own included.
type watcher interface {
	// sends is told of a batch, and says what befalls it.
	sends(from, to kv.NodeID, ba *kv.BatchRequest) mishap
	// held reports that a batch is still kept from being sent.
	held(ba *kv.BatchRequest) bool
	// answered is told of the answer, or why there is none.
	answered(from, to kv.NodeID, ba *kv.BatchRequest, br *kv.BatchResponse, err error)
}

// mishap is what befalls a batch on its way.
type mishap uint8

const (
	noMishap    mishap = iota
	loseRequest        // it never arrives, and the sender learns that it may have
	loseAnswer         // it is executed, and the sender learns that it may have been
	crashSender        // it is executed, and then the sender's process ends
)

type node struct {
	w       *world
	id      kv.NodeID
	machine *sim.Machine
	disk    *disk.Disk
	proc    *sim.Proc
	server  *Server // nil while down or starting
	db      *kv.DB  // with transactions that this node coordinates
	ended   func()  // told that the node has stopped because it is no member any more; may be nil
}

const (
	numNodes = 5
	replicas = 3 // of each range, on the first nodes
)

func newWorld(tb testing.TB, knobs map[string]int64, offsets map[kv.NodeID]time.Duration) *world {
	return newWorldOf(tb, 1, knobs, offsets)
}

// newWorldOf is newWorld with other draws.
func newWorldOf(tb testing.TB, seed uint64, knobs map[string]int64, offsets map[kv.NodeID]time.Duration) *world {
	all := map[string]int64{
		// Leases neither end nor are handed about by themselves.
		"lease.duration": int64(20 * time.Second), "raft.quiesce.ticks": 1 << 30,
	}
	for k, v := range knobs {
		all[k] = v
	}
	w := &world{tb: tb, sim: sim.New(sim.Config{Seed: seed, Epoch: 1000e9, Knobs: all})}
	tb.Cleanup(w.sim.Close)
	w.net = network.New(w.sim, network.Config{Decode: true, FarRTT: 20 * time.Millisecond, Routes: []network.Route{{A: "none", B: "none"}}})
	bounds := []keys.Key{keys.Min, keys.ClientStart, dialogueKey("m"), keys.Max}
	for i := range bounds[1:] {
		d := &kv.RangeDescriptor{RangeID: kv.RangeID(i + 1), StartKey: bounds[i], EndKey: bounds[i+1], NextReplicaID: replicas + 1, Generation: 1}
		for id := 1; id <= replicas; id++ {
			d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(id), StoreID: kv.StoreID(id), ReplicaID: kv.ReplicaID(id)})
		}
		w.descs = append(w.descs, d)
	}
	for id := kv.NodeID(1); id <= numNodes; id++ {
		n := &node{w: w, id: id}
		n.machine = w.sim.Machine(endpoint(id), sim.MachineConfig{Region: endpoint(id), Zone: "a"})
		n.machine.Clock().SetOffset(offsets[id])
		n.disk = disk.New(w.sim, endpoint(id), disk.Config{})
		w.nodes = append(w.nodes, n)
		n.boot()
	}
	for _, n := range w.nodes {
		w.until(20*time.Second, "a node does not start", func() bool { return n.server != nil })
	}
	for i, at := range []kv.NodeID{3, 1, 2} {
		w.lease(kv.RangeID(i+1), at)
	}
	w.introduce()
	if knobs["lease.epoch"] == 0 {
		w.quiet = true
		for _, n := range w.nodes {
			n.hush()
		}
	}
	w.runTo(time.Second)
	w.start = 1000e9 + int64(w.sim.Now())
	return w
}

func endpoint(id kv.NodeID) string { return fmt.Sprintf("n%d", id) }

func dialogueKey(s string) keys.Key { return append(keys.ClientStart.Clone(), s...) }

func (w *world) node(id kv.NodeID) *node { return w.nodes[id-1] }

// worldEnv is what a process is given.
type worldEnv struct {
	*sim.Proc
	*network.Endpoint
	fs vfs.FS
}

func (e *worldEnv) FS() vfs.FS { return e.fs }

// boot begins an incarnation. The router gets a transport that can be watched; nothing
// else is other than in earnest.
func (n *node) boot() {
	n.proc = n.machine.Start("server")
	e := &worldEnv{Proc: n.proc, Endpoint: n.w.net.Attach(n.proc, network.Location{Region: endpoint(n.id), Zone: "a"}), fs: n.disk.Mount(n.proc)}
	n.proc.OnDeath(func() { n.server, n.db = nil, nil })
	cfg := Config{NodeID: n.id, MaxOffset: maxOffset, Cluster: 1, Join: []string{endpoint(1), endpoint(2)}, Decommissioned: n.ended}
	for _, d := range n.w.descs {
		cfg.Ranges = append(cfg.Ranges, cloneDesc(d))
	}
	n.proc.Go("boot", func(t env.Task) {
		s, err := Start(t, e, cfg)
		if err != nil {
			panic(err)
		}
		tr := kvclient.NewTransport(e, s.rpc, n.id, kv.SenderFunc(s.send), s.peers.address)
		s.router = kvclient.NewRouter(e, &watched{tr, n}, kvclient.Config{Self: n.id, FirstRange: s.firstRange})
		n.db = kv.NewDB(s.router, 1).WithTxns(kvclient.NewTxns(e, s.clock, s.router, n.id))
		n.server = s
		n.hush()
	})
}

// hush ends what the node would say by itself, if the world is quiet.
func (n *node) hush() {
	if n.w.quiet {
		n.server.gossip.Stop()
		n.server.liveness.Stop()
	}
}

// kill ends the process; what the disk has stays.
func (n *node) kill() {
	n.machine.Kill("dialogue")
	n.disk.CrashProcess()
}

// watched is a router's transport with the world's watcher before it.
type watched struct {
	kvclient.Transport
	n *node
}

// Send implements kvclient.Transport.
func (tr *watched) Send(t env.Task, to kv.NodeID, ba *kv.BatchRequest, timeout time.Duration) (*kv.BatchResponse, error) {
	w, from := tr.n.w, tr.n.id
	if w.watch == nil || ba.Span().Key.Less(keys.ClientStart) {
		return tr.Transport.Send(t, to, ba, timeout) // of the index
	}
	lost := &rpc.Error{Peer: endpoint(to), Sent: true, Cause: env.ErrReset}
	tr.n.inTurn(t, ba)
	what := w.watch.sends(from, to, ba)
	for w.watch.held(ba) {
		if t.Sleep(time.Millisecond) != nil {
			return nil, lost
		}
	}
	if what == loseRequest {
		return nil, lost
	}
	br, err := tr.Transport.Send(t, to, ba, timeout)
	if what == loseAnswer && !redirected(br, err) {
		br, err = nil, lost
	}
	if what == crashSender {
		tr.n.proc.Schedule(0, "crash", tr.n.kill)
		t.Sleep(time.Minute)
	}
	tr.n.inTurn(t, ba)
	w.watch.answered(from, to, ba, br, err)
	return br, err
}

// inTurn waits for the turn of such batches. What goes on side by side has an order by
// chance, in the draws of the simulation and on the network; a dialogue that followed it
// would change with everything. Batches leave, and are answered, some time after the next
// multiple of 5 ms that tells nodes, ranges and methods apart.
func (n *node) inTurn(t env.Task, ba *kv.BatchRequest) {
	const slot = 5 * time.Millisecond
	last := ba.Requests[len(ba.Requests)-1]
	turn := (int(last.Method())*4+int(ba.RangeID))*numNodes + int(n.id)
	now := time.Duration(n.w.sim.Now())
	_ = t.Sleep((now/slot+1)*slot + time.Duration(turn)*time.Microsecond - now)
}

// until runs the simulation until the condition holds.
func (w *world) until(d time.Duration, what string, ok func() bool) {
	w.tb.Helper()
	for end := w.sim.Now() + sim.Time(d); !ok(); {
		if w.sim.Now() >= end || !w.sim.Step() {
			w.tb.Fatalf("%s in %s", what, d)
		}
	}
}

func (w *world) run(d time.Duration) { w.sim.RunUntil(w.sim.Now() + sim.Time(d)) }

// runTo runs to the next whole multiple of d, so that what is begun then can be told by
// its timestamp.
func (w *world) runTo(d time.Duration) {
	w.sim.RunUntil((w.sim.Now()/sim.Time(d) + 1) * sim.Time(d))
}

// replica is the leaseholder's replica of a range, nil if none is in force.
func (w *world) replica(id kv.RangeID) (*node, *replica.Replica) {
	for _, n := range w.nodes {
		if n.server == nil {
			continue
		}
		if r := n.server.store.Replica(id); r != nil && r.HoldsLease() {
			return n, r
		}
	}
	return nil, nil
}

// lease has the lease of a range go to a node.
func (w *world) lease(id kv.RangeID, to kv.NodeID) {
	key := w.descs[id-1].StartKey
	if id == 1 {
		key = keys.Meta2
	}
	for tries := 0; tries < 100; tries++ {
		if n, _ := w.replica(id); n != nil && n.id == to {
			w.run(2 * time.Second) // leadership follows
			return
		}
		for _, n := range w.nodes[:replicas] {
			done := false
			n.proc.Go("lease", func(t env.Task) {
				n.server.store.Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: id}, Requests: []kv.Request{&kv.TransferLeaseRequest{Key: key, Target: kv.StoreID(to)}}})
				done = true
			})
			w.until(20*time.Second, "a lease is not transferred", func() bool { return done })
		}
		w.run(time.Second)
	}
	w.tb.Fatalf("n%d does not get the lease of r%d", to, id)
}

// introduce has all routers learn of all ranges and leases.
func (w *world) introduce() {
	open := 0
	for _, n := range w.nodes {
		open++
		n.proc.Go("introduce", func(t env.Task) {
			for _, k := range []string{"a", "m"} {
				if _, err := n.db.Get(t, dialogueKey(k)); err != nil {
					panic(err)
				}
			}
			open--
		})
	}
	w.until(20*time.Second, "ranges are not found", func() bool { return open == 0 })
}

// cloneDesc is a copy for one node, that shares no memory with those of others.
func cloneDesc(d *kv.RangeDescriptor) *kv.RangeDescriptor {
	own := *d
	own.StartKey, own.EndKey = d.StartKey.Clone(), d.EndKey.Clone()
	own.Replicas = append([]kv.ReplicaDescriptor(nil), d.Replicas...)
	return &own
}
