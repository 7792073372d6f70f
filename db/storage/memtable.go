package storage

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// maxHeight bounds the towers of the skiplist; with a quarter of the nodes at each
// next level it serves some 4^12 entries.
const maxHeight = 12

// The words of a node: where its bytes begin in the arena, their lengths, its
// trailer, the node before it, and one successor for each level of its tower.
const (
	nodeData = iota
	nodeKeyLen
	nodeValLen
	nodeTrailerLo
	nodeTrailerHi
	nodePrev
	nodeNext
)

// memtable holds the newest commits in memory: an append-only skiplist ordered by
// key, then newest first, in two arenas. No byte in it ever changes or moves away,
// and no node that a reader can meet, so that slices of it stay valid for as long as
// anyone holds them, and a snapshot is a sequence number. (A copy-on-write tree costs ten times as much a write.)
//
// Nodes are indices into words; node 0 is the head, and as a successor it means
// "none".
type memtable struct {
	data   []byte   // keys and values
	words  []uint32 // nodes
	height int
	rng    *rand.Rand
	prevs  [maxHeight]uint32 // predecessors of the place after the last insert
	// hints are nodes of the last inserts, by a hash of what keys that are written
	// in sequence, or again and again, have in common; 0: none. See beside.
	hints [1 << hintBits]uint32

	dels rangeDels
	// log is the number of the first log file that may hold entries of this
	// memtable, prevSeq the last sequence number before it, lastSeq its own last.
	log              uint64
	prevSeq, lastSeq uint64
	entries          int
	refs             int
	accounted        int64 // what Memory was told
}

const hintBits = 7

func newMemtable(rng *rand.Rand, log, prevSeq uint64) *memtable {
	return &memtable{
		words: make([]uint32, nodeNext+maxHeight, 256), height: 1, rng: rng,
		log: log, prevSeq: prevSeq, lastSeq: prevSeq,
	}
}

// reserve makes room for as much as a former memtable held, so that the arenas of a
// busy store are not copied again and again while they grow.
func (m *memtable) reserve(former *memtable) {
	m.data = make([]byte, 0, len(former.data)+len(former.data)/16)
	m.words = append(make([]uint32, 0, len(former.words)+len(former.words)/16), m.words...)
}

// used is the number of bytes filled, which decides when to flush; held is the
// number allocated, which is accounted.
func (m *memtable) used() int64 { return int64(len(m.data)) + 4*int64(len(m.words)) + m.dels.bytes }
func (m *memtable) held() int64 { return int64(cap(m.data)) + 4*int64(cap(m.words)) + m.dels.bytes }

func (m *memtable) empty() bool { return m.entries == 0 && len(m.dels.frags) == 0 }

func (m *memtable) key(n uint32) []byte {
	off, end := m.words[n+nodeData], m.words[n+nodeData]+m.words[n+nodeKeyLen]
	return m.data[off:end:end]
}

func (m *memtable) value(n uint32) []byte {
	off := m.words[n+nodeData] + m.words[n+nodeKeyLen]
	end := off + m.words[n+nodeValLen]
	return m.data[off:end:end]
}

func (m *memtable) trailer(n uint32) trailer {
	return trailer(uint64(m.words[n+nodeTrailerLo]) | uint64(m.words[n+nodeTrailerHi])<<32)
}

func (m *memtable) next(n uint32, level int) uint32 { return m.words[int(n)+nodeNext+level] }

// apply adds the operations of a well-formed Repr under the sequence numbers from
// base on. squash lets range deletions forget older ones that they cover, and new
// versions older ones of their key, that no reader can need (see rangeDels.add).
func (m *memtable) apply(repr []byte, base uint64, squash func(seq uint64) bool) {
	seq := base
	for r := readBatch(repr); ; seq++ {
		k, key, val, ok := r.next()
		if !ok {
			break
		}
		if k == kindDeleteRange {
			m.dels.add(bytes.Clone(key), bytes.Clone(val), seq, squash)
		} else {
			m.insert(key, val, makeTrailer(seq, k), squash)
		}
		m.lastSeq = seq
	}
}

// insert adds an entry that is newer than all others of its key. Its place is
// therefore before the first node whose key is not less, whatever the trailers.
//
// A version that nobody reads is replaced in its node: of a key that is written with
// every command, as how far application has come, a memtable would otherwise hold
// thousands.
func (m *memtable) insert(key, val []byte, t trailer, squash func(seq uint64) bool) {
	hint := &m.hints[hintOf(key)]
	if n := *hint; squash != nil && n != 0 && bytes.Equal(m.key(n), key) && squash(m.trailer(n).seq()) {
		entry := m.store(key, val, t)
		copy(m.words[n:], entry[:])
		return
	}
	h := m.drawHeight()
	n := uint32(len(m.words))
	if !m.follows(key) {
		// A node of two levels makes do with one here: a search steps over a few more
		// neighbours, and most inserts need no search.
		if prev, ok := m.beside(*hint, key); ok && h <= 2 {
			h = 1
			m.push(key, val, t, h, prev)
			m.link(n, 0, prev)
			*hint = n
			return
		}
		m.findPrevs(key)
	}
	for m.height < h {
		m.prevs[m.height] = 0
		m.height++
	}
	m.push(key, val, t, h, m.prevs[0])
	for l := 0; l < h; l++ {
		m.link(n, l, m.prevs[l])
		m.prevs[l] = n
	}
	*hint = n
}

// push adds the words and bytes of a node that will follow prev, and makes prev's
// successor look back at it.
func (m *memtable) push(key, val []byte, t trailer, h int, prev uint32) {
	n := uint32(len(m.words))
	entry := m.store(key, val, t)
	m.words = room(m.words, nodeNext+h)
	m.words = append(append(m.words, entry[:]...), prev)
	m.words = m.words[:len(m.words)+h]
	m.words[m.next(prev, 0)+nodePrev] = n // of the head, when there is no next: the last node
	m.entries++
}

