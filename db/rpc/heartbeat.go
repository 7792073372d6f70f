package rpc

import (
	"fmt"
	"time"

	"simulacrum/sim/env"
)

// ping sends a ping and arranges to look again.
func (c *conn) ping(now time.Duration) {
	n := c.link.node
	c.pingID++
	c.pingAt, c.waiting = now, true
	n.transmit(c.conn, &frame{typ: framePing, id: c.pingID})
	c.arm(min(n.pingInterval, n.pingTimeout))
}

func (c *conn) arm(d time.Duration) {
	if !c.over {
		c.timer = c.link.node.e.After(d, "rpc ping", c.tick)
	}
}

// tick closes the connection if it gave no sign for too long since the last ping,
// or is not needed any more, and otherwise sends the next ping. Only the system
// connection is pinged while it is busy: its pings measure, those of the others
// merely find out whether the peer is still there.
func (c *conn) tick() {
	n := c.link.node
	now := n.e.Mono()
	if c.link.class != System {
		// The system connection may have broken by itself, and be due again: by it the
		// peer counts as healthy (scenarios/found/nobody-dials).
		c.link.peer.links[System].get()
	}
	if c.waiting {
		left := max(c.heardAt, c.pingAt) + n.pingTimeout - now
		if left <= 0 {
			n.stats.PingTimeouts++
			n.e.Probe(ProbePingTimeout)
			c.close(ErrPingTimeout)
			return
		}
		c.arm(min(left, n.pingInterval))
		return
	}
	if c.unused(now) {
		c.close(ErrIdle)
		return
	}
	if left := c.heardAt + n.pingInterval - now; c.link.class != System && left > 0 {
		c.arm(left)
		return
	}
	c.ping(now)
}

// unused reports that nothing goes over the connection any more. The system
// connection is needed for as long as one of the others is.
func (c *conn) unused(now time.Duration) bool {
	if c.first != nil || now-c.usedAt < c.link.node.idle {
		return false
	}
	if c.link.class == System {
		for _, l := range c.link.peer.links[System+1:] {
			if l.conn != nil {
				return false
			}
		}
	}
	return true
}

// measure takes the measurement by a ping and its answer in.
func (c *conn) measure(f *frame) {
	if !c.waiting || f.id != c.pingID {
		return
	}
	n := c.link.node
	now := n.e.Mono()
	rtt := now - c.pingAt
	// The peer read its clock somewhere between the two moments. The middle is the
	// best guess, and wrong by half a round trip at most.
	c.link.peer.samples.add(sample{
		rtt: rtt, at: now,
		offset: time.Duration(f.wall - n.e.Wall() + int64(rtt/2)),
	})
}

// pong notes that a ping was answered.
func (c *conn) pong(f *frame) {
	if !c.waiting || f.id != c.pingID {
		return
	}
	c.waiting = false
	if !c.ready {
		c.stands()
	}
}

// sample is one measurement by a ping.
type sample struct {
	rtt    time.Duration
	offset time.Duration // the peer's wall clock less one's own
	at     time.Duration // by Mono
}

// samples are the last few.
type samples struct {
	ring [8]sample
	n    int // that were ever added
}

func (s *samples) add(x sample) {
	s.ring[s.n%len(s.ring)] = x
	s.n++
}

// best is the sample of the shortest round trip that is not older than maxAge: the
// shorter, the less its offset can be wrong.
func (s *samples) best(now, maxAge time.Duration) (best sample, ok bool) {
	for _, x := range s.ring[:min(s.n, len(s.ring))] {
		if now-x.at <= maxAge && (!ok || x.rtt < best.rtt) {
			best, ok = x, true
		}
	}
	return best, ok
}

// sampleAge is how many ping intervals a measurement counts.
const sampleAge = 10

// Offset is how far a peer's wall clock is ahead of this node's, measured with an
// error of half the round trip at most.
type Offset struct {
	Peer   string
	Offset time.Duration
	RTT    time.Duration
}

func (n *Node) measured(p *peer) (Offset, bool) {
	s, ok := p.samples.best(n.e.Mono(), sampleAge*n.pingInterval)
	return Offset{Peer: p.name, Offset: s.offset, RTT: s.rtt}, ok
}

// RTT is the round trip to a peer; ok is false if it was not measured of late.
func (n *Node) RTT(to string) (rtt time.Duration, ok bool) {
	if to == n.name {
		return 0, true
	}
	if p := n.peers[to]; p != nil {
		o, ok := n.measured(p)
		return o.RTT, ok
	}
	return 0, false
}

// RemoteOffsets lists the peers whose clocks were measured of late, by name.
func (n *Node) RemoteOffsets() []Offset {
	var all []Offset
	for _, p := range n.ordered {
		if o, ok := n.measured(p); ok {
			all = append(all, o)
		}
	}
	return all
}

// StrayError says that a node's clock is far from those of most of its peers.
type StrayError struct {
	Far, Known int
	Limit      time.Duration
	Offsets    []Offset
}

// Error implements error.
func (e *StrayError) Error() string {
	return fmt.Sprintf("clock is more than %s away from those of %d of %d peers: %v", e.Limit, e.Far, e.Known, e.Offsets)
}

// CheckOffsets returns a *StrayError if the node's clock is further than 80 % of the
// maximum offset away from those of most of the peers that were measured of late.
// The node must then stop itself, because it might serve what is stale. A peer
// counts as far only if it is so whatever the error of the measurement: a slow
// network is not a wrong clock.
func (n *Node) CheckOffsets() error {
	if n.e.Knob(knobOffsetCheck) == 0 {
		return nil
	}
	limit := n.clock.MaxOffset() * time.Duration(n.e.Knob(knobOffsetPercent)) / 100
	e := &StrayError{Limit: limit, Offsets: n.RemoteOffsets()}
	for _, o := range e.Offsets {
		e.Known++
		if max(o.Offset, -o.Offset)-o.RTT/2 > limit {
			e.Far++
		}
	}
	if 2*e.Far > e.Known {
		return e
	}
	return nil
}

var _ env.Handler = (*conn)(nil)
