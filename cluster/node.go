package cluster

import (
	"slices"

	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/db/server"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/sim/network"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Node is one database node: a machine, its disk, and the server that runs there
// when one does.
type Node struct {
	cluster  *Cluster
	place    nemesis.Place
	id       kv.NodeID // of the present disk
	disks    int       // that were lost before it
	joined   bool      // it is, or was, part of the cluster
	left     bool      // it was decommissioned, for good
	machine  *sim.Machine
	disk     *disk.Disk
	server   *server.Server // nil while down or starting
	kept     []held         // what it had when it went down
	stopping *sim.Proc      // the incarnation that was asked to stop
	deaths   []string       // why each incarnation ended
}

func newNode(c *Cluster, p nemesis.Place, id kv.NodeID) *Node {
	return &Node{
		cluster: c,
		place:   p,
		id:      id,
		machine: c.sim.Machine(p.Name, sim.MachineConfig{Region: p.Region, Zone: p.Zone, Cores: c.cfg.Cores, Memory: c.cfg.Memory}),
		disk:    disk.New(c.sim, p.Name, c.cfg.Disk),
	}
}

// procEnv is an env.Env put together: the kernel's part, the network's, the disk's.
type procEnv struct {
	*sim.Proc
	*network.Endpoint
	fs vfs.FS
}

var _ env.Env = (*procEnv)(nil)

// FS implements env.Env.
func (e *procEnv) FS() vfs.FS { return e.fs }

// newEnv starts an incarnation on a machine. d is nil for endpoints without a disk.
func (c *Cluster) newEnv(m *sim.Machine, label string, d *disk.Disk) *procEnv {
	p := m.Start(label)
	cfg := m.Config()
	e := &procEnv{Proc: p, Endpoint: c.net.Attach(p, network.Location{Region: cfg.Region, Zone: cfg.Zone})}
	if d != nil {
		e.fs = d.Mount(p)
	}
	return e
}

// Name is the node's, such as "n3".
func (n *Node) Name() string { return n.place.Name }

// Place is where the node stands.
func (n *Node) Place() nemesis.Place { return n.place }

// Server is the running server, or nil.
func (n *Node) Server() *server.Server { return n.server }

// Disk is the node's disk.
func (n *Node) Disk() *disk.Disk { return n.disk }

// Deaths lists why each incarnation so far ended.
func (n *Node) Deaths() []string { return n.deaths }

func (n *Node) machineOf() *sim.Machine { return n.machine }

// start boots an incarnation on what is left of the disk.
func (n *Node) start() {
	e := n.cluster.newEnv(n.machine, "server", n.disk)
	e.OnDeath(func() {
		n.kept = n.copies()
		n.server = nil
		n.deaths = append(n.deaths, e.Reason())
	})
	e.Go("boot", func(t env.Task) {
		s, err := server.Start(t, e, n.serverConfig())
		if err != nil {
			e.Fatal(err)
		}
		n.server = s
	})
}

// serverConfig is the node's own copy of what all are configured with.
func (n *Node) serverConfig() server.Config {
	var ranges []*kv.RangeDescriptor
	for _, d := range n.cluster.ranges {
		own := *d
		own.StartKey, own.EndKey, own.Replicas = slices.Clone(d.StartKey), slices.Clone(d.EndKey), slices.Clone(d.Replicas)
		ranges = append(ranges, &own)
	}
	return server.Config{
		NodeID:         n.id,
		MaxOffset:      n.cluster.cfg.MaxOffset,
		Ranges:         ranges,
		Cluster:        1,
		Join:           n.cluster.join(),
		Locality:       placement.Locality{{Name: "region", Value: n.place.Region}, {Name: "zone", Value: zoneOf(n.place)}},
		Observer:       n.cluster.cfg.Observer,
		Decommissioned: func() { n.machine.Kill("decommissioned") },
	}
}

// stop asks the server to end in order, and ends the process when it has.
func (n *Node) stop() bool {
	return n.end("stop", func(t env.Task, s *server.Server) { s.Stop(t) })
}

// end has the server end in a given order, and ends the process when it has.
func (n *Node) end(label string, how func(t env.Task, s *server.Server)) bool {
	p := n.machine.Proc()
	if p == nil || p == n.stopping {
		return false // down, or on its way there: a slow node takes its time
	}
	n.stopping = p
	s := n.server
	if s == nil {
		n.machine.Kill("stopped while starting")
		return true
	}
	p.Go(label, func(t env.Task) {
		how(t, s)
		n.machine.Kill("stopped")
	})
	return true
}
