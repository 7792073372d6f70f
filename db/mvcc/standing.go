package mvcc

import (
	"bytes"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/storage"
)

// standing is what a key holds.
type standing struct {
	rec     *Record // nil: none
	recSize int     // bytes of the record in the engine, without its key
	prov    Value   // the provisional value, if there is an intent
	last    Value   // the newest committed version
}

// intent is the intent, nil if there is none.
func (r *Record) intent() *Intent {
	if r == nil {
		return nil
	}
	return r.Intent
}

// newest is the newest version of all, which is what counts as live.
func (st *standing) newest() Value {
	if st.rec.intent() != nil {
		return st.prov
	}
	return st.last
}

// look reads what k holds.
func look(r storage.Reader, k keys.Key) (st standing, err error) {
	if st, err = lookFront(r, k); err == nil && st.rec != nil {
		err = st.lookBelow(r, k)
	}
	return st, err
}

// lookFront is look without the newest committed version of a key that has a record,
// for those who ask about the intent alone.
//
// What the engine has of one key grows at its front, as storage.Reader's Front wants it:
// a version is written above all that stand, a provisional one together with its record,
// and whatever is garbage is only removed. So does the rest of it, from any version on.
func lookFront(r storage.Reader, k keys.Key) (st standing, err error) {
	lo, hi := pointBounds(k)
	first, val, ok, err := r.Front(lo, hi)
	if !ok || err != nil {
		return st, err
	}
	_, at, err := splitKey(first)
	if err != nil {
		return st, err
	}
	if !at.IsEmpty() {
		st.last, err = decodeValue(first, val, at)
		return st, err
	}
	st.recSize = len(val)
	if st.rec, err = DecodeRecord(first, val); err != nil {
		return st, err
	}
	if in := st.rec.Intent; in != nil {
		if st.prov, err = newestFrom(r, appendVersion(lo, hlc.Max), hi); err != nil {
			return st, err
		}
		if st.prov.Timestamp != in.Txn.WriteTS {
			return st, &CorruptionError{lo, fmt.Sprintf("an intent at %v, where the newest version is %v", in.Txn.WriteTS, st.prov)}
		}
	}
	return st, nil
}

// lookBelow adds the newest committed version of k, which has a record.
func (st *standing) lookBelow(r storage.Reader, k keys.Key) (err error) {
	lo, hi := pointBounds(k)
	if st.rec.Intent == nil {
		lo = appendVersion(lo, hlc.Max)
	} else {
		lo = append(appendVersion(lo, st.prov.Timestamp), 0) // right behind
	}
	st.last, err = newestFrom(r, lo, hi)
	return err
}

// newestFrom is the newest version of a key from lo on, the zero Value if there is none.
func newestFrom(r storage.Reader, lo, hi []byte) (Value, error) {
	k, v, ok, err := r.Front(lo, hi)
	if !ok || err != nil {
		return Value{}, err
	}
	_, at, err := splitKey(k)
	if err != nil {
		return Value{}, err
	}
	return decodeValue(k, v, at)
}

// replace puts rec, which may be nil or empty, with prov as its intent's value, in the
// place of what st says of the record and the provisional value of k. The committed
// versions are left alone.
func (w *Writer) replace(k keys.Key, st *standing, rec *Record, prov Value) {
	bare := EncodeKey(nil, k, hlc.Timestamp{})
	had, has := st.rec.intent() != nil, rec.intent() != nil
	now := st.last
	if has {
		now = prov
	}
	if had {
		w.Stats.provisional(st.prov, -1)
		if !has || prov.Timestamp != st.prov.Timestamp {
			w.Batch.Delete(appendVersion(bytes.Clone(bare), st.prov.Timestamp))
		}
	}
	if has {
		w.Stats.provisional(prov, 1)
		if !had || !prov.same(&st.prov) {
			w.putVersion(bare, prov)
		}
	}
	w.renew(bare, st.newest(), now)
	w.putRecord(bare, st, rec)
}

// commit makes v a committed version in the place of k's provisional value, and
// removes the record, of which nothing else is left.
func (w *Writer) commit(k keys.Key, st *standing, v Value) {
	bare := EncodeKey(nil, k, hlc.Timestamp{})
	if v.Timestamp != st.prov.Timestamp {
		w.Batch.Delete(appendVersion(bytes.Clone(bare), st.prov.Timestamp))
	}
	if !v.same(&st.prov) {
		w.putVersion(bare, v)
	}
	w.Stats.provisional(st.prov, -1)
	w.Stats.committed(v, 1)
	w.renew(bare, st.prov, v)
	w.putRecord(bare, st, nil)
}

func (w *Writer) putVersion(bare []byte, v Value) {
	key := appendVersion(bytes.Clone(bare), v.Timestamp)
	w.Batch.Put(key, encodeValue(nil, key, v))
}

// putRecord puts rec, or nothing if it is nil or empty, in the place of st's.
func (w *Writer) putRecord(bare []byte, st *standing, rec *Record) {
	if st.rec != nil {
		w.Stats.record(len(bare), st.rec, st.recSize, -1)
	}
	if rec != nil && !rec.empty() {
		val := encodeRecord(nil, bare, rec)
		w.Batch.Put(bare, val)
		w.Stats.record(len(bare), rec, len(val), 1)
	} else if st.rec != nil {
		w.Batch.Delete(bare)
	}
}

// renew accounts for now being the newest version of a key where was used to be.
// Either may be none.
func (w *Writer) renew(bare []byte, was, now Value) {
	w.Stats.live(len(bare), was, -1)
	w.Stats.live(len(bare), now, 1)
	w.Stats.key(len(bare), was, -1)
	w.Stats.key(len(bare), now, 1)
}

// same reports that the two are one version.
func (v *Value) same(o *Value) bool {
	return v.Timestamp == o.Timestamp && v.Local == o.Local && v.Exists == o.Exists && bytes.Equal(v.Bytes, o.Bytes)
}
