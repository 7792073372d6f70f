package replica

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Step takes in a message of another replica.
func (r *Replica) Step(m *Message) {
	if r.gone {
		return
	}
	r.cfg.Env.Charge(env.ClassRaft, 1)
	switch {
	case m.Removed:
		r.cfg.Host.Suspect(r)
		return
	case r.stranger(m.From):
		r.tellRemoved(m.From)
		return
	}
	r.meet(m.From)
	if m.Quiesce && r.quiesceWith(&m.Raft) {
		return
	}
	if m.Absent {
		r.peerAbsent(m.From.ReplicaID)
		return
	}
	r.wake(false)
	if m.Wake {
		r.peerBorn()
		return
	}
	// An error says that the message is of no use here, as those of replicas that
	// left; the sender has no need to know.
	vote := r.rn.BasicStatus().Vote
	_ = r.rn.Step(m.Raft)
	switch m.Raft.Type {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		if st := r.rn.BasicStatus(); st.Term == m.Raft.Term && st.Lead == m.Raft.From {
			r.rearm(false)
		}
	case raftpb.MsgVote:
		if st := r.rn.BasicStatus(); st.Vote == m.Raft.From && vote != st.Vote {
			r.rearm(false)
		}
	}
	r.cfg.Host.Ready(r)
}

// Drain does what the library asks for, until it asks for nothing more. The store
// calls it for each replica that is in line.
func (r *Replica) Drain() {
	r.queued = false
	if r.ackedEarly {
		r.ackedEarly = false
		r.cfg.Env.Probe(probeAckedEarly)
	}
	for !r.gone && r.rn.HasReady() {
		r.cfg.Env.Charge(env.ClassRaft, 1)
		rd := r.rn.Ready()
		if rd.SoftState != nil || rd.HardState.Term > r.term {
			r.noteRole()
		}
		for i := range rd.Messages {
			switch m := &rd.Messages[i]; m.Type {
			case raftpb.MsgStorageAppend:
				r.storageAppend(m)
			case raftpb.MsgStorageApply:
				if r.storageApply(m); r.gone {
					return
				}
			case raftpb.MsgSnap:
				if to, ok := r.state.Desc.ReplicaByID(kv.ReplicaID(m.To)); ok {
					r.cfg.Host.SendSnapshot(r, to)
				}
			default:
				r.send(m)
			}
		}
		r.dropStale()
	}
}

// Queued reports, and Queue marks, that r is in the store's line.
func (r *Replica) Queued() bool { return r.queued }

// Queue: see Queued.
func (r *Replica) Queue() { r.queued = true }

// noteRole takes in a change of role, leader or term.
func (r *Replica) noteRole() {
	st := r.rn.BasicStatus()
	wasLeader := r.role == raft.StateLeader
	changed := st.RaftState != r.role || st.Term != r.term
	leader := kv.ReplicaID(st.Lead)
	if o := r.cfg.Observer; o != nil && (leader != r.leader || st.Term != r.term) {
		o.LeaderChanged(r, st.Term, leader)
	}
	r.role, r.term, r.leader = st.RaftState, st.Term, leader
	if changed {
		r.rearm(true)
	}
	switch isLeader := r.role == raft.StateLeader; {
	case isLeader && !wasLeader:
		r.proposeAgain()
	case wasLeader && !isLeader:
		r.lostLeadership()
	}
}

// send sends a message, now or together with what follows it.
func (r *Replica) send(m *raftpb.Message) {
	if m.Type != raftpb.MsgApp || !r.hold(m) {
		r.address(m)
	}
}

// address hands a message to the store for its replica, if the range still has it.
func (r *Replica) address(m *raftpb.Message) {
	to, ok := r.peer(kv.ReplicaID(m.To))
	if !ok {
		return
	}
	if n := len(m.Entries); n > 0 {
		// The library may append to what it was handed and to what it hands out: no
		// two may share a backing array.
		ents := make([]raftpb.Entry, n)
		copy(ents, m.Entries)
		m.Entries = ents
	}
	r.cfg.Host.SendMessage(Message{RangeID: r.rangeID, From: r.self, To: to, Raft: *m})
}

// appendWork is one log write on its way to the disk.
type appendWork struct {
	r         *Replica
	responses []raftpb.Message
	done      func() // r.appended, bound once
}

// storageAppend writes what a MsgStorageAppend carries in one synced batch. Its
// responses, which acknowledge entries and votes to others and to the library
// itself, are delivered when the disk has it and not before: a promise must not be
// forgotten in a power loss.
func (r *Replica) storageAppend(m *raftpb.Message) {
	b := &r.cfg.batch
	b.Reset()
	if m.Snapshot != nil {
		r.installSnapshot(b, m.Snapshot)
	}
	if len(m.Entries) > 0 {
		r.log.append(b, m.Entries)
	}
	// Term and vote are promises. The commit index is not: what it covers stands in the
	// synced logs of a majority, and it follows from what is applied or is learnt again from
	// the leader. So it is written when there is another reason, and not beside each entry.
	// One is a change of configuration among the entries. That was proposed when the change
	// before it had applied, as the index shows: without it, this replica would stand for
	// election after a restart by a configuration two steps old, whose majorities need not
	// overlap with those of now.
	write := m.Snapshot != nil || slices.ContainsFunc(m.Entries, changesConf)
	if hs := (raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}); !raft.IsEmptyHardState(hs) {
		write = write || hs.Term != r.hard.Term || hs.Vote != r.hard.Vote
		hs.Commit = max(hs.Commit, r.hard.Commit)
		r.hard = hs
	}
	if write {
		r.scratch = encodeHardState(r.scratch[:0], &r.hard)
		b.Put(keys.HardStateKey(r.rangeID), r.scratch)
	}
	n := len(r.appends)
	switch {
	case len(m.Responses) == 0:
		if !b.Empty() {
			r.engine.Commit(b, false, nil)
		}
	case !b.Empty():
		w := r.newAppend()
		w.responses = append(w.responses[:0], m.Responses...)
		r.appends = append(r.appends, w)
		r.engine.Commit(b, true, w.done)
		r.cfg.Env.Probe(probeAppendUnsynced)
	case n > 0:
		// Nothing to write, but what is acknowledged may still be on its way.
		r.appends[n-1].responses = append(r.appends[n-1].responses, m.Responses...)
	default:
		r.deliver(m.Responses)
	}
	if m.Snapshot != nil {
		r.snapshotInstalled()
	}
}

func changesConf(e raftpb.Entry) bool { return e.Type != raftpb.EntryNormal }

func (r *Replica) newAppend() *appendWork {
	if n := len(r.spare); n > 0 {
		w := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return w
	}
	w := &appendWork{r: r}
	w.done = func() { r.appended(w) }
	return w
}

// appended runs when a log write is synced.
func (r *Replica) appended(w *appendWork) {
	if r.gone {
		return
	}
	if len(r.appends) == 0 || r.appends[0] != w {
		panic("replica: log writes were synced out of order")
	}
	r.appends = append(r.appends[:0], r.appends[1:]...)
	r.deliver(w.responses)
	clear(w.responses)
	r.spare = append(r.spare, w)
	r.enactTruncations()
	r.cfg.Host.Ready(r)
}

// deliver hands responses to the library or to the peers that they are for.
func (r *Replica) deliver(responses []raftpb.Message) {
	for i := range responses {
		if m := &responses[i]; m.To == uint64(r.self.ReplicaID) {
			_ = r.rn.Step(*m)
		} else {
			r.send(m)
		}
	}
}
