package network

import (
	"math/rand/v2"
	"time"

	"simulacrum/sim"
)

// link is one direction between two endpoints.
type link struct {
	net      *Network
	from, to *node
	rand     *rand.Rand // of the link's own name: its jitter
	fates    *rand.Rand // draws for faults, apart; nil until one is in force
	base     time.Duration
	jitter   time.Duration
	speed    int64 // bytes a second
	idleAt   sim.Time
	traffic  *Traffic // of the pair of regions

	placed bool // the locations of both ends are known

	// The faults in force, as of epoch.
	epoch   uint64
	cut     *cut
	degrade []*degrade

	// What is kept back.
	listed  bool      // in Network.blocked
	waiting []*stream // that cannot send
	unacked []*stream // of the other direction, whose acknowledgements are cut off
	held    []*packet
}

// link returns the link between two nodes, and makes it when it is first used.
func (n *Network) link(from, to *node) *link {
	for len(from.out) <= to.id {
		from.out = append(from.out, nil)
	}
	l := from.out[to.id]
	if l == nil {
		l = n.newLink(from, to)
		from.out[to.id] = l
	}
	return l
}

func (n *Network) newLink(from, to *node) *link {
	l := &link{
		net: n, from: from, to: to,
		rand:  n.sim.Rand("net/" + from.name + ">" + to.name),
		epoch: n.epoch - 1,
	}
	l.place()
	return l
}

// place gives the link what follows from where its ends stand. A link to a name
// that was never attached is placed again when that is known.
func (l *link) place() {
	n := l.net
	d := n.cfg.distance(l.from.loc, l.to.loc)
	l.placed = l.from.known && l.to.known
	l.jitter, l.speed = d.jitter, n.cfg.Bandwidth
	if d.wide {
		l.speed = n.cfg.WideBandwidth
	}
	l.traffic = n.pair(l.from.loc.Region, l.to.loc.Region)
	l.base = d.min + draw(l.rand, d.max-d.min)
	if l.from == l.to {
		l.base, l.jitter = 20*time.Microsecond, 0
	}
}

// rto is how long a sender waits for an acknowledgement before it sends again.
func (l *link) rto() time.Duration { return max(l.net.cfg.RTO, 3*l.base) }

// noise is a draw of jitter: mostly small (the product of two uniform draws), and
// once in about a thousand times up to eight times its scale.
func (l *link) noise() time.Duration {
	u := l.rand.Uint64()
	x := (u & 0xffff) * (u >> 16 & 0xffff) >> 16
	d := time.Duration(uint64(l.jitter) * x >> 16)
	if u>>32&1023 == 0 {
		d *= 8
	}
	return d
}

// trip is how one segment or packet fared.
type trip struct {
	arrival sim.Time
	lost    bool // for good
	corrupt bool
	flip    uint64 // a draw: which bit
}

// travel puts size bytes on the link, no sooner than at. Lost bytes are sent again
// (which takes time) if the sender does so.
func (l *link) travel(at sim.Time, size int64, again bool) trip {
	l.refresh()
	if len(l.degrade) > 0 {
		return l.travelDegraded(at, size, again)
	}
	start := max(at, l.idleAt)
	l.idleAt = start.Add(time.Duration(size * 1e9 / l.speed))
	return trip{arrival: l.idleAt.Add(l.base + l.noise())}
}

func (l *link) travelDegraded(at sim.Time, size int64, again bool) trip {
	speed, delay, copies := l.speed, l.base+l.noise(), int64(1)
	var t trip
	for _, f := range l.degrade {
		touched := f.Delay > 0 || f.Jitter > 0
		delay += f.Delay + draw(l.fates, f.Jitter)
		if f.Bandwidth > 0 && f.Bandwidth < speed {
			speed, touched = f.Bandwidth, true
		}
		if l.happens(f.Reorder) {
			delay += draw(l.fates, 4*l.base+2*time.Millisecond)
			touched = true
		}
		if l.happens(f.Duplicate) {
			copies++
			l.net.stats.Duplicated++
			touched = true
		}
		if again && l.happens(f.Corrupt) {
			t.corrupt, t.flip, touched = true, l.fates.Uint64(), true
		}
		for rto := l.rto(); l.happens(f.Loss); rto *= 2 {
			touched = true
			if delay += rto; !again || delay > l.net.cfg.Timeout {
				t.lost = true
				break
			}
			l.net.stats.Retransmitted++
		}
		if touched {
			f.count++
		}
	}
	start := max(at, l.idleAt)
	each := time.Duration(size * 1e9 / speed)
	l.idleAt = start.Add(each * time.Duration(copies))
	t.arrival = start.Add(each + delay)
	return t
}

// happens draws whether something does that has the given chance in a million.
func (l *link) happens(ppm int64) bool {
	return ppm > 0 && l.fates.Int64N(1_000_000) < ppm
}

// refresh looks at the faults in force, if they changed. It is small so that the
// compiler inlines it: it is asked twice a message.
func (l *link) refresh() {
	if l.epoch != l.net.epoch {
		l.look()
	}
}

func (l *link) look() {
	n := l.net
	l.epoch = n.epoch
	if !l.placed {
		l.place()
	}
	l.cut, l.degrade = nil, l.degrade[:0]
	for _, f := range n.faults {
		if f.covers(l.from.name, l.to.name) {
			f.apply(l)
		}
	}
	if len(l.degrade) > 0 {
		l.drawFates()
	}
}

// drawFates makes the stream that faults draw from. It is apart from the jitter's,
// so that a fault shifts no other draw.
func (l *link) drawFates() *rand.Rand {
	if l.fates == nil {
		l.fates = l.net.sim.Rand("net/" + l.from.name + ">" + l.to.name + "/fates")
	}
	return l.fates
}

// drops reports whether a cut loses what is sent now.
func (l *link) drops() bool {
	l.refresh()
	return l.cut != nil && l.cut.mode == Drop
}

// block lists a link that keeps something back.
func (n *Network) block(l *link) {
	if !l.listed {
		l.listed = true
		n.blocked = append(n.blocked, l)
	}
}

// changed is called when faults were begun or healed: links that are free again
// let go of what they kept, and what a new cut drops begins to time out.
func (n *Network) changed() {
	n.epoch++
	blocked := n.blocked
	n.blocked = nil
	for _, l := range blocked {
		l.listed = false
		l.reconsider()
	}
}

func (l *link) reconsider() {
	l.refresh()
	if l.cut != nil && l.cut.mode == Hold {
		l.net.block(l)
		l.acknowledge()
		return
	}
	if l.cut != nil {
		l.net.block(l)
		for _, st := range l.waiting {
			st.hurt = true
			st.armTimeout()
		}
		l.release()
		return
	}
	l.acknowledge()
	waiting := l.waiting
	l.waiting = nil
	for _, st := range waiting {
		st.unblocked()
	}
	// Resets come after what they follow, though they may still overtake it: the
	// process on the other end learns either way that it cannot know.
	l.release()
}

// release sends the packets that were held on their way, or loses them.
func (l *link) release() {
	held := l.held
	l.held = nil
	for _, p := range held {
		l.net.send(p)
	}
}

// acknowledge lets acknowledgements pass again. A hold delays them, and breaks
// nothing.
func (l *link) acknowledge() {
	unacked := l.unacked
	l.unacked = nil
	for _, st := range unacked {
		st.noAck = false
		if st.motion == flowing {
			st.disarmTimeout()
		}
	}
}
