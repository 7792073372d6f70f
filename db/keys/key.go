package keys

import (
	"bytes"

	"simulacrum/db/codec"
)

// RangeID names a range for as long as it exists; it is never used again. IDs
// begin at 1.
type RangeID int64

// NodeID names a node for as long as the cluster exists; it is never used again. IDs
// begin at 1; 0 is none.
type NodeID int32

// Key is a place in the ordered map. A Key is immutable once made. The nil key
// and the empty one are the same key, Min; in a Span's EndKey nil means "a point".
type Key []byte

// Compare orders keys by their bytes.
func (k Key) Compare(l Key) int { return bytes.Compare(k, l) }

// Less reports k < l.
func (k Key) Less(l Key) bool { return bytes.Compare(k, l) < 0 }

// Equal reports that the two are the same key.
func (k Key) Equal(l Key) bool { return bytes.Equal(k, l) }

// HasPrefix reports that k begins with p.
func (k Key) HasPrefix(p Key) bool { return bytes.HasPrefix(k, p) }

// Next is the lowest key above k.
func (k Key) Next() Key { return append(k[:len(k):len(k)], 0) }

// Clone returns a copy that shares no memory.
func (k Key) Clone() Key { return append(make(Key, 0, len(k)), k...) }

// PrefixEnd is the lowest key above every key that begins with k. For a key of
// 0xff bytes alone that is Max, as for the empty key.
func (k Key) PrefixEnd() Key {
	for i := len(k) - 1; i >= 0; i-- {
		if k[i] < 0xff {
			end := append(make(Key, 0, i+1), k[:i+1]...)
			end[i]++
			return end
		}
	}
	return Max
}

// Span is a point, if EndKey is nil, or the keys from Key on and below EndKey.
type Span struct {
	Key, EndKey Key
}

// IsPoint reports that the span holds one key.
func (s Span) IsPoint() bool { return len(s.EndKey) == 0 }

// Valid reports that the span is not empty: that it is a point, or that Key lies
// below EndKey.
func (s Span) Valid() bool { return s.IsPoint() || s.Key.Less(s.EndKey) }

// end is the lowest key above the span.
func (s Span) end() Key {
	if s.IsPoint() {
		return s.Key.Next()
	}
	return s.EndKey
}

// ContainsKey reports that k lies in the span.
func (s Span) ContainsKey(k Key) bool {
	if s.IsPoint() {
		return s.Key.Equal(k)
	}
	return !k.Less(s.Key) && k.Less(s.EndKey)
}

// Contains reports that every key of t lies in s.
func (s Span) Contains(t Span) bool {
	if t.IsPoint() {
		return s.ContainsKey(t.Key)
	}
	return !t.Key.Less(s.Key) && !s.end().Less(t.EndKey)
}

// Overlaps reports that some key lies in both spans.
func (s Span) Overlaps(t Span) bool {
	switch {
	case s.IsPoint():
		return t.ContainsKey(s.Key)
	case t.IsPoint():
		return s.ContainsKey(t.Key)
	}
	return s.Key.Less(t.EndKey) && t.Key.Less(s.EndKey)
}

// Intersect is the part of s that lies in t; ok is false if there is none. A point
// stays a point, and a span a span.
func (s Span) Intersect(t Span) (x Span, ok bool) {
	if s.IsPoint() {
		return s, t.ContainsKey(s.Key)
	}
	if s.Key.Less(t.Key) {
		s.Key = t.Key
	}
	if end := t.end(); end.Less(s.EndKey) {
		s.EndKey = end
	}
	return s, s.Key.Less(s.EndKey)
}

// Equal reports that the two spans are the same.
func (s Span) Equal(t Span) bool { return s.Key.Equal(t.Key) && s.EndKey.Equal(t.EndKey) }

// Clone returns a copy that shares no memory.
func (s Span) Clone() Span {
	t := Span{Key: s.Key.Clone()}
	if s.EndKey != nil {
		t.EndKey = s.EndKey.Clone()
	}
	return t
}

// Size is the length of Encode's output.
func (s Span) Size() int { return codec.SizeBytes(s.Key) + codec.SizeBytes(s.EndKey) }

// Encode appends the span. The encoding does not keep order.
func (s Span) Encode(b []byte) []byte {
	return codec.AppendBytes(codec.AppendBytes(b, s.Key), s.EndKey)
}

// DecodeSpan reads what Span.Encode wrote.
func DecodeSpan(r *codec.Reader) Span { return Span{Key: r.Bytes(), EndKey: r.Bytes()} }
