package mvcc

import (
	"bytes"
	"errors"
	"testing"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

func exampleRecords() []*Record {
	meta := func(id byte) kv.TxnMeta {
		return kv.TxnMeta{ID: kv.TxnID{id}, Key: keys.Key("anchor"), Epoch: 2, WriteTS: hlc.Timestamp{Wall: 5, Logical: 1}, MinTS: hlc.Timestamp{Wall: 3}, Priority: 7, Sequence: 9}
	}
	return []*Record{
		{Intent: &Intent{Txn: meta(1)}},
		{Intent: &Intent{Txn: meta(1), History: []Past{{Sequence: 2}, {Sequence: 4, Exists: true, Bytes: []byte("x")}, {Sequence: 5, Exists: true}}},
			Locks: []Held{{meta(1), kv.LockShared}, {meta(1), kv.LockExclusive}}},
		{Locks: []Held{{meta(1), kv.LockShared}, {meta(2), kv.LockShared}}},
	}
}

// FuzzDecodeRecord claims: whatever stands at a bare key is decoded to something that
// encodes to the same bytes, or is a CorruptionError.
func FuzzDecodeRecord(f *testing.F) {
	bare := EncodeKey(nil, keys.Key("a"), hlc.Timestamp{})
	for _, r := range exampleRecords() {
		f.Add(encodeRecord(nil, bare, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4 { // let what follows the checksum be reached
			s := valueSum(bare, b[4:])
			b = append([]byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)}, b[4:]...)
		}
		r, err := DecodeRecord(bare, b)
		var corrupt *CorruptionError
		if err != nil {
			if !errors.As(err, &corrupt) {
				t.Fatal(err)
			}
			return
		}
		if again := encodeRecord(nil, bare, r); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %v, which encodes to %x", b, r, again)
		}
		_ = r.String()
	})
}

// TestRecordDamage claims that no damaged byte of a record, and no record under
// another key, passes.
func TestRecordDamage(t *testing.T) {
	bare := EncodeKey(nil, keys.Key("a"), hlc.Timestamp{})
	for _, r := range exampleRecords() {
		b := encodeRecord(nil, bare, r)
		if _, err := DecodeRecord(EncodeKey(nil, keys.Key("b"), hlc.Timestamp{}), b); err == nil {
			t.Fatalf("%v passes under another key", r)
		}
		for i := range b {
			for bit := range 8 {
				bad := bytes.Clone(b)
				bad[i] ^= 1 << bit
				if _, err := DecodeRecord(bare, bad); err == nil {
					t.Fatalf("%v passes with bit %d of byte %d flipped", r, bit, i)
				}
			}
			if _, err := DecodeRecord(bare, b[:i]); err == nil {
				t.Fatalf("%v passes with %d bytes", r, i)
			}
		}
	}
}

// TestIntentWithoutVersion claims that an intent whose provisional value is gone is
// corruption for whoever meets it, and never a missing value.
func TestIntentWithoutVersion(t *testing.T) {
	withEngine(t, 1, func(_ env.Task, eng *storage.Engine) {
		var b storage.Batch
		w := &Writer{Reader: eng.NewOverlay(&b), Batch: &b}
		if err := w.Put(keys.Key("a"), hlc.Timestamp{Wall: 1}, nil); err != nil {
			t.Fatal(err)
		}
		txn := kv.NewTxn(kv.TxnID{1}, "", 1, hlc.Timestamp{Wall: 5}, hlc.Timestamp{})
		w.Txn = txn
		if err := w.Put(keys.Key("a"), txn.ReadTS, nil); err != nil {
			t.Fatal(err)
		}
		b.Delete(EncodeKey(nil, keys.Key("a"), txn.WriteTS))
		eng.Commit(&b, false, nil)
		var corrupt *CorruptionError
		if _, err := GetWith(eng, keys.Key("a"), txn.ReadTS, ReadOptions{Txn: txn}); !errors.As(err, &corrupt) {
			t.Fatal(err)
		}
		if _, err := w.ResolveIntent(keys.Key("a"), kv.UpdateOf(txn, keys.Span{})); !errors.As(err, &corrupt) {
			t.Fatal(err)
		}
	})
}

// TestStatsEncoding claims that statistics of commands without transactions keep
// their old encoding, and that all others read back.
func TestStatsEncoding(t *testing.T) {
	plain := Stats{Live: 1, LiveBytes: 2, Keys: 3, KeyBytes: 4, Versions: 5, ValBytes: 6}
	if b := plain.Encode(nil); !bytes.Equal(b, []byte{2, 4, 6, 8, 10, 12}) {
		t.Fatalf("%x", b)
	}
	long := plain
	long.Locks = -1
	for _, s := range []Stats{plain, long, {Live: extended}, {Live: extended, Intents: 1}, {RecordBytes: 1 << 40}} {
		r := codec.NewReader(s.Encode(nil))
		if got := DecodeStats(r); got != s || r.Done() != nil {
			t.Fatalf("%+v decodes to %+v", s, got)
		}
	}
	r := codec.NewReader([]byte{127, 2, 4, 6, 8, 10, 12, 0, 0, 0, 0})
	if DecodeStats(r); r.Err() == nil {
		t.Fatal("the long form of what has a short one passes")
	}
}
