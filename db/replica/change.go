package replica

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"simulacrum/db/kv"
)

// The replicas of a range change step by step (package store says in which order). Each
// step is the commit of a transaction over the descriptor, and one command here:
//
//	evaluated    at the leaseholder: the step is legal, and leaves it a vote
//	proposed     as a configuration change of consensus, which carries the command
//	applied      descriptor and applied state in one batch; a replica that is no more
//	             in the descriptor is removed in that same batch
//	then         consensus goes by the new configuration
//
// What consensus goes by follows from the descriptor alone, as applied, now and when the
// replica is loaded: what the log entry says of the configuration is never looked at. So a
// command that is rejected changes nothing at all. (To give the library an empty change
// in its place, as its followers of old did, would be to leave a joint configuration.)
//
// All that begins or ends the vote of a replica goes by a joint configuration, but for
// one voter that is added alone: any two majorities in a row overlap then.

// confChangeOf is what consensus is to do when next takes the place of d; nil if the two
// are the same to it. The error says why no single step leads from one to the other.
func confChangeOf(d, next *kv.RangeDescriptor) (*raftpb.ConfChangeV2, error) {
	if next.RangeID != d.RangeID || !next.StartKey.Equal(d.StartKey) || !next.EndKey.Equal(d.EndKey) ||
		next.Generation != d.Generation+1 || next.NextReplicaID < d.NextReplicaID {
		return nil, fmt.Errorf("%s does not come of %s", next, d)
	}
	if d.Joint() {
		left := d.LeaveJoint()
		if left.String() != next.String() {
			return nil, fmt.Errorf("%s is joint, and is followed by %s and not by %s", d, left, next)
		}
		return &raftpb.ConfChangeV2{}, nil
	}
	cc := &raftpb.ConfChangeV2{}
	retyped := false
	add := func(t raftpb.ConfChangeType, id kv.ReplicaID) {
		cc.Changes = append(cc.Changes, raftpb.ConfChangeSingle{Type: t, NodeID: uint64(id)})
	}
	for _, r := range d.Replicas {
		to, ok := next.ReplicaByID(r.ReplicaID)
		stays := to
		stays.Type = r.Type
		voter := r.Type == kv.VoterFull
		switch {
		case ok && stays != r:
			return nil, fmt.Errorf("%s becomes %s, in another place", r, to)
		case ok && to.Type == r.Type:
		case !ok && !voter:
			add(raftpb.ConfChangeRemoveNode, r.ReplicaID)
		case !ok:
			return nil, fmt.Errorf("%s votes, and is a learner before it is removed", r)
		case voter && to.Type == kv.VoterDemoting:
			add(raftpb.ConfChangeAddLearnerNode, r.ReplicaID)
		case !voter && (to.Type == kv.VoterFull && !next.Joint() || to.Type == kv.VoterIncoming):
			add(raftpb.ConfChangeAddNode, r.ReplicaID)
		case !voter && (to.Type == kv.Learner || to.Type == kv.NonVoter):
			retyped = true
		default:
			return nil, fmt.Errorf("%s cannot become %s in one step", r, to)
		}
	}
	for _, r := range next.Replicas {
		if _, ok := d.ReplicaByID(r.ReplicaID); ok {
			continue
		}
		if r.ReplicaID < d.NextReplicaID || r.Type != kv.Learner && r.Type != kv.NonVoter {
			return nil, fmt.Errorf("%s is not how a replica begins in %s", r, d)
		}
		add(raftpb.ConfChangeAddLearnerNode, r.ReplicaID)
	}
	return checkStep(cc, next, retyped)
}

// checkStep refuses what would be more than one step.
func checkStep(cc *raftpb.ConfChangeV2, next *kv.RangeDescriptor, retyped bool) (*raftpb.ConfChangeV2, error) {
	if next.Joint() {
		for _, c := range cc.Changes {
			if r, _ := next.ReplicaByID(kv.ReplicaID(c.NodeID)); r.Type != kv.VoterIncoming && r.Type != kv.VoterDemoting {
				return nil, fmt.Errorf("replica %d changes with voters in %s", c.NodeID, next)
			}
		}
		if retyped {
			return nil, fmt.Errorf("learners change with voters in %s", next)
		}
		cc.Transition = raftpb.ConfChangeTransitionJointExplicit
		return cc, nil
	}
	switch n := len(cc.Changes); {
	case n > 1 || n == 1 && retyped:
		return nil, fmt.Errorf("%s changes more than one replica", next)
	case n == 0 && !retyped:
		return nil, fmt.Errorf("%s changes nothing", next)
	case n == 0:
		return nil, nil
	}
	return cc, nil
}

