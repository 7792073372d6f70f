package kv

import (
	"simulacrum/db/codec"
	"simulacrum/db/hlc"
)

// The encodings of the requests of txnrequest.go.

func sizeKeySpan(key, end []byte) int { return codec.SizeBytes(key) + codec.SizeBytes(end) }

func appendKeySpan(b, key, end []byte) []byte {
	return codec.AppendBytes(codec.AppendBytes(b, key), end)
}

// Size implements Request.
func (r *InitPutRequest) Size() int      { return codec.SizeBytes(r.Key) + codec.SizeBytes(r.Value) }
func (r *DeleteRangeRequest) Size() int  { return sizeKeySpan(r.Key, r.EndKey) }
func (r *RefreshRequest) Size() int      { return codec.SizeBytes(r.Key) + r.RefreshFrom.Size() }
func (r *RefreshRangeRequest) Size() int { return sizeKeySpan(r.Key, r.EndKey) + r.RefreshFrom.Size() }
func (r *QueryIntentRequest) Size() int {
	return codec.SizeBytes(r.Key) + r.Txn.Size() + codec.SizeBool
}
func (r *QueryTxnRequest) Size() int {
	return codec.SizeBytes(r.Key) + r.Txn.Size() + codec.SizeBool + sizeTxnIDs(r.KnownWaiting)
}
func (r *PushTxnRequest) Size() int {
	return codec.SizeBytes(r.Key) + r.Pusher.Size() + r.Pushee.Size() + r.PushTo.Size() + codec.SizeByte + 2*codec.SizeBool
}
func (r *RecoverTxnRequest) Size() int {
	return codec.SizeBytes(r.Key) + r.Txn.Size() + codec.SizeBool
}
func (r *HeartbeatTxnRequest) Size() int { return codec.SizeBytes(r.Key) + r.Now.Size() }
func (r *EndTxnRequest) Size() int {
	return codec.SizeBytes(r.Key) + r.Deadline.Size() + sizeWrites(r.InFlight) + sizeSpans(r.LockSpans) + 2*codec.SizeBool + codec.SizeByte + r.Trigger.Size()
}
func (r *ResolveIntentRequest) Size() int {
	return codec.SizeBytes(r.Key) + sizeResolve(&r.Txn, r.IgnoredSeqs, r.ClockObservation)
}
func (r *ResolveIntentRangeRequest) Size() int {
	return sizeKeySpan(r.Key, r.EndKey) + sizeResolve(&r.Txn, r.IgnoredSeqs, r.ClockObservation)
}
func (r *GCRequest) Size() int {
	n := sizeKeySpan(r.Key, r.EndKey) + r.Threshold.Size() + codec.SizeUvarint(uint64(len(r.Keys)))
	for _, k := range r.Keys {
		n += codec.SizeBytes(k.Key) + k.Timestamp.Size()
	}
	return n
}

// Encode implements Request.
func (r *InitPutRequest) Encode(b []byte) []byte {
	return codec.AppendBytes(codec.AppendBytes(b, r.Key), r.Value)
}
func (r *DeleteRangeRequest) Encode(b []byte) []byte { return appendKeySpan(b, r.Key, r.EndKey) }
func (r *RefreshRequest) Encode(b []byte) []byte {
	return r.RefreshFrom.Encode(codec.AppendBytes(b, r.Key))
}
func (r *RefreshRangeRequest) Encode(b []byte) []byte {
	return r.RefreshFrom.Encode(appendKeySpan(b, r.Key, r.EndKey))
}
func (r *QueryIntentRequest) Encode(b []byte) []byte {
	return codec.AppendBool(r.Txn.Encode(codec.AppendBytes(b, r.Key)), r.ErrorIfMissing)
}
func (r *QueryTxnRequest) Encode(b []byte) []byte {
	b = codec.AppendBool(r.Txn.Encode(codec.AppendBytes(b, r.Key)), r.WaitForUpdate)
	return appendTxnIDs(b, r.KnownWaiting)
}
func (r *PushTxnRequest) Encode(b []byte) []byte {
	b = r.Pushee.Encode(r.Pusher.Encode(codec.AppendBytes(b, r.Key)))
	b = append(r.PushTo.Encode(b), byte(r.Type))
	return codec.AppendBool(codec.AppendBool(b, r.Force), r.PusherIsActive)
}
func (r *RecoverTxnRequest) Encode(b []byte) []byte {
	return codec.AppendBool(r.Txn.Encode(codec.AppendBytes(b, r.Key)), r.ImplicitlyCommitted)
}
func (r *HeartbeatTxnRequest) Encode(b []byte) []byte {
	return r.Now.Encode(codec.AppendBytes(b, r.Key))
}
func (r *EndTxnRequest) Encode(b []byte) []byte {
	b = codec.AppendBool(codec.AppendBytes(b, r.Key), r.Commit)
	b = appendSpans(appendWrites(r.Deadline.Encode(b), r.InFlight), r.LockSpans)
	b = codec.AppendBool(b, r.Poison)
	var flags byte
	if r.Prevent1PC {
		flags |= endPrevent1PC
	}
	if r.Trigger == nil {
		return append(b, flags)
	}
	return r.Trigger.Encode(append(b, flags|endTrigger))
}
func (r *ResolveIntentRequest) Encode(b []byte) []byte {
	return appendResolve(codec.AppendBytes(b, r.Key), &r.Txn, r.Status, r.IgnoredSeqs, r.Poison, r.ClockObservation)
}
func (r *ResolveIntentRangeRequest) Encode(b []byte) []byte {
	return appendResolve(appendKeySpan(b, r.Key, r.EndKey), &r.Txn, r.Status, r.IgnoredSeqs, r.Poison, r.ClockObservation)
}
func (r *GCRequest) Encode(b []byte) []byte {
	b = r.Threshold.Encode(appendKeySpan(b, r.Key, r.EndKey))
	b = codec.AppendUvarint(b, uint64(len(r.Keys)))
	for _, k := range r.Keys {
		b = k.Timestamp.Encode(codec.AppendBytes(b, k.Key))
	}
	return b
}

