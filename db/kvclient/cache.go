package kvclient

import (
	"sort"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// entry is what is believed about one range.
type entry struct {
	desc *kv.RangeDescriptor
	// lease is the one of the highest sequence that was heard of. holder is who is
	// asked first: its holder at first, nobody once that one did not answer.
	lease  kv.Lease
	holder kv.ReplicaID
}

// learn takes in what somebody said about the lease. It reports whether that was
// news.
func (e *entry) learn(l *kv.Lease) bool {
	if l == nil || l.IsEmpty() || l.Sequence < e.lease.Sequence {
		return false
	}
	if _, ok := e.desc.ReplicaByID(l.Replica.ReplicaID); !ok {
		return false
	}
	news := e.holder != l.Replica.ReplicaID
	e.lease, e.holder = *l, l.Replica.ReplicaID
	return news
}

// cache holds entries that do not overlap, by key. It may have gaps.
type cache struct {
	entries []*entry
}

// after is the position of the first entry that ends above k.
func (c *cache) after(k keys.Key) int {
	return sort.Search(len(c.entries), func(i int) bool { return k.Less(c.entries[i].desc.EndKey) })
}

// find returns the entry of the range that holds k, or nil.
func (c *cache) find(k keys.Key) *entry {
	if i := c.after(k); i < len(c.entries) && !k.Less(c.entries[i].desc.StartKey) {
		return c.entries[i]
	}
	return nil
}

// findBelow returns the entry of the range that holds the keys just below end, or
// nil.
func (c *cache) findBelow(end keys.Key) *entry {
	i := sort.Search(len(c.entries), func(i int) bool { return !c.entries[i].desc.EndKey.Less(end) })
	if i < len(c.entries) && c.entries[i].desc.StartKey.Less(end) {
		return c.entries[i]
	}
	return nil
}

// insert takes a descriptor in, in the place of all that it overlaps, unless one of
// those is newer: generations grow with each change of a range, and both sides of
// a split, or the result of a merge, are newer than what they came from. It reports
// whether the descriptor was news.
func (c *cache) insert(d *kv.RangeDescriptor) bool {
	if d == nil || !d.StartKey.Less(d.EndKey) || len(d.Replicas) == 0 {
		return false
	}
	from := c.after(d.StartKey)
	to := from
	made := &entry{desc: d}
	for ; to < len(c.entries) && c.entries[to].desc.StartKey.Less(d.EndKey); to++ {
		old := c.entries[to]
		if old.desc.Generation >= d.Generation {
			return false
		}
		if old.desc.RangeID == d.RangeID {
			made.learn(&old.lease)
		}
	}
	if to == from {
		c.entries = append(c.entries, nil)
		copy(c.entries[from+1:], c.entries[from:])
		c.entries[from] = made
		return true
	}
	c.entries[from] = made
	c.entries = append(c.entries[:from+1], c.entries[to:]...)
	return true
}

// gap is the descriptor as far as the cache has a gap around the beginning of the span, or
// around its end: there d is the best that is known, though not beyond.
func (c *cache) gap(d *kv.RangeDescriptor, s keys.Span, below bool) *kv.RangeDescriptor {
	i := c.after(s.Key)
	if below {
		i = sort.Search(len(c.entries), func(i int) bool { return !c.entries[i].desc.EndKey.Less(s.EndKey) })
	}
	part := *d
	if i > 0 && part.StartKey.Less(c.entries[i-1].desc.EndKey) {
		part.StartKey = c.entries[i-1].desc.EndKey
	}
	if i < len(c.entries) && c.entries[i].desc.StartKey.Less(part.EndKey) {
		part.EndKey = c.entries[i].desc.StartKey
	}
	return &part
}

// below is the gap that the cache has around the beginning of the span, or around its end,
// and below the range d, as if it belonged to d.
func (c *cache) below(d *kv.RangeDescriptor, s keys.Span, end bool) *kv.RangeDescriptor {
	all := *d
	all.StartKey, all.EndKey = s.Key, d.StartKey
	return c.gap(&all, s, end)
}

// evict removes e, and reports whether it was still there.
func (c *cache) evict(e *entry) bool {
	i := c.after(e.desc.StartKey)
	if i == len(c.entries) || c.entries[i] != e {
		return false
	}
	c.entries = append(c.entries[:i], c.entries[i+1:]...)
	return true
}
