package hlc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"simulacrum/db/codec"
)

// Timestamp is a reading of a hybrid clock. The zero Timestamp means "none". The
// logical part is never negative.
type Timestamp struct {
	Wall    int64 // nanoseconds since the Unix epoch
	Logical int32
}

// Min and Max are the lowest timestamp that is not empty, and the highest.
var (
	Min = Timestamp{Logical: 1}
	Max = Timestamp{Wall: math.MaxInt64, Logical: math.MaxInt32}
)

// Compare is negative, zero or positive as t is before, at or after u.
func (t Timestamp) Compare(u Timestamp) int {
	switch {
	case t.Wall < u.Wall || t.Wall == u.Wall && t.Logical < u.Logical:
		return -1
	case t == u:
		return 0
	}
	return 1
}

// Less reports t < u.
func (t Timestamp) Less(u Timestamp) bool { return t.Compare(u) < 0 }

// LessEq reports t <= u.
func (t Timestamp) LessEq(u Timestamp) bool { return t.Compare(u) <= 0 }

// IsEmpty reports that t is the zero Timestamp.
func (t Timestamp) IsEmpty() bool { return t == Timestamp{} }

// Forward is the later of t and u.
func (t Timestamp) Forward(u Timestamp) Timestamp {
	if t.Less(u) {
		return u
	}
	return t
}

// Backward is the earlier of t and u.
func (t Timestamp) Backward(u Timestamp) Timestamp {
	if u.Less(t) {
		return u
	}
	return t
}

// Next is the lowest timestamp above t. Max has none and stays.
func (t Timestamp) Next() Timestamp {
	if t.Logical < math.MaxInt32 {
		return Timestamp{t.Wall, t.Logical + 1}
	}
	if t.Wall == math.MaxInt64 {
		return t
	}
	return Timestamp{t.Wall + 1, 0}
}

// Prev is the highest timestamp below t. The zero Timestamp has none and stays.
func (t Timestamp) Prev() Timestamp {
	if t.Logical > 0 {
		return Timestamp{t.Wall, t.Logical - 1}
	}
	if t.Wall == 0 {
		return t
	}
	return Timestamp{t.Wall - 1, math.MaxInt32}
}

// Add moves the wall time by d, which may be negative, and keeps the counter. It
// stops at the ends of time rather than wrap.
func (t Timestamp) Add(d time.Duration) Timestamp {
	switch w := t.Wall + int64(d); {
	case d > 0 && w < t.Wall:
		return Max
	case d < 0 && (w < 0 || w > t.Wall):
		return Timestamp{}
	default:
		return Timestamp{w, t.Logical}
	}
}

// String prints seconds, nanoseconds and the counter, as in "1.000000002,3". Parse reads
// it back.
func (t Timestamp) String() string { return string(t.Append(nil)) }

// Append appends what String prints.
func (t Timestamp) Append(b []byte) []byte {
	w := uint64(t.Wall)
	if t.Wall < 0 { // no clock gives this, but a decoder can
		b, w = append(b, '-'), -w
	}
	b = strconv.AppendUint(b, w/1e9, 10)
	frac := strconv.AppendUint(nil, w%1e9+1e9, 10) // the leading 1 keeps the zeros
	b = append(append(b, '.'), frac[1:]...)
	return strconv.AppendInt(append(b, ','), int64(t.Logical), 10)
}

// Parse reads what String printed. The fraction and the counter may be left out.
func Parse(s string) (Timestamp, error) {
	bad := func() (Timestamp, error) { return Timestamp{}, fmt.Errorf("hlc: not a timestamp: %q", s) }
	wall, logical, hasLogical := strings.Cut(s, ",")
	var t Timestamp
	if hasLogical {
		l, err := strconv.ParseInt(logical, 10, 32)
		if err != nil || l < 0 {
			return bad()
		}
		t.Logical = int32(l)
	}
	digits, negative := strings.CutPrefix(wall, "-")
	secs, frac, hasFrac := strings.Cut(digits, ".")
	if len(frac) > 9 || hasFrac && frac == "" {
		return bad()
	}
	sec, err1 := strconv.ParseUint(secs, 10, 64)
	nano, err2 := strconv.ParseUint((frac + "000000000")[:9], 10, 64)
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	if err1 != nil || err2 != nil || sec > limit/1e9 || sec*1e9+nano > limit {
		return bad()
	}
	t.Wall = int64(sec*1e9 + nano)
	if negative {
		t.Wall = -t.Wall
	}
	return t, nil
}

// Size is the length of Encode's output.
func (t Timestamp) Size() int {
	return codec.SizeVarint(t.Wall) + codec.SizeUvarint(uint64(uint32(t.Logical)))
}

// Encode appends t. The encoding does not keep order.
func (t Timestamp) Encode(b []byte) []byte {
	return codec.AppendUvarint(codec.AppendVarint(b, t.Wall), uint64(uint32(t.Logical)))
}

// Decode reads what Encode wrote.
func Decode(r *codec.Reader) Timestamp {
	wall, logical := r.Varint(), r.Uvarint()
	if logical > math.MaxInt32 {
		r.Failf("hlc: logical part %d out of bounds", logical)
		return Timestamp{}
	}
	return Timestamp{wall, int32(logical)}
}
