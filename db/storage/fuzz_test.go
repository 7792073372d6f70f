package storage

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzBatch(f *testing.F) {
	var b Batch
	b.Put([]byte("a"), []byte("1"))
	b.Delete([]byte("b"))
	b.DeleteRange([]byte("c"), []byte("d"))
	f.Add(b.Repr())
	f.Add([]byte{1, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, repr []byte) {
		var b Batch
		if b.SetRepr(repr) != nil {
			if !b.Empty() {
				t.Fatal("an error, and a batch that is not empty")
			}
			return
		}
		var again Batch
		for _, op := range b.Ops() {
			switch op.Kind {
			case "put":
				again.Put(op.Key, op.Value)
			case "delete":
				again.Delete(op.Key)
			case "delete-range":
				again.DeleteRange(op.Key, op.Value)
			}
		}
		if again.Len() != b.Len() {
			t.Fatalf("%d operations of %d", again.Len(), b.Len())
		}
		if err := again.AppendRepr(repr); err != nil || again.Len() != 2*b.Len() || checkRepr(again.Repr()) != nil {
			t.Fatalf("appended: %d operations, %v", again.Len(), err)
		}
	})
}

func FuzzBlock(f *testing.F) {
	var w blockBuilder
	w.add([]byte("a"), []byte("1"), makeTrailer(2, kindPut))
	w.add([]byte("a"), nil, makeTrailer(1, kindDelete))
	w.add([]byte("b"), []byte("2"), makeTrailer(7, kindPut))
	f.Add(bytes.Clone(w.finish()))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseBlock(b)
		if err != nil {
			return
		}
		for i := 0; i < k.count; i++ {
			e := k.at(i)
			if j := k.seekGE(e.key, e.trailer.seq()); j > i {
				t.Fatalf("entry %d is found at %d", i, j)
			}
		}
	})
}

func FuzzRangeDels(f *testing.F) {
	var r rangeDels
	r.add([]byte("a"), []byte("c"), 1, nil)
	r.add([]byte("b"), []byte("d"), 2, nil)
	f.Add(encodeRangeDels(nil, r.frags), []byte("b"))
	f.Fuzz(func(t *testing.T, b, key []byte) {
		r, err := decodeRangeDels(b)
		if err != nil {
			return
		}
		r.cover(key, maxSeq)
		mergeRangeDels([]*rangeDels{r, r})
		if again, err := decodeRangeDels(encodeRangeDels(nil, r.frags)); err != nil || len(again.frags) != len(r.frags) {
			t.Fatalf("%d fragments decode to %d, %v", len(r.frags), len(again.frags), err)
		}
	})
}

func FuzzEdit(f *testing.F) {
	e := edit{log: 3, seq: 9, nextFile: 8, removed: []placedTable{{1, tableMeta{num: 2}}},
		added: []placedTable{{0, tableMeta{num: 7, size: 100, lo: []byte("a"), hi: []byte("b"), minSeq: 1, maxSeq: 9, entries: 3}}}}
	f.Add(e.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again edit
		if e.decode(b) != nil {
			return
		}
		if err := again.decode(e.encode(nil)); err != nil || len(again.added) != len(e.added) {
			t.Fatalf("does not encode back: %v", err)
		}
		var l layout
		if l.apply(&e) == nil {
			var twin layout
			if err := twin.apply(l.snapshot()); err != nil {
				t.Fatalf("a snapshot that cannot be applied: %v", err)
			}
		}
	})
}

// FuzzLog feeds replay whatever bytes, with the first checksum put right so that
// what follows it is reached.
func FuzzLog(f *testing.F) {
	b := appendRecord(nil, 5, 0, 0, logHeader(5, 0), nil)
	var batch Batch
	batch.Put([]byte("a"), []byte("1"))
	b = appendRecord(b, 5, int64(len(b)), 0, []byte{1, 0, 0, 0, 0, 0, 0, 0}, batch.Repr())
	f.Add(b, uint16(40))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, fix uint16) {
		for _, at := range []int{0, int(fix)} {
			if at+recordHeader > len(b) {
				continue
			}
			if n := int(binary.LittleEndian.Uint32(b[at+4:])); n >= 0 && n <= len(b)-at-recordHeader {
				b = bytes.Clone(b)
				binary.LittleEndian.PutUint32(b[at:], checksum(b[at+4:at+recordHeader+n], 5, int64(at)))
			}
		}
		for _, last := range []bool{true, false} {
			replay("x", 5, b, 0, last, func(repr []byte, _ uint64, n int) error {
				newMemtable(testRand(), 0, 0).apply(repr, 1, nil)
				if (&Batch{data: repr}).Len() != n {
					t.Fatal("a batch of another length")
				}
				return nil
			})
		}
		decodeManifest("x", 5, b)
		decodeCurrent(b)
		parseName(string(b))
	})
}

// TestTornOrRotten claims: a bad byte in a log gives the prefix before it, if no
// later record proves that the place had been durable, and a CorruptionError that
// names the place if one does.
func TestTornOrRotten(t *testing.T) {
	const file = 3
	b := appendRecord(nil, file, 0, 0, logHeader(file, 0), nil)
	ends := []int{len(b)}
	synced := 0
	for n := 1; n <= 12; n++ {
		var batch Batch
		batch.Put([]byte("key"), bytes.Repeat([]byte{byte(n)}, 30))
		head := binary.LittleEndian.AppendUint64(nil, uint64(n))
		if n%4 == 0 { // everything before this record was synced
			synced = len(b)
		}
		b = appendRecord(b, file, int64(len(b)), int64(synced), head, batch.Repr())
		ends = append(ends, len(b))
	}
	count := func(b []byte, last bool) (n int, err error) {
		_, _, err = replay("log", file, b, 0, last, func([]byte, uint64, int) error { n++; return nil })
		return n, err
	}
	if n, err := count(b, false); n != 12 || err != nil {
		t.Fatalf("intact: %d records, %v", n, err)
	}
	for at := range b {
		bad := bytes.Clone(b)
		bad[at] ^= 0x10
		whole := 0
		for whole+1 < len(ends) && ends[whole] <= at {
			whole++
		}
		if ends[0] > at {
			whole = 0
		}
		n, err := count(bad, true)
		start := 0
		if whole > 0 {
			start = ends[whole-1]
		}
		if proven := start < synced; proven != (err != nil) {
			t.Fatalf("byte %d of record %d: %d records, %v", at, whole, n, err)
		} else if !proven && n != whole-1 {
			t.Fatalf("byte %d: %d records, want %d", at, n, whole-1)
		}
		if c, ok := err.(*CorruptionError); err != nil && (!ok || c.Offset != int64(start)) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if _, err := count(bad, false); err == nil {
			t.Fatalf("byte %d: a log that others follow is bad, and nobody says so", at)
		}
		if n, err := count(b[:at], true); err != nil || n > whole {
			t.Fatalf("cut at %d: %d records, %v", at, n, err)
		}
	}
}
