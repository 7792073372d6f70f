package store

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// allocWorld is a cluster of which nothing but the allocators is real: stores that crash,
// news of them that are up to ten seconds old, and ranges whose replicas change in steps,
// as db/store/change.go makes them, and not at all without a quorum.
type allocWorld struct {
	s        *sim.Sim
	set      placement.Settings
	stores   []*allocStore
	ranges   []*allocRange
	done     []Movement // that were carried out
	tell     func(format string, args ...any)
	problems []string
	mute     bool // no store tells anything
}

// allocStore is one store with its allocator, and what it last told the others.
type allocStore struct {
	w        *allocWorld
	machine  *sim.Machine
	clock    *hlc.Clock
	p        *sim.Proc
	a        *allocator
	up       bool
	hidden   bool     // nobody has ever heard of it
	since    sim.Time // up or down
	was      bool     // down before
	live     placement.Liveness
	figures  placement.Store
	told     hlc.Timestamp
	busy     sim.Time // until when it receives a snapshot
	changing int      // ranges that its replicate queue changes
	asked    map[kv.StoreID]sim.Time
}

// allocRange is the truth about a range.
type allocRange struct {
	desc   *kv.RangeDescriptor
	lease  kv.StoreID
	size   int64
	load   placement.Load
	origin []gateway
	held   []heldFor // and who had it
}

const (
	tellEvery   = 10 * time.Second
	silentAfter = 6 * time.Second
	snapshotFor = 2 * time.Second
)

// newAllocWorld makes stores in zones, one a zone in turn, and ranges on three of them.
func newAllocWorld(seed uint64, zones, stores, ranges int, knobs map[string]int64) *allocWorld {
	set := map[string]int64{"allocator.interval": int64(5 * time.Second), "store.dead.after": int64(30 * time.Second),
		"store.suspect.for": int64(10 * time.Second), "allocator.load.window": int64(10 * time.Second)}
	for k, v := range knobs {
		set[k] = v
	}
	w := &allocWorld{s: sim.New(sim.Config{Seed: seed, Knobs: set}), tell: func(string, ...any) {}}
	for i := range stores {
		w.addStore(i % zones)
	}
	w.set = w.stores[0].a.set
	for i := range ranges {
		d := &kv.RangeDescriptor{RangeID: kv.RangeID(i + 1), StartKey: key(fmt.Sprintf("%04d", i)), EndKey: key(fmt.Sprintf("%04d", i+1)), NextReplicaID: 4, Generation: 1}
		for k := range 3 {
			id := kv.StoreID((i+k)%stores + 1)
			d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(id), StoreID: id, ReplicaID: kv.ReplicaID(k + 1)})
		}
		w.ranges = append(w.ranges, &allocRange{desc: d, lease: d.Replicas[0].StoreID, size: 100})
	}
	for _, r := range w.ranges {
		w.hold(r)
		for i := range r.held {
			r.held[i].from = -sim.Time(time.Minute) // as if for long
		}
	}
	for _, s := range w.stores {
		s.publish()
	}
	return w
}

func (w *allocWorld) addStore(zone int) *allocStore {
	n := len(w.stores) + 1
	s := &allocStore{w: w, machine: w.s.Machine(fmt.Sprintf("n%d", n), sim.MachineConfig{}), live: placement.Liveness{Back: -1}}
	s.figures = placement.Store{ID: kv.StoreID(n), Node: kv.NodeID(n), Capacity: 1 << 30,
		Locality: placement.Locality{{Name: "region", Value: "here"}, {Name: "zone", Value: string(rune('a' + zone))}}}
	w.stores = append(w.stores, s)
	s.start()
	s.publish()
	return s
}

func (s *allocStore) id() kv.StoreID { return s.figures.ID }

// start begins an incarnation.
func (s *allocStore) start() {
	s.p = s.machine.Start("test")
	s.was = s.was || s.since > 0
	s.up, s.since, s.busy, s.changing, s.asked = true, s.w.s.Now(), 0, 0, map[kv.StoreID]sim.Time{}
	s.clock = hlc.NewClock(s.p, maxOffset)
	s.a = &allocator{p: s.p, clock: s.clock, store: s.id(), world: s.w, ranges: s, observer: s.w, config: placement.DefaultConfig()}
	s.a.begin(s, time.Duration(s.p.Knob(&knobAllocator)))
	var tick, publish func()
	tick = func() {
		s.a.tick()
		s.p.After(500*time.Millisecond, "test: tick", tick)
	}
	publish = func() {
		s.publish()
		s.p.After(tellEvery, "test: publish", publish)
	}
	tick()
	s.p.After(time.Duration(s.id())*tellEvery/10, "test: publish", publish)
}

