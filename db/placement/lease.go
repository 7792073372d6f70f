package placement

import (
	"cmp"
	"math"
	"math/rand/v2"

	"simulacrum/db/kv"
)

// standing is how well a voter stands as leaseholder, apart from load. Smaller is better.
type standing struct {
	rank int // of the first lease preference that it satisfies; their number if none
	// distance is 0 near the requests, 1 a little farther, 2 far: where a lease far
	// from the requests goes near, and one that is not far may stay. The step between
	// keeps a lease from following every change of the wind.
	distance int
}

func (s standing) compare(t standing) int {
	return cmp.Or(cmp.Compare(s.rank, t.rank), cmp.Compare(s.distance, t.distance))
}

// canLead reports that a replica may be given the lease.
func (r *replica) canLead() bool {
	return r.role == Voter && r.store >= 0 && r.status == Live && !r.behind
}

func (v *view) rank(r *replica) int {
	prefs := v.r.Config.LeasePreferences
	for i, p := range prefs {
		if r.store >= 0 && allHold(p, &v.c.stores[r.store]) {
			return i
		}
	}
	return len(prefs)
}

// requestNanos is the mean round trip from where requests come from.
func (v *view) requestNanos(r *replica) int64 {
	sum, n := int64(0), int64(0)
	if r.store < 0 {
		return math.MaxInt64
	}
	for _, o := range v.r.Origins {
		sum += o.Requests * int64(v.c.roundTrip(o.Locality, v.c.stores[r.store].Locality)/1000)
		n += o.Requests
	}
	return sum / max(n, 1) * 1000
}

// follows reports that there are enough requests for the lease to follow them.
func (v *view) follows() bool {
	n := int64(0)
	for _, o := range v.r.Origins {
		n += o.Requests
	}
	return n > 0 && n >= v.c.Settings.FollowMin
}

// standing compares a leaseholder with the voters of its own rank that could lead.
func (v *view) standing(set []replica, holder kv.StoreID) standing {
	var at *replica
	for i := range set {
		if set[i].id == holder {
			at = &set[i]
		}
	}
	if at == nil {
		return standing{}
	}
	s := standing{rank: v.rank(at)}
	if !v.follows() {
		return s
	}
	own := v.requestNanos(at)
	best := own
	for i := range set {
		if set[i].canLead() && v.rank(&set[i]) == s.rank {
			best = min(best, v.requestNanos(&set[i]))
		}
	}
	near := best + share(best, v.c.Settings.FollowBand) + int64(v.c.Settings.FollowSlack)
	switch {
	case own <= near:
	case own <= 2*near-best:
		s.distance = 1
	default:
		s.distance = 2
	}
	return s
}

// successor is who should have the lease when a voter gives it up: one that can lead
// rather than one that was silent lately, then by preference, nearness and load. It
// is 0 if none answers and is up to date.
func (v *view) successor(set []replica, leaving kv.StoreID) kv.StoreID {
	var best *replica
	for i := range set {
		r := &set[i]
		if r.id == leaving || r.role != Voter || r.store < 0 || !r.current() {
			continue
		}
		if best == nil || v.leadsBetter(r, best) < 0 {
			best = r
		}
	}
	if best == nil {
		return 0
	}
	return best.id
}

func (v *view) leadsBetter(a, b *replica) int {
	order := cmp.Or(cmp.Compare(a.status, b.status), cmp.Compare(v.rank(a), v.rank(b)))
	if order == 0 && v.follows() {
		order = cmp.Compare(v.requestNanos(a), v.requestNanos(b))
	}
	held := v.c.balance.held
	return cmp.Or(order, cmp.Compare(held[a.store][Requests], held[b.store][Requests]), cmp.Compare(held[a.store][Leases], held[b.store][Leases]), cmp.Compare(a.id, b.id))
}

