package store

import (
	"fmt"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
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

// need implements queueWork. The smallest come first: they are the least to move.
func (q *mergeQueue) need(id kv.RangeID) int {
	r := q.s.Replica(id)
	if r == nil {
		return 0
	}
	size := r.State().Stats.Total()
	if size >= q.minBytes || r.Desc().EndKey.Equal(keys.Max) || !r.HoldsLease() {
		return 0
	}
	return 1 + int((q.minBytes-size)*100/q.minBytes)
}

// process implements queueWork.
func (q *mergeQueue) process(t env.Task, id kv.RangeID) (verdict, error) {
	r := q.s.Replica(id)
	right, err := q.s.rightOf(t, r.Desc())
	if err != nil {
		return failed, err
	}
	if size := r.State().Stats.Total() + right.Bytes; size > q.maxBytes/4*3 {
		return settled, nil
	}
	if q.requests > 0 && r.Load().Requests+right.Requests > q.requests/2 {
		return settled, nil
	}
	if err := kv.CheckMerge(r.Desc(), &right.Desc); err != nil {
		return stuck, err // somebody has to bring the replicas together first
	}
	d, err := q.s.Merge(t, r)
	if err != nil {
		return failed, err
	}
	q.s.cfg.Env.Probe(probeMergeBySize)
	if q.s.Replica(d.RangeID) == nil {
		return settled, fmt.Errorf("%s is not here any more", d)
	}
	return more, nil
}

// view implements queueWork.
func (q *mergeQueue) view() uint64 { return 0 }
