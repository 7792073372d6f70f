package server

import (
	"testing"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// ask has n5 read a key, and waits for the answer.
func (w *world) ask(key string) {
	done := false
	n := w.node(5)
	n.proc.Go("ask", func(t env.Task) {
		if _, err := n.db.Get(t, dialogueKey(key)); err != nil {
			panic(err)
		}
		done = true
	})
	w.until(time.Minute, "n5 gets no answer", func() bool { return done })
}

// Where nobody asks for anything, nothing is written, and the lease lasts all the same.
// Only what liveness needs is prolonged by itself.
func TestIdleEpochLeaseCostsNothing(t *testing.T) {
	w := newWorld(t, map[string]int64{"lease.epoch": 1, "raft.quiesce.ticks": 6}, nil)
	w.run(10 * time.Second)
	index := func(id kv.RangeID) uint64 { return w.node(1).server.store.Replica(id).State().AppliedIndex }
	before := []uint64{index(1), index(2), index(3)}
	w.run(2 * time.Minute)
	for id := kv.RangeID(2); id <= 3; id++ {
		_, r := w.replica(id)
		if r == nil || !r.Quiesced() || index(id) != before[id-1] {
			t.Errorf("r%d has gone from index %d to %d: %v", id, before[id-1], index(id), r)
		}
	}
	if l := w.node(1).server.store.Replica(1).State().Lease; l.Epoch != 0 || index(1) == before[0] {
		t.Errorf("r1 holds the records, and has %s", l)
	}
}

// Who takes a lease from a node that died begins above the record by which the epoch of that
// node was ended.
func TestEpochEndsBeforeTakeover(t *testing.T) {
	w := newWorld(t, loud, nil)
	old := w.node(1).server.store.Replica(2).State().Lease
	w.node(1).kill()
	w.ask("a")
	n, r := w.replica(2)
	l, seen := r.State().Lease, n.server.liveness.Record(1)
	if l.Sequence == old.Sequence || seen.Epoch <= old.Epoch || !seen.Version.Less(l.Start) {
		t.Errorf("%s follows %s, and the record is %s of %s", l, old, &seen.Record, seen.Version)
	}
}

// A node whose heartbeats have stopped serves nothing from the maximum clock offset before
// its epoch expires. Nobody else may serve before that has passed, and by his clock it may
// be later by the maximum offset. A request has it try again at once.
func TestStasisOfEpochs(t *testing.T) {
	w := newWorld(t, loud, map[kv.NodeID]time.Duration{1: -200 * time.Millisecond, 2: 200 * time.Millisecond})
	own, other := w.node(1).server.store.Replica(2), w.node(2).server.store.Replica(2)
	w.node(1).server.liveness.Stop()
	stasis := time.Duration(0)
	status := func(n *node, r *replica.Replica) replica.LeaseStatus { return r.LeaseStatus(n.server.now()) }
	for status(w.node(2), other) != replica.LeaseLapsed {
		switch s := status(w.node(1), own); s {
		case replica.LeaseValid:
			if stasis > 0 {
				t.Fatal("valid after stasis, and no heartbeat")
			}
		case replica.LeaseStasis:
			stasis += 10 * time.Millisecond
		default:
			t.Fatalf("the own lease is %s", s)
		}
		if w.run(10 * time.Millisecond); w.sim.Now().Seconds() > 100 {
			t.Fatal("the lease does not lapse")
		}
	}
	if status(w.node(1), own) == replica.LeaseValid || stasis < 50*time.Millisecond || stasis > maxOffset+50*time.Millisecond {
		t.Errorf("it is %s when it has lapsed, after %s of stasis", status(w.node(1), own), stasis)
	}
	w.ask("a")
	if s := status(w.node(1), own); s != replica.LeaseValid || own.State().Lease.Sequence != other.State().Lease.Sequence {
		t.Errorf("asked again, it is %s", s)
	}
}

// A node that was restarted holds an epoch that it never held before, and takes no lease of
// an earlier one for its own.
func TestRestartEndsEpoch(t *testing.T) {
	w := newWorld(t, loud, nil)
	n := w.node(1)
	old := n.server.store.Replica(2).State().Lease
	n.kill()
	n.boot()
	w.until(20*time.Second, "n1 does not start", func() bool { return n.server != nil })
	r := n.server.store.Replica(2)
	w.until(20*time.Second, "the lease is not over", func() bool {
		if r.HoldsLease() && r.State().Lease.Sequence == old.Sequence {
			t.Fatalf("n1 takes %s for its own again", old)
		}
		return r.LeaseStatus(n.server.now()) == replica.LeaseExpired || r.State().Lease.Sequence > old.Sequence
	})
	w.ask("a")
	seen := n.server.liveness.Record(1)
	if _, r := w.replica(2); r == nil || r.State().Lease.Sequence == old.Sequence || seen.Epoch != old.Epoch+1 {
		t.Errorf("after the restart: %v, the record is %s", r, &seen.Record)
	}
}

// What stands beyond the end of a lease is served only when a heartbeat has moved the end.
func TestLeaseCoversWhatIsServed(t *testing.T) {
	w := newWorld(t, loud, nil)
	n := w.node(1)
	n.server.liveness.Stop()
	_, end := n.server.liveness.Self()
	ahead := end.Add(-maxOffset - 100*time.Millisecond)
	w.until(20*time.Second, "the end does not come", func() bool { return ahead.Less(n.server.now()) })
	r := n.server.store.Replica(2)
	if !r.HoldsLease() {
		t.Fatal("it is too late")
	}
	done := false
	n.proc.Go("future", func(task env.Task) {
		at := end.Add(-maxOffset)
		br := r.Send(task, &kv.BatchRequest{Header: kv.Header{RangeID: 2, Timestamp: at}, Requests: []kv.Request{&kv.GetRequest{Key: dialogueKey("a")}}})
		if _, now := n.server.liveness.Self(); br.Err != nil || !end.Less(now) {
			t.Errorf("served at %s: %v; the epoch ended at %s and ends at %s", at, br.Err, end, now)
		}
		done = true
	})
	w.until(20*time.Second, "it is not served", func() bool { return done })
}
