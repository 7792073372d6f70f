package concurrency

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"github.com/tidwall/btree"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// tsPage holds marks, exactly. Points are apart: they are the most, and need no
// splitting. Each write looks some up one by one, which a table does best; they are put
// in order when somebody asks for a span, as few do.
type tsPage struct {
	points []pointMark
	place  map[string]int           // in points, by key; looked up, never ranged over
	order  []int                    // places, by key, of the points there were when a span was last asked for
	spans  *btree.BTreeG[*spanMark] // disjoint, by start

	// highest is at or above every mark of the page.
	highest hlc.Timestamp
	bytes   int64 // about what the marks take; splitting and joining count as well

	from    spanMark // scratch for lookups
	scratch []*spanMark
}

type pointMark struct {
	key  string
	mark ReadMark
}

type spanMark struct {
	key, end keys.Key
	mark     ReadMark
}

// What a mark takes besides its keys, in bytes: itself, and its share of table or tree.
const (
	pointMarkBytes = 72
	spanMarkBytes  = 112
)

func (p *tsPage) addPoint(k keys.Key, m ReadMark) {
	p.highest = p.highest.Forward(m.TS)
	if i, ok := p.place[string(k)]; ok {
		p.points[i].mark = p.points[i].mark.Join(m)
		return
	}
	if p.place == nil {
		p.place = map[string]int{}
	}
	key := string(k)
	p.place[key] = len(p.points)
	p.points = append(p.points, pointMark{key, m})
	p.bytes += pointMarkBytes + int64(len(k))
}

// within lists the places of the points in s, which is no point, in order.
func (p *tsPage) within(s keys.Span) []int {
	if len(p.order) < len(p.points) {
		for i := len(p.order); i < len(p.points); i++ {
			p.order = append(p.order, i)
		}
		slices.SortFunc(p.order, func(a, b int) int { return strings.Compare(p.points[a].key, p.points[b].key) })
	}
	at := func(k keys.Key) int {
		return sort.Search(len(p.order), func(n int) bool { return p.points[p.order[n]].key >= string(k) })
	}
	from := at(s.Key)
	return p.order[from:max(from, at(s.EndKey))]
}

// addSpan joins m to everything in s: the spans that overlap s are cut at its bounds,
// joined with m within it, and the gaps between them filled.
func (p *tsPage) addSpan(s keys.Span, m ReadMark) {
	p.highest = p.highest.Forward(m.TS)
	if p.spans == nil {
		p.spans = btree.NewBTreeGOptions(func(a, b *spanMark) bool {
			return bytes.Compare(a.key, b.key) < 0
		}, btree.Options{NoLocks: true})
	}
	old := p.overlapping(s)
	if len(old) == 1 && old[0].mark.Join(m) == old[0].mark &&
		bytes.Compare(old[0].key, s.Key) <= 0 && bytes.Compare(s.EndKey, old[0].end) <= 0 {
		return
	}
	at := s.Key // everything in s below it is done
	var last *spanMark
	put := func(key, end keys.Key, m ReadMark) {
		if last != nil && last.mark == m && bytes.Equal(last.end, key) {
			last.end = end
			return
		}
		last = &spanMark{key, end, m}
		p.spans.Set(last)
		p.bytes += spanMarkBytes + int64(len(key)+len(end))
	}
	for _, o := range old {
		p.spans.Delete(o)
		p.bytes -= spanMarkBytes + int64(len(o.key)+len(o.end))
	}
	for _, o := range old {
		key, end := o.key, o.end
		if bytes.Compare(key, s.Key) < 0 {
			put(key, s.Key, o.mark)
			key = s.Key
		}
		if bytes.Compare(at, key) < 0 {
			put(at, key, m)
		}
		at = end
		if bytes.Compare(s.EndKey, end) < 0 {
			at = s.EndKey
		}
		put(key, at, o.mark.Join(m))
		if bytes.Compare(at, end) < 0 {
			put(at, end, o.mark)
		}
	}
	if bytes.Compare(at, s.EndKey) < 0 {
		put(at, s.EndKey, m)
	}
}

// overlapping lists the spans that share a key with s, which may be a point, in order.
// The list is good until the next call.
func (p *tsPage) overlapping(s keys.Span) []*spanMark {
	p.scratch = p.scratch[:0]
	if p.spans == nil {
		return nil
	}
	p.from.key = s.Key
	p.spans.Descend(&p.from, func(o *spanMark) bool {
		if bytes.Compare(s.Key, o.end) < 0 {
			p.scratch = append(p.scratch, o)
		}
		return false
	})
	if !s.IsPoint() {
		p.spans.Ascend(&p.from, func(o *spanMark) bool {
			if bytes.Compare(o.key, s.EndKey) >= 0 {
				return false
			}
			if n := len(p.scratch); n == 0 || p.scratch[n-1] != o { // one that begins at s.Key was found above
				p.scratch = append(p.scratch, o)
			}
			return true
		})
	}
	p.from.key = nil
	return p.scratch
}

// maxPoint joins m with the marks at k.
func (p *tsPage) maxPoint(k keys.Key, m ReadMark) ReadMark {
	if i, ok := p.place[string(k)]; ok {
		m = m.Join(p.points[i].mark)
	}
	for _, o := range p.overlapping(keys.Span{Key: k}) {
		m = m.Join(o.mark)
	}
	return m
}

// maxSpan joins m with the marks in s, which is no point.
func (p *tsPage) maxSpan(s keys.Span, m ReadMark) ReadMark {
	for _, i := range p.within(s) {
		m = m.Join(p.points[i].mark)
	}
	for _, o := range p.overlapping(s) {
		m = m.Join(o.mark)
	}
	return m
}

// each calls fn with what the page holds in s, which is no point, cut to its bounds:
// points in order, then spans in order.
func (p *tsPage) each(s keys.Span, fn func(keys.Span, ReadMark)) {
	for _, i := range p.within(s) {
		o := &p.points[i]
		fn(keys.Span{Key: keys.Key(o.key)}, o.mark)
	}
	for _, o := range p.overlapping(s) {
		if cut, ok := (keys.Span{Key: o.key, EndKey: o.end}).Intersect(s); ok {
			fn(cut, o.mark)
		}
	}
}
