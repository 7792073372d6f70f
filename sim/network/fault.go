package network

import (
	"slices"
	"time"
)

// Mode says what becomes of what a cut keeps back.
type Mode uint8

// The modes of a cut.
const (
	Drop Mode = iota // lost: connections stall, and may time out
	Hold             // delivered when the cut heals
)

// LinkFault is what happens to segments and packets of a degraded link. Zero fields
// change nothing. Rates are in millionths; a Loss of a million is a cut that drops.
type LinkFault struct {
	Loss, Duplicate, Reorder, Corrupt int64         // share of messages, ppm
	Delay, Jitter                     time.Duration // added to each: fixed, and drawn from 0 to Jitter
	Bandwidth                         int64         // bytes a second; 0: no cap
}

// Effect is the handle of a fault in force.
type Effect interface {
	// Heal ends it. A second call does nothing.
	Heal()
	// Count is how many messages and dials it touched. It stays readable.
	Count() int64
}

// fault is an Effect as links see it.
type fault interface {
	covers(from, to string) bool
	apply(l *link)
}

// scope is which directed links a fault covers. A name that is attached later is
// covered as well.
type scope struct{ from, to map[string]bool }

func newScope(from, to []string) scope {
	s := scope{from: map[string]bool{}, to: map[string]bool{}}
	for _, name := range from {
		s.from[name] = true
	}
	for _, name := range to {
		s.to[name] = true
	}
	return s
}

// covers leaves out the way of an endpoint to itself: it has no wire to cut.
func (s *scope) covers(from, to string) bool { return from != to && s.from[from] && s.to[to] }

// effect is what all faults have in common.
type effect struct {
	net   *Network
	count int64
	scope
}

// Count implements Effect.
func (e *effect) Count() int64 { return e.count }

type cut struct {
	effect
	mode Mode
}

// apply lets the first cut that drops win over those that hold.
func (c *cut) apply(l *link) {
	if l.cut == nil || l.cut.mode == Hold && c.mode == Drop {
		l.cut = c
	}
}

// Heal implements Effect.
func (c *cut) Heal() { c.net.heal(c) }

// Cut stops whatever the endpoints of from send to those of to, what is on its way
// included. The other direction is not concerned.
func (n *Network) Cut(from, to []string, mode Mode) Effect {
	c := &cut{effect: effect{net: n, scope: newScope(from, to)}, mode: mode}
	n.start(c)
	return c
}

type degrade struct {
	effect
	LinkFault
}

func (d *degrade) apply(l *link) { l.degrade = append(l.degrade, d) }

// Heal implements Effect.
func (d *degrade) Heal() { d.net.heal(d) }

// Degrade worsens every link from an endpoint of from to one of to.
func (n *Network) Degrade(from, to []string, f LinkFault) Effect {
	if f.Loss >= 1_000_000 {
		return n.Cut(from, to, Drop)
	}
	d := &degrade{effect: effect{net: n, scope: newScope(from, to)}, LinkFault: f}
	n.start(d)
	return d
}

func (n *Network) start(f fault) {
	n.faults = append(n.faults, f)
	n.changed()
}

func (n *Network) heal(f fault) {
	if i := slices.Index(n.faults, f); i >= 0 {
		n.faults = slices.Delete(n.faults, i, i+1)
		n.changed()
	}
}

// Reset breaks every connection between an endpoint of a and one of b: what is on
// its way is lost, and both handlers are told ErrReset. It returns how many there
// were.
func (n *Network) Reset(a, b []string) int64 {
	other := map[string]bool{}
	for _, name := range b {
		other[name] = true
	}
	var victims []*Conn
	for _, name := range a {
		if d := n.names[name]; d != nil && d.ep != nil {
			for _, c := range d.ep.conns {
				if other[c.peerNode.name] {
					victims = append(victims, c)
				}
			}
		}
	}
	var count int64
	for _, c := range victims {
		if c.state != opening && c.state != open {
			continue // the other end came first
		}
		count++
		c.breakOff()
		if c.peer != nil {
			c.peer.breakOff()
		}
	}
	return count
}
