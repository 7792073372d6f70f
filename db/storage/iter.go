package storage

import (
	"bytes"

	"simulacrum/sim/env"
)

// Reader is what reads need. Engine, Snapshot and Overlay are Readers.
type Reader interface {
	// Get returns the value of k and whether there is one. The value is valid for
	// ever and must not be changed.
	Get(k []byte) (v []byte, ok bool, err error)
	// Front returns the first key in [lo, hi) and its value, which are valid for ever, and
	// whether there is one. It is for runs that grow at their front: whatever a commit puts
	// there lies before all that was there already and that it neither puts again nor
	// deletes. Of any other span it may return a later key than the first.
	Front(lo, hi []byte) (k, v []byte, ok bool, err error)
	// NewIter returns an iterator over the keys k with lo <= k < hi; an empty hi
	// means no upper bound. It stands nowhere until it is positioned, sees what was
	// committed when it was made and nothing later, and must be closed.
	NewIter(lo, hi []byte) *Iter
}

// Iter walks keys in either direction. The positioning methods report Valid.
//
// It merges the sources of a state, newest first, and shows of each key the newest
// version at its sequence number unless that is a deletion or covered by a range
// deletion. Forwards, every source stands at or after the current key; backwards,
// before it. A change of direction seeks.
type Iter struct {
	e      *Engine
	s      *state
	seq    uint64
	lo, hi []byte
	srcs   []source
	curs   []*entry // srcs[i].cur()

	// Room for the sources of most iterators, so that one allocation makes them.
	srcRoom   [6]source
	curRoom   [6]*entry
	memRoom   [2]memIter
	tableRoom [2]tableIter
	levelRoom [1]levelIter

	valid    bool
	backward bool
	key, val []byte
	e1       error
}

// newIter makes an iterator over the state s at seq; extra, if not nil, is a
// memtable newer than all of s.
func (e *Engine) newIter(s *state, extra *memtable, seq uint64, lo, hi []byte) *Iter {
	i := &Iter{e: e, s: s, seq: seq, lo: lo}
	if len(hi) > 0 {
		i.hi = hi
	}
	s.refs++
	e.openIters++
	i.srcs, i.curs = i.srcRoom[:0], i.curRoom[:0]
	if extra != nil {
		i.addMem(extra)
	}
	for _, m := range s.mems {
		i.addMem(m)
	}
	tables, levels := i.tableRoom[:0], i.levelRoom[:0]
	for _, t := range s.levels[0] {
		if i.touches(t) {
			tables = append(nextRoom(tables), tableIter{t: t})
			i.srcs = append(i.srcs, &tables[len(tables)-1])
		}
	}
	for n := 1; n < numLevels; n++ {
		if len(s.levels[n]) > 0 {
			levels = append(nextRoom(levels), levelIter{tables: s.levels[n]})
			i.srcs = append(i.srcs, &levels[len(levels)-1])
		}
	}
	for _, src := range i.srcs {
		i.curs = append(i.curs, src.cur())
	}
	return i
}

func (i *Iter) addMem(m *memtable) {
	if m.empty() {
		return
	}
	if n := len(i.srcs); n < len(i.memRoom) {
		i.memRoom[n].m = m
		i.srcs = append(i.srcs, &i.memRoom[n])
		return
	}
	i.srcs = append(i.srcs, &memIter{m: m})
}

// nextRoom is a slice to append to, whose elements do not move: a full one is left to
// those who point into it.
func nextRoom[T any](room []T) []T {
	if len(room) == cap(room) {
		return make([]T, 0, 4)
	}
	return room
}

func (i *Iter) touches(t *table) bool {
	return bytes.Compare(i.lo, t.hi) < 0 && (i.hi == nil || bytes.Compare(t.lo, i.hi) < 0)
}

// Close releases what the iterator holds. It may be called again.
func (i *Iter) Close() {
	if i.s == nil {
		return
	}
	i.e.openIters--
	i.e.release(i.s)
	i.s, i.srcs, i.valid = nil, nil, false
}

// Valid reports whether the iterator stands at a key.
func (i *Iter) Valid() bool { return i.valid }

// Key is the current key, valid for ever; nobody may change it.
func (i *Iter) Key() []byte { return i.key }

// Value is the current value, valid for ever; nobody may change it.
func (i *Iter) Value() []byte { return i.val }

