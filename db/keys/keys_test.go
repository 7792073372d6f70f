package keys

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// anyKey draws keys that often begin like those of the layout, whole or cut off.
func anyKey() *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		raw := Key(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 3, 5, 'a', 'i', 'r', '"', '/', 0xfe, 0xff}), 0, 8).Draw(t, "raw"))
		id := RangeID(rapid.Int64().Draw(t, "id"))
		n := rapid.Uint64().Draw(t, "n")
		var txn TxnID
		copy(txn[:], raw)
		k := rapid.SampledFrom([]Key{
			raw, AbortSpanKey(id, txn), GCThresholdKey(id), AppliedStateKey(id), LeaseKey(id),
			ReadSummaryKey(id), HardStateKey(id), RaftLogKey(id, n), TruncatedStateKey(id),
			ReplicaIDKey(id), TombstoneKey(id), StoreKey(string(raw)), RangeDescriptorKey(raw),
			TxnRecordKey(raw, txn), Meta1Key(raw), Meta2Key(raw), Meta2Key(Max), TablePrefix(n),
			append(IndexPrefix(n, uint64(len(raw))), raw...), append(Key{systemByte}, raw...), Max,
			NodeLivenessKey(NodeID(n >> 33)), append(NodeLivenessKey(3), raw...),
		}).Draw(t, "key")
		if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
			k = k[:rapid.IntRange(0, len(k)).Draw(t, "at")]
		}
		return k
	})
}

// Every key prints to something that parses back to it, and so does every span.
func TestPrintParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, l := anyKey().Draw(t, "k"), anyKey().Draw(t, "l")
		got, err := Parse(k.String())
		if err != nil || !got.Equal(k) {
			t.Fatalf("%x prints as %s, which parses as %x, %v", k, k, got, err)
		}
		s := Span{Key: k, EndKey: l}
		back, err := ParseSpan(s.String())
		if err != nil || !back.Equal(s) {
			t.Fatalf("span %s parses as %s, %v", s, back, err)
		}
	})
}

func TestPrintedForms(t *testing.T) {
	txn := TxnID{0xab, 15: 1}
	for want, k := range map[string]Key{
		`/Min`:                             Min,
		`/Max`:                             Max,
		`/Local/RangeID/3/r/AppliedState`:  AppliedStateKey(3),
		`/Local/RangeID/3/u/RaftLog/12`:    RaftLogKey(3, 12),
		`/Local/RangeID/3/u/RaftLog`:       RaftLogSpan(3).Key,
		`/Local/RangeID/4/u`:               RangeIDUnreplicatedSpan(4).Key,
		`/Local/Range/"a"/Descriptor`:      RangeDescriptorKey(Key("a")),
		`/Local/Range/"a\x00b"/Descriptor`: RangeDescriptorKey(Key("a\x00b")),
		`/Local/Store/"ident"`:             StoreKey("ident"),
		`/Meta2/"x"`:                       Meta2Key(Key("x")),
		`/Meta1/Max`:                       Meta1Key(Max),
		`/Table/53/1/"row"`:                append(IndexPrefix(53, 1), "row"...),
		`/System/"boot"`:                   append(System.Clone(), "boot"...),
		`"x"`:                              Key("x"),
		`/System/NodeLiveness/7`:           NodeLivenessKey(7),
		`/System/NodeLiveness`:             NodeLivenessSpan().Key,
		`/Local/Range/"a"/Txn/ab000000000000000000000000000001`:         TxnRecordKey(Key("a"), txn),
		`/Local/RangeID/3/r/AbortSpan/ab000000000000000000000000000001`: AbortSpanKey(3, txn),
	} {
		if k.String() != want {
			t.Errorf("%x prints as %s, want %s", k, k, want)
		}
	}
	for _, bad := range []string{"", "/", "x", "/Meta3", `"x`, "/Local/RangeID/x", "/Local/RangeID/1/r/RaftLog", "/Max/1", `/Meta2/"a"b`, "/Table/1/2/3", "/System/NodeLiveness/x", "/System/NodeLiveness/9999999999"} {
		if k, err := Parse(bad); err == nil {
			t.Errorf("%q parses as %s", bad, k)
		}
	}
}

