package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

const maxOffset = 500 * time.Millisecond

// cluster is a few stores in one simulation, with a transport that takes a
// millisecond and can be cut. Every message is encoded and decoded.
type cluster struct {
	tb    testing.TB
	sim   *sim.Sim
	nodes []*node
	descs []*kv.RangeDescriptor
	// cut names directed links that lose everything.
	cut map[[2]kv.NodeID]bool
	// hold, if it says so of a message, loses it.
	hold func(from, to kv.NodeID, m *replica.Message) bool
	tell func(format string, args ...any) // of what an observer saw
	sent int
	// byReference passes raft messages without encoding, for benchmarks.
	byReference bool
	// observe, if not nil, is told of leases and reads.
	observe interface {
		LeaseApplied(r *replica.Replica, prev, next kv.Lease)
		Served(r *replica.Replica, span keys.Span, ts hlc.Timestamp, sequence int64)
	}
}

type node struct {
	c       *cluster
	id      kv.NodeID
	machine *sim.Machine
	disk    *disk.Disk
	proc    *sim.Proc
	engine  *storage.Engine
	clock   *hlc.Clock
	store   *Store
	opened  env.Promise[struct{}]
}

type nodeEnv struct {
	*sim.Proc
	env.Network
	fs vfs.FS
}

func (e *nodeEnv) FS() vfs.FS { return e.fs }

func key(s string) keys.Key { return append(keys.ClientStart.Clone(), s...) }

// newCluster boots n nodes with one range that has a replica on each.
func newCluster(tb testing.TB, n int, cfg sim.Config) *cluster {
	return newClusterOn(tb, n, cfg, disk.Config{})
}

// newClusterOn is newCluster on disks of another kind.
func newClusterOn(tb testing.TB, n int, cfg sim.Config, disks disk.Config) *cluster {
	return newClusterOf(tb, n, cfg, disks)
}

// newClusterOf is newClusterOn with a range between any two of the keys.
func newClusterOf(tb testing.TB, n int, cfg sim.Config, disks disk.Config, splits ...string) *cluster {
	c := &cluster{tb: tb, sim: sim.New(cfg), cut: map[[2]kv.NodeID]bool{}, tell: func(string, ...any) {}}
	for i := 0; i <= len(splits); i++ {
		d := &kv.RangeDescriptor{RangeID: kv.RangeID(i + 1), StartKey: keys.Min, EndKey: keys.Max, NextReplicaID: kv.ReplicaID(n + 1), Generation: 1}
		if i > 0 {
			d.StartKey = key(splits[i-1])
		}
		if i < len(splits) {
			d.EndKey = key(splits[i])
		}
		for i := 1; i <= n; i++ {
			d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(i), StoreID: kv.StoreID(i), ReplicaID: kv.ReplicaID(i)})
		}
		c.descs = append(c.descs, d)
	}
	for i := 1; i <= n; i++ {
		nd := &node{c: c, id: kv.NodeID(i)}
		name := fmt.Sprintf("n%d", i)
		nd.machine = c.sim.Machine(name, sim.MachineConfig{})
		nd.disk = disk.New(c.sim, name, disks)
		c.nodes = append(c.nodes, nd)
		nd.start(true)
	}
	for _, nd := range c.nodes {
		nd.await()
	}
	tb.Cleanup(c.close)
	return c
}

func (c *cluster) close() {
	for _, f := range c.sim.Findings() {
		c.tb.Errorf("finding: %s", f.String())
	}
	c.sim.Close()
}

func (c *cluster) node(id kv.NodeID) *node { return c.nodes[id-1] }

// start begins an incarnation; await returns when it serves.
func (n *node) start(bootstrap bool) {
	n.proc = n.machine.Start("test")
	e := &nodeEnv{Proc: n.proc}
	e.fs = n.disk.Mount(n.proc)
	n.opened = env.Promise[struct{}]{}
	n.store = nil
	n.proc.Go("open", func(t env.Task) {
		eng, err := storage.Open(t, e, "data", storage.Options{})
		if err != nil {
			panic(err)
		}
		if bootstrap {
			b := eng.NewBatch()
			Bootstrap(b, kv.StoreID(n.id), n.c.descs)
			var synced env.Promise[struct{}]
			eng.Commit(b, true, func() { synced.Resolve(struct{}{}, nil) })
			if _, err := synced.Wait(t, "bootstrap", -1); err != nil {
				panic(err)
			}
		}
		n.engine = eng
		n.clock = hlc.NewClock(n.proc, maxOffset)
		if !bootstrap {
			if err := n.clock.RestartWait(t, hlc.Timestamp{}); err != nil {
				panic(err)
			}
		}
		st, err := Open(t, Config{
			Env: n.proc, Engine: eng, Clock: n.clock, NodeID: n.id, StoreID: kv.StoreID(n.id),
			Transport: &link{n: n}, Observer: &watch{n: n}, Sender: kv.SenderFunc(n.sendHere),
		})
		if err != nil {
			panic(err)
		}
		n.store = st
		n.opened.Resolve(struct{}{}, nil)
	})
}

