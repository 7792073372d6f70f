package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
)

// Record is what stands at the bare key, about the key as a whole: who has written
// to it and is not known to have committed, and who has locked it without writing.
// A key about which there is nothing to say has none.
type Record struct {
	// Intent is nil if nobody has an uncommitted value here. Otherwise the newest
	// version of the key, the one at Intent.Txn.WriteTS, is that provisional value,
	// all others are committed, and Locks are of the same transaction.
	Intent *Intent
	// Locks are replicated locks without a value, ascending by ID and strength.
	// Several transactions have one together only if all are Shared.
	Locks []Held
}

// Intent tells of the provisional value of a key.
type Intent struct {
	// Txn.Sequence is that of the write that left the provisional value, and
	// Txn.WriteTS the version's timestamp, which never moves down.
	Txn kv.TxnMeta
	// History are the values that the same epoch had written here before, ascending
	// by sequence, all below Txn.Sequence: what a rollback to a savepoint, or a read
	// of an earlier sequence, falls back on.
	History []Past
}

// Past is a value that its transaction has overwritten.
type Past struct {
	Sequence int32
	Exists   bool // false: a tombstone
	Bytes    []byte
}

// Held is a lock without a value.
type Held struct {
	Txn      kv.TxnMeta
	Strength kv.LockStrength // Shared or Exclusive
}

// at is the value that the intent's transaction had written by sequence seq, as far
// as that was not rolled back; prov is the provisional value. ok is false if there
// is none.
func (in *Intent) at(seq int32, ignored []kv.SeqRange, prov Value) (v Value, ok bool) {
	if in.Txn.Sequence <= seq && !kv.SeqIgnored(ignored, in.Txn.Sequence) {
		return prov, true
	}
	for n := len(in.History) - 1; n >= 0; n-- {
		if p := &in.History[n]; p.Sequence <= seq && !kv.SeqIgnored(ignored, p.Sequence) {
			prov.Bytes, prov.Exists = p.Bytes, p.Exists
			return prov, true
		}
	}
	return Value{}, false
}

// wrote is the value that was written with exactly the sequence seq.
func (in *Intent) wrote(seq int32, prov Value) (v Value, ok bool) {
	if in.Txn.Sequence == seq {
		return prov, true
	}
	for _, p := range in.History {
		if p.Sequence == seq {
			prov.Bytes, prov.Exists = p.Bytes, p.Exists
			return prov, true
		}
	}
	return Value{}, false
}

// past is the history for a write after the provisional value: what was rolled back
// is left out, since it can never be seen again.
func (in *Intent) past(ignored []kv.SeqRange, prov Value) []Past {
	all := make([]Past, 0, len(in.History)+1)
	for _, p := range in.History {
		if !kv.SeqIgnored(ignored, p.Sequence) {
			all = append(all, p)
		}
	}
	if !kv.SeqIgnored(ignored, in.Txn.Sequence) {
		all = append(all, Past{Sequence: in.Txn.Sequence, Exists: prov.Exists, Bytes: prov.Bytes})
	}
	return all
}

// empty reports that there is nothing left to say about the key.
func (r *Record) empty() bool { return r.Intent == nil && len(r.Locks) == 0 }

// intentOf is the intent, if it belongs to the transaction.
func (r *Record) intentOf(id kv.TxnID) *Intent {
	if r != nil && r.Intent != nil && r.Intent.Txn.ID == id {
		return r.Intent
	}
	return nil
}

// Flags of an encoded record.
const (
	flagIntent      = 1
	allRecordFlags  = flagIntent
	minPastSize     = 3  // sequence, flag, length
	minHeldSize     = 23 // strength, and the least that a TxnMeta takes
	recordHeaderLen = 4 + 1
)

// encodeRecord appends the engine value of r under the bare key:
//
//	u32 checksum of key and rest | flags | [ meta | n { sequence | exists | bytes } ] | n { strength | meta }
func encodeRecord(b, bare []byte, r *Record) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0)
	if in := r.Intent; in != nil {
		b[start+4] = flagIntent
		b = codec.AppendUvarint(in.Txn.Encode(b), uint64(len(in.History)))
		for _, p := range in.History {
			b = codec.AppendBool(codec.AppendVarint(b, int64(p.Sequence)), p.Exists)
			b = codec.AppendBytes(b, p.Bytes)
		}
	}
	b = codec.AppendUvarint(b, uint64(len(r.Locks)))
	for i := range r.Locks {
		b = r.Locks[i].Txn.Encode(append(b, byte(r.Locks[i].Strength)))
	}
	binary.BigEndian.PutUint32(b[start:], valueSum(bare, b[start+4:]))
	return b
}

