package disk

// SectorSize is the unit, in bytes, that the medium writes atomically: after a
// power loss a sector is wholly old or wholly new.
const SectorSize = 512

// PageSize is the unit, in bytes, in which space is allocated and accounted.
const PageSize = 4096

const sectorsPerPage = PageSize / SectorSize

// content is what one file holds: the page cache, and beside it whatever is
// needed to know what the medium holds.
//
// The page cache is complete; the medium is described by difference. Only a
// sector that is dirty has an entry, which keeps the image that is durable. Thus
// a write costs one saved image a sector, a sync costs one step a dirty sector,
// and a clean file costs nothing beyond its bytes. The mirror design, a second
// copy of the file that each sync refreshes, is simpler and makes a log of n
// synced appends cost n² bytes.
//
// The size of a file never shrinks: vfs.FS has no truncation (Create makes a new
// inode), except by a power loss.
type content struct {
	pages       []page
	allocated   int64 // pages whose data is not nil
	size        int64 // bytes, as the page cache has it
	durableSize int64 // bytes, as the medium has it; <= size

	gen   uint64        // number of syncs begun
	fresh int64         // sectors written since the last sync began
	dirty []dirtySector // in the order in which they became dirty

	modified int64 // wall time of the last write, ns since 1970
	images   *imagePool
}

// page is PageSize bytes of cache. slot[i] is 0 when sector i is clean, and
// otherwise 1 + the index of its entry in content.dirty.
type page struct {
	data *[PageSize]byte // nil: a hole, reads as zeros
	slot [sectorsPerPage]int32
}

// dirtySector describes a sector whose durable image is not (known to be) what
// the cache holds.
type dirtySector struct {
	index int64
	// gen is content.gen at the last write. Syncs with a mark >= gen cover it.
	gen uint64
	// lost: the sync that covered the sector failed. The kernel has marked it
	// clean, so no later sync writes it, unless it is written again.
	lost bool
	old  *image // what is durable; nil: zeros
	// versions are older contents that syncs in flight are writing, oldest first.
	versions *image
}

// image is the content of one sector at a past moment.
type image struct {
	bytes [SectorSize]byte
	gen   uint64 // generation of its last write
	next  *image
}

// imagePool recycles images, because a log rewrites its last sector at every
// append. One pool serves one volume: simulations share nothing.
type imagePool struct{ free *image }

func (l *imagePool) get() *image {
	if m := l.free; m != nil {
		l.free, m.next = m.next, nil
		return m
	}
	return new(image)
}

// put returns a whole chain.
func (l *imagePool) put(m *image) {
	for m != nil {
		next := m.next
		m.next, l.free = l.free, m
		m = next
	}
}

// mark is the moment at which a sync was called: what it covers.
type mark struct {
	gen   uint64
	size  int64
	bytes int64 // that the device must write
}

// sectorBytes is the cached content of a sector of an allocated page.
func (pg *page) sectorBytes(index int64) []byte {
	at := index % sectorsPerPage * SectorSize
	return pg.data[at : at+SectorSize : at+SectorSize]
}

// room is how many of the n bytes at off can be written when no more than free
// pages may be allocated.
func (c *content) room(off int64, n int, free int64) int {
	if free >= int64(n)/PageSize+2 {
		return n
	}
	for at := off; at < off+int64(n); at = (at/PageSize + 1) * PageSize {
		if i := at / PageSize; i < int64(len(c.pages)) && c.pages[i].data != nil {
			continue
		}
		if free--; free < 0 {
			return int(at - off)
		}
	}
	return n
}

