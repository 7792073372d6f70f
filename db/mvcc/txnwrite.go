package mvcc

import (
	"bytes"
	"fmt"
	"slices"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// applyTxn is apply for a transaction that reads at readTS: it leaves an intent.
func (w *Writer) applyTxn(k keys.Key, readTS hlc.Timestamp, st *standing, reads bool, f change) (prior Value, err error) {
	t := w.Txn
	if t.WriteTS.Less(readTS) {
		panic(fmt.Sprintf("mvcc: transaction %v writes below %v, where it reads", t.TxnMeta, readTS))
	}
	if locks := st.rec.conflicts(k, t.ID, kv.LockIntent); len(locks) > 0 {
		return Value{}, &LockConflictError{locks}
	}
	if err := st.rec.stale(k, &t.TxnMeta); err != nil {
		return Value{}, err
	}
	in := st.rec.intentOf(t.ID)
	if in != nil && in.Txn.Epoch == t.Epoch && t.Sequence <= in.Txn.Sequence {
		return w.replay(k, st, in, f)
	}
	next := &Intent{Txn: t.TxnMeta}
	own := false
	if in != nil {
		// What was pushed stays pushed, whatever the transaction knows of it.
		next.Txn.WriteTS = t.WriteTS.Forward(in.Txn.WriteTS)
		if in.Txn.Epoch == t.Epoch {
			prior, own = in.at(t.Sequence-1, t.IgnoredSeqs, st.prov)
			next.History = in.past(t.IgnoredSeqs, st.prov)
		}
	}
	if !own {
		prior = st.last
		// A prior value above the read would be one that the transaction, whose snapshot
		// is at readTS, must not see; and beneath it the snapshot is not the present.
		if last := prior.Timestamp; next.Txn.WriteTS.LessEq(last) || reads && readTS.Less(last) {
			return Value{}, &WriteTooOldError{k, readTS, last}
		}
	}
	v, err := f(prior)
	if err != nil {
		return Value{}, err
	}
	v.Timestamp, v.Local = next.Txn.WriteTS, w.Local
	if v.Local.IsEmpty() {
		v.Local = v.Timestamp
	}
	if in != nil && in.Txn.Epoch == t.Epoch {
		v.Local = st.prov.Local // when the intent was first written
	}
	w.Written = w.Written.Forward(v.Timestamp)
	rec := &Record{Intent: next}
	if st.rec != nil {
		rec.Locks = st.rec.withoutVoid(t)
	}
	w.replace(k, st, rec, v)
	return prior, nil
}

// replay answers a write that was executed already: with the same answer, if it is
// the same write.
func (w *Writer) replay(k keys.Key, st *standing, in *Intent, f change) (prior Value, err error) {
	t := w.Txn
	refuse := func(format string, args ...any) (Value, error) {
		return Value{}, &SequenceError{k, t.Sequence, fmt.Sprintf(format, args...)}
	}
	if t.SeqIgnored(t.Sequence) {
		return refuse("it was rolled back")
	}
	wrote, ok := in.wrote(t.Sequence, st.prov)
	if !ok {
		return refuse("it comes after write %d and was never executed", in.Txn.Sequence)
	}
	if prior, ok = in.at(t.Sequence-1, t.IgnoredSeqs, st.prov); !ok {
		prior = st.last
	}
	v, err := f(prior)
	if err != nil {
		return refuse("it was executed, and now fails: %v", err)
	}
	if v.Exists != wrote.Exists || !bytes.Equal(v.Bytes, wrote.Bytes) {
		v.Timestamp = wrote.Timestamp
		return refuse("it was executed and left %v, and now wants to leave %v", wrote, v)
	}
	w.Written = w.Written.Forward(in.Txn.WriteTS)
	return prior, nil
}

// stale is a *StaleEpochError if the transaction has something here of a higher epoch.
func (r *Record) stale(k keys.Key, t *kv.TxnMeta) error {
	if r == nil {
		return nil
	}
	if in := r.intentOf(t.ID); in != nil && in.Txn.Epoch > t.Epoch {
		return &StaleEpochError{k, t.Epoch, in.Txn.Epoch}
	}
	for _, h := range r.Locks {
		if h.Txn.ID == t.ID && h.Txn.Epoch > t.Epoch {
			return &StaleEpochError{k, t.Epoch, h.Txn.Epoch}
		}
	}
	return nil
}

// withoutVoid are the locks but for those that t holds of lower epochs.
func (r *Record) withoutVoid(t *kv.Txn) []Held {
	void := func(h Held) bool { return h.Txn.ID == t.ID && h.Txn.Epoch < t.Epoch }
	if !slices.ContainsFunc(r.Locks, void) {
		return r.Locks
	}
	return slices.DeleteFunc(slices.Clone(r.Locks), void)
}

// AcquireLock takes a replicated lock without value for w.Txn, of the given strength:
// Shared or Exclusive. It returns a *LockConflictError when others have a lock that
// conflicts. A lock that the epoch holds already, and has not rolled back, is enough.
// It does not look at versions: that is for the read which the lock is to protect.
// ResolveIntent releases it.
func (w *Writer) AcquireLock(k keys.Key, s kv.LockStrength) error {
	if s != kv.LockShared && s != kv.LockExclusive || w.Txn == nil {
		panic(fmt.Sprintf("mvcc: %v lock without a value, of %v", s, w.Txn))
	}
	st, err := look(w.Reader, k)
	if err != nil {
		return err
	}
	t := w.Txn
	if locks := st.rec.conflicts(k, t.ID, s); len(locks) > 0 {
		return &LockConflictError{locks}
	}
	if err := st.rec.stale(k, &t.TxnMeta); err != nil {
		return err
	}
	rec := &Record{}
	if st.rec != nil {
		if in := st.rec.Intent; in != nil && in.Txn.Epoch == t.Epoch {
			rec.Intent = in // one of a lower epoch is void, and goes
		}
		for _, h := range st.rec.Locks {
			if h.Txn.ID == t.ID && h.Strength >= s && h.Txn.Epoch == t.Epoch && !t.SeqIgnored(h.Txn.Sequence) {
				return nil
			}
		}
		rec.Locks = st.rec.withoutVoid(t)
	}
	rec.Locks = rec.withLock(Held{t.TxnMeta, s})
	w.replace(k, &st, rec, st.prov)
	return nil
}
