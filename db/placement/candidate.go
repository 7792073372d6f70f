package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// option is one way to change the replicas: source, if not negative, gives way to target.
type option struct {
	source int // index of a replica
	target int // index of a store, or -1
	after  Score
	fill   int   // how the target fares then: 0 below the mean in ranges, 1 in the band, 2 above
	relief int64 // by which imbalance shrinks
	dim    Dimension
	// trouble is what it means to move the source: 0 for a non-voter, 1 for a voter, whose
	// consensus group changes, 2 for the leaseholder, whose lease must move as well.
	trouble int
}

// asTarget says why a store cannot take a replica of a role in place of the source, a
// replica or nil. A voter may come where the node's only replica is a non-voter on the
// same store: that one is promoted. limit is how full the disk may become.
func (v *view) asTarget(i int, role Role, source *replica, limit int64) Exclusion {
	s := &v.c.stores[i]
	switch held := v.heldOnNode(i, source); {
	case s.Status != Live:
		return NotLive
	case held != nil && (role != Voter || held.role != NonVoter || held.id != s.ID || held.behind):
		return HasReplica
	case !v.f.all.admits(v.f.bits[i]) || role == Voter && !v.f.voter.admits(v.f.bits[i]):
		return Violates
	case held != nil:
		return NotExcluded // a promotion moves no data
	case s.Throttled:
		return IsThrottled
	case v.c.balance.fullness(i, v.c.balance.held[i][Bytes]+v.r.Size) > limit:
		return NearlyFull
	}
	return NotExcluded
}

// heldOnNode is the replica, other than the source, that the store's node has; of
// several, one that does not lie on the store, since it would be in the way.
func (v *view) heldOnNode(i int, source *replica) *replica {
	s := &v.c.stores[i]
	var found *replica
	for k := range v.replicas {
		r := &v.replicas[k]
		if r.node != s.Node || source != nil && r.id == source.id && r.id != s.ID {
			continue
		}
		if found == nil || r.id != s.ID {
			found = r
		}
	}
	return found
}

// place is the set after a replica of the role comes to a store, promoted if it is there.
func (v *view) place(set []replica, i int, role Role) []replica {
	s := &v.c.stores[i]
	for k := range set {
		if set[k].id == s.ID {
			set[k].role = role
			return set
		}
	}
	return append(set, replica{id: s.ID, node: s.Node, store: i, role: role, status: s.Status})
}

// without is the set but for the store.
func without(set []replica, r *replica) []replica {
	return slices.DeleteFunc(set, func(o replica) bool { return o.id == r.id })
}

// fill says how a store would fare with one more range.
func (v *view) fill(i int) int {
	w, held := &v.c.balance.bands[Ranges], v.c.balance.held[i][Ranges]+1
	switch {
	case held <= w.mean:
		return 0
	case held <= w.mean+w.half:
		return 1
	}
	return 2
}

// choose takes the best option. Among those that differ in nothing but load two are
// drawn, if there is a source of chance, and the better one is taken: when many
// leaseholders look at the same old news, always the emptiest store would be buried.
func (v *view) choose(options []option, rng *rand.Rand) option {
	best := options[:0]
	for _, o := range options {
		way := -1
		if len(best) > 0 {
			way = o.compare(best[0])
		}
		if way < 0 {
			best = best[:0]
		}
		if way <= 0 {
			best = append(best, o)
		}
	}
	if rng != nil && len(best) > 2 {
		i := rng.IntN(len(best))
		k := rng.IntN(len(best) - 1)
		if k >= i {
			k++
		}
		best = []option{best[i], best[k]}
	}
	return slices.MinFunc(best, v.finer)
}

// compare is negative if o is better than p by score and fill.
func (o option) compare(p option) int {
	return cmp.Or(o.after.Compare(p.after), cmp.Compare(o.fill, p.fill))
}

// finer orders options of the same score by the relief that they bring, by trouble, by
// the load of the target, and at last by identity.
func (v *view) finer(o, p option) int {
	b := &v.c.balance
	order := cmp.Or(cmp.Compare(p.relief, o.relief), cmp.Compare(o.trouble, p.trouble))
	if o.target >= 0 && p.target >= 0 {
		order = cmp.Or(order, cmp.Compare(b.held[o.target][Ranges], b.held[p.target][Ranges]),
			cmp.Compare(b.fullness(o.target, b.held[o.target][Bytes]), b.fullness(p.target, b.held[p.target][Bytes])),
			cmp.Compare(o.target, p.target))
	}
	return cmp.Or(order, cmp.Compare(o.source, p.source))
}
