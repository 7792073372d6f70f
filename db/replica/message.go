package replica

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
)

// Message is a raft message with its address. The entries' data is shared with
// the sender's log and never changed; the slice that holds them is the message's
// own, because the library appends to what it is handed.
type Message struct {
	RangeID  kv.RangeID
	From, To kv.ReplicaDescriptor
	Raft     raftpb.Message
	// Quiesce marks a heartbeat by which the leader says that nothing is left to
	// do: a follower at exactly its term and commit index goes to sleep with it.
	Quiesce bool
	// Wake carries no raft message: a follower that woke asks the leader to. After a
	// split it says that the follower is there.
	Wake bool
	// Absent carries no raft message: the sender's store has no such replica.
	Absent bool
	// Removed carries no raft message: as the sender knows, the range has no replica To
	// any more.
	Removed bool
}

// Flags of a message that carries no raft message.
const (
	flagWake byte = 1 << iota
	flagAbsent
	flagRemoved
	messageFlags
)

// Size is the length of Encode's output.
func (m *Message) Size() int {
	n := m.Raft.Size()
	return codec.SizeVarint(int64(m.RangeID)) + m.From.Size() + m.To.Size() + 2*codec.SizeBool +
		codec.SizeUvarint(uint64(n)) + n
}

// Encode appends the message.
func (m *Message) Encode(b []byte) []byte {
	b = codec.AppendVarint(b, int64(m.RangeID))
	b = m.To.Encode(m.From.Encode(b))
	b = codec.AppendBool(b, m.Quiesce)
	var flags byte
	if m.Wake {
		flags |= flagWake
	}
	if m.Absent {
		flags |= flagAbsent
	}
	if m.Removed {
		flags |= flagRemoved
	}
	b = append(b, flags)
	n := m.Raft.Size()
	b = slices.Grow(codec.AppendUvarint(b, uint64(n)), n)
	end := len(b) + n
	if _, err := m.Raft.MarshalToSizedBuffer(b[len(b):end]); err != nil {
		panic(err) // the library's encoder has no way to fail
	}
	return b[:end]
}

// DecodeMessage reads what Encode wrote.
func DecodeMessage(r *codec.Reader) Message {
	m := Message{RangeID: kv.RangeID(r.Varint()), From: kv.DecodeReplicaDescriptor(r), To: kv.DecodeReplicaDescriptor(r)}
	m.Quiesce = r.Bool()
	flags := r.Byte()
	if flags >= messageFlags {
		r.Failf("replica: unknown flags of a message %x", flags)
	}
	m.Wake, m.Absent, m.Removed = flags&flagWake != 0, flags&flagAbsent != 0, flags&flagRemoved != 0
	body := r.View()
	if r.Err() == nil {
		if err := m.Raft.Unmarshal(body); err != nil {
			r.Fail(err)
		}
	}
	return m
}

// String prints the message on one line, without data.
func (m *Message) String() string {
	s := fmt.Sprintf("r%d %d->%d ", m.RangeID, m.From.ReplicaID, m.To.ReplicaID)
	if m.Wake {
		return s + "wake"
	}
	if m.Absent {
		return s + "absent"
	}
	if m.Removed {
		return s + "removed"
	}
	p := &m.Raft
	s += fmt.Sprintf("%s term %d index %d/%d commit %d", p.Type, p.Term, p.Index, p.LogTerm, p.Commit)
	if len(p.Entries) > 0 {
		s += fmt.Sprintf(" entries [%d, %d]", p.Entries[0].Index, p.Entries[len(p.Entries)-1].Index)
	}
	if p.Reject {
		s += fmt.Sprintf(" rejected, hint %d", p.RejectHint)
	}
	if m.Quiesce {
		s += " quiesce"
	}
	return s
}
