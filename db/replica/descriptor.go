package replica

import (
	"bytes"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
)

// VisitDescriptors calls fn with the newest committed version of each range descriptor: an
// intent is that of a change which has not been applied. Between
// them there are records of transactions, which have no versions: only the keys of
// descriptors are read.
func VisitDescriptors(rd storage.Reader, fn func(d *kv.RangeDescriptor) error) error {
	return visitDescriptorKeys(rd, keys.Span{Key: keys.Min, EndKey: keys.Max}, func(k, start keys.Key) error {
		return visitDescriptor(rd, k, start, fn)
	})
}

// visitDescriptorKeys calls fn with each key in which the descriptor of a range is, or was,
// that begins in the span, and with the beginning.
func visitDescriptorKeys(rd storage.Reader, s keys.Span, fn func(k, start keys.Key) error) error {
	it := rd.NewIter(mvcc.EncodeSpan(keys.RangeLocalSpan(s)))
	defer it.Close()
	for ok := it.First(); ok; {
		k, _, err := mvcc.DecodeKey(it.Key())
		if err != nil {
			return err
		}
		start, _, local := keys.DecodeRangeLocal(k)
		if !local {
			return fmt.Errorf("replica: %s is not a range-local key", k)
		}
		_, end := mvcc.EncodeSpan(keys.Span{Key: k})
		if bytes.Equal(k, keys.RangeDescriptorKey(start)) {
			if err := fn(k, start); err != nil {
				return err
			}
		}
		ok = it.SeekGE(end)
	}
	return it.Err()
}

func visitDescriptor(rd storage.Reader, k, start keys.Key, fn func(d *kv.RangeDescriptor) error) error {
	v, err := mvcc.GetWith(rd, k, hlc.Max, mvcc.ReadOptions{Committed: true})
	if err != nil || !v.Exists {
		return err
	}
	d, err := kv.ParseDescriptor(v.Bytes)
	if err != nil {
		return fmt.Errorf("replica: descriptor of the range at %s: %w", start, err)
	}
	return fn(d)
}
