package kv

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// Response is the answer to the Request at the same place in the batch.
type Response interface {
	Method() Method
	Size() int
	Encode(b []byte) []byte
}

// KeyValue is one row of a scan: a key, its value, and when that was written.
type KeyValue struct {
	Key       keys.Key
	Value     []byte
	Timestamp hlc.Timestamp
}

// Concrete responses.
type (
	// GetResponse carries the value and the timestamp of its version. If there is no
	// value, Timestamp is that of the deletion, or zero if there was never one.
	GetResponse struct {
		Value     []byte
		Exists    bool
		Timestamp hlc.Timestamp
	}

	// PutResponse says that the version was written, at the batch's timestamp.
	PutResponse struct{}

	// ConditionalPutResponse says that the condition held and the version was written.
	ConditionalPutResponse struct{}

	// IncrementResponse carries the sum.
	IncrementResponse struct{ Value int64 }

	// DeleteResponse tells whether there was a value.
	DeleteResponse struct{ Existed bool }

	// ScanResponse carries rows in ascending order. If a limit cut the scan short,
	// Resume is the span that is left; otherwise its EndKey is nil.
	ScanResponse struct {
		Rows   []KeyValue
		Resume keys.Span
	}

	// ReverseScanResponse carries rows in descending order, and the lower part of
	// the span in Resume if a limit cut the scan short.
	ReverseScanResponse struct {
		Rows   []KeyValue
		Resume keys.Span
	}

	// TransferLeaseResponse says that the target holds the lease that is carried.
	TransferLeaseResponse struct{ Lease Lease }

	// RequestLeaseResponse carries the lease that is in force.
	RequestLeaseResponse struct{ Lease Lease }

	// AdminSplitResponse says that a range begins at the key.
	AdminSplitResponse struct{ SplitKey keys.Key }
)

// Method implements Response.
func (*GetResponse) Method() Method            { return Get }
func (*PutResponse) Method() Method            { return Put }
func (*ConditionalPutResponse) Method() Method { return ConditionalPut }
func (*IncrementResponse) Method() Method      { return Increment }
func (*DeleteResponse) Method() Method         { return Delete }
func (*ScanResponse) Method() Method           { return Scan }
func (*ReverseScanResponse) Method() Method    { return ReverseScan }
func (*TransferLeaseResponse) Method() Method  { return TransferLease }
func (*RequestLeaseResponse) Method() Method   { return RequestLease }
func (*AdminSplitResponse) Method() Method     { return AdminSplit }

// Size is the length of Encode's output.
func (kv *KeyValue) Size() int {
	return codec.SizeBytes(kv.Key) + codec.SizeBytes(kv.Value) + kv.Timestamp.Size()
}

// minKeyValueSize is the least that a row takes.
const minKeyValueSize = 4

// Encode appends the row.
func (kv *KeyValue) Encode(b []byte) []byte {
	return kv.Timestamp.Encode(codec.AppendBytes(codec.AppendBytes(b, kv.Key), kv.Value))
}

func decodeKeyValue(r *codec.Reader) KeyValue {
	return KeyValue{Key: r.Bytes(), Value: r.Bytes(), Timestamp: hlc.Decode(r)}
}

func sizeRows(rows []KeyValue) int {
	n := codec.SizeUvarint(uint64(len(rows)))
	for i := range rows {
		n += rows[i].Size()
	}
	return n
}

func appendRows(b []byte, rows []KeyValue) []byte {
	b = codec.AppendUvarint(b, uint64(len(rows)))
	for i := range rows {
		b = rows[i].Encode(b)
	}
	return b
}

func decodeRows(r *codec.Reader) []KeyValue {
	n := r.Count(-1, minKeyValueSize)
	if n == 0 {
		return nil
	}
	rows := make([]KeyValue, n)
	for i := range rows {
		rows[i] = decodeKeyValue(r)
	}
	return rows
}

