package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors that a Reader latches. They may be wrapped: compare with errors.Is.
var (
	ErrTruncated    = errors.New("codec: input ends early")
	ErrTrailing     = errors.New("codec: input goes on after the end")
	ErrNotCanonical = errors.New("codec: not the canonical encoding")
	ErrLimit        = errors.New("codec: count exceeds its limit")
)

// Reader takes values off the front of a byte slice. See the package comment.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader of b, which must not change while it is in use.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// MakeReader is NewReader for a Reader that is kept by value.
func MakeReader(b []byte) Reader { return Reader{b: b} }

// Len is the number of bytes not yet read; 0 after an error.
func (r *Reader) Len() int { return len(r.b) }

// Err is the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Fail latches err, for decoders that find a well-formed value meaningless. Only
// the first error is kept.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// Failf is Fail with a formatted error.
func (r *Reader) Failf(format string, args ...any) { r.Fail(fmt.Errorf(format, args...)) }

// Done ends the reading: it returns the first error, or ErrTrailing if bytes are
// left.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) > 0 {
		r.Fail(ErrTrailing)
	}
	return r.err
}

// Uvarint reads what AppendUvarint wrote.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.Fail(ErrTruncated)
		return 0
	case n < 0 || n != SizeUvarint(v):
		r.Fail(ErrNotCanonical)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads what AppendVarint wrote.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Int32 reads what AppendVarint wrote of an int32, and refuses what exceeds one.
func (r *Reader) Int32() int32 {
	v := r.Varint()
	if v != int64(int32(v)) {
		r.Fail(ErrLimit)
		return 0
	}
	return int32(v)
}

// View reads what AppendBytes wrote and returns a part of the input, not a copy:
// nil if it is empty.
func (r *Reader) View() []byte { return r.Take(r.Uvarint()) }

// Take returns the next n bytes of the input, not a copy: nil if n is 0.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.Fail(ErrTruncated)
		return nil
	}
	if n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// Rest returns all that is left, not a copy.
func (r *Reader) Rest() []byte { return r.Take(uint64(len(r.b))) }

// Bytes reads what AppendBytes wrote, as a copy: nil if it is empty.
func (r *Reader) Bytes() []byte {
	v := r.View()
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// String reads what AppendString wrote.
func (r *Reader) String() string { return string(r.View()) }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.Fail(ErrTruncated)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// Bool reads what AppendBool wrote, and refuses any byte but 0 and 1.
func (r *Reader) Bool() bool {
	v := r.Byte()
	if v > 1 {
		r.Fail(ErrNotCanonical)
	}
	return v == 1
}

// Fixed32 reads what AppendFixed32 wrote.
func (r *Reader) Fixed32() uint32 {
	v := r.Take(4)
	if v == nil {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

// Fixed64 reads what AppendFixed64 wrote.
func (r *Reader) Fixed64() uint64 {
	v := r.Take(8)
	if v == nil {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}

// Count reads the number of elements that follow. It refuses more than limit
// (limit < 0: no limit but the input's), and more than could follow when each
// takes at least minSize bytes (minSize > 0), so that a decoder may allocate for
// that many.
func (r *Reader) Count(limit, minSize int) int {
	n := r.Uvarint()
	if limit >= 0 && n > uint64(limit) {
		r.Fail(ErrLimit)
		return 0
	}
	if n > uint64(len(r.b)/max(minSize, 1)) {
		r.Fail(ErrTruncated)
		return 0
	}
	return int(n)
}
