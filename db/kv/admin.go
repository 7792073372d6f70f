package kv

import (
	"fmt"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
)

// ReplicaRole is what a store's replica of a range is meant to be in the end. Unlike
// ReplicaType it knows nothing of the steps on the way there.
type ReplicaRole uint8

// The roles.
const (
	RoleNone     ReplicaRole = iota // the store has no replica
	RoleVoter                       // it votes
	RoleNonVoter                    // it follows, serves reads of the past, and never votes
	numReplicaRoles
)

var replicaRoleNames = [numReplicaRoles]string{"none", "voter", "non-voter"}

// String names the role.
func (r ReplicaRole) String() string {
	if r < numReplicaRoles {
		return replicaRoleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// RoleOf is the role of a replica of type t once all changes under way are done. A learner
// is on its way to something, or left behind by a change that failed: it has no role yet.
func RoleOf(t ReplicaType) ReplicaRole {
	switch t {
	case VoterFull, VoterIncoming:
		return RoleVoter
	case NonVoter:
		return RoleNonVoter
	}
	return RoleNone
}

// ReplicaChange says what the replica on a store is to become, whatever it is now.
type ReplicaChange struct {
	NodeID  NodeID
	StoreID StoreID
	To      ReplicaRole // RoleNone: the replica is removed
}

// String prints (n1,s1) -> voter.
func (c ReplicaChange) String() string {
	return fmt.Sprintf("(n%d,s%d) -> %s", c.NodeID, c.StoreID, c.To)
}

// minReplicaChangeSize is the least that Encode of a change takes.
const minReplicaChangeSize = 3

func (c ReplicaChange) size() int {
	return codec.SizeVarint(int64(c.NodeID)) + codec.SizeVarint(int64(c.StoreID)) + codec.SizeByte
}

func (c ReplicaChange) encode(b []byte) []byte {
	return append(codec.AppendVarint(codec.AppendVarint(b, int64(c.NodeID)), int64(c.StoreID)), byte(c.To))
}

func decodeReplicaChange(r *codec.Reader) ReplicaChange {
	c := ReplicaChange{NodeID: NodeID(r.Int32()), StoreID: StoreID(r.Int32()), To: ReplicaRole(r.Byte())}
	if c.To >= numReplicaRoles {
		r.Failf("kv: unknown replica role %d", c.To)
	}
	return c
}

// AdminChangeReplicasRequest asks the leaseholder of the range that holds Key to bring its
// replicas to what Changes say, all of them together. A joint configuration that is in
// force is left first, and learners that belong to no change are removed; without Changes
// that is all. If the request fails half way, the next one finishes or takes back what it
// began.
type AdminChangeReplicasRequest struct {
	RequestHeader
	Key keys.Key
	// Generation is that of the descriptor which the caller made its decision by; 0: any.
	// If the range has another, the request fails with ConditionFailed and without effect.
	Generation int64
	Changes    []ReplicaChange
	// LeaseTo is the store to which the lease goes if the leaseholder's replica is to lose
	// its vote; 0: any voter that stays, and so if that store is down for long.
	LeaseTo StoreID
}

// AdminChangeReplicasResponse carries the range's descriptor after the last step.
type AdminChangeReplicasResponse struct{ Desc RangeDescriptor }

// Method implements Request.
func (*AdminChangeReplicasRequest) Method() Method { return AdminChangeReplicas }

// Span implements Request.
func (r *AdminChangeReplicasRequest) Span() keys.Span { return keys.Span{Key: r.Key} }

// Size implements Request.
func (r *AdminChangeReplicasRequest) Size() int {
	n := codec.SizeBytes(r.Key) + codec.SizeVarint(r.Generation) + codec.SizeUvarint(uint64(len(r.Changes))) +
		codec.SizeVarint(int64(r.LeaseTo))
	for _, c := range r.Changes {
		n += c.size()
	}
	return n
}

// Encode implements Request.
func (r *AdminChangeReplicasRequest) Encode(b []byte) []byte {
	b = codec.AppendVarint(codec.AppendBytes(b, r.Key), r.Generation)
	b = codec.AppendUvarint(b, uint64(len(r.Changes)))
	for _, c := range r.Changes {
		b = c.encode(b)
	}
	return codec.AppendVarint(b, int64(r.LeaseTo))
}

func decodeChangeReplicas(h RequestHeader, r *codec.Reader) *AdminChangeReplicasRequest {
	q := &AdminChangeReplicasRequest{RequestHeader: h, Key: r.Bytes(), Generation: r.Varint()}
	if n := r.Count(MaxReplicas, minReplicaChangeSize); n > 0 {
		q.Changes = make([]ReplicaChange, n)
		for i := range q.Changes {
			q.Changes[i] = decodeReplicaChange(r)
		}
	}
	q.LeaseTo = StoreID(r.Int32())
	return q
}

// String prints the request for reading.
func (r *AdminChangeReplicasRequest) String() string {
	all := make([]string, len(r.Changes))
	for i, c := range r.Changes {
		all[i] = c.String()
	}
	return fmt.Sprintf("AdminChangeReplicas(%s, %s)", r.Key, strings.Join(all, ", "))
}

// Method implements Response.
func (*AdminChangeReplicasResponse) Method() Method { return AdminChangeReplicas }

// Size implements Response.
func (r *AdminChangeReplicasResponse) Size() int { return r.Desc.Size() }

// Encode implements Response.
func (r *AdminChangeReplicasResponse) Encode(b []byte) []byte { return r.Desc.Encode(b) }

// ChangeTrigger changes the replicas of a range by one step of consensus: into a joint
// configuration, out of one, or by a single replica. Desc is the descriptor after it.
type ChangeTrigger struct {
	Desc RangeDescriptor
}

// Validate says why the trigger makes no sense, whatever range it meets; nil if it does.
func (c *ChangeTrigger) Validate() error {
	d := &c.Desc
	if !d.StartKey.Less(d.EndKey) || d.RangeID == 0 {
		return fmt.Errorf("%s is no range", d)
	}
	before, after := 0, 0 // voters of the old half and of the new one
	for i, r := range d.Replicas {
		if r.ReplicaID <= 0 || r.ReplicaID >= d.NextReplicaID {
			return fmt.Errorf("replica %s is not below the next identity of %s", r, d)
		}
		for _, o := range d.Replicas[:i] {
			if o.StoreID == r.StoreID || o.ReplicaID == r.ReplicaID {
				return fmt.Errorf("%s and %s are in one place in %s", o, r, d)
			}
		}
		if r.Type == VoterFull || r.Type == VoterOutgoing || r.Type == VoterDemoting {
			before++
		}
		if r.Type == VoterFull || r.Type == VoterIncoming {
			after++
		}
	}
	if before == 0 || after == 0 {
		return fmt.Errorf("%s has nobody to vote", d)
	}
	return nil
}

// Joint reports that a joint configuration is in force: decisions need a majority of the
// voters of before and one of those of after.
func (d *RangeDescriptor) Joint() bool {
	for _, r := range d.Replicas {
		if r.Type == VoterIncoming || r.Type == VoterOutgoing || r.Type == VoterDemoting {
			return true
		}
	}
	return false
}

// LeaveJoint is the descriptor after a joint configuration: who came in votes, and who went
// out does not.
func (d *RangeDescriptor) LeaveJoint() *RangeDescriptor {
	next := *d
	next.Replicas, next.Generation = nil, d.Generation+1
	for _, r := range d.Replicas {
		switch r.Type {
		case VoterIncoming:
			r.Type = VoterFull
		case VoterDemoting:
			r.Type = Learner
		case VoterOutgoing:
			continue
		}
		next.Replicas = append(next.Replicas, r)
	}
	return &next
}
