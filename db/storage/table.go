package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A table is a sorted file that never changes:
//
//	data block ... | range deletions | index block | footer
//
// Each part is followed by its CRC-32C, started from file number and offset. The
// index has one entry for each data block: the last key and trailer in it, and its
// handle. The footer has a fixed size:
//
//	u64 index offset, size | u64 deletions offset, size | u64 entries | magic | u32 checksum
const (
	tableMagic  = "simtabl1"
	footerSize  = 5*8 + len(tableMagic) + 4
	blockSuffix = 4
)

// tableMeta is what the manifest says about a table.
type tableMeta struct {
	num  uint64
	size int64
	// Every key and range deletion in the table lies in [lo, hi). The upper bound
	// is exclusive for both, so that neighbours in a level never overlap.
	lo, hi []byte
	// Sequence numbers of its entries.
	minSeq, maxSeq uint64
	entries        uint64 // point entries
	deletes        uint64 // tombstones among them
	rangeDels      uint64 // fragments
}

// table is a table that is open for reading.
type table struct {
	tableMeta
	name  string
	f     vfs.File
	cache *blockCache
	index *block
	dels  *rangeDels
	refs  int   // states that list it
	held  int64 // memory accounted for index and deletions
	gone  bool  // no longer in the manifest
}

func openTable(fs vfs.FS, name string, meta tableMeta, cache *blockCache) (*table, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("storage: open table: %w", err)
	}
	t := &table{tableMeta: meta, name: name, f: f, cache: cache}
	if err := t.load(); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func (t *table) corrupt(off int64, format string, args ...any) error {
	return &CorruptionError{t.name, off, fmt.Sprintf(format, args...)}
}

