package codec

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Every value reads back, and takes exactly the size that was announced.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Uint64().Draw(t, "u")
		i := rapid.Int64().Draw(t, "i")
		i32 := rapid.Int32().Draw(t, "i32")
		bs := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		s := rapid.String().Draw(t, "string")
		f := rapid.Bool().Draw(t, "bool")
		var b []byte
		size := 0
		check := func(what string, n int) {
			size += n
			if len(b) != size {
				t.Fatalf("%s: announced %d bytes in all, wrote %d", what, size, len(b))
			}
		}
		b = AppendUvarint(b, u)
		check("uvarint", SizeUvarint(u))
		b = AppendVarint(b, i)
		check("varint", SizeVarint(i))
		b = AppendVarint(b, int64(i32))
		check("int32", SizeVarint(int64(i32)))
		b = AppendBytes(b, bs)
		check("bytes", SizeBytes(bs))
		b = AppendString(b, s)
		check("string", SizeString(s))
		b = AppendBool(b, f)
		check("bool", SizeBool)
		b = AppendFixed32(b, uint32(u))
		check("fixed32", SizeFixed32)
		b = AppendFixed64(b, u)
		check("fixed64", SizeFixed64)

		r := NewReader(b)
		if got := r.Uvarint(); got != u {
			t.Fatalf("uvarint %d, want %d", got, u)
		}
		if got := r.Varint(); got != i {
			t.Fatalf("varint %d, want %d", got, i)
		}
		if got := r.Int32(); got != i32 {
			t.Fatalf("int32 %d, want %d", got, i32)
		}
		if got := r.Bytes(); !bytes.Equal(got, bs) || (got != nil && len(got) == 0) {
			t.Fatalf("bytes %x, want %x", got, bs)
		}
		if got := r.String(); got != s {
			t.Fatalf("string %q, want %q", got, s)
		}
		if got := r.Bool(); got != f {
			t.Fatalf("bool %v", got)
		}
		if got := r.Fixed32(); got != uint32(u) {
			t.Fatalf("fixed32 %d", got)
		}
		if got := r.Fixed64(); got != u {
			t.Fatalf("fixed64 %d", got)
		}
		if err := r.Done(); err != nil {
			t.Fatal(err)
		}
	})
}

// The first error stays, and everything after it is zero.
func TestReaderLatches(t *testing.T) {
	r := NewReader([]byte{5, 'a'})
	if r.Bytes() != nil || !errors.Is(r.Err(), ErrTruncated) {
		t.Fatalf("err %v", r.Err())
	}
	r.Fail(ErrLimit)
	if r.Uvarint() != 0 || r.Fixed64() != 0 || r.Byte() != 0 || r.Bool() || r.Count(-1, 1) != 0 || r.Len() != 0 {
		t.Fatal("a failed reader gave a value")
	}
	if !errors.Is(r.Done(), ErrTruncated) {
		t.Fatalf("the first error was replaced by %v", r.Done())
	}
}

// What is not canonical is refused, and counts are bounded by the input.
func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		read func(*Reader)
		want error
	}{
		"long zero":     {[]byte{0x80, 0}, func(r *Reader) { r.Uvarint() }, ErrNotCanonical},
		"overflow":      {bytes.Repeat([]byte{0xff}, 11), func(r *Reader) { r.Uvarint() }, ErrNotCanonical},
		"bool 2":        {[]byte{2}, func(r *Reader) { r.Bool() }, ErrNotCanonical},
		"count limit":   {[]byte{9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, func(r *Reader) { r.Count(8, 1) }, ErrLimit},
		"count of many": {[]byte{0xff, 0xff, 0x7f}, func(r *Reader) { r.Count(-1, 1) }, ErrTruncated},
		"count by size": {[]byte{3, 0, 0, 0}, func(r *Reader) { r.Count(-1, 2) }, ErrTruncated},
		"int32":         {AppendVarint(nil, 1<<40), func(r *Reader) { r.Int32() }, ErrLimit},
		"trailing":      {[]byte{1, 2}, func(r *Reader) { r.Byte() }, ErrTrailing},
	} {
		r := NewReader(c.in)
		c.read(r)
		if err := r.Done(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Whatever the bytes, reading them ends, and what was accepted is canonical.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, []byte{1, 2, 0xff, 0x80})
	f.Fuzz(func(t *testing.T, ops, in []byte) {
		r := NewReader(in)
		var out []byte
		for _, op := range ops {
			switch op % 7 {
			case 0:
				if v := r.Uvarint(); r.Err() == nil {
					out = AppendUvarint(out, v)
				}
			case 1:
				if v := r.Varint(); r.Err() == nil {
					out = AppendVarint(out, v)
				}
			case 2:
				if v := r.Bytes(); r.Err() == nil {
					out = AppendBytes(out, v)
				}
			case 3:
				if v := r.Bool(); r.Err() == nil {
					out = AppendBool(out, v)
				}
			case 4:
				if v := r.Fixed32(); r.Err() == nil {
					out = AppendFixed32(out, v)
				}
			case 5:
				if v := r.Fixed64(); r.Err() == nil {
					out = AppendFixed64(out, v)
				}
			case 6:
				if v := r.Count(100, 1); r.Err() == nil {
					out = AppendUvarint(out, uint64(v))
				}
			}
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatalf("read %x, which encodes as %x", in, out)
		}
	})
}
