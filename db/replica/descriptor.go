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

// VisitDescriptors calls fn with the newest version of each range descriptor.
func VisitDescriptors(rd storage.Reader, fn func(d *kv.RangeDescriptor) error) error {
	span := keys.RangeLocalSpan(keys.Span{Key: keys.Min, EndKey: keys.Max})
	rows, _, err := mvcc.Scan(rd, span, hlc.Max, mvcc.Limit{})
	if err != nil {
		return err
	}
	for _, row := range rows {
		start, _, ok := keys.DecodeRangeLocal(row.Key)
		if !ok {
			return fmt.Errorf("replica: %s is not a range-local key", row.Key)
		}
		if !bytes.Equal(row.Key, keys.RangeDescriptorKey(start)) {
			continue
		}
		d, err := kv.ParseDescriptor(row.Value)
		if err != nil {
			return fmt.Errorf("replica: descriptor of the range at %s: %w", start, err)
		}
		if err := fn(d); err != nil {
			return err
		}
	}
	return nil
}
