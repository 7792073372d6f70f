package liveness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim/env"
)

// Spreader tells others what was read and hears what they read. It is gossip.
type Spreader interface {
	PublishVersion(key string, value []byte, version hlc.Timestamp, ttl time.Duration) error
	OnChange(prefix string, f func(gossip.Info))
}

var _ Spreader = (*gossip.Gossip)(nil)

// Config is what a node's liveness needs.
type Config struct {
	Env    env.Process
	Clock  *hlc.Clock
	DB     *kv.DB // reaches the records, wherever they are
	NodeID kv.NodeID
	Gossip Spreader
	// Decommissioned is called, at most once, when the node finds that it does not
	// belong to the cluster any more.
	Decommissioned func()
}

// Liveness is one incarnation's view of who is alive, and its own place in it.
type Liveness struct {
	e     env.Process
	clock *hlc.Clock
	db    *kv.DB
	cfg   Config
	self  kv.NodeID
	rand  *rand.Rand

	expiry, every time.Duration
	settings      placement.Settings

	cache  map[kv.NodeID]*entry
	nodes  []kv.NodeID // of the cache, ascending
	onLive []func(kv.NodeID)

	// held is what the last heartbeat of this incarnation confirmed; empty before the
	// first, and once a record with a higher epoch is seen.
	held       holding
	beats      int64         // heartbeats of this incarnation that were confirmed
	turn       env.Semaphore // one own write at a time
	increments map[kv.NodeID]*env.Promise[Seen]
	loop       env.Task
}

type holding struct {
	epoch      int64
	expiration hlc.Timestamp
}

// New returns a node's liveness, which knows at once what gossip knows and has no
// heartbeats until Start.
func New(cfg Config) *Liveness {
	e := cfg.Env
	l := &Liveness{
		e: e, clock: cfg.Clock, db: cfg.DB, cfg: cfg, self: cfg.NodeID, rand: e.Rand("liveness"),
		expiry: env.Duration(e, knobExpiry), settings: placement.ReadSettings(e),
		cache: map[kv.NodeID]*entry{}, turn: env.Semaphore{Free: 1}, increments: map[kv.NodeID]*env.Promise[Seen]{},
	}
	l.every = l.expiry * time.Duration(e.Knob(knobHeartbeat)) / 100
	l.cfg.Gossip.OnChange(gossip.LivenessPrefix, l.hear)
	return l
}

// now is the present by the hybrid clock, for judgements that give out no timestamp.
func (l *Liveness) now() hlc.Timestamp {
	return l.clock.Last().Forward(hlc.Timestamp{Wall: l.clock.PhysicalNow()})
}

// OnLive has f called when a node's record is seen to be live that was not, or was not
// known. f must not wait.
func (l *Liveness) OnLive(f func(kv.NodeID)) { l.onLive = append(l.onLive, f) }

// hear takes in what gossip tells.
func (l *Liveness) hear(x gossip.Info) {
	r, err := DecodeRecord(x.Value)
	if err != nil {
		l.e.Log("liveness: gossip of %s: %v", x.Key, err)
		return
	}
	l.learn(Seen{Record: r, Version: x.Version})
}

// publish tells others what was seen. What came by gossip is known there, and told to
// nobody twice.
func (l *Liveness) publish(s Seen) {
	if err := l.cfg.Gossip.PublishVersion(gossip.LivenessKey(s.NodeID), s.Encode(nil), s.Version, 0); err != nil {
		l.e.Log("liveness: %s cannot be told: %v", &s.Record, err)
	}
}

// Start begins the node's heartbeats.
func (l *Liveness) Start() { l.loop = l.e.Go("liveness: heartbeats", l.run) }

// Stop ends them. The record expires when its time comes.
func (l *Liveness) Stop() {
	if l.loop != nil {
		l.loop.Cancel(env.ErrCanceled)
	}
}

// run has heartbeats for as long as the node belongs to the cluster. One that fails is
// soon tried again; one that takes too long is given up, for another may get through.
func (l *Liveness) run(t env.Task) {
	for t.Err() == nil {
		began := l.e.Mono()
		t.SetDeadline(began + l.patience())
		err := l.Heartbeat(t)
		t.SetDeadline(0)
		pause := l.every*9/10 + time.Duration(l.rand.Int64N(int64(l.every/10)+1))
		switch {
		case err == ErrDecommissioned:
			if l.cfg.Decommissioned != nil {
				l.cfg.Decommissioned()
			}
			return
		case err != nil:
			l.e.Probe(ProbeHeartbeatFailed)
			l.e.Log("liveness: heartbeat: %v", err)
			pause = l.every / 10
			began = l.e.Mono()
		}
		t.Sleep(began + pause - l.e.Mono())
	}
}

// patience is how long a heartbeat of the loop may take: short enough that the next one
// can still keep the node live, and long enough for a write across the world.
func (l *Liveness) patience() time.Duration {
	return max((l.expiry-l.every)/2, time.Second)
}

// String prints what is known of all nodes for people.
func (l *Liveness) String() string {
	var b strings.Builder
	now := l.now()
	fmt.Fprintf(&b, "liveness as n%d sees it at %s; it holds epoch %d until %s\n", l.self, now, l.held.epoch, l.held.expiration)
	for _, n := range l.nodes {
		e := l.cache[n]
		status, _ := l.Status(n, now)
		fmt.Fprintf(&b, "  %s: %s\n", &e.Record, status)
	}
	return b.String()
}
