package kvclient

import (
	"slices"

	"simulacrum/db/keys"
)

// spanSet is a set of keys that only grows, within a budget of bytes: when that is
// exceeded it covers more, never less, than was put in.
type spanSet struct {
	spans  []keys.Span
	bytes  int
	tidyAt int // number of spans at which overlaps are looked for
}

const tidyFrom = 16

func spanBytes(s keys.Span) int { return len(s.Key) + len(s.EndKey) }

// add puts s in. It reports whether the budget forced spans to be joined across keys
// that were never put in.
func (c *spanSet) add(s keys.Span, budget int) (condensed bool) {
	if n := len(c.spans); n > 0 && c.spans[n-1].Contains(s) {
		return false
	}
	c.spans = append(c.spans, s)
	c.bytes += spanBytes(s)
	if c.bytes <= budget && len(c.spans) < max(c.tidyAt, tidyFrom) {
		return false
	}
	c.tidy()
	if c.bytes <= budget {
		return false
	}
	for before := 0; c.bytes > budget/2 && len(c.spans) != before; {
		before = len(c.spans)
		c.halve()
	}
	return true
}

// tidy sorts the spans and merges those that touch. The old list may have been sent,
// and is left alone.
func (c *spanSet) tidy() {
	if len(c.spans) < 2 {
		c.set(c.spans)
		return
	}
	sorted := append([]keys.Span(nil), c.spans...)
	slices.SortStableFunc(sorted, func(a, b keys.Span) int { return a.Key.Compare(b.Key) })
	out := sorted[:0]
	for _, s := range sorted {
		if n := len(out); n > 0 && touches(out[n-1], s) {
			out[n-1] = join(out[n-1], s)
		} else {
			out = append(out, s)
		}
	}
	c.set(out)
}

// halve joins each span with its neighbour, except keys that belong to other keys: a span
// of those is in no range, and holds what has no versions, such as records.
func (c *spanSet) halve() {
	out := make([]keys.Span, 0, len(c.spans)/2+1)
	for i := 0; i < len(c.spans); i++ {
		s := c.spans[i]
		if i+1 < len(c.spans) && !s.Key.Less(keys.LocalEnd) {
			i++
			s = join(s, c.spans[i])
		}
		out = append(out, s)
	}
	c.set(out)
}

func (c *spanSet) set(spans []keys.Span) {
	c.spans, c.bytes = spans, 0
	for _, s := range spans {
		c.bytes += spanBytes(s)
	}
	c.tidyAt = 2 * len(spans)
}

func endOf(s keys.Span) keys.Key {
	if s.IsPoint() {
		return s.Key.Next()
	}
	return s.EndKey
}

// touches reports that nothing lies between a and b, which does not begin before a.
func touches(a, b keys.Span) bool {
	if a.IsPoint() {
		return a.Key.Equal(b.Key)
	}
	return !a.EndKey.Less(b.Key)
}

// join covers a, b, which does not begin before a, and what lies between them.
func join(a, b keys.Span) keys.Span {
	if a.Equal(b) {
		return a
	}
	end := endOf(a)
	if e := endOf(b); end.Less(e) {
		end = e
	}
	return keys.Span{Key: a.Key, EndKey: end}
}

// list is the set, tidied. It must not be changed.
func (c *spanSet) list() []keys.Span {
	c.tidy()
	return c.spans
}

func (c *spanSet) empty() bool { return len(c.spans) == 0 }

func (c *spanSet) clear() { *c = spanSet{} }
