package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/concurrency"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// That the replicas of a range hold the same is a promise which many parts of the system
// keep together: the log, application, snapshots, the engine and the disk under it. To
// check it, a command goes into the log that writes nothing; where a replica applies it,
// the state is fixed, and its store computes the checksum while the range goes on. What
// two replicas have at one place of the log can be compared.

// RequestChecksum has every replica of the range compute a checksum of its state, as it
// is at one place of the log. It returns the command's identity, by which the stores know
// the results, when the command has applied here. r must hold the lease.
func (r *Replica) RequestChecksum(t env.Task) (CommandID, *kv.Error) {
	// A range that is frozen for a merge must not move on; the latch keeps one that is
	// about to be frozen waiting until the command has applied.
	descriptor := keys.Span{Key: keys.RangeDescriptorKey(r.state.Desc.StartKey)}
	guard, err := r.requests.Latches().Acquire(t, []concurrency.Latch{{Span: descriptor, Access: concurrency.Read}})
	if err != nil {
		return 0, r.errorf(kv.Timeout, "waiting for a change of the range: %s", err)
	}
	if r.gone || r.frozen != nil || r.LeaseStatus(r.now()) != LeaseValid {
		r.requests.Latches().Release(guard)
		return 0, r.notLeaseholder()
	}
	r.wake(true)
	p := r.propose(&Command{Kind: KindChecksum, LeaseSequence: r.state.Lease.Sequence}, &proposal{guard: guard})
	why, werr := p.wait(t, "checksum")
	switch {
	case werr != nil:
		return 0, r.errorf(kv.Ambiguous, "checksum: %s", werr)
	case why != Applied:
		return 0, r.errorf(kv.NodeUnavailable, "checksum rejected: %s", why)
	}
	return p.id, nil
}

// untilChecksum is how many of the entries are applied in one batch: a checksum is of the
// state between two entries, which must be in the engine when it is fixed.
func untilChecksum(entries []raftpb.Entry) int {
	for i := range entries {
		e := &entries[i]
		if e.Type == raftpb.EntryNormal && len(e.Data) > offKind && Kind(e.Data[offKind]) == KindChecksum {
			return max(i, 1)
		}
	}
	return len(entries)
}
