package cluster

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/nemesis"
)

// layout cuts the key space at the given keys, which are the clients', and places
// replicas: range 1 holds the local, meta and system keys, the others the clients'.
func layout(nodes []nemesis.Place, splits [][]byte, replicas int) []*kv.RangeDescriptor {
	bounds := []keys.Key{keys.Min, keys.ClientStart}
	for _, s := range splits {
		bounds = append(bounds, keyOf(s))
	}
	bounds = append(bounds, keys.Max)
	var out []*kv.RangeDescriptor
	for i := 0; i+1 < len(bounds); i++ {
		d := &kv.RangeDescriptor{
			RangeID:       kv.RangeID(i + 1),
			StartKey:      bounds[i],
			EndKey:        bounds[i+1],
			NextReplicaID: kv.ReplicaID(replicas + 1),
			Generation:    1,
		}
		for j, n := range spread(nodes, i, replicas) {
			d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(n + 1), StoreID: kv.StoreID(n + 1), ReplicaID: kv.ReplicaID(j + 1)})
		}
		out = append(out, d)
	}
	return out
}

// spread chooses nodes for the turn-th range: regions in turn, and within each the
// zones in turn, so that copies are as far apart as can be and every node gets its
// share. It returns indexes of nodes.
func spread(nodes []nemesis.Place, turn, replicas int) []int {
	regions := groups(nodes, all(len(nodes)), func(p nemesis.Place) string { return p.Region })
	var out []int
	for round := 0; len(out) < min(replicas, len(nodes)); round++ {
		for k := range regions {
			region := regions[(turn+k)%len(regions)]
			if round >= len(region) || len(out) == replicas {
				continue
			}
			zones := groups(nodes, region, zoneOf)
			out = append(out, inTurn(zones, turn/len(regions)+k+round))
		}
	}
	return out
}

// inTurn takes the i-th node of a list that goes round the zones.
func inTurn(zones [][]int, i int) int {
	var order []int
	for depth := 0; ; depth++ {
		before := len(order)
		for _, z := range zones {
			if depth < len(z) {
				order = append(order, z[depth])
			}
		}
		if len(order) == before {
			return order[i%len(order)]
		}
	}
}

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// groups splits the listed nodes by a property, in order of first appearance.
func groups(nodes []nemesis.Place, of []int, by func(nemesis.Place) string) [][]int {
	var names []string
	var out [][]int
	for _, i := range of {
		name, at := by(nodes[i]), -1
		for j, n := range names {
			if n == name {
				at = j
			}
		}
		if at < 0 {
			names = append(names, name)
			out = append(out, nil)
			at = len(out) - 1
		}
		out[at] = append(out[at], i)
	}
	return out
}
