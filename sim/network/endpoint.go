package network

import (
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// Endpoint is one incarnation's access to the network. It implements env.Network.
type Endpoint struct {
	net    *Network
	node   *node
	proc   *sim.Proc
	accept func(env.Conn) env.Handler
	conns  []*Conn // alive, or closed and not yet finished by the host
	silent bool    // it dies by a loss of power

	// Bytes that wait here to be sent, and that are on their way here or unread.
	// Both change in other processes' events as well; the process is told of the
	// sum in its own, where it may run out of memory.
	queued, backlog int64
	accounted       int64
}

var _ env.Network = (*Endpoint)(nil)

// Listen implements env.Network.
func (ep *Endpoint) Listen(accept func(env.Conn) env.Handler) {
	if ep.proc.Alive() {
		ep.accept = accept
	}
}

// account brings what the process holds up to date. It may not return.
func (ep *Endpoint) account() {
	if held := ep.queued + ep.backlog; held != ep.accounted {
		delta := held - ep.accounted
		ep.accounted = held
		ep.proc.Memory(delta)
	}
}

// relieve is account for events of others: it never adds.
func (ep *Endpoint) relieve() {
	if ep.queued+ep.backlog < ep.accounted {
		ep.account()
	}
}

// died ends every connection of a dead incarnation. Unless the power is gone, its
// host resets them, and finishes those that were closed in order.
func (ep *Endpoint) died() {
	n := ep.net
	conns := ep.conns
	ep.conns = nil
	for _, c := range conns {
		c.listed = false
	}
	for _, c := range conns {
		if ep.silent || c.state != closed {
			c.out.senderDied()
		}
		if c.peer == nil {
			continue
		}
		c.peer.out.receiverDied()
		if !ep.silent && c.state <= open {
			n.reset(ep.node, c.peer, nil)
		}
	}
}