func (s *allocStore) kill() {
	s.machine.Kill("test")
	s.up, s.since = false, s.w.s.Now()
}

// publish tells the others what the store holds: what is there at this moment, and the
// load of the window that ends with it.
func (s *allocStore) publish() {
	if s.w.mute {
		return
	}
	f := &s.figures
	f.Ranges, f.Leases, f.Used, f.Load = 0, 0, 0, placement.Load{}
	now, window := s.w.s.Now(), sim.Time(s.a.window)
	for _, r := range s.w.ranges {
		if _, ok := r.desc.Replica(s.id()); ok {
			f.Ranges++
			f.Used += r.size
		}
		if r.lease == s.id() {
			f.Leases++
		}
		for _, h := range r.held {
			to := h.to
			if to == 0 {
				to = now
			}
			if h.store != s.id() || to <= now-window {
				continue
			}
			part := int64(to-max(h.from, now-window)) * 1000 / int64(window)
			if h.lease {
				f.Load.Requests += r.load.Requests * part / 1000
				f.Load.CPU += r.load.CPU * part / 1000
			} else {
				f.Load.Writes += r.load.Writes * part / 1000
			}
		}
	}
	s.told = s.clock.Now()
}

// heldFor is that a store had a replica or the lease for a time.
type heldFor struct {
	store    kv.StoreID
	lease    bool
	from, to sim.Time // to is 0 while it lasts
}

// hold notes who has what, after each change.
func (w *allocWorld) hold(r *allocRange) {
	now := w.s.Now()
	keep := func(id kv.StoreID, lease, has bool) {
		i := slices.IndexFunc(r.held, func(h heldFor) bool { return h.store == id && h.lease == lease && h.to == 0 })
		if has && i < 0 {
			r.held = append(r.held, heldFor{store: id, lease: lease, from: now})
		} else if !has && i >= 0 {
			r.held[i].to = now
		}
	}
	for _, s := range w.stores {
		_, has := r.desc.Replica(s.id())
		keep(s.id(), false, has)
		keep(s.id(), true, r.lease == s.id())
	}
	r.held = slices.DeleteFunc(r.held, func(h heldFor) bool { return h.to > 0 && h.to < now-sim.Time(time.Minute) })
}

// Stores implements ClusterView.
func (w *allocWorld) Stores(hlc.Timestamp) []placement.Store {
	all := make([]placement.Store, 0, len(w.stores))
	for _, s := range w.stores {
		if s.hidden {
			continue
		}
		l := s.live
		switch age := time.Duration(w.s.Now() - s.since); {
		case !s.up:
			l.Silent = max(0, age-silentAfter)
		case s.was:
			l.Back = age
		}
		told := s.figures
		told.Status = w.set.Status(l)
		all = append(all, told)
	}
	return all
}

// Told implements ClusterView.
func (w *allocWorld) Told(s kv.StoreID) hlc.Timestamp { return w.stores[s-1].told }

// Moved implements MoveObserver.
func (w *allocWorld) Moved(s kv.StoreID, m Movement) {
	if m.Outcome == "done" {
		w.done = append(w.done, m)
	}
	w.tell("%s s%d: %s", w.s.Now(), s, m.String())
}

// count, after and ended implement queueHost.
func (s *allocStore) count() (n int64) {
	for _, r := range s.w.ranges {
		if _, ok := r.desc.Replica(s.id()); ok {
			n++
		}
	}
	return n
}

func (s *allocStore) after(id kv.RangeID) kv.RangeID {
	for i := range s.w.ranges {
		r := s.w.ranges[(int(id)+i)%len(s.w.ranges)]
		if _, ok := r.desc.Replica(s.id()); ok {
			return r.desc.RangeID
		}
	}
	panic("no range")
}

func (s *allocStore) ended() bool { return false }

