package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"simulacrum/db/kv"
)

// Charge says whether it is for a replica to see to where the range's replicas and lease
// are. At most one replica has a charge, but for those that cannot know of each other.
type Charge uint8

// The charges.
const (
	NoCharge Charge = iota // another's
	Vacant                 // nobody has the lease, and this replica may get it
	InCharge               // it has the lease, and leads: it knows how far the others are
)

// Charge is r's.
func (r *Replica) Charge() Charge {
	switch r.LeaseStatus(r.now()) {
	case LeaseValid:
		if r.role == raft.StateLeader {
			return InCharge
		}
		return NoCharge // leadership will follow
	case LeaseOther:
		return NoCharge
	}
	if r.role == raft.StateLeader {
		return Vacant
	}
	if d, ok := r.state.Desc.ReplicaByID(r.leader); ok && r.cfg.Host.Live(d.NodeID) {
		return NoCharge
	}
	return Vacant
}

// Behind are the stores whose replicas cannot be relied on for a quorum, as far as a leader
// knows: they need a snapshot, have not answered of late, or lack more than what is
// usually on its way.
func (r *Replica) Behind() (behind []kv.StoreID) {
	for _, d := range r.state.Desc.Replicas {
		if d.ReplicaID == r.self.ReplicaID {
			continue
		}
		p, ok := r.progress(d.ReplicaID)
		if !ok || p.State != tracker.StateReplicate || !p.RecentActive || p.Match+uint64(r.cfg.Tunables.MaxInflight) < r.hard.Commit {
			behind = append(behind, d.StoreID)
		}
	}
	return behind
}
