package store

import (
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim/env"
)

// replicateWork brings the replicas of ranges to where they should be: repairs first, the
// most urgent action of all first, then moves for constraints, diversity and load. What
// cannot be done while the cluster is as it is comes again when that has changed.
type replicateWork struct {
	*allocator
	// halfDone are ranges seen with a joint configuration or a learner, which the range
	// has while somebody changes its replicas: only what stays so was left behind.
	halfDone map[kv.RangeID]sighting
}

// sighting is a range's descriptor that was seen.
type sighting struct {
	generation int64
	since      time.Duration // Mono
}

// leftAfter is how long a change that is half done must stay as it is before it is taken
// for left behind, by a leaseholder that knows nothing of it.
const leftAfter = 5 * time.Second

// replicatePatience is how long one range may keep the others waiting: time for the
// snapshot of a large one.
const replicatePatience = 2 * time.Minute

// need implements queueWork.
func (w *replicateWork) need(id kv.RangeID) int {
	r, d, ok := w.decide(id, nil)
	if !ok || d.Action != placement.LeaveJoint && d.Action != placement.RemoveLearner {
		delete(w.halfDone, id)
	}
	switch {
	case !ok, d.Action == placement.TransferLease, d.Action <= placement.RemoveLearner && !w.leftBehind(r.Desc):
		return 0
	case d.Action != placement.NoAction:
		return 1 + int(placement.NoAction-d.Action)
	case blocked(d):
		return 1
	}
	return 0
}

// leftBehind reports that a change which is half done has been as it is for some time.
func (w *replicateWork) leftBehind(d *kv.RangeDescriptor) bool {
	at, ok := w.halfDone[d.RangeID]
	if !ok || at.generation != d.Generation {
		at = sighting{d.Generation, w.p.Mono()}
		w.halfDone[d.RangeID] = at
	}
	return w.p.Mono()-at.since >= leftAfter
}

// blocked reports that something should be done, and cannot.
func blocked(d placement.Decision) bool {
	return d.Reason.Cause == placement.NoTarget || d.Reason.Cause == placement.QuorumAtRisk
}

// process implements queueWork.
func (w *replicateWork) process(t env.Task, id kv.RangeID) (verdict, error) {
	if !w.take(id) {
		return failed, nil
	}
	defer w.giveBack(id)
	r, d, ok := w.decide(id, w.rand)
	if !ok {
		return settled, nil
	}
	if r.Leaseholder == 0 {
		if leads, err := w.lead(t, &r); err != nil || !leads {
			return failed, err
		}
		if r, d, ok = w.decide(id, w.rand); !ok {
			return settled, nil
		}
		if d.Reason.Cause == placement.QuorumAtRisk {
			return failed, nil // how far the others are is not known yet
		}
	}
	switch {
	case blocked(d):
		w.note(Movement{At: w.clock.Now(), Range: id, Action: d.Action, Decision: d.String(), Outcome: "impossible for now"})
		if d.Reason.Cause == placement.QuorumAtRisk {
			return failed, nil // it passes without the cluster changing: those who are behind catch up
		}
		return stuck, nil
	case d.Action <= placement.RemoveLearner && !w.leftBehind(r.Desc):
		return failed, nil
	case !d.Action.Repairs() && d.Action != placement.Rebalance:
		return settled, nil
	case w.hesitates(d):
		return settled, nil
	}
	if err := w.carryOut(t, &r, d, changeOf(&r, d)); err != nil {
		w.noteRefusal(d)
		return failed, err
	}
	w.mark(d)
	if d.Action.Repairs() {
		return more, nil // there may be another step, and nothing is more urgent
	}
	return settled, nil
}

// changeOf is the request that a decision stands for. To leave a joint configuration, and
// to remove a learner, is what it does without being told to.
func changeOf(r *placement.Range, d placement.Decision) *kv.AdminChangeReplicasRequest {
	req := &kv.AdminChangeReplicasRequest{Key: r.Desc.StartKey, Generation: r.Desc.Generation, LeaseTo: d.LeaseTo}
	if d.Action == placement.LeaveJoint || d.Action == placement.RemoveLearner {
		return req
	}
	for _, ch := range d.Changes {
		req.Changes = append(req.Changes, kv.ReplicaChange{NodeID: ch.Node, StoreID: ch.Store, To: roleOf(ch.To)})
	}
	return req
}

func roleOf(r placement.Role) kv.ReplicaRole {
	switch r {
	case placement.Voter:
		return kv.RoleVoter
	case placement.NonVoter:
		return kv.RoleNonVoter
	}
	return kv.RoleNone
}

// mark reaches the rare point that a decision which was carried out stands for.
func (w *replicateWork) mark(d placement.Decision) {
	switch d.Action {
	case placement.LeaveJoint, placement.RemoveLearner:
		w.p.Probe(probeTidied)
	case placement.ReplaceDeadVoter, placement.ReplaceDeadNonVoter, placement.RemoveDeadVoter, placement.RemoveDeadNonVoter:
		w.p.Probe(probeDeadReplaced)
	case placement.ReplaceDecommissioningVoter, placement.ReplaceDecommissioningNonVoter, placement.RemoveDecommissioningVoter, placement.RemoveDecommissioningNonVoter:
		w.p.Probe(probeDecommissioned)
	case placement.Rebalance:
		w.p.Probe(probeRebalanced)
	default:
		w.p.Probe(probeReplicas)
	}
}
