package invariants

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/db/server"
)

// CompareReplicas compares, range by range, all living replicas that have applied
// the same index. What is replicated must be the same, byte for byte.
func (w *Watcher) CompareReplicas() {
	w.CheckTiling()
	for _, desc := range w.Ranges() {
		w.compareRange(desc)
	}
}

func (w *Watcher) compareRange(desc *kv.RangeDescriptor) {
	type seen struct {
		index uint64
		sum   uint64
		who   kv.ReplicaDescriptor
	}
	var all []seen
	for _, d := range desc.Replicas {
		s := w.cluster.ServerOf(d.NodeID)
		if s == nil {
			continue
		}
		r := s.Store().Replica(desc.RangeID)
		if r == nil {
			continue
		}
		sum, err := checksum(s, r)
		if err != nil {
			w.problem("r%d: contents of %s cannot be read: %v", desc.RangeID, d, err)
			continue
		}
		all = append(all, seen{r.State().AppliedIndex, sum, d})
	}
	for i := range all {
		for j := i + 1; j < len(all); j++ {
			if all[i].index != all[j].index {
				continue
			}
			w.sums++
			if all[i].sum != all[j].sum {
				w.problem("r%d: %s and %s differ at applied index %d", desc.RangeID, all[i].who, all[j].who, all[i].index)
			}
		}
	}
}

// checksum hashes everything that the replicas of a range have in common.
func checksum(s *server.Server, r *replica.Replica) (uint64, error) {
	h := xxhash.New()
	var lengths [8]byte // so that no other cut into keys and values hashes alike
	for _, span := range replica.ReplicatedSpans(r.Desc()) {
		it := s.Engine().NewIter(span.Key, span.EndKey)
		for it.First(); it.Valid(); it.Next() {
			binary.LittleEndian.PutUint32(lengths[:], uint32(len(it.Key())))
			binary.LittleEndian.PutUint32(lengths[4:], uint32(len(it.Value())))
			_, _ = h.Write(lengths[:])
			_, _ = h.Write(it.Key())
			_, _ = h.Write(it.Value())
		}
		err := it.Err()
		it.Close()
		if err != nil {
			return 0, err
		}
	}
	return h.Sum64(), nil
}

// Goal is how far a range has come on the replica that is ahead of the others.
type Goal struct {
	Range kv.RangeID
	Index uint64
}

// Goals tells how far each range has come at this moment.
func (w *Watcher) Goals() []Goal {
	var all []Goal
	for _, desc := range w.Ranges() {
		g := Goal{Range: desc.RangeID}
		w.visitStaying(desc, func(r *replica.Replica) bool {
			if r != nil {
				g.Index = max(g.Index, r.State().AppliedIndex)
			}
			return true
		})
		all = append(all, g)
	}
	return all
}

// Reached reports whether all replicas of all ranges live and have come as far as a range
// had when the goals were set. A range that is written to without pause (the first one,
// where each node says that it is alive, when its log is slow) may not be at one index
// on all replicas at any moment.
func (w *Watcher) Reached(goals []Goal) bool {
	for _, desc := range w.Ranges() {
		i := slices.IndexFunc(goals, func(g Goal) bool { return g.Range == desc.RangeID })
		if !w.visitStaying(desc, func(r *replica.Replica) bool {
			return r != nil && (i < 0 || r.State().AppliedIndex >= goals[i].Index)
		}) {
			return false
		}
	}
	return true
}

// visitStaying calls fn with each replica of a range whose node has not left for good,
// nil if it is not there, until fn returns false, and reports whether it never did.
func (w *Watcher) visitStaying(desc *kv.RangeDescriptor, fn func(*replica.Replica) bool) bool {
	for _, d := range desc.Replicas {
		if n := w.cluster.NodeOf(d.NodeID); n == nil || n.Left() {
			continue
		}
		var r *replica.Replica
		if s := w.cluster.ServerOf(d.NodeID); s != nil {
			r = s.Store().Replica(desc.RangeID)
		}
		if !fn(r) {
			return false
		}
	}
	return true
}

// CaughtUp reports whether all replicas of all ranges live and have applied the same
// index as their peers. Those whose disk is lost or whose node has left never will, and
// are not waited for.
func (w *Watcher) CaughtUp() bool {
	for _, desc := range w.Ranges() {
		var index uint64
		first := true
		if !w.visitStaying(desc, func(r *replica.Replica) bool {
			if r == nil || !first && r.State().AppliedIndex != index {
				return false
			}
			index, first = r.State().AppliedIndex, false
			return true
		}) {
			return false
		}
	}
	return true
}
