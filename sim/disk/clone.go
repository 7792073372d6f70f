package disk

import (
	"slices"

	"simulacrum/sim"
)

// Clone makes another disk in the same state: cache, medium, and what is between
// them. It has no mount and no faults, and syncs in line at d are to it as if never
// called. A test can thus try a power loss, and the recovery from it, at any moment
// of a run that goes on: the clone may belong to another simulation.
func (d *Disk) Clone(s *sim.Sim, name string) *Disk {
	c := New(s, name, d.cfg)
	to := cloning{from: d.volume, to: c.volume, done: make(map[*inode]*inode)}
	to.volume()
	c.digest = d.digest
	return c
}

// cloning copies one volume. Inodes are reached by many names and copied once.
type cloning struct {
	from, to *volume
	done     map[*inode]*inode
}

func (c *cloning) volume() {
	c.to.root = c.inode(c.from.root)
	c.to.lastID = c.from.lastID
	c.to.journal.next = c.from.journal.next
	for _, op := range c.from.journal.ops {
		for i := range op.changes[:op.n] {
			ch := &op.changes[i]
			ch.dir, ch.to = c.inode(ch.dir), c.inode(ch.to)
		}
		c.to.journal.ops = append(c.to.journal.ops, op)
	}
	c.to.pages = c.from.pages
	for _, n := range c.from.orphans { // handles do not come along
		c.to.pages -= n.file.allocated
	}
}

func (c *cloning) inode(n *inode) *inode {
	if n == nil {
		return nil
	}
	if m := c.done[n]; m != nil {
		return m
	}
	m := &inode{id: n.id, links: n.links}
	c.done[n] = m
	if n.dir == nil {
		m.file = n.file.clone(&c.to.images)
		return m
	}
	m.dir = &directory{live: c.entries(n.dir.live), durable: c.entries(n.dir.durable)}
	return m
}

func (c *cloning) entries(from map[string]*inode) map[string]*inode {
	to := make(map[string]*inode, len(from))
	for _, name := range names(from) {
		to[name] = c.inode(from[name])
	}
	return to
}

func (c *content) clone(images *imagePool) content {
	to := *c
	to.images = images
	to.pages = slices.Clone(c.pages)
	for i := range to.pages {
		if data := to.pages[i].data; data != nil {
			copied := *data
			to.pages[i].data = &copied
		}
	}
	to.dirty = slices.Clone(c.dirty)
	for i := range to.dirty {
		e := &to.dirty[i]
		e.old, e.versions = e.old.clone(), e.versions.clone()
	}
	return to
}

func (m *image) clone() *image {
	if m == nil {
		return nil
	}
	to := *m
	to.next = m.next.clone()
	return &to
}