// answers reports that a store is up and its replicas take part in consensus.
func (w *allocWorld) answers(id kv.StoreID) bool { return w.stores[id-1].up }

func (w *allocWorld) quorum(d *kv.RangeDescriptor) (live, voters int) {
	for _, r := range d.Replicas {
		if r.Type == kv.VoterFull {
			voters++
			if w.answers(r.StoreID) {
				live++
			}
		}
	}
	return live, voters
}

// describe implements placedRanges. A lease is over when its holder has been down for
// long; the first voter that lives may take it.
func (s *allocStore) describe(id kv.RangeID) (placedRange, bool) {
	w := s.w
	r := w.ranges[id-1]
	out := placedRange{Range: placement.Range{Desc: r.desc, Size: r.size, Load: r.load}, gateways: r.origin}
	if r.lease == s.id() {
		out.Leaseholder = s.id()
		for _, rep := range r.desc.Replicas {
			o := w.stores[rep.StoreID-1]
			if !o.up || time.Duration(w.s.Now()-o.since) < 2*time.Second {
				out.Behind = append(out.Behind, rep.StoreID)
			}
		}
		return out, true
	}
	if holder := w.stores[r.lease-1]; holder.up || time.Duration(w.s.Now()-holder.since) < silentAfter {
		return out, false
	}
	for _, rep := range r.desc.Replicas {
		if rep.Type == kv.VoterFull && w.answers(rep.StoreID) {
			return out, rep.StoreID == s.id()
		}
	}
	return out, false
}

// send implements placedRanges: it is the replica.
func (s *allocStore) send(t env.Task, id kv.RangeID, req kv.Request) *kv.Error {
	w := s.w
	r := w.ranges[id-1]
	live, voters := w.quorum(r.desc)
	if live <= voters/2 {
		_ = t.Sleep(5 * time.Second)
		return kv.Errorf(kv.Timeout, "no quorum")
	}
	defer func() { w.hold(r) }()
	switch q := req.(type) {
	case *kv.RequestLeaseRequest:
		_ = t.Sleep(50 * time.Millisecond)
		if _, ok := s.describe(id); !ok {
			return kv.Errorf(kv.NotLeaseholder, "s%d has it", r.lease)
		}
		r.lease = s.id()
		return nil
	case *kv.TransferLeaseRequest:
		_ = t.Sleep(50 * time.Millisecond)
		rep, ok := r.desc.Replica(q.Target)
		if r.lease != s.id() || !ok || rep.Type != kv.VoterFull || !w.answers(q.Target) {
			return kv.Errorf(kv.NodeUnavailable, "s%d cannot have it", q.Target)
		}
		r.lease = q.Target
		return nil
	case *kv.AdminChangeReplicasRequest:
		if s.changing++; s.changing > 1 {
			w.problem("s%d changes two ranges at once", s.id())
		}
		err := s.change(t, r, q)
		s.changing--
		return err
	}
	panic("unknown request")
}

