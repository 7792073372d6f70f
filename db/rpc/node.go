package rpc

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/sim/env"
)

var (
	knobPingInterval = &env.Knob{Name: "rpc.ping_interval", Default: int64(time.Second), Min: int64(100 * time.Millisecond), Max: int64(5 * time.Second),
		Doc: "time between pings of a connection, ns"}
	knobPingTimeout = &env.Knob{Name: "rpc.ping_timeout", Default: int64(2 * time.Second), Min: int64(1500 * time.Millisecond), Max: int64(20 * time.Second),
		Doc: "a connection that gave no sign for this long after a ping is closed, ns"}
	knobIdle = &env.Knob{Name: "rpc.idle", Default: int64(time.Minute), Min: int64(2 * time.Second), Max: int64(time.Hour),
		Doc: "a connection unused for this long is closed, ns"}
	knobBackoffMin = &env.Knob{Name: "rpc.backoff_min", Default: int64(50 * time.Millisecond), Min: int64(time.Millisecond), Max: int64(time.Second),
		Doc: "time until the next attempt to connect, after the first failure, ns"}
	knobBackoffMax = &env.Knob{Name: "rpc.backoff_max", Default: int64(time.Second), Min: int64(10 * time.Millisecond), Max: int64(30 * time.Second),
		Doc: "time until the next attempt to connect, after many failures, ns"}
	knobMaxCalls = &env.Knob{Name: "rpc.max_calls", Default: 1024, Min: 16, Max: 1 << 20,
		Doc: "calls of one kind that a server has in progress at most"}
	knobMaxBytes = &env.Knob{Name: "rpc.max_bytes", Default: 128 << 20, Min: 1 << 20, Max: 1 << 34,
		Doc: "bytes of requests of one kind that a server has in progress at most"}
	knobMaxHeld = &env.Knob{Name: "rpc.max_held", Default: 1024, Min: 16, Max: 1 << 20,
		Doc: "frames that wait for one connection to stand at most"}
	knobOffsetCheck = &env.Knob{Name: "rpc.offset_check", Default: 1, Min: 0, Max: 1,
		Doc: "1: a node whose clock is far from those of most peers finds fault with itself"}
	knobOffsetPercent = &env.Knob{Name: "rpc.offset_percent", Default: 80, Min: 50, Max: 100,
		Doc: "how far is far, in percent of the maximum offset"}
)

// Knobs lists the tunables of the room.
func Knobs() []*env.Knob {
	return []*env.Knob{knobPingInterval, knobPingTimeout, knobIdle, knobBackoffMin, knobBackoffMax,
		knobMaxCalls, knobMaxBytes, knobMaxHeld, knobOffsetCheck, knobOffsetPercent}
}

// Rare points of the room.
const (
	ProbeOverloaded   env.Probe = "rpc: refused a call, overloaded"
	ProbeExpired      env.Probe = "rpc: call arrived after its deadline"
	ProbeClockRefused env.Probe = "rpc: clock reading refused"
	ProbePingTimeout  env.Probe = "rpc: half-open connection closed"
	ProbeLateAnswer   env.Probe = "rpc: answer to a call that was given up"
	ProbeLostCall     env.Probe = "rpc: connection broke under a call"
)

// Probes lists the rare points of the room.
func Probes() []env.Probe {
	return []env.Probe{ProbeOverloaded, ProbeExpired, ProbeClockRefused, ProbePingTimeout, ProbeLateAnswer, ProbeLostCall}
}

// Handler answers a request. t is the task of the call and has its deadline. The
// request and the answer are immutable. A nil answer leaves the caller in doubt.
type Handler func(t env.Task, from string, request env.Message) env.Message

// OnewayHandler takes a one-way message, in a callback.
type OnewayHandler func(from string, m env.Message)

// Node is one process's end of all calls.
type Node struct {
	e     env.Env
	clock *hlc.Clock
	name  string
	rand  *rand.Rand // of backoff

	pingInterval, pingTimeout, idle time.Duration
	backoffMin, backoffMax          time.Duration
	maxCalls, maxHeld               int
	maxBytes                        int64

	kinds    [256]*Kind
	handlers [256]Handler
	oneways  [256]OnewayHandler

	onClosed func(peer string) // may be nil

	peers   map[string]*peer
	ordered []*peer // by name
	calls   callTable
	load    [256]load // by kind
	stats   Stats
	stopped bool
}

