package network

import (
	"fmt"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
)

// state is what one end of a connection has come to.
type state uint8

const (
	opening state = iota // dialled, or being offered to accept
	open
	broken // the handler is about to be told
	closed
)

// Conn is one end of a connection. It implements env.Conn.
type Conn struct {
	net      *Network
	id       uint64 // the connection's number, and one bit for the end
	ep       *Endpoint
	peerNode *node
	peer     *Conn // the other end; nil until the dial is accepted
	handler  env.Handler
	state    state
	index    int // in ep.conns, while listed
	listed   bool
	out      stream

	// Of the dialer, until its dial is answered.
	dialTimeout sim.EventID
	synRTO      time.Duration
}

var _ env.Conn = (*Conn)(nil)

func (ep *Endpoint) newConn(id uint64, peer *node, h env.Handler) *Conn {
	c := &Conn{net: ep.net, id: id, ep: ep, peerNode: peer, handler: h}
	c.out = stream{net: ep.net, from: c, link: ep.net.link(ep.node, peer)}
	c.list()
	return c
}

func (c *Conn) list() {
	if !c.listed && c.ep.proc.Alive() {
		c.index, c.listed = len(c.ep.conns), true
		c.ep.conns = append(c.ep.conns, c)
	}
}

// Dial implements env.Network.
func (ep *Endpoint) Dial(peer string, h env.Handler) env.Conn {
	n := ep.net
	if !ep.proc.Alive() {
		return &Conn{net: n, ep: ep, peerNode: &node{name: peer}, state: closed}
	}
	n.conns++
	n.stats.Dials++
	c := ep.newConn(n.conns<<1, n.node(peer), h)
	c.synRTO = n.cfg.SynRTO
	ep.proc.Charge(env.ClassMessage, 1)
	c.dialTimeout = ep.proc.Schedule(n.cfg.DialTimeout, "net.dial timeout", func() {
		n.stats.Unreachable++
		c.fail(env.ErrUnreachable)
	})
	c.sendSyn()
	return c
}

func (c *Conn) sendSyn() {
	c.net.send(&packet{link: c.out.link, label: "net.syn", arrive: c.knock, lost: c.synLost})
}

// synLost tries again: the dialer's host cannot know what became of its packet.
func (c *Conn) synLost() {
	c.ep.proc.Schedule(c.synRTO, "net.syn again", func() {
		if c.state == opening {
			c.sendSyn()
		}
	})
	c.synRTO *= 2
}

// knock is the arrival of a dial at the other host, whichever incarnation is there.
func (c *Conn) knock() {
	d := c.peerNode
	if !d.up {
		c.synLost()
		return
	}
	if ep := d.ep; ep.proc.Alive() && ep.accept != nil {
		ep.proc.Schedule(0, "net.accept", func() { ep.offer(c) })
		return
	}
	c.refuse()
}

// refuse answers a dial by no.
func (c *Conn) refuse() {
	c.net.stats.Refused++
	c.net.send(&packet{
		link: c.net.link(c.peerNode, c.ep.node), label: "net.refuse", proc: c.ep.proc,
		arrive: func() { c.fail(env.ErrRefused) },
	})
}

// offer is the event in which a process accepts or refuses a dial.
func (ep *Endpoint) offer(dialer *Conn) {
	n := ep.net
	c := ep.newConn(dialer.id|1, dialer.ep.node, nil)
	c.peer, dialer.peer = dialer, c
	c.out.to, dialer.out.to = dialer, c
	ep.proc.Charge(env.ClassMessage, 1)
	h := ep.accept(c)
	if h == nil || c.state != opening {
		c.state = closed
		c.peer, dialer.peer, dialer.out.to = nil, nil, nil
		c.out.discard()
		dialer.refuse()
		return
	}
	c.handler, c.state = h, open
	dialer.list() // it may have given up
	c.out.pushFront(n.segment(&c.out, synack, packetSize))
}

// established is the arrival of the answer to a dial.
func (c *Conn) established() {
	c.cancelDial()
	c.state = open
	c.out.pump()
}

