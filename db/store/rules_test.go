package store

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

// Each test here fails when the rule that it names is taken away.

func value(t *testing.T, br *kv.BatchResponse) string {
	t.Helper()
	if br.Err != nil {
		t.Fatal(br.Err)
	}
	return string(br.Responses[0].(*kv.GetResponse).Value)
}

// What is acknowledged is in synced logs: all nodes lose power at the very moment of
// the answer, and the value is there afterwards. The disks are slow, so that
// an answer that does not wait for them comes long before.
func TestAcknowledgedIsSynced(t *testing.T) {
	for seed := uint64(1); seed <= 15; seed++ {
		c := newClusterOn(t, 3, sim.Config{Seed: seed}, disk.Config{Profile: disk.Spinning()})
		c.do(put("a", "0"))
		for i := 1; i <= 5; i++ {
			p := c.holder().send(0, put("a", fmt.Sprint(i)))
			c.until(time.Second, p.Ready)
		}
		for _, n := range c.nodes {
			n.kill(true)
		}
		for _, n := range c.nodes {
			n.start(false)
			n.await()
		}
		if got := value(t, c.do(get("a"))); got != "5" {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
}

// What a command wrote and how far application has come are one batch: power is lost
// right after a command applied, when its record is on its way to the disk, and
// whatever part of that survives, what the command wrote is there.
func TestAppliedOnce(t *testing.T) {
	big := strings.Repeat("x", 3000)
	for seed := uint64(1); seed <= 30; seed++ {
		c := newCluster(t, 1, sim.Config{Seed: seed, Knobs: map[string]int64{"storage.log.buffer": 1}})
		n := c.nodes[0]
		c.do(inc("n"))
		_, last := n.store.Replica(1).LogBounds()
		p := n.send(0, put("a", big), inc("n"))
		c.until(time.Second, func() bool { return n.store.Replica(1).State().AppliedIndex > last })
		c.run(20 * time.Microsecond)
		n.kill(true)
		n.start(false)
		n.await()
		if got := value(t, c.do(get("a"))); got != big {
			t.Fatalf("seed %d: %d bytes (answered: %t)", seed, len(got), p.Ready())
		}
		if got := c.do(inc("n")).Responses[0].(*kv.IncrementResponse).Value; got != 3 {
			t.Fatalf("seed %d: %d after three increments", seed, got)
		}
	}
}

// A lease is not used in the last stretch before its end: its holder's clock may be
// behind that of whoever takes over, by as much as clocks may differ.
func TestStasis(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1})
	c.do(put("a", "old"))
	old := c.holder()
	other := c.nodes[int(old.id)%3]
	lease := old.store.Replica(1).State().Lease
	for _, n := range c.nodes {
		if n != old {
			n.machine.Clock().SetOffset(240 * time.Millisecond)
			c.cut[[2]kv.NodeID{old.id, n.id}], c.cut[[2]kv.NodeID{n.id, old.id}] = true, true
		}
	}
	old.machine.Clock().SetOffset(-240 * time.Millisecond)
	c.until(10*time.Second, func() bool { return other.proc.Wall() > lease.Expiration.Wall })
	wrote := false
	for i := 0; i < 40 && !wrote; i++ {
		for _, n := range c.nodes {
			if n == old || wrote {
				continue
			}
			p := n.send(time.Second, put("a", "new"))
			c.until(2*time.Second, p.Ready)
			br, _ := p.Value()
			wrote = br.Err == nil
		}
	}
	if !wrote {
		t.Fatalf("no new lease\n%s", c)
	}
	if old.proc.Wall() >= lease.Expiration.Wall {
		t.Fatal("the old holder's clock is past the lease as well: nothing is tested")
	}
	p := old.send(200*time.Millisecond, get("a"))
	c.until(time.Second, p.Ready)
	if br, _ := p.Value(); br.Err == nil {
		t.Fatalf("the old holder served %q after the write of another", value(t, br))
	}
}

