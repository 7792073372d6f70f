package mvcc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/storage"
)

// WriteTooOldError says that a key has a version at or above the timestamp of a
// write. A write above Existing can succeed.
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

// Writer writes versions of one command: it reads what there is, adds to a batch
// that the caller commits, and keeps account of what that changes. The reader must
// see the batch's earlier writes if a key may be written twice (storage.Overlay).
type Writer struct {
	Reader storage.Reader
	Batch  *storage.Batch
	Stats  Stats         // what the batch adds to the statistics of the range
	Local  hlc.Timestamp // the leaseholder's clock; zero: each version's own timestamp
}

// Put writes a version of k at ts. It returns a *WriteTooOldError, and writes
// nothing, when there is a version at or above ts.
func (w *Writer) Put(k keys.Key, ts hlc.Timestamp, value []byte) error {
	prev, err := w.latest(k, ts)
	if err != nil {
		return err
	}
	w.write(k, prev, Value{Bytes: value, Exists: true, Timestamp: ts})
	return nil
}

// PutNew is Put of a key that has no version yet, which is not looked at: for
// whoever writes the first data of a store.
func (w *Writer) PutNew(k keys.Key, ts hlc.Timestamp, value []byte) {
	w.write(k, Value{}, Value{Bytes: value, Exists: true, Timestamp: ts})
}

// Delete writes a tombstone at ts, whether there is a value or not: a deletion
// that found nothing is part of the history as well. It tells whether there was a
// value.
func (w *Writer) Delete(k keys.Key, ts hlc.Timestamp) (existed bool, err error) {
	prev, err := w.latest(k, ts)
	if err != nil {
		return false, err
	}
	w.write(k, prev, Value{Timestamp: ts})
	return prev.Exists, nil
}

// ConditionalPut is Put if the newest version has the expected value, or is absent
// when exists is false; else a *ConditionFailedError. It looks at the newest version
// whatever ts is, and complains of age first: a condition that held in the past is
// no ground to overwrite the present.
func (w *Writer) ConditionalPut(k keys.Key, ts hlc.Timestamp, value, expected []byte, exists bool) error {
	prev, err := w.latest(k, ts)
	if err != nil {
		return err
	}
	if prev.Exists != exists || exists && !bytes.Equal(prev.Bytes, expected) {
		return &ConditionFailedError{k, prev}
	}
	w.write(k, prev, Value{Bytes: value, Exists: true, Timestamp: ts})
	return nil
}

// Increment adds by to the integer at k, 0 if there is none, and returns the sum.
// Integers are 8 bytes, highest first (EncodeInt).
func (w *Writer) Increment(k keys.Key, ts hlc.Timestamp, by int64) (int64, error) {
	prev, err := w.latest(k, ts)
	if err != nil {
		return 0, err
	}
	var n int64
	if prev.Exists {
		if n, err = DecodeInt(prev.Bytes); err != nil {
			return n, fmt.Errorf("%w: %v has %d bytes", err, k, len(prev.Bytes))
		}
	}
	if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
		return n, fmt.Errorf("%w: %d + %d at %v", ErrOverflow, n, by, k)
	}
	n += by
	w.write(k, prev, Value{Bytes: EncodeInt(n), Exists: true, Timestamp: ts})
	return n, nil
}

// EncodeInt is the value that Increment leaves.
func EncodeInt(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// DecodeInt is the inverse of EncodeInt.
func DecodeInt(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, ErrNotInteger
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// latest returns the newest version of k, which must lie below ts.
func (w *Writer) latest(k keys.Key, ts hlc.Timestamp) (Value, error) {
	if ts.IsEmpty() {
		panic("mvcc: a write without a timestamp")
	}
	prev, err := newest(w.Reader, k)
	if err == nil && ts.LessEq(prev.Timestamp) {
		err = &WriteTooOldError{k, ts, prev.Timestamp}
	}
	return prev, err
}

// write adds version v of k, whose newest version so far is prev.
func (w *Writer) write(k keys.Key, prev, v Value) {
	if v.Local = w.Local; v.Local.IsEmpty() {
		v.Local = v.Timestamp
	}
	var kbuf [128]byte
	key := EncodeKey(kbuf[:0], k, v.Timestamp)
	val := encodeValue(nil, key, v)
	w.Batch.Put(key, val)
	if !prev.Timestamp.IsEmpty() {
		w.Stats.version(key, prev, -1, false)
	}
	w.Stats.version(key, v, 1, true)
	if prev.Timestamp.IsEmpty() {
		w.Stats.Keys++
		w.Stats.KeyBytes += int64(len(key) - versionLen)
	}
}
