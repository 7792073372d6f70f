package gossip

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Config is what a node needs to know before it can ask anybody.
type Config struct {
	Env   env.Process
	RPC   *rpc.Node // carries the exchanges; the node's peers are known to it by their addresses
	Clock *hlc.Clock
	// Cluster is told in every exchange, so that two clusters do not mix.
	Cluster ClusterID
	// Self is the node's descriptor. Its incarnation must be higher with each start.
	Self NodeDescriptor
	// Bootstrap are addresses to try when no node is known, the own one among them or
	// not. One that is up is enough.
	Bootstrap []string
}

// Gossip is one incarnation's part in the spreading of infos.
type Gossip struct {
	e     env.Process
	rpc   *rpc.Node
	clock *hlc.Clock
	cfg   Config
	self  NodeDescriptor
	rand  *rand.Rand // of the choice of peers, and of moments

	fanout, incomingMax, maxBytes  int
	maxHops                        int32
	pace, interval, timeout, retry time.Duration
	rotate, nodeTTL, sentinelTTL   time.Duration
	infos                          infos
	own                            map[string]ownInfo // what this incarnation published as its own
	observers                      []observer
	peers                          []*peering // in the order in which they were chosen
	known                          map[string]*acquaintance
	incoming                       []caller
	manager                        env.Task
	renewAt, rotateAt              time.Duration // by Mono: the own descriptor, a peer
	stopped, cutOff                bool
	stats                          Stats
}

// ownInfo is what a node has published, so that it can be published again.
type ownInfo struct {
	value []byte
	ttl   time.Duration
}

type observer struct {
	prefix string
	f      func(Info)
}

// Stats counts what happened since the incarnation began.
type Stats struct {
	Exchanges, Served int64 // that this node began, and that others did
	Failed            int64 // of those that this node began
	Fresh, Stale      int64 // infos that others told: news, and what was known
	InfosSent         int64
	BytesSent         int64 // of exchanges, both begun and answered
}

// New returns a node's gossip. It answers others at once, and asks nobody until Start.
func New(cfg Config) *Gossip {
	e := cfg.Env
	g := &Gossip{
		e: e, rpc: cfg.RPC, clock: cfg.Clock, cfg: cfg, self: cfg.Self, rand: e.Rand("gossip"),
		fanout: int(e.Knob(knobFanout)), incomingMax: int(e.Knob(knobIncoming)), maxBytes: int(e.Knob(knobMessageBytes)),
		maxHops: int32(e.Knob(knobMaxHops)), pace: env.Duration(e, knobPace), interval: env.Duration(e, knobInterval),
		timeout: env.Duration(e, knobTimeout), retry: env.Duration(e, knobRetry), rotate: env.Duration(e, knobRotate),
		nodeTTL: env.Duration(e, knobNodeTTL), sentinelTTL: env.Duration(e, knobSentinelTTL),
		infos: newInfos(), own: map[string]ownInfo{}, known: map[string]*acquaintance{},
	}
	g.rpc.Handle(Kind, g.serve)
	return g
}

// Start publishes the node's descriptor and begins to look for peers.
func (g *Gossip) Start() {
	g.publishSelf()
	g.rotateAt = g.e.Mono() + g.between(g.rotate/2, g.rotate)
	g.manager = g.e.Go("gossip: peers", g.manage)
}

// Stop ends all exchanges. The infos can still be read.
func (g *Gossip) Stop() {
	g.stopped = true
	for _, p := range g.peers {
		p.end()
	}
	g.peers = nil
	if g.manager != nil {
		g.manager.Cancel(env.ErrCanceled)
	}
}

// Stats is what happened so far.
func (g *Gossip) Stats() Stats { return g.stats }

// now is the present by the hybrid clock, for judgements that give out no timestamp.
func (g *Gossip) now() hlc.Timestamp {
	return g.clock.Last().Forward(hlc.Timestamp{Wall: g.clock.PhysicalNow()})
}

