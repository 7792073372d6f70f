package cluster

import (
	"fmt"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// Config is what a cluster is made of.
type Config struct {
	Topology nemesis.Topology
	// Splits are the clients' keys at which the key space is cut at the start. Range 1,
	// which holds the index of all others, comes on top.
	Splits [][]byte
	// Replicas of each range, one in each region where there are as many regions.
	Replicas int
	Network  network.Config
	Disk     disk.Config
	Memory   int64 // bytes that a node's process may hold; 0: no limit
	Cores    int
	// MaxOffset is how far apart clocks are assumed to be at most.
	MaxOffset time.Duration
	// Offsets are the nodes' wall clocks less true time, at the start, in the order
	// of nodes; missing ones are 0.
	Offsets []time.Duration
	// ClientTimeout is how long a client waits for an answer.
	ClientTimeout time.Duration
	// Observer, if not nil, is told what replicas apply.
	Observer replica.Observer
}

// Cluster is the nodes and clients of one simulation. It implements nemesis.Target.
type Cluster struct {
	sim     *sim.Sim
	cfg     Config
	net     *network.Network
	topo    nemesis.Topology
	nodes   []*Node
	clients []*Client
	byName  map[string]endpoint // looked up only
	ranges  []*kv.RangeDescriptor
	paused  map[string]bool     // by nemesis
	asked   map[asked]*sim.Proc // ranges that nemesis asked for something, and who is at it
	onProbe func(name string, p env.Probe)
}

var _ nemesis.Target = (*Cluster)(nil)

// endpoint is what nodes and clients have in common.
type endpoint interface {
	machineOf() *sim.Machine
	// start boots an incarnation; none may be alive.
	start()
}

// New lays out a cluster in which nothing runs yet.
func New(s *sim.Sim, cfg Config) *Cluster {
	if cfg.ClientTimeout == 0 {
		cfg.ClientTimeout = 5 * time.Second
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 3
	}
	c := &Cluster{sim: s, cfg: cfg, net: network.New(s, cfg.Network), topo: cfg.Topology, byName: map[string]endpoint{}, paused: map[string]bool{}, asked: map[asked]*sim.Proc{}}
	for i, p := range c.topo.All() {
		n := newNode(c, p, kv.NodeID(i+1))
		if i < len(cfg.Offsets) {
			n.machine.Clock().SetOffset(cfg.Offsets[i])
		}
		n.joined = i < len(c.topo.Nodes)
		c.nodes = append(c.nodes, n)
		c.byName[p.Name] = n
	}
	turns := map[string]int{}
	for _, p := range c.topo.Clients {
		cl := newClient(c, p, turns[zoneOf(p)])
		turns[zoneOf(p)]++
		c.clients = append(c.clients, cl)
		c.byName[p.Name] = cl
	}
	c.ranges = layout(c.topo.Nodes, cfg.Splits, cfg.Replicas)
	c.topo.Ranges = len(c.ranges)
	s.OnProbe(func(p *sim.Proc, probe env.Probe, _ int64) {
		if c.onProbe != nil {
			c.onProbe(p.Name(), probe)
		}
	})
	return c
}

// Boot starts every node that is there from the beginning. Ready tells when they serve.
func (c *Cluster) Boot() {
	for _, n := range c.nodes {
		if n.joined {
			n.start()
		}
	}
}

// Ready reports whether every node that is part of the cluster serves requests.
func (c *Cluster) Ready() bool {
	for _, n := range c.nodes {
		if n.Joined() && n.server == nil {
			return false
		}
	}
	return true
}

// Nodes are the machines of database nodes, in order: the spare ones, which may never
// run, after those that are there from the beginning.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Clients are the client endpoints, in order.
func (c *Cluster) Clients() []*Client { return c.clients }

// Ranges are the ranges that the cluster was laid out with.
func (c *Cluster) Ranges() []*kv.RangeDescriptor { return c.ranges }

// Network is what the endpoints are joined by.
func (c *Cluster) Network() *network.Network { return c.net }

// Sim is the simulation that the cluster lives in.
func (c *Cluster) Sim() *sim.Sim { return c.sim }

// Topology implements nemesis.Target.
func (c *Cluster) Topology() nemesis.Topology { return c.topo }

// endpoint panics on a name that is not in the topology: plans are checked before.
func (c *Cluster) endpoint(name string) endpoint {
	e, ok := c.byName[name]
	if !ok {
		panic(fmt.Sprintf("cluster: no endpoint %q", name))
	}
	return e
}

func (c *Cluster) node(name string) *Node {
	n, ok := c.byName[name].(*Node)
	if !ok {
		panic(fmt.Sprintf("cluster: no node %q", name))
	}
	return n
}

// String lists the topology for people: a line a zone.
func (c *Cluster) String() string { return Describe(c.topo) }
