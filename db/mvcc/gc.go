package mvcc

import (
	"bytes"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/storage"
)

// CheckReadable returns a *BelowThresholdError if versions that a read at ts needs, or
// a refresh from ts, may have been collected: at and below the threshold.
func CheckReadable(ts, threshold hlc.Timestamp) error {
	if !threshold.IsEmpty() && ts.LessEq(threshold) {
		return &BelowThresholdError{ts, threshold}
	}
	return nil
}

// GC removes, at each of the keys, the versions that no read above the threshold can
// see: those below the newest committed version that is at or below the threshold,
// and that one too if it is a tombstone. Intents are never touched, nor taken for the
// committed version that others hide behind: an intent may yet be removed. No read at
// or below the threshold may be served from when this applies.
func (w *Writer) GC(threshold hlc.Timestamp, ks []keys.Key) error {
	for _, k := range ks {
		if err := w.collect(k, threshold); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) collect(k keys.Key, threshold hlc.Timestamp) error {
	wk := makeWalk(w.Reader, keys.Span{Key: k})
	defer wk.it.Close()
	if !wk.first() {
		return wk.it.Err()
	}
	g := garbage{w: &wk, threshold: threshold}
	kept, err := g.visit(func(at hlc.Timestamp, v Value) bool {
		w.Batch.Delete(bytes.Clone(wk.k))
		w.Stats.committed(v, -1)
		return true
	})
	if err == nil && !kept && g.found {
		bare := EncodeKey(nil, k, hlc.Timestamp{})
		w.Stats.key(len(bare), Value{Timestamp: threshold}, -1)
	}
	return err
}

// FindGarbage lists the keys of the span at which GC would remove something; if limit
// is not 0, the first so many. resume is the rest of the span.
func FindGarbage(r storage.Reader, s keys.Span, threshold hlc.Timestamp, limit int64) (ks []keys.Key, resume keys.Span, err error) {
	w := makeWalk(r, s)
	defer w.it.Close()
	g := garbage{w: &w, threshold: threshold}
	for ok := w.first(); ok; ok = w.next() {
		if _, err := g.visit(func(hlc.Timestamp, Value) bool { return false }); err != nil {
			return nil, keys.Span{}, err
		}
		if !g.found {
			continue
		}
		k := unescape(w.key).Clone()
		if limit > 0 && int64(len(ks)) >= limit {
			return ks, keys.Span{Key: k, EndKey: w.end}, nil
		}
		ks = append(ks, k)
	}
	return ks, keys.Span{}, w.it.Err()
}

// garbage looks at the versions of one key of a walk after the other.
type garbage struct {
	w         *walk
	threshold hlc.Timestamp
	found     bool // at the key last visited
}

// visit calls f with each version of the key, at which the walk is about to enter,
// that may go, until f returns false. kept tells whether any version stays.
func (g *garbage) visit(f func(at hlc.Timestamp, v Value) bool) (kept bool, err error) {
	g.found = false
	at, err := g.w.enter()
	if err != nil {
		return false, err
	}
	ok := true
	if at.IsEmpty() {
		rec, err := DecodeRecord(g.w.k, g.w.v)
		if err != nil {
			return false, err
		}
		at, ok, err = g.w.step()
		if rec.Intent != nil && ok && err == nil {
			kept = true
			at, ok, err = g.w.step()
		}
		if err != nil {
			return false, err
		}
	}
	if !ok {
		return kept, nil
	}
	newest := at
	if at, ok, err = g.w.descend(at, g.threshold); !ok || err != nil {
		return true, err
	}
	kept = kept || at != newest
	for hidden := false; ok; hidden = true {
		v, err := g.w.value(at)
		if err != nil {
			return false, err
		}
		if hidden || !v.Exists {
			g.found = true
			if !f(at, v) {
				return kept, nil
			}
		} else {
			kept = true
		}
		if at, ok, err = g.w.step(); err != nil {
			return false, err
		}
	}
	return kept, nil
}
