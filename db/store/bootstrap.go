package store

import (
	"encoding/binary"
	"slices"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
)

// bootstrapTime is the timestamp of the versions that a cluster begins with, below
// all others.
var bootstrapTime = hlc.Timestamp{Wall: 1}

// Bootstrap adds the writes that make the given store's part of a new cluster whose
// ranges are descs: for each of its replicas an empty state, at the same index on
// all replicas, and the descriptor; and, where it has the ranges that hold them,
// the records by which ranges are found, and the count of ranges.
func Bootstrap(b *storage.Batch, store kv.StoreID, descs []*kv.RangeDescriptor) {
	for _, d := range descs {
		rd, ok := d.Replica(store)
		if !ok {
			continue
		}
		w := mvcc.Writer{Batch: b}
		w.PutNew(keys.RangeDescriptorKey(d.StartKey), bootstrapTime, d.Encode(nil))
		for _, of := range descs {
			if !d.StartKey.Less(keys.Meta2End) {
				break // it holds no part of the index
			}
			for _, k := range keys.MetaKeys(of.StartKey, of.EndKey) {
				if d.ContainsKey(k) {
					w.PutNew(k, bootstrapTime, of.Encode(nil))
				}
			}
		}
		if d.ContainsKey(keys.RangeIDCounterKey) {
			w.PutNew(keys.RangeIDCounterKey, bootstrapTime, binary.BigEndian.AppendUint64(nil, uint64(highestID(descs))))
		}
		replica.WriteInitial(b, d.RangeID, rd.ReplicaID, w.Stats)
	}
}

func highestID(descs []*kv.RangeDescriptor) (id kv.RangeID) {
	for _, d := range descs {
		id = max(id, d.RangeID)
	}
	return id
}

// Descriptors lists the descriptors of all ranges of which the engine holds a
// replica, in order of their starts.
func Descriptors(rd storage.Reader) ([]*kv.RangeDescriptor, error) {
	var descs []*kv.RangeDescriptor
	err := replica.VisitDescriptors(rd, func(d *kv.RangeDescriptor) error {
		_, ok, err := rd.Get(keys.ReplicaIDKey(d.RangeID))
		if ok {
			descs = append(descs, d)
		}
		return err
	})
	slices.SortStableFunc(descs, func(a, b *kv.RangeDescriptor) int { return a.StartKey.Compare(b.StartKey) })
	return descs, err
}
