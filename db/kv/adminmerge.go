package kv

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

type (
	// AdminMergeRequest asks the leaseholder of the range that holds Key to take in its
	// neighbour to the right. It is refused if the two may not be merged (CheckMerge).
	AdminMergeRequest struct {
		RequestHeader
		Key keys.Key
	}

	// AdminMergeResponse says what the range is now.
	AdminMergeResponse struct{ Desc RangeDescriptor }

	// RangeStatsRequest asks the leaseholder of the range that holds Key about the range.
	RangeStatsRequest struct {
		RequestHeader
		Key keys.Key
	}

	// RangeStatsResponse is what it says: the range as it is, the bytes of what it holds,
	// and how many requests a second it has served of late, 0 if that is not counted.
	RangeStatsResponse struct {
		Desc     RangeDescriptor
		Bytes    int64
		Requests int64
	}

	// SubsumeRequest asks the leaseholder of the right side of a merge to serve nothing
	// more until the outcome of the transaction is known. The transaction must have
	// deleted the descriptor, which must be Right: who holds the lease later finds the
	// intent, and serves nothing either.
	SubsumeRequest struct {
		RequestHeader
		Right RangeDescriptor
		Txn   TxnMeta
	}

	// SubsumeResponse is what the left side has to know about what the right side did
	// before it stopped.
	SubsumeResponse struct {
		// LeaseIndex is the lease index of its last command. Every replica must have
		// applied it before the merge commits.
		LeaseIndex uint64
		// FreezeStart is the reading of the leaseholder's clock at the end of service.
		FreezeStart hlc.Timestamp
		// Reads is an encoded concurrency.ReadSummary, raised to FreezeStart.
		Reads []byte
	}
)

// Method implements Request and Response.
func (*AdminMergeRequest) Method() Method  { return AdminMerge }
func (*SubsumeRequest) Method() Method     { return Subsume }
func (*RangeStatsRequest) Method() Method  { return RangeStats }
func (*RangeStatsResponse) Method() Method { return RangeStats }
func (*AdminMergeResponse) Method() Method { return AdminMerge }
func (*SubsumeResponse) Method() Method    { return Subsume }

// Span implements Request.
func (r *AdminMergeRequest) Span() keys.Span { return keys.Span{Key: r.Key} }
func (r *SubsumeRequest) Span() keys.Span    { return keys.Span{Key: r.Right.StartKey} }
func (r *RangeStatsRequest) Span() keys.Span { return keys.Span{Key: r.Key} }

// Size implements Request and Response.
func (r *AdminMergeRequest) Size() int { return codec.SizeBytes(r.Key) }
func (r *RangeStatsRequest) Size() int { return codec.SizeBytes(r.Key) }
func (r *RangeStatsResponse) Size() int {
	return r.Desc.Size() + codec.SizeVarint(r.Bytes) + codec.SizeVarint(r.Requests)
}
func (r *SubsumeRequest) Size() int     { return r.Right.Size() + r.Txn.Size() }
func (r *AdminMergeResponse) Size() int { return r.Desc.Size() }
func (r *SubsumeResponse) Size() int {
	return codec.SizeUvarint(r.LeaseIndex) + r.FreezeStart.Size() + codec.SizeBytes(r.Reads)
}

// Encode implements Request and Response.
func (r *AdminMergeRequest) Encode(b []byte) []byte { return codec.AppendBytes(b, r.Key) }
func (r *RangeStatsRequest) Encode(b []byte) []byte { return codec.AppendBytes(b, r.Key) }
func (r *RangeStatsResponse) Encode(b []byte) []byte {
	return codec.AppendVarint(codec.AppendVarint(r.Desc.Encode(b), r.Bytes), r.Requests)
}
func (r *SubsumeRequest) Encode(b []byte) []byte     { return r.Txn.Encode(r.Right.Encode(b)) }
func (r *AdminMergeResponse) Encode(b []byte) []byte { return r.Desc.Encode(b) }
func (r *SubsumeResponse) Encode(b []byte) []byte {
	return codec.AppendBytes(r.FreezeStart.Encode(codec.AppendUvarint(b, r.LeaseIndex)), r.Reads)
}

// MergeTrigger joins two neighbours. Left is the left range as it goes on: with the bounds
// of both, and its own replicas. Right is the range that ends, as it last was.
type MergeTrigger struct {
	Left, Right RangeDescriptor
	// What the right side said when it was subsumed.
	Subsumed SubsumeResponse
}

// Merged is the descriptor of left when it has taken in right. Its generation is above
// both: whoever compares it with one of theirs sees which is newer.
func Merged(left, right *RangeDescriptor) RangeDescriptor {
	d := *left
	d.EndKey, d.Generation = right.EndKey, max(left.Generation, right.Generation)+1
	return d
}

// CheckMerge says why the ranges cannot be merged; nil if they can. Any neighbours can
// whose replicas are on the same stores, and in no change: every store then joins what it
// has. That holds for the ranges of the index too. While a right side is frozen the merge
// must still be found out about, at the record in the left side; but where a range begins
// that has a part of meta2 to its right, or is one, is told by meta1, which is in the first
// range, and that is never a right side.
func CheckMerge(left, right *RangeDescriptor) *Error {
	if !left.EndKey.Equal(right.StartKey) || left.RangeID == right.RangeID {
		return Errorf(BadRequest, "%s and %s are not neighbours: merge a range with the next to its right", left, right)
	}
	same := len(left.Replicas) == len(right.Replicas)
	for _, l := range left.Replicas {
		r, ok := right.Replica(l.StoreID)
		same = same && ok && l.Type == r.Type
		if l.Type != VoterFull && l.Type != NonVoter {
			return Errorf(BadRequest, "%s is in a change of its replicas: merge when that is over", left)
		}
	}
	if !same {
		return Errorf(BadRequest, "%s and %s have not the same replicas: move those of one to the stores of the other first", left, right)
	}
	return nil
}

// Validate says why the trigger makes no sense, whatever range it meets; nil if it does.
func (m *MergeTrigger) Validate() error {
	l := m.Left
	l.EndKey = m.Right.StartKey
	if !l.StartKey.Less(l.EndKey) || !m.Right.StartKey.Less(m.Right.EndKey) || !m.Left.EndKey.Equal(m.Right.EndKey) ||
		m.Left.Generation <= m.Right.Generation {
		return fmt.Errorf("%s does not come of a merge with %s", &m.Left, &m.Right)
	}
	if err := CheckMerge(&l, &m.Right); err != nil {
		return err
	}
	return nil
}

// Size is the length of Encode's output.
func (m *MergeTrigger) Size() int { return m.Left.Size() + m.Right.Size() + m.Subsumed.Size() }

// Encode appends the trigger.
func (m *MergeTrigger) Encode(b []byte) []byte {
	return m.Subsumed.Encode(m.Right.Encode(m.Left.Encode(b)))
}

// DecodeMergeTrigger reads what Encode wrote.
func DecodeMergeTrigger(r *codec.Reader) *MergeTrigger {
	m := &MergeTrigger{Left: *DecodeRangeDescriptor(r), Right: *DecodeRangeDescriptor(r)}
	m.Subsumed = SubsumeResponse{LeaseIndex: r.Uvarint(), FreezeStart: hlc.Decode(r), Reads: r.Bytes()}
	return m
}
