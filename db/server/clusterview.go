package server

import (
	"slices"

	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/db/store"
)

// stores are what the stores that this node has ever heard of said of themselves last.
type stores struct {
	ids   []kv.StoreID // ascending
	known map[kv.StoreID]statement
}

// statement is what a store said, and when.
type statement struct {
	*gossip.StoreDescriptor
	at hlc.Timestamp
}

// learn takes in what a store says of itself.
func (st *stores) learn(d *gossip.StoreDescriptor, at hlc.Timestamp) {
	if st.known == nil {
		st.known = map[kv.StoreID]statement{}
	}
	if _, ok := st.known[d.StoreID]; !ok {
		i, _ := slices.BinarySearch(st.ids, d.StoreID)
		st.ids = slices.Insert(st.ids, i, d.StoreID)
	}
	st.known[d.StoreID] = statement{d, at}
}

// clusterView is a Server as the store.ClusterView of its store.
type clusterView Server

var _ store.ClusterView = (*clusterView)(nil)

// Stores implements store.ClusterView. A store is left out whose node, or whose node's
// liveness, has not been heard of: nothing can be said about it.
func (v *clusterView) Stores(now hlc.Timestamp) []placement.Store {
	all := make([]placement.Store, 0, len(v.stores.ids))
	for _, id := range v.stores.ids {
		d := v.stores.known[id]
		status, known := v.liveness.Status(d.NodeID, now)
		node := v.peers.known[d.NodeID].desc
		if !known || node == nil {
			continue
		}
		if node.Draining && status == placement.Live {
			status = placement.Draining // its record may not say so yet
		}
		c := &d.Capacity
		all = append(all, placement.Store{ID: id, Node: d.NodeID, Locality: node.Locality, Attributes: slices.Concat(node.Attributes, d.Attributes),
			Capacity: c.Capacity, Used: c.Used, Ranges: c.Ranges, Leases: c.Leases, Load: c.Load, Status: status})
	}
	return all
}

// Told implements store.ClusterView.
func (v *clusterView) Told(s kv.StoreID) hlc.Timestamp { return v.stores.known[s].at }