// load is what a server has in progress of one kind. Each kind has limits of its
// own: were they shared, calls of clients that wait for other nodes could keep the
// calls of those nodes out, which wait for nobody.
type load struct {
	calls int
	bytes int64
}

// Stats counts what happened since the node was made.
type Stats struct {
	Calls, Served, Oneways                int64 // calls made, requests handled, one-way messages sent
	Dials, Broken                         int64 // connections begun, and ended by a fault
	Overloaded, Expired, Dropped          int64 // requests refused for load or lateness, one-way messages not sent
	ClockRefused, PingTimeouts, LateReply int64
}

// New returns the node of a process. It accepts nothing until Listen. A client
// outside the cluster has no clock (nil): it gives out no readings and takes none
// in, so that it does not carry the time of a stray node to the others.
func New(e env.Env, clock *hlc.Clock) *Node {
	return &Node{
		e: e, clock: clock, name: e.Name(), rand: e.Rand("rpc.backoff"),
		pingInterval: env.Duration(e, knobPingInterval), pingTimeout: env.Duration(e, knobPingTimeout),
		idle:       env.Duration(e, knobIdle),
		backoffMin: env.Duration(e, knobBackoffMin), backoffMax: env.Duration(e, knobBackoffMax),
		maxCalls: int(e.Knob(knobMaxCalls)), maxBytes: e.Knob(knobMaxBytes), maxHeld: int(e.Knob(knobMaxHeld)),
		peers: make(map[string]*peer),
	}
}

// Name is the process's name.
func (n *Node) Name() string { return n.name }

// Clock is the clock that frames carry readings of.
func (n *Node) Clock() *hlc.Clock { return n.clock }

// Stats is what happened so far.
func (n *Node) Stats() Stats { return n.stats }

// Handle has calls of kind k answered by h.
func (n *Node) Handle(k *Kind, h Handler) {
	n.register(k)
	n.handlers[k.ID] = h
}

// HandleOneway has one-way messages of kind k given to h.
func (n *Node) HandleOneway(k *Kind, h OnewayHandler) {
	n.register(k)
	n.oneways[k.ID] = h
}

func (n *Node) register(k *Kind) {
	if old := n.kinds[k.ID]; old != nil && old != k || k.ID == 0 {
		panic(fmt.Sprintf("rpc: kind %d of %s is 0 or taken", k.ID, k.Name))
	}
	n.kinds[k.ID] = k
}

// Listen begins to accept connections.
func (n *Node) Listen() {
	n.e.Listen(func(env.Conn) env.Handler {
		if n.stopped {
			return nil
		}
		return (*server)(n)
	})
}

// Stop closes the connections to all peers and makes no new ones. Calls in
// progress end.
func (n *Node) Stop() {
	n.stopped = true
	for _, p := range n.ordered {
		for _, l := range p.links {
			if l.conn != nil {
				l.conn.close(ErrStopped)
			}
		}
	}
}

// peer finds or makes the state about a peer.
func (n *Node) peer(name string) *peer {
	p := n.peers[name]
	if p == nil {
		p = &peer{name: name}
		for c := range p.links {
			p.links[c] = &link{node: n, peer: p, class: Class(c)}
		}
		n.peers[name] = p
		i := sort.Search(len(n.ordered), func(i int) bool { return n.ordered[i].name >= name })
		n.ordered = append(n.ordered, nil)
		copy(n.ordered[i+1:], n.ordered[i:])
		n.ordered[i] = p
	}
	return p
}

// Healthy reports that a connection to the peer stands and answered of late. To a
// peer that was never called, or not for long, there is none.
func (n *Node) Healthy(to string) bool {
	if to == n.name {
		return true
	}
	p := n.peers[to]
	if p == nil {
		return false
	}
	c := p.links[System].conn
	return c != nil && c.ready && n.e.Mono()-c.heardAt < n.pingInterval+n.pingTimeout
}

// Failing reports that the last attempt to connect failed, or the last connection
// broke, and that none stands now.
func (n *Node) Failing(to string) bool {
	p := n.peers[to]
	return p != nil && p.links[System].failures > 0
}

// Connect begins to connect to a peer, so that its health becomes known, or says that the
// connection which stands is of use, so that it is not closed for having nothing to carry.
func (n *Node) Connect(to string) {
	if to == n.name {
		return
	}
	if c, err := n.peer(to).links[System].get(); err == nil {
		c.usedAt = n.e.Mono()
	}
}
