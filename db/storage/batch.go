package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// kind says what an entry does to its key. The values are part of the formats of
// batches, logs and tables.
type kind uint8

const (
	kindDelete      kind = 0 // the key is absent
	kindPut         kind = 1 // the key has a value
	kindDeleteRange kind = 2 // all keys of [key, value) are absent
	numKinds             = 3
)

// batchHeader is the size of what a batch's bytes begin with: the number of its
// operations, so that Len and the sequence numbers need no decoding.
const batchHeader = 4

// Batch collects operations that Commit makes visible and durable together. Later
// operations of a batch win over earlier ones. Its bytes (Repr) are what the log
// holds and what replicated commands carry:
//
//	u32 count | { kind | uvarint len(key) | key | [ uvarint len(value) | value ] }*
//
// with the value absent for deletions, and the end key in its place for range
// deletions. The zero Batch is empty and ready to use.
type Batch struct {
	data []byte // empty, or header and operations
}

// Put sets key k to value v.
func (b *Batch) Put(k, v []byte) {
	b.begin(kindPut, k)
	b.data = binary.AppendUvarint(b.data, uint64(len(v)))
	b.data = append(b.data, v...)
}

// Delete removes key k, whether it is there or not.
func (b *Batch) Delete(k []byte) { b.begin(kindDelete, k) }

// DeleteRange removes all keys k with lo <= k < hi. An empty range is no operation.
func (b *Batch) DeleteRange(lo, hi []byte) {
	if bytes.Compare(lo, hi) >= 0 {
		return
	}
	b.begin(kindDeleteRange, lo)
	b.data = binary.AppendUvarint(b.data, uint64(len(hi)))
	b.data = append(b.data, hi...)
}

func (b *Batch) begin(k kind, key []byte) {
	if len(b.data) == 0 {
		b.data = append(b.data, 0, 0, 0, 0)
	}
	binary.LittleEndian.PutUint32(b.data, binary.LittleEndian.Uint32(b.data)+1)
	b.data = append(b.data, byte(k))
	b.data = binary.AppendUvarint(b.data, uint64(len(key)))
	b.data = append(b.data, key...)
}

// Len is the number of operations.
func (b *Batch) Len() int {
	if len(b.data) == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(b.data))
}

// Empty reports whether there is no operation.
func (b *Batch) Empty() bool { return b.Len() == 0 }

// Size is the number of bytes of Repr.
func (b *Batch) Size() int { return len(b.data) }

// Reset makes the batch empty and keeps its memory.
func (b *Batch) Reset() { b.data = b.data[:0] }

// Repr is the batch's bytes, which belong to the batch: valid until it changes.
// An empty batch may have none.
func (b *Batch) Repr() []byte { return b.data }

// SetRepr makes b the batch whose Repr was r, of which it keeps a copy. It returns
// an error and leaves b empty when r is not the Repr of any batch.
func (b *Batch) SetRepr(r []byte) error {
	b.Reset()
	if err := checkRepr(r); err != nil {
		return err
	}
	b.data = append(b.data, r...)
	return nil
}

// AppendRepr adds the operations of the batch whose Repr was r, after the own
// ones. It returns an error and leaves b as it was when r is not a batch's.
func (b *Batch) AppendRepr(r []byte) error {
	if err := checkRepr(r); err != nil {
		return err
	}
	if len(r) == 0 {
		return nil
	}
	if len(b.data) == 0 {
		b.data = append(b.data, r...)
		return nil
	}
	n := binary.LittleEndian.Uint32(b.data) + binary.LittleEndian.Uint32(r)
	b.data = append(b.data, r[batchHeader:]...)
	binary.LittleEndian.PutUint32(b.data, n)
	return nil
}

// Op is one operation of a batch, for those who print or inspect it.
type Op struct {
	Kind  string // "put", "delete" or "delete-range"
	Key   []byte
	Value []byte // of a put; of a delete-range the end key
}

// Ops lists the operations. They share the batch's memory.
func (b *Batch) Ops() []Op {
	var ops []Op
	for r := readBatch(b.data); ; {
		k, key, val, ok := r.next()
		if !ok {
			return ops
		}
		ops = append(ops, Op{Kind: k.String(), Key: key, Value: val})
	}
}

// String lists the operations, a line each.
func (b *Batch) String() string {
	var s bytes.Buffer
	for _, op := range b.Ops() {
		fmt.Fprintf(&s, "%s %q", op.Kind, op.Key)
		if op.Kind != kindDelete.String() {
			fmt.Fprintf(&s, " %q", op.Value)
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func (k kind) String() string {
	switch k {
	case kindPut:
		return "put"
	case kindDelete:
		return "delete"
	case kindDeleteRange:
		return "delete-range"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// batchReader walks the operations of a Repr that checkRepr has passed, or that a
// Batch made. It stops at the first malformed one.
type batchReader struct{ rest []byte }

func readBatch(repr []byte) batchReader {
	if len(repr) < batchHeader {
		return batchReader{}
	}
	return batchReader{rest: repr[batchHeader:]}
}

func (r *batchReader) next() (k kind, key, val []byte, ok bool) {
	if len(r.rest) == 0 || r.rest[0] >= numKinds {
		return 0, nil, nil, false
	}
	k = kind(r.rest[0])
	key, rest, ok := cutBytes(r.rest[1:])
	if ok && k != kindDelete {
		val, rest, ok = cutBytes(rest)
	}
	if !ok {
		return 0, nil, nil, false
	}
	r.rest = rest
	return k, key, val, true
}

var errBatch = errors.New("storage: malformed batch")

func checkRepr(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if len(b) < batchHeader {
		return fmt.Errorf("%w: %d bytes", errBatch, len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	r := readBatch(b)
	for i := uint32(0); i < n; i++ {
		k, key, val, ok := r.next()
		if !ok {
			return fmt.Errorf("%w: operation %d of %d", errBatch, i, n)
		}
		if k == kindDeleteRange && bytes.Compare(key, val) >= 0 {
			return fmt.Errorf("%w: operation %d deletes an empty range", errBatch, i)
		}
	}
	if len(r.rest) > 0 {
		return fmt.Errorf("%w: %d bytes after %d operations", errBatch, len(r.rest), n)
	}
	return nil
}

// cutBytes splits off a length and that many bytes.
func cutBytes(b []byte) (s, rest []byte, ok bool) {
	// Nearly all lengths fit one byte.
	if len(b) > 0 && b[0] < 0x80 {
		n := int(b[0])
		if n > len(b)-1 {
			return nil, nil, false
		}
		return b[1 : 1+n : 1+n], b[1+n:], true
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	end := w + int(n)
	return b[w:end:end], b[end:], true
}
