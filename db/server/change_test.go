package server

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/kv"
)

// changeOf is the request to change the replicas of the range that holds the first of f.
func (d *dialogue) changeOf(f []string) *kv.AdminChangeReplicasRequest {
	q := &kv.AdminChangeReplicasRequest{Key: splitAt(f[0])}
	for _, s := range f[1:] {
		if to, ok := strings.CutPrefix(s, "lease="); ok {
			q.LeaseTo = kv.StoreID(nodeID(to))
			continue
		}
		if g, ok := strings.CutPrefix(s, "generation="); ok {
			_, _ = fmt.Sscan(g, &q.Generation)
			continue
		}
		role, ok := map[byte]kv.ReplicaRole{'+': kv.RoleVoter, '-': kv.RoleNone, '~': kv.RoleNonVoter}[s[0]]
		if !ok {
			d.t.Fatalf("no change: %s", s)
		}
		n := nodeID(s[1:])
		q.Changes = append(q.Changes, kv.ReplicaChange{NodeID: n, StoreID: kv.StoreID(n), To: role})
	}
	return q
}

// formatReplicas tells who has replicas, in order of the nodes.
func formatReplicas(desc *kv.RangeDescriptor) string {
	all := slices.Clone(desc.Replicas)
	slices.SortFunc(all, func(a, b kv.ReplicaDescriptor) int { return int(a.NodeID - b.NodeID) })
	words := make([]string, len(all))
	for i, r := range all {
		words[i] = strings.TrimPrefix(r.String(), fmt.Sprintf("(n%d,s%d)", r.NodeID, r.StoreID))
		words[i] = fmt.Sprintf("n%d%s", r.NodeID, words[i])
	}
	return strings.Join(words, " ")
}

// formatPlaces is formatReplicas, with a space before it, of a range whose replicas were
// changed, and empty for others.
func formatPlaces(desc *kv.RangeDescriptor) string {
	if desc.NextReplicaID == replicas+1 {
		return ""
	}
	return " " + formatReplicas(desc)
}
