package store

import (
	"slices"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// splitQueue divides the ranges of which the store has the lease and that have grown too
// large. Now and then it looks at their statistics, and owns a task only while it divides
// one: one at a time.
type splitQueue struct {
	s        *Store
	maxBytes int64
	interval time.Duration
	next     time.Duration // Mono, when it looks again
	running  bool
}

func (q *splitQueue) init(s *Store) {
	p := s.cfg.Env
	q.s, q.maxBytes, q.interval = s, p.Knob(&knobRangeMax), env.Duration(p, &knobSplitInterval)
	q.next = p.Mono() + q.interval
}

// splitPatience is how long one range may keep the others waiting.
const splitPatience = 10 * time.Second

// tick begins to divide, if something is too large.
func (q *splitQueue) tick() {
	if q.running || q.s.cfg.DB == nil || q.s.cfg.Env.Mono() < q.next {
		return
	}
	q.next = q.s.cfg.Env.Mono() + q.interval
	if !slices.ContainsFunc(q.s.replicas, q.due) {
		return
	}
	q.running = true
	q.s.cfg.Env.Go("store: splits", func(t env.Task) {
		for _, r := range q.s.replicas {
			if q.s.stopped || t.Err() != nil || !q.due(r) {
				continue
			}
			k, err := SplitKey(q.s.cfg.Engine, r.Desc())
			if err != nil {
				q.s.cfg.Env.Fatal(err)
			}
			if k == nil {
				continue // one key, however many its versions, is in one range
			}
			t.SetDeadline(q.s.cfg.Env.Mono() + splitPatience)
			if _, err := q.s.Split(t, r, k); err != nil {
				q.s.cfg.Env.Log("split of r%d at %s: %v", r.RangeID(), k, err)
			} else {
				q.s.cfg.Env.Probe(probeSplitBySize)
			}
			t.SetDeadline(0)
		}
		q.running, q.next = false, q.s.cfg.Env.Mono()+q.interval
	})
}

func (q *splitQueue) due(r *replica.Replica) bool {
	return r.State().Stats.Total() > q.maxBytes && r.HoldsLease()
}

// SplitKey is the key at which a range is divided most evenly, by bytes; nil if it cannot
// be divided.
func SplitKey(rd storage.Reader, d *kv.RangeDescriptor) (keys.Key, error) {
	s := d.Span()
	if s.Key.Less(keys.Meta2) {
		s.Key = keys.Meta2
	}
	lo, hi := mvcc.EncodeSpan(s)
	it := rd.NewIter(lo, hi)
	defer it.Close()
	var total int64
	for ok := it.First(); ok; ok = it.Next() {
		total += int64(len(it.Key()) + len(it.Value()))
	}
	var before int64 // bytes below the key at hand
	var last, best keys.Key
	most := total // how far best is from the middle
	for ok := it.First(); ok; ok = it.Next() {
		k, _, err := mvcc.DecodeKey(it.Key())
		if err != nil {
			return nil, err
		}
		if off := max(total-2*before, 2*before-total); last != nil && !k.Equal(last) && (best == nil || off < most) && kv.CheckSplitKey(k) == nil {
			best, most = k.Clone(), off
		}
		last = k.Clone()
		before += int64(len(it.Key()) + len(it.Value()))
	}
	if best != nil && best.Equal(d.StartKey) {
		best = nil
	}
	return best, it.Err()
}
