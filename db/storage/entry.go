package storage

// trailer orders and classifies the entries of one key: sequence number in the
// upper 56 bits, kind in the lower 8.
type trailer uint64

// maxSeq is above every sequence number that a commit can get.
const maxSeq = 1<<56 - 1

func makeTrailer(seq uint64, k kind) trailer { return trailer(seq<<8 | uint64(k)) }
func (t trailer) seq() uint64                { return uint64(t >> 8) }
func (t trailer) kind() kind                 { return kind(t & 0xff) }

// entry is where a source stands. The slices stay valid after it moves on, since
// memtables and blocks never change.
type entry struct {
	key, val []byte
	trailer  trailer
	ok       bool // false: past either end, or failed
}

// source is a sorted run of entries: a memtable, a table, or a level of tables.
// Order is by key, and newest first within a key.
type source interface {
	first()
	last()
	seekGE(key []byte, seq uint64) // first entry at or after (key, seq)
	seekLT(key []byte)             // last entry before all entries of key
	next()                         // only from an entry
	prev()
	cur() *entry // always the same pointer
	err() error
	// cover is the newest range deletion of this source, at or below seq, that
	// covers key; 0 if none does.
	cover(key []byte, seq uint64) uint64
}
