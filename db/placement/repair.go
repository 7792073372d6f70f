package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// repairs are the actions that mend one role.
type repairs struct {
	role                                                                      Role
	replaceDead, add, replaceLeaving, removeDead, removeLeaving, removeExcess Action
}

// Repair says how to bring a range to the replicas it should have. It is NoAction with
// the cause InPlace where that is so, and with another cause where it is not possible.
func (c *Cluster) Repair(r *Range, rng *rand.Rand) Decision {
	v := c.view(r)
	if d, ok := v.unsettled(); ok {
		return d
	}
	voters, nonVoters := v.wanted()
	first := v.repair(repairs{Voter, ReplaceDeadVoter, AddVoter, ReplaceDecommissioningVoter, RemoveDeadVoter, RemoveDecommissioningVoter, RemoveVoter}, voters, rng)
	if first.Action != NoAction {
		return first
	}
	second := v.repair(repairs{NonVoter, ReplaceDeadNonVoter, AddNonVoter, ReplaceDecommissioningNonVoter, RemoveDeadNonVoter,
		RemoveDecommissioningNonVoter, RemoveNonVoter}, nonVoters, rng)
	if second.Action != NoAction || first.Reason.Cause == InPlace {
		return second
	}
	return first
}

// repair mends one role. Replicas are added before others are removed, even dead ones:
// only where there are more than wanted does any go without another coming.
func (v *view) repair(a repairs, want int, rng *rand.Rand) Decision {
	have, gone := v.count(a.role, func(r *replica) bool { return r.status.gone() })
	_, leave := v.count(a.role, func(r *replica) bool { return r.status.leaves() })
	var d Decision
	switch {
	case have < want:
		d = v.add(v.decision(a.add, TooFew), a.role, nil, rng)
	case have == want && gone > 0:
		d = v.add(v.decision(a.replaceDead, StoreGone), a.role, v.first(a.role, Status.gone), rng)
	case have == want && leave > 0:
		d = v.add(v.decision(a.replaceLeaving, StoreLeaves), a.role, v.first(a.role, Status.leaves), rng)
	case have > want && gone > 0:
		d = v.remove(v.decision(a.removeDead, StoreGone), a.role, Status.gone)
	case have > want && leave > 0:
		d = v.remove(v.decision(a.removeLeaving, StoreLeaves), a.role, Status.leaves)
	case have > want:
		d = v.remove(v.decision(a.removeExcess, TooMany), a.role, func(Status) bool { return true })
	default:
		return v.nothing(InPlace)
	}
	d.Reason.Wanted = want
	return d
}

// first is the first replica of a role whose store's status is so.
func (v *view) first(role Role, is func(Status) bool) *replica {
	i := slices.IndexFunc(v.replicas, func(r replica) bool { return r.role == role && is(r.status) })
	return &v.replicas[i]
}

// add finds a store for one more replica, or for one that comes in place of the source.
// Where there are non-voters too many, one that would be as good a voter as any is
// promoted, which moves no data.
func (v *view) add(d Decision, role Role, source *replica, rng *rand.Rand) Decision {
	staying := v.staying()
	_, want := v.wanted()
	others, _ := v.count(NonVoter, (*replica).current)
	promote := role == Voter && others > want
	var options []option
	var excluded [numExclusions]int
	for i := range v.c.stores {
		if why := v.asTarget(i, role, source, v.c.Settings.FullRepair); why != NotExcluded {
			excluded[why]++
			continue
		}
		o := option{source: -1, target: i, after: v.score(v.place(slices.Clone(staying), i, role)), fill: v.fill(i), relief: v.relief(i)}
		if promote {
			o.after.Diversity = 0 // of replicas that will go
			if v.roleOn(v.c.stores[i].ID) == NonVoter {
				o.fill = -1
			}
		}
		options = append(options, o)
	}
	if len(options) == 0 {
		d.Action, d.Reason.Cause, d.Reason.Excluded = NoAction, NoTarget, excluded
		return d
	}
	after := slices.Clone(v.replicas)
	if source != nil {
		after = without(after, source)
	}
	after = v.place(after, v.choose(options, rng).target, role)
	if source != nil && source.status.Answers() && role == Voter && !safe(after) {
		d.Action, d.Reason.Cause = NoAction, QuorumAtRisk
		return d
	}
	d.become(v, after)
	return d
}

// relief is by how much a replica that comes to a store lessens imbalance there.
func (v *view) relief(i int) int64 {
	sum, what, b := int64(0), v.r.ofReplica(), &v.c.balance
	for d := range numDimensions {
		if what[d] != 0 {
			sum += b.penalties[i][d] - b.penalty(&v.c.Settings, i, d, b.held[i][d]+what[d])
		}
	}
	return sum
}

// remove finds the replica of a role that can best be spared: one that does not answer
// or is behind before one that serves, then the one without which the rest scores
// best, then the one on the fullest store, and the leaseholder last. A voter too many
// becomes a non-voter if one of these is missing, which moves no data.
func (v *view) remove(d Decision, role Role, is func(Status) bool) Decision {
	to := None
	if _, want := v.wanted(); role == Voter && d.Action == RemoveVoter {
		if have, _ := v.count(NonVoter, (*replica).current); have < want {
			to = NonVoter
		}
	}
	type spare struct {
		useful int // 0 does not answer, 1 is behind, 2 serves
		leads  int
		fill   int64
		score  Score
		set    []replica
	}
	var best *spare
	for i := range v.replicas {
		r := &v.replicas[i]
		if r.role != role || !is(r.status) {
			continue
		}
		s := &spare{score: v.scoreWithout(r, to), set: v.demote(r, to)}
		if r.status.Answers() && role == Voter && !safe(s.set) {
			continue
		}
		if r.status.Answers() {
			s.useful = 1
		}
		if r.current() {
			s.useful = 2
		}
		if r.id == v.r.Leaseholder {
			s.leads = 1
		}
		if r.store >= 0 {
			s.fill = v.c.balance.held[r.store][Ranges]
		}
		if best == nil || cmp.Or(cmp.Compare(s.useful, best.useful), s.score.Compare(best.score), cmp.Compare(s.leads, best.leads), cmp.Compare(best.fill, s.fill)) < 0 {
			best = s
		}
	}
	if best == nil {
		d.Action, d.Reason.Cause = NoAction, QuorumAtRisk
		return d
	}
	d.become(v, best.set)
	return d
}

// demote is the descriptor's replicas after one has changed its role, or left for None.
// One that does not answer, or may not lie where it does, always leaves.
func (v *view) demote(r *replica, to Role) []replica {
	after := slices.Clone(v.replicas)
	if to == None || !r.current() || !v.f.all.admits(v.bits(r)) {
		return without(after, r)
	}
	after[slices.IndexFunc(after, func(o replica) bool { return o.id == r.id })].role = to
	return after
}

// scoreWithout is the score of what stays after that.
func (v *view) scoreWithout(r *replica, to Role) Score {
	return v.score(slices.DeleteFunc(v.demote(r, to), func(o replica) bool { return o.status.leaves() }))
}
