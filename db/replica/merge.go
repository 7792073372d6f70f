package replica

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
)

// A merge is the commit of a transaction that changes descriptors (package store), as a
// split is. Its trigger is evaluated here, at the left side, when the right side has
// stopped (frozen.go) and each of its replicas has applied all that it ever will:
//
//	before         [ left        )[ right         )
//	the batch      commits the transaction, on both sides
//	after          [ left                         )
//	in memory      timestamp cache, locks: the left side's; the right replica is gone
//
// Nothing is moved: what belongs to keys stays where it is, and is the same on all stores.
// What belongs to the right range's ID goes, and a tombstone takes its place. All is in one
// batch with the applied state of the left side, so that a crash finds two ranges or one.

// Merge is the part of a command that takes in the range to the right.
type Merge struct {
	kv.MergeTrigger
	// RightStats counts what the right side held before the command.
	RightStats mvcc.Stats
}

// merge evaluates the trigger of a commit, whose other writes have been staged.
func (ev *evaluation) merge(t *kv.MergeTrigger) error {
	d := ev.r.state.Desc
	if whole := kv.Merged(d, &t.Right); whole.String() != t.Left.String() {
		return kv.Errorf(kv.BadRequest, "%s does not come of %s and %s", &t.Left, d, &t.Right)
	}
	after := ev.r.engine.NewOverlay(&ev.batch)
	written, stands := false, false
	err := visitDescriptor(after, keys.RangeDescriptorKey(t.Left.StartKey), t.Left.StartKey, func(d *kv.RangeDescriptor) error {
		written = d.String() == t.Left.String()
		return nil
	})
	if err == nil {
		err = visitDescriptor(after, keys.RangeDescriptorKey(t.Right.StartKey), t.Right.StartKey, func(*kv.RangeDescriptor) error {
			stands = true
			return nil
		})
	}
	if err != nil {
		return err
	}
	if !written || stands {
		return kv.Errorf(kv.BadRequest, "the transaction does not commit %s in place of %s", &t.Left, &t.Right)
	}
	right, err := rightState(ev.r.engine, t)
	if err != nil {
		return err
	}
	if right.LeaseAppliedIndex < t.Subsumed.LeaseIndex {
		return kv.Errorf(kv.NodeUnavailable, "r%d has applied %d here, and not %d", t.Right.RangeID, right.LeaseAppliedIndex, t.Subsumed.LeaseIndex)
	}
	reads, err := decodeSummary(t.Subsumed.Reads)
	if err != nil {
		return kv.Errorf(kv.BadRequest, "%s", err)
	}
	if !ev.r.leaseCovers(highest(&reads)) {
		// Who has the next lease knows that nothing was read above its start, and no more.
		return kv.Errorf(kv.NodeUnavailable, "r%d has read up to %s, beyond %s", t.Right.RangeID, highest(&reads), ev.r.state.Lease)
	}
	ev.threshold = ev.threshold.Forward(right.GCThreshold)
	if err := copyAbortSpan(&ev.batch, after, t.Right.RangeID, d.RangeID); err != nil {
		return err
	}
	ev.joined = &Merge{MergeTrigger: *t, RightStats: right.Stats}
	return nil
}

// rightState is the applied state of the right side on this store.
func rightState(rd storage.Reader, t *kv.MergeTrigger) (State, error) {
	s := State{Desc: &t.Right}
	_, ok, err := rd.Get(keys.ReplicaIDKey(t.Right.RangeID))
	if err == nil && !ok {
		err = kv.Errorf(kv.NodeUnavailable, "r%d is not here", t.Right.RangeID)
	}
	if err == nil {
		err = s.load(rd, t.Right.RangeID)
	}
	return s, err
}

func decodeSummary(b []byte) (concurrency.ReadSummary, error) {
	r := codec.MakeReader(b)
	s := concurrency.DecodeReadSummary(&r)
	return s, r.Done()
}

// highest is the timestamp at or below which everything was read that a summary tells of.
func highest(s *concurrency.ReadSummary) hlc.Timestamp {
	ts := s.Low
	for i := range s.Marks {
		ts = ts.Forward(s.Marks[i].TS)
	}
	return ts
}

