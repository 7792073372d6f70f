package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
)

// CommandID identifies a command through all the copies of it that enter the log.
// The upper half is node and incarnation, so that no two are ever alike and a
// restarted process never takes an old command's outcome for a new one's.
type CommandID uint64

// MakeCommandIDBase is the first identity of an incarnation of a node's store.
func MakeCommandIDBase(node kv.NodeID, incarnation uint32) CommandID {
	return CommandID(uint64(node)&0xfff<<52 | uint64(incarnation)&0xfffff<<32)
}

// String prints the node, the incarnation and the number within it.
func (id CommandID) String() string {
	return fmt.Sprintf("n%d.%d.%d", id>>52, id>>32&0xfffff, uint32(id))
}

// Kind is what a command does when it applies.
type Kind uint8

// The kinds of commands. An entry without data is Raft's own and does nothing.
const (
	KindWrite    Kind = iota + 1 // write a batch of versions
	KindLease                    // replace the lease
	KindTruncate                 // let replicas drop the head of their logs
	KindSplit                    // a write that divides the range as well
	KindMerge                    // a write that takes in the range to the right as well
	KindChange                   // a write that changes the replicas as well
	KindChecksum                 // have each replica compute a checksum of its state
	numKinds
)

var kindNames = [...]string{KindWrite: "write", KindLease: "lease", KindTruncate: "truncate", KindSplit: "split", KindMerge: "merge", KindChange: "change", KindChecksum: "checksum"}

// String is the kind's name.
func (k Kind) String() string {
	if k == 0 || k >= numKinds {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Command is what a log entry carries.
type Command struct {
	ID   CommandID
	Kind Kind
	// LeaseSequence is that of the lease under which the proposer evaluated. The
	// command applies only while that lease is the current one.
	LeaseSequence int64
	// MaxLeaseIndex must exceed the lease applied index when the command applies,
	// and becomes it. Each is used at most once under one lease, so that of many
	// copies only the first applies. Zero for lease requests, which have no part
	// in this.
	MaxLeaseIndex uint64
	// What writes: the timestamp of the versions that clients write (that of evaluation,
	// if there are none), what the batch adds to the range's statistics, and the
	// storage batch, by its representation.
	WriteTS hlc.Timestamp
	// GCThreshold is what the range's threshold is raised to; empty: it stays.
	GCThreshold  hlc.Timestamp
	Stats        mvcc.Stats
	Batch        []byte
	Split        *Split              // KindSplit
	Merge        *Merge              // KindMerge
	Change       *kv.RangeDescriptor // KindChange: the descriptor after it
	Lease        LeaseChange
	TruncateTo   uint64 // KindTruncate: the last index that may go
	TruncateTerm uint64 // the term of that entry
}

// writes reports that the command has a batch.
func (c *Command) writes() bool {
	return c.Kind == KindWrite || c.Kind == KindSplit || c.Kind == KindMerge || c.Kind == KindChange
}

// LeaseChange asks for Next in place of exactly the lease that PrevSequence and
// PrevProposed name. A request that was overtaken by another names a lease that is
// gone, and does nothing.
type LeaseChange struct {
	Next         kv.Lease
	PrevSequence int64
	PrevProposed hlc.Timestamp
	Transfer     bool
	// Reads is what the holder tells the next one about the reads that it has served.
	// Only of a transfer: who takes a lease that has run out knows nothing.
	Reads concurrency.ReadSummary
}

// commandVersion opens each encoded command.
const commandVersion = 1

// The fixed-size header, so that a copy for a new lease index is a patch.
const (
	offKind       = 1
	offID         = 2
	offSequence   = 10
	offLeaseIndex = 18
	commandHeader = 26
)

var errCommand = errors.New("replica: malformed command")

// Encode appends the command.
func (c *Command) Encode(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, commandHeader)...)
	h := b[start:]
	h[0] = commandVersion
	h[offKind] = byte(c.Kind)
	binary.LittleEndian.PutUint64(h[offID:], uint64(c.ID))
	binary.LittleEndian.PutUint64(h[offSequence:], uint64(c.LeaseSequence))
	binary.LittleEndian.PutUint64(h[offLeaseIndex:], c.MaxLeaseIndex)
	switch c.Kind {
	case KindSplit:
		b = c.Stats.Encode(c.GCThreshold.Encode(c.WriteTS.Encode(b)))
		b = c.Split.RightStats.Encode(c.Split.Right.Encode(c.Split.Left.Encode(b)))
		b = append(b, c.Batch...)
	case KindMerge:
		b = c.Stats.Encode(c.GCThreshold.Encode(c.WriteTS.Encode(b)))
		b = c.Merge.RightStats.Encode(c.Merge.MergeTrigger.Encode(b))
		b = append(b, c.Batch...)
	case KindChange:
		b = c.Stats.Encode(c.GCThreshold.Encode(c.WriteTS.Encode(b)))
		b = append(c.Change.Encode(b), c.Batch...)
	case KindWrite:
		b = c.Stats.Encode(c.GCThreshold.Encode(c.WriteTS.Encode(b)))
		b = append(b, c.Batch...)
	case KindLease:
		b = c.Lease.Next.Encode(b)
		b = codec.AppendVarint(b, c.Lease.PrevSequence)
		b = c.Lease.PrevProposed.Encode(b)
		if b = codec.AppendBool(b, c.Lease.Transfer); c.Lease.Transfer {
			b = c.Lease.Reads.Encode(b)
		}
	case KindTruncate:
		b = codec.AppendUvarint(b, c.TruncateTo)
		b = codec.AppendUvarint(b, c.TruncateTerm)
	case KindChecksum:
	default:
		panic("replica: encoding a command of no kind")
	}
	return b
}

