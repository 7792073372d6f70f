package rpc

import (
	"time"

	"simulacrum/sim/env"
)

// call is one call that waits for its answer. Calls are used again and again.
type call struct {
	id         uint64
	conn       *conn // nil: to this node itself
	prev, next *call // on the connection
	task       env.Task
	deadline   time.Duration // by Mono, 0: none
	sent       bool          // it left, so that the peer may handle it
	done       bool
	answer     env.Message
	err        *Error
}

// slotBits is how many bits of a call's id are its place in the table.
const slotBits = 20

// callTable finds calls by id. An id is a place in the table and a count, so that
// the late answer to an earlier call in the same place finds nothing.
type callTable struct {
	slots []*call
	free  []*call
	count uint64
}

func (ct *callTable) alloc() *call {
	ct.count++
	var c *call
	if n := len(ct.free); n > 0 {
		c, ct.free = ct.free[n-1], ct.free[:n-1]
	} else {
		c = &call{id: uint64(len(ct.slots))}
		ct.slots = append(ct.slots, c)
	}
	c.id = ct.count<<slotBits | c.id&(1<<slotBits-1)
	return c
}

// find returns nil if there is no such call any more.
func (ct *callTable) find(id uint64) *call {
	slot := id & (1<<slotBits - 1)
	if slot >= uint64(len(ct.slots)) || ct.slots[slot].id != id || ct.slots[slot].task == nil {
		return nil
	}
	return ct.slots[slot]
}

func (ct *callTable) release(c *call) {
	*c = call{id: c.id}
	ct.free = append(ct.free, c)
}

// full reports that no more calls can be told apart.
func (ct *callTable) full() bool { return len(ct.free) == 0 && len(ct.slots) == 1<<slotBits }

// Call sends a request and waits for the answer, at most for timeout (0: as long as
// the task's deadline allows). The time left travels with the request and binds the
// peer's handler. The error, if there is one, is an *Error.
func (n *Node) Call(t env.Task, to string, k *Kind, m env.Message, timeout time.Duration) (env.Message, error) {
	n.stats.Calls++
	n.register(k)
	if err := t.Err(); err != nil {
		return nil, &Error{Peer: to, Cause: err}
	}
	f := &frame{typ: frameRequest, kind: k.ID, payload: m}
	if n.calls.full() || f.payloadSize() > maxPayload {
		return nil, &Error{Peer: to, Cause: env.ErrTooLarge}
	}
	deadline := n.deadline(t, timeout)
	if deadline > 0 {
		if f.timeout = deadline - n.e.Mono(); f.timeout <= 0 {
			return nil, &Error{Peer: to, Cause: env.ErrDeadline}
		}
	}
	var c *conn
	if to != n.name {
		var err error
		if c, err = n.peer(to).links[k.Class].get(); err != nil {
			return nil, &Error{Peer: to, Cause: err}
		}
	}
	call := n.calls.alloc()
	call.task, call.deadline, call.conn = t, deadline, c
	f.id = call.id
	if c == nil {
		call.sent = true
		n.e.Charge(env.ClassMessage, 1)
		n.admit(nil, f)
	} else {
		c.push(call)
		call.sent = c.ready
		if err := c.send(f); err != nil {
			n.finishCall(call, nil, &Error{Peer: to, Cause: err})
		}
	}
	return n.await(t, call, to)
}

// maxPayload leaves room for the frame around it.
const maxPayload = env.MaxFrame - 256

// deadline is when the call must end, by Mono: after timeout or at the task's own
// deadline, whichever is first.
func (n *Node) deadline(t env.Task, timeout time.Duration) time.Duration {
	at := t.SetDeadline(0)
	t.SetDeadline(at)
	if timeout > 0 {
		if own := n.e.Mono() + timeout; at == 0 || own < at {
			at = own
		}
	}
	return at
}

// await waits for the answer, or gives the call up.
func (n *Node) await(t env.Task, c *call, to string) (env.Message, error) {
	for !c.done {
		wait := time.Duration(-1)
		if c.deadline > 0 {
			wait = max(c.deadline-n.e.Mono(), 0)
		}
		err := t.Park("rpc call", wait)
		if err != nil && !c.done {
			c.settle(nil, &Error{Peer: to, Sent: c.sent, Cause: err})
		}
	}
	answer, err := c.answer, c.err
	n.calls.release(c)
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// finish ends the call that an answer on c is for, if anybody waits for it.
func (n *Node) finish(c *conn, id uint64, answer env.Message, err *Error) {
	call := n.calls.find(id)
	if call == nil || call.done || call.conn != c {
		n.stats.LateReply++
		n.e.Probe(ProbeLateAnswer)
		return
	}
	n.finishCall(call, answer, err)
}

// settle sets the outcome. The task frees the call.
func (c *call) settle(answer env.Message, err *Error) {
	c.done, c.answer, c.err = true, answer, err
	if c.conn != nil {
		c.conn.remove(c)
	}
}

// finishCall sets the outcome and wakes the task.
func (n *Node) finishCall(c *call, answer env.Message, err *Error) {
	c.settle(answer, err)
	c.task.Wake()
}

// Send sends a one-way message. It may be lost without notice.
func (n *Node) Send(to string, k *Kind, m env.Message) {
	n.stats.Oneways++
	n.register(k)
	if to == n.name {
		if h := n.oneways[k.ID]; h != nil {
			n.e.After(0, k.Name, func() { h(n.name, m) })
		}
		return
	}
	f := &frame{typ: frameOneway, kind: k.ID, payload: m}
	if f.payloadSize() > maxPayload {
		n.stats.Dropped++
		return
	}
	c, err := n.peer(to).links[k.Class].get()
	if err == nil {
		err = c.send(f)
	}
	if err != nil {
		n.stats.Dropped++
	}
}

// push and remove keep a connection's calls in order of their age, so that they
// fail in that order when it breaks.
func (c *conn) push(call *call) {
	if c.last == nil {
		c.first = call
	} else {
		c.last.next, call.prev = call, c.last
	}
	c.last = call
}

func (c *conn) remove(call *call) {
	if call.prev == nil {
		c.first = call.next
	} else {
		call.prev.next = call.next
	}
	if call.next == nil {
		c.last = call.prev
	} else {
		call.next.prev = call.prev
	}
	call.prev, call.next = nil, nil
}
