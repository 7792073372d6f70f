package store

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
)

// ChecksumRequest asks a store for the checksum of its replica of a range that a command
// stands for. The answer may take until it is computed.
type ChecksumRequest struct {
	RangeID kv.RangeID
	ID      replica.CommandID
	// Verdict, if not empty, says instead that the replica was found to differ from most
	// others: its node ends itself with these words.
	Verdict string
}

// Size implements env.Message.
func (q *ChecksumRequest) Size() int {
	return codec.SizeVarint(int64(q.RangeID)) + codec.SizeUvarint(uint64(q.ID)) + codec.SizeString(q.Verdict)
}

// Encode implements env.Message.
func (q *ChecksumRequest) Encode(b []byte) []byte {
	return codec.AppendString(codec.AppendUvarint(codec.AppendVarint(b, int64(q.RangeID)), uint64(q.ID)), q.Verdict)
}

// DecodeChecksumRequest reads what Encode wrote.
func DecodeChecksumRequest(r *codec.Reader) *ChecksumRequest {
	return &ChecksumRequest{RangeID: kv.RangeID(r.Varint()), ID: replica.CommandID(r.Uvarint()), Verdict: r.String()}
}

// String prints the request for traces.
func (q *ChecksumRequest) String() string {
	if q.Verdict != "" {
		return "verdict: " + q.Verdict
	}
	return fmt.Sprintf("checksum of r%d at %s", q.RangeID, q.ID)
}

// ChecksumReply is the checksum of a replica's state at one place of the log.
type ChecksumReply struct {
	Known bool   // false: the store did not come to apply the command in time
	Index uint64 // applied index
	Sum   uint64
	Bytes int64 // that were read
}

// Size implements env.Message.
func (c *ChecksumReply) Size() int {
	return codec.SizeBool + codec.SizeUvarint(c.Index) + codec.SizeUvarint(c.Sum) + codec.SizeVarint(c.Bytes)
}

// Encode implements env.Message.
func (c *ChecksumReply) Encode(b []byte) []byte {
	b = codec.AppendUvarint(codec.AppendUvarint(codec.AppendBool(b, c.Known), c.Index), c.Sum)
	return codec.AppendVarint(b, c.Bytes)
}

// DecodeChecksumReply reads what Encode wrote.
func DecodeChecksumReply(r *codec.Reader) *ChecksumReply {
	return &ChecksumReply{Known: r.Bool(), Index: r.Uvarint(), Sum: r.Uvarint(), Bytes: r.Varint()}
}

// String prints the reply for traces.
func (c *ChecksumReply) String() string {
	if !c.Known {
		return "no checksum"
	}
	return fmt.Sprintf("%016x of %d bytes at index %d", c.Sum, c.Bytes, c.Index)
}
