package rpc

import (
	"time"

	"simulacrum/sim/env"
)

// peer is what a node knows about another.
type peer struct {
	name    string
	links   [NumClasses]*link
	samples samples
}

// link is the way to a peer for one class: a connection, or the reason for none.
type link struct {
	node  *Node
	peer  *peer
	class Class

	conn     *conn
	failures int           // since a connection last stood
	retryAt  time.Duration // by Mono: not to be dialled before
	lastErr  error
}

// get returns the connection, which may not stand yet, and dials if there is none.
// The system connection is dialled beside every other, for its pings.
func (l *link) get() (*conn, error) {
	n := l.node
	if l.conn != nil {
		return l.conn, nil
	}
	if n.stopped {
		return nil, ErrStopped
	}
	now := n.e.Mono()
	if now < l.retryAt {
		return nil, &BackoffError{Last: l.lastErr, Left: l.retryAt - now}
	}
	if l.class != System {
		l.peer.links[System].get()
	}
	n.stats.Dials++
	c := &conn{link: l, heardAt: now, usedAt: now}
	l.conn = c
	c.conn = n.e.Dial(l.peer.name, c)
	c.ping(now)
	return c, nil
}

// failed notes that a connection ended, or never stood, for a reason that makes
// another attempt at once pointless.
func (l *link) failed(err error) {
	n := l.node
	n.stats.Broken++
	l.lastErr = err
	d := min(n.backoffMin<<min(l.failures, 20), n.backoffMax)
	l.failures++
	l.retryAt = n.e.Mono() + d/2 + time.Duration(n.rand.Int64N(int64(d)+1))
}

// conn is a connection that this node dialled.
type conn struct {
	link  *link
	conn  env.Conn
	ready bool // the first ping was answered
	over  bool

	held        []*frame // until ready
	first, last *call    // that wait for an answer on this connection

	timer   env.Timer
	pingID  uint64
	pingAt  time.Duration // when the ping that is not answered was sent; by Mono
	waiting bool          // for an answer to that ping
	heardAt time.Duration // when anything last came
	usedAt  time.Duration // when anything but pings was last sent
}

// send sends f now, or when the connection stands.
func (c *conn) send(f *frame) error {
	n := c.link.node
	c.usedAt = n.e.Mono()
	if c.ready {
		return n.transmit(c.conn, f)
	}
	if len(c.held) >= n.maxHeld {
		return ErrQueueFull
	}
	c.held = append(c.held, f)
	return nil
}

// transmit puts the clock's reading on f and sends it. The network charges the work.
func (n *Node) transmit(to env.Conn, f *frame) error {
	if n.clock != nil {
		f.clock = n.clock.Now()
	}
	return to.Send(f)
}

// Decode implements env.Handler.
func (c *conn) Decode(b []byte) (env.Message, error) { return c.link.node.decode(b) }

// Receive implements env.Handler.
func (c *conn) Receive(_ env.Conn, m env.Message) {
	n := c.link.node
	f, ok := m.(*frame)
	if c.over || !ok {
		return
	}
	if f.typ == framePong {
		// Measured first: how else would this node find out that it is the one whose
		// clock is wrong?
		c.measure(f)
	}
	if err := n.ratchet(f); err != nil {
		c.close(err)
		return
	}
	c.heardAt = n.e.Mono()
	switch f.typ {
	case framePong:
		c.pong(f)
	case frameResponse:
		n.finish(c, f.id, f.payload, nil)
	case frameReject:
		n.finish(c, f.id, nil, f.code.err(c.link.peer.name))
	default:
		c.close(ErrProtocol)
	}
}

// ratchet takes the frame's clock reading in.
func (n *Node) ratchet(f *frame) error {
	if n.clock == nil {
		return nil
	}
	err := n.clock.Update(f.clock)
	if err != nil {
		n.stats.ClockRefused++
		n.e.Probe(ProbeClockRefused)
	}
	return err
}

// Closed implements env.Handler.
func (c *conn) Closed(_ env.Conn, err error) { c.end(err) }

// close ends the connection from this side.
func (c *conn) close(err error) {
	if !c.over {
		c.conn.Close()
		c.end(err)
	}
}

// end fails what waits for the connection. What was held back was not sent.
func (c *conn) end(err error) {
	if c.over {
		return
	}
	c.over = true
	l, n := c.link, c.link.node
	l.conn = nil
	n.e.Stop(c.timer)
	if err != ErrIdle && err != ErrStopped {
		l.failed(err)
	}
	if c.ready && c.first != nil {
		n.e.Probe(ProbeLostCall)
	}
	for _, f := range c.held {
		if f.typ == frameOneway {
			n.stats.Dropped++
		}
	}
	c.held = nil
	for c.first != nil {
		n.finishCall(c.first, nil, &Error{Peer: l.peer.name, Sent: c.first.sent, Cause: err})
	}
}

// stands is called when the first ping was answered: what was held is sent.
func (c *conn) stands() {
	n := c.link.node
	c.ready = true
	c.link.failures = 0
	now := n.e.Mono()
	held := c.held
	c.held = nil
	for _, f := range held {
		if c.over {
			return
		}
		if f.typ != frameRequest {
			n.transmit(c.conn, f)
			continue
		}
		call := n.calls.find(f.id)
		if call == nil || call.conn != c {
			continue // given up meanwhile, and so never sent
		}
		if call.deadline > 0 {
			if f.timeout = call.deadline - now; f.timeout <= 0 {
				continue // the caller is about to give up
			}
		}
		if err := n.transmit(c.conn, f); err != nil {
			n.finishCall(call, nil, &Error{Peer: c.link.peer.name, Cause: err})
			continue
		}
		call.sent = true
	}
}
