package rpc

import (
	"time"

	"simulacrum/sim/env"
)

// server is a Node as the handler of connections that peers made. It keeps nothing
// about them: a half-open one costs nothing.
type server Node

// Decode implements env.Handler.
func (s *server) Decode(b []byte) (env.Message, error) { return (*Node)(s).decode(b) }

// Closed implements env.Handler. Requests that came on the connection go on: their
// effect may be wanted, and their deadline bounds them.
func (s *server) Closed(c env.Conn, _ error) {
	if n := (*Node)(s); n.onClosed != nil && !n.stopped {
		n.onClosed(c.Peer())
	}
}

// OnClosed has f called when a connection that a peer had made is over: because the
// peer closed it, or died, or something broke. Who is half open is not found out here.
func (n *Node) OnClosed(f func(peer string)) { n.onClosed = f }

// Receive implements env.Handler.
func (s *server) Receive(c env.Conn, m env.Message) {
	n := (*Node)(s)
	f, ok := m.(*frame)
	if !ok || n.stopped {
		c.Close()
		return
	}
	// A ping whose reading is refused is answered nevertheless: by that a node finds
	// out that its clock is far ahead. Nothing else is taken from it.
	if err := n.ratchet(f); err != nil && f.typ != framePing {
		c.Close()
		return
	}
	switch f.typ {
	case framePing:
		n.transmit(c, &frame{typ: framePong, id: f.id, wall: n.e.Wall()})
	case frameRequest:
		n.admit(c, f)
	case frameOneway:
		if h := n.oneways[f.kind]; h != nil {
			h(c.Peer(), f.payload)
		}
	default:
		c.Close()
	}
}

// admit starts a task for a request, or refuses it at once. c is nil if the request
// is this node's own.
func (n *Node) admit(c env.Conn, f *frame) {
	if n.handlers[f.kind] == nil {
		n.reject(c, f.id, rejectUnknownKind)
		return
	}
	k := n.kinds[f.kind]
	size := int64(f.payloadSize())
	l := &n.load[f.kind]
	if l.calls >= n.maxCalls || l.bytes+size > n.maxBytes && l.calls > 0 {
		n.stats.Overloaded++
		n.e.Probe(ProbeOverloaded)
		n.reject(c, f.id, rejectOverloaded)
		return
	}
	l.calls++
	l.bytes += size
	n.e.Memory(size)
	var deadline time.Duration
	if f.timeout > 0 {
		deadline = n.e.Mono() + f.timeout
	}
	n.e.Go(k.Name, func(t env.Task) {
		n.serve(t, c, f, deadline)
		l.calls--
		l.bytes -= size
		n.e.Memory(-size)
	})
}

// serve handles one request in its task.
func (n *Node) serve(t env.Task, c env.Conn, f *frame, deadline time.Duration) {
	if deadline > 0 && n.e.Mono() >= deadline {
		n.stats.Expired++
		n.e.Probe(ProbeExpired)
		n.reject(c, f.id, rejectExpired)
		return
	}
	n.stats.Served++
	t.SetDeadline(deadline)
	from := n.name
	if c != nil {
		from = c.Peer()
	}
	answer := n.handlers[f.kind](t, from, f.payload)
	reply := &frame{typ: frameResponse, kind: f.kind, id: f.id, payload: answer}
	switch {
	case answer == nil || reply.payloadSize() > maxPayload:
		n.reject(c, f.id, rejectNoAnswer)
	case c == nil:
		n.finish(nil, f.id, answer, nil)
	default:
		n.transmit(c, reply)
	}
}

func (n *Node) reject(c env.Conn, id uint64, code rejection) {
	if c == nil {
		n.finish(nil, id, nil, code.err(n.name))
		return
	}
	n.transmit(c, &frame{typ: frameReject, id: id, code: code})
}
