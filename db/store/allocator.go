package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// allocator sees to it that the replicas and the leases of the store's ranges are where
// they should be. Two queues ask placement.Decide about each range of which the store has
// the lease, or could take it since nobody has, and carry out what it says:
//
//	                     replicate queue: add, remove, replace, move replicas
//	Decide --> action --<
//	                     lease queue: hand the lease over
//
// What they do is done by requests that the range's leaseholder serves under its own
// conditions: if the range is not any more what the decision was made by, they are refused.
type allocator struct {
	p        env.Process
	clock    *hlc.Clock
	store    kv.StoreID
	world    ClusterView
	ranges   placedRanges
	observer MoveObserver // may be nil
	set      placement.Settings
	config   placement.Config // of all ranges
	rand     *rand.Rand
	window   time.Duration // over which stores count their load

	replicas, leases queue

	seen    *placement.Cluster // as the world was at seenAt
	stores  []placement.Store  // of which it was made
	digest  uint64             // of who is there and in which state
	seenAt  time.Duration      // Mono
	own     []*ownMove         // that are not in all figures yet; oldest first
	refused []refusal
	missed  []unheard    // stores of this store's ranges of which nothing is known
	working []kv.RangeID // on which one of the queues works; the other leaves them alone

	movements []Movement // the last ones, oldest first
}

// placedRanges are the store's ranges as the allocator knows them.
type placedRanges interface {
	// describe is what placement has to know of a range, but for config and origins; ok is
	// false if it is not for this store to see to it. Without a leaseholder in it the store
	// has to take the lease first.
	describe(id kv.RangeID) (r placedRange, ok bool)
	// send has this store's replica serve a request about its range.
	send(t env.Task, id kv.RangeID, req kv.Request) *kv.Error
}

// placedRange is a range with the gateways by which requests of clients come.
type placedRange struct {
	placement.Range
	gateways []gateway
}

// gateway is how many requests a second come by a node.
type gateway struct {
	node     kv.NodeID
	requests int64
}

// Movement is a decision about a range, with what became of it.
type Movement struct {
	At       hlc.Timestamp // when it was made
	Range    kv.RangeID
	Action   placement.Action
	Decision string // with its reason
	Outcome  string // "done", or why not
	Took     time.Duration
}

// String prints the movement on one line.
func (m *Movement) String() string { return fmt.Sprintf("%s: %s", m.Decision, m.Outcome) }

// MoveObserver is an Observer that wants to know what the allocator does.
type MoveObserver interface {
	// Moved is told of a decision when it has been carried out, or could not be.
	Moved(store kv.StoreID, m Movement)
}

// maxMovements bounds how many movements a store remembers.
const maxMovements = 500

// Movements are the last decisions about ranges that this store made and carried out, or
// could not carry out, oldest first. The caller must not change them.
func (s *Store) Movements() []Movement { return s.allocator.movements }

func (a *allocator) init(s *Store) {
	p := s.cfg.Env
	interval := env.Duration(p, &knobAllocator)
	if s.cfg.Cluster == nil || s.cfg.Replicas == 0 {
		interval = 0
	}
	a.p, a.clock, a.store, a.world, a.ranges = p, s.cfg.Clock, s.cfg.StoreID, s.cfg.Cluster, (*placedReplicas)(s)
	a.observer, _ = s.cfg.Observer.(MoveObserver)
	a.config = placement.DefaultConfig()
	a.config.Replicas = s.cfg.Replicas
	a.config.MaxBytes = p.Knob(&knobRangeMax)
	a.config.MinBytes = min(a.config.MinBytes, a.config.MaxBytes/4)
	a.begin((*heldRanges)(s), interval)
}

// begin makes the queues, for whoever has filled in the rest.
func (a *allocator) begin(host queueHost, interval time.Duration) {
	a.set, a.window = placement.ReadSettings(a.p), env.Duration(a.p, &knobLoadWindow)
	if interval > 0 {
		a.rand = a.p.Rand("allocator")
	}
	a.replicas.init(a.p, host, "store: replicate queue", interval, replicatePatience, &replicateWork{allocator: a, halfDone: map[kv.RangeID]sighting{}})
	a.leases.init(a.p, host, "store: lease queue", interval, leasePatience, &leaseWork{a})
}

func (a *allocator) tick() {
	a.replicas.tick()
	a.leases.tick()
}

// cluster is the state of the world at this moment, with what this store has done and the
// others have not told yet.
func (a *allocator) cluster() *placement.Cluster {
	now := a.p.Mono()
	if a.seen != nil && a.seenAt == now {
		return a.seen
	}
	stores := a.withDead(a.world.Stores(a.clock.Now()))
	a.refused = slices.DeleteFunc(a.refused, func(r refusal) bool { return r.until <= now })
	h := uint64(offset64)
	for i := range stores {
		s := &stores[i]
		s.Throttled = slices.ContainsFunc(a.refused, func(r refusal) bool { return r.store == s.ID })
		a.addOwn(s)
		for _, v := range []uint64{uint64(s.ID), uint64(s.Status), uint64(len(s.Locality))} {
			h = (h ^ v) * prime64
		}
		if s.Throttled {
			h++
		}
	}
	a.p.Charge(env.ClassKey, int64(len(stores)))
	a.seen, a.stores, a.seenAt, a.digest = placement.NewCluster(a.set, stores, nil), stores, now, h
	return a.seen
}

