package store

import (
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
// the records by which ranges are found.
func Bootstrap(b *storage.Batch, store kv.StoreID, descs []*kv.RangeDescriptor) {
	for _, d := range descs {
		rd, ok := d.Replica(store)
		if !ok {
			continue
		}
		w := mvcc.Writer{Batch: b}
		w.PutNew(keys.RangeDescriptorKey(d.StartKey), bootstrapTime, d.Encode(nil))
		for _, of := range descs {
			for _, k := range metaKeys(of) {
				if d.ContainsKey(k) {
					w.PutNew(k, bootstrapTime, of.Encode(nil))
				}
			}
		}
		replica.WriteInitial(b, d.RangeID, rd.ReplicaID, w.Stats)
	}
}

// metaKeys are where a range's descriptor is recorded: by its end in meta2 and, if
// it holds a part of meta2, by the end of that part in meta1.
func metaKeys(d *kv.RangeDescriptor) []keys.Key {
	var ks []keys.Key
	if keys.Meta2End.Less(d.EndKey) {
		ks = append(ks, keys.Meta2Key(d.EndKey))
	}
	if d.StartKey.Less(keys.Meta2End) && keys.Meta2.Less(d.EndKey) {
		end := keys.Max
		if d.EndKey.Less(keys.Meta2End) {
			end = d.EndKey[1:]
		}
		ks = append(ks, keys.Meta1Key(end))
	}
	return ks
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
