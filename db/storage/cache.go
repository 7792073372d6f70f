package storage

// blockCache holds parsed blocks, the least recently used of which goes first. It
// is private to an engine: a cache shared by engines would tie simulations of one
// process together.
type blockCache struct {
	limit, held int64
	memory      func(delta int64)
	m           map[blockKey]*cached // looked up, never ranged over
	head        cached               // ring: head.next is the most recently used
}

type blockKey struct{ table, off uint64 }

type cached struct {
	key        blockKey
	k          *block
	prev, next *cached
}

// cachedOverhead is what an entry costs beside its bytes.
const cachedOverhead = 160

func newBlockCache(limit int64, memory func(int64)) *blockCache {
	c := &blockCache{limit: limit, memory: memory, m: map[blockKey]*cached{}}
	c.head.prev, c.head.next = &c.head, &c.head
	return c
}

func (c *blockCache) get(table, off uint64) *block {
	e := c.m[blockKey{table, off}]
	if e == nil {
		return nil
	}
	if c.head.next != e {
		e.prev.next, e.next.prev = e.next, e.prev
		c.front(e)
	}
	return e.k
}

func (c *blockCache) front(e *cached) {
	e.prev, e.next = &c.head, c.head.next
	e.prev.next, e.next.prev = e, e
}

func (c *blockCache) put(table, off uint64, k *block) {
	key := blockKey{table, off}
	if c.m[key] != nil {
		return
	}
	e := &cached{key: key, k: k}
	c.m[key] = e
	c.front(e)
	delta := int64(len(k.b)) + cachedOverhead
	for c.held+delta > c.limit && c.head.prev != e {
		old := c.head.prev
		old.prev.next, old.next.prev = old.next, old.prev
		delete(c.m, old.key)
		delta -= int64(len(old.k.b)) + cachedOverhead
	}
	c.held += delta
	c.memory(delta)
}

// drop forgets everything.
func (c *blockCache) drop() {
	c.memory(-c.held)
	c.held = 0
	c.m = map[blockKey]*cached{}
	c.head.prev, c.head.next = &c.head, &c.head
}
