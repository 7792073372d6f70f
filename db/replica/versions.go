package replica

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// version is what a read found: the newest version of a key at or below a
// timestamp.
type version struct {
	value  []byte
	exists bool          // false: there is none, or it is a deletion
	ts     hlc.Timestamp // of the version, zero if there is none
}

const versionSuffix = 13

func appendVersionKey(b []byte, k keys.Key, ts hlc.Timestamp) []byte {
	b = append(append(b, k...), 0)
	b = binary.BigEndian.AppendUint64(b, ^uint64(ts.Wall))
	return binary.BigEndian.AppendUint32(b, ^uint32(ts.Logical))
}

func cutVersionKey(b []byte) (keys.Key, hlc.Timestamp, error) {
	n := len(b) - versionSuffix
	if n < 0 || b[n] != 0 {
		return nil, hlc.Timestamp{}, fmt.Errorf("replica: malformed version key %q", b)
	}
	ts := hlc.Timestamp{Wall: int64(^binary.BigEndian.Uint64(b[n+1:])), Logical: int32(^binary.BigEndian.Uint32(b[n+9:]))}
	return b[:n:n], ts, nil
}

func putVersion(b *storage.Batch, k keys.Key, ts hlc.Timestamp, value []byte, exists bool) {
	if !exists {
		b.Put(appendVersionKey(nil, k, ts), nil)
		return
	}
	b.Put(appendVersionKey(nil, k, ts), append([]byte{1}, value...))
}

func getVersion(rd storage.Reader, k keys.Key, ts hlc.Timestamp) (version, error) {
	it := rd.NewIter(appendVersionKey(nil, k, ts), appendVersionKey(nil, k, hlc.Timestamp{Wall: 0}))
	defer it.Close()
	if !it.First() {
		return version{}, it.Err()
	}
	_, at, err := cutVersionKey(it.Key())
	return decodeVersion(it.Value(), at), err
}

func decodeVersion(v []byte, ts hlc.Timestamp) version {
	if len(v) == 0 {
		return version{ts: ts}
	}
	return version{value: append([]byte(nil), v[1:]...), exists: true, ts: ts}
}

func scanVersions(rd storage.Reader, s keys.Span, ts hlc.Timestamp, reverse bool, maxKeys, maxBytes int64) ([]kv.KeyValue, keys.Span, error) {
	it := rd.NewIter(s.Key, s.EndKey)
	var all []kv.KeyValue
	var last keys.Key
	for it.First(); it.Valid(); it.Next() {
		k, at, err := cutVersionKey(it.Key())
		if err != nil {
			it.Close()
			return nil, keys.Span{}, err
		}
		if ts.Less(at) || last != nil && bytes.Equal(last, k) {
			continue
		}
		last = k.Clone()
		if v := decodeVersion(it.Value(), at); v.exists {
			all = append(all, kv.KeyValue{Key: last, Value: v.value, Timestamp: at})
		}
	}
	it.Close()
	if reverse {
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
	}
	var size int64
	for i := range all {
		if maxKeys > 0 && int64(i) == maxKeys || maxBytes > 0 && size >= maxBytes {
			if reverse {
				return all[:i], keys.Span{Key: s.Key, EndKey: all[i].Key.Next()}, nil
			}
			return all[:i], keys.Span{Key: all[i].Key, EndKey: s.EndKey}, nil
		}
		size += int64(len(all[i].Key) + len(all[i].Value))
	}
	return all, keys.Span{}, it.Err()
}
