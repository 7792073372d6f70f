package replica

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
)

// A split is the commit of a transaction that changes descriptors (package store). The
// commit carries a trigger, which is evaluated here under latches on the whole range, and
// done by every replica when it applies the command:
//
//	before         [ left                         )
//	the batch      commits the transaction, writes the right side's own state
//	after          [ left        )[ right         )
//	in memory      timestamp cache, locks, who waits: each to its side, at once
//	consensus      whoever leads the left side stands for election on the right
//
// Nothing is moved: what belongs to keys stays where it is. What belongs to the range ID
// is copied. All is in one batch with the applied state of the left side, so that a crash
// finds one range or two.

// Split is the part of a command that divides the range.
type Split struct {
	kv.SplitTrigger
	// RightStats counts what the right side holds after the command.
	RightStats mvcc.Stats
	// stillborn: the right side has no replica here, since that was removed before.
	stillborn bool
}

// split evaluates the trigger of a commit, whose other writes have been staged.
func (ev *evaluation) split(t *kv.SplitTrigger) error {
	d := ev.r.state.Desc
	whole := kv.RangeDescriptor{RangeID: t.Left.RangeID, StartKey: t.Left.StartKey, EndKey: t.Right.EndKey, Replicas: t.Left.Replicas,
		NextReplicaID: t.Left.NextReplicaID, Generation: t.Left.Generation - 1}
	if whole.String() != d.String() {
		return kv.Errorf(kv.BadRequest, "%s and %s do not come of %s", &t.Left, &t.Right, d)
	}
	if err := kv.CheckSplitKey(t.Right.StartKey); err != nil {
		return err
	}
	if d.Joint() {
		return kv.Errorf(kv.BadRequest, "%s is joint: its replicas are being changed", d)
	}
	after := ev.r.engine.NewOverlay(&ev.batch)
	for _, side := range []*kv.RangeDescriptor{&t.Left, &t.Right} {
		if err := ev.commits(side); err != nil {
			return err
		}
	}
	stats, err := mvcc.ComputeStats(after, t.Right.Span())
	if err == nil {
		err = visitDescriptorKeys(after, t.Right.Span(), func(k, _ keys.Key) error {
			one, err := mvcc.ComputeStats(after, keys.Span{Key: k})
			stats.Add(one)
			return err
		})
	}
	if err != nil {
		return err
	}
	if err := copyAbortSpan(&ev.batch, after, d.RangeID, t.Right.RangeID); err != nil {
		return err
	}
	ev.divided = &Split{SplitTrigger: *t, RightStats: stats}
	return nil
}

// copyAbortSpan leaves the notes of one range in another as well: the intents whose
// removal they tell of may have been on either side.
func copyAbortSpan(b *storage.Batch, rd storage.Reader, from, to kv.RangeID) error {
	s := keys.AbortSpan(from)
	it := rd.NewIter(s.Key, s.EndKey)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		_, txn, ok := keys.DecodeAbortSpanKey(it.Key())
		if !ok {
			return fmt.Errorf("replica: %s is not a note in the abort span", keys.Key(it.Key()))
		}
		b.Put(keys.AbortSpanKey(to, txn), it.Value())
	}
	return it.Err()
}

// stageSplit stages what a split does to this replica and what makes the one of the right
// side. The lease, what was read under earlier ones and the threshold are the same on both
// sides, as they are at this place of the log.
func (r *Replica) stageSplit(b *storage.Batch, t *Split) {
	s := &r.state
	right := t.Right.RangeID
	rd, ok := t.Right.Replica(r.cfg.StoreID)
	if !ok || rd != r.self || t.Left.RangeID != r.rangeID || t.Left.Generation != s.Desc.Generation+1 {
		panic(fmt.Sprintf("replica: %s of %s is split into %s and %s", r.self, s.Desc, &t.Left, &t.Right))
	}
	staged := r.engine.NewOverlay(b)
	next, err := Tombstone(staged, right)
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	if rd.ReplicaID < next {
		// The right side has removed this replica before it began here. Nobody may take
		// its part, nor find what it was to hold.
		for _, span := range ReplicatedSpans(&t.Right) {
			b.DeleteRange(span.Key, span.EndKey)
		}
		s.Stats.Sub(t.RightStats)
		s.Desc, t.stillborn = &t.Left, true
		return
	}
	hs, err := bornWith(staged, right)
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	summary, read, err := staged.Get(keys.ReadSummaryKey(r.rangeID))
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	if read {
		b.Put(keys.ReadSummaryKey(right), summary)
	}
	WriteInitial(b, right, rd.ReplicaID, t.RightStats)
	b.Put(keys.HardStateKey(right), encodeHardState(nil, &hs))
	b.Put(keys.LeaseKey(right), s.Lease.Encode(nil))
	if !s.GCThreshold.IsEmpty() {
		b.Put(keys.GCThresholdKey(right), s.GCThreshold.Encode(nil))
	}
	s.Stats.Sub(t.RightStats)
	s.Desc = &t.Left
}

