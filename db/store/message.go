package store

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
)

// RaftBatch is all that the replicas of one node have to say to those of another
// at one moment.
type RaftBatch struct {
	From     kv.NodeID
	Messages []replica.Message
}

// newRaftBatch copies the messages. Most batches have one, and are one allocation.
func newRaftBatch(from kv.NodeID, messages []replica.Message) *RaftBatch {
	if len(messages) > 1 {
		return &RaftBatch{From: from, Messages: slices.Clone(messages)}
	}
	b := &struct {
		RaftBatch
		room [1]replica.Message
	}{RaftBatch: RaftBatch{From: from}}
	b.Messages = append(b.room[:0], messages...)
	return &b.RaftBatch
}

// minMessageSize is the least that an encoded raft message takes.
const minMessageSize = 12

// Size implements env.Message.
func (b *RaftBatch) Size() int {
	n := codec.SizeVarint(int64(b.From)) + codec.SizeUvarint(uint64(len(b.Messages)))
	for i := range b.Messages {
		n += b.Messages[i].Size()
	}
	return n
}

// Encode implements env.Message.
func (b *RaftBatch) Encode(buf []byte) []byte {
	buf = codec.AppendUvarint(codec.AppendVarint(buf, int64(b.From)), uint64(len(b.Messages)))
	for i := range b.Messages {
		buf = b.Messages[i].Encode(buf)
	}
	return buf
}

// DecodeRaftBatch reads what Encode wrote.
func DecodeRaftBatch(r *codec.Reader) *RaftBatch {
	b := &RaftBatch{From: kv.NodeID(r.Int32())}
	if n := r.Count(-1, minMessageSize); n > 0 {
		b.Messages = make([]replica.Message, n)
		for i := range b.Messages {
			b.Messages[i] = replica.DecodeMessage(r)
		}
	}
	return b
}

// SnapshotChunk is a part of a snapshot. Parts are sent one at a time.
type SnapshotChunk struct {
	ID     uint64 // of the snapshot, unique to its sender
	Number uint64 // 0 for the first chunk
	Header replica.SnapshotHeader
	Data   []byte
	Last   bool
}

// Size implements env.Message.
func (c *SnapshotChunk) Size() int {
	return codec.SizeUvarint(c.ID) + codec.SizeUvarint(c.Number) + c.Header.Size() + codec.SizeBytes(c.Data) + codec.SizeBool
}

// Encode implements env.Message.
func (c *SnapshotChunk) Encode(b []byte) []byte {
	b = codec.AppendUvarint(codec.AppendUvarint(b, c.ID), c.Number)
	b = codec.AppendBytes(c.Header.Encode(b), c.Data)
	return codec.AppendBool(b, c.Last)
}

// DecodeSnapshotChunk reads what Encode wrote.
func DecodeSnapshotChunk(r *codec.Reader) *SnapshotChunk {
	return &SnapshotChunk{
		ID: r.Uvarint(), Number: r.Uvarint(), Header: replica.DecodeSnapshotHeader(r), Data: r.Bytes(), Last: r.Bool(),
	}
}

// SnapshotReply says whether the chunk was taken, and if not, why.
type SnapshotReply struct {
	Accepted bool
	Reason   string
}

// Size implements env.Message.
func (s *SnapshotReply) Size() int { return codec.SizeBool + codec.SizeString(s.Reason) }

// Encode implements env.Message.
func (s *SnapshotReply) Encode(b []byte) []byte {
	return codec.AppendString(codec.AppendBool(b, s.Accepted), s.Reason)
}

// DecodeSnapshotReply reads what Encode wrote.
func DecodeSnapshotReply(r *codec.Reader) *SnapshotReply {
	return &SnapshotReply{Accepted: r.Bool(), Reason: r.String()}
}

// String prints the messages for traces, without data.
func (b *RaftBatch) String() string {
	texts := make([]string, len(b.Messages))
	for i := range b.Messages {
		texts[i] = b.Messages[i].String()
	}
	return "raft " + strings.Join(texts, "; ")
}

// String prints the chunk for traces, without data.
func (c *SnapshotChunk) String() string {
	s := fmt.Sprintf("snapshot %d of r%d, chunk %d of %d bytes", c.ID, c.Header.RangeID, c.Number, len(c.Data))
	if c.Last {
		s += ", the last"
	}
	return s
}

// String prints the reply for traces.
func (s *SnapshotReply) String() string {
	if s.Accepted {
		return "taken"
	}
	return "not taken: " + s.Reason
}
