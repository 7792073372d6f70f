package network

import (
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
)

// motion says whether a stream moves.
type motion uint8

const (
	flowing motion = iota
	blocked        // registered with what blocks it: a cut link, or a host that is down
	resting        // until its retransmission
	stray          // its last segment is on its way to a dead incarnation
	over           // for good
)

// stream is one direction of a connection.
//
//	head ... flying ... unsent ... tail      (a stalled stream looks again from head)
type stream struct {
	net        *Network
	from, to   *Conn // to is nil until the dial is accepted
	link       *link
	head, tail *segment
	unsent     *segment // the first that may have to depart; nil: none
	inflight   int64    // bytes that fly
	last       sim.Time // the latest arrival so far
	openAt     sim.Time // when the sender learnt that the window is open
	sequence   uint64
	motion     motion
	hurt       bool // something was lost: it must be sent again
	ghost      bool // what was lost went to a dead incarnation, and will again
	noAck      bool // registered with the link back
	stalledAt  sim.Time
	timeout    sim.EventID
	label      string // of the last message, and its counters
	count      *Traffic
}

// push adds a segment at the end of the line.
func (st *stream) push(s *segment) {
	if st.tail == nil {
		st.head = s
	} else {
		st.tail.next = s
	}
	st.tail = s
	if st.unsent == nil {
		st.unsent = s
	}
	st.from.ep.queued += s.size
	if st.motion == blocked && st.link.cut != nil {
		st.link.cut.count++
	}
	if st.from.state != opening {
		st.pump()
	}
}

// pushFront adds a segment before all others, none of which has departed.
func (st *stream) pushFront(s *segment) {
	s.next = st.head
	st.head, st.unsent = s, s
	if st.tail == nil {
		st.tail = s
	}
	st.from.ep.queued += s.size
	st.pump()
}

// pump lets segments depart while nothing hinders them.
func (st *stream) pump() {
	if st.ghost && st.motion == flowing {
		st.goAstray()
		return
	}
	for st.unsent != nil && st.motion == flowing {
		s := st.unsent
		if !s.flying && !st.depart(s) {
			return
		}
		st.unsent = s.next
	}
}

// depart sends one segment, or stalls the stream.
func (st *stream) depart(s *segment) bool {
	n := st.net
	if st.inflight > 0 && st.inflight+s.size > n.cfg.Window {
		return false // until the receiver has read
	}
	st.link.refresh()
	if st.link.cut != nil {
		st.keepBack()
		return false
	}
	to := st.to.ep
	if !to.proc.Alive() {
		st.goAstray()
		return false
	}
	now := n.sim.Now()
	at := max(now, st.openAt)
	if st.from.ep.proc.Alive() {
		at = max(at, st.from.ep.proc.Ready())
	}
	t := st.link.travel(at, s.size, true)
	if t.lost {
		st.motion = resting // and nothing will end its rest but the time-out
		st.armTimeout()
		return false
	}
	// Not before those ahead of it. It would wait for its turn at the receiver
	// anyhow; so each message is an event of its own.
	st.last = max(t.arrival, st.last+1)
	s.flying, s.corrupt, s.flip = true, t.corrupt, t.flip
	st.inflight += s.size
	st.from.ep.queued -= s.size
	st.from.ep.relieve()
	to.backlog += s.size
	to.proc.Schedule(st.last.Sub(now), "net.deliver", s.land)
	return true
}

// landed is a segment's arrival, an event of the receiving process.
func (s *segment) landed() {
	st := s.st
	if s.void {
		st.net.recycle(s)
		return
	}
	st.link.refresh()
	if st.link.cut != nil {
		s.flying = false
		st.inflight -= s.size
		st.to.ep.backlog -= s.size
		st.from.ep.queued += s.size
		st.keepBack()
		return
	}
	s.arrived = true
	for st.head != nil && st.head.arrived {
		st.deliver()
	}
}

// deliver hands the first segment to the receiver. Everything is in order before
// its code is called: the call may not return.
func (st *stream) deliver() {
	n, to := st.net, st.to
	s := st.head
	st.head = s.next
	if st.head == nil {
		st.tail = nil
	}
	if st.unsent == s {
		st.unsent = s.next
	}
	st.inflight -= s.size
	to.ep.backlog -= s.size
	to.ep.relieve()
	st.sequence++
	n.sim.Note("net", to.id, s.digest(st.sequence))
	st.askForAck()
	if st.unsent != nil {
		st.openAt = n.sim.Now().Add(to.out.link.base)
		st.pump()
	}
	if s.kind == fin {
		st.end()
	}
	switch {
	case to.state == closed || to.state == broken:
		if s.kind != fin && !st.from.settled() {
			n.reset(to.ep.node, st.from, nil)
		}
		s.drop(n)
	case s.kind == synack:
		n.recycle(s)
		to.established()
	case s.kind == fin:
		n.recycle(s)
		to.fail(env.ErrClosed)
	default:
		to.receive(s)
	}
}

// keepBack stalls a stream whose link is cut.
func (st *stream) keepBack() {
	c := st.link.cut
	c.count++
	if c.mode == Drop && st.from.gone() {
		st.discard() // nobody is left to send it again
		return
	}
	st.unsent = st.head
	st.hurt = st.hurt || c.mode == Drop
	if st.motion == blocked || st.motion == over {
		return
	}
	st.motion, st.stalledAt = blocked, st.net.sim.Now()
	st.link.waiting = append(st.link.waiting, st)
	st.net.block(st.link)
	if c.mode == Drop {
		st.armTimeout()
	}
}