// between draws a time.
func (g *Gossip) between(from, to time.Duration) time.Duration {
	return from + time.Duration(g.rand.Int64N(int64(to-from)+1))
}

// Publish tells everyone something that this node alone publishes. It replaces what the
// node published under the key before, as any incarnation: whoever was told of that has
// taken in a clock reading above it, and so the version is higher. ttl is how long it is shown
// if it is not published again, 0: for ever. value must not change afterwards.
func (g *Gossip) Publish(key string, value []byte, ttl time.Duration) error {
	x := Info{Key: key, Value: value, TTL: ttl, Origin: g.self.NodeID, Version: g.clock.Now()}
	if err := x.validate(); err != nil {
		return err
	}
	g.own[key] = ownInfo{value, ttl}
	g.accept(x, teller{})
	return nil
}

// PublishVersion tells everyone something that any node may publish, of a version that
// all of them agree on, such as a value of the database and its timestamp. If a newer
// version is known, or the same, nothing happens.
func (g *Gossip) PublishVersion(key string, value []byte, version hlc.Timestamp, ttl time.Duration) error {
	x := Info{Key: key, Value: value, TTL: ttl, Origin: g.self.NodeID, Version: version}
	if err := x.validate(); err != nil {
		return err
	}
	if old, ok := g.infos.get(key); !ok || old.Version.Less(version) {
		g.accept(x, teller{})
	}
	return nil
}

// Get is the info of a key, if there is one that has not expired.
func (g *Gossip) Get(key string) (Info, bool) {
	x, ok := g.infos.get(key)
	if !ok || x.expired(g.now()) {
		return Info{}, false
	}
	return *x, true
}

// Visit calls f for the infos whose keys begin with prefix and that have not expired, in
// the order of their keys, until it returns false.
func (g *Gossip) Visit(prefix string, f func(Info) bool) {
	now := g.now()
	g.infos.visit(prefix, func(x *Info) bool { return x.expired(now) || f(*x) })
}

// OnChange has f called for each info whose key begins with prefix: for those that are
// known already, and then for each that is newer. f must not wait. Infos that expire
// before they come are left out, and nobody is told when one expires later.
func (g *Gossip) OnChange(prefix string, f func(Info)) {
	g.observers = append(g.observers, observer{prefix, f})
	g.Visit(prefix, func(x Info) bool {
		f(x)
		return true
	})
}

// accept takes an info in, tells the observers and has the peers told. from is the peer
// who told it, if it was one. It reports whether it was news.
func (g *Gossip) accept(x Info, from teller) bool {
	held := g.infos.bytes
	if !g.infos.add(x, from) {
		return false
	}
	g.e.Memory(g.infos.bytes - held)
	if !x.expired(g.now()) {
		for _, o := range g.observers {
			if x.hasPrefix(o.prefix) {
				o.f(x)
			}
		}
	}
	for _, p := range g.peers {
		p.notify()
	}
	return true
}

// take takes in what a peer tells.
func (g *Gossip) take(from teller, list []Info) (fresh int) {
	g.e.Charge(env.ClassKey, int64(len(list)))
	for _, x := range list {
		x.Hops++
		if !g.accept(x, from) {
			g.stats.Stale++
			continue
		}
		fresh++
		own, ok := g.own[x.Key]
		if !ok || x.Origin != g.self.NodeID {
			continue
		}
		// It is of an earlier incarnation, which had a clock ahead of this one's: this
		// one's was published before it was told of that.
		g.e.Probe(ProbePredecessor)
		if err := g.Publish(x.Key, own.value, own.ttl); err != nil {
			g.e.Log("gossip: %s cannot be published again: %v", x.Key, err)
		}
	}
	g.stats.Fresh += int64(fresh)
	return fresh
}

// publishSelf publishes the node's descriptor, which is to be renewed before it expires.
func (g *Gossip) publishSelf() {
	g.renewAt = g.e.Mono() + g.nodeTTL/2
	if err := g.Publish(NodeKey(g.self.NodeID), g.self.Encode(nil), g.nodeTTL); err != nil {
		g.e.Log("gossip: own descriptor: %v", err)
	}
}

