package server

import (
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/db/store"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// changed is a world in which the replicas of the range that holds k have been changed.
func changed(w *world, k string, changes ...kv.ReplicaChange) {
	w.tb.Helper()
	var end error
	done := false
	n := w.node(5)
	n.proc.Go("change", func(t env.Task) {
		_, end = n.db.Batch(t, kv.Header{}, &kv.AdminChangeReplicasRequest{Key: dialogueKey(k), Changes: changes})
		done = true
	})
	w.until(time.Minute, "a change does not end", func() bool { return done })
	if end != nil {
		w.tb.Fatal(end)
	}
}

func on(n kv.NodeID, to kv.ReplicaRole) kv.ReplicaChange {
	return kv.ReplicaChange{NodeID: n, StoreID: kv.StoreID(n), To: to}
}

// snapshotOf is the state of a range as one message, for a replica that is in it.
func snapshotOf(t *testing.T, n *node, id kv.RangeID, to kv.StoreID) *store.SnapshotChunk {
	r := n.server.store.Replica(id)
	d, ok := r.Desc().Replica(to)
	if !ok {
		t.Fatalf("s%d is not in %s", to, r.Desc())
	}
	rd := r.NewSnapshot(d)
	defer rd.Close()
	data, last, err := rd.Next(1 << 20)
	if err != nil || !last {
		t.Fatal(err, last)
	}
	return &store.SnapshotChunk{ID: 1 << 40, Header: rd.SnapshotHeader, Data: data, Last: true}
}

// A replica that was removed stays so: a snapshot for it that was long on its way is
// refused, and so are messages; only one with a higher identity may come. What it held is
// gone, but for the tombstone.
func TestRemovedStaysRemoved(t *testing.T) {
	w := newWorld(t, map[string]int64{"replicagc.interval": int64(time.Second)}, nil)
	late := snapshotOf(t, w.node(1), 2, 3)
	changed(w, "a", on(4, kv.RoleVoter), on(3, kv.RoleNone))
	s := w.node(3).server.store
	w.until(time.Minute, "n3 keeps its replica", func() bool { return s.Replica(2) == nil })
	for _, sp := range []keys.Span{keys.RangeIDReplicatedSpan(2), keys.RangeIDUnreplicatedSpan(2), replica.ReplicatedSpans(late.Header.Desc)[2]} {
		it := w.node(3).server.engine.NewIter(sp.Key, sp.EndKey)
		for ok := it.First(); ok; ok = it.Next() {
			if !keys.Key(it.Key()).Equal(keys.TombstoneKey(2)) {
				t.Errorf("n3 still has %s", keys.Key(it.Key()))
			}
		}
		it.Close()
	}
	if reply := s.HandleSnapshot(late); reply.Accepted || !strings.Contains(reply.Reason, "was removed") {
		t.Errorf("the late snapshot is answered with %+v", reply)
	}
	s.HandleRaft(&store.RaftBatch{From: 1, Messages: []replica.Message{{RangeID: 2, From: late.Header.From, To: late.Header.To,
		Raft: raftpb.Message{Type: raftpb.MsgHeartbeat, From: 1, To: 3, Term: 99}}}})
	w.run(time.Second)
	if r := s.Replica(2); r != nil {
		t.Errorf("n3 has %s again", r)
	}
	if n := w.sim.ProbeCount("store: message to a replica that was removed"); n == 0 {
		t.Error("the message to the removed replica was answered")
	}
	changed(w, "a", on(3, kv.RoleVoter))
	if r := s.Replica(2); r == nil || r.Self().ReplicaID <= 3 {
		t.Errorf("n3 does not come back: %v", r)
	}
}

// A request to a replica that was removed is told that the range is not there, and so is
// one that waits there at that moment.
func TestRemovedAnswers(t *testing.T) {
	w := newWorld(t, nil, nil)
	n := w.node(3)
	r := n.server.store.Replica(2)
	changed(w, "a", on(3, kv.RoleNone))
	if !r.Gone() {
		r.Remove(9)
	}
	ask := func(send func(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse) kv.ErrorKind {
		var br *kv.BatchResponse
		n.proc.Go("ask", func(t env.Task) {
			br = send(t, &kv.BatchRequest{Header: kv.Header{RangeID: 2}, Requests: []kv.Request{&kv.GetRequest{Key: dialogueKey("a")}}})
		})
		w.until(time.Minute, "no answer", func() bool { return br != nil })
		if br.Err == nil {
			return 0
		}
		return br.Err.Kind
	}
	if kind := ask(n.server.store.Send); kind != kv.RangeNotFound {
		t.Errorf("the store answers %s", kind)
	}
	if kind := ask(r.Send); kind != kv.RangeNotFound {
		t.Errorf("the replica answers %s", kind)
	}
}

// A change of configuration in the log is written together with the commit index: a
// replica that has it knows, after a restart too, that the change before it has happened.
func TestConfChangeWithCommit(t *testing.T) {
	w := newWorld(t, nil, nil)
	changed(w, "a", on(4, kv.RoleNonVoter))
	first := w.node(1).server.store.Replica(2).State().AppliedIndex
	changed(w, "a", on(5, kv.RoleNonVoter))
	w.run(time.Second)
	for _, id := range []kv.NodeID{1, 2, 3} {
		v, _, err := w.node(id).server.engine.Get(keys.HardStateKey(2))
		if err != nil {
			t.Fatal(err)
		}
		rd := codec.MakeReader(v)
		if _, _, commit := rd.Uvarint(), rd.Uvarint(), rd.Uvarint(); commit < first {
			t.Errorf("n%d has commit %d on disk, and the entry of a change that was made when %d had applied", id, commit, first)
		}
	}
}

// The right side of a split that this store has not applied yet may have removed its
// replica here, and added another. The split then does not begin the one that was removed.
func TestStillborn(t *testing.T) {
	w := newWorld(t, map[string]int64{"replicagc.interval": int64(time.Second)}, nil)
	w.lease(1, 1) // the index is not on the other side
	cut := w.net.Cut([]string{endpoint(1), endpoint(2)}, []string{endpoint(3)}, network.Drop)
	split := false
	n := w.node(5)
	n.proc.Go("split", func(t env.Task) {
		_, err := n.db.Batch(t, kv.Header{}, &kv.AdminSplitRequest{Key: dialogueKey("c"), SplitKey: dialogueKey("c")})
		split = err == nil
	})
	w.until(time.Minute, "no split", func() bool { return split })
	right := w.node(1).server.store.Replica(4)
	if right == nil {
		t.Fatal("r4 has not begun")
	}
	changed(w, "c", on(3, kv.RoleNone))
	to := kv.ReplicaDescriptor{NodeID: 3, StoreID: 3, ReplicaID: right.Desc().NextReplicaID, Type: kv.Learner}
	w.node(3).server.store.HandleRaft(&store.RaftBatch{From: 1, Messages: []replica.Message{{RangeID: 4, From: right.Self(), To: to,
		Raft: raftpb.Message{Type: raftpb.MsgHeartbeat, From: 1, To: uint64(to.ReplicaID), Term: 99}}}})
	cut.Heal()
	w.until(time.Minute, "n3 does not apply the split", func() bool {
		return w.node(3).server.store.Replica(2).Desc().EndKey.Equal(dialogueKey("c"))
	})
	if r := w.node(3).server.store.Replica(4); r != nil {
		t.Errorf("the split has begun %s", r)
	}
	changed(w, "c", on(3, kv.RoleVoter))
	if r := w.node(3).server.store.Replica(4); r == nil || r.Self().ReplicaID < to.ReplicaID {
		t.Errorf("n3 has %v of the right side", r)
	}
}

// The first range is found when it is nowhere where it began, by a node that has just
// started, too: gossip says where it is, since no index does.
func TestFirstRangeIsFound(t *testing.T) {
	w := newWorld(t, map[string]int64{"lease.epoch": 1, "replicagc.interval": int64(time.Second)}, nil)
	done := false
	n := w.node(5)
	n.proc.Go("change", func(t env.Task) {
		q := &kv.AdminChangeReplicasRequest{Key: keys.Meta2, Changes: []kv.ReplicaChange{on(4, kv.RoleVoter), on(5, kv.RoleVoter),
			on(1, kv.RoleNone), on(2, kv.RoleNone), on(3, kv.RoleNone)}}
		for !done {
			_, err := n.db.Batch(t, kv.Header{}, q)
			done = err == nil
		}
	})
	w.until(time.Minute, "the first range does not move", func() bool { return done })
	for _, n := range w.nodes[:replicas] {
		w.until(time.Minute, "a node keeps its replica", func() bool { return n.server.store.Replica(1) == nil })
	}
	changed(w, "a", on(4, kv.RoleVoter)) // syncs what n3 has done, too
	w.run(time.Second)
	w.node(3).kill()
	w.node(3).boot()
	w.until(time.Minute, "n3 does not start", func() bool { return w.node(3).server != nil })
	w.run(10 * time.Second) // a peer tells
	found := false
	w.node(3).proc.Go("look", func(t env.Task) {
		_, err := w.node(3).db.Get(t, dialogueKey("a"))
		found = err == nil
	})
	w.until(time.Minute, "n3 finds nothing", func() bool { return found })
}
