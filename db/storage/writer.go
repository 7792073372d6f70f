package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableWriter writes one table from entries that come in order.
type tableWriter struct {
	e     *Engine
	f     vfs.File
	meta  tableMeta
	buf   []byte // what the file system has not been handed yet
	off   int64  // where the next part goes
	data  blockBuilder
	index blockBuilder
	place []byte // scratch: an encoded handle
	last  struct {
		key     []byte
		trailer trailer
	}
}

// writeChunk is how much a tableWriter gathers before it writes.
const writeChunk = 128 << 10

func (e *Engine) newTable() (*tableWriter, error) {
	num := e.newFile()
	f, err := e.fs.Create(e.path(tableName(num)), writeCategory)
	if err != nil {
		return nil, fmt.Errorf("storage: create %s: %w", tableName(num), err)
	}
	w := &tableWriter{e: e}
	if e.writer != nil {
		w, e.writer = e.writer, nil
	}
	w.f, w.meta, w.off = f, tableMeta{num: num, minSeq: maxSeq}, 0
	return w, nil
}

// retire keeps the buffers of a writer that has finished for the next one: they
// are larger than most tables.
func (w *tableWriter) retire() {
	w.index.reset()
	w.f, w.meta = nil, tableMeta{}
	w.e.writer = w
}

// size is roughly what the table would hold if it were finished now.
func (w *tableWriter) size() int64 { return w.off + int64(w.data.size()) }

func (w *tableWriter) add(key, val []byte, t trailer) error {
	if !w.data.empty() && w.data.size() >= w.e.limits.block {
		if err := w.endBlock(); err != nil {
			return err
		}
	}
	if w.meta.entries == 0 {
		w.meta.lo = bytes.Clone(key)
	}
	w.data.add(key, val, t)
	w.last.key, w.last.trailer = append(w.last.key[:0], key...), t
	w.meta.entries++
	if t.kind() == kindDelete {
		w.meta.deletes++
	}
	w.meta.minSeq, w.meta.maxSeq = min(w.meta.minSeq, t.seq()), max(w.meta.maxSeq, t.seq())
	return nil
}

func (w *tableWriter) endBlock() error {
	h, err := w.part(w.data.finish())
	w.data.reset()
	w.place = h.append(w.place[:0])
	w.index.add(w.last.key, w.place, w.last.trailer)
	return err
}

// part appends b and its checksum.
func (w *tableWriter) part(b []byte) (handle, error) {
	h := handle{uint64(w.off), uint64(len(b))}
	w.buf = append(w.buf, b...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, checksum(b, w.meta.num, w.off))
	w.off += int64(len(b)) + blockSuffix
	if len(w.buf) < writeChunk {
		return h, nil
	}
	return h, w.write()
}

func (w *tableWriter) write() error {
	_, err := w.f.Write(w.buf)
	w.buf = w.buf[:0]
	if err != nil {
		return fmt.Errorf("storage: write %s: %w", tableName(w.meta.num), err)
	}
	return nil
}

// finish adds the range deletions and makes the file durable; its directory entry
// is the caller's to sync.
func (w *tableWriter) finish(frags []fragment) (tableMeta, error) {
	if !w.data.empty() {
		if err := w.endBlock(); err != nil {
			return w.meta, err
		}
	}
	if w.meta.entries > 0 {
		w.meta.hi = append(bytes.Clone(w.last.key), 0)
	}
	w.bound(frags)
	var parts [4]uint64
	if len(frags) > 0 {
		h, err := w.part(encodeRangeDels(nil, frags))
		if err != nil {
			return w.meta, err
		}
		parts[2], parts[3] = h.off, h.size
	}
	if !w.index.empty() {
		h, err := w.part(w.index.finish())
		if err != nil {
			return w.meta, err
		}
		parts[0], parts[1] = h.off, h.size
	}
	var foot []byte
	for _, u := range parts {
		foot = binary.LittleEndian.AppendUint64(foot, u)
	}
	foot = binary.LittleEndian.AppendUint64(foot, w.meta.entries)
	if _, err := w.part(append(foot, tableMagic...)); err != nil {
		return w.meta, err
	}
	w.meta.size = w.off
	err := w.write()
	if err != nil {
		return w.meta, err
	}
	if err = w.f.Sync(); err == nil {
		err = w.f.Close()
	}
	if err != nil {
		return w.meta, fmt.Errorf("storage: sync %s: %w", tableName(w.meta.num), err)
	}
	meta := w.meta
	w.retire()
	return meta, nil
}

// bound widens the table's bounds to its range deletions.
func (w *tableWriter) bound(frags []fragment) {
	m := &w.meta
	for i, f := range frags {
		if i == 0 && (m.lo == nil || bytes.Compare(f.lo, m.lo) < 0) {
			m.lo = bytes.Clone(f.lo)
		}
		if m.hi == nil || bytes.Compare(f.hi, m.hi) > 0 {
			m.hi = bytes.Clone(f.hi)
		}
		for _, s := range f.seqs {
			m.minSeq, m.maxSeq = min(m.minSeq, s), max(m.maxSeq, s)
		}
	}
	m.rangeDels = uint64(len(frags))
}