func (t *table) load() error {
	st, err := t.f.Stat()
	if err != nil {
		return fmt.Errorf("storage: %s: %w", t.name, err)
	}
	if st.Size() != t.size || t.size < int64(footerSize) {
		return t.corrupt(0, "%d bytes long, %d in the manifest", st.Size(), t.size)
	}
	at := t.size - int64(footerSize)
	b, err := t.read(handle{uint64(at), uint64(footerSize - blockSuffix)}, nil)
	if err != nil {
		return err
	}
	if string(b[40:]) != tableMagic {
		return t.corrupt(at, "not a table")
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	if u(4) != t.entries {
		return t.corrupt(at, "%d entries, %d in the manifest", u(4), t.entries)
	}
	if h := (handle{u(0), u(1)}); h.size > 0 {
		ib, err := t.read(h, nil)
		if err != nil {
			return err
		}
		if t.index, err = parseBlock(ib); err != nil {
			return t.corrupt(int64(h.off), "index: %v", err)
		}
		t.held += int64(len(ib))
	}
	t.dels = &rangeDels{}
	if h := (handle{u(2), u(3)}); h.size > 0 {
		db, err := t.read(h, nil)
		if err != nil {
			return err
		}
		if t.dels, err = decodeRangeDels(db); err != nil {
			return t.corrupt(int64(h.off), "%v", err)
		}
		t.held += t.dels.bytes
	}
	return nil
}

// read reads and checks the bytes of one part, into buf if there is room.
func (t *table) read(h handle, buf []byte) ([]byte, error) {
	if h.size > uint64(t.size) || h.off > uint64(t.size)-h.size || h.off+h.size+blockSuffix > uint64(t.size) {
		return nil, t.corrupt(int64(h.off), "part of %d bytes in a file of %d", h.size, t.size)
	}
	b := slices.Grow(buf[:0], int(h.size+blockSuffix))[:h.size+blockSuffix]
	if n, err := t.f.ReadAt(b, int64(h.off)); n < len(b) {
		return nil, fmt.Errorf("storage: read %s at %d: %w", t.name, h.off, err)
	}
	b, sum := b[:h.size], b[h.size:]
	if checksum(b, t.num, int64(h.off)) != binary.LittleEndian.Uint32(sum) {
		return nil, t.corrupt(int64(h.off), "checksum mismatch in %d bytes", h.size)
	}
	return b, nil
}

// blockHandle says where data block i lies.
func (t *table) blockHandle(i int) (handle, error) {
	h, ok := parseHandle(t.index.at(i).val)
	if !ok {
		return h, t.corrupt(0, "index entry %d has a bad handle", i)
	}
	return h, nil
}

// block returns data block i of the index, from the cache if it is there.
func (t *table) block(i int) (*block, error) {
	h, err := t.blockHandle(i)
	if err != nil {
		return nil, err
	}
	if k := t.cache.get(t.num, h.off); k != nil {
		return k, nil
	}
	k := &block{}
	if err := t.readBlock(h, k); err != nil {
		return nil, err
	}
	t.cache.put(t.num, h.off, k)
	return k, nil
}

// readBlock reads a data block into k, whose memory it uses again.
func (t *table) readBlock(h handle, k *block) error {
	b, err := t.read(h, k.b)
	if err != nil {
		return err
	}
	if err := k.parse(b); err != nil {
		return t.corrupt(int64(h.off), "%v", err)
	}
	return nil
}

func (t *table) contains(key []byte) bool {
	return bytes.Compare(t.lo, key) <= 0 && bytes.Compare(key, t.hi) < 0
}

// get finds the newest entry of key at or below seq. It does not look at range
// deletions.
func (t *table) get(key []byte, seq uint64) (val []byte, tr trailer, ok bool, err error) {
	if t.index == nil {
		return nil, 0, false, nil
	}
	i := t.index.seekGE(key, seq)
	if i == t.index.count {
		return nil, 0, false, nil
	}
	k, err := t.block(i)
	if err != nil {
		return nil, 0, false, err
	}
	j := k.seekGE(key, seq)
	if j == k.count {
		return nil, 0, false, t.corrupt(0, "block %d ends before its index entry", i)
	}
	e := k.at(j)
	if !bytes.Equal(e.key, key) {
		return nil, 0, false, nil
	}
	return e.val, e.trailer, true, nil
}

// tableIter walks a table; it is a source of Iter.
type tableIter struct {
	t    *table
	k    *block
	i, j int // block, and entry in it
	entry
	e error
	// once: each block is read once and its bytes are valid until the next is, for
	// merges. They pass the cache by: what they read is soon to be removed.
	once bool
	own  block
}

func (i *tableIter) cur() *entry { return &i.entry }
func (i *tableIter) err() error  { return i.e }
func (i *tableIter) cover(key []byte, seq uint64) uint64 {
	return i.t.dels.cover(key, seq)
}

// enter loads block n; false past either end or on an error.
func (i *tableIter) enter(n int) bool {
	i.ok = false
	if i.e != nil || i.t.index == nil || n < 0 || n >= i.t.index.count {
		return false
	}
	if i.k == nil || i.i != n {
		if i.k, i.e = i.read(n); i.e != nil {
			i.k = nil
			return false
		}
	}
	i.i = n
	return true
}

func (i *tableIter) read(n int) (*block, error) {
	if !i.once {
		return i.t.block(n)
	}
	h, err := i.t.blockHandle(n)
	if err != nil {
		return nil, err
	}
	return &i.own, i.t.readBlock(h, &i.own)
}

func (i *tableIter) load(j int) {
	i.j = j
	i.entry = i.k.at(j)
}

func (i *tableIter) first() {
	if i.enter(0) {
		i.load(0)
	}
}

func (i *tableIter) last() {
	if i.t.index != nil && i.enter(i.t.index.count-1) {
		i.load(i.k.count - 1)
	}
}

func (i *tableIter) seekGE(key []byte, seq uint64) {
	i.ok = false
	if i.t.index == nil || !i.enter(i.t.index.seekGE(key, seq)) {
		return
	}
	if j := i.k.seekGE(key, seq); j < i.k.count {
		i.load(j)
	} else {
		i.e = i.t.corrupt(0, "block %d ends before its index entry", i.i)
	}
}

func (i *tableIter) seekLT(key []byte) {
	i.ok = false
	if i.t.index == nil {
		return
	}
	// The entry sought is before the first one of key, in the same block or in
	// the one before it.
	n := i.t.index.seekGE(key, maxSeq)
	if n == i.t.index.count {
		i.last()
		return
	}
	if !i.enter(n) {
		return
	}
	if j := i.k.seekGE(key, maxSeq); j > 0 {
		i.load(j - 1)
	} else if i.enter(n - 1) {
		i.load(i.k.count - 1)
	}
}

func (i *tableIter) next() {
	if i.j+1 < i.k.count {
		i.load(i.j + 1)
	} else if i.enter(i.i + 1) {
		i.load(0)
	}
}

func (i *tableIter) prev() {
	if i.j > 0 {
		i.load(i.j - 1)
	} else if i.enter(i.i - 1) {
		i.load(i.k.count - 1)
	}
}

// levelIter walks the tables of a level, which do not overlap and are sorted. It
// opens no more than one of them at a time.
type levelIter struct {
	tables []*table
	n      int
	it     tableIter
}

func (l *levelIter) enter(n int) bool {
	if n < 0 || n >= len(l.tables) {
		l.it = tableIter{e: l.it.e}
		return false
	}
	if l.it.t != l.tables[n] {
		l.it = tableIter{t: l.tables[n], e: l.it.e}
	}
	l.n = n
	return true
}

// findTable is the index of the first table that ends after key.
func findTable(tables []*table, key []byte) int {
	lo, hi := 0, len(tables)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(tables[mid].hi, key) > 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// settle moves over tables that have no more entries in the direction.
func (l *levelIter) settle(step int) {
	for !l.it.ok && l.it.e == nil && l.enter(l.n+step) {
		if step > 0 {
			l.it.first()
		} else {
			l.it.last()
		}
	}
}

func (l *levelIter) first() {
	if l.enter(0) {
		l.it.first()
		l.settle(1)
	}
}

func (l *levelIter) last() {
	if l.enter(len(l.tables) - 1) {
		l.it.last()
		l.settle(-1)
	}
}

func (l *levelIter) seekGE(key []byte, seq uint64) {
	if l.enter(findTable(l.tables, key)) {
		l.it.seekGE(key, seq)
		l.settle(1)
	}
}

func (l *levelIter) seekLT(key []byte) {
	n := findTable(l.tables, key)
	if n == len(l.tables) {
		l.last()
	} else if l.enter(n) {
		l.it.seekLT(key)
		l.settle(-1)
	}
}

func (l *levelIter) next()       { l.it.next(); l.settle(1) }
func (l *levelIter) prev()       { l.it.prev(); l.settle(-1) }
func (l *levelIter) cur() *entry { return &l.it.entry }
func (l *levelIter) err() error  { return l.it.e }

func (l *levelIter) cover(key []byte, seq uint64) uint64 {
	if n := findTable(l.tables, key); n < len(l.tables) {
		return l.tables[n].dels.cover(key, seq)
	}
	return 0
}