// leaseholder is the replica that holds the lease, if that is known and none of this is
// in flux.
func (v *view) leaseholder() *replica {
	if _, busy := v.unsettled(); busy {
		return nil
	}
	for i := range v.replicas {
		if r := &v.replicas[i]; r.id == v.r.Leaseholder && r.role == Voter && r.store >= 0 && r.status.Answers() {
			return r
		}
	}
	return nil
}

func (v *view) transfer(cause Cause, from *replica, to kv.StoreID) Decision {
	d := v.decision(TransferLease, cause)
	d.LeaseTo = to
	d.Reason.BeforeRank, d.Reason.BeforeNanos = v.rank(from), v.requestNanos(from)
	for i := range v.replicas {
		if r := &v.replicas[i]; r.id == to {
			d.Reason.AfterRank, d.Reason.AfterNanos = v.rank(r), v.requestNanos(r)
		}
	}
	return d
}

// shed takes the lease from a draining node, whatever preferences say.
func (c *Cluster) shed(r *Range, _ *rand.Rand) Decision {
	v := c.view(r)
	holder := v.leaseholder()
	if holder == nil || holder.status != Draining {
		return v.nothing(InPlace)
	}
	to := v.successor(v.replicas, holder.id)
	if i := c.find(to); to == 0 || c.stores[i].Status > Suspect {
		return v.nothing(NoLeaseTarget)
	}
	return v.transfer(Drains, holder, to)
}

// Lease says whether the lease should be elsewhere: off a draining node, with the
// voter that is preferred most, near the requests, or where there are fewer of them.
func (c *Cluster) Lease(r *Range, rng *rand.Rand) Decision {
	v := c.view(r)
	holder := v.leaseholder()
	if holder == nil {
		return v.nothing(InPlace)
	}
	if holder.status == Draining {
		return c.shed(r, rng)
	}
	var peers []replica // that could lead, of the best rank
	best := v.rank(holder)
	for _, p := range v.replicas {
		if !p.canLead() || p.id == holder.id || v.rank(&p) > best {
			continue
		}
		if n := v.rank(&p); n < best {
			best, peers = n, peers[:0]
		}
		peers = append(peers, p)
	}
	if best < v.rank(holder) {
		return v.transfer(Preferred, holder, v.successor(peers, holder.id))
	}
	at := v.standing(v.replicas, holder.id)
	if at.distance == 2 {
		return v.transfer(FollowsRequests, holder, v.nearest(peers))
	}
	return v.relieve(holder, at, peers, rng)
}

// nearest is the peer with the shortest way to the requests.
func (v *view) nearest(peers []replica) kv.StoreID {
	best := 0
	for i := range peers {
		if cmp.Or(cmp.Compare(v.requestNanos(&peers[i]), v.requestNanos(&peers[best])), cmp.Compare(peers[i].id, peers[best].id)) < 0 {
			best = i
		}
	}
	return peers[best].id
}

// relieve moves the lease to a peer that stands no worse, if that makes load more even.
func (v *view) relieve(holder *replica, at standing, peers []replica, rng *rand.Rand) Decision {
	var options []option
	if !holder.status.balanced() {
		return v.nothing(InPlace)
	}
	for i := range peers {
		o := option{source: 0, target: peers[i].store}
		var ok bool
		o.dim, o.relief, ok = v.c.balance.gain(&v.c.Settings, shift{holder.store, o.target, v.r.ofLease()})
		if ok && v.standing(v.replicas, peers[i].id).compare(at) <= 0 {
			options = append(options, o)
		}
	}
	if len(options) == 0 {
		return v.nothing(InPlace)
	}
	o := v.choose(options, rng)
	d := v.transfer(Uneven, holder, v.c.stores[o.target].ID)
	d.Reason.Dimension, d.Reason.Mean = o.dim, v.c.balance.bands[o.dim].mean
	d.Reason.Source, d.Reason.Target = v.c.balance.held[holder.store][o.dim], v.c.balance.held[o.target][o.dim]
	return d
}
