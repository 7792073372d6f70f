package store

import (
	"cmp"
	"slices"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// queue is what the store's queues have in common. It looks at all ranges of the store once in
// an interval, a few at each tick, and keeps those that need its work in line:
//
//	ranges --a few a tick--> need > 0? --> waiting, by urgency, then by arrival
//	                                            |            ^        ^
//	                              one at a time v            |        | the pause is over
//	                                         process --+     |      later: it failed
//	                                            |      |     |        ^
//	                                            |      +-----+--------+
//	                                            v            |
//	                                        done, or       stuck: until the cluster has
//	                                        moved on                changed, or for long
//
// It owns a task while somebody waits, and none otherwise. Whether a range needs the
// work is looked at again when its turn comes: much happens while it waits.
type queue struct {
	p        env.Process
	host     queueHost
	name     string // of its task; a constant
	work     queueWork
	interval time.Duration // in which each range is looked at once; 0: the queue is off
	patience time.Duration // how long one range may keep the others waiting

	looked  time.Duration // Mono, up to when the pace has been kept
	credit  int64         // ranges that may be looked at, times the interval in nanoseconds
	cursor  kv.RangeID    // the last one that was looked at
	running bool
	arrived uint64

	waiting []*queued // by urgency and arrival
	later   []*queued // by the time at which they come again
	stuck   []*queued // by arrival
	known   map[kv.RangeID]*queued
	view    uint64 // of the cluster when the first of stuck came to be so
}

// queueHost has the ranges that a queue looks at: those of which the store has replicas.
type queueHost interface {
	// count is how many there are.
	count() int64
	// after is the one that follows id, in a circle. There must be one.
	after(id kv.RangeID) kv.RangeID
	// ended reports that nothing is to be done any more.
	ended() bool
}

// queueWork is what a queue does.
type queueWork interface {
	// need says how much a range needs the work: 0 is not at all, and of two ranges the one
	// with the greater need comes first. A range that is not here, or not any more, needs
	// nothing. It is asked often and must not wait.
	need(id kv.RangeID) int
	// process does the work on a range, or a part of it. The error of a range that is to
	// come again is logged.
	process(t env.Task, id kv.RangeID) (verdict, error)
	// view is a number that changes when the cluster does in a manner that may help those
	// who are stuck.
	view() uint64
}

// verdict says how to go on with a replica.
type verdict uint8

const (
	settled verdict = iota // it is looked at when its turn comes
	more                   // a step was made, and there may be another
	failed                 // it comes again after a pause
	stuck                  // nothing helps while the cluster is as it is
)

// queued is a range in a queue.
type queued struct {
	id       kv.RangeID
	urgency  int
	arrived  uint64
	failures int           // in a row
	again    time.Duration // Mono, when it comes again; of those in later and stuck
}

// The pauses of a range whose work failed double from the first to the last; who is
// stuck comes again after stuckFor, whatever is known of the cluster.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	stuckFor   = time.Minute
)

func (q *queue) init(p env.Process, host queueHost, name string, interval, patience time.Duration, w queueWork) {
	q.p, q.host, q.name, q.work, q.interval, q.patience = p, host, name, w, interval, patience
	q.looked = p.Mono()
	if interval > 0 {
		q.known = map[kv.RangeID]*queued{}
	}
}

// tick looks at the ranges whose turn has come, and begins to work if any needs it.
func (q *queue) tick() {
	if q.interval == 0 {
		return
	}
	q.scan()
	q.revive()
	if !q.running && len(q.waiting) > 0 {
		q.running = true
		q.p.Go(q.name, q.run)
	}
}

// scan looks at as many ranges as the time that has passed is worth.
func (q *queue) scan() {
	now, n := q.p.Mono(), q.host.count()
	passed := min(now-q.looked, q.interval) // no range twice
	q.looked = now
	q.credit = min(q.credit+int64(passed)*n, int64(q.interval)*n)
	for ; n > 0 && q.credit >= int64(q.interval); q.credit -= int64(q.interval) {
		q.cursor = q.host.after(q.cursor)
		q.consider(q.cursor)
	}
}

