package checker

import (
	"math"
	"sort"

	"simulacrum/checker/history"
)

// The sweep. With the versions v0, v1 … vn of a key in their order, the key is
// linearizable exactly when each write i has a moment p(i) within its interval,
// with p(1) ≤ p(2) ≤ …, such that each read of version i has a moment of its own
// interval between p(i) and p(i+1). Take each p as early as it can be:
//
//	p(i) = max( call of write i,  p(i-1),  call of every read of version i-1 )
//
// and ask whether p(i) ≤ end of write i, and p(i) ≤ end of each read of version
// i. Both fail only if no choice works, because every other choice is later.
//
//	        p(1)              p(2)
//	v0 ──────┼────── v1 ───────┼────── v2 ──────
//	      w1 [───]      r(v1) [─────]
//	                w2 [─────────]
//
// A read may fit several versions: it found nothing, and the key was deleted more
// than once. It is then given to the latest version it can reach, since that
// delays the fewest writes; if that proves too late, to the one before. Moments
// only ever move later and reads only ever move back, so this ends, in the least
// solution. Gibbons and Korach (1997) give the linear bound for a known order of
// writes and reads that know their write; the reads that do not are our addition.

// noVersion marks a read that fits no version.
const noVersion = -1

// maxPasses bounds the number of times reads are moved back. Two passes are
// typical; the bound is only there so that work is bounded at all.
const maxPasses = 1000

// bind is one lower bound of a moment p(i): who imposed it, at which version.
type bind struct {
	at      int64
	by      *keyOp
	version int
	write   bool // as the writer of that version; otherwise as a reader of it
}

// misfit is an operation that ended before the earliest moment it can have.
type misfit struct {
	op      *keyOp
	version int
	write   bool // op is the writer of that version
	cause   bind
}

// swept is the outcome of a sweep over one key.
type swept struct {
	misfits  []misfit
	strays   []*keyOp // reads of what was never there
	broken   []int    // versions whose writer found something else than the version before
	stale    []stale  // only with loose reads
	gaveUp   bool
	reads    int
	earliest []bind // p, by version
}

// stale is a read that found an old version although a newer one was certainly
// there before the read began. It is an error unless clocks are out of bounds.
type stale struct {
	read    *keyOp
	version int
	by      *keyOp // what proves that the newer version was there
}

type sweep struct {
	k        *keyHistory
	versions []version
	byValue  map[valueID][]int // versions holding a value, ascending
	reads    []*keyOp
	given    []int // the version given to each read
	loose    bool  // reads do not delay writes
	out      swept
}

// run sweeps a key along its versions.
func (k *keyHistory) run(o *ordered, loose bool) swept {
	s := &sweep{k: k, versions: o.versions, byValue: map[valueID][]int{}, loose: loose}
	for i, v := range o.versions {
		s.byValue[v.value] = append(s.byValue[v.value], i)
		if i > 0 && v.writer != nil && !k.matches(v.writer, o.versions[i-1].value) {
			s.out.broken = append(s.out.broken, i)
		}
	}
	for i := range k.ops {
		r := &k.ops[i]
		if r.maybe || r.does != doesNothing || r.sees == seesNothing || r.op.Stale {
			continue
		}
		s.out.reads++
		v := s.latest(r, len(s.versions)-1)
		if v == noVersion {
			s.out.strays = append(s.out.strays, r)
			continue
		}
		s.reads = append(s.reads, r)
		s.given = append(s.given, v)
	}
	s.settle()
	return s.out
}

// latest is the newest version at or below bound that the read can have found.
func (s *sweep) latest(r *keyOp, bound int) int {
	switch r.sees {
	case seesValue:
		return newest(s.byValue[r.seen], bound)
	case seesSum:
		v := noVersion
		if id, ok := s.k.values.ints[r.sum]; ok {
			v = newest(s.byValue[id], bound)
		}
		if r.sum == 0 {
			v = max(v, newest(s.byValue[absentID], bound))
		}
		return v
	default: // seesNot
		for ; bound >= 0 && s.versions[bound].value == r.seen; bound-- {
		}
		return bound
	}
}

// newest is the largest element of an ascending list at or below bound.
func newest(list []int, bound int) int {
	i := sort.SearchInts(list, bound+1)
	if i == 0 {
		return noVersion
	}
	return list[i-1]
}

// settle moves reads back until all fit or some cannot.
func (s *sweep) settle() {
	pushes := make([]bind, len(s.versions))
	for pass := 0; ; pass++ {
		if pass == maxPasses {
			s.out.gaveUp = true
			return
		}
		p := s.moments(pushes)
		moved, misfits := false, []misfit(nil)
		for i, r := range s.reads {
			v := s.given[i]
			if p[v].at <= r.end {
				continue
			}
			reachable := sort.Search(len(p), func(j int) bool { return p[j].at > r.end }) - 1
			if back := s.latest(r, reachable); back != noVersion {
				s.given[i], moved = back, true
				continue
			}
			misfits = append(misfits, misfit{op: r, version: v, cause: p[v]})
		}
		if moved {
			continue
		}
		for i, v := range s.versions {
			if v.writer != nil && p[i].at > v.writer.end {
				misfits = append(misfits, misfit{op: v.writer, version: i, write: true, cause: p[i]})
			}
		}
		s.out.misfits, s.out.earliest = misfits, p
		if s.loose {
			s.findStale()
		}
		return
	}
}

// moments computes the earliest moment of each version. The pushes slice is
// scratch.
func (s *sweep) moments(pushes []bind) []bind {
	for i := range pushes {
		pushes[i] = bind{at: math.MinInt64}
	}
	if !s.loose {
		for i, r := range s.reads {
			if v := s.given[i]; r.call > pushes[v].at {
				pushes[v] = bind{at: r.call, by: r, version: v}
			}
		}
	}
	p := make([]bind, len(s.versions))
	p[0] = bind{at: math.MinInt64}
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1]
		if pushes[i-1].at > p[i].at {
			p[i] = pushes[i-1]
		}
		if w := s.versions[i].writer; w != nil && w.call > p[i].at {
			p[i] = bind{at: w.call, by: w, version: i, write: true}
		}
	}
	return p
}

// findStale counts, when reads are loose, those that began after something newer
// was certainly there.
func (s *sweep) findStale() {
	n := len(s.versions)
	latest := make([]bind, n+1) // the latest moment of each version, and what bounds it
	latest[n] = bind{at: history.Never}
	readEnd := make([]bind, n)
	for i := range readEnd {
		readEnd[i].at = history.Never
	}
	for i, r := range s.reads {
		if v := s.given[i]; r.end < readEnd[v].at {
			readEnd[v] = bind{at: r.end, by: r, version: v}
		}
	}
	for i := n - 1; i > 0; i-- {
		latest[i] = latest[i+1]
		if w := s.versions[i].writer; w != nil && w.end < latest[i].at {
			latest[i] = bind{at: w.end, by: w, version: i, write: true}
		}
		if readEnd[i].at < latest[i].at {
			latest[i] = readEnd[i]
		}
	}
	for i, r := range s.reads {
		if v := s.given[i]; v+1 <= n && latest[v+1].at < r.call {
			s.out.stale = append(s.out.stale, stale{read: r, version: v, by: latest[v+1].by})
		}
	}
}
