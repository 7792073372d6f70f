package storage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Logs and manifests are sequences of records:
//
//	u32 checksum | u32 length | u64 synced | payload
//
// "synced" is the length of the file that was known to be durable when the record
// was made. It is what tells a torn tail from rot: after a power loss any subset of
// the unsynced sectors may be missing, so a bad record followed by good ones is
// normal, unless one of them swears that the bad place was durable before it.
//
// The checksum (CRC-32C over all that follows it) starts from the file's number and
// the record's offset: bytes that the device brings back from another file or
// place do not pass, and neither does a record embedded in a value.
const recordHeader = 16

// maxRecord bounds a payload.
const maxRecord = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of b, started from the place where b lives.
func checksum(b []byte, file uint64, off int64) uint32 {
	salt := (file+1)*0x9e3779b97f4a7c15 ^ uint64(off+1)*0xbf58476d1ce4e5b9
	return crc32.Update(uint32(salt>>32), castagnoli, b)
}

// appendRecord appends to dst the record that will lie at off in the file, with
// the given head and tail as payload.
func appendRecord(dst []byte, file uint64, off, synced int64, head, tail []byte) []byte {
	at := len(dst)
	var h [recordHeader]byte
	binary.LittleEndian.PutUint32(h[4:], uint32(len(head)+len(tail)))
	binary.LittleEndian.PutUint64(h[8:], uint64(synced))
	dst = append(dst, h[:]...)
	dst = append(dst, head...)
	dst = append(dst, tail...)
	binary.LittleEndian.PutUint32(dst[at:], checksum(dst[at+4:], file, off))
	return dst
}

// CorruptionError says that bytes which had been durable are not what was written.
type CorruptionError struct {
	File   string
	Offset int64
	Reason string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("storage: %s is corrupt at offset %d: %s", e.File, e.Offset, e.Reason)
}

// recordReader reads the records of a whole file.
type recordReader struct {
	name string
	file uint64
	b    []byte
	off  int
}

// next returns the next payload. At the end of what was written, or of what a
// crash left of it, ok is false. err says that durable bytes are damaged.
func (r *recordReader) next() (payload []byte, ok bool, err error) {
	payload, _, ok = r.at(r.off)
	if ok {
		r.off += recordHeader + len(payload)
		return payload, true, nil
	}
	return nil, false, r.judgeTail()
}

// torn reports whether bytes follow the last good record.
func (r *recordReader) torn() bool { return r.off < len(r.b) }

// at parses the record at off.
func (r *recordReader) at(off int) (payload []byte, synced int64, ok bool) {
	if len(r.b)-off < recordHeader {
		return nil, 0, false
	}
	h := r.b[off:]
	n := int64(binary.LittleEndian.Uint32(h[4:]))
	s := binary.LittleEndian.Uint64(h[8:])
	if n == 0 || n > int64(len(h)-recordHeader) || s > uint64(off) {
		return nil, 0, false
	}
	end := recordHeader + int(n)
	if checksum(h[4:end], r.file, int64(off)) != binary.LittleEndian.Uint32(h) {
		return nil, 0, false
	}
	return h[recordHeader:end:end], int64(s), true
}

// judgeTail looks behind the first bad record for one that was written when the
// bad place was durable already. The length of the bad record may be damaged too,
// so every offset is tried; nearly all fail before the checksum.
func (r *recordReader) judgeTail() error {
	for p := r.off + 1; p+recordHeader <= len(r.b); {
		payload, synced, ok := r.at(p)
		if !ok {
			p++
			continue
		}
		if synced > int64(r.off) {
			return &CorruptionError{r.name, int64(r.off),
				fmt.Sprintf("bad record, but the one at %d was written when %d bytes were durable", p, synced)}
		}
		p += recordHeader + len(payload)
	}
	return nil
}

// readFile reads a whole file.
func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, st.Size())
	if len(b) == 0 {
		return b, nil
	}
	n, err := f.ReadAt(b, 0)
	if n == len(b) {
		err = nil
	}
	return b[:n], err
}
