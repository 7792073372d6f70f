package store

import (
	"slices"
	"time"

	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// gcQueue goes through the ranges of which the store has the lease, now and then, and
// removes what nobody can see or needs any more:
//
//   - versions that are hidden from all who read above the threshold, which is the time
//     to live before the present. The threshold is raised first, by a command of its
//     own: when a version goes, every replica refuses to read where it was seen.
//   - records of transactions that were last heard of before the threshold. Those that
//     are not final are ended first, and the locks of all are resolved.
//   - notes in the abort span that are so old that whoever they were for has found out.
//
// It looks at the engine, beside all latches: what it finds are candidates. The commands
// that remove them look again. It owns one task while a pass is made, and none between.
type gcQueue struct {
	s                  *Store
	ttl, interval      time.Duration
	noteAge, abandoned time.Duration // after which a note may go, and a transaction is over
	batch              int64
	next               time.Duration // Mono, when a pass is due
	running            bool
}

func (q *gcQueue) init(s *Store) {
	p := s.cfg.Env
	q.s, q.ttl, q.interval, q.batch = s, env.Duration(p, &knobGCTTL), env.Duration(p, &knobGCInterval), p.Knob(&knobGCBatch)
	q.abandoned = concurrency.ReadTunables(p).Expiration
	// Whoever has not been able to send a heartbeat for that long may still try to read.
	q.noteAge = max(env.Duration(p, &knobGCNotes), 3*q.abandoned)
	q.next = p.Mono() + q.interval
}

// tick begins a pass if one is due.
func (q *gcQueue) tick() {
	if q.running || q.s.cfg.Env.Mono() < q.next {
		return
	}
	q.running = true
	q.s.cfg.Env.Go("store: gc", func(t env.Task) {
		q.pass(t)
		q.running, q.next = false, q.s.cfg.Env.Mono()+q.interval
	})
}

// pass looks at one range after the other.
func (q *gcQueue) pass(t env.Task) {
	for _, r := range slices.Clone(q.s.replicas) {
		if q.s.stopped || t.Err() != nil {
			return
		}
		if q.s.Replica(r.RangeID()) == r && lastHeld(r) {
			t.SetDeadline(q.s.cfg.Env.Mono() + gcPatience)
			q.collect(t, r)
			t.SetDeadline(0)
		}
	}
}

// gcPatience is how long one range may keep the others waiting: without a quorum its
// commands do not come to an end.
const gcPatience = 20 * time.Second

// lastHeld reports that the lease is r's, or was last: an idle range lets it lapse, and
// its garbage must go nevertheless.
func lastHeld(r *replica.Replica) bool {
	l := &r.State().Lease
	return l.Sequence > 0 && l.Replica.ReplicaID == r.Self().ReplicaID
}

// collect makes one replica's range tidy. It asks the replica itself: if the range has
// been split meanwhile, or the lease is another's, it is refused, and comes again.
func (q *gcQueue) collect(t env.Task, r *replica.Replica) {
	now := q.s.cfg.Clock.Now()
	if now.Wall <= int64(q.ttl) {
		return // nothing can be so old
	}
	id := r.RangeID()
	c := collection{
		q: q, t: t, reader: q.s.cfg.Engine, desc: r.Desc(), now: now, threshold: now.Add(-q.ttl),
		inForce: r.State().GCThreshold, mayHide: r.State().Stats.Versions > r.State().Stats.Live,
		send: func(req *kv.GCRequest) *kv.Error {
			return q.s.Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: id, Gateway: q.s.cfg.NodeID}, Requests: []kv.Request{req}}).Err
		},
	}
	if err := c.run(); err != nil {
		q.s.cfg.Env.Probe(probeGCRefused)
	}
}

// collection is the work on one range.
type collection struct {
	q      *gcQueue
	t      env.Task
	reader storage.Reader
	desc   *kv.RangeDescriptor
	now    hlc.Timestamp
	// threshold is where the range's is to be; inForce is where it was.
	threshold, inForce hlc.Timestamp
	mayHide            bool // by the statistics there are versions that others hide
	send               func(*kv.GCRequest) *kv.Error
}

func (c *collection) run() *kv.Error {
	local, err := c.records()
	if err != nil {
		c.damaged(err)
		return nil
	}
	if err := c.notes(); err != nil {
		return err
	}
	if !c.mayHide {
		return nil
	}
	// What belongs to keys, but for records, has versions like the keys.
	for _, k := range local {
		if err := c.versions(keys.Span{Key: k}); err != nil {
			return err
		}
	}
	user := c.desc.Span()
	if user.Key.Less(keys.LocalEnd) {
		user.Key = keys.LocalEnd
	}
	return c.versions(user)
}

// damaged ends the process: what cannot be read would be missed by whoever reads.
func (c *collection) damaged(err error) { c.q.s.cfg.Env.Fatal(err) }

// request concerns the range as it was when it was looked at.
func (c *collection) request() *kv.GCRequest {
	return &kv.GCRequest{Key: c.desc.StartKey, EndKey: c.desc.EndKey}
}

// remove deletes garbage. A command that would be too large is divided.
func (c *collection) remove(garbage []kv.GCKey) *kv.Error {
	req := c.request()
	req.Keys = garbage
	err := c.send(req)
	if n := len(garbage); err != nil && err.Kind == kv.BadRequest && n > 1 {
		c.q.s.cfg.Env.Probe(probeGCDivided)
		if err = c.remove(garbage[:n/2]); err == nil {
			err = c.remove(garbage[n/2:])
		}
	}
	return err
}
