package liveness

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
)

// Membership says whether a node belongs to the cluster.
type Membership uint8

// The states.
const (
	Active          Membership = iota
	Decommissioning            // it gives its replicas away; this may be called off
	Decommissioned             // it has none, and never comes back
	numMemberships
)

var membershipNames = [numMemberships]string{"active", "decommissioning", "decommissioned"}

// String is the state's name.
func (m Membership) String() string {
	if m < numMemberships {
		return membershipNames[m]
	}
	return "unknown membership"
}

// mayBecome reports whether a node may go from m to another state.
func (m Membership) mayBecome(to Membership) bool {
	switch m {
	case Active:
		return to == Decommissioning
	case Decommissioning:
		return to == Active || to == Decommissioned
	}
	return false
}

// Record is a node's liveness record.
type Record struct {
	NodeID     kv.NodeID
	Revision   int64 // one more with each write, so that no record recurs
	Epoch      int64 // never goes down; 0: the node has not yet had a heartbeat
	Expiration hlc.Timestamp
	Draining   bool
	Membership Membership
}

// Seen is a record as it stood in the database at a version. Newer versions have higher
// revisions. The zero Seen is no record.
type Seen struct {
	Record
	Version hlc.Timestamp
}

// Exists reports that there is a record.
func (s Seen) Exists() bool { return s.Revision > 0 }

// Expired reports that the node is not live by a clock that shows now.
func (r *Record) Expired(now hlc.Timestamp) bool { return r.Expiration.LessEq(now) }

// String prints the record for reading.
func (r *Record) String() string {
	s := fmt.Sprintf("n%d epoch %d until %s, revision %d", r.NodeID, r.Epoch, r.Expiration, r.Revision)
	if r.Draining {
		s += ", draining"
	}
	if r.Membership != Active {
		s += ", " + r.Membership.String()
	}
	return s
}

// Encode appends the record.
func (r *Record) Encode(b []byte) []byte {
	b = codec.AppendVarint(codec.AppendVarint(b, int64(r.NodeID)), r.Revision)
	b = r.Expiration.Encode(codec.AppendVarint(b, r.Epoch))
	return append(codec.AppendBool(b, r.Draining), byte(r.Membership))
}

// DecodeRecord reads what Encode wrote.
func DecodeRecord(b []byte) (Record, error) {
	d := codec.MakeReader(b)
	r := Record{NodeID: kv.NodeID(d.Int32()), Revision: d.Varint(), Epoch: d.Varint(), Expiration: hlc.Decode(&d),
		Draining: d.Bool(), Membership: Membership(d.Byte())}
	if r.NodeID < 1 || r.Revision < 1 || r.Epoch < 0 || r.Membership >= numMemberships {
		d.Failf("liveness: no sound record: %s", &r)
	}
	return r, d.Done()
}
