package codec

import (
	"encoding/binary"
	"math/bits"
)

// Sizes of the encodings whose length does not depend on the value.
const (
	SizeBool    = 1
	SizeByte    = 1
	SizeFixed32 = 4
	SizeFixed64 = 8
)

// AppendUvarint appends v in groups of seven bits, lowest first.
func AppendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// SizeUvarint is the length of AppendUvarint's encoding.
func SizeUvarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// AppendVarint appends v so that small magnitudes of either sign are short.
func AppendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

// SizeVarint is the length of AppendVarint's encoding.
func SizeVarint(v int64) int { return SizeUvarint(uint64(v)<<1 ^ uint64(v>>63)) }

// AppendBytes appends v's length and v. Nil and empty are the same thing: a
// record that must tell them apart carries a flag beside them.
func AppendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// SizeBytes is the length of AppendBytes' encoding.
func SizeBytes(v []byte) int { return SizeUvarint(uint64(len(v))) + len(v) }

// AppendString appends v's length and v.
func AppendString(b []byte, v string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// SizeString is the length of AppendString's encoding.
func SizeString(v string) int { return SizeUvarint(uint64(len(v))) + len(v) }

// AppendBool appends one byte, 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendFixed32 appends four bytes, highest first, so that order is kept.
func AppendFixed32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendFixed64 appends eight bytes, highest first, so that order is kept.
func AppendFixed64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }
