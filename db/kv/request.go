package kv

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
)

// Request is one operation of a batch. It is immutable.
type Request interface {
	Method() Method
	// Span is what the operation concerns: a point, or for scans a span.
	Span() keys.Span
	// Seq is the request's sequence number in its transaction, or 0.
	Seq() int32
	// Size is the length of Encode's output, which says nothing of the method, the
	// sequence and the lock that is asked for: see appendRequest.
	Size() int
	Encode(b []byte) []byte
}

// RequestHeader is what every request may have.
type RequestHeader struct {
	// Sequence is that of the write in its transaction, or, for a read, of the last
	// write that it sees. 0 without a transaction.
	Sequence int32
}

// Seq implements Request.
func (h *RequestHeader) Seq() int32 { return h.Sequence }

// Locking says what lock a read takes on what it finds. Only a transaction's does.
type Locking struct {
	Lock       LockStrength
	Durability LockDurability
}

// Concrete requests. All keys are addressable ones.
type (
	// GetRequest reads the newest version of a key at or below the batch's timestamp.
	GetRequest struct {
		RequestHeader
		Key keys.Key
		Locking
	}

	// PutRequest writes a version.
	PutRequest struct {
		RequestHeader
		Key   keys.Key
		Value []byte
	}

	// ConditionalPutRequest writes a version if the newest one is as expected, and
	// otherwise fails with ConditionFailed, which carries what was there.
	ConditionalPutRequest struct {
		RequestHeader
		Key            keys.Key
		Value          []byte
		Expected       []byte // if ExpectedExists
		ExpectedExists bool   // false: the key must have no value
	}

	// IncrementRequest adds to a value of eight bytes, highest first, two's
	// complement. A key without a value counts as 0. A value of another length, or
	// a sum that does not fit, is a BadRequest.
	IncrementRequest struct {
		RequestHeader
		Key keys.Key
		By  int64
	}

	// DeleteRequest writes a version without a value.
	DeleteRequest struct {
		RequestHeader
		Key keys.Key
	}

	// ScanRequest reads the keys in [Key, EndKey) upwards.
	ScanRequest struct {
		RequestHeader
		Key, EndKey keys.Key
		Locking
	}

	// ReverseScanRequest reads the keys in [Key, EndKey) downwards.
	ReverseScanRequest struct {
		RequestHeader
		Key, EndKey keys.Key
		Locking
	}

	// TransferLeaseRequest asks the leaseholder to hand its lease over. Key is any
	// key of the range.
	TransferLeaseRequest struct {
		RequestHeader
		Key    keys.Key
		Target StoreID
	}

	// RequestLeaseRequest asks the replica that receives it to acquire the lease of
	// the range that holds Key, if nobody has a valid one.
	RequestLeaseRequest struct {
		RequestHeader
		Key keys.Key
	}

	// AdminSplitRequest asks the leaseholder of the range that holds Key to divide it so
	// that a new range begins at SplitKey. It succeeds if a range begins there already.
	// Without a SplitKey the range is divided where it is most even.
	AdminSplitRequest struct {
		RequestHeader
		Key, SplitKey keys.Key
	}
)

// Method implements Request.
func (*GetRequest) Method() Method            { return Get }
func (*PutRequest) Method() Method            { return Put }
func (*ConditionalPutRequest) Method() Method { return ConditionalPut }
func (*IncrementRequest) Method() Method      { return Increment }
func (*DeleteRequest) Method() Method         { return Delete }
func (*ScanRequest) Method() Method           { return Scan }
func (*ReverseScanRequest) Method() Method    { return ReverseScan }
func (*TransferLeaseRequest) Method() Method  { return TransferLease }
func (*RequestLeaseRequest) Method() Method   { return RequestLease }
func (*AdminSplitRequest) Method() Method     { return AdminSplit }

// Span implements Request.
func (r *GetRequest) Span() keys.Span            { return keys.Span{Key: r.Key} }
func (r *PutRequest) Span() keys.Span            { return keys.Span{Key: r.Key} }
func (r *ConditionalPutRequest) Span() keys.Span { return keys.Span{Key: r.Key} }
func (r *IncrementRequest) Span() keys.Span      { return keys.Span{Key: r.Key} }
func (r *DeleteRequest) Span() keys.Span         { return keys.Span{Key: r.Key} }
func (r *ScanRequest) Span() keys.Span           { return keys.Span{Key: r.Key, EndKey: r.EndKey} }
func (r *ReverseScanRequest) Span() keys.Span    { return keys.Span{Key: r.Key, EndKey: r.EndKey} }
func (r *TransferLeaseRequest) Span() keys.Span  { return keys.Span{Key: r.Key} }
func (r *RequestLeaseRequest) Span() keys.Span   { return keys.Span{Key: r.Key} }
func (r *AdminSplitRequest) Span() keys.Span     { return keys.Span{Key: r.Key} }