func sizeResolve(m *TxnMeta, ignored []SeqRange, o ObservedTimestamp) int {
	return m.Size() + codec.SizeByte + sizeSeqs(ignored) + codec.SizeBool + sizeObserved(o)
}

func appendResolve(b []byte, m *TxnMeta, s TxnStatus, ignored []SeqRange, poison bool, o ObservedTimestamp) []byte {
	b = appendSeqs(append(m.Encode(b), byte(s)), ignored)
	return appendObserved(codec.AppendBool(b, poison), o)
}

// Flags of an EndTxn: most have none.
const (
	endPrevent1PC byte = 1 << iota
	endTrigger
	endFlags
)

func decodeEndTxn(h RequestHeader, r *codec.Reader) *EndTxnRequest {
	et := &EndTxnRequest{RequestHeader: h, Key: r.Bytes(), Commit: r.Bool(), Deadline: hlc.Decode(r),
		InFlight: decodeWrites(r), LockSpans: decodeSpans(r), Poison: r.Bool()}
	flags := decodeEnum(r, endFlags)
	et.Prevent1PC = flags&endPrevent1PC != 0
	if flags&endTrigger != 0 {
		et.Trigger = DecodeCommitTrigger(r)
	}
	return et
}

// minGCKeySize is the least that a GCKey takes.
const minGCKeySize = 3

func decodeGCKeys(r *codec.Reader) []GCKey {
	n := r.Count(-1, minGCKeySize)
	if n == 0 {
		return nil
	}
	all := make([]GCKey, n)
	for i := range all {
		all[i] = GCKey{r.Bytes(), hlc.Decode(r)}
	}
	return all
}

// decodeTxnBody is decodeBody for the methods of transactions.
//
//house:flat one case a method
func decodeTxnBody(m Method, h RequestHeader, r *codec.Reader) Request {
	switch m {
	case InitPut:
		return &InitPutRequest{RequestHeader: h, Key: r.Bytes(), Value: r.Bytes()}
	case DeleteRange:
		return &DeleteRangeRequest{RequestHeader: h, Key: r.Bytes(), EndKey: r.Bytes()}
	case Refresh:
		return &RefreshRequest{RequestHeader: h, Key: r.Bytes(), RefreshFrom: hlc.Decode(r)}
	case RefreshRange:
		return &RefreshRangeRequest{RequestHeader: h, Key: r.Bytes(), EndKey: r.Bytes(), RefreshFrom: hlc.Decode(r)}
	case QueryIntent:
		return &QueryIntentRequest{RequestHeader: h, Key: r.Bytes(), Txn: DecodeTxnMeta(r), ErrorIfMissing: r.Bool()}
	case QueryTxn:
		return &QueryTxnRequest{RequestHeader: h, Key: r.Bytes(), Txn: DecodeTxnMeta(r), WaitForUpdate: r.Bool(), KnownWaiting: decodeTxnIDs(r)}
	case PushTxn:
		return &PushTxnRequest{RequestHeader: h, Key: r.Bytes(), Pusher: DecodeTxnMeta(r), Pushee: DecodeTxnMeta(r), PushTo: hlc.Decode(r),
			Type: PushType(decodeEnum(r, byte(numPushTypes))), Force: r.Bool(), PusherIsActive: r.Bool()}
	case RecoverTxn:
		return &RecoverTxnRequest{RequestHeader: h, Key: r.Bytes(), Txn: DecodeTxnMeta(r), ImplicitlyCommitted: r.Bool()}
	case HeartbeatTxn:
		return &HeartbeatTxnRequest{RequestHeader: h, Key: r.Bytes(), Now: hlc.Decode(r)}
	case EndTxn:
		return decodeEndTxn(h, r)
	case ResolveIntent:
		return &ResolveIntentRequest{RequestHeader: h, Key: r.Bytes(), Txn: DecodeTxnMeta(r), Status: decodeTxnStatus(r),
			IgnoredSeqs: decodeSeqs(r), Poison: r.Bool(), ClockObservation: decodeObserved(r)}
	case ResolveIntentRange:
		return &ResolveIntentRangeRequest{RequestHeader: h, Key: r.Bytes(), EndKey: r.Bytes(), Txn: DecodeTxnMeta(r), Status: decodeTxnStatus(r),
			IgnoredSeqs: decodeSeqs(r), Poison: r.Bool(), ClockObservation: decodeObserved(r)}
	case GC:
		return &GCRequest{RequestHeader: h, Key: r.Bytes(), EndKey: r.Bytes(), Threshold: hlc.Decode(r), Keys: decodeGCKeys(r)}
	}
	r.Failf("kv: unknown method %d", m)
	return nil
}