// write puts p into the cache at off and returns how many pages it allocated.
func (c *content) write(p []byte, off int64) (allocated int64) {
	if len(p) == 0 {
		return 0
	}
	end := off + int64(len(p))
	if need := int((end+PageSize-1)/PageSize) - len(c.pages); need > 0 {
		c.pages = append(c.pages, make([]page, need)...)
	}
	for len(p) > 0 {
		pg := &c.pages[off/PageSize]
		if pg.data == nil {
			pg.data = new([PageSize]byte)
			allocated++
		}
		at := int(off % PageSize)
		n := min(len(p), PageSize-at)
		for s := off / SectorSize; s <= (off+int64(n)-1)/SectorSize; s++ {
			c.touch(pg, s)
		}
		copy(pg.data[at:], p[:n])
		p, off = p[n:], off+int64(n)
	}
	c.size = max(c.size, end)
	c.allocated += allocated
	return allocated
}

// touch notes that a sector is about to be overwritten.
func (c *content) touch(pg *page, index int64) {
	k := pg.slot[index%sectorsPerPage]
	if k == 0 {
		e := dirtySector{index: index, gen: c.gen}
		if index*SectorSize < c.size { // beyond the end there are only zeros
			e.old = c.save(pg, index, 0)
		}
		c.dirty = append(c.dirty, e)
		pg.slot[index%sectorsPerPage] = int32(len(c.dirty))
		c.fresh++
		return
	}
	e := &c.dirty[k-1]
	if e.gen == c.gen && !e.lost {
		return
	}
	if !e.lost { // a sync in flight is writing the content as it is now
		last := &e.versions
		for *last != nil {
			last = &(*last).next
		}
		*last = c.save(pg, index, e.gen)
	}
	e.lost, e.gen = false, c.gen
	c.fresh++
}

func (c *content) save(pg *page, index int64, gen uint64) *image {
	m := c.images.get()
	m.gen = gen
	copy(m.bytes[:], pg.sectorBytes(index))
	return m
}

// readAt copies cached bytes into p and returns how many there were.
func (c *content) readAt(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	total := len(p)
	for len(p) > 0 {
		at := int(off % PageSize)
		n := min(len(p), PageSize-at)
		if i := off / PageSize; i < int64(len(c.pages)) && c.pages[i].data != nil {
			copy(p[:n], c.pages[i].data[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
	return total
}

// begin marks the moment of a sync. Later writes are not covered by it.
func (c *content) begin() mark {
	m := mark{gen: c.gen, size: c.size, bytes: c.fresh * SectorSize}
	c.gen++
	c.fresh = 0
	return m
}

// complete makes durable what m covers. Syncs may complete in any order: a later
// mark covers all that an earlier one does.
func (c *content) complete(m mark) {
	keep := c.dirty[:0]
	for i := range c.dirty {
		e := c.dirty[i]
		if !e.lost && e.gen <= m.gen {
			c.images.put(e.old)
			c.images.put(e.versions)
			*c.slot(e.index) = 0
			continue
		}
		for v := e.versions; v != nil && v.gen <= m.gen; v = e.versions {
			c.images.put(e.old)
			e.old, e.versions, v.next = v, v.next, nil
		}
		keep = append(keep, e)
		*c.slot(e.index) = int32(len(keep))
	}
	clear(c.dirty[len(keep):])
	c.dirty = keep
	c.durableSize = max(c.durableSize, m.size)
}

// fail gives up what m covers, as kernels do: it counts as clean from now on, and
// yet the medium may still hold the old. The size is metadata, which stays due:
// a later sync makes it durable, with the lost sectors inside it.
func (c *content) fail(m mark) {
	for i := range c.dirty {
		e := &c.dirty[i]
		if e.gen <= m.gen {
			e.lost = true
		}
	}
}

func (c *content) slot(index int64) *int32 {
	return &c.pages[index/sectorsPerPage].slot[index%sectorsPerPage]
}

// durable is a copy of what the medium is sure to hold.
func (c *content) durable() []byte {
	b := make([]byte, c.size)
	c.readAt(b, 0)
	for i := range c.dirty {
		e := &c.dirty[i]
		part := b[min(e.index*SectorSize, c.size):min((e.index+1)*SectorSize, c.size)]
		if e.old == nil {
			clear(part)
		} else {
			copy(part, e.old.bytes[:])
		}
	}
	return b[:c.durableSize]
}