// store puts key and value in the arena, and returns the words of a node that say so.
func (m *memtable) store(key, val []byte, t trailer) [nodePrev]uint32 {
	off := uint32(len(m.data))
	m.data = append(append(room(m.data, len(key)+len(val)), key...), val...)
	return [nodePrev]uint32{off, uint32(len(key)), uint32(len(val)), uint32(t), uint32(t >> 32)}
}

// link puts node n after prev at one level.
func (m *memtable) link(n uint32, level int, prev uint32) {
	m.words[int(n)+nodeNext+level] = m.next(prev, level)
	m.words[int(prev)+nodeNext+level] = n
}

// hintOf hashes what the keys of a log have in common, all but the last bytes, to
// an index of hints.
func hintOf(key []byte) uint64 {
	if len(key) < 12 {
		return 0
	}
	common := binary.LittleEndian.Uint64(key[2:]) + binary.LittleEndian.Uint64(key[len(key)-10:])>>3
	return common * 0x9e3779b97f4a7c15 >> (64 - hintBits)
}

// follows reports that key's place is right after the last insert, which one
// comparison on either side tells. Then prevs are its predecessors.
func (m *memtable) follows(key []byte) bool {
	p := m.prevs[0]
	if p == 0 || bytes.Compare(m.key(p), key) >= 0 {
		return false
	}
	nx := m.next(p, 0)
	return nx == 0 || bytes.Compare(m.key(nx), key) >= 0
}

// beside finds the predecessor of key at the lowest level, which is all that most
// nodes need, if it is node n, as for the next entry of a log, or the one before n,
// as for a new version of n's key.
func (m *memtable) beside(n uint32, key []byte) (prev uint32, ok bool) {
	if n == 0 {
		return 0, false
	}
	if bytes.Compare(m.key(n), key) < 0 {
		nx := m.next(n, 0)
		return n, nx == 0 || bytes.Compare(m.key(nx), key) >= 0
	}
	p := m.words[n+nodePrev]
	return p, p == 0 || bytes.Compare(m.key(p), key) < 0
}

// room makes an arena twice as large when n more would not fit. By itself append
// grows a large slice by a quarter, and so copies and allocates three times as much.
func room[T any](arena []T, n int) []T {
	if len(arena)+n <= cap(arena) {
		return arena
	}
	larger := make([]T, len(arena), max(2*cap(arena), len(arena)+n, 512))
	copy(larger, arena)
	return larger
}

// findPrevs sets prevs to the last node before key at each level.
func (m *memtable) findPrevs(key []byte) {
	n, stop := uint32(0), uint32(0)
	for l := m.height - 1; l >= 0; l-- {
		for {
			nx := m.next(n, l)
			if nx == stop || bytes.Compare(m.key(nx), key) >= 0 {
				stop = nx
				break
			}
			n = nx
		}
		m.prevs[l] = n
	}
}

func (m *memtable) drawHeight() int {
	return min(1+bits.TrailingZeros32(m.rng.Uint32()|1<<30)/2, maxHeight)
}

// seekGE is the first node at or after (key, seq), 0 if there is none. Of one key
// the newest comes first, so "after" means an older sequence number.
func (m *memtable) seekGE(key []byte, seq uint64) uint32 {
	n, stop := uint32(0), uint32(0)
	for l := m.height - 1; l >= 0; l-- {
		for {
			nx := m.next(n, l)
			if nx == stop {
				break
			}
			if c := bytes.Compare(m.key(nx), key); c > 0 || c == 0 && m.trailer(nx).seq() <= seq {
				stop = nx
				break
			}
			n = nx
		}
	}
	return stop
}

// seekLT is the last node before all entries of key, 0 if there is none.
func (m *memtable) seekLT(key []byte) uint32 {
	n, stop := uint32(0), uint32(0)
	for l := m.height - 1; l >= 0; l-- {
		for {
			nx := m.next(n, l)
			if nx == stop || bytes.Compare(m.key(nx), key) >= 0 {
				stop = nx
				break
			}
			n = nx
		}
	}
	return n
}

// get finds the newest entry of key at or below seq.
func (m *memtable) get(key []byte, seq uint64) (val []byte, t trailer, ok bool) {
	n := m.seekGE(key, seq)
	if n == 0 || !bytes.Equal(m.key(n), key) {
		return nil, 0, false
	}
	return m.value(n), m.trailer(n), true
}

// memIter walks a memtable; it is a source of Iter.
type memIter struct {
	m *memtable
	n uint32
	entry
}

func (i *memIter) load(n uint32) {
	i.n = n
	if i.ok = n != 0; i.ok {
		i.key, i.val, i.trailer = i.m.key(n), i.m.value(n), i.m.trailer(n)
	}
}

func (i *memIter) first()                        { i.load(i.m.next(0, 0)) }
func (i *memIter) last()                         { i.load(i.m.words[nodePrev]) }
func (i *memIter) seekGE(key []byte, seq uint64) { i.load(i.m.seekGE(key, seq)) }
func (i *memIter) seekLT(key []byte)             { i.load(i.m.seekLT(key)) }
func (i *memIter) next()                         { i.load(i.m.next(i.n, 0)) }
func (i *memIter) prev()                         { i.load(i.m.words[i.n+nodePrev]) }
func (i *memIter) cur() *entry                   { return &i.entry }
func (i *memIter) err() error                    { return nil }
func (i *memIter) cover(key []byte, seq uint64) uint64 {
	return i.m.dels.cover(key, seq)
}
