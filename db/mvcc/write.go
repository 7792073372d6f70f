package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// Writer writes versions of one command: it reads what there is, adds to a batch
// that the caller commits, and keeps account of what that changes. The reader must
// see the batch's earlier writes if a key may be written twice (storage.Overlay).
// After an error, batch and statistics may hold a part of what was asked for, and
// must be thrown away.
//
// With a transaction, what is written are intents, and errors are those that
// ReadOptions tell of and *SequenceError besides.
type Writer struct {
	Reader storage.Reader
	Batch  *storage.Batch
	Stats  Stats         // what the batch adds to the statistics of the range
	Local  hlc.Timestamp // the leaseholder's clock; zero: each version's own timestamp

	// Txn writes intents, at Txn.WriteTS, of the sequence Txn.Sequence. The timestamp
	// that methods are given is then the one at which the transaction reads. Nil: the
	// versions are committed as they are written, at that timestamp.
	Txn *kv.Txn
	// Written is the highest timestamp at which Txn has an intent from this writer. An
	// intent that was pushed stays where it is, so that this may be above Txn.WriteTS,
	// which the transaction must then be told.
	Written hlc.Timestamp
}

// change makes, of the value that a write finds, the one that it leaves: Bytes and
// Exists.
type change func(prior Value) (Value, error)

// Put writes a version of k at ts. It returns a *WriteTooOldError, and writes
// nothing, when there is a version at or above ts; and a *LockConflictError when
// somebody else has an intent or a lock.
func (w *Writer) Put(k keys.Key, ts hlc.Timestamp, value []byte) error {
	_, err := w.apply(k, ts, false, func(Value) (Value, error) { return Value{Bytes: value, Exists: true}, nil })
	return err
}

// PutNew is Put of a key that has no version yet, which is not looked at: for
// whoever writes the first data of a store.
func (w *Writer) PutNew(k keys.Key, ts hlc.Timestamp, value []byte) {
	if w.Txn != nil {
		panic("mvcc: PutNew of a transaction")
	}
	w.write(k, Value{}, Value{Bytes: value, Exists: true, Timestamp: ts})
}

// Delete writes a tombstone at ts, whether there is a value or not: a deletion
// that found nothing is part of the history as well. It tells whether there was a
// value.
func (w *Writer) Delete(k keys.Key, ts hlc.Timestamp) (existed bool, err error) {
	prior, err := w.apply(k, ts, true, func(Value) (Value, error) { return Value{}, nil })
	return prior.Exists && err == nil, err
}

// ConditionalPut is Put if the newest version has the expected value, or is absent
// when exists is false; else a *ConditionFailedError. It looks at the newest version
// whatever ts is, and complains of age first: a condition that held in the past is
// no ground to overwrite the present.
func (w *Writer) ConditionalPut(k keys.Key, ts hlc.Timestamp, value, expected []byte, exists bool) error {
	_, err := w.apply(k, ts, true, func(prior Value) (Value, error) {
		if prior.Exists != exists || exists && !bytes.Equal(prior.Bytes, expected) {
			return Value{}, &ConditionFailedError{k, prior}
		}
		return Value{Bytes: value, Exists: true}, nil
	})
	return err
}

// InitPut is Put if there is no value, or the same one; else a *ConditionFailedError.
// With failOnTombstones, a deleted key is no place for a first value either.
func (w *Writer) InitPut(k keys.Key, ts hlc.Timestamp, value []byte, failOnTombstones bool) error {
	_, err := w.apply(k, ts, true, func(prior Value) (Value, error) {
		deleted := !prior.Exists && !prior.Timestamp.IsEmpty()
		if prior.Exists && !bytes.Equal(prior.Bytes, value) || deleted && failOnTombstones {
			return Value{}, &ConditionFailedError{k, prior}
		}
		return Value{Bytes: value, Exists: true}, nil
	})
	return err
}

// Increment adds by to the integer at k, 0 if there is none, and returns the sum.
// Integers are 8 bytes, highest first (EncodeInt).
func (w *Writer) Increment(k keys.Key, ts hlc.Timestamp, by int64) (int64, error) {
	var n int64
	_, err := w.apply(k, ts, true, func(prior Value) (_ Value, err error) {
		if prior.Exists {
			if n, err = DecodeInt(prior.Bytes); err != nil {
				return Value{}, fmt.Errorf("%w: %v has %d bytes", err, k, len(prior.Bytes))
			}
		}
		if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
			return Value{}, fmt.Errorf("%w: %d + %d at %v", ErrOverflow, n, by, k)
		}
		n += by
		return Value{Bytes: EncodeInt(n), Exists: true}, nil
	})
	return n, err
}

// DeleteRange deletes what the span holds as of ts, in ascending order, at most limit
// keys if limit is not 0, and lists the keys. It reads the span: a version above ts
// anywhere in what was read is a *WriteTooOldError. resume is what was not looked at.
func (w *Writer) DeleteRange(s keys.Span, ts hlc.Timestamp, limit int64) (deleted []keys.Key, resume keys.Span, err error) {
	o := ReadOptions{FailOnMoreRecent: true, Lock: kv.LockIntent}
	if w.Txn != nil {
		// As it was before this write: a repetition finds the same keys.
		before := *w.Txn
		before.Sequence--
		o.Txn = &before
	}
	rows, resume, err := ScanWith(w.Reader, s, ts, Limit{Keys: limit}, o)
	for i := 0; i < len(rows) && err == nil; i++ {
		k := rows[i].Key.Clone()
		deleted = append(deleted, k)
		_, err = w.Delete(k, ts)
	}
	if err != nil {
		return nil, keys.Span{}, err
	}
	return deleted, resume, nil
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

// apply does one write, of which f is the change. reads says that the change, or the
// answer, depends on the prior value, which is returned.
func (w *Writer) apply(k keys.Key, ts hlc.Timestamp, reads bool, f change) (prior Value, err error) {
	if ts.IsEmpty() {
		panic("mvcc: a write without a timestamp")
	}
	st, err := look(w.Reader, k)
	if err != nil {
		return Value{}, err
	}
	if w.Txn != nil {
		return w.applyTxn(k, ts, &st, reads, f)
	}
	if locks := st.rec.conflicts(k, kv.TxnID{}, kv.LockIntent); len(locks) > 0 {
		return Value{}, &LockConflictError{locks}
	}
	if ts.LessEq(st.last.Timestamp) {
		return Value{}, &WriteTooOldError{k, ts, st.last.Timestamp}
	}
	v, err := f(st.last)
	if err != nil {
		return Value{}, err
	}
	v.Timestamp = ts
	w.write(k, st.last, v)
	return st.last, nil
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
	w.Stats.committed(v, 1)
	w.Stats.live(len(key)-versionLen, prev, -1)
	w.Stats.live(len(key)-versionLen, v, 1)
	if prev.Timestamp.IsEmpty() {
		w.Stats.key(len(key)-versionLen, v, 1)
	}
}
