package store

import (
	"slices"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// A replica that its range has removed mostly does not learn that from the log: once the
// removal is committed, nobody sends it anything. So the store asks, for each of its
// replicas now and then and for those that it has reason to suspect at once, what the
// range's descriptor is, and removes those that are not in it any more. To ask is to read
// with everybody's agreement: what a peer says, or what this store knows, may be old.

// replicaGC is the queue that does so.
type replicaGC struct {
	queue
	s        *Store
	suspects []kv.RangeID // that are said to have been removed
}

const (
	needRoutine = 1
	needSilent  = 2 // it has heard of no leader for long
	needSuspect = 3
)

// replicaGCPatience is how long one replica may keep the others waiting.
const replicaGCPatience = 10 * time.Second

func (q *replicaGC) init(s *Store) {
	q.s = s
	q.queue.init(s.cfg.Env, (*heldRanges)(s), "store: replica gc", env.Duration(s.cfg.Env, &knobReplicaGC), replicaGCPatience, q)
}

// need implements queueWork. Who has the lease, or leads, is in the range.
func (q *replicaGC) need(id kv.RangeID) int {
	r := q.s.Replica(id)
	switch {
	case r == nil || q.s.cfg.DB == nil || r.IsLeader() || r.HoldsLease():
		return 0
	case slices.Contains(q.suspects, id):
		return needSuspect
	case r.Silent():
		return needSilent
	}
	return needRoutine
}

// view implements queueWork: what is not found out is tried again after a pause.
func (q *replicaGC) view() uint64 { return 0 }

// process implements queueWork.
func (q *replicaGC) process(t env.Task, id kv.RangeID) (verdict, error) {
	r := q.s.Replica(id)
	next, gone, err := q.look(t, r)
	if err != nil {
		return failed, err
	}
	q.clear(id)
	if gone && !r.Gone() {
		q.s.cfg.Env.Probe(probeReplicaGC)
		r.Remove(next)
	}
	return settled, nil
}

// look asks whether the range has r no more, and with which ID a next replica may be here.
func (q *replicaGC) look(t env.Task, r *replica.Replica) (next kv.ReplicaID, gone bool, err *kv.Error) {
	d, err := q.s.descriptor(t, r.Desc().StartKey)
	if err != nil {
		return 0, false, err
	}
	if d.RangeID == r.RangeID() {
		is, ok := d.Replica(q.s.cfg.StoreID)
		gone := (!ok || is.ReplicaID != r.Self().ReplicaID) && d.NextReplicaID > r.Self().ReplicaID
		return d.NextReplicaID, gone, nil
	}
	// The range was merged into its left neighbour. If that is here and has not applied the
	// merge, it will want what r holds.
	awaited, err := q.s.AwaitsMerge(t, r)
	return replica.NeverAgain, err == nil && !awaited, err
}

// descriptor is that of the range which holds k, as everybody agrees. It is taken from the
// index, so that ranges which nobody uses are left asleep; but that of the first range,
// which is in no index.
func (s *Store) descriptor(t env.Task, k keys.Key) (*kv.RangeDescriptor, *kv.Error) {
	if _, ok := keys.MetaSpan(k); ok {
		return s.lookup(t, k, kv.WaitBlock)
	}
	v, err := s.cfg.DB.Get(t, keys.RangeDescriptorKey(keys.Min))
	if err != nil {
		return nil, kv.AsError(err)
	}
	d, err := kv.ParseDescriptor(v.Bytes)
	if err != nil {
		s.cfg.Env.Fatal(err)
	}
	return d, nil
}

func (q *replicaGC) clear(id kv.RangeID) {
	q.suspects = slices.DeleteFunc(q.suspects, func(s kv.RangeID) bool { return s == id })
}

// Suspect implements replica.Host.
func (s *Store) Suspect(r *replica.Replica) {
	q := &s.replicaGC
	if q.interval == 0 || slices.Contains(q.suspects, r.RangeID()) {
		return
	}
	s.cfg.Env.Probe(probeSuspect)
	q.suspects = append(q.suspects, r.RangeID())
	q.consider(r.RangeID())
}

// Removed implements replica.Host.
func (s *Store) Removed(r *replica.Replica) {
	s.drop(r)
	s.snapshots.forget(r.RangeID())
	s.replicaGC.clear(r.RangeID())
}

// succeed makes room for the replica with the given ID, which is after r in the same range:
// to be there it takes that the range had removed r.
func (s *Store) succeed(r *replica.Replica, id kv.ReplicaID) {
	s.cfg.Env.Probe(probeSucceeded)
	r.Remove(id)
}

// tombstone is the lowest ID that a replica of the range may have here.
func (s *Store) tombstone(id kv.RangeID) kv.ReplicaID {
	next, err := replica.Tombstone(s.cfg.Engine, id)
	if err != nil {
		s.cfg.Env.Fatal(err)
	}
	return next
}

// handleAbsent takes in a message to a replica that is not there. One that this store has
// removed, or that came before such a one, is not told of. A learner that is to come is
// noted: the range has removed those with lower IDs, and a split that this store has not
// applied yet may still want to begin one of them.
func (s *Store) handleAbsent(m *replica.Message) {
	absent, ok := replica.Absent(m)
	if !ok {
		return
	}
	next := s.tombstone(m.RangeID)
	if m.To.ReplicaID < next {
		s.cfg.Env.Probe(probeBuried)
		return
	}
	if m.To.ReplicaID > next && (m.To.Type == kv.Learner || m.To.Type == kv.NonVoter) {
		b := s.cfg.Engine.NewBatch()
		replica.WriteTombstone(b, m.RangeID, m.To.ReplicaID)
		s.cfg.Engine.Commit(b, false, nil)
	}
	s.cfg.Env.Probe(probeAbsent)
	s.SendMessage(absent)
}
