package mvcc

import (
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// ResolveIntent does with the intent and the locks of u.Txn at k what has become of
// the transaction, and reports whether that changed anything. u.Span is not looked at.
//
//   - Committed: an intent of the same epoch at or below u.Txn.WriteTS becomes a
//     version at that timestamp, with the local timestamp that it had; the value is the
//     last one that was not rolled back, and if there is none the intent goes. An
//     intent of another epoch, or above, cannot be a part of what was committed, and
//     goes too, since the transaction is over.
//   - Aborted: the intent goes.
//   - Pending: an intent of a lower epoch goes; any other moves up to u.Txn.WriteTS,
//     and never down. Nothing else changes, rolled back or not: that is for the end.
//     u.ClockObservation is not used: to leave the local timestamp where it is makes
//     more values uncertain than need be, and none fewer.
//   - Staging: an intent of a lower epoch goes; any other stays as it is, because its
//     timestamp decides whether the transaction is committed.
//
// Locks without value are released when the transaction is over or in a higher epoch.
func (w *Writer) ResolveIntent(k keys.Key, u kv.LockUpdate) (changed bool, err error) {
	st, err := lookFront(w.Reader, k)
	if err != nil || st.rec == nil {
		return false, err
	}
	rest := &Record{Intent: st.rec.Intent}
	for _, h := range st.rec.Locks {
		if h.Txn.ID != u.Txn.ID || !u.Status.Finalized() && h.Txn.Epoch >= u.Txn.Epoch {
			rest.Locks = append(rest.Locks, h)
		}
	}
	changed = len(rest.Locks) < len(st.rec.Locks)
	prov := st.prov
	if in := st.rec.intentOf(u.Txn.ID); in != nil {
		switch {
		case u.Status == kv.Committed && in.Txn.Epoch == u.Txn.Epoch && in.Txn.WriteTS.LessEq(u.Txn.WriteTS):
			if v, ok := in.at(in.Txn.Sequence, u.IgnoredSeqs, st.prov); ok {
				v.Timestamp = u.Txn.WriteTS
				w.commit(k, &st, v)
				return true, nil
			}
			rest.Intent = nil
		case u.Status.Finalized() || in.Txn.Epoch < u.Txn.Epoch:
			rest.Intent = nil
		case u.Status == kv.Pending && in.Txn.WriteTS.Less(u.Txn.WriteTS):
			up := *in
			up.Txn.WriteTS, prov.Timestamp = u.Txn.WriteTS, u.Txn.WriteTS
			rest.Intent = &up
		default:
			if !changed {
				return false, nil
			}
		}
		changed = true
	}
	if !changed {
		return false, nil
	}
	if err := st.lookBelow(w.Reader, k); err != nil {
		return false, err
	}
	w.replace(k, &st, rest, prov)
	return true, nil
}

// ResolveIntentRange is ResolveIntent of every key in the span, in ascending order; if
// limit is not 0, until that many were changed. resume is the rest of the span.
func (w *Writer) ResolveIntentRange(s keys.Span, u kv.LockUpdate, limit int64) (changed int64, resume keys.Span, err error) {
	held, resume, err := HeldBy(w.Reader, s, u.Txn.ID, 0)
	for i := 0; i < len(held) && err == nil; i++ {
		if limit > 0 && changed >= limit {
			end := s.EndKey
			if s.IsPoint() {
				end = s.Key.Next()
			}
			return changed, keys.Span{Key: held[i], EndKey: end}, nil
		}
		var ok bool
		if ok, err = w.ResolveIntent(held[i], u); ok {
			changed++
		}
	}
	return changed, resume, err
}

// HeldBy lists the keys of the span at which the transaction has an intent or a
// replicated lock; if limit is not 0, the first so many. resume is the rest.
func HeldBy(r storage.Reader, s keys.Span, id kv.TxnID, limit int64) (held []keys.Key, resume keys.Span, err error) {
	err = visitRecords(r, s, func(w *walk, rec *Record) (more bool) {
		mine := rec.intentOf(id) != nil
		for _, h := range rec.Locks {
			mine = mine || h.Txn.ID == id
		}
		if mine {
			k := unescape(w.key).Clone()
			if limit > 0 && int64(len(held)) >= limit {
				resume = keys.Span{Key: k, EndKey: w.end}
				return false
			}
			held = append(held, k)
		}
		return true
	})
	if err != nil {
		return nil, keys.Span{}, err
	}
	return held, resume, nil
}

// visitRecords calls f at each key of the span that has a record, in ascending order,
// for as long as f returns true.
func visitRecords(r storage.Reader, s keys.Span, f func(w *walk, rec *Record) bool) error {
	w := makeWalk(r, s)
	defer w.it.Close()
	for ok := w.first(); ok; ok = w.next() {
		at, err := w.enter()
		if err != nil {
			return err
		}
		if !at.IsEmpty() {
			continue
		}
		rec, err := DecodeRecord(w.k, w.v)
		if err != nil {
			return err
		}
		if !f(&w, rec) {
			return nil
		}
	}
	return w.it.Err()
}

// QueryIntentResult says what QueryIntent found.
type QueryIntentResult struct {
	// Found: the write was executed, by its transaction's epoch, and has not been
	// removed; At is where the intent stands now.
	Found bool
	At    hlc.Timestamp
	// Proven: Found, and not above the timestamp that was asked for, so that a record
	// that is staging there is committed, as far as this write is concerned.
	Proven bool
}

// QueryIntent asks whether the write of txn.Sequence, epoch txn.Epoch, is at k as an
// intent, of that sequence or a higher one. It changes nothing: to make sure that a
// write that was not found does not come later is for the caller, who must record
// that somebody has read the key at txn.WriteTS.
func QueryIntent(r storage.Reader, k keys.Key, txn *kv.TxnMeta) (QueryIntentResult, error) {
	st, err := lookFront(r, k)
	if err != nil {
		return QueryIntentResult{}, err
	}
	in := st.rec.intentOf(txn.ID)
	if in == nil || in.Txn.Epoch != txn.Epoch || in.Txn.Sequence < txn.Sequence {
		return QueryIntentResult{}, nil
	}
	return QueryIntentResult{Found: true, At: in.Txn.WriteTS, Proven: in.Txn.WriteTS.LessEq(txn.WriteTS)}, nil
}

// Refresh asks whether what transaction id has read in the span, as of from, is the
// same as of to: it returns a *RefreshError if there is a committed version in
// (from, to], a tombstone too, or an intent of anybody else at or below to, which may
// be committed there. It is then, for all others, a read of the span at to.
// Versions at from and below must not have been collected (see CheckReadable).
func Refresh(r storage.Reader, s keys.Span, from, to hlc.Timestamp, id kv.TxnID) error {
	w := makeWalk(r, s)
	defer w.it.Close()
	for ok := w.first(); ok; ok = w.next() {
		at, err := w.enter()
		if err != nil {
			return err
		}
		some := true
		if at.IsEmpty() {
			rec, err := DecodeRecord(w.k, w.v)
			if err != nil {
				return err
			}
			in := rec.Intent
			if in != nil && in.Txn.ID != id && in.Txn.WriteTS.LessEq(to) {
				return &RefreshError{unescape(w.key).Clone(), in.Txn.WriteTS, &in.Txn}
			}
			if at, some, err = w.step(); err != nil {
				return err
			}
			if in != nil && some { // the provisional value
				if at, some, err = w.step(); err != nil {
					return err
				}
			}
		}
		if some {
			at, some, err = w.descend(at, to)
		}
		if err != nil {
			return err
		}
		if some && from.Less(at) {
			return &RefreshError{unescape(w.key).Clone(), at, nil}
		}
	}
	return w.it.Err()
}