// Send implements env.Conn. A message beyond env.MaxFrame is not sent, and gives
// env.ErrTooLarge.
func (c *Conn) Send(m env.Message) error {
	if c.state > open || !c.ep.proc.Alive() {
		return env.ErrClosed
	}
	size := m.Size()
	if size > env.MaxFrame {
		return env.ErrTooLarge
	}
	n, st := c.net, &c.out
	s := n.segment(st, data, int64(size+env.FrameOverhead))
	if n.cfg.Decode {
		s.frame = env.AppendFrame(s.frame[:0], m)
		if int64(len(s.frame)) != s.size {
			panic(fmt.Sprintf("network: %T says it has %d bytes and encodes to %d", m, size, len(s.frame)-env.FrameOverhead))
		}
	} else {
		s.message = m
	}
	s.count = st.traffic(m)
	s.count.sent(s.size)
	st.link.traffic.sent(s.size)
	c.ep.proc.Charge(env.ClassMessage, 1)
	c.ep.proc.Charge(env.ClassByte, s.size)
	if n.sim.Recording() {
		n.sim.Remark("to %s, %d bytes: %s", c.peerNode.name, size, describe(m))
	}
	st.push(s)
	c.ep.account()
	return nil
}

// receive takes a message out of its segment and hands it on.
func (c *Conn) receive(s *segment) {
	n := c.net
	s.count.delivered(s.size)
	c.peer.out.link.traffic.delivered(s.size)
	c.ep.proc.Charge(env.ClassMessage, 1)
	c.ep.proc.Charge(env.ClassByte, s.size)
	m, err := c.unpack(s)
	n.recycle(s)
	c.ep.account()
	if err != nil {
		n.reset(c.ep.node, c.peer, nil)
		c.fail(err)
		return
	}
	if n.sim.Recording() {
		n.sim.Remark("from %s: %s", c.peerNode.name, describe(m))
	}
	c.handler.Receive(c, m)
}

// unpack turns what arrived into a message.
func (c *Conn) unpack(s *segment) (env.Message, error) {
	if s.corrupt {
		c.net.stats.Corrupted++
	}
	if !c.net.cfg.Decode {
		if s.corrupt {
			return nil, env.ErrCorrupt
		}
		return s.message, nil
	}
	if s.corrupt {
		bit := s.flip % uint64(8*len(s.frame))
		s.frame[bit/8] ^= 1 << (bit % 8)
	}
	body, rest, err := env.ParseFrame(s.frame)
	switch {
	case err != nil:
		return nil, err
	case body == nil || len(rest) > 0: // the length itself was hit
		return nil, env.ErrCorrupt
	case s.corrupt:
		panic("network: a flipped bit passed the checksum")
	}
	return c.handler.Decode(body)
}

// Close implements env.Conn. What was sent before it is still delivered, unless the
// dial had not been answered yet.
func (c *Conn) Close() {
	if c.state == closed || !c.ep.proc.Alive() {
		return
	}
	was := c.state
	c.state = closed
	c.cancelDial()
	if was == open {
		c.out.push(c.net.segment(&c.out, fin, packetSize))
	} else {
		c.out.discard()
	}
	c.ep.account()
}

// Peer implements env.Conn.
func (c *Conn) Peer() string { return c.peerNode.name }

// settled reports whether this end has nothing more to learn.
func (c *Conn) settled() bool {
	return c.state == closed || c.state == broken || !c.ep.proc.Alive()
}

// gone reports whether nobody is left to send again what this end had sent: a
// connection that was closed in order is the host's to finish.
func (c *Conn) gone() bool {
	return c.ep.silent || !c.ep.proc.Alive() && c.state != closed
}

// fail ends the connection for this end, in an event of its process. One that was
// closed only stops to finish what it had sent.
func (c *Conn) fail(err error) {
	if c.settled() {
		c.out.discard()
		return
	}
	c.state = broken
	c.out.discard()
	c.tell(err)
}

// tell has the handler know, once.
func (c *Conn) tell(err error) {
	c.state = closed
	c.cancelDial()
	c.retire()
	c.ep.account()
	c.handler.Closed(c, err)
}

// breakOff is fail from outside the process: the handler is told in an event of its
// own, but nothing is sent any more.
func (c *Conn) breakOff() {
	if c.settled() {
		return
	}
	c.net.stats.Resets++
	c.state = broken
	c.out.discard()
	c.ep.proc.Schedule(0, "net.reset", func() {
		if c.state == broken {
			c.tell(env.ErrReset)
		}
	})
}

func (c *Conn) cancelDial() {
	c.net.sim.Cancel(c.dialTimeout)
	c.dialTimeout = 0
}

// retire forgets a closed end when nothing moves any more in either direction.
// Until then the death of its process concerns what is on its way.
func (c *Conn) retire() {
	if c.state != closed || c.out.motion != over || c.peer != nil && c.peer.out.motion != over || !c.listed {
		return
	}
	c.listed = false
	last := len(c.ep.conns) - 1
	moved := c.ep.conns[last]
	c.ep.conns[c.index] = moved
	moved.index = c.index
	c.ep.conns[last] = nil
	c.ep.conns = c.ep.conns[:last]
}