// Printing and parsing survive any bytes.
func FuzzParse(f *testing.F) {
	f.Add(`/Local/Range/"a"/Descriptor`, []byte(RaftLogKey(1, 2)))
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		if k, err := Parse(s); err == nil {
			if again, err := Parse(k.String()); err != nil || !again.Equal(k) {
				t.Fatalf("%q gives %x, then %x, %v", s, k, again, err)
			}
		}
		ParseSpan(s)
		if k, err := Parse(Key(b).String()); err != nil || !k.Equal(b) {
			t.Fatalf("%x: %x, %v", b, k, err)
		}
	})
}

// Keys that belong to other keys sort as those do, so that a range's share of them is one span.
func TestRangeLocalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyKey().Draw(t, "a"), anyKey().Draw(t, "b")
		ka, kb := RangeDescriptorKey(a), txnRecordKey(b, TxnID{1})
		if c := a.Compare(b); c != 0 && c != ka.Compare(kb) {
			t.Fatalf("%s and %s are ordered otherwise than %s and %s", a, b, ka, kb)
		}
		got, rest, ok := DecodeRangeLocal(ka)
		if !ok || !got.Equal(a) || !bytes.Equal(rest, []byte{kindDescriptor}) {
			t.Fatalf("%s decodes as %s %x %v", ka, got, rest, ok)
		}
		if addr, ok := Addr(kb); !ok || !addr.Equal(b) {
			t.Fatalf("%s is addressed by %s", kb, addr)
		}
		if a.Less(b) && RangeLocalSpan(Span{a, b}).ContainsKey(kb) {
			t.Fatalf("%s is in the span of [%s, %s)", kb, a, b)
		}
		if a.Less(b) && !RangeLocalSpan(Span{a, b}).ContainsKey(ka) {
			t.Fatalf("%s is not in the span of [%s, %s)", ka, a, b)
		}
	})
}

func TestUintOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		ea, eb := AppendUint(nil, a), AppendUint(nil, b)
		if (a < b) != (bytes.Compare(ea, eb) < 0) {
			t.Fatalf("%d and %d encode as %x and %x", a, b, ea, eb)
		}
		if v, rest, ok := DecodeUint(ea); v != a || len(rest) != 0 || !ok {
			t.Fatalf("%d decodes as %d", a, v)
		}
	})
}

