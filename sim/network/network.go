package network

import (
	"fmt"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
)

// Network joins the endpoints of one simulation.
type Network struct {
	sim   *sim.Sim
	cfg   Config
	names map[string]*node // looked up only
	conns uint64           // numbers connections, for the trace

	faults  []fault // in force, oldest first
	epoch   uint64  // changes with faults, so that links look at them again
	blocked []*link // links that keep something back

	free   []*segment // for reuse: in its stride, sending allocates nothing
	stats  Totals
	labels map[string]*Traffic // looked up; listed sorted
	pairs  map[[2]string]*Traffic
}

// New returns a network without endpoints.
func New(s *sim.Sim, cfg Config) *Network {
	return &Network{
		sim:    s,
		cfg:    cfg.withDefaults(),
		names:  map[string]*node{},
		labels: map[string]*Traffic{},
		pairs:  map[[2]string]*Traffic{},
	}
}

// node is what outlives incarnations: the host of an endpoint, as far as the
// network knows it.
type node struct {
	id      int
	name    string
	loc     Location
	known   bool      // loc is
	up      bool      // the host answers, if only to refuse
	ep      *Endpoint // the latest incarnation, perhaps dead; or nil
	out     []*link   // by the id of the other node; nil if never used
	waiting []*stream // that got no answer since the host is down
}

func (n *Network) node(name string) *node {
	d, ok := n.names[name]
	if !ok {
		d = &node{id: len(n.names), name: name}
		n.names[name] = d
	}
	return d
}

// Attach brings a new incarnation of an endpoint into the network, under the name
// of its process. The one before it must be dead.
func (n *Network) Attach(p *sim.Proc, loc Location) *Endpoint {
	d := n.node(p.Name())
	if d.ep != nil && d.ep.proc.Alive() {
		panic("network: " + d.name + " is attached already")
	}
	if d.known && d.loc != loc {
		panic(fmt.Sprintf("network: %s moved from %v to %v", d.name, d.loc, loc))
	}
	if !d.known {
		n.epoch++ // links that were made before look again
	}
	d.loc, d.known, d.up = loc, true, true
	ep := &Endpoint{net: n, node: d, proc: p}
	d.ep = ep
	p.OnDeath(ep.died)
	waiting := d.waiting
	d.waiting = nil
	for _, st := range waiting {
		st.retryLater()
	}
	return ep
}

// PowerOff makes the hosts of the named endpoints fall silent: called before their
// processes are killed, it keeps them from resetting their connections, and until
// the next Attach nobody there refuses a dial.
func (n *Network) PowerOff(names ...string) {
	for _, name := range names {
		d := n.node(name)
		d.up = false
		if d.ep != nil {
			d.ep.silent = true
		}
	}
}

// packet is what travels outside streams, and is not sent again by itself.
type packet struct {
	link   *link
	label  string
	proc   *sim.Proc // whose event the arrival is; nil: the world's
	arrive func()
	lost   func() // may be nil
}

// packetSize is the length of a packet on the wire, in bytes.
const packetSize = 64

// send lets a packet travel, unless a fault has it.
func (n *Network) send(p *packet) {
	l := p.link
	if n.intercept(p) {
		return
	}
	now := n.sim.Now()
	trip := l.travel(now, packetSize, false)
	if trip.lost {
		n.lose(p)
		return
	}
	d := trip.arrival.Sub(now)
	if p.proc == nil {
		n.sim.Schedule(d, p.label, func() { n.arrived(p) })
	} else {
		p.proc.Schedule(d, p.label, func() { n.arrived(p) })
	}
}

func (n *Network) arrived(p *packet) {
	if !n.intercept(p) {
		p.arrive()
	}
}

// intercept keeps back or drops a packet whose link is cut.
func (n *Network) intercept(p *packet) bool {
	l := p.link
	l.refresh()
	if l.cut == nil {
		return false
	}
	l.cut.count++
	if l.cut.mode == Drop {
		n.lose(p)
		return true
	}
	l.held = append(l.held, p)
	n.block(l)
	return true
}

func (n *Network) lose(p *packet) {
	if p.lost != nil {
		p.lost()
	}
}

// reset sends an RST to one end of a connection.
func (n *Network) reset(from *node, to *Conn, lost func()) {
	n.stats.Resets++
	n.send(&packet{
		link: n.link(from, to.ep.node), label: "net.reset", proc: to.ep.proc,
		arrive: func() { to.fail(env.ErrReset) },
		lost:   lost,
	})
}

// draw is between 0 and d, both included.
func draw(r interface{ Int64N(int64) int64 }, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(r.Int64N(int64(d) + 1))
}
