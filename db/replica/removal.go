package replica

import (
	"simulacrum/db/codec"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// WriteTombstone adds the write that keeps replicas with lower IDs than next from this
// store for ever.
func WriteTombstone(b *storage.Batch, id kv.RangeID, next kv.ReplicaID) {
	b.Put(keys.TombstoneKey(id), codec.AppendVarint(nil, int64(next)))
}

// stageRemoval stages that nothing is left of r but a tombstone: data, log, promises and
// identity go in one step. If some of it stayed, a later replica of the range could take
// it for its own, and what r has promised could be given by a replica that does not know
// of it.
func (r *Replica) stageRemoval(b *storage.Batch, next kv.ReplicaID) {
	for _, span := range ReplicatedSpans(r.state.Desc) {
		b.DeleteRange(span.Key, span.EndKey)
	}
	deleteRangeID(b, r.rangeID, next)
}

// Remove ends a replica that the range has no more, though it has not applied that
// itself. next is above its ID, and at most that of the next replica of the range here.
func (r *Replica) Remove(next kv.ReplicaID) {
	if r.gone || next <= r.self.ReplicaID {
		panic("replica: removing " + r.String())
	}
	b := &r.cfg.batch
	b.Reset()
	r.stageRemoval(b, next)
	r.engine.Commit(b, false, nil)
	r.endRemoval()
}

// endRemoval runs when the engine shows that r is no more.
func (r *Replica) endRemoval() {
	r.cfg.Env.Probe(probeRemoved)
	r.removed = true
	r.log.resetCache()
	r.cfg.Host.Removed(r)
	r.leave()
}
