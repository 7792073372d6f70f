package network

import (
	"fmt"
	"strings"

	"simulacrum/sim/env"
)

var (
	modeNames   = [...]string{Drop: "drop", Hold: "hold"}
	stateNames  = [...]string{opening: "opening", open: "open", broken: "broken", closed: "closed"}
	motionNames = [...]string{flowing: "flowing", blocked: "blocked", resting: "resting", stray: "stray", over: "over"}
)

// String is drop or hold.
func (m Mode) String() string { return modeNames[m] }

// String prints one end for people: n1>n3 #12 open, blocked, 3 waiting (120 bytes).
func (c *Conn) String() string {
	segments, bytes := 0, int64(0)
	for s := c.out.head; s != nil; s = s.next {
		segments++
		bytes += s.size
	}
	return fmt.Sprintf("%s>%s #%d %s, %s, %d waiting or on their way (%d bytes)",
		c.ep.node.name, c.peerNode.name, c.id>>1, stateNames[c.state], motionNames[c.out.motion], segments, bytes)
}

// String lists the connections of an endpoint, one a line.
func (ep *Endpoint) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s, %d bytes queued, %d to be read\n", ep.node.name, ep.node.loc.Region, ep.node.loc.Zone, ep.queued, ep.backlog)
	for _, c := range ep.conns {
		fmt.Fprintf(&b, "  %v\n", c)
	}
	return b.String()
}

// maxDescribed is how much of a message a trace shows, in bytes.
const maxDescribed = 600

// describe prints a message for a trace: as it prints itself, or by its type, since
// what %v makes of pointers differs from run to run.
func describe(m env.Message) string {
	s, ok := m.(fmt.Stringer)
	if !ok {
		return fmt.Sprintf("%T", m)
	}
	text := s.String()
	if len(text) > maxDescribed {
		text = fmt.Sprintf("%s ... (%d characters)", text[:maxDescribed], len(text))
	}
	return text
}
