package storage

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Names of files in a store's directory. Numbers are never used twice.
const (
	currentName = "CURRENT"
	currentTemp = "CURRENT.tmp"
)

// writeCategory labels writes for file systems that count by purpose.
const writeCategory = vfs.DiskWriteCategory("simulacrum-storage")

func logName(n uint64) string      { return fmt.Sprintf("%06d.log", n) }
func tableName(n uint64) string    { return fmt.Sprintf("%06d.sst", n) }
func manifestName(n uint64) string { return fmt.Sprintf("MANIFEST-%06d", n) }

type fileKind uint8

const (
	fileOther fileKind = iota
	fileLog
	fileTable
	fileManifest
	fileTemp
)

// parseName is the inverse of the three name functions.
func parseName(name string) (k fileKind, n uint64) {
	digits, k := name, fileOther
	switch {
	case name == currentTemp:
		return fileTemp, 0
	case strings.HasSuffix(name, ".log"):
		digits, k = strings.TrimSuffix(name, ".log"), fileLog
	case strings.HasSuffix(name, ".sst"):
		digits, k = strings.TrimSuffix(name, ".sst"), fileTable
	case strings.HasPrefix(name, "MANIFEST-"):
		digits, k = strings.TrimPrefix(name, "MANIFEST-"), fileManifest
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || k == fileOther {
		return fileOther, 0
	}
	return k, n
}

// manifest is the file to which layout edits go, in the format of the log. Who
// appends holds Engine.manifestTurn, because each append waits for its sync.
type manifest struct {
	num  uint64
	f    vfs.File
	size int64
	base int64 // size of the first edit, which lists everything
	l    layout
}

// readManifest returns the layout that the directory's current manifest describes;
// found is false when there is no CURRENT.
func readManifest(fs vfs.FS, dir string, names []string) (l layout, num uint64, found bool, err error) {
	for _, name := range names {
		found = found || name == currentName
	}
	if !found {
		return l, 0, false, nil
	}
	path := fs.PathJoin(dir, currentName)
	b, err := readFile(fs, path)
	if err != nil {
		return l, 0, true, fmt.Errorf("storage: read %s: %w", path, err)
	}
	num, err = decodeCurrent(b)
	if err != nil {
		return l, 0, true, &CorruptionError{path, 0, err.Error()}
	}
	path = fs.PathJoin(dir, manifestName(num))
	b, err = readFile(fs, path)
	if err != nil {
		return l, num, true, fmt.Errorf("storage: read %s, which CURRENT names: %w", path, err)
	}
	l, err = decodeManifest(path, num, b)
	return l, num, true, err
}

// encodeCurrent is the content of CURRENT: the manifest's number and a checksum.
func encodeCurrent(num uint64) []byte {
	b := append([]byte(manifestName(num)), '\n')
	return binary.LittleEndian.AppendUint32(b, checksum(b, num, 0))
}

func decodeCurrent(b []byte) (uint64, error) {
	if len(b) < 5 {
		return 0, fmt.Errorf("%d bytes", len(b))
	}
	text := b[:len(b)-4]
	k, num := parseName(strings.TrimSuffix(string(text), "\n"))
	if k != fileManifest || binary.LittleEndian.Uint32(b[len(text):]) != checksum(text, num, 0) {
		return 0, fmt.Errorf("%q names no manifest", b)
	}
	return num, nil
}

// decodeManifest replays the edits. Each was synced before anything relied on it,
// so that what a crash tore off the end is not missed.
func decodeManifest(name string, num uint64, b []byte) (l layout, err error) {
	r := recordReader{name: name, file: num, b: b}
	for n := 0; ; n++ {
		at := r.off
		payload, ok, err := r.next()
		if err != nil {
			return l, err
		}
		if !ok {
			if n == 0 {
				return l, &CorruptionError{name, 0, "no first edit"}
			}
			return l, nil
		}
		var e edit
		if err = e.decode(payload); err == nil {
			err = l.apply(&e)
		}
		if err != nil {
			return l, &CorruptionError{name, int64(at), err.Error()}
		}
	}
}

// newManifest writes l as the first edit of a new file and makes CURRENT name it.
// The old manifest stays valid until the directory is synced after the rename, and
// is removed after that.
func (e *Engine) newManifest(l layout) error {
	old := e.manifest
	num := e.newFile()
	l.nextFile = e.nextFile
	m := manifest{num: num, l: l}
	f, err := e.fs.Create(e.path(manifestName(num)), writeCategory)
	if err != nil {
		return fmt.Errorf("storage: create %s: %w", manifestName(num), err)
	}
	m.f = f
	b := appendRecord(nil, num, 0, 0, l.snapshot().encode(nil), nil)
	m.size, m.base = int64(len(b)), int64(len(b))
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = e.syncDir(e.dir)
	}
	if err != nil {
		return fmt.Errorf("storage: write %s: %w", manifestName(num), err)
	}
	e.env.Probe(ProbeManifestNew)
	if err := e.setCurrent(num); err != nil {
		return fmt.Errorf("storage: name %s in CURRENT: %w", manifestName(num), err)
	}
	e.manifest = m
	if old.f != nil {
		if err := old.f.Close(); err != nil {
			return fmt.Errorf("storage: close %s: %w", manifestName(old.num), err)
		}
		e.remove(manifestName(old.num))
	}
	return nil
}

// setCurrent replaces CURRENT by way of a rename, which a crash leaves either done
// or undone.
func (e *Engine) setCurrent(num uint64) error {
	f, err := e.fs.Create(e.path(currentTemp), writeCategory)
	if err != nil {
		return err
	}
	if _, err = f.Write(encodeCurrent(num)); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := e.fs.Rename(e.path(currentTemp), e.path(currentName)); err != nil {
		return err
	}
	e.env.Probe(ProbeCurrentRenamed)
	return e.syncDir(e.dir)
}

// logEdit makes the edit durable. The caller has the manifest's turn.
func (e *Engine) logEdit(ed *edit) error {
	m := &e.manifest
	ed.nextFile = e.nextFile
	next := m.l
	if err := next.apply(ed); err != nil {
		panic(fmt.Sprintf("storage: an edit that does not fit the layout: %v", err))
	}
	// A file that has grown to several times its first edit, however long that is:
	// so rewriting costs no more than a constant factor.
	if m.size > e.limits.manifest+2*m.base {
		return e.newManifest(next)
	}
	b := appendRecord(nil, m.num, m.size, m.size, ed.encode(nil), nil)
	if _, err := m.f.Write(b); err != nil {
		return fmt.Errorf("storage: write %s: %w", manifestName(m.num), err)
	}
	if err := m.f.Sync(); err != nil {
		return fmt.Errorf("storage: sync %s: %w", manifestName(m.num), err)
	}
	m.size += int64(len(b))
	m.l = next
	return nil
}
