package replica

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// effect is one entry of a batch being applied, for what follows the write.
type effect struct {
	index uint64
	why   Rejection
	cmd   Command
	prev  kv.Lease // the lease before, if this command replaced it
	// Of a change of replicas: the descriptor before, what consensus is to do (nil:
	// nothing), and whether this replica is no more.
	before  *kv.RangeDescriptor
	conf    *raftpb.ConfChangeV2
	removed bool
}

// storageApply applies committed entries in one batch: what the commands wrote,
// and how far application has come. The two are never apart. It need not be
// synced: what a crash undoes is applied again from the log.
func (r *Replica) storageApply(m *raftpb.Message) {
	for rest := m.Entries; len(rest) > 0; {
		n := untilChecksum(rest)
		if r.applyBatch(rest[:n]); r.removed {
			return
		}
		rest = rest[n:]
	}
	r.deliver(m.Responses)
	r.proposeDropped()
}

// applyBatch applies entries that are to be applied together.
func (r *Replica) applyBatch(entries []raftpb.Entry) {
	b := &r.cfg.batch
	b.Reset()
	effects, removed := r.effects[:0], false
	for i := range entries {
		e := &entries[i]
		if e.Index != r.state.AppliedIndex+1 {
			panic(fmt.Sprintf("replica: applying entry %d after %d", e.Index, r.state.AppliedIndex))
		}
		r.state.AppliedIndex, r.state.AppliedTerm = e.Index, e.Term
		if len(e.Data) == 0 {
			continue // a new leader's first entry
		}
		effects = append(effects, effect{index: e.Index})
		f := &effects[len(effects)-1]
		if r.applyEntry(b, e, f); f.removed {
			removed = true
			break // the rest of the log is not for this replica
		}
	}
	if removed {
		r.stageRemoval(b, r.state.Desc.NextReplicaID)
	} else {
		r.scratch = r.state.encodeApplied(r.scratch[:0])
		b.Put(keys.AppliedStateKey(r.rangeID), r.scratch)
	}
	r.cfg.Env.Charge(env.ClassByte, int64(b.Size()))
	r.engine.Commit(b, false, nil)
	if len(effects) > 0 {
		r.cfg.Env.Probe(probeAppliedUnacked)
	}
	for i := range effects {
		r.afterApply(&effects[i])
	}
	clear(effects)
	r.effects = effects[:0]
	if removed {
		r.endRemoval()
	}
}

// applyEntry stages what an entry does, in the batch and in r.state.
func (r *Replica) applyEntry(b *storage.Batch, e *raftpb.Entry, f *effect) {
	c := &f.cmd
	data, err := commandOf(e)
	if err == nil {
		err = c.Decode(data)
	}
	if err != nil {
		// The entry is the same for all replicas, but whether its bytes are sound
		// here may not be: to skip it could make this replica differ.
		r.cfg.Env.Fatal(fmt.Errorf("replica: r%d: log entry %d: %w", r.rangeID, e.Index, err))
	}
	if f.why = r.judge(c); f.why != Applied {
		return
	}
	if c.Kind == KindLease {
		f.prev = r.state.Lease
		r.state.Lease = c.Lease.Next
		r.scratch = c.Lease.Next.Encode(r.scratch[:0])
		b.Put(keys.LeaseKey(r.rangeID), r.scratch)
		if c.Lease.Next.Sequence != f.prev.Sequence {
			reads := c.Lease.readsBefore()
			r.scratch = reads.Encode(r.scratch[:0])
			b.Put(keys.ReadSummaryKey(r.rangeID), r.scratch)
		}
		return
	}
	r.state.LeaseAppliedIndex = c.MaxLeaseIndex
	if c.writes() {
		before := b.Len()
		if err := b.AppendRepr(c.Batch); err != nil {
			r.cfg.Env.Fatal(fmt.Errorf("replica: r%d: log entry %d: %w", r.rangeID, e.Index, err))
		}
		r.noteWritten(b.Len() - before)
		r.state.Stats.Add(c.Stats)
		if !c.GCThreshold.IsEmpty() {
			r.state.GCThreshold = r.state.GCThreshold.Forward(c.GCThreshold)
			r.scratch = r.state.GCThreshold.Encode(r.scratch[:0])
			b.Put(keys.GCThresholdKey(r.rangeID), r.scratch)
		}
	}
	switch c.Kind {
	case KindSplit:
		r.stageSplit(b, c.Split)
	case KindMerge:
		r.stageMerge(b, c.Merge)
	case KindChange:
		r.stageChange(f)
	}
}

// commandOf is the command that an entry carries: its data, or, of a configuration
// change, what comes with it.
func commandOf(e *raftpb.Entry) ([]byte, error) {
	if e.Type == raftpb.EntryNormal {
		return e.Data, nil
	}
	var cc raftpb.ConfChangeV2
	err := cc.Unmarshal(e.Data)
	return cc.Context, err
}

// judge says whether a command applies. It looks at nothing but the command and
// what earlier entries made of the state, so that all replicas judge alike.
func (r *Replica) judge(c *Command) Rejection {
	s := &r.state
	if c.Kind == KindLease {
		switch l := &c.Lease; {
		case l.PrevSequence != s.Lease.Sequence || l.PrevProposed != s.Lease.ProposedTS:
			return RejectLeasePrevious
		default:
			d, ok := s.Desc.ReplicaByID(l.Next.Replica.ReplicaID)
			if !ok || d.StoreID != l.Next.Replica.StoreID || !mayHoldLease(d) {
				return RejectLeaseNotMember
			}
		}
		return Applied
	}
	switch {
	case c.LeaseSequence != s.Lease.Sequence:
		return RejectLeaseSequence
	case c.MaxLeaseIndex <= s.LeaseAppliedIndex:
		return RejectLeaseIndex
	case c.Kind == KindWrite && !s.GCThreshold.IsEmpty() && c.WriteTS.LessEq(s.GCThreshold):
		return RejectGCThreshold
	}
	return Applied
}

// afterApply lets the world know of an entry, once the batch is in the engine.
func (r *Replica) afterApply(f *effect) {
	c := &f.cmd
	switch f.why {
	case RejectLeaseSequence:
		r.cfg.Env.Probe(probeRejectedLease)
	case RejectLeaseIndex:
		r.cfg.Env.Probe(probeRejectedIndex)
	case RejectLeasePrevious:
		r.cfg.Env.Probe(probeRejectedPrevious)
	}
	if o := r.cfg.Observer; o != nil {
		o.Applied(r, f.index, c, f.why)
	}
	if f.why == Applied {
		switch c.Kind {
		case KindLease:
			r.leaseApplied(f.prev, c.Lease.Next, c.Lease.readsBefore())
		case KindTruncate:
			r.noteTruncation(entryID{c.TruncateTo, c.TruncateTerm})
		case KindSplit:
			r.splitApplied(c)
		case KindMerge:
			r.mergeApplied(c)
		case KindChange:
			r.changeApplied(f)
		case KindChecksum:
			r.cfg.Host.ComputeChecksum(r, c.ID)
		}
	}
	r.decided(c, f.why)
}
