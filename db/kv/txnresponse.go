package kv

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// Responses to the requests of transactions. What has become of the transaction that
// asked is not here but in the batch's response.
type (
	// InitPutResponse says that the key has the value.
	InitPutResponse struct{}

	// DeleteRangeResponse tells how many values there were. If a limit cut the request
	// short, Resume is the span that is left; otherwise its EndKey is nil.
	DeleteRangeResponse struct {
		Count  int64
		Resume keys.Span
	}

	// RefreshResponse says that nothing has changed.
	RefreshResponse struct{}

	// RefreshRangeResponse says that nothing has changed.
	RefreshRangeResponse struct{}

	// QueryIntentResponse tells whether the intent exists.
	QueryIntentResponse struct{ Found bool }

	// QueryTxnResponse carries the record and who waits for it.
	QueryTxnResponse struct {
		Exists  bool // false: Txn is what can be known without a record
		Txn     Txn
		Waiting []TxnID
	}

	// PushTxnResponse carries the pushee as it is after the push.
	PushTxnResponse struct{ Pushee Txn }

	// RecoverTxnResponse carries the transaction as it is now, which need not be as the
	// request wanted it.
	RecoverTxnResponse struct{ Recovered Txn }

	// HeartbeatTxnResponse says that the record was found or created.
	HeartbeatTxnResponse struct{}

	// EndTxnResponse says that the transaction ended, or that it is staged: see the
	// status in the batch's response.
	EndTxnResponse struct {
		OnePhase  bool          // committed without intents and record
		StagingTS hlc.Timestamp // staged at; zero: not staged
	}

	// ResolveIntentResponse says that it was done, or that there was nothing to do.
	ResolveIntentResponse struct{}

	// ResolveIntentRangeResponse tells how many locks there were. Resume: see
	// DeleteRangeResponse.
	ResolveIntentRangeResponse struct {
		Count  int64
		Resume keys.Span
	}

	// GCResponse says that it was done.
	GCResponse struct{}
)

// Method implements Response.
func (*InitPutResponse) Method() Method            { return InitPut }
func (*DeleteRangeResponse) Method() Method        { return DeleteRange }
func (*RefreshResponse) Method() Method            { return Refresh }
func (*RefreshRangeResponse) Method() Method       { return RefreshRange }
func (*QueryIntentResponse) Method() Method        { return QueryIntent }
func (*QueryTxnResponse) Method() Method           { return QueryTxn }
func (*PushTxnResponse) Method() Method            { return PushTxn }
func (*RecoverTxnResponse) Method() Method         { return RecoverTxn }
func (*HeartbeatTxnResponse) Method() Method       { return HeartbeatTxn }
func (*EndTxnResponse) Method() Method             { return EndTxn }
func (*ResolveIntentResponse) Method() Method      { return ResolveIntent }
func (*ResolveIntentRangeResponse) Method() Method { return ResolveIntentRange }
func (*GCResponse) Method() Method                 { return GC }

// Size implements Response.
func (*InitPutResponse) Size() int       { return 0 }
func (r *DeleteRangeResponse) Size() int { return codec.SizeVarint(r.Count) + r.Resume.Size() }
func (*RefreshResponse) Size() int       { return 0 }
func (*RefreshRangeResponse) Size() int  { return 0 }
func (*QueryIntentResponse) Size() int   { return codec.SizeBool }
func (r *QueryTxnResponse) Size() int {
	return codec.SizeBool + r.Txn.Size() + sizeTxnIDs(r.Waiting)
}
func (r *PushTxnResponse) Size() int            { return r.Pushee.Size() }
func (r *RecoverTxnResponse) Size() int         { return r.Recovered.Size() }
func (*HeartbeatTxnResponse) Size() int         { return 0 }
func (r *EndTxnResponse) Size() int             { return codec.SizeBool + r.StagingTS.Size() }
func (*ResolveIntentResponse) Size() int        { return 0 }
func (r *ResolveIntentRangeResponse) Size() int { return codec.SizeVarint(r.Count) + r.Resume.Size() }
func (*GCResponse) Size() int                   { return 0 }

