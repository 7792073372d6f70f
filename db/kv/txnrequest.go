package kv

import (
	"fmt"
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// PushType says what a push wants of the pushee.
type PushType uint8

// The types of push.
const (
	PushTimestamp PushType = iota // that it commits above PushTo, if at all
	PushAbort                     // that it be aborted
	PushTouch                     // nothing, but to learn whether it is over or abandoned
	numPushTypes
)

var pushTypeNames = [numPushTypes]string{"timestamp", "abort", "touch"}

// String is the type's name.
func (t PushType) String() string {
	if t < numPushTypes {
		return pushTypeNames[t]
	}
	return "unknown push"
}

// GCKey names what of one key is garbage: the versions that nobody sees who reads above
// Timestamp, which must not exceed the range's threshold. For the record of a
// transaction (keys.TxnRecordKey), and for a note in the range's abort span
// (keys.AbortSpanKey), Timestamp is zero: the record, or note, itself. A record must be
// final, and without locks anywhere.
type GCKey struct {
	Key       keys.Key
	Timestamp hlc.Timestamp
}

// Requests of transactions and about them. Key is the anchor of the transaction in
// those that concern its record.
type (
	// InitPutRequest writes a version if the key has no value, or the same one, and
	// fails with ConditionFailed if it has another. It writes the same value too: a
	// pipelined one could not be proven otherwise.
	InitPutRequest struct {
		RequestHeader
		Key   keys.Key
		Value []byte
	}

	// DeleteRangeRequest writes a version without a value at each key of [Key, EndKey)
	// that has one.
	DeleteRangeRequest struct {
		RequestHeader
		Key, EndKey keys.Key
	}

	// RefreshRequest asks whether the key is the same at the transaction's read
	// timestamp as it was at RefreshFrom: no version of others in (RefreshFrom, read
	// timestamp] and no intent of others at or below it. Otherwise it fails with
	// TransactionRetry. It counts as a read at the read timestamp.
	RefreshRequest struct {
		RequestHeader
		Key         keys.Key
		RefreshFrom hlc.Timestamp
	}

	// RefreshRangeRequest is RefreshRequest for all keys of [Key, EndKey).
	RefreshRangeRequest struct {
		RequestHeader
		Key, EndKey keys.Key
		RefreshFrom hlc.Timestamp
	}

	// QueryIntentRequest asks whether the intent of Txn at Key exists, at its epoch,
	// at its Sequence or above, and with a timestamp at or below its WriteTS. If it
	// does not, it never will: the request counts as a read at WriteTS by nobody. To the
	// transaction itself an intent that was moved above WriteTS counts as found, and
	// the answer moves the transaction up as well.
	QueryIntentRequest struct {
		RequestHeader
		Key            keys.Key
		Txn            TxnMeta
		ErrorIfMissing bool // fail with IntentMissing
	}

	// QueryTxnRequest reads a transaction's record, as it is or, with WaitForUpdate,
	// once its status, priority or waiters differ from what is said here.
	QueryTxnRequest struct {
		RequestHeader
		Key           keys.Key
		Txn           TxnMeta
		WaitForUpdate bool
		KnownWaiting  []TxnID
	}

	// PushTxnRequest asks that Pushee get out of Pusher's way, which waits until it is
	// so, or fails with TransactionPush.
	PushTxnRequest struct {
		RequestHeader
		Key            keys.Key
		Pusher         TxnMeta // of a zero ID: somebody without a transaction
		Pushee         TxnMeta
		PushTo         hlc.Timestamp // PushTimestamp: must commit above or at this
		Type           PushType
		Force          bool // whatever the priorities
		PusherIsActive bool // the pusher waits for its own record's fate, too
	}

	// RecoverTxnRequest ends a transaction that is Staging: as Committed if all its
	// writes in flight were found, and otherwise as Aborted, unless it has moved on
	// since it was as Txn says.
	RecoverTxnRequest struct {
		RequestHeader
		Key                 keys.Key
		Txn                 TxnMeta
		ImplicitlyCommitted bool
	}

	// HeartbeatTxnRequest says that the coordinator was alive at Now. It creates the
	// record if there is none, and if that is still allowed.
	HeartbeatTxnRequest struct {
		RequestHeader
		Key keys.Key
		Now hlc.Timestamp
	}

	// EndTxnRequest commits the transaction, or rolls it back. With InFlight it
	// commits by staging: the writes listed must be proven by the same batch.
	EndTxnRequest struct {
		RequestHeader
		Key       keys.Key
		Commit    bool
		Deadline  hlc.Timestamp // the commit timestamp must lie below; zero: no deadline
		InFlight  []SequencedWrite
		LockSpans []keys.Span // all that may be locked, for whoever resolves it
		// Poison: leave notes for requests of the transaction that may still come.
		Poison bool
		// Prevent1PC: write intents and a record even where one phase would do.
		Prevent1PC bool
		// Trigger is what the commit does to the range beside its data; nil: nothing. A
		// commit that has one is neither staged nor made in one phase.
		Trigger *CommitTrigger
	}

	// ResolveIntentRequest does at Key what has become of its lock's transaction.
	ResolveIntentRequest struct {
		RequestHeader
		Key              keys.Key
		Txn              TxnMeta
		Status           TxnStatus
		IgnoredSeqs      []SeqRange
		Poison           bool // leave a note in the abort span
		ClockObservation ObservedTimestamp
	}

	// ResolveIntentRangeRequest is ResolveIntentRequest for all keys of [Key, EndKey).
	ResolveIntentRangeRequest struct {
		RequestHeader
		Key, EndKey      keys.Key
		Txn              TxnMeta
		Status           TxnStatus
		IgnoredSeqs      []SeqRange
		Poison           bool
		ClockObservation ObservedTimestamp
	}

	// GCRequest raises the threshold of a range below which it is not read, and
	// deletes what nobody above the threshold sees. [Key, EndKey) is what of the
	// range is concerned; a point stands for its range. A threshold that is raised binds
	// requests after this one: Keys were chosen by one that stood before.
	GCRequest struct {
		RequestHeader
		Key, EndKey keys.Key
		Threshold   hlc.Timestamp // zero: stays
		Keys        []GCKey
	}
)

// Method implements Request.
func (*InitPutRequest) Method() Method            { return InitPut }
func (*DeleteRangeRequest) Method() Method        { return DeleteRange }
func (*RefreshRequest) Method() Method            { return Refresh }
func (*RefreshRangeRequest) Method() Method       { return RefreshRange }
func (*QueryIntentRequest) Method() Method        { return QueryIntent }
func (*QueryTxnRequest) Method() Method           { return QueryTxn }
func (*PushTxnRequest) Method() Method            { return PushTxn }
func (*RecoverTxnRequest) Method() Method         { return RecoverTxn }
func (*HeartbeatTxnRequest) Method() Method       { return HeartbeatTxn }
func (*EndTxnRequest) Method() Method             { return EndTxn }
func (*ResolveIntentRequest) Method() Method      { return ResolveIntent }
func (*ResolveIntentRangeRequest) Method() Method { return ResolveIntentRange }
func (*GCRequest) Method() Method                 { return GC }

// Span implements Request.
func (r *InitPutRequest) Span() keys.Span       { return keys.Span{Key: r.Key} }
func (r *DeleteRangeRequest) Span() keys.Span   { return keys.Span{Key: r.Key, EndKey: r.EndKey} }
func (r *RefreshRequest) Span() keys.Span       { return keys.Span{Key: r.Key} }
func (r *RefreshRangeRequest) Span() keys.Span  { return keys.Span{Key: r.Key, EndKey: r.EndKey} }
func (r *QueryIntentRequest) Span() keys.Span   { return keys.Span{Key: r.Key} }
func (r *QueryTxnRequest) Span() keys.Span      { return keys.Span{Key: r.Key} }
func (r *PushTxnRequest) Span() keys.Span       { return keys.Span{Key: r.Key} }
func (r *RecoverTxnRequest) Span() keys.Span    { return keys.Span{Key: r.Key} }
func (r *HeartbeatTxnRequest) Span() keys.Span  { return keys.Span{Key: r.Key} }
func (r *EndTxnRequest) Span() keys.Span        { return keys.Span{Key: r.Key} }
func (r *ResolveIntentRequest) Span() keys.Span { return keys.Span{Key: r.Key} }
func (r *ResolveIntentRangeRequest) Span() keys.Span {
	return keys.Span{Key: r.Key, EndKey: r.EndKey}
}
func (r *GCRequest) Span() keys.Span { return keys.Span{Key: r.Key, EndKey: r.EndKey} }

// Update is what the request says of the locks.
func (r *ResolveIntentRequest) Update() LockUpdate {
	return LockUpdate{Span: r.Span(), Txn: r.Txn, Status: r.Status, IgnoredSeqs: r.IgnoredSeqs, ClockObservation: r.ClockObservation}
}

// Update is what the request says of the locks.
func (r *ResolveIntentRangeRequest) Update() LockUpdate {
	return LockUpdate{Span: r.Span(), Txn: r.Txn, Status: r.Status, IgnoredSeqs: r.IgnoredSeqs, ClockObservation: r.ClockObservation}
}

// ResolveRequest asks for what u says to be done at its span.
func ResolveRequest(u LockUpdate, poison bool) Request {
	if u.Span.IsPoint() {
		return &ResolveIntentRequest{Key: u.Span.Key, Txn: u.Txn, Status: u.Status, IgnoredSeqs: u.IgnoredSeqs, Poison: poison, ClockObservation: u.ClockObservation}
	}
	return &ResolveIntentRangeRequest{Key: u.Span.Key, EndKey: u.Span.EndKey, Txn: u.Txn, Status: u.Status, IgnoredSeqs: u.IgnoredSeqs, Poison: poison, ClockObservation: u.ClockObservation}
}

// WithSequence is a request like r with another sequence. Those that concern no
// data of the transaction's own are returned as they are.
//
//house:flat one case a method
func WithSequence(r Request, seq int32) Request {
	if r.Seq() == seq {
		return r
	}
	switch r := r.(type) {
	case *GetRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *PutRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *ConditionalPutRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *IncrementRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *DeleteRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *ScanRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *ReverseScanRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *InitPutRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *DeleteRangeRequest:
		c := *r
		c.Sequence = seq
		return &c
	case *EndTxnRequest:
		c := *r
		c.Sequence = seq
		return &c
	}
	return r
}

func formatTxnRequest(r Request) string {
	switch r := r.(type) {
	case *InitPutRequest:
		return fmt.Sprintf("InitPut(%s, %q)", r.Key, r.Value)
	case *RefreshRequest:
		return fmt.Sprintf("Refresh(%s, from %s)", r.Key, r.RefreshFrom)
	case *RefreshRangeRequest:
		return fmt.Sprintf("RefreshRange(%s, from %s)", r.Span(), r.RefreshFrom)
	case *QueryIntentRequest:
		return fmt.Sprintf("QueryIntent(%s, seq %d)", r.Key, r.Txn.Sequence)
	case *PushTxnRequest:
		return fmt.Sprintf("PushTxn(%s, %s %s)", r.Key, r.Type, FormatTxnID(r.Pushee.ID))
	case *RecoverTxnRequest:
		return fmt.Sprintf("RecoverTxn(%s, %s, committed %t)", r.Key, FormatTxnID(r.Txn.ID), r.ImplicitlyCommitted)
	case *EndTxnRequest:
		return formatEndTxn(r)
	case *ResolveIntentRequest:
		return fmt.Sprintf("ResolveIntent(%s, %s %s)", r.Key, FormatTxnID(r.Txn.ID), r.Status)
	case *ResolveIntentRangeRequest:
		return fmt.Sprintf("ResolveIntentRange(%s, %s %s)", r.Span(), FormatTxnID(r.Txn.ID), r.Status)
	}
	return fmt.Sprintf("%s(%s)", r.Method(), r.Span())
}

func formatEndTxn(r *EndTxnRequest) string {
	s := "EndTxn(" + r.Key.String()
	switch {
	case !r.Commit:
		s += ", rollback"
	case len(r.InFlight) > 0:
		s += ", stage"
		for _, w := range r.InFlight {
			s += fmt.Sprintf(" %s/%d", w.Key, w.Sequence)
		}
	default:
		s += ", commit"
	}
	if !r.Deadline.IsEmpty() {
		s += ", before " + r.Deadline.String()
	}
	if r.Trigger != nil {
		s += ", " + r.Trigger.String()
	}
	if len(r.LockSpans) > 0 {
		s += ", locks"
		for _, l := range r.LockSpans {
			s += " " + l.String()
		}
	}
	return s + ")"
}

// Flags of the header's extension: what most batches do not have costs them nothing,
// not even the byte of these flags, which the count of requests announces.
const (
	headerTxn byte = 1 << iota
	headerCanForward
	headerAsync
	headerLockTimeout

	headerPolicyShift = 4
)

func (h *Header) extension() byte {
	if h.Txn == nil && !h.CanForwardReadTS && !h.AsyncConsensus && h.LockTimeout == 0 && h.WaitPolicy == 0 {
		return 0
	}
	flags := byte(h.WaitPolicy) << headerPolicyShift
	if h.Txn != nil {
		flags |= headerTxn
	}
	if h.CanForwardReadTS {
		flags |= headerCanForward
	}
	if h.AsyncConsensus {
		flags |= headerAsync
	}
	if h.LockTimeout != 0 {
		flags |= headerLockTimeout
	}
	return flags
}

func (h *Header) sizeExtension() int {
	flags := h.extension()
	if flags == 0 {
		return 0
	}
	n := codec.SizeByte
	if h.Txn != nil {
		n += h.Txn.Size()
	}
	if h.LockTimeout != 0 {
		n += codec.SizeVarint(int64(h.LockTimeout))
	}
	return n
}

func (h *Header) appendExtension(b []byte) []byte {
	flags := h.extension()
	if flags == 0 {
		return b
	}
	b = append(b, flags)
	if h.Txn != nil {
		b = h.Txn.Encode(b)
	}
	if h.LockTimeout != 0 {
		b = codec.AppendVarint(b, int64(h.LockTimeout))
	}
	return b
}

func (h *Header) decodeExtension(r *codec.Reader) {
	flags := r.Byte()
	policy := flags >> headerPolicyShift
	if flags == 0 || WaitPolicy(policy) >= numWaitPolicies {
		r.Failf("kv: unknown flags of a batch %x", flags)
		return
	}
	h.WaitPolicy = WaitPolicy(policy)
	h.CanForwardReadTS, h.AsyncConsensus = flags&headerCanForward != 0, flags&headerAsync != 0
	if flags&headerTxn != 0 {
		h.Txn = DecodeTxn(r)
	}
	if flags&headerLockTimeout != 0 {
		if h.LockTimeout = time.Duration(r.Varint()); h.LockTimeout == 0 {
			r.Fail(codec.ErrNotCanonical)
		}
	}
}