// SetDraining changes what the node's descriptor says, and publishes it.
func (g *Gossip) SetDraining(draining bool) {
	if g.self.Draining != draining {
		g.self.Draining = draining
		g.publishSelf()
	}
}

// PublishStore publishes what a store of this node says of itself. It is shown for as
// long as ttl, so that the store must say it again before that.
func (g *Gossip) PublishStore(d *StoreDescriptor, ttl time.Duration) error {
	return g.Publish(StoreKey(d.StoreID), d.Encode(nil), ttl)
}

// PublishSentinel is for the leaseholder of the first range, and is due three times
// before gossip.sentinel_ttl is over: see SentinelEvery. A node that misses it takes
// itself for cut off from those who hold the index of everything. where, which may be
// nil, comes with it and says where those are.
func (g *Gossip) PublishSentinel(where []byte) {
	if err := g.PublishVersion(SentinelKey, where, g.clock.Now(), g.sentinelTTL); err != nil {
		g.e.Log("gossip: sentinel: %v", err)
	}
}

// SentinelEvery is how often the leaseholder of the first range calls PublishSentinel.
func (g *Gossip) SentinelEvery() time.Duration { return g.sentinelTTL / 3 }

// Connected reports that the sentinel was heard of lately.
func (g *Gossip) Connected() bool {
	_, ok := g.Get(SentinelKey)
	return ok
}

// Node is what a node says of itself.
func (g *Gossip) Node(n kv.NodeID) (*NodeDescriptor, bool) {
	x, ok := g.Get(NodeKey(n))
	if !ok {
		return nil, false
	}
	return g.decodeNode(x)
}

// decodeNode reads a node's descriptor. What cannot be read is as good as unknown.
func (g *Gossip) decodeNode(x Info) (*NodeDescriptor, bool) {
	d, err := DecodeNodeDescriptor(x.Value)
	if err != nil {
		g.e.Log("gossip: %s: %v", x.Key, err)
		return nil, false
	}
	return d, true
}

// Nodes are the nodes that are known, in the order of their keys, which are strings.
func (g *Gossip) Nodes() []*NodeDescriptor {
	var all []*NodeDescriptor
	g.Visit(NodePrefix, func(x Info) bool {
		if d, ok := g.decodeNode(x); ok {
			all = append(all, d)
		}
		return true
	})
	return all
}

// Store is what a store says of itself.
func (g *Gossip) Store(s kv.StoreID) (*StoreDescriptor, bool) {
	x, ok := g.Get(StoreKey(s))
	if !ok {
		return nil, false
	}
	return g.decodeStore(x)
}

func (g *Gossip) decodeStore(x Info) (*StoreDescriptor, bool) {
	d, err := DecodeStoreDescriptor(x.Value)
	if err != nil {
		g.e.Log("gossip: %s: %v", x.Key, err)
		return nil, false
	}
	return d, true
}

// Stores are the stores that are known, in the order of their keys, which are strings.
func (g *Gossip) Stores() []*StoreDescriptor {
	var all []*StoreDescriptor
	g.Visit(StorePrefix, func(x Info) bool {
		if d, ok := g.decodeStore(x); ok {
			all = append(all, d)
		}
		return true
	})
	return all
}

// String prints the node's peers and infos for people.
func (g *Gossip) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gossip of n%d, incarnation %d\n", g.self.NodeID, g.self.Incarnation)
	for _, p := range g.peers {
		fmt.Fprintf(&b, "  exchanges with %s\n", p)
	}
	now := g.now()
	g.infos.visit("", func(x *Info) bool {
		fmt.Fprintf(&b, "  %s", x)
		if x.expired(now) {
			b.WriteString(", expired")
		}
		b.WriteByte('\n')
		return true
	})
	return b.String()
}
