package kv

import (
	"errors"
	"fmt"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
)

// ErrorKind says what went wrong, and by that what may be done about it.
type ErrorKind uint8

// The kinds. "Refused" ones say that another place, or another moment, is the
// right one.
const (
	// NotLeaseholder: refused. Lease and Descs[0], if known, say who is.
	NotLeaseholder ErrorKind = iota + 1
	// RangeKeyMismatch: refused, the keys are not all in the range. Descs are the
	// ranges that the replica knows around there.
	RangeKeyMismatch
	// RangeNotFound: refused, the store has no replica of the range.
	RangeNotFound
	// ConditionFailed: a ConditionalPut found Actual.
	ConditionFailed
	// Ambiguous: the batch may have had its effect, or may yet have it. Cause is why
	// that is not known.
	Ambiguous
	// NodeUnavailable: refused, overloaded, starting, stopping, or not reached.
	NodeUnavailable
	// Timeout: the deadline passed before the batch could have an effect.
	Timeout
	// BatchCrossesRanges: a batch that writes is not within one range.
	BatchCrossesRanges
	// TimestampTooFarAhead: the stated timestamp is ahead of the clock by more than
	// the clocks' maximum offset. Timestamp is the clock's.
	TimestampTooFarAhead
	// BadRequest: makes no sense, now or later.
	BadRequest
	// ReadBelowGC: the versions of the stated timestamp may be gone. Timestamp is the
	// threshold.
	ReadBelowGC
	// TransactionRetry: the transaction must begin its next epoch; Detail.Retry.
	TransactionRetry
	// TransactionAborted: it is no more; Detail.Abort.
	TransactionAborted
	// TransactionPush: a push did not succeed, and was not to wait; Detail.Pushee.
	TransactionPush
	// LockConflict: others hold locks, and the policy is not to wait; Detail.Locks.
	LockConflict
	// WriteTooOld: others wrote at or above the timestamp of a write; Detail.ActualTS.
	WriteTooOld
	// Uncertainty: a read found what may have been committed before its transaction
	// began; Detail.ValueTS. The transaction must read above that.
	Uncertainty
	// TransactionStatus: the record's status does not allow the request, such as a
	// rollback of what is committed. Detail.Pushee is the record, if known.
	TransactionStatus
	// IndeterminateCommit: the transaction Detail.Pushee is staging, and must be
	// recovered before anything else.
	IndeterminateCommit
	// IntentMissing: a write that was acknowledged early did not come to be; Detail.Key.
	IntentMissing
	numErrorKinds
)

var errorKindNames = [numErrorKinds]string{
	NotLeaseholder: "not leaseholder", RangeKeyMismatch: "range key mismatch",
	RangeNotFound: "range not found", ConditionFailed: "condition failed",
	Ambiguous: "ambiguous result", NodeUnavailable: "node unavailable", Timeout: "timeout",
	BatchCrossesRanges: "batch crosses ranges", TimestampTooFarAhead: "timestamp too far ahead",
	BadRequest: "bad request", ReadBelowGC: "read below the garbage collection threshold",
	TransactionRetry: "transaction must retry", TransactionAborted: "transaction aborted",
	TransactionPush: "push failed", LockConflict: "lock conflict", WriteTooOld: "write too old",
	Uncertainty: "read within uncertainty interval", TransactionStatus: "transaction status",
	IndeterminateCommit: "indeterminate commit", IntentMissing: "intent missing",
}

// String is the kind's name.
func (k ErrorKind) String() string {
	if k < numErrorKinds && errorKindNames[k] != "" {
		return errorKindNames[k]
	}
	return "unknown error"
}

// Error is why a batch failed. It is immutable once it is in a response.
type Error struct {
	Kind    ErrorKind
	Message string // for people; nothing depends on it
	Index   int32  // the request of the batch that failed, or -1
	RangeID RangeID

	Lease  *Lease             // NotLeaseholder: the lease in force, if known
	Descs  []*RangeDescriptor // NotLeaseholder, RangeKeyMismatch: what is known
	Actual *KeyValue          // ConditionFailed: what was there; nil: nothing

	Timestamp hlc.Timestamp // TimestampTooFarAhead, ReadBelowGC; ConditionFailed: of the read
	Cause     *Error        // Ambiguous: what happened, taken by itself
	Detail    *ErrorDetail  // kinds of transactions
}

// Errorf is an error of the given kind that concerns no single request.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: kind, Index: -1, Message: fmt.Sprintf(format, args...)}
}

// AmbiguousError says that the outcome is unknown because of cause, which may be nil.
func AmbiguousError(cause *Error, format string, args ...any) *Error {
	if cause != nil && cause.Kind == Ambiguous {
		return cause
	}
	e := Errorf(Ambiguous, format, args...)
	e.Cause = cause
	return e
}

// AsError finds the *Error in err. One that holds none has an unknown outcome.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Errorf(Ambiguous, "%s", err)
}