// Err is why the iterator became invalid, nil when it reached an end.
func (i *Iter) Err() error { return i.e1 }

// First goes to the first key.
func (i *Iter) First() bool { return i.SeekGE(i.lo) }

// Last goes to the last key.
func (i *Iter) Last() bool {
	if i.hi != nil {
		return i.SeekLT(i.hi)
	}
	for _, s := range i.srcs {
		s.last()
	}
	return i.findBackward()
}

// SeekGE goes to the first key at or after k.
func (i *Iter) SeekGE(k []byte) bool {
	if bytes.Compare(k, i.lo) < 0 {
		k = i.lo
	}
	for _, s := range i.srcs {
		s.seekGE(k, maxSeq)
	}
	return i.findForward()
}

// SeekLT goes to the last key before k.
func (i *Iter) SeekLT(k []byte) bool {
	if i.hi != nil && bytes.Compare(k, i.hi) > 0 {
		k = i.hi
	}
	for _, s := range i.srcs {
		s.seekLT(k)
	}
	return i.findBackward()
}

// Next goes to the next key.
func (i *Iter) Next() bool {
	if !i.valid {
		return false
	}
	if i.backward {
		for _, s := range i.srcs {
			s.seekGE(i.key, maxSeq)
		}
	}
	i.skip(i.key)
	return i.findForward()
}

// Prev goes to the previous key.
func (i *Iter) Prev() bool {
	if !i.valid {
		return false
	}
	if !i.backward {
		for _, s := range i.srcs {
			s.seekLT(i.key)
		}
	}
	return i.findBackward()
}

// skip moves all sources that stand at key past it.
func (i *Iter) skip(key []byte) {
	for n, c := range i.curs {
		pass(i.srcs[n], c, key)
	}
}

// pass moves a source, which stands at c, past key. After a few steps it seeks: a key
// that was overwritten thousands of times is one seek, not thousands of steps.
func pass(s source, c *entry, key []byte) {
	for step := 0; c.ok && bytes.Equal(c.key, key); step++ {
		if step == 4 {
			s.seekGE(key, 0)
		} else {
			s.next()
		}
	}
}

// failed notes the first error of a source.
func (i *Iter) failed() bool {
	for _, s := range i.srcs {
		if err := s.err(); err != nil {
			i.e1 = err
			return true
		}
	}
	return false
}

func (i *Iter) stop() bool {
	i.valid, i.key, i.val = false, nil, nil
	i.failed()
	return false
}

// findForward stops at the first visible key at or after where the sources stand.
func (i *Iter) findForward() bool {
	i.backward = false
	for {
		i.e.env.Charge(env.ClassKey, 1)
		least := -1
		for n, c := range i.curs {
			if c.ok && (least < 0 || bytes.Compare(c.key, i.curs[least].key) < 0) {
				least = n
			}
		}
		if least < 0 || i.hi != nil && bytes.Compare(i.curs[least].key, i.hi) >= 0 || i.failed() {
			return i.stop()
		}
		key := i.curs[least].key
		if at, ok := i.resolve(least, key); ok {
			c := i.curs[at]
			if c.trailer.kind() == kindPut && i.cover(at, key) < c.trailer.seq() {
				i.valid, i.key, i.val = true, key, c.val
				return true
			}
		}
		i.skip(key)
	}
}

// resolve moves the sources from index from on that stand at key to the first
// version at or below the iterator's sequence number, and stops at the first source
// that has one: no later source has a newer one.
func (i *Iter) resolve(from int, key []byte) (at int, ok bool) {
	for n := from; n < len(i.srcs); n++ {
		c := i.curs[n]
		if !c.ok || !bytes.Equal(c.key, key) {
			continue
		}
		if c.trailer.seq() > i.seq {
			i.srcs[n].seekGE(key, i.seq)
		}
		if c.ok && bytes.Equal(c.key, key) {
			return n, true
		}
	}
	return 0, false
}

// cover is the newest range deletion of the sources up to index at that covers key.
func (i *Iter) cover(at int, key []byte) uint64 {
	var newest uint64
	for n := 0; n <= at; n++ {
		newest = max(newest, i.srcs[n].cover(key, i.seq))
	}
	return newest
}

