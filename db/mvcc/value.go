package mvcc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
)

// Value is one version of a key, or the absence of any: then Timestamp is zero.
type Value struct {
	Bytes     []byte
	Exists    bool          // false: a tombstone, or no version at all
	Timestamp hlc.Timestamp // of the version
	// Local is the clock of the leaseholder when the version was written. It
	// bounds from below the real time at which a reader elsewhere can have seen it.
	Local hlc.Timestamp
}

// Flags of an engine value.
const (
	flagTombstone = 1 << iota
	flagLocal     // the local timestamp differs from the version's, and follows
	allFlags      = flagTombstone | flagLocal
)

const valueHeader = 4 + 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CorruptionError says that an engine value is not what was written under its key.
type CorruptionError struct {
	Key    []byte // of the engine
	Reason string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("mvcc: the version at %q is corrupt: %s", e.Key, e.Reason)
}

// encodeValue appends the engine value of v under the given engine key.
func encodeValue(b []byte, key []byte, v Value) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, 0)
	if !v.Exists {
		b[at+4] |= flagTombstone
	}
	if v.Local != v.Timestamp {
		b[at+4] |= flagLocal
		b = v.Local.Encode(b)
	}
	if v.Exists {
		b = append(b, v.Bytes...)
	}
	binary.BigEndian.PutUint32(b[at:], valueSum(key, b[at+4:]))
	return b
}

func valueSum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

// decodeValue is the inverse; ts is the version's timestamp. The value shares b's
// memory.
func decodeValue(key, b []byte, ts hlc.Timestamp) (Value, error) {
	if len(b) < valueHeader {
		return Value{}, &CorruptionError{key, fmt.Sprintf("%d bytes", len(b))}
	}
	if binary.BigEndian.Uint32(b) != valueSum(key, b[4:]) {
		return Value{}, &CorruptionError{key, "checksum mismatch"}
	}
	flags, rest := b[4], b[valueHeader:]
	v := Value{Exists: flags&flagTombstone == 0, Timestamp: ts, Local: ts}
	if flags&flagLocal != 0 {
		r := codec.MakeReader(rest)
		v.Local = hlc.Decode(&r)
		if r.Err() != nil {
			return Value{}, &CorruptionError{key, r.Err().Error()}
		}
		rest = rest[v.Local.Size():]
	}
	if flags&^allFlags != 0 || !v.Exists && len(rest) > 0 || v.Local == ts && flags&flagLocal != 0 {
		return Value{}, &CorruptionError{key, "not the encoding of any version"}
	}
	if v.Exists {
		v.Bytes = rest[:len(rest):len(rest)]
	}
	return v, nil
}