// sendHere is for what the store itself sends: all is in one range, whose lease it has.
func (n *node) sendHere(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	ba.RangeID = 1
	return n.store.Send(t, ba)
}

func (n *node) await() {
	n.c.until(10*time.Second, func() bool { return n.opened.Ready() })
}

func (n *node) kill(power bool) {
	n.machine.Kill("test")
	if power {
		n.disk.PowerLoss()
	} else {
		n.disk.CrashProcess()
	}
	n.store = nil
}

// until runs the simulation until the condition holds, and fails after d.
func (c *cluster) until(d time.Duration, ok func() bool) {
	c.tb.Helper()
	end := c.sim.Now() + sim.Time(d)
	for !ok() {
		if c.sim.Now() >= end || !c.sim.Step() {
			c.tb.Fatalf("%s: condition not met after %s\n%s", c.sim.Now(), d, c)
		}
	}
}

func (c *cluster) run(d time.Duration) { c.sim.RunUntil(c.sim.Now() + sim.Time(d)) }

func (c *cluster) String() string {
	var b strings.Builder
	for _, n := range c.nodes {
		if n.store != nil {
			b.WriteString(n.store.String())
		} else {
			fmt.Fprintf(&b, "n%d is down\n", n.id)
		}
	}
	return b.String()
}

// link is a node's transport.
type link struct{ n *node }

const linkDelay = time.Millisecond

func (l *link) SendRaft(to kv.NodeID, b *RaftBatch) {
	c := l.n.c
	from := l.n.id
	if c.byReference {
		c.deliver(from, to, func(n *node) { n.store.HandleRaft(b) })
		return
	}
	buf := b.Encode(nil)
	if len(buf) != b.Size() {
		panic("size of a raft batch")
	}
	r := codec.NewReader(buf)
	d := DecodeRaftBatch(r)
	if err := r.Done(); err != nil {
		panic(err)
	}
	c.sent += len(d.Messages)
	if c.hold != nil {
		kept := d.Messages[:0]
		for i := range d.Messages {
			if !c.hold(from, to, &d.Messages[i]) {
				kept = append(kept, d.Messages[i])
			}
		}
		d.Messages = kept
	}
	c.deliver(from, to, func(n *node) { n.store.HandleRaft(d) })
}

func (c *cluster) deliver(from, to kv.NodeID, fn func(n *node)) {
	n := c.node(to)
	if c.cut[[2]kv.NodeID{from, to}] || n.store == nil {
		return
	}
	proc := n.proc
	proc.Schedule(linkDelay, "deliver", func() {
		if n.proc == proc && n.store != nil {
			fn(n)
		}
	})
}

func (l *link) AwaitApplied(t env.Task, to kv.NodeID, q *AppliedRequest) (*AppliedReply, error) {
	var p env.Promise[*AppliedReply]
	from, c := l.n.id, l.n.c
	c.deliver(from, to, func(n *node) {
		n.proc.Go("applied", func(t env.Task) {
			reply := n.store.HandleApplied(t, q)
			c.deliver(to, from, func(*node) { p.Resolve(reply, nil) })
		})
	})
	return p.Wait(t, "applied", AppliedLimit)
}

func (l *link) CollectChecksum(t env.Task, to kv.NodeID, q *ChecksumRequest) (*ChecksumReply, error) {
	var p env.Promise[*ChecksumReply]
	from, c := l.n.id, l.n.c
	buf := q.Encode(nil)
	r := codec.NewReader(buf)
	d := DecodeChecksumRequest(r)
	if err := r.Done(); err != nil || len(buf) != q.Size() {
		panic(fmt.Sprint("checksum request: ", err))
	}
	c.deliver(from, to, func(n *node) {
		n.proc.Go("checksum", func(t env.Task) {
			reply := n.store.HandleChecksum(t, d)
			c.deliver(to, from, func(*node) { p.Resolve(reply, nil) })
		})
	})
	return p.Wait(t, "checksum", ChecksumLimit)
}