// Spans agree with the plain definition over a small universe of keys.
func TestSpans(t *testing.T) {
	universe := []Key{{}, {0}, {0, 0}, {1}, {1, 0}, {2}, Max}
	gen := rapid.Custom(func(t *rapid.T) Span {
		s := Span{Key: rapid.SampledFrom(universe).Draw(t, "key")}
		if rapid.Bool().Draw(t, "ranged") {
			s.EndKey = rapid.SampledFrom(universe[1:]).Draw(t, "end")
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if !a.Valid() || !b.Valid() {
			return
		}
		overlaps, contains := false, true
		for _, k := range universe {
			inA, inB := a.ContainsKey(k), b.ContainsKey(k)
			overlaps = overlaps || inA && inB
			contains = contains && (inA || !inB)
			if x, ok := a.Intersect(b); (ok && x.ContainsKey(k)) != (inA && inB) {
				t.Fatalf("%s in the intersection %s of %s and %s", k, x, a, b)
			}
		}
		if a.Overlaps(b) != overlaps || b.Overlaps(a) != overlaps {
			t.Fatalf("%s overlaps %s: %v, want %v", a, b, !overlaps, overlaps)
		}
		if got := a.Contains(b); got && !contains || contains && !got && b.IsPoint() {
			t.Fatalf("%s contains %s: %v", a, b, got)
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, k := anyKey().Draw(t, "p"), anyKey().Draw(t, "k")
		end := p.PrefixEnd()
		if k.HasPrefix(p) && len(k) < 12 && !k.Less(end) && k.Less(Max) {
			t.Fatalf("%s begins with %s, whose end is %s", k, p, end)
		}
		if !k.HasPrefix(p) && !k.Less(p) && k.Less(end) {
			t.Fatalf("%s is below the end %s of %s", k, end, p)
		}
		if !k.Less(k.Next()) {
			t.Fatal("Next is not above")
		}
	})
}

// The first meta entry strictly above a key's meta key is that of its range.
func TestMetaLookup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		split := anyKey().Draw(t, "split")
		k := anyKey().Draw(t, "k")
		if split.Less(System) || k.Less(System) || !split.Less(Max) || !k.Less(Max) {
			return
		}
		meta, end, ok := MetaKey(k)
		if !ok || !end.Equal(Meta2End) {
			t.Fatalf("no meta key for %s", k)
		}
		first := Meta2Key(Max)
		if meta.Less(Meta2Key(split)) {
			first = Meta2Key(split)
		}
		if inLeft := k.Less(split); inLeft != first.Equal(Meta2Key(split)) {
			t.Fatalf("%s with a split at %s finds %s", k, split, first)
		}
	})
	if _, _, ok := MetaKey(Meta1Key(Max)); ok {
		t.Fatal("meta1 has a meta key")
	}
	if m, end, ok := MetaKey(Meta2Key(Key("x"))); !ok || !m.Equal(Meta1Key(Key("x"))) || !end.Equal(Meta1End) {
		t.Fatal("meta2 is not found by meta1")
	}
}

// Keys of records and of notes in the abort span tell whose they are, and no other key
// is taken for one.
func TestDecodeTxnKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyKey().Draw(t, "k")
		if anchor, txn, ok := DecodeTxnRecordKey(k); ok && !txnRecordKey(anchor, txn).Equal(k) {
			t.Fatalf("%s is taken for the record of %x at %s", k, txn, anchor)
		}
		if id, txn, ok := DecodeAbortSpanKey(k); ok && !AbortSpanKey(id, txn).Equal(k) {
			t.Fatalf("%s is taken for the note of %x in r%d", k, txn, id)
		}
		id := RangeID(rapid.Int64().Draw(t, "id"))
		txn := TxnID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "txn"))
		at := k // a record belongs to a key that belongs to no other
		if of, _, ok := DecodeRangeLocal(k); ok {
			at = of
		}
		if anchor, got, ok := DecodeTxnRecordKey(TxnRecordKey(k, txn)); !ok || got != txn || !anchor.Equal(at) {
			t.Fatalf("the record of %x at %s: %x at %s, %t", txn, k, got, anchor, ok)
		}
		if in, got, ok := DecodeAbortSpanKey(AbortSpanKey(id, txn)); !ok || got != txn || in != id {
			t.Fatalf("the note of %x in r%d: %x in r%d, %t", txn, id, got, in, ok)
		}
	})
}

// Keys of liveness records tell whose they are, lie in their span in the order of the
// nodes, and no other key is taken for one.
func TestNodeLivenessKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, m := NodeID(rapid.Int32Range(1, 1<<31-1).Draw(t, "n")), NodeID(rapid.Int32Range(1, 1<<31-1).Draw(t, "m"))
		k := NodeLivenessKey(n)
		if got, ok := DecodeNodeLivenessKey(k); !ok || got != n || !NodeLivenessSpan().ContainsKey(k) {
			t.Fatalf("%s is of n%d, %v", k, got, ok)
		}
		if (n < m) != k.Less(NodeLivenessKey(m)) {
			t.Fatalf("n%d and n%d are ordered otherwise than their keys", n, m)
		}
		other := anyKey().Draw(t, "other")
		if got, ok := DecodeNodeLivenessKey(other); ok && !NodeLivenessKey(got).Equal(other) {
			t.Fatalf("%s is taken for the record of n%d", other, got)
		}
	})
}
