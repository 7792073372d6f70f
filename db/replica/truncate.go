package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// truncation is an applied decision to drop the head of the log.
type truncation struct {
	to entryID
	// seq is the engine's sequence number when the decision had applied. Once the
	// engine is durable up to it, so is the application of everything up to to, and
	// the log is no longer needed to repeat it.
	seq uint64
}

// tickTruncation decides, at the leader that holds the lease, to drop what all have
// and has grown too large. Live followers that lag hold it up, within a bound; one
// that lags further, or is down, will get a snapshot.
func (r *Replica) tickTruncation() {
	r.enactTruncations()
	if len(r.truncations) > 0 {
		// Nothing was synced since: ask for it, or an idle range would never sleep.
		r.cfg.batch.Reset()
		r.engine.Commit(&r.cfg.batch, true, r.enactTruncations)
	}
	t := r.cfg.Tunables
	if r.role != raft.StateLeader || r.log.bytes < t.LogBytes || len(r.truncations) > 0 || len(r.proposals.pending) > 0 {
		return
	}
	r.proposeTruncation(r.log.bytes < t.LogBytes*t.LogKeepFactor)
}

// TruncateLog drops from the log all that has applied here, whoever lags: those who
// lack some of it get a snapshot. r must hold the lease and lead.
func (r *Replica) TruncateLog(t env.Task) *kv.Error {
	if r.role != raft.StateLeader {
		return r.notLeaseholder()
	}
	p := r.proposeTruncation(false)
	if p == nil {
		return r.errorf(kv.NodeUnavailable, "there is nothing to truncate, or no lease to do it under")
	}
	why, err := p.wait(t, "truncation")
	if err != nil {
		return r.errorf(kv.Ambiguous, "truncation: %s", err)
	}
	if why != Applied {
		return r.errorf(kv.NodeUnavailable, "truncation rejected: %s", why)
	}
	return nil
}

// proposeTruncation proposes, at the leader, to drop what has applied here and what
// nobody waits for: a snapshot under way and, with kept, live followers that lag. It
// returns nil if that is nothing, or r may not propose.
func (r *Replica) proposeTruncation(kept bool) *proposal {
	if r.LeaseStatus(r.now()) != LeaseValid {
		return nil
	}
	to := r.state.AppliedIndex
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		d, ok := r.state.Desc.ReplicaByID(kv.ReplicaID(id))
		if !ok || id == uint64(r.self.ReplicaID) {
			return
		}
		if p.State == tracker.StateSnapshot {
			// What follows the snapshot under way must be there when it arrives.
			to = min(to, p.PendingSnapshot)
		} else if kept && p.RecentActive && r.cfg.Host.Live(d.NodeID) {
			to = min(to, p.Match)
		}
	})
	return r.proposeTruncationTo(to)
}

// proposeTruncationTo returns nil if nothing of the log goes by it.
func (r *Replica) proposeTruncationTo(to uint64) *proposal {
	if to <= r.log.truncated.index {
		return nil
	}
	term, err := r.log.Term(to)
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	r.wake(true)
	return r.propose(&Command{Kind: KindTruncate, LeaseSequence: r.state.Lease.Sequence, TruncateTo: to, TruncateTerm: term}, &proposal{})
}

// dropStale decides, at the leader that holds the lease, to drop what every replica
// has in its log, those that are down included: nobody will need a snapshot for it.
// It is asked for each time the log has grown by so much, and not at ticks, since
// entries that go before the engine has flushed them never reach a table.
func (r *Replica) dropStale() {
	stale := r.cfg.Tunables.LogStaleBytes
	if r.log.bytes < max(stale, r.dropStaleAt) || r.role != raft.StateLeader || len(r.truncations) > 0 {
		return
	}
	r.dropStaleAt = r.log.bytes + stale // if nothing comes of it: not before then
	if r.proposals.truncating() || r.LeaseStatus(r.now()) != LeaseValid {
		return
	}
	to := r.state.AppliedIndex
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id != uint64(r.self.ReplicaID) {
			to = min(to, p.Match)
		}
	})
	r.proposeTruncationTo(to)
}

// noteTruncation runs when a truncation command has applied.
func (r *Replica) noteTruncation(to entryID) {
	if to.index <= r.log.truncated.index {
		return
	}
	r.truncations = append(r.truncations, truncation{to: to, seq: r.engine.Seq()})
	r.enactTruncations()
	if len(r.truncations) > 0 {
		r.cfg.Env.Probe(probeTruncationHeld)
	}
}

// enactTruncations drops entries whose application is durable. If they went
// earlier, a power loss could take the applied state back to before them, with
// nothing left to repeat.
func (r *Replica) enactTruncations() {
	n := 0
	for n < len(r.truncations) && r.truncations[n].seq <= r.engine.DurableSeq() {
		n++
	}
	if n == 0 {
		return
	}
	to := r.truncations[n-1].to
	r.truncations = append(r.truncations[:0], r.truncations[n:]...)
	if len(r.truncations) == 0 {
		r.truncations = nil
	}
	if to.index <= r.log.truncated.index {
		return
	}
	b := &r.cfg.batch
	b.Reset()
	r.log.truncate(b, to)
	r.engine.Commit(b, false, nil)
	r.dropStaleAt = 0
	r.cfg.Env.Probe(probeTruncated)
}
