package placement

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// world is a cluster whose decisions are carried out at once.
type world struct {
	settings Settings
	stores   []Store
	trips    []RoundTrip
	ranges   []*Range
	c        *Cluster
}

// see makes the cluster anew from the stores' own figures.
func (w *world) see() *Cluster {
	if w.c != nil {
		figures := w.c.Stores()
		for i := range w.stores {
			for _, f := range figures {
				if f.ID == w.stores[i].ID {
					w.stores[i].Ranges, w.stores[i].Leases, w.stores[i].Used, w.stores[i].Load = f.Ranges, f.Leases, f.Used, f.Load
				}
			}
		}
	}
	w.c = NewCluster(w.settings, w.stores, w.trips)
	return w.c
}

// regular is stores in regions × zones × nodes, named us-east, us-east-a and so on, each
// with 1,000 bytes.
func regular(regions []string, zones, nodes int) []Store {
	var out []Store
	for _, r := range regions {
		for z := range zones {
			for range nodes {
				id := len(out) + 1
				out = append(out, Store{ID: kv.StoreID(id), Node: kv.NodeID(id), Capacity: 1000,
					Locality: Locality{{RegionKey, r}, {ZoneKey, r + "-" + string(rune('a'+z))}}})
			}
		}
	}
	return out
}

// newRange makes a range with replicas on the stores given, which count it.
func (w *world) newRange(cfg *Config, voters, nonVoters []kv.StoreID, lease kv.StoreID) *Range {
	id := kv.RangeID(len(w.ranges) + 1)
	d := &kv.RangeDescriptor{RangeID: id, StartKey: keys.Key(fmt.Sprintf("k%04d", id)), EndKey: keys.Key(fmt.Sprintf("k%04d", id+1)), NextReplicaID: 1}
	for i, s := range slices.Concat(voters, nonVoters) {
		typ := kv.VoterFull
		if i >= len(voters) {
			typ = kv.NonVoter
		}
		d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: w.nodeOf(s), StoreID: s, ReplicaID: d.NextReplicaID, Type: typ})
		d.NextReplicaID++
	}
	r := &Range{Desc: d, Config: cfg, Leaseholder: lease, Size: 10}
	w.ranges = append(w.ranges, r)
	return r
}

// count adds a range to what its stores hold.
func (w *world) count(r *Range) {
	for i := range w.stores {
		s := &w.stores[i]
		if rep, ok := r.Desc.Replica(s.ID); ok && rep.Type != kv.Learner {
			s.Ranges++
			s.Used += r.Size
			s.Load.Writes += r.Load.Writes
		}
		if s.ID == r.Leaseholder {
			s.Leases++
			s.Load.Requests += r.Load.Requests
			s.Load.CPU += r.Load.CPU
		}
	}
}

func (w *world) nodeOf(id kv.StoreID) kv.NodeID {
	for i := range w.stores {
		if w.stores[i].ID == id {
			return w.stores[i].Node
		}
	}
	return kv.NodeID(id)
}

// enact carries a decision out, as the replica change and the lease transfer would, and
// refuses what these must refuse.
func (w *world) enact(r *Range, d Decision) error {
	w.c.Apply(r, d)
	desc := *r.Desc
	desc.Replicas = slices.Clone(r.Desc.Replicas)
	for i := range desc.Replicas {
		if t := &desc.Replicas[i].Type; *t == kv.VoterIncoming {
			*t = kv.VoterFull
		} else if *t == kv.VoterDemoting {
			*t = kv.Learner
		}
	}
	desc.Replicas = slices.DeleteFunc(desc.Replicas, func(r kv.ReplicaDescriptor) bool { return r.Type == kv.VoterOutgoing })
	types := map[Role]kv.ReplicaType{Voter: kv.VoterFull, NonVoter: kv.NonVoter, LearnerRole: kv.Learner}
	for _, ch := range d.Changes {
		at := slices.IndexFunc(desc.Replicas, func(r kv.ReplicaDescriptor) bool { return r.StoreID == ch.Store })
		switch {
		case (ch.From == None) != (at < 0) || at >= 0 && roleOf(desc.Replicas[at].Type) != ch.From:
			return fmt.Errorf("%s does not apply to %s", ch, r.Desc)
		case ch.From == None:
			desc.Replicas = append(desc.Replicas, kv.ReplicaDescriptor{NodeID: ch.Node, StoreID: ch.Store, ReplicaID: desc.NextReplicaID, Type: types[ch.To]})
			desc.NextReplicaID++
		case ch.To == None:
			desc.Replicas = slices.Delete(desc.Replicas, at, at+1)
			r.Behind = slices.DeleteFunc(slices.Clone(r.Behind), func(id kv.StoreID) bool { return id == ch.Store })
		default:
			desc.Replicas[at].Type = types[ch.To]
		}
	}
	desc.Generation++
	r.Desc = &desc
	if d.LeaseTo != 0 {
		r.Leaseholder = d.LeaseTo
	}
	if rep, ok := desc.Replica(r.Leaseholder); r.Leaseholder != 0 && (!ok || rep.Type != kv.VoterFull) {
		return fmt.Errorf("%s leaves the lease with s%d, which is no voter of %s", d, r.Leaseholder, r.Desc)
	}
	return nil
}

// placement prints where a range is: voters, the leaseholder marked, then non-voters.
func placement(r *Range) string {
	var voters, others []string
	for _, rep := range r.Desc.Replicas {
		s := fmt.Sprintf("s%d", rep.StoreID)
		if rep.StoreID == r.Leaseholder {
			s += "*"
		}
		switch rep.Type {
		case kv.VoterFull:
			voters = append(voters, s)
		default:
			others = append(others, s+" "+strings.TrimPrefix(rep.String(), fmt.Sprintf("(n%d,s%d):%d", rep.NodeID, rep.StoreID, rep.ReplicaID)))
		}
	}
	out := fmt.Sprintf("r%d: voters %s", r.Desc.RangeID, strings.Join(voters, " "))
	if len(others) > 0 {
		out += "; " + strings.Join(others, ", ")
	}
	return out
}
