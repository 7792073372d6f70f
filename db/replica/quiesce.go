package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"simulacrum/db/kv"
)

// Tick advances consensus by one tick. The store calls it for each replica that is
// not quiescent.
func (r *Replica) Tick() {
	if r.gone {
		return
	}
	r.ticks++
	if r.role == raft.StateLeader {
		r.rn.Tick()
	} else {
		// The library counts, so that it can refuse who asks for votes too early,
		// but does not act: its time-out is drawn where no seed reaches.
		r.rn.TickQuiesced()
		r.tickElection()
	}
	r.tickProposals()
	r.tickLease()
	r.tickTruncation()
	r.tickQuiesce()
	r.cfg.Host.Ready(r)
}

// idle reports that nobody has asked for anything lately.
func (r *Replica) idle() bool { return r.ticks-r.lastUse >= r.cfg.Tunables.QuiesceTicks }

// tickQuiesce puts the group to sleep if nothing is left to do: no request for a
// while, nothing proposed, everything committed and applied, every voter that is
// up caught up. One that is down is woken for when it is back (WakeFor).
func (r *Replica) tickQuiesce() {
	if r.role != raft.StateLeader || !r.idle() || len(r.proposals.pending) > 0 || r.requests.Latches().Len() > 0 ||
		len(r.appends) > 0 || len(r.truncations) > 0 || len(r.held) > 0 {
		return
	}
	st := r.rn.BasicStatus()
	last := r.lastIndex()
	if st.LeadTransferee != raft.None || st.Commit != last || st.Applied != last || r.rn.HasReady() {
		return
	}
	if r.LeaseStatus(r.now()) == LeaseOther {
		return // leadership is about to follow the lease
	}
	ready := true
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		d, ok := r.state.Desc.ReplicaByID(kv.ReplicaID(id))
		if id == uint64(r.self.ReplicaID) || !ok || !r.cfg.Host.Live(d.NodeID) {
			return
		}
		if p.State != tracker.StateReplicate || p.Match != last {
			ready = false
		}
	})
	if !ready {
		return
	}
	for _, d := range r.state.Desc.Replicas {
		// One that is down, or lags, is told nothing: to it the commit index would name
		// entries that its log does not have.
		if p, ok := r.progress(d.ReplicaID); d.ReplicaID == r.self.ReplicaID || !ok || p.Match != last {
			continue
		}
		r.cfg.Host.SendMessage(Message{RangeID: r.rangeID, From: r.self, To: d, Quiesce: true, Raft: raftpb.Message{
			Type: raftpb.MsgHeartbeat, To: uint64(d.ReplicaID), From: uint64(r.self.ReplicaID),
			Term: st.Term, Commit: st.Commit,
		}})
	}
	r.sleep()
}

// quiesceWith goes to sleep on the leader's word, if r is exactly where the leader
// is. If not, the message is an ordinary heartbeat, whose answer wakes the leader.
func (r *Replica) quiesceWith(m *raftpb.Message) bool {
	st := r.rn.BasicStatus()
	if st.Term != m.Term || st.Lead != m.From || st.RaftState != raft.StateFollower ||
		r.log.last.index != m.Commit || r.state.AppliedIndex != m.Commit ||
		len(r.appends) > 0 || len(r.proposals.pending) > 0 || r.rn.HasReady() {
		return false
	}
	r.rearm(false)
	r.sleep()
	return true
}

func (r *Replica) sleep() {
	if !r.quiesced {
		r.quiesced = true
		r.cfg.Env.Probe(probeQuiesced)
	}
}

// wake ends the sleep. A follower wakes the leader too, or, if the leader's node is
// down, forgets it and campaigns: peers that believe in it would ignore pre-votes.
// That is for what woke it locally; a message shows that somebody else is awake.
func (r *Replica) wake(local bool) {
	if !r.quiesced || r.gone {
		return
	}
	r.quiesced = false
	r.cfg.Env.Probe(probeWoke)
	r.rearm(true)
	r.cfg.Host.Woke(r)
	if !local || r.role == raft.StateLeader {
		return
	}
	d, ok := r.peer(r.leader)
	if ok && r.cfg.Host.Live(d.NodeID) {
		r.cfg.Host.SendMessage(Message{RangeID: r.rangeID, From: r.self, To: d, Wake: true,
			Raft: raftpb.Message{To: uint64(d.ReplicaID), From: uint64(r.self.ReplicaID)}})
		return
	}
	if ok {
		r.cfg.Env.Probe(probeForgetLeader)
	}
	_ = r.rn.ForgetLeader()
	r.leader = 0
	r.campaign()
}

// WakeFor wakes r because a node is back that may lack what was committed.
func (r *Replica) WakeFor(n kv.NodeID) {
	if !r.quiesced || r.role != raft.StateLeader {
		return
	}
	for _, d := range r.state.Desc.Replicas {
		if d.NodeID != n {
			continue
		}
		if p, ok := r.progress(d.ReplicaID); ok && p.Match < r.lastIndex() {
			r.wake(true)
			return
		}
	}
}
