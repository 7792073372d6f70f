package invariants

import (
	"slices"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/server"
)

// CheckTiling looks at the descriptors of all ranges at this moment, of each the newest that
// a living node has applied. No two hold the same key, ever: a split narrows the left side
// in the same step in which the right one begins, and a merge ends the right side in the step
// in which the left one grows. While all nodes live there is no key that none holds.
func (w *Watcher) CheckTiling() {
	alive := true
	for _, n := range w.cluster.Nodes() {
		alive = alive && n.Server() != nil
	}
	w.tiled++
	end := keys.Min
	for _, d := range w.cluster.Descriptors() {
		if w.rangeLog(d.RangeID).into != 0 {
			continue // a replica of it that has still to be taken in
		}
		switch {
		case d.StartKey.Less(end):
			w.problem("%s begins below %s, where another range ends", d, end)
		case alive && end.Less(d.StartKey):
			w.problem("no range holds [%s, %s), below %s", end, d.StartKey, d)
		}
		end = d.EndKey
	}
	if alive && !end.Equal(keys.Max) {
		w.problem("no range holds [%s, %s)", end, keys.Max)
	}
}

// CheckIndex compares the index with the descriptors of the ranges, when nothing goes on
// any more. An entry whose intent nobody has resolved says one of two things, and one of
// them has to be right.
func (w *Watcher) CheckIndex() {
	all := slices.DeleteFunc(w.cluster.Descriptors(), func(d *kv.RangeDescriptor) bool { return w.rangeLog(d.RangeID).into != 0 })
	for _, d := range all {
		for _, k := range keys.MetaKeys(d.StartKey, d.EndKey) {
			for _, holder := range all {
				if holder.ContainsKey(k) {
					w.checkEntry(k, d, holder)
				}
			}
		}
	}
}

// checkEntry looks at one entry on the nodes that have it.
func (w *Watcher) checkEntry(k keys.Key, d, holder *kv.RangeDescriptor) {
	for _, rd := range holder.Replicas {
		s := w.cluster.ServerOf(rd.NodeID)
		if s == nil || s.Store().Replica(holder.RangeID) == nil {
			continue
		}
		w.indexed++
		says, err := entries(s, k)
		if err != nil {
			w.problem("n%d: the entry at %s cannot be read: %v", rd.NodeID, k, err)
			continue
		}
		right := false
		for _, e := range says {
			right = right || e == d.String()
		}
		if !right {
			w.problem("n%d: the index says %q at %s, where there is %s", rd.NodeID, says, k, d)
		}
	}
}

// entries are what an entry of the index says: what is committed, and what an intent would
// make of it.
func entries(s *server.Server, k keys.Key) ([]string, error) {
	var all []string
	add := func(val []byte) error {
		d, err := kv.ParseDescriptor(val)
		if err == nil {
			all = append(all, d.String())
		}
		return err
	}
	v, err := mvcc.GetWith(s.Engine(), k, hlc.Max, mvcc.ReadOptions{Committed: true})
	if err == nil && v.Exists {
		err = add(v.Bytes)
	}
	if err != nil {
		return nil, err
	}
	lo, hi := mvcc.EncodeSpan(keys.Span{Key: k})
	it := s.Engine().NewIter(lo, hi)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		_, v, bare, err := mvcc.DecodeVersion(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		if !bare { // the newest
			if v.Exists {
				err = add(v.Bytes)
			}
			return all, err
		}
	}
	return all, it.Err()
}
