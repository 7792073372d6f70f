package kv

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
)

// CommitTrigger is what a commit does to the range that holds the transaction's record,
// at the moment of the commit and on every replica. At most one of its members is set.
type CommitTrigger struct {
	Split  *SplitTrigger
	Merge  *MergeTrigger
	Change *ChangeTrigger
}

// triggerKind tells which trigger an encoding holds. Values are part of the encoding.
type triggerKind uint8

const (
	triggerNone triggerKind = iota
	triggerSplit
	triggerMerge
	triggerChange
)

func (c *CommitTrigger) kind() triggerKind {
	switch {
	case c.Split != nil:
		return triggerSplit
	case c.Merge != nil:
		return triggerMerge
	case c.Change != nil:
		return triggerChange
	}
	return triggerNone
}

// SplitTrigger divides a range in two. Left is the range as it goes on, and Right the one
// that begins: together they hold what the range holds that they are made of, with its
// replicas.
type SplitTrigger struct {
	Left, Right RangeDescriptor
}

// Validate says why the trigger makes no sense, whatever range it meets; nil if it does.
func (s *SplitTrigger) Validate() error {
	l, r := &s.Left, &s.Right
	switch {
	case !l.EndKey.Equal(r.StartKey) || !l.StartKey.Less(l.EndKey) || !r.StartKey.Less(r.EndKey):
		return fmt.Errorf("%s and %s are not neighbours", l, r)
	case l.RangeID == r.RangeID || l.Generation != r.Generation:
		return fmt.Errorf("%s and %s do not come of one split", l, r)
	case len(l.Replicas) != len(r.Replicas):
		return fmt.Errorf("%s and %s have not the same replicas", l, r)
	}
	for i := range l.Replicas {
		if l.Replicas[i] != r.Replicas[i] {
			return fmt.Errorf("%s and %s have not the same replicas", l, r)
		}
	}
	return nil
}

// check says why the EndTxn may not have its trigger; nil if it may.
func (c *CommitTrigger) check(et *EndTxnRequest) error {
	switch {
	case !et.Commit || len(et.InFlight) > 0:
		return fmt.Errorf("a trigger without an explicit commit")
	case c.Split != nil:
		return c.Split.Validate()
	case c.Merge != nil:
		return c.Merge.Validate()
	case c.Change != nil:
		return c.Change.Validate()
	}
	return fmt.Errorf("an empty trigger")
}

// CheckSplitKey says why no range may begin at k; nil if one may. Everybody knows where
// the first range is, and it holds all of meta1. The last entry of meta2 stays with what
// follows it: meta1 has no place for a range of its own that ends there.
func CheckSplitKey(k keys.Key) *Error {
	if k.Less(keys.Meta2) || !k.Less(keys.Max) || k.Less(keys.Meta2End) && !k.Less(keys.Meta2Key(keys.Max)) {
		return Errorf(BadRequest, "no range can begin at %s: split at or above %s, below %s or from %s on", k, keys.Meta2, keys.Meta2Key(keys.Max), keys.Meta2End)
	}
	return nil
}

// Size is the length of Encode's output, 0 for none.
func (c *CommitTrigger) Size() int {
	if c == nil {
		return 0
	}
	switch c.kind() {
	case triggerSplit:
		return codec.SizeByte + c.Split.Left.Size() + c.Split.Right.Size()
	case triggerMerge:
		return codec.SizeByte + c.Merge.Size()
	case triggerChange:
		return codec.SizeByte + c.Change.Desc.Size()
	}
	return codec.SizeByte
}

// Encode appends the trigger.
func (c *CommitTrigger) Encode(b []byte) []byte {
	b = append(b, byte(c.kind()))
	switch {
	case c.Split != nil:
		return c.Split.Right.Encode(c.Split.Left.Encode(b))
	case c.Merge != nil:
		return c.Merge.Encode(b)
	case c.Change != nil:
		return c.Change.Desc.Encode(b)
	}
	return b
}

// DecodeCommitTrigger reads what Encode wrote.
func DecodeCommitTrigger(r *codec.Reader) *CommitTrigger {
	switch k := triggerKind(r.Byte()); k {
	case triggerNone:
		return &CommitTrigger{}
	case triggerSplit:
		return &CommitTrigger{Split: &SplitTrigger{Left: *DecodeRangeDescriptor(r), Right: *DecodeRangeDescriptor(r)}}
	case triggerMerge:
		return &CommitTrigger{Merge: DecodeMergeTrigger(r)}
	case triggerChange:
		return &CommitTrigger{Change: &ChangeTrigger{Desc: *DecodeRangeDescriptor(r)}}
	default:
		r.Failf("kv: unknown commit trigger %d", k)
		return &CommitTrigger{}
	}
}

// String prints the trigger for reading.
func (c *CommitTrigger) String() string {
	switch {
	case c.Split != nil:
		return fmt.Sprintf("split into r%d and r%d at %s", c.Split.Left.RangeID, c.Split.Right.RangeID, c.Split.Right.StartKey)
	case c.Merge != nil:
		return fmt.Sprintf("merge of r%d and r%d at %s", c.Merge.Left.RangeID, c.Merge.Right.RangeID, c.Merge.Right.StartKey)
	case c.Change != nil:
		return fmt.Sprintf("change to %s", &c.Change.Desc)
	}
	return "no trigger"
}