// FNV-1a.
const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

// view implements queueWork for both queues.
func (a *allocator) view() uint64 {
	a.cluster()
	return a.digest
}

// decide says what is to be done about a range. ok is false if that is not this store's
// affair.
func (a *allocator) decide(id kv.RangeID, chance *rand.Rand) (r placement.Range, d placement.Decision, ok bool) {
	at, ok := a.ranges.describe(id)
	if !ok {
		return r, d, false
	}
	a.miss(at.Desc)
	c := a.cluster()
	r = at.Range
	r.Config = &a.config
	for _, g := range at.gateways {
		if i := slices.IndexFunc(a.stores, func(s placement.Store) bool { return s.Node == g.node }); i >= 0 {
			r.Origins = append(r.Origins, placement.Origin{Locality: a.stores[i].Locality, Requests: g.requests})
		}
	}
	a.p.Charge(env.ClassRequest, 1)
	return r, c.Decide(&r, chance), true
}

// lead takes the lease of a range that nobody holds. It reports whether the store is in
// charge then.
func (a *allocator) lead(t env.Task, r *placement.Range) (bool, error) {
	if err := a.ranges.send(t, r.Desc.RangeID, &kv.RequestLeaseRequest{Key: r.Desc.StartKey}); err != nil {
		return false, err
	}
	now, ok := a.ranges.describe(r.Desc.RangeID)
	return ok && now.Leaseholder == a.store, nil
}

// hesitates reports that a move for load is left to others this time. All leaseholders
// read the same news, and what relieves a store seems good to each of them: if all acted
// at once, they would carry the surplus to the other side, and then back, for ever
// (TestHerd). Each range that could go goes with a chance by which, of what is too much
// on the source, a quarter goes in the time in which all are looked at, and no more than
// one in as many as there are stores, since others may have a surplus for the same target.
func (a *allocator) hesitates(d placement.Decision) bool {
	if d.Reason.Cause != placement.Uneven {
		return false
	}
	n := int64(1)
	for i := range a.stores {
		if a.stores[i].Status == placement.Live {
			n++
		}
	}
	if gap := d.Reason.Source - d.Reason.Target; gap > 0 {
		n = max(n, 8*d.Reason.Source/gap) // half of the gap is too much
	}
	return a.rand.Int64N(n) > 0
}

// take reserves a range for one of the queues. It fails if the other has it.
func (a *allocator) take(id kv.RangeID) bool {
	if slices.Contains(a.working, id) {
		return false
	}
	a.working = append(a.working, id)
	return true
}

func (a *allocator) giveBack(id kv.RangeID) {
	a.working = slices.DeleteFunc(a.working, func(w kv.RangeID) bool { return w == id })
}

// carryOut sends the request that a decision stands for, and remembers what became of it.
func (a *allocator) carryOut(t env.Task, r *placement.Range, d placement.Decision, req kv.Request) *kv.Error {
	m := Movement{At: a.clock.Now(), Range: d.Range, Action: d.Action, Decision: d.String(), Outcome: "done"}
	began := a.p.Mono()
	move := a.start(r, d)
	err := a.ranges.send(t, d.Range, req)
	m.Took = a.p.Mono() - began
	if err == nil {
		move.done = a.clock.Now()
	} else {
		m.Outcome = err.Error()
		a.forget(move)
	}
	a.seen = nil
	a.note(m)
	return err
}

// note remembers a movement, and tells who wants to know.
func (a *allocator) note(m Movement) {
	a.p.Log("allocator: %s: %s", m.Decision, m.Outcome)
	if len(a.movements) == maxMovements {
		a.movements = slices.Delete(a.movements, 0, 1)
	}
	a.movements = append(a.movements, m)
	if a.observer != nil {
		a.observer.Moved(a.store, m)
	}
}

// placedReplicas is a store as the placedRanges of its allocator.
type placedReplicas Store

func (k *placedReplicas) describe(id kv.RangeID) (r placedRange, ok bool) {
	rep := (*Store)(k).Replica(id)
	if rep == nil {
		return r, false
	}
	charge := rep.Charge()
	if charge == replica.NoCharge {
		return r, false
	}
	r.Range = placement.Range{Desc: rep.Desc(), Size: rep.State().Stats.Total(), Load: rep.Load()}
	if charge == replica.InCharge {
		r.Leaseholder, r.Behind = k.cfg.StoreID, rep.Behind()
	}
	rep.VisitOrigins(func(n kv.NodeID, requests int64) { r.gateways = append(r.gateways, gateway{n, requests}) })
	return r, true
}

func (k *placedReplicas) send(t env.Task, id kv.RangeID, req kv.Request) *kv.Error {
	return (*Store)(k).Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: id, Gateway: k.cfg.NodeID}, Requests: []kv.Request{req}}).Err
}
