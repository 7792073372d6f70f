package concurrency

import (
	"fmt"
	"strings"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// ReadMark is the highest timestamp at which something was read, and by whom. The
// zero TxnID is nobody in particular: then the mark holds for all transactions.
type ReadMark struct {
	TS  hlc.Timestamp
	Txn keys.TxnID
}

// Join is the higher of two marks. If they are equal, and of different owners, the
// owner becomes nobody: neither may write at that timestamp, where the other one has
// read. Join is commutative, associative and idempotent, so that marks may be joined
// in any order and any number of times.
func (m ReadMark) Join(o ReadMark) ReadMark {
	switch {
	case m.TS.Less(o.TS):
		return o
	case m.TS == o.TS && m.Txn != o.Txn:
		m.Txn = keys.TxnID{}
	}
	return m
}

// Allows is the lowest timestamp at or above ts at which txn (zero: no transaction)
// may write under the mark: above what others have read.
func (m ReadMark) Allows(ts hlc.Timestamp, txn keys.TxnID) hlc.Timestamp {
	if m.TS.Less(ts) || m.Txn == txn && txn != (keys.TxnID{}) {
		return ts.Forward(m.TS) // its own read is no obstacle at the timestamp itself
	}
	return m.TS.Next()
}

// String prints the mark for reading, such as "12.000000000,0 by 0a0b0c0d".
func (m ReadMark) String() string {
	if m.Txn == (keys.TxnID{}) {
		return m.TS.String()
	}
	return fmt.Sprintf("%s by %x", m.TS, m.Txn[:4])
}

// TimestampCache remembers up to which timestamp the keys of one range have been
// read while this replica held the lease, so that no write lands beneath a read that
// was answered.
//
// It forgets only upwards. Marks are kept in a few pages, newest last; when the
// newest is full another is begun, and the oldest is dropped when there are too
// many, with the low-water mark raised to the highest mark it held. What is read out
// is therefore never lower than what was put in.
//
//	low-water mark 10 | page 1: [a,d) 12, c 14 | page 2: b 20 by T1, c 13
//	                    Max(c) = 14      Max([a,c)) = 20 by T1      Max(x) = 10
//
// A page of fixed size was preferred to one sorted structure with eviction of the
// lowest mark: that would need a second order, by timestamp, of everything.
//
// The zero cache is not usable: see NewTimestampCache. It owns nothing but itself
// until the first Add.
type TimestampCache struct {
	// lowWater is the least that Max answers. It only grows, and every mark that is
	// not in a page is at or below it.
	lowWater hlc.Timestamp

	pages     []*tsPage // oldest first
	pageBytes int64     // a page is full when it has taken this many
	maxPages  int       // at least 1
}

// NewTimestampCache is a cache of at most maxPages pages of pageBytes bytes, each
// exceeded by one mark at most. Everything below lowWater counts as read.
func NewTimestampCache(pageBytes int64, maxPages int, lowWater hlc.Timestamp) *TimestampCache {
	return &TimestampCache{lowWater: lowWater, pageBytes: pageBytes, maxPages: max(maxPages, 1)}
}

// Add notes that s was read at ts, by txn or nobody in particular. The keys of a span must
// not be changed from then on.
func (c *TimestampCache) Add(s keys.Span, ts hlc.Timestamp, txn keys.TxnID) {
	if ts.LessEq(c.lowWater) || !s.Valid() {
		return
	}
	m := ReadMark{ts, txn}
	p := c.page()
	if s.IsPoint() {
		p.addPoint(s.Key, m)
	} else {
		p.addSpan(s, m)
	}
}

// page is the one to add to.
func (c *TimestampCache) page() *tsPage {
	if n := len(c.pages); n > 0 && c.pages[n-1].bytes < c.pageBytes {
		return c.pages[n-1]
	}
	p := &tsPage{}
	if len(c.pages) < c.maxPages {
		c.pages = append(c.pages, p)
		return p
	}
	c.lowWater = c.lowWater.Forward(c.pages[0].highest)
	copy(c.pages, c.pages[1:])
	c.pages[len(c.pages)-1] = p
	return p
}

// Max is the join of all marks in s, which may be a point, and the low-water mark.
func (c *TimestampCache) Max(s keys.Span) ReadMark {
	m := ReadMark{TS: c.lowWater}
	for i := len(c.pages) - 1; i >= 0; i-- {
		p := c.pages[i]
		if p.highest.Less(m.TS) {
			continue // nothing in there can matter
		}
		if s.IsPoint() {
			m = p.maxPoint(s.Key, m)
		} else {
			m = p.maxSpan(s, m)
		}
	}
	return m
}

// LowWater is the least that Max answers.
func (c *TimestampCache) LowWater() hlc.Timestamp { return c.lowWater }

// RaiseLowWater makes everything count as read up to ts. It is for a new lease, whose
// holder knows nothing of what was read before, and for whatever else nobody may
// write below. Pages that say nothing more are dropped.
func (c *TimestampCache) RaiseLowWater(ts hlc.Timestamp) {
	if ts.LessEq(c.lowWater) {
		return
	}
	c.lowWater = ts
	kept := c.pages[:0]
	for _, p := range c.pages {
		if ts.Less(p.highest) {
			kept = append(kept, p)
		}
	}
	clear(c.pages[len(kept):])
	c.pages = kept
}

// Bytes is about what the marks take.
func (c *TimestampCache) Bytes() int64 {
	var n int64
	for _, p := range c.pages {
		n += p.bytes
	}
	return n
}

// Markers for transaction records. They are marks at keys that nobody reads, next
// to the record's key, so that they travel with summaries, splits and merges, and
// are forgotten upwards as all marks are.
const (
	pushMarker      = 'p'
	tombstoneMarker = 't'
)

func markerKey(anchor keys.Key, id keys.TxnID, kind byte) keys.Key {
	return append(keys.TxnRecordKey(anchor, id), kind)
}

// MarkPushed notes that a transaction without a record was pushed: its record, if it
// is ever created, must not commit below ts.
func (c *TimestampCache) MarkPushed(anchor keys.Key, id keys.TxnID, ts hlc.Timestamp) {
	c.Add(keys.Span{Key: markerKey(anchor, id, pushMarker)}, ts, keys.TxnID{})
}

// MinCommit is the lowest timestamp at which a transaction may commit, as far as
// pushes go.
func (c *TimestampCache) MinCommit(anchor keys.Key, id keys.TxnID) hlc.Timestamp {
	return c.Max(keys.Span{Key: markerKey(anchor, id, pushMarker)}).TS
}

// MarkTombstone notes that the record of a transaction that began at or below ts must
// never be created (again): it was finalised and deleted, by the transaction
// itself, or aborted before there was one. by is the transaction itself if that is
// who ended it, and zero otherwise.
func (c *TimestampCache) MarkTombstone(anchor keys.Key, id keys.TxnID, ts hlc.Timestamp, by keys.TxnID) {
	c.Add(keys.Span{Key: markerKey(anchor, id, tombstoneMarker)}, ts, by)
}

// Tombstone is the marker that stands in the way of the record. A record may be
// created if the mark lies below the transaction's lowest timestamp. A mark of no
// owner may as well come from what was forgotten, as the low-water mark does.
func (c *TimestampCache) Tombstone(anchor keys.Key, id keys.TxnID) ReadMark {
	return c.Max(keys.Span{Key: markerKey(anchor, id, tombstoneMarker)})
}

// String lists the low-water mark and the marks of each page in the order of keys,
// for people.
func (c *TimestampCache) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "low-water mark %s\n", c.lowWater)
	for i, p := range c.pages {
		fmt.Fprintf(&b, "page %d, up to %s:\n", i+1, p.highest)
		p.each(keys.Span{EndKey: keys.Max}, func(s keys.Span, m ReadMark) {
			fmt.Fprintf(&b, "  %s %s\n", s, m)
		})
	}
	return b.String()
}