// unblocked is called when the link is whole again.
func (st *stream) unblocked() {
	if st.motion != blocked {
		return
	}
	if st.hurt {
		st.retryLater()
		return
	}
	st.motion = flowing
	st.pump()
}

// retryLater sends again what was lost, when the retransmission timer of the sender
// comes round: it doubles from one try to the next, hence the longer the stall was,
// the longer that may take.
func (st *stream) retryLater() {
	if st.motion == over {
		return
	}
	if st.from.gone() {
		st.discard()
		return
	}
	n := st.net
	if !st.noAck && !st.ghost {
		st.disarmTimeout()
	}
	st.motion, st.hurt = resting, false
	n.stats.Retransmitted++
	waited := min(n.sim.Now().Sub(st.stalledAt), 3*time.Second)
	n.sim.Schedule(draw(st.link.drawFates(), st.link.rto()+waited), "net.retransmit", func() {
		if st.motion == resting {
			st.motion = flowing
			st.pump()
		}
	})
}

// askForAck lets the sender begin to time out if the way back is cut: what it sent
// was delivered, and it will not learn that.
func (st *stream) askForAck() {
	back := st.to.out.link
	if len(st.net.faults) == 0 || st.noAck || !back.drops() {
		return
	}
	back.cut.count++
	st.noAck = true
	back.unacked = append(back.unacked, st)
	st.net.block(back)
	st.armTimeout()
}

func (st *stream) armTimeout() {
	if st.timeout == 0 && st.motion != over {
		st.timeout = st.from.ep.proc.Schedule(st.net.cfg.Timeout, "net.timeout", st.timedOut)
	}
}

func (st *stream) disarmTimeout() {
	st.net.sim.Cancel(st.timeout)
	st.timeout = 0
}

func (st *stream) timedOut() {
	st.timeout = 0
	st.discard()
	if !st.from.settled() {
		st.net.stats.Unreachable++
		st.from.fail(env.ErrUnreachable)
	}
}

// goAstray sends to an incarnation that is dead. The host, if it is up, resets the
// connection.
func (st *stream) goAstray() {
	n := st.net
	st.clear()
	if st.from.settled() {
		st.discard()
		return
	}
	st.ghost, st.motion = true, stray
	st.armTimeout()
	t := st.link.travel(n.sim.Now(), packetSize, false)
	n.sim.Schedule(t.arrival.Sub(n.sim.Now()), "net.stray", st.strayed)
}

func (st *stream) strayed() {
	n, host := st.net, st.to.ep.node
	if st.motion != stray {
		return
	}
	if st.from.settled() {
		st.discard()
		return
	}
	st.link.refresh()
	if st.link.cut != nil {
		st.keepBack()
		return
	}
	if !host.up {
		st.motion, st.stalledAt = blocked, n.sim.Now()
		host.waiting = append(host.waiting, st)
		return
	}
	n.reset(host, st.from, st.retryLater)
}

// receiverDied loses what flies, and sends it again if that is nobody's loss yet.
func (st *stream) receiverDied() {
	flying := false
	for s := st.head; s != nil; s = s.next {
		flying = flying || s.flying
	}
	if flying {
		st.clear()
		st.ghost = true
		if st.motion == flowing {
			st.stalledAt = st.net.sim.Now()
			st.retryLater()
		}
	}
}

// senderDied loses what has not left the host: what a cut holds has.
func (st *stream) senderDied() {
	st.link.refresh()
	if st.motion == blocked && st.link.cut != nil && st.link.cut.mode == Hold && !st.hurt {
		return
	}
	if st.motion != flowing {
		st.discard()
		return
	}
	for st.unsent != nil && st.unsent.flying {
		st.unsent = st.unsent.next
	}
	if st.unsent != nil {
		st.truncate(st.unsent)
	}
}

// truncate gives up a segment and all behind it, none of which flies.
func (st *stream) truncate(first *segment) {
	var before *segment
	if first == st.head {
		st.head = nil
	} else {
		for before = st.head; before.next != first; before = before.next {
		}
		before.next = nil
	}
	st.tail, st.unsent = before, nil
	for s := first; s != nil; {
		next := s.next
		st.from.ep.queued -= s.size
		s.drop(st.net)
		s = next
	}
}

// clear gives up every segment.
func (st *stream) clear() {
	for s := st.head; s != nil; {
		next := s.next
		if s.flying {
			st.to.ep.backlog -= s.size
		} else {
			st.from.ep.queued -= s.size
		}
		if s.flying && !s.arrived {
			s.void, s.next = true, nil
			if s.count != nil {
				s.count.dropped(s.size)
				st.link.traffic.dropped(s.size)
			}
		} else {
			s.drop(st.net)
		}
		s = next
	}
	st.head, st.tail, st.unsent, st.inflight = nil, nil, nil, 0
	st.from.ep.relieve()
	if st.to != nil {
		st.to.ep.relieve()
	}
}

// discard ends the stream: nothing more will leave it.
func (st *stream) discard() {
	st.clear()
	st.end()
}

func (st *stream) end() {
	st.motion, st.ghost = over, false
	st.disarmTimeout()
	st.from.retire()
	if st.to != nil {
		st.to.retire()
	}
}
