package cluster

import (
	"fmt"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/db/server"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

// A node's identity belongs to its disk, not to its machine: whoever starts on an empty
// disk has never promised anything, and must not be taken for the one who has. n3's
// first disk is node 3, its second one node 1003.
const idsPerDisk = 1000

// Joined reports whether the node is part of the cluster: from the beginning, or since it
// was added, and until it is decommissioned.
func (n *Node) Joined() bool { return n.joined && !n.left }

// Left reports whether the node was decommissioned and has ended.
func (n *Node) Left() bool { return n.left }

// ID is the identity that goes with the node's present disk.
func (n *Node) ID() kv.NodeID { return n.id }

// NodeOf is the node that has an identity now; nil if its disk is lost, or there is none.
func (c *Cluster) NodeOf(id kv.NodeID) *Node {
	i := (int(id) - 1) % idsPerDisk
	if id < 1 || i >= len(c.nodes) || c.nodes[i].id != id {
		return nil
	}
	return c.nodes[i]
}

// ServerOf is the running server of a node; nil if there is none.
func (c *Cluster) ServerOf(id kv.NodeID) *server.Server {
	if n := c.NodeOf(id); n != nil {
		return n.server
	}
	return nil
}

// joinBy is how many nodes are named to each node that is started.
const joinBy = 3

// join names those nodes, as far apart as can be, as an operator would. They tell of all
// others.
func (c *Cluster) join() []string {
	var places []nemesis.Place
	for _, n := range c.nodes {
		if n.Joined() {
			places = append(places, n.place)
		}
	}
	var names []string
	for _, i := range spread(places, 0, joinBy) {
		names = append(names, places[i].Name)
	}
	return names
}

// Join implements nemesis.Target.
func (c *Cluster) Join(name string) bool {
	n := c.node(name)
	if n.joined {
		return false
	}
	n.joined = true
	c.tellClients()
	return true
}

// tellClients has the clients know of the nodes that are part of the cluster, as a
// directory of services would.
func (c *Cluster) tellClients() {
	for _, cl := range c.clients {
		if cl.session != nil && cl.machine.Proc() != nil {
			cl.session.remote.Gateways().Set(cl.gateways())
		}
	}
}

// LoseDisk implements nemesis.Target.
func (c *Cluster) LoseDisk(name string) (spared string) {
	n := c.node(name)
	if !n.Joined() {
		return name + " was not there"
	}
	if r := c.bereaves(n); r != "" {
		return fmt.Sprintf("without the disk of %s most voters of %s would be lost", name, r)
	}
	c.PowerLoss([]string{name})
	n.kept = nil
	n.disks++
	n.id += idsPerDisk
	n.disk = disk.New(c.sim, fmt.Sprintf("%s/disk%d", name, n.disks), c.cfg.Disk)
	return ""
}

// Drain implements nemesis.Target.
func (c *Cluster) Drain(name string) bool {
	return c.node(name).end("drain", func(t env.Task, s *server.Server) {
		s.Stop(t)
	})
}

// leaving is a node that is being emptied.
type leaving struct {
	node *Node
	id   kv.NodeID
	by   *sim.Proc // who is at it
	done int64
}

// Heal implements nemesis.Effect: a node that leaves leaves.
func (l *leaving) Heal() {}

// Count implements nemesis.Effect.
func (l *leaving) Count() int64 { return l.done }

// leaveEvery is how often it is looked at who has a node emptied.
const leaveEvery = time.Second

// Decommission implements nemesis.Target. As an operator would, somebody asks any living
// node to do it, and another one when that dies over it.
func (c *Cluster) Decommission(name string) nemesis.Effect {
	l := &leaving{node: c.node(name)}
	l.id = l.node.id
	c.attend(l)
	return l
}

// attend sees to it that somebody empties the node, until it has left. One whose disk was
// lost has nothing left to move.
func (c *Cluster) attend(l *leaving) {
	if !l.node.Joined() || l.node.id != l.id {
		return
	}
	if l.by == nil || !l.by.Alive() {
		c.ask(l)
	}
	c.sim.Schedule(leaveEvery, "nemesis: "+l.node.Name()+" leaves", func() { c.attend(l) })
}

// ask has the first living node but the one that leaves begin, or go on.
func (c *Cluster) ask(l *leaving) {
	for _, n := range c.nodes {
		if n == l.node || n.server == nil {
			continue
		}
		p, d := n.machine.Proc(), n.server
		l.by = p
		p.Go("nemesis: decommissions "+l.node.Name(), func(t env.Task) {
			if err := d.Decommission(t, l.id); err != nil {
				p.Log("decommissioning n%d: %v", l.id, err)
				l.by = nil
				return
			}
			c.left(l)
		})
		return
	}
}

// left ends a node that holds nothing any more.
func (c *Cluster) left(l *leaving) {
	if l.node.id != l.id || l.node.left {
		return
	}
	l.node.left = true
	c.tellClients()
	l.done++
	l.node.stop()
}

// Replicas implements nemesis.Target.
func (c *Cluster) Replicas(name string) []string {
	var all []string
	if n, ok := c.byName[name].(*Node); ok && n.server != nil {
		n.server.Store().VisitReplicas(func(r *replica.Replica) bool {
			all = append(all, fmt.Sprintf("r%d", r.RangeID()))
			return true
		})
	}
	return all
}