// Encode implements Response.
func (*InitPutResponse) Encode(b []byte) []byte { return b }
func (r *DeleteRangeResponse) Encode(b []byte) []byte {
	return r.Resume.Encode(codec.AppendVarint(b, r.Count))
}
func (*RefreshResponse) Encode(b []byte) []byte       { return b }
func (*RefreshRangeResponse) Encode(b []byte) []byte  { return b }
func (r *QueryIntentResponse) Encode(b []byte) []byte { return codec.AppendBool(b, r.Found) }
func (r *QueryTxnResponse) Encode(b []byte) []byte {
	return appendTxnIDs(r.Txn.Encode(codec.AppendBool(b, r.Exists)), r.Waiting)
}
func (r *PushTxnResponse) Encode(b []byte) []byte    { return r.Pushee.Encode(b) }
func (r *RecoverTxnResponse) Encode(b []byte) []byte { return r.Recovered.Encode(b) }
func (*HeartbeatTxnResponse) Encode(b []byte) []byte { return b }
func (r *EndTxnResponse) Encode(b []byte) []byte {
	return r.StagingTS.Encode(codec.AppendBool(b, r.OnePhase))
}
func (*ResolveIntentResponse) Encode(b []byte) []byte { return b }
func (r *ResolveIntentRangeResponse) Encode(b []byte) []byte {
	return r.Resume.Encode(codec.AppendVarint(b, r.Count))
}
func (*GCResponse) Encode(b []byte) []byte { return b }

// decodeTxnResponse is decodeResponse for the methods of transactions.
//
//house:flat one case a method
func decodeTxnResponse(m Method, r *codec.Reader) Response {
	switch m {
	case InitPut:
		return &InitPutResponse{}
	case DeleteRange:
		return &DeleteRangeResponse{Count: r.Varint(), Resume: keys.DecodeSpan(r)}
	case Refresh:
		return &RefreshResponse{}
	case RefreshRange:
		return &RefreshRangeResponse{}
	case QueryIntent:
		return &QueryIntentResponse{Found: r.Bool()}
	case QueryTxn:
		return &QueryTxnResponse{Exists: r.Bool(), Txn: *DecodeTxn(r), Waiting: decodeTxnIDs(r)}
	case PushTxn:
		return &PushTxnResponse{Pushee: *DecodeTxn(r)}
	case RecoverTxn:
		return &RecoverTxnResponse{Recovered: *DecodeTxn(r)}
	case HeartbeatTxn:
		return &HeartbeatTxnResponse{}
	case EndTxn:
		return &EndTxnResponse{OnePhase: r.Bool(), StagingTS: hlc.Decode(r)}
	case ResolveIntent:
		return &ResolveIntentResponse{}
	case ResolveIntentRange:
		return &ResolveIntentRangeResponse{Count: r.Varint(), Resume: keys.DecodeSpan(r)}
	case GC:
		return &GCResponse{}
	}
	r.Failf("kv: unknown method %d", m)
	return nil
}

func formatTxnResponse(r Response) string {
	switch r := r.(type) {
	case *DeleteRangeResponse:
		return fmt.Sprintf("DeleteRange = %d", r.Count)
	case *QueryIntentResponse:
		return fmt.Sprintf("QueryIntent found %t", r.Found)
	case *PushTxnResponse:
		return fmt.Sprintf("PushTxn = %s", r.Pushee.Status)
	case *RecoverTxnResponse:
		return fmt.Sprintf("RecoverTxn = %s", r.Recovered.Status)
	case *QueryTxnResponse:
		return fmt.Sprintf("QueryTxn = %s, %d wait", r.Txn.Status, len(r.Waiting))
	case *EndTxnResponse:
		if r.OnePhase {
			return "EndTxn done in one phase"
		}
		if !r.StagingTS.IsEmpty() {
			return "EndTxn staged at " + r.StagingTS.String()
		}
	}
	return r.Method().String() + " done"
}

// ResumeOf is the span that a limit left of the request that r answers; its EndKey is
// nil if the request was done whole.
func ResumeOf(r Response) keys.Span {
	switch r := r.(type) {
	case *ScanResponse:
		return r.Resume
	case *ReverseScanResponse:
		return r.Resume
	case *DeleteRangeResponse:
		return r.Resume
	case *ResolveIntentRangeResponse:
		return r.Resume
	}
	return keys.Span{}
}
