package store

import (
	"slices"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/placement"
)

// A range may have a replica on a store of which this node knows nothing: the store was
// lost before its node had its first heartbeat, so that there is no record of it, or before
// this node started, so that nobody has told of it since. No record of such a node ever
// expires, and its replicas would stay for ever (scenarios/found/lost-unheard). So its
// silence is counted from when this store began to miss it, and when it has lasted for long
// enough the store is dead as any other.
//
// No more stores that are well are taken for dead by this than by records: who hears
// nothing of a node for so long would have seen its record expire, had he known one.

// unheard is a store that is missed.
type unheard struct {
	id    kv.StoreID
	node  kv.NodeID
	since time.Duration // Mono
}

// miss notes the stores of a range of which nothing is known. It is not done before this
// node has had a heartbeat itself: until then nobody may have been able to.
func (a *allocator) miss(d *kv.RangeDescriptor) {
	a.cluster()
	known := func(id kv.StoreID) bool {
		return slices.ContainsFunc(a.stores, func(s placement.Store) bool { return s.ID == id })
	}
	if !known(a.store) {
		return
	}
	for _, r := range d.Replicas {
		if known(r.StoreID) || slices.ContainsFunc(a.missed, func(u unheard) bool { return u.id == r.StoreID }) {
			continue
		}
		a.missed = append(a.missed, unheard{r.StoreID, r.NodeID, a.p.Mono()})
	}
}

// withDead adds to the stores that are known those that have been missed for so long that
// they count as dead. Whoever was heard of meanwhile is missed no more.
func (a *allocator) withDead(stores []placement.Store) []placement.Store {
	a.missed = slices.DeleteFunc(a.missed, func(u unheard) bool {
		return slices.ContainsFunc(stores, func(s placement.Store) bool { return s.ID == u.id })
	})
	for _, u := range a.missed {
		if a.p.Mono()-u.since >= a.set.DeadAfter {
			stores = append(stores, placement.Store{ID: u.id, Node: u.node, Status: placement.Dead})
		}
	}
	return stores
}
