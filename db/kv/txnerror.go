package kv

import (
	"fmt"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// RetryReason says why a transaction must begin its next epoch.
type RetryReason uint8

// The reasons.
const (
	RetryNone         RetryReason = iota
	RetrySerializable             // its writes were pushed above its reads, and those have changed
	RetryWriteTooOld              // somebody wrote above its write
	RetryDelayed                  // a timestamp that it must commit at lies in the future
	RetryAsyncWrite               // a write that was acknowledged early did not come to be
	RetryDeadline                 // its commit timestamp was pushed past its deadline
	RetryUncertainty              // it read what may have been committed before it began
	numRetryReasons
)

var retryReasonNames = [numRetryReasons]string{"no reason", "serializable", "write too old", "delayed",
	"asynchronous write failed", "deadline exceeded", "uncertainty"}

// String is the reason's name.
func (r RetryReason) String() string {
	if r < numRetryReasons {
		return retryReasonNames[r]
	}
	return "unknown reason"
}

// AbortReason says how it was found that a transaction is aborted.
type AbortReason uint8

// The reasons.
const (
	AbortNone         AbortReason = iota
	AbortRecordFound              // the record says so
	AbortSpanFound                // a note in the abort span says so
	AbortClientReject             // the coordinator knew
	AbortPushed                   // a pusher did it, to this request's face
	AbortNoRecord                 // the record may no longer be created
	AbortReplay                   // the record may have been finalised before
	AbortDeadlock                 // it was chosen to break a cycle
	AbortGatewayLost              // its coordinator is gone, or out of reach, and was never asked to commit
	numAbortReasons
)

var abortReasonNames = [numAbortReasons]string{"no reason", "record found", "abort span", "client reject", "pushed",
	"record cannot be created", "possible replay", "deadlock", "gateway lost"}

// String is the reason's name.
func (r AbortReason) String() string {
	if r < numAbortReasons {
		return abortReasonNames[r]
	}
	return "unknown reason"
}

// ErrorDetail is what errors of transactions carry. Which fields are set depends on
// the kind of the error.
type ErrorDetail struct {
	Retry  RetryReason // TransactionRetry
	Abort  AbortReason // TransactionAborted
	Pushee *Txn        // TransactionPush: who would not yield. IndeterminateCommit: who is staging
	Locks  []Lock      // LockConflict
	Key    keys.Key    // IntentMissing, WriteTooOld, Uncertainty: where, if known

	ActualTS hlc.Timestamp // WriteTooOld: the least timestamp that may be written

	// Uncertainty: what was read at, found, and (LocalTS) the clock of the leaseholder
	// when the transaction first came there, zero if it does not bound what is found.
	ReadTS, ValueTS, LocalTS hlc.Timestamp
}

// Retryable reports that a transaction that meets the error may begin anew: with its
// next epoch, or, if it is aborted, under a new ID.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case TransactionRetry, TransactionAborted, WriteTooOld, Uncertainty, TransactionPush:
		return true
	case IntentMissing:
		return true
	}
	return false
}

// RetryError says that the transaction must begin its next epoch.
func RetryError(why RetryReason, format string, args ...any) *Error {
	e := Errorf(TransactionRetry, format, args...)
	e.Detail = &ErrorDetail{Retry: why}
	return e
}

// AbortedError says that the transaction is no more.
func AbortedError(why AbortReason, format string, args ...any) *Error {
	e := Errorf(TransactionAborted, format, args...)
	e.Detail = &ErrorDetail{Abort: why}
	return e
}

// RetryReason is why the transaction must begin its next epoch, or RetryNone.
func (e *Error) RetryReason() RetryReason {
	switch {
	case e.Kind == WriteTooOld:
		return RetryWriteTooOld
	case e.Kind == Uncertainty:
		return RetryUncertainty
	case e.Kind == IntentMissing:
		return RetryAsyncWrite
	case e.Detail != nil:
		return e.Detail.Retry
	}
	return RetryNone
}

// String prints what is set.
func (d *ErrorDetail) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if d.Retry != 0 {
		add("%s", d.Retry)
	}
	if d.Abort != 0 {
		add("%s", d.Abort)
	}
	if d.Pushee != nil {
		add("%s", d.Pushee)
	}
	for _, l := range d.Locks {
		add("%s", l)
	}
	if len(d.Key) > 0 {
		add("at %s", d.Key)
	}
	if !d.ActualTS.IsEmpty() {
		add("actual %s", d.ActualTS)
	}
	if !d.ReadTS.IsEmpty() {
		add("read at %s", d.ReadTS)
	}
	if !d.ValueTS.IsEmpty() {
		add("value of %s", d.ValueTS)
	}
	if !d.LocalTS.IsEmpty() {
		add("clock %s", d.LocalTS)
	}
	return strings.Join(parts, ", ")
}

func (d *ErrorDetail) size() int {
	n := 2*codec.SizeByte + codec.SizeBool + codec.SizeUvarint(uint64(len(d.Locks))) + codec.SizeBytes(d.Key) +
		d.ActualTS.Size() + d.ReadTS.Size() + d.ValueTS.Size() + d.LocalTS.Size()
	if d.Pushee != nil {
		n += d.Pushee.Size()
	}
	for i := range d.Locks {
		n += d.Locks[i].size()
	}
	return n
}

func (d *ErrorDetail) encode(b []byte) []byte {
	b = append(b, byte(d.Retry), byte(d.Abort))
	if b = codec.AppendBool(b, d.Pushee != nil); d.Pushee != nil {
		b = d.Pushee.Encode(b)
	}
	b = codec.AppendUvarint(b, uint64(len(d.Locks)))
	for i := range d.Locks {
		b = d.Locks[i].encode(b)
	}
	b = d.ActualTS.Encode(codec.AppendBytes(b, d.Key))
	return d.LocalTS.Encode(d.ValueTS.Encode(d.ReadTS.Encode(b)))
}

func decodeErrorDetail(r *codec.Reader) *ErrorDetail {
	d := &ErrorDetail{Retry: RetryReason(decodeEnum(r, byte(numRetryReasons))), Abort: AbortReason(decodeEnum(r, byte(numAbortReasons)))}
	if r.Bool() {
		d.Pushee = DecodeTxn(r)
	}
	if n := r.Count(-1, minLockSize); n > 0 {
		d.Locks = make([]Lock, n)
		for i := range d.Locks {
			d.Locks[i] = decodeLock(r)
		}
	}
	d.Key, d.ActualTS = r.Bytes(), hlc.Decode(r)
	d.ReadTS, d.ValueTS, d.LocalTS = hlc.Decode(r), hlc.Decode(r), hlc.Decode(r)
	return d
}
