package replica

import (
	"math"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// A replica that its store has no more is gone: another has taken in what it held, or it
// was removed. What belonged to its range ID was deleted in one batch with whatever ended
// it, and a tombstone put in its place. It serves, says and writes nothing any more,
// though tasks and callbacks may still know of it.

// NeverAgain is the tombstone of a range that is no more: no replica of it may be made.
const NeverAgain kv.ReplicaID = math.MaxInt32

// deleteRangeID adds the writes that remove all that belongs to a range ID and not to keys,
// and that leave a tombstone: replicas below next may not come back.
func deleteRangeID(b *storage.Batch, id kv.RangeID, next kv.ReplicaID) {
	for _, s := range []keys.Span{keys.RangeIDReplicatedSpan(id), keys.RangeIDUnreplicatedSpan(id)} {
		b.DeleteRange(s.Key, s.EndKey)
	}
	b.Put(keys.TombstoneKey(id), codec.AppendVarint(nil, int64(next)))
}

// Tombstone is the least identity that a replica of the range may have on this store; 0
// if none was ever removed.
func Tombstone(rd storage.Reader, id kv.RangeID) (kv.ReplicaID, error) {
	v, ok, err := rd.Get(keys.TombstoneKey(id))
	if err != nil || !ok {
		return 0, err
	}
	r := codec.MakeReader(v)
	next := kv.ReplicaID(r.Int32())
	return next, r.Done()
}

// Gone reports that r is no replica any more.
func (r *Replica) Gone() bool { return r.gone }

// leave ends r in memory. Whoever waits for anything here goes round and is told that the
// range is elsewhere; of proposals that are open nobody here will learn what became.
func (r *Replica) leave() {
	r.gone = true
	if t := r.election.timer; t != 0 {
		r.cfg.Env.Stop(t)
		r.election.timer = 0
	}
	for len(r.proposals.pending) > 0 {
		p := r.proposals.pending[0]
		r.proposals.remove(0)
		r.settle(p, 0, errUnknownOutcome)
	}
	r.requests.Clear()
	r.reads = nil
	if f := r.frozen; f != nil {
		f.end(true)
	}
}

// elsewhere is the refusal of a replica that is gone.
func (r *Replica) elsewhere() *kv.Error {
	if r.removed {
		return r.errorf(kv.RangeNotFound, "s%d has removed its replica", r.cfg.StoreID)
	}
	return r.errorf(kv.RangeKeyMismatch, "%s is no more", r.self)
}