// bornWith is the hard state of a replica that begins with a split. Term and vote that
// this store has given for it before are promises, and are kept.
func bornWith(rd storage.Reader, id kv.RangeID) (raftpb.HardState, error) {
	hs := raftpb.HardState{Term: InitialTerm, Commit: InitialIndex}
	v, ok, err := rd.Get(keys.HardStateKey(id))
	if err != nil || !ok {
		return hs, err
	}
	promised, err := decodeHardState(v)
	if promised.Term >= hs.Term {
		hs.Term, hs.Vote = promised.Term, promised.Vote
	}
	return hs, err
}

// splitApplied runs when the engine shows two ranges: memory follows before the next
// request, or the next entry, meets either.
func (r *Replica) splitApplied(c *Command) {
	if c.Split.stillborn {
		r.cfg.Env.Probe(probeStillborn)
		r.requests.Clear() // who waits on the right side goes round, and finds no range
		return
	}
	right, err := Load(r.cfg, &c.Split.Right)
	if err != nil {
		r.cfg.Env.Fatal(fmt.Errorf("replica: the right side of a split: %w", err))
	}
	r.cfg.Env.Probe(probeSplit)
	// What the command itself did to locks is known first, or it would be looked for on
	// the wrong side.
	if i := r.proposals.find(c.ID); i >= 0 {
		if p := r.proposals.pending[i]; p.call != nil && p.index == c.MaxLeaseIndex {
			p.call.effects.follow(r)
		}
	}
	// A lease that was revoked stays so for what it covered.
	right.lease.revoked, right.observable = r.lease.revoked, r.observable
	span := right.state.Desc.Span()
	if r.reads != nil {
		right.reads = r.reads.Split(span)
	}
	r.requests.OnSplit(right.requests, span)
	if o := r.cfg.Observer; o != nil {
		o.SplitApplied(r, right)
	}
	r.cfg.Host.SplitApplied(r, right)
	right.bornOf(r)
}

// bornOf sees to it that the right side gets a leader at once. The leader of the left side
// stands for election; but its peers may not have applied the split, and a replica that is
// not there does not vote. Each tells when it is there.
func (r *Replica) bornOf(left *Replica) {
	if left.role == raft.StateLeader {
		r.newborn = true
		r.campaign()
		return
	}
	if to, ok := r.state.Desc.ReplicaByID(left.leader); ok {
		r.cfg.Host.SendMessage(Message{RangeID: r.rangeID, From: r.self, To: to, Wake: true,
			Raft: raftpb.Message{To: uint64(to.ReplicaID), From: uint64(r.self.ReplicaID)}})
	}
}

// peerBorn asks again for votes, of which some went to replicas that were not there.
func (r *Replica) peerBorn() {
	if r.newborn && r.leader == 0 && r.role != raft.StateCandidate {
		r.campaign()
	}
	r.newborn = r.newborn && r.leader == 0
}

// Absent says what a store answers to the leader of a range of which it has no replica,
// though the range's descriptor says so. A learner begins with a snapshot. Otherwise either it has not applied the split yet; then it
// refuses the snapshot that follows, since that overlaps what it has. Or it never will,
// because a snapshot of the left side took it past the split: then the snapshot makes the
// replica. No replica is made by a message alone.
func Absent(m *Message) (Message, bool) {
	if m.Raft.Type != raftpb.MsgApp && m.Raft.Type != raftpb.MsgHeartbeat {
		return Message{}, false
	}
	return Message{RangeID: m.RangeID, From: m.To, To: m.From, Absent: true,
		Raft: raftpb.Message{To: m.Raft.From, From: m.Raft.To}}, true
}

// peerAbsent sends the state to a replica that is not there.
func (r *Replica) peerAbsent(id kv.ReplicaID) {
	if to, ok := r.state.Desc.ReplicaByID(id); ok && r.role == raft.StateLeader {
		r.cfg.Host.SendSnapshot(r, to)
	}
}

// WriteSnapshot adds the writes that make a replica of a complete snapshot, on a store that
// has no replica of the range and none that overlaps it. They must be synced before the
// replica is loaded: from then on it acknowledges what it has.
func WriteSnapshot(b *storage.Batch, rd storage.Reader, s *Snapshot) error {
	hs, err := bornWith(rd, s.RangeID)
	if err != nil {
		return err
	}
	if hs.Term < s.Term {
		hs.Term, hs.Vote = s.Term, 0
	}
	hs.Commit = s.Index
	for _, span := range ReplicatedSpans(s.Desc) {
		b.DeleteRange(span.Key, span.EndKey)
	}
	for _, c := range s.Chunks {
		if err := b.AppendRepr(c); err != nil {
			return fmt.Errorf("replica: r%d: snapshot at %d: %w", s.RangeID, s.Index, err)
		}
	}
	b.Put(keys.TruncatedStateKey(s.RangeID), entryID{s.Index, s.Term}.encode(nil))
	b.Put(keys.HardStateKey(s.RangeID), encodeHardState(nil, &hs))
	b.Put(keys.ReplicaIDKey(s.RangeID), codec.AppendVarint(nil, int64(s.To.ReplicaID)))
	return nil
}
