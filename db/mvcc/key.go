package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// A zero byte of the user key is followed by escapeFF, the end of the user key is
// a zero byte followed by endMark.
const (
	endMark  = 0x01
	afterEnd = 0x02 // sorts after all versions of the key, before any longer key
	escapeFF = 0xff
	// versionLen is the length of an encoded timestamp.
	versionLen = 12
)

// EncodeKey appends the engine key of version ts of k; of the bare key, which sorts
// before all versions, when ts is empty.
func EncodeKey(b []byte, k keys.Key, ts hlc.Timestamp) []byte {
	b = append(appendEscaped(b, k), 0, endMark)
	if ts.IsEmpty() {
		return b
	}
	return appendVersion(b, ts)
}

func appendVersion(b []byte, ts hlc.Timestamp) []byte {
	b = binary.BigEndian.AppendUint64(b, ^uint64(ts.Wall))
	return binary.BigEndian.AppendUint32(b, ^uint32(ts.Logical))
}

func appendEscaped(b []byte, k keys.Key) []byte {
	for {
		i := bytes.IndexByte(k, 0)
		if i < 0 {
			return append(b, k...)
		}
		b = append(append(b, k[:i+1]...), escapeFF)
		k = k[i+1:]
	}
}

// DecodeKey is the inverse of EncodeKey. The key shares b's memory if it can.
func DecodeKey(b []byte) (keys.Key, hlc.Timestamp, error) {
	prefix, ts, err := splitKey(b)
	if err != nil {
		return nil, ts, err
	}
	return unescape(prefix), ts, nil
}

// splitKey cuts an engine key into the escaped user key, without end mark, and the
// timestamp, which is zero for the bare key.
func splitKey(b []byte) (escaped []byte, ts hlc.Timestamp, err error) {
	n := 0
	for {
		i := bytes.IndexByte(b[n:], 0)
		if i < 0 || n+i+1 >= len(b) {
			return nil, ts, fmt.Errorf("mvcc: engine key %q has no end mark", b)
		}
		n += i
		if b[n+1] == endMark {
			break
		}
		if b[n+1] != escapeFF {
			return nil, ts, fmt.Errorf("mvcc: engine key %q has a bad escape", b)
		}
		n += 2
	}
	switch version := b[n+2:]; len(version) {
	case 0:
	case versionLen:
		ts.Wall = int64(^binary.BigEndian.Uint64(version))
		ts.Logical = int32(^binary.BigEndian.Uint32(version[8:]))
		if ts.Wall < 0 || ts.Logical < 0 || ts.IsEmpty() {
			return nil, ts, fmt.Errorf("mvcc: engine key %q has a bad timestamp", b)
		}
	default:
		return nil, ts, fmt.Errorf("mvcc: engine key %q ends in %d bytes", b, len(version))
	}
	return b[:n:n], ts, nil
}

// unescape returns the user key. Without zero bytes it is the escaped one.
func unescape(escaped []byte) keys.Key {
	i := bytes.IndexByte(escaped, 0)
	if i < 0 {
		return keys.Key(escaped)
	}
	k := make(keys.Key, 0, len(escaped))
	for {
		k = append(k, escaped[:i+1]...)
		escaped = escaped[i+2:]
		if i = bytes.IndexByte(escaped, 0); i < 0 {
			return append(k, escaped...)
		}
	}
}

// EncodeSpan is the bounds, in the engine, of all versions of the keys in s: what
// to iterate over, hand to a snapshot, or clear.
func EncodeSpan(s keys.Span) (lo, hi []byte) {
	lo = EncodeKey(nil, s.Key, hlc.Timestamp{})
	if s.IsPoint() {
		return lo, append(appendEscaped(nil, s.Key), 0, afterEnd)
	}
	return lo, EncodeKey(nil, s.EndKey, hlc.Timestamp{})
}
