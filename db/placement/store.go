package placement

import (
	"fmt"
	"strings"
	"time"

	"simulacrum/db/kv"
)

// Status is what a store is good for.
type Status uint8

// The statuses.
const (
	Live            Status = iota
	Suspect                // answers, but was silent a short time ago: is given nothing, loses nothing
	Draining               // answers; gives its leases away, and is given nothing
	Decommissioning        // answers; gives its replicas away
	Unavailable            // silent, not yet for long enough to be dead
	Dead                   // silent for so long that its replicas are replaced
	Decommissioned         // gone for good
)

// String is the status's name.
func (s Status) String() string {
	return [...]string{"live", "suspect", "draining", "decommissioning", "unavailable", "dead", "decommissioned"}[s]
}

// ParseStatus reads the name of a status.
func ParseStatus(name string) (Status, error) {
	for s := Live; s <= Decommissioned; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("no status of a store is called %q; write one of live to decommissioned", name)
}

// Answers reports that a replica on the store takes part in consensus.
func (s Status) Answers() bool { return s <= Decommissioning }

// leaves reports that replicas have to leave the store.
func (s Status) leaves() bool { return s == Decommissioning || s.gone() }

// gone reports that nothing can be had from the store any more.
func (s Status) gone() bool { return s == Dead || s == Decommissioned }

// balanced reports that the store counts for the mean of the stores. Those which are
// being emptied do not, or the others would appear to be too full.
func (s Status) balanced() bool { return s <= Draining }

// Liveness is what is known of a node, from its liveness record and the observer's
// clock.
type Liveness struct {
	Silent time.Duration // since its liveness expired; 0 while it has not
	Back   time.Duration // since it was last silent; negative if it never was

	Draining, Decommissioning, Decommissioned bool
}

// Status judges a node by what is known of it. Silence counts more than what the node
// was about to do: a silent node that is decommissioning can no more be asked to hand
// over than any other, and is replaced when it is dead.
func (s *Settings) Status(l Liveness) Status {
	switch {
	case l.Decommissioned:
		return Decommissioned
	case l.Silent >= s.DeadAfter:
		return Dead
	case l.Silent > 0:
		return Unavailable
	case l.Decommissioning:
		return Decommissioning
	case l.Draining:
		return Draining
	case l.Back >= 0 && l.Back < s.SuspectFor:
		return Suspect
	}
	return Live
}

// Load is what a range, or all that a store serves, costs a second.
type Load struct {
	Requests int64 // answered; fall on the leaseholder
	CPU      int64 // nanoseconds; fall on the leaseholder
	Writes   int64 // keys written; fall on every replica
}

// Store is what gossip tells of one store.
type Store struct {
	ID         kv.StoreID
	Node       kv.NodeID
	Locality   Locality
	Attributes []string // such as ssd

	Capacity, Used int64 // bytes; a capacity of 0 knows no limit
	Ranges, Leases int64 // replicas and leases on the store
	Load           Load

	Status Status
	// Throttled stores are sent no snapshot: they are receiving as many as they take,
	// or declined one a short time ago. Time is the observer's affair.
	Throttled bool
}

// String prints the store for reading.
func (s *Store) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "s%d n%d %s", s.ID, s.Node, s.Locality)
	if len(s.Attributes) > 0 {
		fmt.Fprintf(&b, " attrs=%s", strings.Join(s.Attributes, ","))
	}
	fmt.Fprintf(&b, " %s", s.Status)
	if s.Throttled {
		b.WriteString(" throttled")
	}
	fmt.Fprintf(&b, " ranges=%d leases=%d used=%d/%d requests=%d cpu=%s writes=%d", s.Ranges, s.Leases, s.Used, s.Capacity,
		s.Load.Requests, time.Duration(s.Load.CPU), s.Load.Writes)
	return b.String()
}