// Size implements Request.
func (r *GetRequest) Size() int { return codec.SizeBytes(r.Key) }
func (r *PutRequest) Size() int { return codec.SizeBytes(r.Key) + codec.SizeBytes(r.Value) }
func (r *ConditionalPutRequest) Size() int {
	return codec.SizeBytes(r.Key) + codec.SizeBytes(r.Value) + codec.SizeBytes(r.Expected) + codec.SizeBool
}
func (r *IncrementRequest) Size() int   { return codec.SizeBytes(r.Key) + codec.SizeVarint(r.By) }
func (r *DeleteRequest) Size() int      { return codec.SizeBytes(r.Key) }
func (r *ScanRequest) Size() int        { return r.Span().Size() }
func (r *ReverseScanRequest) Size() int { return r.Span().Size() }
func (r *TransferLeaseRequest) Size() int {
	return codec.SizeBytes(r.Key) + codec.SizeVarint(int64(r.Target))
}
func (r *RequestLeaseRequest) Size() int { return codec.SizeBytes(r.Key) }
func (r *AdminSplitRequest) Size() int   { return sizeKeySpan(r.Key, r.SplitKey) }

// Encode implements Request.
func (r *GetRequest) Encode(b []byte) []byte { return codec.AppendBytes(b, r.Key) }
func (r *PutRequest) Encode(b []byte) []byte {
	return codec.AppendBytes(codec.AppendBytes(b, r.Key), r.Value)
}
func (r *ConditionalPutRequest) Encode(b []byte) []byte {
	b = codec.AppendBytes(codec.AppendBytes(b, r.Key), r.Value)
	return codec.AppendBool(codec.AppendBytes(b, r.Expected), r.ExpectedExists)
}
func (r *IncrementRequest) Encode(b []byte) []byte {
	return codec.AppendVarint(codec.AppendBytes(b, r.Key), r.By)
}
func (r *DeleteRequest) Encode(b []byte) []byte      { return codec.AppendBytes(b, r.Key) }
func (r *ScanRequest) Encode(b []byte) []byte        { return r.Span().Encode(b) }
func (r *ReverseScanRequest) Encode(b []byte) []byte { return r.Span().Encode(b) }
func (r *TransferLeaseRequest) Encode(b []byte) []byte {
	return codec.AppendVarint(codec.AppendBytes(b, r.Key), int64(r.Target))
}
func (r *RequestLeaseRequest) Encode(b []byte) []byte { return codec.AppendBytes(b, r.Key) }
func (r *AdminSplitRequest) Encode(b []byte) []byte   { return appendKeySpan(b, r.Key, r.SplitKey) }

// The first byte of a request is its method and these flags: what most requests do
// not have costs them nothing.
const (
	flagHasSequence = 0x80
	flagHasLock     = 0x40
	methodMask      = 0x3f
)

// Every method must leave room for the flags.
var _ [methodMask - numMethods]struct{}

func lockingOf(r Request) Locking {
	switch r := r.(type) {
	case *GetRequest:
		return r.Locking
	case *ScanRequest:
		return r.Locking
	case *ReverseScanRequest:
		return r.Locking
	}
	return Locking{}
}

// LockOf is what r locks, as a transaction's request: an intent for a write.
func LockOf(r Request) Locking {
	if r.Method().Intents() {
		return Locking{Lock: LockIntent, Durability: Replicated}
	}
	return lockingOf(r)
}

func sizeRequest(r Request) int {
	n := codec.SizeByte + r.Size()
	if seq := r.Seq(); seq != 0 {
		n += codec.SizeVarint(int64(seq))
	}
	if lockingOf(r) != (Locking{}) {
		n += codec.SizeByte
	}
	return n
}

func appendRequest(b []byte, r Request) []byte {
	at := len(b)
	b = append(b, byte(r.Method()))
	if seq := r.Seq(); seq != 0 {
		b[at] |= flagHasSequence
		b = codec.AppendVarint(b, int64(seq))
	}
	if l := lockingOf(r); l != (Locking{}) {
		b[at] |= flagHasLock
		b = append(b, byte(l.Lock)<<4|byte(l.Durability))
	}
	return r.Encode(b)
}

func decodeRequest(r *codec.Reader) Request {
	first := r.Byte()
	m := Method(first & methodMask)
	var h RequestHeader
	if first&flagHasSequence != 0 {
		if h.Sequence = r.Int32(); h.Sequence == 0 {
			r.Fail(codec.ErrNotCanonical)
		}
	}
	var lock Locking
	if first&flagHasLock != 0 {
		l := r.Byte()
		lock = Locking{LockStrength(l >> 4), LockDurability(l & 0xf)}
		if lock == (Locking{}) || lock.Lock > LockExclusive || lock.Durability >= numLockDurabilities ||
			m != Get && m != Scan && m != ReverseScan {
			r.Fail(codec.ErrNotCanonical)
		}
	}
	return decodeBody(m, h, lock, r)
}

