package replica

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/kv"
)

// rearm puts off the next campaign by the whole election time-out. It is called
// at each sign of a living leader, when a real vote was granted, and, with draw,
// when role or term changed and after each campaign: the library refuses some
// silently, and two replicas that tied must not tie again.
func (r *Replica) rearm(draw bool) {
	e := &r.election
	e.elapsed = 0
	if e.timer != 0 {
		r.cfg.Env.Stop(e.timer)
		e.timer = 0
	}
	if draw {
		n := r.cfg.Tunables.ElectionTicks
		e.target = n + 1 + e.rand.IntN(n)
	}
}

// tickElection counts one tick without a leader. Peers ignore whoever asks before
// they have missed ElectionTicks themselves, hence the target lies above that; a
// drawn part of a tick keeps replicas whose ticks coincide apart.
func (r *Replica) tickElection() {
	e := &r.election
	e.elapsed++
	if e.elapsed < e.target || e.timer != 0 || !mayHoldLease(r.self) { // who does not vote does not stand
		return
	}
	d := time.Duration(e.rand.Int64N(int64(r.cfg.Tunables.Tick)))
	e.timer = r.cfg.Env.After(d, "election", func() {
		e.timer = 0
		r.campaign()
	})
}

// campaign stands for election, if that makes sense.
func (r *Replica) campaign() {
	if r.role == raft.StateLeader || r.quiesced || r.gone {
		return
	}
	r.cfg.Env.Probe(probeCampaign)
	r.rearm(true)
	_ = r.rn.Campaign() // it has no error to give for a local message
	r.cfg.Host.Ready(r)
}

// TakeOver has r stand for election at once and without a pre-vote, as if the leader
// had told it to: peers do not hold their belief in that leader against it. It loses
// to whoever has more in the log, like anybody, but the leader's term is over. It
// reports whether r stands.
func (r *Replica) TakeOver() bool {
	if r.role != raft.StateFollower {
		return false
	}
	r.wake(false)
	r.rearm(true)
	// An error would say that the message is not from a member, which r is.
	_ = r.rn.Step(raftpb.Message{Type: raftpb.MsgTimeoutNow, From: uint64(r.self.ReplicaID), To: uint64(r.self.ReplicaID),
		Term: r.rn.BasicStatus().Term})
	r.cfg.Host.Ready(r)
	return r.rn.BasicStatus().RaftState != raft.StateFollower
}

// TransferLeadership has the leader hand over to another voter, once that has all
// of its log; until then it takes no proposals, and after an election time-out it
// gives up. It reports whether r may try.
func (r *Replica) TransferLeadership(to kv.ReplicaDescriptor) bool {
	if p, ok := r.progress(to.ReplicaID); r.role != raft.StateLeader || !ok || p.IsLearner || to.ReplicaID == r.self.ReplicaID {
		return false
	}
	r.wake(true)
	r.rn.TransferLeader(uint64(to.ReplicaID))
	r.cfg.Host.Ready(r)
	return true
}

// silentElections is after how many times the time in which others would have elected a
// leader a replica that hears of none is silent.
const silentElections = 4

// Silent reports that r has heard of no leader for long, or of nothing at all.
func (r *Replica) Silent() bool {
	return !r.quiesced && (r.leader == 0 || r.election.elapsed > silentElections*r.cfg.Tunables.ElectionTicks)
}
