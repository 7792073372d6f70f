package kv

import (
	"fmt"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// Identities. All begin at 1; 0 is none. A ReplicaID is never used twice in a range.
type (
	RangeID   = keys.RangeID
	NodeID    = keys.NodeID
	StoreID   int32
	ReplicaID int32
)

// ReplicaType is a replica's part in its consensus group.
type ReplicaType uint8

// Replica types. Incoming, outgoing and demoting voters exist while a joint
// configuration is in force.
const (
	VoterFull     ReplicaType = iota
	VoterIncoming             // votes in the new half only
	VoterOutgoing             // votes in the old half only, then is removed
	VoterDemoting             // votes in the old half only, then is a learner
	Learner                   // never votes
	NonVoter                  // never votes and is meant to stay so
	numReplicaTypes
)

var replicaTypeNames = [numReplicaTypes]string{"", "incoming", "outgoing", "demoting", "learner", "non-voter"}

// ReplicaDescriptor says where one replica of a range is.
type ReplicaDescriptor struct {
	NodeID    NodeID
	StoreID   StoreID
	ReplicaID ReplicaID
	Type      ReplicaType
}

// String prints (n1,s1):2 and the type, if it is not a full voter.
func (d ReplicaDescriptor) String() string {
	s := fmt.Sprintf("(n%d,s%d):%d", d.NodeID, d.StoreID, d.ReplicaID)
	if d.Type != VoterFull && d.Type < numReplicaTypes {
		s += replicaTypeNames[d.Type]
	}
	return s
}

// Size is the length of Encode's output.
func (d ReplicaDescriptor) Size() int {
	return codec.SizeVarint(int64(d.NodeID)) + codec.SizeVarint(int64(d.StoreID)) +
		codec.SizeVarint(int64(d.ReplicaID)) + codec.SizeByte
}

// Encode appends the descriptor.
func (d ReplicaDescriptor) Encode(b []byte) []byte {
	b = codec.AppendVarint(b, int64(d.NodeID))
	b = codec.AppendVarint(b, int64(d.StoreID))
	b = codec.AppendVarint(b, int64(d.ReplicaID))
	return append(b, byte(d.Type))
}

// DecodeReplicaDescriptor reads what Encode wrote.
func DecodeReplicaDescriptor(r *codec.Reader) ReplicaDescriptor {
	d := ReplicaDescriptor{
		NodeID:    NodeID(r.Int32()),
		StoreID:   StoreID(r.Int32()),
		ReplicaID: ReplicaID(r.Int32()),
		Type:      ReplicaType(r.Byte()),
	}
	if d.Type >= numReplicaTypes {
		r.Failf("kv: unknown replica type %d", d.Type)
	}
	return d
}

// minReplicaSize is the least that Encode of a replica descriptor takes.
const minReplicaSize = 4

// MaxReplicas bounds the replicas of one range.
const MaxReplicas = 64

// RangeDescriptor says what a range holds and who has replicas of it. It is
// immutable; a change makes a new one with a higher generation.
type RangeDescriptor struct {
	RangeID          RangeID
	StartKey, EndKey keys.Key // [StartKey, EndKey)
	Replicas         []ReplicaDescriptor
	NextReplicaID    ReplicaID // above every ReplicaID that the range ever had
	Generation       int64     // grows with each change of bounds or replicas
}

// Span is what the range holds.
func (d *RangeDescriptor) Span() keys.Span {
	return keys.Span{Key: d.StartKey, EndKey: d.EndKey}
}

// ContainsKey reports that k, or the key that k is addressed by, is in the range.
func (d *RangeDescriptor) ContainsKey(k keys.Key) bool {
	k, ok := keys.Addr(k)
	return ok && d.Span().ContainsKey(k)
}

// ContainsSpan reports that all of s is in the range.
func (d *RangeDescriptor) ContainsSpan(s keys.Span) bool {
	if s.IsPoint() {
		return d.ContainsKey(s.Key)
	}
	return d.Span().Contains(s)
}

// Replica is the replica that a store has of the range.
func (d *RangeDescriptor) Replica(store StoreID) (ReplicaDescriptor, bool) {
	for _, r := range d.Replicas {
		if r.StoreID == store {
			return r, true
		}
	}
	return ReplicaDescriptor{}, false
}

// ReplicaByID is the replica of the given identity.
func (d *RangeDescriptor) ReplicaByID(id ReplicaID) (ReplicaDescriptor, bool) {
	for _, r := range d.Replicas {
		if r.ReplicaID == id {
			return r, true
		}
	}
	return ReplicaDescriptor{}, false
}

// String prints r3:["a", "b") [(n1,s1):1, (n2,s2):2] next=3 gen=1.
func (d *RangeDescriptor) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "r%d:[%s, %s) [", d.RangeID, d.StartKey, d.EndKey)
	for i, r := range d.Replicas {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(r.String())
	}
	fmt.Fprintf(&b, "] next=%d gen=%d", d.NextReplicaID, d.Generation)
	return b.String()
}

