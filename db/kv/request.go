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
	// Size is the length of Encode's output, which says nothing of the method.
	Size() int
	Encode(b []byte) []byte
}

// Concrete requests. All keys are addressable ones.
type (
	// GetRequest reads the newest version of a key at or below the batch's timestamp.
	GetRequest struct{ Key keys.Key }

	// PutRequest writes a version.
	PutRequest struct {
		Key   keys.Key
		Value []byte
	}

	// ConditionalPutRequest writes a version if the newest one is as expected, and
	// otherwise fails with ConditionFailed, which carries what was there.
	ConditionalPutRequest struct {
		Key            keys.Key
		Value          []byte
		Expected       []byte // if ExpectedExists
		ExpectedExists bool   // false: the key must have no value
	}

	// IncrementRequest adds to a value of eight bytes, highest first, two's
	// complement. A key without a value counts as 0. A value of another length, or
	// a sum that does not fit, is a BadRequest.
	IncrementRequest struct {
		Key keys.Key
		By  int64
	}

	// DeleteRequest writes a version without a value.
	DeleteRequest struct{ Key keys.Key }

	// ScanRequest reads the keys in [Key, EndKey) upwards.
	ScanRequest struct{ Key, EndKey keys.Key }

	// ReverseScanRequest reads the keys in [Key, EndKey) downwards.
	ReverseScanRequest struct{ Key, EndKey keys.Key }

	// TransferLeaseRequest asks the leaseholder to hand its lease over. Key is any
	// key of the range.
	TransferLeaseRequest struct {
		Key    keys.Key
		Target StoreID
	}

	// RequestLeaseRequest asks the replica that receives it to acquire the lease of
	// the range that holds Key, if nobody has a valid one.
	RequestLeaseRequest struct{ Key keys.Key }
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

// decodeRequest reads what Encode wrote of a request of method m.
func decodeRequest(m Method, r *codec.Reader) Request {
	switch m {
	case Get:
		return &GetRequest{Key: r.Bytes()}
	case Put:
		return &PutRequest{Key: r.Bytes(), Value: r.Bytes()}
	case ConditionalPut:
		return &ConditionalPutRequest{Key: r.Bytes(), Value: r.Bytes(), Expected: r.Bytes(), ExpectedExists: r.Bool()}
	case Increment:
		return &IncrementRequest{Key: r.Bytes(), By: r.Varint()}
	case Delete:
		return &DeleteRequest{Key: r.Bytes()}
	case Scan:
		return &ScanRequest{Key: r.Bytes(), EndKey: r.Bytes()}
	case ReverseScan:
		return &ReverseScanRequest{Key: r.Bytes(), EndKey: r.Bytes()}
	case TransferLease:
		return &TransferLeaseRequest{Key: r.Bytes(), Target: StoreID(r.Int32())}
	case RequestLease:
		return &RequestLeaseRequest{Key: r.Bytes()}
	}
	r.Failf("kv: unknown method %d", m)
	return nil
}

// WithSpan is a scan like r of another span.
func WithSpan(r Request, s keys.Span) Request {
	switch r.(type) {
	case *ScanRequest:
		return &ScanRequest{Key: s.Key, EndKey: s.EndKey}
	case *ReverseScanRequest:
		return &ReverseScanRequest{Key: s.Key, EndKey: s.EndKey}
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
	}
	return fmt.Sprintf("%s(%s)", r.Method(), r.Span())
}
