package invariants

import (
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/server"
)

// held takes note of a change of the key space, and of what is wrong with it.
func (w *Watcher) held(wrong string) {
	if wrong == "" {
		wrong = w.space.tiles()
	}
	if wrong != "" {
		w.problem("%s", wrong)
	}
	w.tiled++
}

// CheckTiling looks at the descriptors of all replicas at this moment: none knows of its
// range what no log says. A replica that has been removed, or taken in by a merge, may
// know of what is past.
func (w *Watcher) CheckTiling() {
	for _, n := range w.cluster.Nodes() {
		if n.Server() == nil {
			continue
		}
		n.Server().Store().VisitReplicas(func(r *replica.Replica) bool {
			if wrong := w.space.knows(r.Desc()); wrong != "" {
				w.problem("%s: %s", n.Name(), wrong)
			}
			return true
		})
	}
	w.held("")
}

// CheckIndex compares the index with the descriptors of the ranges, when nothing goes on
// any more. An entry whose intent nobody has resolved says one of two things, and one of
// them has to be right.
func (w *Watcher) CheckIndex() {
	all := w.Ranges()
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
