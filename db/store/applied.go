package store

import (
	"simulacrum/db/codec"
	"simulacrum/db/kv"
)

// AppliedRequest asks a store to answer when its replica of the range has applied the
// command of the lease index, durably.
type AppliedRequest struct {
	RangeID    kv.RangeID
	LeaseIndex uint64
}

// Size implements env.Message.
func (q *AppliedRequest) Size() int {
	return codec.SizeVarint(int64(q.RangeID)) + codec.SizeUvarint(q.LeaseIndex)
}

// Encode implements env.Message.
func (q *AppliedRequest) Encode(b []byte) []byte {
	return codec.AppendUvarint(codec.AppendVarint(b, int64(q.RangeID)), q.LeaseIndex)
}

// DecodeAppliedRequest reads what Encode wrote.
func DecodeAppliedRequest(r *codec.Reader) *AppliedRequest {
	return &AppliedRequest{RangeID: kv.RangeID(r.Varint()), LeaseIndex: r.Uvarint()}
}

// AppliedReply says whether it has.
type AppliedReply struct{ Applied bool }

// Size implements env.Message.
func (*AppliedReply) Size() int { return codec.SizeBool }

// Encode implements env.Message.
func (a *AppliedReply) Encode(b []byte) []byte { return codec.AppendBool(b, a.Applied) }

// DecodeAppliedReply reads what Encode wrote.
func DecodeAppliedReply(r *codec.Reader) *AppliedReply { return &AppliedReply{Applied: r.Bool()} }
