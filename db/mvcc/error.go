package mvcc

import (
	"errors"
	"fmt"
	"strings"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// WriteTooOldError says that a key has a committed version where a write, or a read
// that must see the newest one, came too late. Above Existing it can succeed.
type WriteTooOldError struct {
	Key      keys.Key
	Wanted   hlc.Timestamp
	Existing hlc.Timestamp
}

func (e *WriteTooOldError) Error() string {
	return fmt.Sprintf("mvcc: write of %v at %v is too old: there is a version at %v", e.Key, e.Wanted, e.Existing)
}

// ConditionFailedError says that a key has another value than a write demanded.
type ConditionFailedError struct {
	Key    keys.Key
	Actual Value
}

func (e *ConditionFailedError) Error() string {
	return fmt.Sprintf("mvcc: condition on %v failed: it is %v", e.Key, e.Actual)
}

// ErrNotInteger and ErrOverflow are why a key cannot be incremented.
var (
	ErrNotInteger = errors.New("mvcc: the value is not an integer")
	ErrOverflow   = errors.New("mvcc: the sum does not fit 64 bits")
)

// LockConflictError says which locks of others stand in the way: all that were found,
// in the order of the read, up to a bound. Nothing was read or written.
type LockConflictError struct{ Locks []kv.Lock }

func (e *LockConflictError) Error() string {
	var b strings.Builder
	b.WriteString("mvcc: conflict with ")
	for i, l := range e.Locks {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.String())
	}
	return b.String()
}

// UncertaintyError says that a value above the timestamp of a read may have been
// committed, in real time, before the read began. The read must be done again at or
// above ValueTS.
type UncertaintyError struct {
	Key     keys.Key
	ReadTS  hlc.Timestamp
	ValueTS hlc.Timestamp
	LocalTS hlc.Timestamp // the leaseholder's clock when the value was written
}

func (e *UncertaintyError) Error() string {
	return fmt.Sprintf("mvcc: read of %v at %v meets the uncertain value at %v (local %v)", e.Key, e.ReadTS, e.ValueTS, e.LocalTS)
}

// StaleEpochError says that a request belongs to an epoch that its transaction has
// left: the key holds something of a higher one.
type StaleEpochError struct {
	Key           keys.Key
	Epoch, Latest int32
}

func (e *StaleEpochError) Error() string {
	return fmt.Sprintf("mvcc: request of epoch %d at %v, where its transaction is in epoch %d", e.Epoch, e.Key, e.Latest)
}

// SequenceError says that a write came again, or late, and is not what its sequence
// number stands for. To execute it would change what the transaction has seen.
type SequenceError struct {
	Key      keys.Key
	Sequence int32
	Reason   string
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("mvcc: write %d of %v: %s", e.Sequence, e.Key, e.Reason)
}

// RefreshError says what has changed, or may yet, between the two timestamps of a
// refresh: a version at TS, or the intent of somebody else.
type RefreshError struct {
	Key    keys.Key
	TS     hlc.Timestamp
	Intent *kv.TxnMeta // nil: a committed version
}

func (e *RefreshError) Error() string {
	if e.Intent != nil {
		return fmt.Sprintf("mvcc: refresh failed: %v has an intent of %s at %v", e.Key, kv.FormatTxnID(e.Intent.ID), e.TS)
	}
	return fmt.Sprintf("mvcc: refresh failed: %v has a version at %v", e.Key, e.TS)
}

// BelowThresholdError says that what a read needs may have been collected.
type BelowThresholdError struct{ Timestamp, Threshold hlc.Timestamp }

func (e *BelowThresholdError) Error() string {
	return fmt.Sprintf("mvcc: read at %v is not above the collection threshold %v", e.Timestamp, e.Threshold)
}
