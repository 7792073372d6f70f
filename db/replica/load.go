package replica

import (
	"cmp"
	"slices"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim/env"
)

// load is what a replica has done of late, for placement: counts over a window that
// slides. Of the window before the present one the share counts that the sliding window
// still covers. It is two counters an item, whatever the rate, and whole numbers.
//
// A meter that decays from event to event was rejected: it needs a division at each.
type load struct {
	began                 time.Duration // Mono, when the present window began
	requests, cpu, writes window
	origins               []origin // by gateway
}

// origin counts the requests that came by one gateway.
type origin struct {
	gateway  kv.NodeID
	requests window
}

// window is a count in the window before and in the present one.
type window struct{ before, present int64 }

// perSecond is the rate, where gone is how much of the present window is over.
func (w window) perSecond(gone, length time.Duration) int64 {
	rest := 1000 - int64(gone)*1000/int64(length)
	return (w.before*rest/1000 + w.present) * 1000 / max(length.Milliseconds(), 1)
}

// Prices of counted work, in nanoseconds, by which the work on requests is compared.
const (
	costRequest = 20_000
	costKey     = 1_000
	costByte    = 1
)

// turn begins a new window if the present one is over.
func (l *load) turn(now, length time.Duration) {
	n := (now - l.began) / length
	if n == 0 {
		return
	}
	l.began += n * length
	all := append(make([]*window, 0, 8), &l.requests, &l.cpu, &l.writes)
	for i := range l.origins {
		all = append(all, &l.origins[i].requests)
	}
	for _, w := range all {
		w.before, w.present = w.present, 0
		if n > 1 {
			w.before = 0
		}
	}
	l.origins = slices.DeleteFunc(l.origins, func(o origin) bool { return o.requests.before == 0 })
}

// noteServed counts a batch that was evaluated here.
func (r *Replica) noteServed(ba *kv.BatchRequest, cost int64) {
	length := r.cfg.LoadWindow
	if length == 0 {
		return
	}
	l := &r.load
	l.turn(r.cfg.Env.Mono(), length)
	l.requests.present++
	if r.sample != nil {
		r.sample.note(ba)
	}
	l.cpu.present += costRequest + cost
	if m := ba.Requests[0].Method(); ba.Gateway == 0 || !m.Reads() && !m.Intents() {
		return // whoever cleans up follows the lease
	}
	i, found := slices.BinarySearchFunc(l.origins, ba.Gateway, func(o origin, n kv.NodeID) int { return cmp.Compare(o.gateway, n) })
	if !found {
		l.origins = slices.Insert(l.origins, i, origin{gateway: ba.Gateway})
	}
	l.origins[i].requests.present++
}

// noteWritten counts keys that were written by a command.
func (r *Replica) noteWritten(keys int) {
	if r.cfg.LoadWindow > 0 {
		r.load.turn(r.cfg.Env.Mono(), r.cfg.LoadWindow)
		r.load.writes.present += int64(keys)
	}
}

// Load is what the replica has done of late, a second. It is zero unless the store has it
// counted.
func (r *Replica) Load() placement.Load {
	length := r.cfg.LoadWindow
	if length == 0 {
		return placement.Load{}
	}
	now := r.cfg.Env.Mono()
	r.load.turn(now, length)
	gone := now - r.load.began
	return placement.Load{Requests: r.load.requests.perSecond(gone, length), CPU: r.load.cpu.perSecond(gone, length),
		Writes: r.load.writes.perSecond(gone, length)}
}

// VisitOrigins calls fn with each gateway by which requests of clients came of late, in
// order, and with how many these were a second.
func (r *Replica) VisitOrigins(fn func(gateway kv.NodeID, requests int64)) {
	length := r.cfg.LoadWindow
	if length == 0 {
		return
	}
	now := r.cfg.Env.Mono()
	r.load.turn(now, length)
	for _, o := range r.load.origins {
		if n := o.requests.perSecond(now-r.load.began, length); n > 0 {
			fn(o.gateway, n)
		}
	}
}

// charge counts work of the evaluation, for the node and for the replica's load.
func (ev *evaluation) charge(c env.Class, n int64) {
	ev.r.cfg.Env.Charge(c, n)
	switch c {
	case env.ClassKey:
		ev.cost += n * costKey
	case env.ClassByte:
		ev.cost += n * costByte
	}
}