// change evaluates the trigger of a commit whose other writes have been staged.
func (ev *evaluation) change(t *kv.ChangeTrigger) error {
	d := ev.r.state.Desc
	if _, err := confChangeOf(d, &t.Desc); err != nil {
		return kv.Errorf(kv.BadRequest, "%s", err)
	}
	if self, _ := t.Desc.ReplicaByID(ev.r.self.ReplicaID); !mayHoldLease(self) {
		return kv.Errorf(kv.BadRequest, "%s has the lease, and has no vote in %s", ev.r.self, &t.Desc)
	}
	if err := ev.commits(&t.Desc); err != nil {
		return err
	}
	ev.changed = &t.Desc
	return nil
}

// mayHoldLease reports that a replica has a vote. One that is about to lose it keeps
// the lease that it has until it has handed it over.
func mayHoldLease(d kv.ReplicaDescriptor) bool {
	return d.ReplicaID != 0 && d.Type != kv.Learner && d.Type != kv.NonVoter
}

// asHolder is a replica as leases name it: by its place, whatever becomes of its vote.
func asHolder(d kv.ReplicaDescriptor) kv.ReplicaDescriptor {
	d.Type = kv.VoterFull
	return d
}

// stageChange stages what a change of replicas does to this one.
func (r *Replica) stageChange(f *effect) {
	next := f.cmd.Change
	cc, err := confChangeOf(r.state.Desc, next)
	if err != nil {
		panic(fmt.Sprintf("replica: %s applies a change that was not evaluated against its descriptor: %s", r.self, err))
	}
	f.before, f.conf = r.state.Desc, cc
	r.state.Desc = next
	_, stays := next.ReplicaByID(r.self.ReplicaID)
	f.removed = !stays
}

// changeApplied runs when the engine shows the new descriptor: consensus goes by it from
// here on.
func (r *Replica) changeApplied(f *effect) {
	r.cfg.Env.Probe(probeChanged)
	if f.removed {
		return
	}
	if f.conf != nil {
		r.rn.ApplyConfChange(*f.conf)
	}
	r.self, _ = f.cmd.Change.ReplicaByID(r.self.ReplicaID)
	if f.cmd.Change.Joint() {
		r.cfg.Env.Probe(probeJoint)
	}
	if r.role != raft.StateLeader {
		return
	}
	for _, gone := range f.before.Replicas {
		if _, ok := f.cmd.Change.ReplicaByID(gone.ReplicaID); !ok {
			r.tellRemoved(gone) // it will not hear from the group any more
		}
	}
}

// tellRemoved tells a replica that the range has it no more.
func (r *Replica) tellRemoved(to kv.ReplicaDescriptor) {
	r.cfg.Host.SendMessage(Message{RangeID: r.rangeID, From: r.self, To: to, Removed: true,
		Raft: raftpb.Message{To: uint64(to.ReplicaID), From: uint64(r.self.ReplicaID)}})
}

// stranger reports that a replica was in the range and is there no more, as r knows. What
// it says is not heard: those who are there can do without it.
func (r *Replica) stranger(d kv.ReplicaDescriptor) bool {
	_, ok := r.state.Desc.ReplicaByID(d.ReplicaID)
	return !ok && d.ReplicaID < r.state.Desc.NextReplicaID
}

// meet remembers where a replica is that r does not know of. It may be the leader: r lags
// behind the change that brought it in, and will not learn of that if it does not answer.
func (r *Replica) meet(d kv.ReplicaDescriptor) {
	if d.ReplicaID < r.state.Desc.NextReplicaID {
		return
	}
	r.newcomers = slices.DeleteFunc(r.newcomers, func(o kv.ReplicaDescriptor) bool {
		return o.ReplicaID == d.ReplicaID || o.ReplicaID < r.state.Desc.NextReplicaID
	})
	r.newcomers = append(r.newcomers, d)
}

// peer is where a replica of the range is, as far as r has heard.
func (r *Replica) peer(id kv.ReplicaID) (kv.ReplicaDescriptor, bool) {
	if d, ok := r.state.Desc.ReplicaByID(id); ok {
		return d, true
	}
	i := slices.IndexFunc(r.newcomers, func(d kv.ReplicaDescriptor) bool { return d.ReplicaID == id })
	if i < 0 {
		return kv.ReplicaDescriptor{}, false
	}
	return r.newcomers[i], true
}

// Follows reports that r leads, and that another replica has its log up to index and is
// sent what follows as it comes.
func (r *Replica) Follows(id kv.ReplicaID, index uint64) bool {
	p, ok := r.progress(id)
	return r.role == raft.StateLeader && ok && p.State == tracker.StateReplicate && p.Match >= index
}
