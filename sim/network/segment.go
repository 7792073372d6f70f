package network

import "simulacrum/sim/env"

// kind is what a segment carries.
type kind uint8

const (
	data   kind = iota
	synack      // the dial was accepted
	fin         // the sender has closed
)

// segment is a message on its way. It is reused once its event has run, and not
// before: an event that is still in the queue would act for its next user.
type segment struct {
	land    func() // the event's function, bound once
	next    *segment
	st      *stream
	message env.Message
	frame   []byte // in decoded mode; the buffer stays with the segment
	size    int64  // with framing
	count   *Traffic
	kind    kind
	flying  bool // its event is to come, or it waits at the receiver for its turn
	arrived bool // it waits there
	corrupt bool
	flip    uint64 // if corrupt: which bit, modulo their number
	void    bool   // its stream has given it up; only the event is left
}

// keepFrame is the largest frame buffer, in bytes, that a free segment keeps.
const keepFrame = 16 << 10

func (n *Network) segment(st *stream, k kind, size int64) *segment {
	var s *segment
	if last := len(n.free) - 1; last >= 0 {
		s = n.free[last]
		n.free = n.free[:last]
	} else {
		s = &segment{}
		s.land = s.landed
	}
	s.st, s.kind, s.size = st, k, size
	return s
}

func (n *Network) recycle(s *segment) {
	frame := s.frame[:0]
	if cap(frame) > keepFrame {
		frame = nil
	}
	*s = segment{land: s.land, frame: frame}
	n.free = append(n.free, s)
}

// digest is what the trace keeps of a segment: in decoded mode its checksum.
func (s *segment) digest(sequence uint64) uint64 {
	d := sequence<<32 | uint64(s.size)<<2 | uint64(s.kind)
	if len(s.frame) >= env.FrameOverhead {
		d ^= uint64(s.frame[4])<<56 | uint64(s.frame[5])<<48 | uint64(s.frame[6])<<40 | uint64(s.frame[7])<<32
	}
	return d
}

// drop counts a segment as lost and gives it back.
func (s *segment) drop(n *Network) {
	if s.count != nil {
		s.count.dropped(s.size)
		s.st.link.traffic.dropped(s.size)
	}
	n.recycle(s)
}
