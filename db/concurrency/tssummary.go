package concurrency

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// ReadSummary is what the holder of a range's lease tells the next one about reads
// that it has served: all of them lie at or below what the summary says. It covers
// the user keys of the range and the range-local keys that belong to them.
type ReadSummary struct {
	Low   hlc.Timestamp // of everything in the range
	Marks []SpanRead    // those above Low, by key; a key may be in several
}

// SpanRead is a mark and where it holds.
type SpanRead struct {
	Span keys.Span
	ReadMark
}

// Summary describes what was read in user, a span of user keys that is no point, and
// in the range-local keys that belong to it. It takes at most about maxBytes: what
// does not fit is forgotten upwards, lowest first.
func (c *TimestampCache) Summary(user keys.Span, maxBytes int) ReadSummary {
	s := ReadSummary{Low: c.lowWater}
	for _, p := range c.pages {
		add := func(at keys.Span, m ReadMark) {
			if c.lowWater.Less(m.TS) {
				s.Marks = append(s.Marks, SpanRead{at, m})
			}
		}
		p.each(keys.RangeLocalSpan(user), add)
		p.each(user, add)
	}
	s.Compress(maxBytes)
	return s
}

// Raise makes everything count as read up to ts: the closed timestamp, the start of
// the next lease, the moment at which a range was frozen.
func (s *ReadSummary) Raise(ts hlc.Timestamp) {
	if s.Low.Less(ts) {
		s.Low = ts
		s.Marks = slices.DeleteFunc(s.Marks, func(r SpanRead) bool { return r.TS.LessEq(ts) })
	}
}

// Compress drops the lowest marks, and raises Low to them, until what is left takes
// at most maxBytes.
func (s *ReadSummary) Compress(maxBytes int) {
	size := s.Size()
	if size > maxBytes {
		byTime := slices.Clone(s.Marks)
		slices.SortStableFunc(byTime, func(a, b SpanRead) int { return a.TS.Compare(b.TS) })
		low := s.Low
		for i := 0; i < len(byTime) && size > maxBytes; i++ {
			low = low.Forward(byTime[i].TS)
			size -= byTime[i].size()
		}
		s.Raise(low)
	}
	slices.SortStableFunc(s.Marks, func(a, b SpanRead) int {
		return cmp.Or(a.Span.Key.Compare(b.Span.Key), a.Span.EndKey.Compare(b.Span.EndKey))
	})
}

// Apply takes over what the lease's last holder said of the whole range. Nothing
// that is known here is lowered by it.
func (c *TimestampCache) Apply(s ReadSummary) {
	c.RaiseLowWater(s.Low)
	for _, r := range s.Marks {
		c.Add(r.Span, r.TS, r.Txn)
	}
}

// Merge takes over what is said of the range to the right, of the user keys user,
// which this one absorbs. The low-water mark of that one holds over there alone.
func (c *TimestampCache) Merge(user keys.Span, s ReadSummary) {
	c.Add(user, s.Low, keys.TxnID{})
	c.Add(keys.RangeLocalSpan(user), s.Low, keys.TxnID{})
	for _, r := range s.Marks {
		c.Add(r.Span, r.TS, r.Txn)
	}
}

// Merge adds what is said of the range to the right, of the user keys user, which is one
// with this one from now on. The result takes at most about maxBytes.
func (s *ReadSummary) Merge(user keys.Span, right ReadSummary, maxBytes int) {
	all := append(right.Marks, SpanRead{user, ReadMark{TS: right.Low}}, SpanRead{keys.RangeLocalSpan(user), ReadMark{TS: right.Low}})
	for _, m := range all {
		if s.Low.Less(m.TS) {
			s.Marks = append(s.Marks, m)
		}
	}
	s.Compress(maxBytes)
}

// Split is the cache of a range that takes over the user keys in right. Marks that
// reach into both sides hold on both; this cache keeps all it has.
func (c *TimestampCache) Split(right keys.Span) *TimestampCache {
	r := NewTimestampCache(c.pageBytes, c.maxPages, c.lowWater)
	for _, p := range c.pages {
		add := func(at keys.Span, m ReadMark) { r.Add(at, m.TS, m.Txn) }
		p.each(keys.RangeLocalSpan(right), add)
		p.each(right, add)
	}
	return r
}

func (r *SpanRead) size() int { return r.Span.Size() + r.TS.Size() + len(r.Txn) }

// minSpanReadSize is the least that a mark takes.
const minSpanReadSize = 4 + len(keys.TxnID{})

// Size is the length of Encode's output.
func (s *ReadSummary) Size() int {
	n := s.Low.Size() + codec.SizeUvarint(uint64(len(s.Marks)))
	for i := range s.Marks {
		n += s.Marks[i].size()
	}
	return n
}

// Encode appends the summary.
func (s *ReadSummary) Encode(b []byte) []byte {
	b = codec.AppendUvarint(s.Low.Encode(b), uint64(len(s.Marks)))
	for i := range s.Marks {
		m := &s.Marks[i]
		b = append(m.TS.Encode(m.Span.Encode(b)), m.Txn[:]...)
	}
	return b
}

// DecodeReadSummary reads what Encode wrote.
func DecodeReadSummary(r *codec.Reader) ReadSummary {
	s := ReadSummary{Low: hlc.Decode(r)}
	if n := r.Count(-1, minSpanReadSize); n > 0 {
		s.Marks = make([]SpanRead, n)
		for i := range s.Marks {
			m := &s.Marks[i]
			m.Span, m.TS = keys.DecodeSpan(r), hlc.Decode(r)
			copy(m.Txn[:], r.Take(uint64(len(m.Txn))))
			if !m.Span.Valid() {
				r.Failf("concurrency: empty span %s in a read summary", m.Span)
			}
		}
	}
	return s
}

// String lists the summary for people.
func (s ReadSummary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "read up to %s\n", s.Low)
	for _, r := range s.Marks {
		fmt.Fprintf(&b, "  %s %s\n", r.Span, r.ReadMark)
	}
	return b.String()
}
