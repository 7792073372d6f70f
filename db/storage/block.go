package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
)

// A block is a sorted run of entries with an array of their offsets at its end, so
// that a search is binary and stepping back is as cheap as stepping on:
//
//	{ u64 trailer | uvarint len(key) | key | value }* | u32 offset ... | u32 count
//
// Shared prefixes are not cut. That would save a third of the space and cost both
// of those properties.
type block struct {
	b     []byte
	count int
	table int // where the offsets begin
}

// blockBuilder makes a block from entries that come in order.
type blockBuilder struct {
	b       []byte
	offsets []uint32
}

func (w *blockBuilder) add(key, val []byte, t trailer) {
	w.offsets = append(w.offsets, uint32(len(w.b)))
	w.b = binary.LittleEndian.AppendUint64(w.b, uint64(t))
	w.b = binary.AppendUvarint(w.b, uint64(len(key)))
	w.b = append(w.b, key...)
	w.b = append(w.b, val...)
}

func (w *blockBuilder) size() int   { return len(w.b) + 4*len(w.offsets) + 4 }
func (w *blockBuilder) empty() bool { return len(w.offsets) == 0 }

// finish returns the block's bytes, valid until reset.
func (w *blockBuilder) finish() []byte {
	for _, o := range w.offsets {
		w.b = binary.LittleEndian.AppendUint32(w.b, o)
	}
	return binary.LittleEndian.AppendUint32(w.b, uint32(len(w.offsets)))
}

func (w *blockBuilder) reset() { w.b, w.offsets = w.b[:0], w.offsets[:0] }

// parseBlock checks the whole layout once, so that walking a block needs no errors:
// offsets in place, entries inside, in order.
func parseBlock(b []byte) (*block, error) {
	k := &block{}
	if err := k.parse(b); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *block) parse(b []byte) error {
	if len(b) < 4 {
		return fmt.Errorf("block of %d bytes", len(b))
	}
	n := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	if n == 0 || 4*n+4 > uint64(len(b)) {
		return fmt.Errorf("block of %d bytes with %d entries", len(b), n)
	}
	*k = block{b: b, count: int(n), table: len(b) - 4 - 4*int(n)}
	end := k.table
	for i := k.count - 1; i >= 0; i-- {
		off := int(binary.LittleEndian.Uint32(b[k.table+4*i:]))
		if off >= end || off+8 > end {
			return fmt.Errorf("entry %d at %d ends at %d", i, off, end)
		}
		if _, _, ok := cutBytes(b[off+8 : end]); !ok {
			return fmt.Errorf("entry %d has no key", i)
		}
		end = off
	}
	if end != 0 {
		return fmt.Errorf("first entry at %d", end)
	}
	p := k.at(0)
	for i := 1; i < k.count; i++ {
		q := k.at(i)
		if c := bytes.Compare(p.key, q.key); c > 0 || c == 0 && p.trailer <= q.trailer {
			return fmt.Errorf("entry %d is out of order", i)
		}
		p = q
	}
	return nil
}

// at decodes entry i.
func (k *block) at(i int) entry {
	off := binary.LittleEndian.Uint32(k.b[k.table+4*i:])
	end := uint32(k.table)
	if i+1 < k.count {
		end = binary.LittleEndian.Uint32(k.b[k.table+4*i+4:])
	}
	b := k.b[off:end:end]
	key, val, _ := cutBytes(b[8:])
	return entry{key: key, val: val, trailer: trailer(binary.LittleEndian.Uint64(b)), ok: true}
}

// seekGE is the index of the first entry at or after (key, seq), count if none.
func (k *block) seekGE(key []byte, seq uint64) int {
	lo, hi := 0, k.count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		e := k.b[binary.LittleEndian.Uint32(k.b[k.table+4*mid:]):]
		if c := bytes.Compare(entryKey(e), key); c < 0 || c == 0 && trailer(binary.LittleEndian.Uint64(e)).seq() > seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// entryKey is the key of the entry that b begins with, which parse has checked. A
// search asks for nothing else of most entries, and nearly all lengths fit one byte.
func entryKey(b []byte) []byte {
	if n := int(b[8]); n < 0x80 {
		return b[9 : 9+n]
	}
	n, w := binary.Uvarint(b[8:])
	return b[8+w : 8+w+int(n)]
}

// handle says where a block lies in a file; its checksum follows it.
type handle struct{ off, size uint64 }

func (h handle) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, h.off), h.size)
}

func parseHandle(b []byte) (h handle, ok bool) {
	var n, m int
	h.off, n = binary.Uvarint(b)
	if n <= 0 {
		return h, false
	}
	h.size, m = binary.Uvarint(b[n:])
	return h, m > 0 && n+m == len(b)
}

// encodeRangeDels lays fragments out as
//
//	{ uvarint len | lo | uvarint len | hi | uvarint count | u64 seq ... }*
func encodeRangeDels(b []byte, frags []fragment) []byte {
	for _, f := range frags {
		b = appendBytes(appendBytes(b, f.lo), f.hi)
		b = binary.AppendUvarint(b, uint64(len(f.seqs)))
		for _, s := range f.seqs {
			b = binary.LittleEndian.AppendUint64(b, s)
		}
	}
	return b
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeRangeDels is the inverse of encodeRangeDels; it checks the order.
func decodeRangeDels(b []byte) (*rangeDels, error) {
	r := &rangeDels{}
	var prev []byte
	for len(b) > 0 {
		var f fragment
		var ok bool
		if f.lo, b, ok = cutBytes(b); ok {
			f.hi, b, ok = cutBytes(b)
		}
		if !ok || bytes.Compare(f.lo, f.hi) >= 0 || bytes.Compare(f.lo, prev) < 0 {
			return nil, fmt.Errorf("range deletion %d is malformed", len(r.frags))
		}
		n, w := binary.Uvarint(b)
		if w <= 0 || n == 0 || n > uint64(len(b)-w)/8 {
			return nil, fmt.Errorf("range deletion %d has a bad count", len(r.frags))
		}
		b = b[w:]
		for i := uint64(0); i < n; i++ {
			f.seqs = append(f.seqs, binary.LittleEndian.Uint64(b))
			b = b[8:]
		}
		if !sort.SliceIsSorted(f.seqs, func(i, j int) bool { return f.seqs[i] > f.seqs[j] }) {
			return nil, fmt.Errorf("range deletion %d is out of order", len(r.frags))
		}
		prev = f.hi
		r.frags = append(r.frags, f)
		r.bytes += f.size()
	}
	return r, nil
}