// A command of a lease that is over does nothing, however late it comes: its
// proposer regains leadership with the next lease in its log, but not applied yet,
// and proposes what is pending. (That no write applies below the start of the lease
// in force is checked by the observer of every test here.)
func TestOldLeaseRejected(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1})
	c.do(inc("n"))
	old := c.holder()
	isolate := func(n *node, on bool) {
		for _, o := range c.nodes {
			c.cut[[2]kv.NodeID{n.id, o.id}], c.cut[[2]kv.NodeID{o.id, n.id}] = on, on
		}
	}
	isolate(old, true)
	// The first of the two is overtaken by index; the second is not.
	first := old.send(0, inc("m"))
	c.run(100 * time.Millisecond)
	late := old.send(0, inc("n"))
	c.run(8 * time.Second)
	// Others take the lease and increment; the old holder is told of the entries and
	// not that they are committed.
	if br := c.onOthers(old, inc("n")); br.Err != nil {
		t.Fatal(br.Err)
	}
	c.hold = func(from, to kv.NodeID, m *replica.Message) bool {
		if to == old.id && (m.Raft.Type == raftpb.MsgApp || m.Raft.Type == raftpb.MsgHeartbeat) {
			m.Raft.Commit = 0
		}
		return from != old.id && (m.Raft.Type == raftpb.MsgPreVote || m.Raft.Type == raftpb.MsgVote)
	}
	isolate(old, false)
	var now *node
	c.until(5*time.Second, func() bool { now = c.holder(); return now != nil && now != old && now == c.leader() })
	c.run(time.Second) // its own tail gives way to the new leader's entries
	now.kill(false)
	c.until(30*time.Second, func() bool { return c.leader() == old })
	c.hold = nil
	now.start(false)
	now.await()
	c.until(30*time.Second, func() bool { return first.Ready() && late.Ready() })
	want := int64(2)
	if br, _ := late.Value(); br.Err == nil {
		want = 3
	}
	br := c.do(get("n"))
	if got := binary.BigEndian.Uint64([]byte(value(t, br))); int64(got) != want {
		t.Fatalf("%d, want %d", got, want)
	}
}

// onOthers sends to all but one node until somebody serves.
func (c *cluster) onOthers(not *node, q kv.Request) *kv.BatchResponse {
	var br *kv.BatchResponse
	for i := 0; i < 300; i++ {
		for _, n := range c.nodes {
			if n == not {
				continue
			}
			p := n.send(time.Second, q)
			c.until(2*time.Second, p.Ready)
			if br, _ = p.Value(); br.Err == nil {
				return br
			}
			c.run(50 * time.Millisecond)
		}
	}
	return br
}

// A snapshot replaces what was there: a key that the others do not have is gone.
func TestSnapshotClears(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1, Knobs: map[string]int64{"raft.log.bytes": 1024, "raft.log.keep.factor": 1}})
	c.do(put("a", "1"))
	var victim *node
	for _, n := range c.nodes {
		if n != c.holder() {
			victim = n
		}
	}
	b := victim.engine.NewBatch()
	w := mvcc.Writer{Batch: b}
	w.PutNew(key("ghost"), hlc.Timestamp{Wall: 5}, []byte("boo"))
	var synced env.Promise[struct{}]
	victim.engine.Commit(b, true, func() { synced.Resolve(struct{}{}, nil) })
	c.until(time.Second, synced.Ready)
	victim.kill(false)
	for i := 0; i < 40; i++ {
		c.do(put(fmt.Sprintf("k%d", i), "some value or other"))
	}
	c.run(3 * time.Second)
	installed := false
	c.tell = func(format string, args ...any) {
		installed = installed || format == "n%d: snapshot installed"
	}
	victim.start(false)
	victim.await()
	c.until(20*time.Second, func() bool { return installed })
	v, err := mvcc.Get(storage.Reader(victim.engine), key("ghost"), hlc.Max)
	if err != nil || v.Exists {
		t.Fatalf("the ghost is still there: %v %v", v, err)
	}
}

// A replica whose log ends before what it had acknowledged refuses to start.
func TestLostLogRefused(t *testing.T) {
	c := newCluster(t, 1, sim.Config{Seed: 1})
	c.do(put("a", "1"))
	n := c.nodes[0]
	r := n.store.Replica(1)
	_, last := r.LogBounds()
	b := n.engine.NewBatch()
	b.Delete(keys.RaftLogKey(1, last))
	n.engine.Commit(b, false, nil)
	if _, err := replica.Load(&n.store.rcfg, r.Desc()); err == nil {
		t.Fatal("it started")
	}
}

// A store finds its replicas though transactions have records beside the descriptors.
func TestDescriptorsBesideRecords(t *testing.T) {
	c := newCluster(t, 1, sim.Config{Seed: 1})
	c.do(put("a", "1"))
	e := c.nodes[0].engine
	b := e.NewBatch()
	txn := kv.NewTxn(testTxnID(1), "", 5, txnSecond(1), txnSecond(1))
	txn.Key = key("a")
	k := mvcc.EncodeKey(nil, keys.TxnRecordKey(txn.Key, txn.ID), hlc.Timestamp{})
	b.Put(k, replica.EncodeRecord(k, txn))
	e.Commit(b, true, nil)
	d, err := Descriptors(e)
	if err != nil || len(d) != 1 {
		t.Fatal(d, err)
	}
}
