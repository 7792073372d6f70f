package placement

import (
	"math/rand/v2"
	"slices"

	"simulacrum/db/kv"
)

// Decide is what to do next about a range: repair it, empty a draining node of its lease,
// move a replica, move the lease. What moving the lease can do is not done by moving a
// replica. Chance, which may be nil, decides among equals.
//
// A repair that is impossible for now does not keep the lease from moving; that it is,
// and why, is the answer if there is nothing else to do.
func (c *Cluster) Decide(r *Range, rng *rand.Rand) Decision {
	blocked := c.Repair(r, rng)
	if blocked.Action != NoAction || blocked.Reason.Cause == NoQuorum {
		return blocked
	}
	drain := c.shed(r, rng)
	if drain.Action != NoAction {
		return drain
	}
	if blocked.Reason.Cause == InPlace {
		blocked = drain
	}
	move := c.Rebalance(r, rng)
	if move.Action == NoAction || move.Reason.Cause == Uneven && move.Reason.Dimension >= Leases {
		if d := c.Lease(r, rng); d.Action != NoAction {
			return d // costs less than a replica
		}
	}
	if move.Action == NoAction && blocked.Reason.Cause != InPlace {
		return blocked
	}
	return move
}

// Apply notes that a decision is being carried out, so that the next decisions from the
// same state reckon with it. r is the range as the decision saw it.
func (c *Cluster) Apply(r *Range, d Decision) {
	for _, ch := range d.Changes {
		i := c.find(ch.Store)
		switch {
		case ch.From == None:
			c.balance.move(&c.Settings, shift{-1, i, r.ofReplica()})
		case ch.To == None:
			c.balance.move(&c.Settings, shift{i, -1, r.ofReplica()})
		}
	}
	if d.LeaseTo != 0 {
		c.balance.move(&c.Settings, shift{c.find(r.Leaseholder), c.find(d.LeaseTo), r.ofLease()})
	}
}

// nothing is the decision to do nothing, with the consensus group's state as evidence.
func (v *view) nothing(cause Cause) Decision { return v.decision(NoAction, cause) }

func (v *view) decision(a Action, cause Cause) Decision {
	d := Decision{Range: v.r.Desc.RangeID, Action: a, Reason: Reason{Cause: cause}}
	d.Reason.Voters, d.Reason.Current = v.count(Voter, (*replica).current)
	d.Reason.Quorum = half{voters: d.Reason.Voters}.quorum()
	return d
}

// unsettled is the decision that comes before all others: nothing can be done without a
// quorum, and nothing else while a change is half done.
func (v *view) unsettled() (Decision, bool) {
	in, out := halves(v.r.Desc, func(r kv.ReplicaDescriptor) bool {
		i := v.c.find(r.StoreID)
		return i >= 0 && v.c.stores[i].Status.Answers()
	})
	if !in.decides() || !out.decides() {
		d := v.nothing(NoQuorum)
		if in.decides() {
			in = out
		}
		d.Reason.Voters, d.Reason.Current, d.Reason.Quorum = in.voters, in.present, in.quorum()
		return d, true
	}
	if joint(v.r.Desc) {
		return v.decision(LeaveJoint, JointLeft), true
	}
	for _, r := range v.replicas {
		if r.role == LearnerRole {
			d := v.decision(RemoveLearner, LearnerLeft)
			d.Changes = []Change{{r.id, r.node, LearnerRole, None}}
			return d, true
		}
	}
	return Decision{}, false
}

// safe reports that those who would be voters include a quorum that is up to date.
func safe(after []replica) bool {
	var h half
	for i := range after {
		if after[i].role == Voter {
			h.voters++
			if after[i].current() {
				h.present++
			}
		}
	}
	return h.voters > 0 && h.decides()
}

// changes are what leads from the descriptor to the set of replicas, additions first.
func (v *view) changes(after []replica) []Change {
	var out []Change
	for _, a := range after {
		if was := v.roleOn(a.id); was != a.role {
			out = append(out, Change{a.id, a.node, was, a.role})
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return urgency(a) - urgency(b) })
	for _, r := range v.replicas {
		if !slices.ContainsFunc(after, func(a replica) bool { return a.id == r.id }) {
			out = append(out, Change{r.id, r.node, r.role, None})
		}
	}
	return out
}

// urgency orders the changes of one step for the reader: what comes, what is promoted,
// what is demoted.
func urgency(c Change) int {
	switch {
	case c.From == None:
		return 0
	case c.To == Voter:
		return 1
	}
	return 2
}

func (v *view) roleOn(id kv.StoreID) Role {
	for i := range v.replicas {
		if v.replicas[i].id == id {
			return v.replicas[i].role
		}
	}
	return None
}

// become completes a decision that leads to the set of replicas. Where the
// leaseholder leaves it names who is to have the lease first.
func (d *Decision) become(v *view, after []replica) {
	d.Changes = v.changes(after)
	d.Reason.Before = v.score(slices.DeleteFunc(slices.Clone(v.replicas), func(r replica) bool { return r.role == LearnerRole }))
	d.Reason.After = v.score(after)
	for _, ch := range d.Changes {
		if ch.Store == v.r.Leaseholder && ch.From == Voter {
			d.LeaseTo = v.successor(after, ch.Store)
		}
	}
}
