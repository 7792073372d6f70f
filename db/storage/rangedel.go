package storage

import (
	"bytes"
	"sort"
)

// fragment is a span of keys that was deleted as a whole, at each of seqs (newest
// first). Fragments of one set are sorted and do not overlap, so that the question
// "which range deletions cover this key" is one binary search.
type fragment struct {
	lo, hi []byte // lo <= key < hi
	seqs   []uint64
}

// newest is the newest deletion at or below seq, 0 if there is none.
func (f *fragment) newest(seq uint64) uint64 {
	for _, s := range f.seqs {
		if s <= seq {
			return s
		}
	}
	return 0
}

// rangeDels is the set of range deletions of one memtable or table.
type rangeDels struct {
	frags []fragment
	bytes int64 // roughly what it holds
}

// cover is the newest deletion at or below seq that covers key, 0 if none does.
func (r *rangeDels) cover(key []byte, seq uint64) uint64 {
	if len(r.frags) == 0 {
		return 0
	}
	i := r.find(key)
	if i == len(r.frags) || bytes.Compare(key, r.frags[i].lo) < 0 {
		return 0
	}
	return r.frags[i].newest(seq)
}

// find is the index of the first fragment that ends after key.
func (r *rangeDels) find(key []byte) int {
	lo, hi := 0, len(r.frags)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(r.frags[mid].hi, key) > 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// add records the deletion of [lo, hi) at seq, newer than all before, and keeps lo
// and hi. squash(s) says that no reader stands at s or later: then the deletion at
// s need not be kept where the new one covers it. Without that, a log that
// is truncated again and again from its start would hold a number of deletions
// that grows with the square of truncations.
func (r *rangeDels) add(lo, hi []byte, seq uint64, squash func(seq uint64) bool) {
	from := r.find(lo)
	to := from
	var out []fragment
	// plain is where the piece begins that only the new deletion covers.
	plain := lo
	flush := func(end []byte) {
		if bytes.Compare(plain, end) < 0 {
			out = append(out, fragment{lo: plain, hi: end, seqs: []uint64{seq}})
		}
	}
	for ; to < len(r.frags) && bytes.Compare(r.frags[to].lo, hi) < 0; to++ {
		f := r.frags[to]
		if bytes.Compare(f.lo, lo) < 0 {
			out = append(out, fragment{lo: f.lo, hi: lo, seqs: f.seqs})
			f.lo = lo
		}
		end := f.hi
		if bytes.Compare(end, hi) > 0 {
			end = hi
		}
		old := f.seqs
		for squash != nil && len(old) > 0 && squash(old[0]) {
			old = old[1:]
		}
		if len(old) > 0 {
			flush(f.lo)
			seqs := append(make([]uint64, 0, len(old)+1), seq)
			out = append(out, fragment{lo: f.lo, hi: end, seqs: append(seqs, old...)})
			plain = end
		}
		if bytes.Compare(f.hi, hi) > 0 {
			flush(hi)
			plain = hi
			out = append(out, fragment{lo: hi, hi: f.hi, seqs: f.seqs})
		}
	}
	flush(hi)
	r.replace(from, to, out)
}

func (r *rangeDels) replace(from, to int, with []fragment) {
	for _, f := range r.frags[from:to] {
		r.bytes -= f.size()
	}
	for _, f := range with {
		r.bytes += f.size()
	}
	tail := len(r.frags) - to
	grow := len(with) - (to - from)
	if grow > 0 {
		r.frags = append(r.frags, make([]fragment, grow)...)
	}
	copy(r.frags[from+len(with):], r.frags[to:to+tail])
	copy(r.frags[from:], with)
	r.frags = r.frags[:from+len(with)+tail]
}

func (f *fragment) size() int64 { return int64(len(f.lo)+len(f.hi)+8*len(f.seqs)) + 72 }

// mergeRangeDels is the union of several sets.
func mergeRangeDels(sets []*rangeDels) *rangeDels {
	type del struct {
		lo, hi []byte
		seq    uint64
	}
	var dels []del
	for _, s := range sets {
		for _, f := range s.frags {
			for _, seq := range f.seqs {
				dels = append(dels, del{f.lo, f.hi, seq})
			}
		}
	}
	// Oldest first, as add wants it. Fragments of one deletion share its number,
	// and do not overlap: their order among themselves is that of their keys.
	sort.Slice(dels, func(i, j int) bool {
		if dels[i].seq != dels[j].seq {
			return dels[i].seq < dels[j].seq
		}
		return bytes.Compare(dels[i].lo, dels[j].lo) < 0
	})
	out := &rangeDels{}
	for _, d := range dels {
		out.add(d.lo, d.hi, d.seq, nil)
	}
	return out
}

// clip returns the parts of the fragments inside [lo, hi); a nil bound is none.
func (r *rangeDels) clip(lo, hi []byte) []fragment {
	var out []fragment
	for _, f := range r.frags {
		if lo != nil && bytes.Compare(f.lo, lo) < 0 {
			f.lo = lo
		}
		if hi != nil && bytes.Compare(f.hi, hi) > 0 {
			f.hi = hi
		}
		if bytes.Compare(f.lo, f.hi) < 0 {
			out = append(out, f)
		}
	}
	return out
}
