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

// VisitDescriptors calls fn with the newest version of each range descriptor. Between
// them there are records of transactions, which have no versions: only the keys of
// descriptors are read.
func VisitDescriptors(rd storage.Reader, fn func(d *kv.RangeDescriptor) error) error {
	it := rd.NewIter(mvcc.EncodeSpan(keys.RangeLocalSpan(keys.Span{Key: keys.Min, EndKey: keys.Max})))
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
			if err := visitDescriptor(rd, k, start, fn); err != nil {
				return err
			}
		}
		ok = it.SeekGE(end)
	}
	return it.Err()
}

func visitDescriptor(rd storage.Reader, k, start keys.Key, fn func(d *kv.RangeDescriptor) error) error {
	v, err := mvcc.Get(rd, k, hlc.Max)
	if err != nil || !v.Exists {
		return err
	}
	d, err := kv.ParseDescriptor(v.Bytes)
	if err != nil {
		return fmt.Errorf("replica: descriptor of the range at %s: %w", start, err)
	}
	return fn(d)
}