// withLeaseIndex is a copy of an encoded command with another lease index. The
// original is shared with logs and messages and stays as it is.
func withLeaseIndex(data []byte, index uint64) []byte {
	c := append([]byte(nil), data...)
	binary.LittleEndian.PutUint64(c[offLeaseIndex:], index)
	return c
}

// Decode parses b into c. The batch shares b's memory.
func (c *Command) Decode(b []byte) error {
	if len(b) < commandHeader || b[0] != commandVersion {
		return errCommand
	}
	*c = Command{
		Kind:          Kind(b[offKind]),
		ID:            CommandID(binary.LittleEndian.Uint64(b[offID:])),
		LeaseSequence: int64(binary.LittleEndian.Uint64(b[offSequence:])),
		MaxLeaseIndex: binary.LittleEndian.Uint64(b[offLeaseIndex:]),
	}
	r := codec.MakeReader(b[commandHeader:])
	switch c.Kind {
	case KindSplit:
		c.WriteTS, c.GCThreshold = hlc.Decode(&r), hlc.Decode(&r)
		c.Stats = mvcc.DecodeStats(&r)
		c.Split = &Split{SplitTrigger: kv.SplitTrigger{Left: *kv.DecodeRangeDescriptor(&r), Right: *kv.DecodeRangeDescriptor(&r)}}
		c.Split.RightStats = mvcc.DecodeStats(&r)
		c.Batch = r.Rest()
	case KindMerge:
		c.WriteTS, c.GCThreshold = hlc.Decode(&r), hlc.Decode(&r)
		c.Stats = mvcc.DecodeStats(&r)
		c.Merge = &Merge{MergeTrigger: *kv.DecodeMergeTrigger(&r), RightStats: mvcc.DecodeStats(&r)}
		c.Batch = r.Rest()
	case KindChange:
		c.WriteTS, c.GCThreshold = hlc.Decode(&r), hlc.Decode(&r)
		c.Stats = mvcc.DecodeStats(&r)
		c.Change = kv.DecodeRangeDescriptor(&r)
		c.Batch = r.Rest()
	case KindWrite:
		c.WriteTS, c.GCThreshold = hlc.Decode(&r), hlc.Decode(&r)
		c.Stats = mvcc.DecodeStats(&r)
		c.Batch = r.Rest()
	case KindLease:
		c.Lease.Next = kv.DecodeLease(&r)
		c.Lease.PrevSequence = r.Varint()
		c.Lease.PrevProposed = hlc.Decode(&r)
		if c.Lease.Transfer = r.Bool(); c.Lease.Transfer {
			c.Lease.Reads = concurrency.DecodeReadSummary(&r)
		}
	case KindTruncate:
		c.TruncateTo = r.Uvarint()
		c.TruncateTerm = r.Uvarint()
	case KindChecksum:
	default:
		return errCommand
	}
	return r.Done()
}

// String prints the command for people.
func (c *Command) String() string {
	switch c.Kind {
	case KindLease:
		how := "request"
		if c.Lease.Transfer {
			how = "transfer"
		}
		return fmt.Sprintf("lease %s to %s in place of #%d", how, c.Lease.Next, c.Lease.PrevSequence)
	case KindSplit:
		return fmt.Sprintf("split at %s, r%d begins, lease #%d index %d", c.Split.Right.StartKey, c.Split.Right.RangeID, c.LeaseSequence, c.MaxLeaseIndex)
	case KindMerge:
		return fmt.Sprintf("merge at %s, r%d ends, lease #%d index %d", c.Merge.Right.StartKey, c.Merge.Right.RangeID, c.LeaseSequence, c.MaxLeaseIndex)
	case KindChange:
		return fmt.Sprintf("change to %s, lease #%d index %d", c.Change, c.LeaseSequence, c.MaxLeaseIndex)
	case KindTruncate:
		return fmt.Sprintf("truncate to %d lease #%d index %d", c.TruncateTo, c.LeaseSequence, c.MaxLeaseIndex)
	}
	return fmt.Sprintf("%s %d bytes lease #%d index %d", c.Kind, len(c.Batch), c.LeaseSequence, c.MaxLeaseIndex)
}