// consider puts a range in line if it needs the work and is not in the queue.
func (q *queue) consider(id kv.RangeID) {
	if q.interval == 0 || q.known[id] != nil {
		return
	}
	if n := q.work.need(id); n > 0 {
		it := &queued{id: id}
		q.known[id] = it
		q.enqueue(it, n)
	}
}

// enqueue puts one in line that is in no list.
func (q *queue) enqueue(it *queued, urgency int) {
	q.arrived++
	it.urgency, it.arrived = urgency, q.arrived
	q.waiting = insert(q.waiting, it, func(a, b *queued) int {
		return cmp.Or(cmp.Compare(b.urgency, a.urgency), cmp.Compare(a.arrived, b.arrived))
	})
}

func insert(list []*queued, it *queued, order func(a, b *queued) int) []*queued {
	i, _ := slices.BinarySearchFunc(list, it, order)
	return slices.Insert(list, i, it)
}

// revive puts those back in line whose pause is over, and those that were stuck if
// the cluster has changed.
func (q *queue) revive() {
	now := q.p.Mono()
	for len(q.later) > 0 && q.later[0].again <= now {
		it := q.later[0]
		q.later = slices.Delete(q.later, 0, 1)
		q.comeAgain(it)
	}
	if len(q.stuck) == 0 {
		return
	}
	if v := q.work.view(); v != q.view {
		q.p.Probe(probeQueueUnstuck)
		all := q.stuck
		q.stuck = nil
		for _, it := range all {
			q.comeAgain(it)
		}
		return
	}
	for len(q.stuck) > 0 && q.stuck[0].again <= now {
		it := q.stuck[0]
		q.stuck = slices.Delete(q.stuck, 0, 1)
		q.comeAgain(it)
	}
}

// comeAgain puts one back in line, unless its need has passed.
func (q *queue) comeAgain(it *queued) {
	if n := q.work.need(it.id); n > 0 {
		q.enqueue(it, n)
		return
	}
	delete(q.known, it.id)
}

// run works until nobody waits.
func (q *queue) run(t env.Task) {
	for len(q.waiting) > 0 && !q.host.ended() && t.Err() == nil {
		it := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.one(t, it)
	}
	q.running = false
}

// one does the work on one range, if it still needs it.
func (q *queue) one(t env.Task, it *queued) {
	if q.work.need(it.id) == 0 {
		delete(q.known, it.id)
		return
	}
	e := q.p
	view := q.work.view() // by which the work decides; it may change meanwhile
	t.SetDeadline(e.Mono() + q.patience)
	v, err := q.work.process(t, it.id)
	t.SetDeadline(0)
	if err != nil {
		e.Log("%s: r%d: %v", q.name, it.id, err)
	}
	switch v {
	case more:
		it.failures = 0
		q.comeAgain(it)
	case failed:
		e.Probe(probeQueueFailed)
		it.again = e.Mono() + min(firstPause<<min(it.failures, 10), lastPause)
		it.failures++
		q.later = insert(q.later, it, func(a, b *queued) int {
			return cmp.Or(cmp.Compare(a.again, b.again), cmp.Compare(a.arrived, b.arrived))
		})
	case stuck:
		e.Probe(probeQueueStuck)
		if len(q.stuck) == 0 {
			q.view = view
		}
		it.again = e.Mono() + stuckFor
		q.stuck = append(q.stuck, it)
	default:
		delete(q.known, it.id)
	}
}

// heldRanges is a store as the queueHost of its queues.
type heldRanges Store

func (h *heldRanges) count() int64 { return int64(len(h.replicas)) }
func (h *heldRanges) ended() bool  { return h.stopped }

func (h *heldRanges) after(id kv.RangeID) kv.RangeID {
	i, _ := slices.BinarySearchFunc(h.replicas, id+1, func(r *replica.Replica, id kv.RangeID) int {
		return cmp.Compare(r.RangeID(), id)
	})
	return h.replicas[i%len(h.replicas)].RangeID()
}
