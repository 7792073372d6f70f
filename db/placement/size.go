package placement

import (
	"bytes"
	"slices"

	"simulacrum/db/kv"
)

// Split says whether a range is too large, or serves too much, to stay one.
func (c *Cluster) Split(r *Range) Decision {
	v := c.view(r)
	d := v.nothing(InPlace)
	switch {
	case r.Size > r.Config.MaxBytes:
		d.Action, d.Reason.Cause, d.Reason.Amount, d.Reason.Limit = Split, TooLarge, r.Size, r.Config.MaxBytes
	case r.Load.Requests > c.Settings.SplitRequests:
		d.Action, d.Reason.Cause, d.Reason.Amount, d.Reason.Limit = Split, TooBusy, r.Load.Requests, c.Settings.SplitRequests
	}
	return d
}

// Merge says whether a range should take in its right neighbour: Merge if all is ready;
// Rebalance, of the right range, for the next step towards the same stores; else
// NoAction. The limits are far enough below those of Split that what was merged is
// not split again soon: three quarters of the size, half of the requests.
//
// The steps towards the same stores are for whoever carries out the merge, in one go:
// between them Rebalance may see a reason to undo one.
func (c *Cluster) Merge(left, right *Range) Decision {
	v, w := c.view(left), c.view(right)
	size, requests := left.Size+right.Size, left.Load.Requests+right.Load.Requests
	limit := left.Config.MaxBytes - left.Config.MaxBytes/4
	d := v.nothing(InPlace)
	if left.Size >= left.Config.MinBytes || size > limit || requests > c.Settings.SplitRequests/2 {
		return d
	}
	d.Reason.Amount, d.Reason.Limit = left.Size, left.Config.MinBytes
	if !Neighbours(left.Desc, right.Desc) || left.Config.String() != right.Config.String() || v.restless() || w.restless() {
		d.Reason.Cause = Unmergeable
		return d
	}
	after := w.towards(v)
	switch {
	case after == nil:
		d.Reason.Cause = Unmergeable
	case len(w.changes(after)) == 0:
		d.Action, d.Reason.Cause = Merge, TooSmall
	default:
		d = w.decision(Rebalance, Misaligned)
		d.become(w, after)
	}
	return d
}

// restless reports that a range is in no state to merge: a replica is silent, behind, on
// its way, or about to leave.
func (v *view) restless() bool {
	_, busy := v.unsettled()
	return busy || slices.ContainsFunc(v.replicas, func(r replica) bool { return !r.current() || r.status.leaves() })
}

// towards is the set of replicas one step nearer to that of the left neighbour, the same
// set if it is equal already, and nil if a step is needed that is not possible. Since no
// replica is silent or behind, and all voters of the left one come before others
// leave, a quorum is never at risk.
func (v *view) towards(left *view) []replica {
	after := slices.Clone(v.replicas)
	for _, l := range left.replicas {
		is := v.roleOn(l.id)
		if is == l.role {
			continue
		}
		source := v.spare(left, l)
		if is == None && v.asTarget(l.store, l.role, source, v.c.Settings.FullRepair) != NotExcluded {
			return nil
		}
		if source != nil {
			if is == None {
				after = without(after, source)
			} else {
				after[slices.IndexFunc(after, func(o replica) bool { return o.id == source.id })].role = is
			}
		}
		return v.place(after, l.store, l.role)
	}
	for _, r := range v.replicas {
		if left.roleOn(r.id) == None {
			return without(after, &r)
		}
	}
	return after
}

// spare is the replica that gives way to one like l: of the same role where the left
// neighbour does not want that role, on the same node if there is one.
func (v *view) spare(left *view, l replica) *replica {
	var found *replica
	for i := range v.replicas {
		r := &v.replicas[i]
		if r.role != l.role || left.roleOn(r.id) == r.role || v.roleOn(l.id) != None && left.roleOn(r.id) == None {
			continue
		}
		if found == nil || r.node == l.node {
			found = r
		}
	}
	return found
}

// Neighbours reports that two descriptors are next to each other, in this order.
func Neighbours(left, right *kv.RangeDescriptor) bool {
	return bytes.Equal(left.EndKey, right.StartKey)
}
