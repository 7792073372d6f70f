package placement

import (
	"math/rand/v2"
	"slices"
)

// Rebalance says which replica should be elsewhere, though none is missing: to violate
// fewer constraints, to be farther from the others, or to relieve a store.
func (c *Cluster) Rebalance(r *Range, rng *rand.Rand) Decision {
	v := c.view(r)
	if d, ok := v.unsettled(); ok {
		d.Action, d.Changes = NoAction, nil // Repair's affair
		return d
	}
	for _, r := range v.replicas {
		// A voter that does not answer puts the quorum at risk; a non-voter may be back in a
		// moment, and what is best depends on it.
		if r.status == Unavailable || r.role == Voter && !r.status.Answers() {
			return v.nothing(ReplicaSilent)
		}
	}
	s := &search{view: v, set: v.staying()}
	s.prepare()
	for i := range c.stores {
		if c.stores[i].Status == Live {
			s.consider(i)
		}
	}
	if len(s.better) > 0 {
		return s.decide(v.choose(s.better, rng), rng)
	}
	if len(s.lighter) > 0 {
		return s.decide(v.choose(s.lighter, rng), rng)
	}
	return v.nothing(InPlace)
}

// search looks at every move of one replica to one store. Diversity is not summed anew
// for each: the sums of each replica, and of each store, to all replicas are enough.
type search struct {
	*view
	set     []replica
	before  Score
	voterOf []int64 // diversity of each replica to the voters
	allOf   []int64 // and to all

	better  []option // by score
	lighter []option // of the same score, that relieve a store
}

func (s *search) prepare() {
	s.before = s.score(s.set)
	s.voterOf, s.allOf = make([]int64, len(s.set)), make([]int64, len(s.set))
	for i := range s.set {
		for k := range s.set {
			d := s.apart(&s.set[i], &s.set[k])
			s.allOf[i] += d
			if s.set[k].role == Voter {
				s.voterOf[i] += d
			}
		}
	}
}

// consider looks at one store as the target for each replica.
func (s *search) consider(target int) {
	var room [2 * maxReplicas]int64
	to := room[:len(s.set)]
	voter, all, held := int64(0), int64(0), false
	for k := range s.set {
		if r := &s.set[k]; r.store >= 0 {
			to[k] = s.c.diversity(target, r.store)
		}
		held = held || s.set[k].store == target
		all += to[k]
		if s.set[k].role == Voter {
			voter += to[k]
		}
	}
	for k := range s.set {
		r := &s.set[k]
		if s.asTarget(target, r.role, r, s.c.Settings.FullRebalance) != NotExcluded {
			continue
		}
		after := s.before
		if r.role == Voter {
			after.VoterDiversity += voter - to[k] - s.voterOf[k]
		}
		if !held {
			after.Diversity += all - to[k] - s.allOf[k]
		}
		if s.bits(r) != s.f.bits[target] {
			after.VoterViolations, after.Violations = s.violations(s.moved(k, target))
		}
		o := option{source: k, target: target, after: after}
		if r.role == Voter {
			o.trouble = 1
		}
		if r.id == s.r.Leaseholder {
			o.trouble = 2
		}
		switch way := after.Compare(s.before); {
		case way < 0 && s.safeMove(k, target):
			o.fill, o.relief, o.dim = s.fill(target), s.relief(target), numDimensions
			s.better = append(s.better, o)
		case way == 0 && !held && len(s.better) == 0 && s.relieves(&o) && s.safeMove(k, target):
			s.lighter = append(s.lighter, o)
		}
	}
}

// moved is the set after a move. Where the target has a non-voter it changes roles with
// the source.
func (s *search) moved(source, target int) []replica {
	r, after := s.set[source], slices.Clone(s.set)
	if slices.ContainsFunc(after, func(o replica) bool { return o.store == target }) {
		after[source].role = NonVoter
	} else {
		after = without(after, &r)
	}
	return s.place(after, target, r.role)
}

// safeMove reports that voters which are up to date remain a quorum without the source.
// Those that are to leave count, since they are still there.
func (s *search) safeMove(source, target int) bool {
	return s.set[source].role != Voter || safe(s.whole(s.moved(source, target)))
}

// whole is a set with the replicas that are to leave: they stay until they are repaired.
func (s *search) whole(set []replica) []replica {
	for _, r := range s.replicas {
		if r.status.leaves() {
			set = append(set, r)
		}
	}
	return set
}

// relieves judges a move for load. The lease moves along with its replica, and must not
// stand worse for it; neither may the arrival of a better voter make it stand worse.
func (s *search) relieves(o *option) bool {
	r := &s.set[o.source]
	if !r.status.balanced() {
		return false
	}
	var room [2]shift
	shifts := append(room[:0], shift{r.store, o.target, s.r.ofReplica()})
	leads := r.id == s.r.Leaseholder
	if leads {
		shifts = append(shifts, shift{r.store, o.target, s.r.ofLease()})
	}
	dim, relief, ok := s.c.balance.gain(&s.c.Settings, shifts...)
	if !ok {
		return false
	}
	o.dim, o.relief = dim, relief
	if r.role != Voter || len(s.r.Origins)+len(s.r.Config.LeasePreferences) == 0 {
		return true
	}
	holder := s.r.Leaseholder
	before := s.standing(s.set, holder)
	if leads {
		holder = s.c.stores[o.target].ID
	}
	return s.standing(s.moved(o.source, o.target), holder).compare(before) <= 0
}

// decide makes the decision of an option.
func (s *search) decide(o option, rng *rand.Rand) Decision {
	source, target := s.set[o.source], &s.c.stores[o.target]
	d := s.decision(Rebalance, Diverse)
	d.become(s.view, s.whole(s.moved(o.source, o.target)))
	d.Reason.Before, d.Reason.After = s.before, o.after
	switch {
	case o.dim != numDimensions:
		d.Reason.Cause, d.Reason.Dimension, d.Reason.Mean = Uneven, o.dim, s.c.balance.bands[o.dim].mean
		d.Reason.Source, d.Reason.Target = s.c.balance.held[source.store][o.dim], s.c.balance.held[o.target][o.dim]
		if d.LeaseTo != 0 {
			d.LeaseTo = target.ID
		}
	case o.after.VoterViolations < s.before.VoterViolations || o.after.VoterViolations == s.before.VoterViolations && o.after.Violations < s.before.Violations:
		d.Reason.Cause = Constrained
	}
	return d
}
