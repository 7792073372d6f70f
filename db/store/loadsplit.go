package store

import (
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// loadSplitQueue divides the ranges of which the store has the lease and that are asked for
// more than they should be, at a key that has half of the requests on each side. As long
// as a range is that busy its requests are sampled; if no key divides them, since all go to
// one, the range stays as it is.
type loadSplitQueue struct {
	queue
	s        *Store
	requests int64 // a second
}

func (q *loadSplitQueue) init(s *Store) {
	p := s.cfg.Env
	q.s, q.requests = s, p.Knob(&knobSplitRequests)
	interval := env.Duration(p, &knobSplitInterval)
	if q.requests == 0 || s.cfg.DB == nil {
		interval = 0
	}
	q.queue.init(p, (*heldRanges)(s), "store: load splits", interval, splitPatience, q)
}

// need implements queueWork.
func (q *loadSplitQueue) need(id kv.RangeID) int {
	r := q.s.Replica(id)
	if r == nil {
		return 0
	}
	n := r.Load().Requests
	if r.SampleKeys(n > q.requests && r.HoldsLease()) == nil {
		return 0
	}
	return int(n / q.requests)
}

// process implements queueWork.
func (q *loadSplitQueue) process(t env.Task, id kv.RangeID) (verdict, error) {
	r := q.s.Replica(id)
	k := r.SampleKeys(true)
	if k == nil {
		return settled, nil
	}
	if _, err := q.s.Split(t, r, k); err != nil {
		return failed, err
	}
	r.SampleKeys(false) // what was seen was of the whole
	q.s.cfg.Env.Probe(probeSplitByLoad)
	return settled, nil
}

// view implements queueWork.
func (q *loadSplitQueue) view() uint64 { return 0 }