// decodeBody reads what Encode wrote of a request of method m.
//
//house:flat one case a method
func decodeBody(m Method, h RequestHeader, lock Locking, r *codec.Reader) Request {
	switch m {
	case Get:
		return &GetRequest{RequestHeader: h, Key: r.Bytes(), Locking: lock}
	case Put:
		return &PutRequest{RequestHeader: h, Key: r.Bytes(), Value: r.Bytes()}
	case ConditionalPut:
		return &ConditionalPutRequest{RequestHeader: h, Key: r.Bytes(), Value: r.Bytes(), Expected: r.Bytes(), ExpectedExists: r.Bool()}
	case Increment:
		return &IncrementRequest{RequestHeader: h, Key: r.Bytes(), By: r.Varint()}
	case Delete:
		return &DeleteRequest{RequestHeader: h, Key: r.Bytes()}
	case Scan:
		return &ScanRequest{RequestHeader: h, Key: r.Bytes(), EndKey: r.Bytes(), Locking: lock}
	case ReverseScan:
		return &ReverseScanRequest{RequestHeader: h, Key: r.Bytes(), EndKey: r.Bytes(), Locking: lock}
	case TransferLease:
		return &TransferLeaseRequest{RequestHeader: h, Key: r.Bytes(), Target: StoreID(r.Int32())}
	case RequestLease:
		return &RequestLeaseRequest{RequestHeader: h, Key: r.Bytes()}
	case AdminSplit:
		return &AdminSplitRequest{RequestHeader: h, Key: r.Bytes(), SplitKey: r.Bytes()}
	case AdminChangeReplicas:
		return decodeChangeReplicas(h, r)
	case AdminMerge:
		return &AdminMergeRequest{RequestHeader: h, Key: r.Bytes()}
	case RangeStats:
		return &RangeStatsRequest{RequestHeader: h, Key: r.Bytes()}
	case Subsume:
		return &SubsumeRequest{RequestHeader: h, Right: *DecodeRangeDescriptor(r), Txn: DecodeTxnMeta(r)}
	}
	return decodeTxnBody(m, h, r)
}

// WithSpan is a request like r of another span.
func WithSpan(r Request, s keys.Span) Request {
	switch r := r.(type) {
	case *ScanRequest:
		c := *r
		c.Key, c.EndKey = s.Key, s.EndKey
		return &c
	case *ReverseScanRequest:
		c := *r
		c.Key, c.EndKey = s.Key, s.EndKey
		return &c
	case *DeleteRangeRequest:
		c := *r
		c.Key, c.EndKey = s.Key, s.EndKey
		return &c
	case *RefreshRangeRequest:
		c := *r
		c.Key, c.EndKey = s.Key, s.EndKey
		return &c
	case *ResolveIntentRangeRequest:
		c := *r
		c.Key, c.EndKey = s.Key, s.EndKey
		return &c
	}
	panic(fmt.Sprintf("kv: %s has no span to change", r.Method()))
}

// FormatRequest prints a request for reading, such as Put("a", "value").
func FormatRequest(r Request) string {
	switch r := r.(type) {
	case *PutRequest:
		return fmt.Sprintf("Put(%s, %q)", r.Key, r.Value)
	case *ConditionalPutRequest:
		if !r.ExpectedExists {
			return fmt.Sprintf("ConditionalPut(%s, %q, if absent)", r.Key, r.Value)
		}
		return fmt.Sprintf("ConditionalPut(%s, %q, if %q)", r.Key, r.Value, r.Expected)
	case *IncrementRequest:
		return fmt.Sprintf("Increment(%s, %+d)", r.Key, r.By)
	case *TransferLeaseRequest:
		return fmt.Sprintf("TransferLease(%s, s%d)", r.Key, r.Target)
	case *AdminSplitRequest:
		return fmt.Sprintf("AdminSplit(%s, at %s)", r.Key, r.SplitKey)
	case *AdminChangeReplicasRequest:
		return r.String()
	case *SubsumeRequest:
		return fmt.Sprintf("Subsume(%s, by %s)", &r.Right, FormatTxnID(r.Txn.ID))
	}
	if l := lockingOf(r); l != (Locking{}) {
		return fmt.Sprintf("%s(%s, %s %s)", r.Method(), r.Span(), l.Durability, l.Lock)
	}
	return formatTxnRequest(r)
}
