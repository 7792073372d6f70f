package kv

import (
	"fmt"
	"strings"
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// Header is what concerns a batch as a whole.
type Header struct {
	// RangeID is where the batch is meant to go. Whoever routes sets it.
	RangeID RangeID

	// Timestamp is that of the versions to be read, for a batch that only reads.
	// Zero: the leaseholder chooses, and that is the only choice for other batches.
	Timestamp hlc.Timestamp

	// Gateway is the node at which the batch entered the cluster.
	Gateway NodeID

	// CanForwardReadTS allows the leaseholder to execute the batch of a transaction
	// that has read nothing before at a higher timestamp than it asks for. Whoever
	// divides a batch among ranges takes the permission back.
	CanForwardReadTS bool
	// AsyncConsensus asks the leaseholder to acknowledge the writes of a transaction
	// once they are evaluated and proposed. They may yet come to nothing, which a
	// QueryIntent finds out.
	AsyncConsensus bool
	// WaitPolicy says what is done about the locks of others.
	WaitPolicy WaitPolicy

	// ID tells commands apart in traces. It has no other effect: in particular it
	// does not make a command safe to send twice.
	ID uint64

	// MaxKeys and MaxBytes limit what all scans of the batch together return. A scan
	// that is cut short says where to resume. The limit on bytes counts keys and
	// values and lets the row that crosses it through. 0: no limit.
	MaxKeys, MaxBytes int64

	// Deadline is the time left when the batch was sent, 0: unknown. It is a
	// duration and no moment, because clocks differ.
	Deadline time.Duration

	// Txn is the transaction that sends the batch, nil: none. It states the timestamps.
	Txn *Txn
	// LockTimeout is how long to wait for any one lock of others before failing with
	// LockConflict; 0: as long as it takes.
	LockTimeout time.Duration
}

// BatchRequest is a list of requests that are evaluated together.
type BatchRequest struct {
	Header
	Requests []Request
}

// BatchResponse is the answer to a BatchRequest.
type BatchResponse struct {
	// Timestamp at which the batch executed. It is zero if it failed, and if parts of
	// a read that crossed ranges executed at different timestamps.
	Timestamp hlc.Timestamp

	Responses []Response // as many as there were requests; none if Err is set
	Err       *Error

	// Txn is what has become of the transaction that sent the batch, whether it
	// succeeded or failed: timestamps that moved up, its status, clocks observed. Nil:
	// nothing new.
	Txn *Txn

	// Lease and Desc are hints for whoever routes: the lease and descriptor in force
	// at the replica that answered. Nil: nothing new.
	Lease *Lease
	Desc  *RangeDescriptor
}

// ErrorResponse is the response of a batch that failed.
func ErrorResponse(err *Error) *BatchResponse { return &BatchResponse{Err: err} }

// ReadsOnly reports that every request only reads.
func (ba *BatchRequest) ReadsOnly() bool {
	for _, r := range ba.Requests {
		if !r.Method().ReadsOnly() {
			return false
		}
	}
	return true
}

// Writes reports that some request writes.
func (ba *BatchRequest) Writes() bool {
	for _, r := range ba.Requests {
		if r.Method().Writes() {
			return true
		}
	}
	return false
}

// EndTxn is the request that ends the transaction, and where it stands: last, if the
// batch is sound. Nil: there is none.
func (ba *BatchRequest) EndTxn() *EndTxnRequest {
	if n := len(ba.Requests); n > 0 {
		et, _ := ba.Requests[n-1].(*EndTxnRequest)
		return et
	}
	return nil
}

// Locks reports that some request of a transaction's batch locks something.
func (ba *BatchRequest) Locks() bool {
	for _, r := range ba.Requests {
		if LockOf(r).Lock != LockNone {
			return true
		}
	}
	return false
}

// Repeatable reports that the batch has the same effect when it is sent twice: it
// reads, or its requests are such, or they are those of a transaction, whose writes
// are told apart by their sequences. A commit is not: what becomes of a second one
// does not tell what became of the first.
func (ba *BatchRequest) Repeatable() bool {
	for _, r := range ba.Requests {
		m := r.Method()
		if m.has(flagRepeat) || ba.Txn != nil && m.has(flagIntent) {
			continue
		}
		if et, ok := r.(*EndTxnRequest); ok && !et.Commit {
			continue
		}
		return false
	}
	return true
}

// IsCompleteTxn reports that the batch holds a whole attempt of its transaction: a
// commit, and every write from the first on. Such a batch may be executed in one
// phase.
func (ba *BatchRequest) IsCompleteTxn() bool {
	et := ba.EndTxn()
	if ba.Txn == nil || et == nil || !et.Commit || et.Prevent1PC || et.Trigger != nil || len(et.InFlight) > 0 {
		return false
	}
	next := int32(1)
	for _, r := range ba.Requests {
		if r.Method().Intents() {
			if r.Seq() != next {
				return false
			}
			next++
		}
	}
	return next > 1 && et.Sequence == next
}

// WithoutProven is the batch without those writes in flight of its EndTxn that
// execute, or are looked for, in the same batch: they take effect together with it,
// or it fails. If none is left the commit is explicit. The batch itself is returned
// if there are none such.
func (ba *BatchRequest) WithoutProven() *BatchRequest {
	et := ba.EndTxn()
	if et == nil || len(et.InFlight) == 0 || len(ba.Requests) == 1 {
		return ba
	}
	proven := make(map[string]int32, len(ba.Requests))
	for _, r := range ba.Requests {
		seq := r.Seq()
		if q, ok := r.(*QueryIntentRequest); ok {
			seq = q.Txn.Sequence
		} else if !r.Method().Intents() {
			continue
		}
		k := string(r.Span().Key)
		proven[k] = max(proven[k], seq)
	}
	var left []SequencedWrite
	for _, w := range et.InFlight {
		if seq, ok := proven[string(w.Key)]; !ok || seq < w.Sequence {
			left = append(left, w)
		}
	}
	if len(left) == len(et.InFlight) {
		return ba
	}
	c, end := *ba, *et
	end.InFlight = left
	c.Requests = append(append(make([]Request, 0, len(ba.Requests)), ba.Requests[:len(ba.Requests)-1]...), &end)
	return &c
}

// Admin reports that the batch is an admin request.
func (ba *BatchRequest) Admin() bool {
	return len(ba.Requests) > 0 && ba.Requests[0].Method().Admin()
}

// Span covers all requests, by the keys that they are addressed by. If that is one
// point, it is that point.
func (ba *BatchRequest) Span() keys.Span {
	var all keys.Span
	for i, r := range ba.Requests {
		s := r.Span()
		if k, ok := keys.Addr(s.Key); ok && s.IsPoint() {
			s.Key = k
		}
		if i == 0 {
			all = s
			continue
		}
		if all.IsPoint() && s.IsPoint() && all.Key.Equal(s.Key) {
			continue
		}
		if all.IsPoint() {
			all.EndKey = all.Key.Next()
		}
		if s.IsPoint() {
			s.EndKey = s.Key.Next()
		}
		if s.Key.Less(all.Key) {
			all.Key = s.Key
		}
		if all.EndKey.Less(s.EndKey) {
			all.EndKey = s.EndKey
		}
	}
	return all
}

// MaxRequests bounds the requests of one batch.
const MaxRequests = 10_000

// Validate returns a BadRequest if the batch makes no sense whatever the data.
func (ba *BatchRequest) Validate() *Error {
	bad := func(i int, format string, args ...any) *Error {
		e := Errorf(BadRequest, format, args...)
		e.Index = int32(i)
		return e
	}
	switch {
	case len(ba.Requests) == 0:
		return bad(-1, "empty batch")
	case len(ba.Requests) > MaxRequests:
		return bad(-1, "%d requests in a batch", len(ba.Requests))
	case ba.MaxKeys < 0 || ba.MaxBytes < 0 || ba.Deadline < 0:
		return bad(-1, "negative limit")
	case ba.Timestamp.Wall < 0:
		return bad(-1, "timestamp %s", ba.Timestamp)
	case !ba.Timestamp.IsEmpty() && !ba.ReadsOnly():
		return bad(-1, "a timestamp is stated for a batch that does not only read")
	case !ba.Timestamp.IsEmpty() && ba.Txn != nil:
		return bad(-1, "a timestamp is stated beside those of a transaction")
	case ba.LockTimeout < 0:
		return bad(-1, "negative limit")
	}
	for i, r := range ba.Requests {
		s := r.Span()
		switch {
		case r.Method().Admin() && len(ba.Requests) > 1:
			return bad(i, "%s is not alone in its batch", r.Method())
		case r.Method() == EndTxn && i != len(ba.Requests)-1:
			return bad(i, "EndTxn is not the last of its batch")
		case r.Method().NeedsTxn() && ba.Txn == nil:
			return bad(i, "%s without a transaction", r.Method())
		case r.Method().Ranged() && (s.IsPoint() || !s.Valid()):
			return bad(i, "empty span [%s, %s)", s.Key, s.EndKey)
		case keys.Max.Less(s.EndKey) || !s.Key.Less(keys.Max):
			return bad(i, "%s lies beyond all keys", s)
		}
		if _, ok := keys.Addr(s.Key); !ok {
			return bad(i, "%s cannot be addressed", s)
		}
		if et, ok := r.(*EndTxnRequest); ok && et.Trigger != nil {
			if err := et.Trigger.check(et); err != nil {
				return bad(i, "%s", err)
			}
		}
	}
	return nil
}

// String prints the batch for reading.
func (ba *BatchRequest) String() string {
	var b strings.Builder
	for i, r := range ba.Requests {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(FormatRequest(r))
	}
	if ba.RangeID != 0 {
		fmt.Fprintf(&b, " to r%d", ba.RangeID)
	}
	if !ba.Timestamp.IsEmpty() {
		fmt.Fprintf(&b, " at %s", ba.Timestamp)
	}
	if ba.Txn != nil {
		fmt.Fprintf(&b, " in txn %s", ba.Txn)
	}
	if ba.MaxKeys > 0 {
		fmt.Fprintf(&b, " max %d keys", ba.MaxKeys)
	}
	if ba.MaxBytes > 0 {
		fmt.Fprintf(&b, " max %d bytes", ba.MaxBytes)
	}
	return b.String()
}

// String prints the response for reading.
func (br *BatchResponse) String() string {
	if br.Err != nil {
		return br.Err.Error()
	}
	var b strings.Builder
	for i, r := range br.Responses {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(FormatResponse(r))
	}
	fmt.Fprintf(&b, " at %s", br.Timestamp)
	return b.String()
}

// Size implements env.Message.
func (ba *BatchRequest) Size() int {
	n := codec.SizeVarint(int64(ba.RangeID)) + ba.Timestamp.Size() + codec.SizeVarint(int64(ba.Gateway)) +
		codec.SizeUvarint(ba.ID) + codec.SizeVarint(ba.MaxKeys) + codec.SizeVarint(ba.MaxBytes) +
		codec.SizeVarint(int64(ba.Deadline)) + codec.SizeUvarint(uint64(len(ba.Requests))<<1) + ba.sizeExtension()
	for _, r := range ba.Requests {
		n += sizeRequest(r)
	}
	return n
}

// Encode implements env.Message.
func (ba *BatchRequest) Encode(b []byte) []byte {
	b = ba.Timestamp.Encode(codec.AppendVarint(b, int64(ba.RangeID)))
	b = codec.AppendUvarint(codec.AppendVarint(b, int64(ba.Gateway)), ba.ID)
	b = codec.AppendVarint(codec.AppendVarint(b, ba.MaxKeys), ba.MaxBytes)
	b = codec.AppendVarint(b, int64(ba.Deadline))
	count := uint64(len(ba.Requests)) << 1
	if ba.extension() != 0 {
		count |= 1
	}
	b = ba.appendExtension(codec.AppendUvarint(b, count))
	for _, r := range ba.Requests {
		b = appendRequest(b, r)
	}
	return b
}

// DecodeBatchRequest reads what Encode wrote.
func DecodeBatchRequest(r *codec.Reader) *BatchRequest {
	ba := &BatchRequest{Header: Header{
		RangeID: RangeID(r.Varint()), Timestamp: hlc.Decode(r), Gateway: NodeID(r.Int32()),
		ID: r.Uvarint(), MaxKeys: r.Varint(), MaxBytes: r.Varint(), Deadline: time.Duration(r.Varint()),
	}}
	count := r.Uvarint() // of the requests, and whether an extension comes before them
	if count&1 != 0 {
		ba.decodeExtension(r)
	}
	n := count >> 1
	switch {
	case n > MaxRequests:
		r.Fail(codec.ErrLimit)
	case n > uint64(r.Len())/2: // each takes at least two bytes
		r.Fail(codec.ErrTruncated)
	case n > 0:
		ba.Requests = make([]Request, n)
		for i := range ba.Requests {
			ba.Requests[i] = decodeRequest(r)
		}
	}
	return ba
}

// Flags of what a response carries beside the responses.
const (
	responseErr byte = 1 << iota
	responseTxn
	responseFlags
)

// Size implements env.Message.
func (br *BatchResponse) Size() int {
	n := br.Timestamp.Size() + codec.SizeUvarint(uint64(len(br.Responses))) + 3*codec.SizeBool
	for _, r := range br.Responses {
		n += codec.SizeByte + r.Size()
	}
	if br.Err != nil {
		n += br.Err.Size()
	}
	if br.Txn != nil {
		n += br.Txn.Size()
	}
	if br.Lease != nil {
		n += br.Lease.Size()
	}
	if br.Desc != nil {
		n += br.Desc.Size()
	}
	return n
}

// Encode implements env.Message.
func (br *BatchResponse) Encode(b []byte) []byte {
	b = codec.AppendUvarint(br.Timestamp.Encode(b), uint64(len(br.Responses)))
	for _, r := range br.Responses {
		b = r.Encode(append(b, byte(r.Method())))
	}
	var flags byte
	if br.Err != nil {
		flags |= responseErr
	}
	if br.Txn != nil {
		flags |= responseTxn
	}
	b = append(b, flags)
	if br.Err != nil {
		b = br.Err.Encode(b)
	}
	if br.Txn != nil {
		b = br.Txn.Encode(b)
	}
	if b = codec.AppendBool(b, br.Lease != nil); br.Lease != nil {
		b = br.Lease.Encode(b)
	}
	if b = codec.AppendBool(b, br.Desc != nil); br.Desc != nil {
		b = br.Desc.Encode(b)
	}
	return b
}

// DecodeBatchResponse reads what Encode wrote.
func DecodeBatchResponse(r *codec.Reader) *BatchResponse {
	br := &BatchResponse{Timestamp: hlc.Decode(r)}
	if n := r.Count(MaxRequests, 1); n > 0 {
		br.Responses = make([]Response, n)
		for i := range br.Responses {
			br.Responses[i] = decodeResponse(Method(r.Byte()), r)
		}
	}
	flags := r.Byte()
	if flags >= responseFlags {
		r.Failf("kv: unknown flags of a response %x", flags)
	}
	if flags&responseErr != 0 {
		br.Err = DecodeError(r)
	}
	if flags&responseTxn != 0 {
		br.Txn = DecodeTxn(r)
	}
	if r.Bool() {
		l := DecodeLease(r)
		br.Lease = &l
	}
	if r.Bool() {
		br.Desc = DecodeRangeDescriptor(r)
	}
	return br
}
