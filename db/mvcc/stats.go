package mvcc

import (
	"bytes"
	"encoding/binary"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/storage"

	"github.com/cespare/xxhash/v2"
)

// Stats counts what a span holds. Writers keep it as differences, which Add sums
// up; ComputeStats counts anew, and must agree.
type Stats struct {
	Live      int64 // keys whose newest version is a value
	LiveBytes int64 // engine bytes of those newest versions
	Keys      int64 // keys with any version
	KeyBytes  int64 // of their engine keys, without timestamps, once a key
	Versions  int64 // versions, tombstones among them
	ValBytes  int64 // of engine values, and 12 for each version's timestamp
}

// Add adds d.
func (s *Stats) Add(d Stats) {
	s.Live += d.Live
	s.LiveBytes += d.LiveBytes
	s.Keys += d.Keys
	s.KeyBytes += d.KeyBytes
	s.Versions += d.Versions
	s.ValBytes += d.ValBytes
}

// Sub takes d away.
func (s *Stats) Sub(d Stats) {
	s.Add(Stats{-d.Live, -d.LiveBytes, -d.Keys, -d.KeyBytes, -d.Versions, -d.ValBytes})
}

// Total is all engine bytes: what decides whether a range is split.
func (s Stats) Total() int64 { return s.KeyBytes + s.ValBytes }

// version accounts for version v of key becoming (sign 1) or ceasing to be (-1) the
// newest one; added says that it is new altogether.
func (s *Stats) version(key []byte, v Value, sign int64, added bool) {
	size := int64(valueSize(v) + versionLen)
	if v.Exists {
		s.Live += sign
		s.LiveBytes += sign * (int64(len(key)-versionLen) + size)
	}
	if added {
		s.Versions++
		s.ValBytes += size
	}
}

// valueSize is the length of the engine value of v.
func valueSize(v Value) int {
	n := valueHeader + len(v.Bytes)
	if v.Local != v.Timestamp {
		n += v.Local.Size()
	}
	return n
}

// ComputeStats counts what the span holds.
func ComputeStats(r storage.Reader, span keys.Span) (Stats, error) {
	var s Stats
	lo, hi := EncodeSpan(span)
	it := r.NewIter(lo, hi)
	defer it.Close()
	var last []byte
	for ok := it.First(); ok; ok = it.Next() {
		escaped, ts, err := splitKey(it.Key())
		if err != nil {
			return Stats{}, err
		}
		v, err := decodeValue(it.Key(), it.Value(), ts)
		if err != nil {
			return Stats{}, err
		}
		if last == nil || !bytes.Equal(escaped, last) {
			last = escaped
			s.Keys++
			s.KeyBytes += int64(len(it.Key()) - versionLen)
			s.version(it.Key(), v, 1, true)
		} else {
			s.Versions++
			s.ValBytes += int64(len(it.Value()) + versionLen)
		}
	}
	return s, it.Err()
}

// Checksum hashes every engine key and value of the span in order. Replicas that
// have applied the same commands agree on it.
func Checksum(r storage.Reader, span keys.Span) (uint64, error) {
	lo, hi := EncodeSpan(span)
	return ChecksumEngine(r, lo, hi)
}

// ChecksumEngine is Checksum of the engine keys in [lo, hi), versions or not.
func ChecksumEngine(r storage.Reader, lo, hi []byte) (uint64, error) {
	it := r.NewIter(lo, hi)
	defer it.Close()
	h := xxhash.New()
	var lens [8]byte
	for ok := it.First(); ok; ok = it.Next() {
		// Lengths keep (ab, c) and (a, bc) apart.
		binary.BigEndian.PutUint32(lens[:], uint32(len(it.Key())))
		binary.BigEndian.PutUint32(lens[4:], uint32(len(it.Value())))
		h.Write(lens[:])
		h.Write(it.Key())
		h.Write(it.Value())
	}
	return h.Sum64(), it.Err()
}

// Size is the length of Encode's output.
func (s Stats) Size() int { return len(s.Encode(nil)) }

// Encode appends the statistics.
func (s Stats) Encode(b []byte) []byte {
	for _, n := range []int64{s.Live, s.LiveBytes, s.Keys, s.KeyBytes, s.Versions, s.ValBytes} {
		b = codec.AppendVarint(b, n)
	}
	return b
}

// DecodeStats reads what Stats.Encode wrote.
func DecodeStats(r *codec.Reader) Stats {
	return Stats{Live: r.Varint(), LiveBytes: r.Varint(), Keys: r.Varint(), KeyBytes: r.Varint(),
		Versions: r.Varint(), ValBytes: r.Varint()}
}

// VersionTime is the timestamp of an engine key, zero if it is no version: for
// those who look at batches, such as a witness of what was applied.
func VersionTime(engineKey []byte) hlc.Timestamp {
	_, ts, err := splitKey(engineKey)
	if err != nil {
		return hlc.Timestamp{}
	}
	return ts
}
