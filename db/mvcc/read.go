package mvcc

import (
	"bytes"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// Get returns the newest version of k at or below ts: a value, a tombstone, or the
// zero Value when there is none. Its bytes are the engine's and must not be changed.
func Get(r storage.Reader, k keys.Key, ts hlc.Timestamp) (Value, error) {
	if ts.IsEmpty() {
		return Value{}, nil
	}
	var scratch [128]byte
	lo := EncodeKey(scratch[:0], k, ts)
	hi := append(bytes.Clone(lo[:len(lo)-versionLen-1]), afterEnd)
	it := r.NewIter(lo, hi)
	defer it.Close()
	if !it.First() {
		return Value{}, it.Err()
	}
	_, at, err := splitKey(it.Key())
	if err != nil {
		return Value{}, err
	}
	return decodeValue(it.Key(), it.Value(), at)
}

// newest returns the newest version of k, whatever its timestamp.
func newest(r storage.Reader, k keys.Key) (Value, error) { return Get(r, k, hlc.Max) }

// Limit bounds a scan; zero fields do not. Bytes counts keys and values of rows;
// the row that reaches it is the last.
type Limit struct{ Keys, Bytes int64 }

func (l Limit) reached(rows int, bytes int64) bool {
	return l.Keys > 0 && int64(rows) >= l.Keys || l.Bytes > 0 && bytes >= l.Bytes
}

// Scan returns the rows of the span as of ts, in ascending order. If the limit cut
// it short, resume is the rest of the span, from the first row that was not
// returned; otherwise it is the zero Span. What lies in resume was not read, as far
// as the caller is concerned.
func Scan(r storage.Reader, s keys.Span, ts hlc.Timestamp, l Limit) (rows []kv.KeyValue, resume keys.Span, err error) {
	w := newWalk(r, s)
	defer w.it.Close()
	var size int64
	for ok := w.it.First(); ok; ok = w.nextKey() {
		v, err := w.asOf(ts)
		if err != nil {
			return nil, keys.Span{}, err
		}
		if !v.Exists {
			continue
		}
		if l.reached(len(rows), size) {
			return rows, keys.Span{Key: unescape(w.key).Clone(), EndKey: w.end}, nil
		}
		k := unescape(w.key)
		rows = append(rows, kv.KeyValue{Key: k, Value: v.Bytes, Timestamp: v.Timestamp})
		size += int64(len(k) + len(v.Bytes))
	}
	return rows, keys.Span{}, w.it.Err()
}

// ReverseScan is Scan in descending order; resume is the lower part of the span.
func ReverseScan(r storage.Reader, s keys.Span, ts hlc.Timestamp, l Limit) (rows []kv.KeyValue, resume keys.Span, err error) {
	w := newWalk(r, s)
	defer w.it.Close()
	var size int64
	for ok := w.it.Last(); ok; ok = w.prevKey() {
		v, err := w.asOfReverse(ts)
		if err != nil {
			return nil, keys.Span{}, err
		}
		if !v.Exists {
			continue
		}
		k := unescape(w.key)
		if l.reached(len(rows), size) {
			return rows, keys.Span{Key: s.Key, EndKey: k.Next()}, nil
		}
		rows = append(rows, kv.KeyValue{Key: k, Value: v.Bytes, Timestamp: v.Timestamp})
		size += int64(len(k) + len(v.Bytes))
	}
	return rows, keys.Span{}, w.it.Err()
}

// walk steps through the user keys of a span.
type walk struct {
	it  *storage.Iter
	end keys.Key
	key []byte // escaped user key of the version last looked at
	buf []byte
}

func newWalk(r storage.Reader, s keys.Span) *walk {
	lo, hi := EncodeSpan(s)
	end := s.EndKey
	if s.IsPoint() {
		end = s.Key.Next()
	}
	return &walk{it: r.NewIter(lo, hi), end: end}
}

// maxSteps is after how many versions of one key a seek is cheaper than steps.
const maxSteps = 6

// enter notes the key at which the iterator stands.
func (w *walk) enter() (at hlc.Timestamp, err error) {
	if w.key, at, err = splitKey(w.it.Key()); err == nil && at.IsEmpty() {
		err = &CorruptionError{w.it.Key(), "a bare key, which nobody writes"}
	}
	return at, err
}

// asOf finds the version at ts of the key at whose newest version the iterator
// stands. It leaves the iterator at some version of the key, or after all of them.
func (w *walk) asOf(ts hlc.Timestamp) (Value, error) {
	at, err := w.enter()
	if err != nil || ts.IsEmpty() {
		return Value{}, err
	}
	for n := 0; ts.Less(at); n++ {
		if n == maxSteps {
			w.seek(ts)
		} else {
			w.it.Next()
		}
		if !w.here() {
			return Value{}, w.it.Err()
		}
		if _, at, err = splitKey(w.it.Key()); err != nil {
			return Value{}, err
		}
	}
	return decodeValue(w.it.Key(), w.it.Value(), at)
}

// asOfReverse is asOf from the oldest version of the key; it leaves the iterator at
// some version of the key, or before all of them.
func (w *walk) asOfReverse(ts hlc.Timestamp) (Value, error) {
	at, err := w.enter()
	if err != nil {
		return Value{}, err
	}
	// The best so far. Keys and values stay valid when the iterator moves.
	var key, val []byte
	var best hlc.Timestamp
	for n := 0; at.LessEq(ts); n++ {
		key, val, best = w.it.Key(), w.it.Value(), at
		if n > maxSteps {
			break // this is where seek went
		}
		if n == maxSteps {
			w.seek(ts)
		} else {
			w.it.Prev()
		}
		if !w.here() {
			break
		}
		if _, at, err = splitKey(w.it.Key()); err != nil {
			return Value{}, err
		}
	}
	if err := w.it.Err(); err != nil || key == nil {
		return Value{}, err
	}
	return decodeValue(key, val, best)
}

func (w *walk) seek(ts hlc.Timestamp) {
	w.buf = append(append(w.buf[:0], w.key...), 0, endMark)
	w.buf = appendVersion(w.buf, ts)
	w.it.SeekGE(w.buf)
}

// here reports whether the iterator stands at a version of w.key.
func (w *walk) here() bool {
	if !w.it.Valid() {
		return false
	}
	k := w.it.Key()
	n := len(w.key)
	return len(k) >= n+2 && bytes.Equal(k[:n], w.key) && k[n] == 0 && k[n+1] == endMark
}

// nextKey goes to the newest version of the next key.
func (w *walk) nextKey() bool {
	for n := 0; w.here(); n++ {
		if n < maxSteps {
			w.it.Next()
			continue
		}
		w.buf = append(append(w.buf[:0], w.key...), 0, afterEnd)
		w.it.SeekGE(w.buf)
	}
	return w.it.Valid()
}

// prevKey goes to the oldest version of the previous key.
func (w *walk) prevKey() bool {
	for n := 0; w.here(); n++ {
		if n < maxSteps {
			w.it.Prev()
			continue
		}
		w.buf = append(append(w.buf[:0], w.key...), 0, endMark)
		w.it.SeekLT(w.buf)
	}
	return w.it.Valid()
}

// String shows a version for people.
func (v Value) String() string {
	switch {
	case v.Timestamp.IsEmpty():
		return "none"
	case !v.Exists:
		return fmt.Sprintf("deleted@%v", v.Timestamp)
	}
	return fmt.Sprintf("%q@%v", v.Bytes, v.Timestamp)
}