// DecodeRecord reads what stands at a bare engine key. Anything but what was written
// there is a *CorruptionError. The record shares no memory with val.
func DecodeRecord(bare, val []byte) (*Record, error) {
	if len(val) < recordHeaderLen {
		return nil, &CorruptionError{bare, fmt.Sprintf("a record of %d bytes", len(val))}
	}
	if binary.BigEndian.Uint32(val) != valueSum(bare, val[4:]) {
		return nil, &CorruptionError{bare, "checksum mismatch of the record"}
	}
	r := codec.NewReader(val[recordHeaderLen:])
	rec := &Record{}
	if val[4]&^allRecordFlags != 0 {
		r.Failf("unknown flags %x", val[4])
	}
	if val[4]&flagIntent != 0 {
		rec.Intent = decodeIntent(r)
	}
	if n := r.Count(-1, minHeldSize); n > 0 {
		rec.Locks = make([]Held, n)
		for i := range rec.Locks {
			rec.Locks[i] = Held{Strength: kv.LockStrength(r.Byte()), Txn: kv.DecodeTxnMeta(r)}
		}
	}
	err := r.Done()
	if err == nil {
		err = rec.check()
	}
	if err != nil {
		return nil, &CorruptionError{bare, err.Error()}
	}
	return rec, nil
}

func decodeIntent(r *codec.Reader) *Intent {
	in := &Intent{Txn: kv.DecodeTxnMeta(r)}
	if n := r.Count(-1, minPastSize); n > 0 {
		in.History = make([]Past, n)
		for i := range in.History {
			in.History[i] = Past{Sequence: r.Int32(), Exists: r.Bool(), Bytes: r.Bytes()}
		}
	}
	return in
}

// check tells what is wrong with a record that was read.
func (r *Record) check() error {
	if r.empty() {
		return fmt.Errorf("a record of nothing")
	}
	if in := r.Intent; in != nil {
		if in.Txn.ID == (kv.TxnID{}) {
			return fmt.Errorf("an intent of nobody")
		}
		if in.Txn.WriteTS.IsEmpty() || in.Txn.WriteTS.Wall < 0 {
			return fmt.Errorf("an intent at %v", in.Txn.WriteTS)
		}
		for i, p := range in.History {
			next := in.Txn.Sequence
			if i+1 < len(in.History) {
				next = in.History[i+1].Sequence
			}
			if p.Sequence >= next {
				return fmt.Errorf("sequence %d in the history before %d", p.Sequence, next)
			}
			if !p.Exists && len(p.Bytes) > 0 {
				return fmt.Errorf("a tombstone with %d bytes", len(p.Bytes))
			}
		}
	}
	for i, h := range r.Locks {
		switch {
		case h.Txn.ID == (kv.TxnID{}):
			return fmt.Errorf("a lock of nobody")
		case h.Strength != kv.LockShared && h.Strength != kv.LockExclusive:
			return fmt.Errorf("a lock of strength %d", h.Strength)
		case i > 0 && compareHeld(r.Locks[i-1], h) >= 0:
			return fmt.Errorf("locks out of order")
		case r.Intent != nil && h.Txn.ID != r.Intent.Txn.ID,
			h.Txn.ID != r.Locks[0].Txn.ID && (h.Strength == kv.LockExclusive || r.Locks[0].Strength == kv.LockExclusive):
			return fmt.Errorf("two transactions hold what only one can")
		}
	}
	return nil
}

func compareHeld(a, b Held) int {
	if c := bytes.Compare(a.Txn.ID[:], b.Txn.ID[:]); c != 0 {
		return c
	}
	return int(a.Strength) - int(b.Strength)
}

// withLock is the locks with h among them.
func (r *Record) withLock(h Held) []Held {
	all := slices.Clone(r.Locks)
	i, found := slices.BinarySearchFunc(all, h, compareHeld)
	if found {
		all[i] = h
		return all
	}
	return slices.Insert(all, i, h)
}

// String shows the record for people.
func (r *Record) String() string {
	var b strings.Builder
	if in := r.Intent; in != nil {
		fmt.Fprintf(&b, "intent of %s epoch %d seq %d at %v", kv.FormatTxnID(in.Txn.ID), in.Txn.Epoch, in.Txn.Sequence, in.Txn.WriteTS)
		for _, p := range in.History {
			if p.Exists {
				fmt.Fprintf(&b, ", %d: %q", p.Sequence, p.Bytes)
			} else {
				fmt.Fprintf(&b, ", %d: deleted", p.Sequence)
			}
		}
	}
	for i, h := range r.Locks {
		if i > 0 || r.Intent != nil {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s lock of %s epoch %d seq %d", h.Strength, kv.FormatTxnID(h.Txn.ID), h.Txn.Epoch, h.Txn.Sequence)
	}
	return b.String()
}