// findBackward stops at the last visible key at or before where the sources stand,
// and leaves all of them before it.
func (i *Iter) findBackward() bool {
	i.backward = true
	for {
		i.e.env.Charge(env.ClassKey, 1)
		most := -1
		for n, c := range i.curs {
			if c.ok && (most < 0 || bytes.Compare(c.key, i.curs[most].key) > 0) {
				most = n
			}
		}
		if most < 0 || bytes.Compare(i.curs[most].key, i.lo) < 0 || i.failed() {
			return i.stop()
		}
		key := i.curs[most].key
		at, best := -1, entry{}
		for n := most; n < len(i.srcs); n++ {
			c := i.curs[n]
			for c.ok && bytes.Equal(c.key, key) {
				// Backwards the oldest comes first.
				if c.trailer.seq() <= i.seq && (at < 0 || at == n) {
					at, best = n, *c
				}
				i.srcs[n].prev()
			}
		}
		if at >= 0 && best.trailer.kind() == kindPut && i.cover(at, key) < best.trailer.seq() && !i.failed() {
			i.valid, i.key, i.val = true, key, best.val
			return true
		}
	}
}

// Snapshot reads the store as it was when the snapshot was taken.
type Snapshot struct {
	e          *Engine
	seq        uint64
	prev, next *Snapshot // ring of the open ones, oldest first
}

// NewSnapshot fixes the present state for later reads. It must be closed: as long
// as it is open, compactions keep what it sees.
func (e *Engine) NewSnapshot() *Snapshot {
	s := &Snapshot{e: e, seq: e.seq, prev: e.snapshots.prev, next: &e.snapshots}
	s.prev.next, s.next.prev = s, s
	return s
}

// Seq is the sequence number of the last commit that the snapshot sees.
func (s *Snapshot) Seq() uint64 { return s.seq }

// Get implements Reader.
func (s *Snapshot) Get(k []byte) ([]byte, bool, error) { return s.e.get(nil, s.seq, k) }

// Front implements Reader.
func (s *Snapshot) Front(lo, hi []byte) (k, v []byte, ok bool, err error) {
	return s.e.front(nil, s.seq, lo, hi)
}

// NewIter implements Reader.
func (s *Snapshot) NewIter(lo, hi []byte) *Iter {
	return s.e.newIter(s.e.state, nil, s.seq, lo, hi)
}

// Close ends the snapshot. It may be called again.
func (s *Snapshot) Close() {
	if s.next != nil {
		s.prev.next, s.next.prev = s.next, s.prev
		s.prev, s.next = nil, nil
	}
}

// Overlay reads an engine as if a batch had been committed: what is added to the
// batch is seen by the next Get or NewIter. The batch must only grow.
type Overlay struct {
	e    *Engine
	b    *Batch
	mem  *memtable
	read int // bytes of the batch that mem holds
	seq  uint64
}

// NewOverlay returns a reader over the engine and an uncommitted batch.
func (e *Engine) NewOverlay(b *Batch) *Overlay {
	// Above all commits to come, so that the batch wins; the engine's own entries
	// are bounded by the state and sequence number of the moment of reading.
	const overlaySeq = 1 << 55
	return &Overlay{e: e, b: b, mem: newMemtable(e.heights, 0, overlaySeq), seq: overlaySeq}
}

func (o *Overlay) refresh() {
	data := o.b.Repr()
	if o.read == 0 {
		o.read = min(batchHeader, len(data))
	}
	if o.read == len(data) {
		return
	}
	for r := (batchReader{rest: data[o.read:]}); ; {
		k, key, val, ok := r.next()
		if !ok {
			break
		}
		o.seq++
		if k == kindDeleteRange {
			o.mem.dels.add(bytes.Clone(key), bytes.Clone(val), o.seq, nil)
		} else {
			o.mem.insert(key, val, makeTrailer(o.seq, k), nil)
		}
	}
	o.read = len(data)
}

// Get implements Reader.
func (o *Overlay) Get(k []byte) ([]byte, bool, error) {
	o.refresh()
	return o.e.get(o.mem, o.seq, k)
}

// Front implements Reader.
func (o *Overlay) Front(lo, hi []byte) (k, v []byte, ok bool, err error) {
	o.refresh()
	return o.e.front(o.mem, o.seq, lo, hi)
}

// NewIter implements Reader. Commits made after NewIter are not kept out of what
// it sees, hence it must not live across a commit.
func (o *Overlay) NewIter(lo, hi []byte) *Iter {
	o.refresh()
	return o.e.newIter(o.e.state, o.mem, o.seq, lo, hi)
}