// Ambiguous reports that the batch may have had its effect nevertheless, or may
// still have it.
func (e *Error) Ambiguous() bool { return e.Kind == Ambiguous }

// Refused reports that the batch had no effect where it was sent, and may be sent
// elsewhere or again.
func (e *Error) Refused() bool {
	switch e.Kind {
	case NotLeaseholder, RangeKeyMismatch, RangeNotFound, NodeUnavailable:
		return true
	}
	return false
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	if e.RangeID != 0 {
		fmt.Fprintf(&b, " [r%d]", e.RangeID)
	}
	if e.Index >= 0 {
		fmt.Fprintf(&b, " [request %d]", e.Index)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Lease != nil {
		fmt.Fprintf(&b, "; %s", *e.Lease)
	}
	for _, d := range e.Descs {
		fmt.Fprintf(&b, "; %s", d)
	}
	if e.Actual != nil {
		fmt.Fprintf(&b, "; actual value %q at %s", e.Actual.Value, e.Actual.Timestamp)
	}
	if !e.Timestamp.IsEmpty() {
		fmt.Fprintf(&b, "; %s", e.Timestamp)
	}
	if e.Detail != nil {
		fmt.Fprintf(&b, "; %s", e.Detail)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, "; caused by: %s", e.Cause.Error())
	}
	return b.String()
}

// Flags of what follows the fields that every error has.
const (
	errorCause byte = 1 << iota
	errorDetail
	errorFlags
)

// maxCauses bounds how deep causes are nested in what is decoded.
const maxCauses = 8

// Size is the length of Encode's output.
func (e *Error) Size() int {
	n := codec.SizeByte + codec.SizeString(e.Message) + codec.SizeVarint(int64(e.Index)) +
		codec.SizeVarint(int64(e.RangeID)) + 3*codec.SizeBool +
		codec.SizeUvarint(uint64(len(e.Descs))) + e.Timestamp.Size()
	if e.Lease != nil {
		n += e.Lease.Size()
	}
	for _, d := range e.Descs {
		n += d.Size()
	}
	if e.Actual != nil {
		n += e.Actual.Size()
	}
	if e.Cause != nil {
		n += e.Cause.Size()
	}
	if e.Detail != nil {
		n += e.Detail.size()
	}
	return n
}

// Encode appends the error.
func (e *Error) Encode(b []byte) []byte {
	b = codec.AppendString(append(b, byte(e.Kind)), e.Message)
	b = codec.AppendVarint(b, int64(e.Index))
	b = codec.AppendVarint(b, int64(e.RangeID))
	if b = codec.AppendBool(b, e.Lease != nil); e.Lease != nil {
		b = e.Lease.Encode(b)
	}
	b = codec.AppendUvarint(b, uint64(len(e.Descs)))
	for _, d := range e.Descs {
		b = d.Encode(b)
	}
	if b = codec.AppendBool(b, e.Actual != nil); e.Actual != nil {
		b = e.Actual.Encode(b)
	}
	b = e.Timestamp.Encode(b)
	var flags byte
	if e.Cause != nil {
		flags |= errorCause
	}
	if e.Detail != nil {
		flags |= errorDetail
	}
	b = append(b, flags)
	if e.Cause != nil {
		b = e.Cause.Encode(b)
	}
	if e.Detail != nil {
		b = e.Detail.encode(b)
	}
	return b
}

// minDescriptorSize is the least that Encode of a descriptor takes.
const minDescriptorSize = 6

// DecodeError reads what Encode wrote.
func DecodeError(r *codec.Reader) *Error { return decodeError(r, maxCauses) }

func decodeError(r *codec.Reader, depth int) *Error {
	if depth == 0 {
		r.Failf("kv: causes nested too deep")
		return nil
	}
	e := &Error{Kind: ErrorKind(r.Byte()), Message: r.String(), Index: r.Int32(), RangeID: RangeID(r.Varint())}
	if e.Kind == 0 || e.Kind >= numErrorKinds {
		r.Failf("kv: unknown kind of error %d", e.Kind)
	}
	if r.Bool() {
		l := DecodeLease(r)
		e.Lease = &l
	}
	if n := r.Count(-1, minDescriptorSize); n > 0 {
		e.Descs = make([]*RangeDescriptor, n)
		for i := range e.Descs {
			e.Descs[i] = DecodeRangeDescriptor(r)
		}
	}
	if r.Bool() {
		actual := decodeKeyValue(r)
		e.Actual = &actual
	}
	e.Timestamp = hlc.Decode(r)
	flags := r.Byte()
	if flags >= errorFlags {
		r.Failf("kv: unknown flags of an error %x", flags)
	}
	if flags&errorCause != 0 {
		e.Cause = decodeError(r, depth-1)
	}
	if flags&errorDetail != 0 {
		e.Detail = decodeErrorDetail(r)
	}
	return e
}
