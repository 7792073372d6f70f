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
// up; ComputeStats counts anew, and must agree. Provisional values count as versions,
// and are the newest ones of their keys.
type Stats struct {
	Live      int64 // keys whose newest version is a value
	LiveBytes int64 // engine bytes of those newest versions
	Keys      int64 // keys with any version
	KeyBytes  int64 // of their engine keys, without timestamps, once a key
	Versions  int64 // versions, tombstones among them
	ValBytes  int64 // of engine values, and 12 for each version's timestamp

	Intents     int64 // keys with an intent
	IntentBytes int64 // the part of ValBytes that is provisional
	Locks       int64 // locks without value
	RecordBytes int64 // engine bytes, keys and values, of the records of keys
}

// fields lists the counters, of which the first numPlain are those of keys that
// transactions have nothing to do with.
func (s *Stats) fields() [10]*int64 {
	return [10]*int64{&s.Live, &s.LiveBytes, &s.Keys, &s.KeyBytes, &s.Versions, &s.ValBytes,
		&s.Intents, &s.IntentBytes, &s.Locks, &s.RecordBytes}
}

const numPlain = 6

// Add adds d.
func (s *Stats) Add(d Stats) {
	s.Live += d.Live
	s.LiveBytes += d.LiveBytes
	s.Keys += d.Keys
	s.KeyBytes += d.KeyBytes
	s.Versions += d.Versions
	s.ValBytes += d.ValBytes
	s.Intents += d.Intents
	s.IntentBytes += d.IntentBytes
	s.Locks += d.Locks
	s.RecordBytes += d.RecordBytes
}

// Sub takes d away.
func (s *Stats) Sub(d Stats) {
	s.Add(Stats{-d.Live, -d.LiveBytes, -d.Keys, -d.KeyBytes, -d.Versions, -d.ValBytes,
		-d.Intents, -d.IntentBytes, -d.Locks, -d.RecordBytes})
}

// Total is all engine bytes: what decides whether a range is split.
func (s Stats) Total() int64 { return s.KeyBytes + s.ValBytes + s.RecordBytes }

// live accounts for v becoming (sign 1) or ceasing to be (-1) the newest version of a
// key whose bare engine key has bareLen bytes.
func (s *Stats) live(bareLen int, v Value, sign int64) {
	if v.Exists {
		s.Live += sign
		s.LiveBytes += sign * int64(bareLen+versionSize(v))
	}
}

// key accounts for a key having a newest version v, unless v is none.
func (s *Stats) key(bareLen int, v Value, sign int64) {
	if !v.Timestamp.IsEmpty() {
		s.Keys += sign
		s.KeyBytes += sign * int64(bareLen)
	}
}

// committed accounts for one version.
func (s *Stats) committed(v Value, sign int64) {
	s.Versions += sign
	s.ValBytes += sign * int64(versionSize(v))
}

// provisional accounts for one version that is an intent's.
func (s *Stats) provisional(v Value, sign int64) {
	s.committed(v, sign)
	s.Intents += sign
	s.IntentBytes += sign * int64(versionSize(v))
}

// record accounts for a record of size bytes.
func (s *Stats) record(bareLen int, r *Record, size int, sign int64) {
	s.Locks += sign * int64(len(r.Locks))
	s.RecordBytes += sign * int64(bareLen+size)
}

func versionSize(v Value) int { return valueSize(v) + versionLen }

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
	var last []byte // escaped key of the version before
	var intent *Intent
	for ok := it.First(); ok; ok = it.Next() {
		escaped, ts, err := splitKey(it.Key())
		if err != nil {
			return Stats{}, err
		}
		if ts.IsEmpty() {
			rec, err := DecodeRecord(it.Key(), it.Value())
			if err != nil {
				return Stats{}, err
			}
			s.record(len(it.Key()), rec, len(it.Value()), 1)
			intent = rec.Intent
			continue
		}
		v, err := decodeValue(it.Key(), it.Value(), ts)
		if err != nil {
			return Stats{}, err
		}
		if last == nil || !bytes.Equal(escaped, last) {
			last = escaped
			bareLen := len(it.Key()) - versionLen
			s.key(bareLen, v, 1)
			s.live(bareLen, v, 1)
		}
		if intent != nil && intent.Txn.WriteTS == ts {
			s.provisional(v, 1)
		} else {
			s.committed(v, 1)
		}
		intent = nil
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

// extended, in place of Live, says that Live and then all fields follow. Most
// statistics are of commands that no transaction has to do with: they do without.
const extended = -64 // takes one byte

// Encode appends the statistics.
func (s Stats) Encode(b []byte) []byte {
	all, n := s.fields(), numPlain
	if s.isExtended() {
		n = len(all)
		b = codec.AppendVarint(b, extended)
	}
	for _, f := range all[:n] {
		b = codec.AppendVarint(b, *f)
	}
	return b
}

func (s *Stats) isExtended() bool {
	return s.Live == extended || s.Intents != 0 || s.IntentBytes != 0 || s.Locks != 0 || s.RecordBytes != 0
}

// DecodeStats reads what Stats.Encode wrote.
func DecodeStats(r *codec.Reader) Stats {
	var s Stats
	all := s.fields()
	*all[0] = r.Varint()
	n := numPlain
	long := s.Live == extended
	if long {
		n = len(all)
		*all[0] = r.Varint()
	}
	for _, f := range all[1:n] {
		*f = r.Varint()
	}
	if long != s.isExtended() {
		r.Fail(codec.ErrNotCanonical)
		return Stats{}
	}
	return s
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
