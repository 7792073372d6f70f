package store

import (
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
)

// ClusterView is what this node knows of all stores by gossip and liveness. It is late, and
// may be wrong.
type ClusterView interface {
	// Stores are the stores that are known, this one among them, each once, with locality
	// and capacity as they said of themselves and the status that their node has at time
	// now. Whether one is throttled is for the caller to say. The caller may keep and change
	// the list.
	Stores(now hlc.Timestamp) []placement.Store
	// Told is when a store said what is known of its capacity (the version of the info):
	// what has happened since is not in its figures. Empty for a store that is not known.
	Told(s kv.StoreID) hlc.Timestamp
}