// Size is the length of Encode's output.
func (d *RangeDescriptor) Size() int {
	n := codec.SizeVarint(int64(d.RangeID)) + codec.SizeBytes(d.StartKey) + codec.SizeBytes(d.EndKey) +
		codec.SizeUvarint(uint64(len(d.Replicas))) + codec.SizeVarint(int64(d.NextReplicaID)) +
		codec.SizeVarint(d.Generation)
	for _, r := range d.Replicas {
		n += r.Size()
	}
	return n
}

// Encode appends the descriptor.
func (d *RangeDescriptor) Encode(b []byte) []byte {
	b = codec.AppendVarint(b, int64(d.RangeID))
	b = codec.AppendBytes(b, d.StartKey)
	b = codec.AppendBytes(b, d.EndKey)
	b = codec.AppendUvarint(b, uint64(len(d.Replicas)))
	for _, r := range d.Replicas {
		b = r.Encode(b)
	}
	b = codec.AppendVarint(b, int64(d.NextReplicaID))
	return codec.AppendVarint(b, d.Generation)
}

// DecodeRangeDescriptor reads what Encode wrote.
func DecodeRangeDescriptor(r *codec.Reader) *RangeDescriptor {
	d := &RangeDescriptor{RangeID: RangeID(r.Varint()), StartKey: r.Bytes(), EndKey: r.Bytes()}
	if n := r.Count(MaxReplicas, minReplicaSize); n > 0 {
		d.Replicas = make([]ReplicaDescriptor, n)
		for i := range d.Replicas {
			d.Replicas[i] = DecodeReplicaDescriptor(r)
		}
	}
	d.NextReplicaID = ReplicaID(r.Int32())
	d.Generation = r.Varint()
	return d
}

// ParseDescriptor decodes a stored descriptor, which must fill b.
func ParseDescriptor(b []byte) (*RangeDescriptor, error) {
	r := codec.NewReader(b)
	d := DecodeRangeDescriptor(r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return d, nil
}

// Lease gives one replica the right to serve its range, from Start until Expiration or, if
// it has an Epoch, for as long as the liveness of the holder's node keeps that epoch up. The
// zero Lease is none.
type Lease struct {
	Sequence   int64 // grows by one with each change of holder, and each new acquisition
	Replica    ReplicaDescriptor
	Start      hlc.Timestamp
	Expiration hlc.Timestamp // empty for a lease of an epoch
	ProposedTS hlc.Timestamp // the holder's clock when it asked
	Epoch      int64         // of the holder's node; 0: the lease ends at its Expiration
}

// IsEmpty reports that there is no lease.
func (l Lease) IsEmpty() bool { return l == Lease{} }

// String prints the lease for reading.
func (l Lease) String() string {
	if l.IsEmpty() {
		return "no lease"
	}
	if l.Epoch > 0 {
		return fmt.Sprintf("lease %d %s from %s in epoch %d, proposed %s", l.Sequence, l.Replica, l.Start, l.Epoch, l.ProposedTS)
	}
	return fmt.Sprintf("lease %d %s [%s, %s) proposed %s", l.Sequence, l.Replica, l.Start, l.Expiration, l.ProposedTS)
}

// Size is the length of Encode's output.
func (l Lease) Size() int {
	return codec.SizeVarint(l.Sequence) + l.Replica.Size() + l.Start.Size() + l.Expiration.Size() + l.ProposedTS.Size() +
		codec.SizeVarint(l.Epoch)
}

// Encode appends the lease.
func (l Lease) Encode(b []byte) []byte {
	b = l.Replica.Encode(codec.AppendVarint(b, l.Sequence))
	b = l.ProposedTS.Encode(l.Expiration.Encode(l.Start.Encode(b)))
	return codec.AppendVarint(b, l.Epoch)
}

// DecodeLease reads what Encode wrote.
func DecodeLease(r *codec.Reader) Lease {
	return Lease{
		Sequence: r.Varint(), Replica: DecodeReplicaDescriptor(r),
		Start: hlc.Decode(r), Expiration: hlc.Decode(r), ProposedTS: hlc.Decode(r), Epoch: r.Varint(),
	}
}