// change makes a change in steps: learners, their snapshots, and all the rest at once.
func (s *allocStore) change(t env.Task, r *allocRange, q *kv.AdminChangeReplicasRequest) *kv.Error {
	w := s.w
	if r.lease != s.id() {
		return kv.Errorf(kv.NotLeaseholder, "s%d has it", r.lease)
	}
	if r.desc.Generation != q.Generation {
		return kv.Errorf(kv.ConditionFailed, "generation %d, not %d", r.desc.Generation, q.Generation)
	}
	learners := slices.Clone(r.desc.Replicas)
	learners = slices.DeleteFunc(learners, func(d kv.ReplicaDescriptor) bool { return d.Type == kv.Learner })
	before := r.become(learners)
	for _, c := range q.Changes {
		if _, ok := r.desc.Replica(c.StoreID); c.To != kv.RoleNone && !ok {
			r.become(append(slices.Clone(r.desc.Replicas), kv.ReplicaDescriptor{NodeID: c.NodeID, StoreID: c.StoreID, ReplicaID: r.desc.NextReplicaID, Type: kv.Learner}))
			if err := s.snapshot(t, c.StoreID); err != nil {
				r.become(before)
				return err
			}
		}
	}
	if live, voters := w.quorum(r.desc); live <= voters/2 {
		_ = t.Sleep(5 * time.Second)
		return kv.Errorf(kv.Timeout, "no quorum")
	}
	if r.lease != s.id() {
		r.become(before)
		return kv.Errorf(kv.NotLeaseholder, "s%d has it", r.lease)
	}
	var after []kv.ReplicaDescriptor
	removesLive := false
	for _, d := range r.desc.Replicas {
		i := slices.IndexFunc(q.Changes, func(c kv.ReplicaChange) bool { return c.StoreID == d.StoreID })
		switch {
		case i < 0:
			after = append(after, d)
		case q.Changes[i].To == kv.RoleVoter:
			d.Type = kv.VoterFull
			after = append(after, d)
		default:
			removesLive = removesLive || w.answers(d.StoreID)
		}
	}
	r.become(after)
	if live, voters := w.quorum(r.desc); removesLive && live <= voters/2 {
		w.problem("r%d: %v leaves %d of %d voters", r.desc.RangeID, q.Changes, live, voters)
	}
	if _, ok := r.desc.Replica(r.lease); !ok {
		if rep, ok := r.desc.Replica(q.LeaseTo); !ok || rep.Type != kv.VoterFull {
			w.problem("r%d: the lease is to go to s%d, which is no voter of %s", r.desc.RangeID, q.LeaseTo, r.desc)
		}
		r.lease = q.LeaseTo
	}
	for i, a := range r.desc.Replicas {
		for _, b := range r.desc.Replicas[:i] {
			if a.NodeID == b.NodeID {
				w.problem("r%d: two replicas on a node: %s", r.desc.RangeID, r.desc)
			}
		}
	}
	return nil
}

// become makes a new descriptor, and returns the replicas that were.
func (r *allocRange) become(replicas []kv.ReplicaDescriptor) []kv.ReplicaDescriptor {
	before := r.desc.Replicas
	d := *r.desc
	d.Replicas, d.Generation, d.NextReplicaID = replicas, d.Generation+1, d.NextReplicaID+1
	r.desc = &d
	return before
}

// snapshot brings a replica to a store, which takes one at a time.
func (s *allocStore) snapshot(t env.Task, to kv.StoreID) *kv.Error {
	target := s.w.stores[to-1]
	if at, ok := s.asked[to]; ok && time.Duration(s.w.s.Now()-at) < refusedFor {
		s.w.problem("s%d asks s%d again %s after it was refused", s.id(), to, time.Duration(s.w.s.Now()-at))
	}
	if !target.up || target.busy > s.w.s.Now() {
		s.asked[to] = s.w.s.Now()
		return kv.Errorf(kv.NodeUnavailable, "s%d takes no snapshot now", to)
	}
	since := target.since
	target.busy = s.w.s.Now() + sim.Time(snapshotFor)
	_ = t.Sleep(snapshotFor)
	if !target.up || target.since != since {
		return kv.Errorf(kv.NodeUnavailable, "s%d went down", to)
	}
	return nil
}

func (w *allocWorld) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf("%s ", w.s.Now())+fmt.Sprintf(format, args...))
}

func (w *allocWorld) run(d time.Duration) {
	w.s.RunUntil(w.s.Now() + sim.Time(d))
	for _, s := range w.stores {
		for i, o := range s.a.stores {
			if slices.ContainsFunc(s.a.stores[:i], func(p placement.Store) bool { return p.ID == o.ID }) {
				w.problem("s%d knows s%d twice", s.id(), o.ID)
			}
		}
	}
}

// String prints what each store holds and where each range is.
func (w *allocWorld) String() string {
	var b strings.Builder
	for _, s := range w.Stores(hlc.Timestamp{}) {
		fmt.Fprintf(&b, "%s\n", s.String())
	}
	for _, r := range w.ranges {
		fmt.Fprintf(&b, "%s\n", r)
	}
	return b.String()
}

// String prints where a range is, its leaseholder marked.
func (r *allocRange) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "r%d:", r.desc.RangeID)
	for _, rep := range r.desc.Replicas {
		fmt.Fprintf(&b, " s%d", rep.StoreID)
		if rep.Type == kv.Learner {
			b.WriteString(" learner")
		}
		if rep.StoreID == r.lease {
			b.WriteByte('*')
		}
	}
	return b.String()
}
