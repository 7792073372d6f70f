package store

import (
	"slices"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// mergeQueue has small ranges take in their neighbours to the right, if the two together
// would not be divided again soon: they may be no larger than three quarters of what one
// range may hold, nor busier than half of what it may do. A range that shrinks and grows
// round a bound would otherwise be merged and divided without end.
type mergeQueue struct {
	queue
	s                  *Store
	minBytes, maxBytes int64
	requests           int64 // a second, above which a range is divided; 0: however many
}

func (q *mergeQueue) init(s *Store) {
	p := s.cfg.Env
	q.s, q.minBytes, q.maxBytes, q.requests = s, p.Knob(&knobRangeMin), p.Knob(&knobRangeMax), p.Knob(&knobSplitRequests)
	interval := env.Duration(p, &knobSplitInterval)
	if q.minBytes == 0 || s.cfg.DB == nil {
		interval = 0
	}
	q.queue.init(p, (*heldRanges)(s), "store: merges", interval, mergePatience, q)
}

// need implements queueWork. The smallest come first: they are the least to move. How large
// the neighbour is is asked of the replica here: it may lag, but to ask the range itself
// would keep it awake for nothing. If it is not here somebody has to bring the two together
// first.
func (q *mergeQueue) need(id kv.RangeID) int {
	r := q.s.Replica(id)
	if r == nil || !mayMerge(r) {
		return 0
	}
	right, size := q.s.beginningAt(r.Desc().EndKey), r.State().Stats.Total()
	if size >= q.minBytes || right == nil || size+right.State().Stats.Total() > q.maxBytes/4*3 ||
		kv.CheckMerge(r.Desc(), right.Desc()) != nil || q.s.allLive(right.Desc()) != nil {
		return 0
	}
	return 1 + int((q.minBytes-size)*100/q.minBytes)
}

// mayMerge reports that it is for this store to see to a range: it has the lease or, of a
// range that nobody uses and whose lease has run out, it leads. Small ranges are often
// those that nobody uses any more.
func mayMerge(r *replica.Replica) bool {
	return r.HoldsLease() || r.IsLeader() && r.LeaseLapsed()
}

// beginningAt is the replica here of the range that begins at k, or nil.
func (s *Store) beginningAt(k keys.Key) *replica.Replica {
	i := slices.IndexFunc(s.replicas, func(r *replica.Replica) bool { return r.Desc().StartKey.Equal(k) })
	if i < 0 {
		return nil
	}
	return s.replicas[i]
}

// process implements queueWork.
func (q *mergeQueue) process(t env.Task, id kv.RangeID) (verdict, error) {
	r := q.s.Replica(id)
	if q.requests > 0 {
		right, err := q.s.rightOf(t, r.Desc())
		if err != nil {
			return failed, err
		}
		if r.Load().Requests+right.Requests > q.requests/2 {
			return settled, nil
		}
	}
	if _, err := q.s.Merge(t, r); err != nil {
		return failed, err
	}
	q.s.cfg.Env.Probe(probeMergeBySize)
	return more, nil
}

// view implements queueWork.
func (q *mergeQueue) view() uint64 { return 0 }
