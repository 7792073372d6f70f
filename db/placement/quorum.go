package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"simulacrum/db/kv"
)

// half is one configuration of a consensus group: its voters, and how many are there.
type half struct{ voters, present int }

func (h half) quorum() int    { return h.voters/2 + 1 }
func (h half) decides() bool  { return h.present >= h.quorum() }
func (h half) String() string { return fmt.Sprintf("%d of %d", h.present, h.voters) }

// halves counts the voters of a descriptor, and those that are present, in the new and in
// the old half of its configuration. Outside a joint configuration they are the same.
func halves(desc *kv.RangeDescriptor, present func(kv.ReplicaDescriptor) bool) (incoming, outgoing half) {
	for _, r := range desc.Replicas {
		inNew := r.Type == kv.VoterFull || r.Type == kv.VoterIncoming
		inOld := r.Type == kv.VoterFull || r.Type == kv.VoterOutgoing || r.Type == kv.VoterDemoting
		here := (inNew || inOld) && present(r)
		count := func(h *half, in bool) {
			if in {
				h.voters++
				if here {
					h.present++
				}
			}
		}
		count(&incoming, inNew)
		count(&outgoing, inOld)
	}
	return incoming, outgoing
}

// joint reports that the descriptor has a joint configuration.
func joint(desc *kv.RangeDescriptor) bool {
	return slices.ContainsFunc(desc.Replicas, func(r kv.ReplicaDescriptor) bool {
		return r.Type == kv.VoterIncoming || r.Type == kv.VoterOutgoing || r.Type == kv.VoterDemoting
	})
}

// Failure is a part of the cluster that is thought away: a node, a store, or all
// that has the tiers of a locality.
type Failure struct {
	Node     kv.NodeID
	Store    kv.StoreID
	Locality Locality
}

// ParseFailure reads n3, s4, region=us-east or region=us-east,zone=b.
func ParseFailure(text string) (Failure, error) {
	if strings.Contains(text, "=") {
		l, err := ParseLocality(text)
		return Failure{Locality: l}, err
	}
	if len(text) > 1 {
		if n, err := strconv.ParseInt(text[1:], 10, 32); err == nil && n > 0 {
			switch text[0] {
			case 'n':
				return Failure{Node: kv.NodeID(n)}, nil
			case 's':
				return Failure{Store: kv.StoreID(n)}, nil
			}
		}
	}
	return Failure{}, fmt.Errorf("no failure is called %q; write n3 for a node, s4 for a store, region=us-east or another locality", text)
}

// String prints what ParseFailure reads.
func (f Failure) String() string {
	switch {
	case f.Node != 0:
		return fmt.Sprintf("n%d", f.Node)
	case f.Store != 0:
		return fmt.Sprintf("s%d", f.Store)
	}
	return f.Locality.String()
}

// Hits reports that the store is lost with the part.
func (f Failure) Hits(s *Store) bool {
	switch {
	case f.Node != 0:
		return s.Node == f.Node
	case f.Store != 0:
		return s.ID == f.Store
	}
	return len(f.Locality) > 0 && s.Locality.has(f.Locality)
}

// Loss is a replica that is missing, and why.
type Loss struct {
	Replica kv.ReplicaDescriptor
	Cause   string // the failure, or the status of the store
}

// Availability is what a range can do with the replicas that are left.
type Availability struct {
	Range kv.RangeID
	// In and out of a joint configuration; elsewhere the same.
	Incoming, Outgoing struct{ Voters, Present, Quorum int }
	Available          bool // both have a quorum
	Copies             int  // full copies left, of non-voters too; 0 is loss of data
	Lost               []Loss
}

// Availability says whether a range has a quorum when the failures happen on top of what
// the stores' statuses say.
func (c *Cluster) Availability(desc *kv.RangeDescriptor, failures ...Failure) Availability {
	a := Availability{Range: desc.RangeID}
	lost := map[kv.ReplicaID]bool{}
	for _, r := range desc.Replicas {
		cause := c.lossOf(r, failures)
		if cause != "" {
			a.Lost = append(a.Lost, Loss{r, cause})
			lost[r.ReplicaID] = true
		} else if r.Type != kv.Learner {
			a.Copies++
		}
	}
	in, out := halves(desc, func(r kv.ReplicaDescriptor) bool { return !lost[r.ReplicaID] })
	a.Incoming.Voters, a.Incoming.Present, a.Incoming.Quorum = in.voters, in.present, in.quorum()
	a.Outgoing.Voters, a.Outgoing.Present, a.Outgoing.Quorum = out.voters, out.present, out.quorum()
	a.Available = in.decides() && out.decides()
	return a
}

func (c *Cluster) lossOf(r kv.ReplicaDescriptor, failures []Failure) string {
	i := c.find(r.StoreID)
	if i < 0 {
		return "store unknown"
	}
	for _, f := range failures {
		if f.Hits(&c.stores[i]) {
			return f.String()
		}
	}
	if s := c.stores[i].Status; !s.Answers() {
		return s.String()
	}
	return ""
}

// String says in one line whether the range is available, and what is lost.
func (a Availability) String() string {
	var b strings.Builder
	state := "available"
	switch {
	case a.Copies == 0:
		state = "LOST"
	case !a.Available:
		state = "UNAVAILABLE"
	}
	fmt.Fprintf(&b, "r%d: %s, %d of %d voters", a.Range, state, a.Incoming.Present, a.Incoming.Voters)
	if a.Incoming != a.Outgoing {
		fmt.Fprintf(&b, " coming in, %d of %d going out", a.Outgoing.Present, a.Outgoing.Voters)
	}
	fmt.Fprintf(&b, ", quorum %d, %d copies", a.Incoming.Quorum, a.Copies)
	for i, l := range a.Lost {
		sep := "; lost "
		if i > 0 {
			sep = ", "
		}
		fmt.Fprintf(&b, "%s%s by %s", sep, l.Replica, l.Cause)
	}
	return b.String()
}

// Domains are the values that a tier has among the stores, such as all zones, each as
// the failure of all that stands there. Tiers are compared with those above them: zone b
// of one region is not zone b of another. node and disk are tiers too.
func (c *Cluster) Domains(tier string) []Failure {
	var out []Failure
	seen := map[string]bool{}
	for i := range c.stores {
		s := &c.stores[i]
		var f Failure
		switch at := slices.IndexFunc(s.Locality, func(t Tier) bool { return t.Name == tier }); {
		case at >= 0:
			f.Locality = s.Locality[:at+1]
		case tier == "node":
			f.Node = s.Node
		case tier == "disk":
			f.Store = s.ID
		default:
			continue
		}
		if name := f.String(); !seen[name] {
			seen[name] = true
			out = append(out, f)
		}
	}
	return out
}

// Critical are the domains of a tier whose loss alone would make the range unavailable,
// given what is lost already. None is what a survival goal asks for.
func (c *Cluster) Critical(desc *kv.RangeDescriptor, tier string) []Failure {
	return slices.DeleteFunc(c.Domains(tier), func(f Failure) bool { return c.Availability(desc, f).Available })
}
