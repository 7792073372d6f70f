package mvcc

import (
	"bytes"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/storage"
)

// walk steps through the user keys of a span, in either direction, and at each
// through its versions from newest to oldest.
type walk struct {
	it  *storage.Iter
	end keys.Key
	key []byte // escaped user key at which the walk stands
	buf []byte

	// k and v are the engine key and value at which the walk stands. They stay valid
	// when the iterator moves.
	k, v []byte

	// Backwards, a key is met at its oldest version. If its versions are few, enter
	// passes them all: held are those not yet looked at, oldest first, and the iterator
	// stands before the key already. Otherwise it goes to the key's begin.
	reverse bool
	passed  bool
	held    []entry
}

type entry struct{ k, v []byte }

// maxSteps is after how many versions of one key a seek is cheaper than steps.
const maxSteps = 6

func makeWalk(r storage.Reader, s keys.Span) walk {
	lo, hi := EncodeSpan(s)
	end := s.EndKey
	if s.IsPoint() {
		end = s.Key.Next()
	}
	return walk{it: r.NewIter(lo, hi), end: end}
}

// first goes to the first key, or backwards to the last.
func (w *walk) first() bool {
	if w.reverse {
		return w.it.Last()
	}
	return w.it.First()
}

// next goes to the key after, or backwards before, the one that was entered.
func (w *walk) next() bool {
	if w.reverse {
		return w.prevKey()
	}
	return w.nextKey()
}

// enter begins with the key at which the iterator stands: with its record, if it has
// one, for which at is zero, else with its newest version.
func (w *walk) enter() (at hlc.Timestamp, err error) {
	if w.key, at, err = splitKey(w.it.Key()); err != nil || !w.reverse {
		w.k, w.v = w.it.Key(), w.it.Value()
		return at, err
	}
	w.held, w.passed = w.held[:0], true
	for n := 0; n <= maxSteps; n++ {
		if n > 0 {
			w.held = append(w.held, entry{w.k, w.v})
		}
		w.k, w.v = w.it.Key(), w.it.Value()
		if w.it.Prev(); !w.here() {
			if n > 0 { // at is that of the oldest
				_, at, err = splitKey(w.k)
			}
			if e := w.it.Err(); e != nil {
				err = e
			}
			return at, err
		}
	}
	w.held, w.passed = w.held[:0], false
	w.buf = append(append(w.buf[:0], w.key...), 0, endMark)
	if !w.it.SeekGE(w.buf) {
		return at, w.it.Err()
	}
	w.k, w.v = w.it.Key(), w.it.Value()
	_, at, err = splitKey(w.k)
	return at, err
}

// step goes to the next older version of the key. ok is false if there is none.
func (w *walk) step() (at hlc.Timestamp, ok bool, err error) {
	if w.passed {
		n := len(w.held)
		if n == 0 {
			return at, false, nil
		}
		w.k, w.v = w.held[n-1].k, w.held[n-1].v
		w.held = w.held[:n-1]
	} else {
		if w.it.Next(); !w.here() {
			return at, false, w.it.Err()
		}
		w.k, w.v = w.it.Key(), w.it.Value()
	}
	_, at, err = splitKey(w.k)
	return at, err == nil, err
}

// seek goes to the newest version of the key at or below ts, by the iterator: not
// backwards, when the key was passed.
func (w *walk) seek(ts hlc.Timestamp) (at hlc.Timestamp, ok bool, err error) {
	w.buf = append(append(w.buf[:0], w.key...), 0, endMark)
	w.buf = appendVersion(w.buf, ts)
	w.it.SeekGE(w.buf)
	if !w.here() {
		return at, false, w.it.Err()
	}
	w.k, w.v = w.it.Key(), w.it.Value()
	_, at, err = splitKey(w.k)
	return at, err == nil, err
}

// descend goes, from the version at, to the newest version at or below ts.
func (w *walk) descend(at, ts hlc.Timestamp) (_ hlc.Timestamp, ok bool, err error) {
	ok = true
	for n := 0; ok && ts.Less(at); n++ {
		if n == maxSteps && !w.passed {
			return w.seek(ts)
		}
		at, ok, err = w.step()
	}
	return at, ok, err
}

// value decodes the version at which the walk stands.
func (w *walk) value(at hlc.Timestamp) (Value, error) { return decodeValue(w.k, w.v, at) }

// here reports whether the iterator stands at w.key.
func (w *walk) here() bool {
	if !w.it.Valid() {
		return false
	}
	k := w.it.Key()
	n := len(w.key)
	return len(k) >= n+2 && bytes.Equal(k[:n], w.key) && k[n] == 0 && k[n+1] == endMark
}

// nextKey goes to the begin of the next key.
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
	if !w.passed {
		w.buf = append(append(w.buf[:0], w.key...), 0, endMark)
		w.it.SeekLT(w.buf)
	}
	return w.it.Valid()
}