// Size implements Response.
func (r *GetResponse) Size() int {
	return codec.SizeBytes(r.Value) + codec.SizeBool + r.Timestamp.Size()
}
func (*PutResponse) Size() int             { return 0 }
func (*ConditionalPutResponse) Size() int  { return 0 }
func (r *IncrementResponse) Size() int     { return codec.SizeVarint(r.Value) }
func (*DeleteResponse) Size() int          { return codec.SizeBool }
func (r *ScanResponse) Size() int          { return sizeRows(r.Rows) + r.Resume.Size() }
func (r *ReverseScanResponse) Size() int   { return sizeRows(r.Rows) + r.Resume.Size() }
func (r *TransferLeaseResponse) Size() int { return r.Lease.Size() }
func (r *RequestLeaseResponse) Size() int  { return r.Lease.Size() }
func (r *AdminSplitResponse) Size() int    { return codec.SizeBytes(r.SplitKey) }

// Encode implements Response.
func (r *GetResponse) Encode(b []byte) []byte {
	return r.Timestamp.Encode(codec.AppendBool(codec.AppendBytes(b, r.Value), r.Exists))
}
func (*PutResponse) Encode(b []byte) []byte            { return b }
func (*ConditionalPutResponse) Encode(b []byte) []byte { return b }
func (r *IncrementResponse) Encode(b []byte) []byte    { return codec.AppendVarint(b, r.Value) }
func (r *DeleteResponse) Encode(b []byte) []byte       { return codec.AppendBool(b, r.Existed) }
func (r *ScanResponse) Encode(b []byte) []byte {
	return r.Resume.Encode(appendRows(b, r.Rows))
}
func (r *ReverseScanResponse) Encode(b []byte) []byte {
	return r.Resume.Encode(appendRows(b, r.Rows))
}
func (r *TransferLeaseResponse) Encode(b []byte) []byte { return r.Lease.Encode(b) }
func (r *RequestLeaseResponse) Encode(b []byte) []byte  { return r.Lease.Encode(b) }
func (r *AdminSplitResponse) Encode(b []byte) []byte    { return codec.AppendBytes(b, r.SplitKey) }

// decodeResponse reads what Encode wrote of a response of method m.
func decodeResponse(m Method, r *codec.Reader) Response {
	switch m {
	case Get:
		return &GetResponse{Value: r.Bytes(), Exists: r.Bool(), Timestamp: hlc.Decode(r)}
	case Put:
		return &PutResponse{}
	case ConditionalPut:
		return &ConditionalPutResponse{}
	case Increment:
		return &IncrementResponse{Value: r.Varint()}
	case Delete:
		return &DeleteResponse{Existed: r.Bool()}
	case Scan:
		return &ScanResponse{Rows: decodeRows(r), Resume: keys.DecodeSpan(r)}
	case ReverseScan:
		return &ReverseScanResponse{Rows: decodeRows(r), Resume: keys.DecodeSpan(r)}
	case TransferLease:
		return &TransferLeaseResponse{Lease: DecodeLease(r)}
	case RequestLease:
		return &RequestLeaseResponse{Lease: DecodeLease(r)}
	case AdminSplit:
		return &AdminSplitResponse{SplitKey: r.Bytes()}
	case AdminChangeReplicas:
		return &AdminChangeReplicasResponse{Desc: *DecodeRangeDescriptor(r)}
	case AdminMerge:
		return &AdminMergeResponse{Desc: *DecodeRangeDescriptor(r)}
	case RangeStats:
		return &RangeStatsResponse{Desc: *DecodeRangeDescriptor(r), Bytes: r.Varint(), Requests: r.Varint()}
	case Subsume:
		return &SubsumeResponse{LeaseIndex: r.Uvarint(), FreezeStart: hlc.Decode(r), Reads: r.Bytes()}
	}
	return decodeTxnResponse(m, r)
}

// FormatResponse prints a response for reading, such as Get = "value".
func FormatResponse(r Response) string {
	switch r := r.(type) {
	case *GetResponse:
		if !r.Exists {
			return "Get = nothing"
		}
		return fmt.Sprintf("Get = %q", r.Value)
	case *IncrementResponse:
		return fmt.Sprintf("Increment = %d", r.Value)
	case *ScanResponse:
		return fmt.Sprintf("Scan = %d rows", len(r.Rows))
	case *ReverseScanResponse:
		return fmt.Sprintf("ReverseScan = %d rows", len(r.Rows))
	}
	return formatTxnResponse(r)
}