// stageMerge stages what a merge does to this replica, and the end of the one of the right
// side, which has applied all that the others have: it was waited for, with a sync.
func (r *Replica) stageMerge(b *storage.Batch, m *Merge) {
	s := &r.state
	staged := r.engine.NewOverlay(b) // entries before this one may be in the same batch
	right, err := rightState(staged, &m.MergeTrigger)
	if err != nil {
		r.cfg.Env.Fatal(fmt.Errorf("replica: the right side of a merge: %w", err))
	}
	if whole := kv.Merged(s.Desc, &m.Right); whole.String() != m.Left.String() || right.LeaseAppliedIndex < m.Subsumed.LeaseIndex {
		panic(fmt.Sprintf("replica: %s takes in %s at lease index %d, which is at %d", s.Desc, &m.Right, m.Subsumed.LeaseIndex, right.LeaseAppliedIndex))
	}
	if err := r.stageReads(b, staged, m); err != nil {
		r.cfg.Env.Fatal(err)
	}
	deleteRangeID(b, m.Right.RangeID, NeverAgain)
	s.Stats.Add(m.RightStats)
	s.Desc = &m.Left
}

// stageReads adds what was read on the right side to what the engine knows of reads on the
// left, for a holder of the lease that learns of the merge by a snapshot.
func (r *Replica) stageReads(b *storage.Batch, staged storage.Reader, m *Merge) error {
	reads, err := r.loadReads(staged)
	if err != nil {
		return err
	}
	right, err := decodeSummary(m.Subsumed.Reads)
	if err != nil {
		return err
	}
	reads.Merge(m.Right.Span(), right, r.cfg.Requests.Tunables.SummaryBytes)
	r.scratch = reads.Encode(r.scratch[:0])
	b.Put(keys.ReadSummaryKey(r.rangeID), r.scratch)
	return nil
}

// mergeApplied runs when the engine shows one range: memory follows before the next
// request meets it.
func (r *Replica) mergeApplied(c *Command) {
	m := c.Merge
	right := r.cfg.Host.Replica(m.Right.RangeID)
	if right == nil {
		panic(fmt.Sprintf("replica: r%d takes in r%d, which is not there", r.rangeID, m.Right.RangeID))
	}
	r.cfg.Env.Probe(probeMerge)
	reads, err := decodeSummary(m.Subsumed.Reads)
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	r.readOnTheRight(m.Subsumed.FreezeStart)
	if r.reads != nil {
		r.reads.Merge(m.Right.Span(), reads)
	}
	if r.reads != nil && right.reads != nil {
		r.requests.OnMerge(right.requests)
	}
	r.absorb(right)
}

// readOnTheRight takes in up to when somebody else's clock was in charge of a part of the
// range. What is given out from now on lies above; and what was observed of this node's
// clock before says nothing about the values there.
func (r *Replica) readOnTheRight(frozen hlc.Timestamp) {
	r.cfg.Clock.Forward(frozen)
	r.observable = r.observable.Forward(frozen)
}

// absorb ends a replica whose data is r's now.
func (r *Replica) absorb(right *Replica) {
	if o := r.cfg.Observer; o != nil {
		o.MergeApplied(r, right)
	}
	r.cfg.Host.MergeApplied(r, right)
	right.leave()
}

// subsumed are the replicas of this store that a snapshot of r holds as well: those of
// ranges that were merged into this one while r was away. Each is wholly within what the
// snapshot has beyond r's bounds, and older.
func (r *Replica) subsumed(s *Snapshot) []*Replica {
	var all []*Replica
	for _, o := range r.cfg.Host.Overlapping(s.Desc.Span()) {
		if o != r {
			all = append(all, o)
		}
	}
	return all
}

// Subsumes reports that a snapshot which makes r, or brings it forward, may end other's
// replica: what that holds was merged into r's range. Nil is no replica of the range.
func Subsumes(r *Replica, d *kv.RangeDescriptor, other *Replica) bool {
	o := other.Desc()
	return r != nil && !o.StartKey.Less(r.Desc().EndKey) && !d.EndKey.Less(o.EndKey) && o.Generation < d.Generation
}
