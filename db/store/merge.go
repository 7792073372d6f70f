package store

import (
	"slices"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// mergePatience is how long a merge may take. While it does the right side is frozen.
const mergePatience = 10 * time.Second

// Merge implements replica.Host: the range takes in its neighbour to the right by a
// transaction over the descriptors of both and the index, whose commit does the rest
// (db/replica/merge.go). Its steps, and why they come in this order:
//
//	left descriptor, grown    the anchor: the record is in the range that goes on
//	index                     before the right side stops, which may hold a part of it
//	right descriptor, deleted what tells later leaseholders of the right side to keep still
//	Subsume                   the right side stops, and says up to where it has come
//	AwaitApplied              every replica of it has come as far, and a crash cannot undo it
//	commit
//
// If any fails the transaction is rolled back, and the right side finds out and thaws.
func (s *Store) Merge(t env.Task, r *replica.Replica) (*kv.RangeDescriptor, *kv.Error) {
	if s.cfg.DB == nil {
		return nil, kv.Errorf(kv.BadRequest, "s%d makes no transactions of its own", s.cfg.StoreID)
	}
	stats, err := s.rightOf(t, r.Desc())
	if err != nil {
		return nil, err
	}
	left, right := r.Desc(), &stats.Desc
	if err = kv.CheckMerge(left, right); err == nil {
		err = s.allLive(right)
	}
	if err != nil {
		return nil, err
	}
	whole := kv.Merged(left, right)
	until := s.cfg.Env.Mono() + mergePatience
	before := t.SetDeadline(until)
	defer t.SetDeadline(before)
	if before != 0 && before < until {
		t.SetDeadline(before)
	}
	if err := s.mergeTxn(t, left, right, &whole); err != nil {
		s.cfg.Env.Probe(probeMergeFailed)
		return nil, err
	}
	return &whole, nil
}

// rightOf asks about the range that begins where left ends.
func (s *Store) rightOf(t env.Task, left *kv.RangeDescriptor) (*kv.RangeStatsResponse, *kv.Error) {
	if left.EndKey.Equal(keys.Max) {
		return nil, kv.Errorf(kv.BadRequest, "%s is the last range: nothing is to its right", left)
	}
	br, err := s.cfg.DB.Batch(t, kv.Header{}, &kv.RangeStatsRequest{Key: left.EndKey})
	if err != nil {
		return nil, kv.AsError(err)
	}
	return br.Responses[0].(*kv.RangeStatsResponse), nil
}

// allLive refuses a merge that could not be finished, before anybody is held up by it.
func (s *Store) allLive(right *kv.RangeDescriptor) *kv.Error {
	for _, d := range right.Replicas {
		if d.NodeID != s.cfg.NodeID && !s.cfg.Transport.Live(d.NodeID) {
			return kv.Errorf(kv.NodeUnavailable, "n%d is down, and every replica of r%d has to be caught up", d.NodeID, right.RangeID)
		}
	}
	return nil
}

// mergeTxn is the transaction. A second attempt of it would meet the frozen right side:
// whoever wants to try again begins a new one.
func (s *Store) mergeTxn(t env.Task, left, right, whole *kv.RangeDescriptor) *kv.Error {
	first := true
	err := s.cfg.DB.TxnWith(t, kv.TxnOptions{Name: "merge"}, func(tx *kv.TxnHandle) error {
		if !first {
			return kv.Errorf(kv.NodeUnavailable, "the merge was overtaken")
		}
		first = false
		if err := tx.CPut(t, keys.RangeDescriptorKey(left.StartKey), whole.Encode(nil), left.Encode(nil)); err != nil {
			return err
		}
		if err := putIndex(t, tx, left, right, whole); err != nil {
			return err
		}
		k := keys.RangeDescriptorKey(right.StartKey)
		v, err := tx.Get(t, k)
		if err != nil {
			return err
		}
		if !v.Exists || string(v.Bytes) != string(right.Encode(nil)) {
			return kv.Errorf(kv.ConditionFailed, "%s has changed", right)
		}
		if _, err := tx.Del(t, k); err != nil {
			return err
		}
		subsumed, err := s.subsume(t, tx, right)
		if err != nil {
			return err
		}
		s.cfg.Env.Probe(probeMergeSubsumed)
		if err := s.awaitApplied(t, right, subsumed.LeaseIndex); err != nil {
			return err
		}
		s.cfg.Env.Probe(probeMergeCaughtUp)
		return tx.CommitTrigger(t, &kv.CommitTrigger{Merge: &kv.MergeTrigger{Left: *whole, Right: *right, Subsumed: *subsumed}})
	})
	if err != nil {
		return kv.AsError(err)
	}
	return nil
}

// putIndex writes the entries of the whole, and deletes those of the two that it has not.
func putIndex(t env.Task, tx *kv.TxnHandle, left, right, whole *kv.RangeDescriptor) error {
	entries := keys.MetaKeys(whole.StartKey, whole.EndKey)
	for _, d := range []*kv.RangeDescriptor{left, right} {
		for _, k := range keys.MetaKeys(d.StartKey, d.EndKey) {
			if slices.ContainsFunc(entries, k.Equal) {
				continue
			}
			if _, err := tx.Del(t, k); err != nil {
				return err
			}
		}
	}
	for _, k := range entries {
		if err := tx.Put(t, k, whole.Encode(nil)); err != nil {
			return err
		}
	}
	return nil
}

// subsume stops the right side. It is not the transaction's request: it locks nothing and
// changes nothing that a rollback would have to undo.
func (s *Store) subsume(t env.Task, tx *kv.TxnHandle, right *kv.RangeDescriptor) (*kv.SubsumeResponse, error) {
	br, err := s.cfg.DB.Batch(t, kv.Header{}, &kv.SubsumeRequest{Right: *right, Txn: tx.Txn().TxnMeta})
	if err != nil {
		return nil, err
	}
	return br.Responses[0].(*kv.SubsumeResponse), nil
}

// awaitApplied waits until every replica of a range has applied the command of a lease
// index, durably.
func (s *Store) awaitApplied(t env.Task, d *kv.RangeDescriptor, index uint64) *kv.Error {
	asked := make([]*env.Promise[*kv.Error], len(d.Replicas))
	for i, rd := range d.Replicas {
		asked[i] = new(env.Promise[*kv.Error])
		s.cfg.Env.Go("store: awaits application", func(t env.Task) {
			asked[i].Resolve(s.askApplied(t, rd, &AppliedRequest{RangeID: d.RangeID, LeaseIndex: index}), nil)
		})
	}
	for i, rd := range d.Replicas {
		err, late := asked[i].Wait(t, "application", -1)
		switch {
		case late != nil:
			return kv.Errorf(kv.Timeout, "waiting for %s to apply what r%d has: %s", rd, d.RangeID, late)
		case err != nil:
			return err
		}
	}
	return nil
}

// askApplied asks the store of one replica.
func (s *Store) askApplied(t env.Task, rd kv.ReplicaDescriptor, q *AppliedRequest) *kv.Error {
	if rd.StoreID == s.cfg.StoreID {
		if !s.HandleApplied(t, q).Applied {
			return kv.Errorf(kv.NodeUnavailable, "%s has not applied %d of r%d", rd, q.LeaseIndex, q.RangeID)
		}
		return nil
	}
	a, err := s.cfg.Transport.AwaitApplied(t, rd.NodeID, q)
	if err != nil || !a.Applied {
		return kv.Errorf(kv.NodeUnavailable, "%s has not applied %d of r%d: %v", rd, q.LeaseIndex, q.RangeID, err)
	}
	return nil
}

// AppliedLimit is how long a store lets wait who asks whether a replica has applied
// something, and appliedEvery how often it looks.
const (
	AppliedLimit = 5 * time.Second
	appliedEvery = 5 * time.Millisecond
)

// HandleApplied answers when the replica here has applied what is asked about, and the
// disk has it: a replica that has forgotten it after a crash could not be told again by
// peers that are no more. Applied is false if that takes too long.
func (s *Store) HandleApplied(t env.Task, q *AppliedRequest) *AppliedReply {
	until := s.cfg.Env.Mono() + AppliedLimit
	for {
		r := s.Replica(q.RangeID)
		if r != nil && r.State().LeaseAppliedIndex >= q.LeaseIndex {
			break
		}
		if s.stopped || s.cfg.Env.Mono() >= until || t.Sleep(appliedEvery) != nil {
			return &AppliedReply{}
		}
	}
	var synced env.Promise[struct{}]
	s.cfg.Engine.Commit(s.cfg.Engine.NewBatch(), true, func() { synced.Resolve(struct{}{}, nil) })
	_, err := synced.Wait(t, "store: application durable", -1)
	return &AppliedReply{Applied: err == nil}
}

// MergeOutcome implements replica.Host. The transaction is waited for at its record, and
// aborted if its coordinator is not heard of. When it is over, and its locks are gone, its
// record may be gone too; who asks then is told that it is aborted, and that may not be
// so. The index knows: whichever range begins there, or holds what began there. What is
// committed there says enough, since the record stays until no lock of the merge is left; and
// other changes under way cannot be waited for, whose records may be in the range that is
// frozen (scenario frozen-in-a-circle).
func (s *Store) MergeOutcome(t env.Task, r *replica.Replica, txn kv.TxnMeta) (committed bool, err *kv.Error) {
	push := &kv.PushTxnRequest{Key: txn.Key, Pushee: txn, Type: kv.PushTouch}
	pushee, err := s.txns.PushTxn(t, push, kv.WaitBlock)
	if err != nil || pushee.Status == kv.Committed {
		return err == nil, err
	}
	d, err := s.lookup(t, r.Desc().StartKey, kv.WaitCommitted)
	if err != nil {
		return false, err
	}
	if d.RangeID != r.RangeID() {
		s.cfg.Env.Probe(probeMergeRecordGone)
	}
	return d.RangeID != r.RangeID(), nil
}

// lookup is the descriptor of the range that holds k, as the index says at this moment.
// With WaitBlock it is no hint: a change under way is waited for.
func (s *Store) lookup(t env.Task, k keys.Key, wait kv.WaitPolicy) (*kv.RangeDescriptor, *kv.Error) {
	at, ok := keys.MetaSpan(k)
	if !ok {
		return nil, kv.Errorf(kv.BadRequest, "%s is in the first range, which is in no index", k)
	}
	br, err := s.cfg.DB.Batch(t, kv.Header{MaxKeys: 1, WaitPolicy: wait}, &kv.ScanRequest{Key: at.Key, EndKey: at.EndKey})
	if err != nil {
		return nil, kv.AsError(err)
	}
	rows, _ := kv.ScanResult(br.Responses[0])
	if len(rows) == 0 {
		return nil, kv.Errorf(kv.NodeUnavailable, "the index has nothing about %s", k)
	}
	d, err := kv.ParseDescriptor(rows[0].Value)
	if err != nil {
		s.cfg.Env.Fatal(err)
	}
	if !d.ContainsKey(k) {
		// The index is in several ranges, which are read one after the other: a split was
		// committed in between, and its left side not seen (scenarios/found/index-in-parts).
		return nil, kv.Errorf(kv.NodeUnavailable, "the index has %s where there is to be %s: it is being changed", d, k)
	}
	return d, nil
}

// AwaitsMerge reports that a replica of a range that is no more may still be taken in by
// the replica to its left, which has not come as far: then it must not be removed, since
// what it holds is to become a part of that one.
func (s *Store) AwaitsMerge(t env.Task, r *replica.Replica) (bool, *kv.Error) {
	for _, left := range s.replicas {
		if !left.Desc().EndKey.Equal(r.Desc().StartKey) {
			continue
		}
		v, err := s.cfg.DB.Get(t, keys.RangeDescriptorKey(left.Desc().StartKey))
		if err != nil {
			return false, kv.AsError(err)
		}
		return string(v.Bytes) != string(left.Desc().Encode(nil)), nil
	}
	return false, nil
}

// MergeApplied implements replica.Host. The list is made anew: somebody may be in the
// middle of it.
func (s *Store) MergeApplied(_, right *replica.Replica) { s.drop(right) }

// drop forgets a replica that is about to be gone.
func (s *Store) drop(r *replica.Replica) {
	without := func(all []*replica.Replica) []*replica.Replica {
		return slices.DeleteFunc(slices.Clone(all), func(o *replica.Replica) bool { return o == r })
	}
	s.replicas, s.awake = without(s.replicas), without(s.awake)
}

// Overlapping implements replica.Host.
func (s *Store) Overlapping(span keys.Span) []*replica.Replica {
	var all []*replica.Replica
	for _, r := range s.replicas {
		if r.Desc().Span().Overlaps(span) {
			all = append(all, r)
		}
	}
	return all
}