func (l *link) SendSnapshot(t env.Task, to kv.NodeID, chunk *SnapshotChunk) (*SnapshotReply, error) {
	buf := chunk.Encode(nil)
	r := codec.NewReader(buf)
	d := DecodeSnapshotChunk(r)
	if err := r.Done(); err != nil || len(buf) != chunk.Size() {
		panic(fmt.Sprint("snapshot chunk: ", err))
	}
	var p env.Promise[*SnapshotReply]
	from, c := l.n.id, l.n.c
	c.deliver(from, to, func(n *node) {
		reply := n.store.HandleSnapshot(d)
		c.deliver(to, from, func(*node) { p.Resolve(reply, nil) })
	})
	return p.Wait(t, "chunk", 2*time.Second)
}

func (l *link) Live(n kv.NodeID) bool {
	return l.n.c.node(n).store != nil && !l.n.c.cut[[2]kv.NodeID{n, l.n.id}]
}

// watch tells the cluster what happens in a node, and checks what must hold in all.
type watch struct {
	n     *node
	start hlc.Timestamp // of the lease in force at the entry being applied
}

func (w *watch) Applied(r *replica.Replica, index uint64, c *replica.Command, why replica.Rejection) {
	switch {
	case why == replica.Applied && c.Kind == replica.KindLease:
		w.start = c.Lease.Next.Start
	case why == replica.Applied && c.Kind == replica.KindWrite && c.WriteTS.Less(w.start):
		w.n.c.tb.Errorf("n%d: a write at %s applied under a lease that starts at %s", w.n.id, c.WriteTS, w.start)
	}
	if why != replica.Applied {
		w.n.c.tell("n%d: rejected, %s: %s", w.n.id, why, c.Kind)
	}
}
func (w *watch) LeaseApplied(r *replica.Replica, prev, next kv.Lease) {
	w.n.c.tell("n%d: lease #%d of n%d", w.n.id, next.Sequence, next.Replica.NodeID)
	if o := w.n.c.observe; o != nil {
		o.LeaseApplied(r, prev, next)
	}
}
func (w *watch) LeaderChanged(r *replica.Replica, term uint64, leader kv.ReplicaID) {}
func (w *watch) Served(r *replica.Replica, span keys.Span, ts hlc.Timestamp, sequence int64) {
	if o := w.n.c.observe; o != nil {
		o.Served(r, span, ts, sequence)
	}
}
func (w *watch) SnapshotApplied(r *replica.Replica, index uint64) {
	w.n.c.tell("n%d: snapshot installed", w.n.id)
}

// MergeApplied implements replica.Observer.
func (w *watch) MergeApplied(*replica.Replica, *replica.Replica) {}

// SplitApplied implements replica.Observer.
func (w *watch) SplitApplied(*replica.Replica, *replica.Replica) {}

// send runs a batch at a node, to be looked at when the promise is ready.
func (n *node) send(deadline time.Duration, reqs ...kv.Request) *env.Promise[*kv.BatchResponse] {
	p := new(env.Promise[*kv.BatchResponse])
	n.proc.Go("client", func(t env.Task) {
		if deadline > 0 {
			t.SetDeadline(n.proc.Mono() + deadline)
		}
		p.Resolve(n.store.Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: 1}, Requests: reqs}), nil)
	})
	return p
}

// do sends a batch to the nodes in turn, as a client would, until one serves it.
func (c *cluster) do(reqs ...kv.Request) *kv.BatchResponse {
	c.tb.Helper()
	at := kv.NodeID(1)
	for tries := 0; tries < 200; tries++ {
		n := c.node(at)
		if n.store == nil {
			at = at%kv.NodeID(len(c.nodes)) + 1
			continue
		}
		p := n.send(10*time.Second, reqs...)
		c.until(20*time.Second, p.Ready)
		br, _ := p.Value()
		if br.Err == nil || !br.Err.Refused() {
			return br
		}
		if l := br.Err.Lease; l != nil && l.Replica.NodeID != at && c.node(l.Replica.NodeID).store != nil {
			at = l.Replica.NodeID
		} else {
			at = at%kv.NodeID(len(c.nodes)) + 1
		}
		c.run(100 * time.Millisecond)
	}
	c.tb.Fatalf("nobody serves\n%s", c)
	return nil
}

func put(k, v string) kv.Request { return &kv.PutRequest{Key: key(k), Value: []byte(v)} }
func get(k string) kv.Request    { return &kv.GetRequest{Key: key(k)} }
func inc(k string) kv.Request    { return &kv.IncrementRequest{Key: key(k), By: 1} }

func (c *cluster) holder() *node {
	for _, n := range c.nodes {
		if n.store != nil && n.store.Replica(1).HoldsLease() {
			return n
		}
	}
	return nil
}

func (c *cluster) leader() *node {
	for _, n := range c.nodes {
		if n.store != nil && n.store.Replica(1).IsLeader() {
			return n
		}
	}
	return nil
}
