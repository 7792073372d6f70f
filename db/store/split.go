package store

import (
	"slices"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// Split implements replica.Host: it divides the range by a transaction over the
// descriptors of both sides and the index, anchored at the left side's descriptor, whose
// commit does the rest (db/replica/split.go). Whoever splits the range at the same time
// changes the same descriptor: one of them finds it changed, and looks again.
func (s *Store) Split(t env.Task, r *replica.Replica, at keys.Key) (keys.Key, *kv.Error) {
	if s.cfg.DB == nil {
		return nil, kv.Errorf(kv.BadRequest, "s%d makes no transactions of its own", s.cfg.StoreID)
	}
	if len(at) == 0 {
		k, err := SplitKey(s.cfg.Engine, r.Desc())
		if err != nil {
			s.cfg.Env.Fatal(err)
		}
		if k == nil {
			return nil, kv.Errorf(kv.BadRequest, "r%d has too few keys to be divided", r.RangeID())
		}
		at = k
	}
	if err := kv.CheckSplitKey(at); err != nil {
		return nil, err
	}
	for {
		if s.beginningAt(at) != nil {
			return at, nil
		}
		if !r.Desc().ContainsKey(at) {
			err := kv.Errorf(kv.RangeKeyMismatch, "%s is not in the range", at)
			err.Descs = []*kv.RangeDescriptor{r.Desc()}
			return nil, err
		}
		seen := r.Desc()
		err := s.splitAt(t, seen, at)
		if err == nil || err.Kind != kv.ConditionFailed || r.Desc() == seen {
			return at, err
		}
		s.cfg.Env.Probe(probeSplitLost)
	}
}

// splitAt divides the range that is as seen.
func (s *Store) splitAt(t env.Task, seen *kv.RangeDescriptor, at keys.Key) *kv.Error {
	id, err := s.cfg.DB.Inc(t, keys.RangeIDCounterKey, 1)
	if err != nil {
		return kv.AsError(err)
	}
	left, right := *seen, *seen
	left.EndKey, left.Generation = at, seen.Generation+1
	right.StartKey, right.Generation, right.RangeID = at, left.Generation, kv.RangeID(id)
	err = s.cfg.DB.TxnWith(t, kv.TxnOptions{Name: "split"}, func(tx *kv.TxnHandle) error {
		// The first write is the anchor: the record is in the range that the trigger divides.
		if err := tx.CPut(t, keys.RangeDescriptorKey(left.StartKey), left.Encode(nil), seen.Encode(nil)); err != nil {
			return err
		}
		if err := tx.Put(t, keys.RangeDescriptorKey(right.StartKey), right.Encode(nil)); err != nil {
			return err
		}
		for _, d := range []*kv.RangeDescriptor{&left, &right} {
			for _, k := range keys.MetaKeys(d.StartKey, d.EndKey) {
				if err := tx.Put(t, k, d.Encode(nil)); err != nil {
					return err
				}
			}
		}
		return tx.CommitTrigger(t, &kv.CommitTrigger{Split: &kv.SplitTrigger{Left: left, Right: right}})
	})
	if err != nil {
		return kv.AsError(err)
	}
	return nil
}

// SplitApplied implements replica.Host.
func (s *Store) SplitApplied(_, right *replica.Replica) { s.add(right) }

// add takes in a replica that was not there. The list is made anew: somebody may be in
// the middle of it.
func (s *Store) add(r *replica.Replica) {
	all := append(make([]*replica.Replica, 0, len(s.replicas)+1), s.replicas...)
	all = append(all, r)
	slices.SortFunc(all, func(a, b *replica.Replica) int { return int(a.RangeID() - b.RangeID()) })
	s.replicas = all
	s.awake = append(s.awake, r)
	s.Ready(r)
}
