package disk

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// survival draws what of a set of unsynced things a power loss keeps. Drawing each
// thing by itself alone would, for a hundred things, never show the cases that
// find most mistakes: all kept, none, or the first few.
type survival struct {
	r      *rand.Rand
	prefix int // things that are kept before the rest is dropped; -1: draw each
	chance int // of 256, when each is drawn
}

func drawSurvival(r *rand.Rand, n int) survival {
	switch r.IntN(8) {
	case 0:
		return survival{r, 0, 0}
	case 1:
		return survival{r, n, 0}
	case 2, 3:
		return survival{r, r.IntN(n + 1), 0}
	default:
		return survival{r, -1, 16 + r.IntN(224)}
	}
}

func (s *survival) keeps(i int) bool {
	if s.prefix >= 0 {
		return i < s.prefix
	}
	return s.r.IntN(256) < s.chance
}

// powerLoss turns the volume into what a machine finds when the power is back:
// first the directories, then the content of every file that still has a name.
// It reports how many sectors and directory operations were lost.
func (v *volume) powerLoss(r *rand.Rand) (sectors, operations int) {
	operations = v.journal.powerLoss(r)
	for _, n := range v.restart() {
		if n.dir == nil && (len(n.file.dirty) > 0 || n.file.size != n.file.durableSize) {
			sectors += n.file.powerLoss(r)
		}
		v.pages += n.file.allocated
	}
	return sectors, operations
}

// powerLoss makes durable the operations that survive and forgets the rest. An
// operation is dropped with an earlier one that it depends on.
func (j *journal) powerLoss(r *rand.Rand) (lost int) {
	if len(j.ops) == 0 {
		return 0
	}
	s := drawSurvival(r, len(j.ops))
	dropped := make(map[entryName]bool)
	for i := range j.ops {
		op := &j.ops[i]
		if kept := s.keeps(i); kept && !op.in(dropped) {
			op.persist()
		} else {
			op.addTo(dropped)
			lost++
		}
	}
	j.truncate(j.ops[:0])
	return lost
}

// restart makes the durable tree the live one, and returns its inodes in the
// order of their numbers. Nothing is open; the space of all else is free.
func (v *volume) restart() []*inode {
	seen := make(map[uint64]bool)
	var all []*inode
	var visit func(n *inode)
	visit = func(n *inode) {
		n.links++
		if seen[n.id] {
			return
		}
		seen[n.id] = true
		n.links, n.opens = 1, 0
		all = append(all, n)
		if n.dir == nil {
			return
		}
		clear(n.dir.live)
		for _, name := range names(n.dir.durable) {
			child := n.dir.durable[name]
			n.dir.live[name] = child
			visit(child)
		}
	}
	visit(v.root)
	v.orphans, v.pages = nil, 0
	slices.SortFunc(all, func(a, b *inode) int { return cmp.Compare(a.id, b.id) })
	return all
}

// powerLoss draws for each unsynced sector which of its contents is on the medium,
// then a size, and makes the result the content. It returns the number of sectors
// whose newest content was lost.
func (c *content) powerLoss(r *rand.Rand) (lost int) {
	s := drawSurvival(r, len(c.dirty))
	end := c.durableSize
	kept := make([]bool, len(c.dirty))
	for i := range kept { // in the order of writing, for which a prefix means something
		kept[i] = s.keeps(i)
	}
	for i := range c.dirty {
		e := &c.dirty[i]
		version := e.old
		if kept[i] {
			end = max(end, min((e.index+1)*SectorSize, c.size))
			version = e.pick(r)
		}
		if version != nil || !kept[i] {
			lost++
			pg := &c.pages[e.index/sectorsPerPage]
			if version != nil {
				copy(pg.sectorBytes(e.index), version.bytes[:])
			} else {
				clear(pg.sectorBytes(e.index))
			}
		}
		*c.slot(e.index) = 0
		c.images.put(e.old)
		c.images.put(e.versions)
	}
	clear(c.dirty)
	c.dirty, c.fresh = c.dirty[:0], 0
	switch r.IntN(4) {
	case 0: // the data arrived, the size did not
		end = c.durableSize
	case 1: // the size arrived, whatever of the data did
		end = c.size
	}
	c.truncate(end)
	return lost
}

// pick draws among the unsynced contents of a sector: nil is the newest, which the
// cache holds, and the others are what syncs in flight were writing.
func (e *dirtySector) pick(r *rand.Rand) *image {
	if e.versions == nil {
		return nil
	}
	n := 0
	for v := e.versions; v != nil; v = v.next {
		n++
	}
	v := e.versions
	for k := r.IntN(n + 1); k > 0 && v != nil; k-- {
		v = v.next
	}
	return v
}

// truncate makes size the durable size. What lies beyond reads as zeros if the
// file grows again.
func (c *content) truncate(size int64) {
	c.size, c.durableSize = size, size
	whole := int((size + PageSize - 1) / PageSize)
	for i := whole; i < len(c.pages); i++ {
		if c.pages[i].data != nil {
			c.allocated--
		}
	}
	if whole < len(c.pages) {
		clear(c.pages[whole:])
		c.pages = c.pages[:whole]
	}
	if in := size % PageSize; in != 0 && whole <= len(c.pages) {
		if data := c.pages[whole-1].data; data != nil {
			clear(data[in:])
		}
	}
}
