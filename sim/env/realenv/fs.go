package realenv

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errDead = errors.New("file system of a dead process")

// procFS is a directory of vfs.Default as the root of one incarnation's files.
type procFS struct {
	vfs.FS // vfs.Default: for the methods on paths alone
	proc   *Proc
	dir    string
	open   map[io.Closer]struct{} // closed at death, locks among them
}

func newProcFS(p *Proc, dir string) *procFS {
	return &procFS{FS: vfs.Default, proc: p, dir: dir, open: map[io.Closer]struct{}{}}
}

// release closes whatever the dead incarnation had open.
func (f *procFS) release() {
	for c := range f.open {
		c.Close()
	}
	f.open = nil
}

// path maps a name of the process to one of the host. The root directory is made
// when first used.
func (f *procFS) path(name string) (string, error) {
	if f.proc.dead {
		return "", errDead
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return "", err
	}
	return filepath.Join(f.dir, filepath.Join("/", name)), nil
}

func (f *procFS) opened(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	f.open[file] = struct{}{}
	return &procFile{File: file, fs: f}, nil
}

// Create implements vfs.FS.
func (f *procFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return f.opened(f.FS.Create(path, c))
}

// Link implements vfs.FS.
func (f *procFS) Link(oldname, newname string) error {
	return f.pair(oldname, newname, f.FS.Link)
}

// Rename implements vfs.FS.
func (f *procFS) Rename(oldname, newname string) error {
	return f.pair(oldname, newname, f.FS.Rename)
}

func (f *procFS) pair(oldname, newname string, fn func(string, string) error) error {
	from, err := f.path(oldname)
	if err != nil {
		return err
	}
	to, err := f.path(newname)
	if err != nil {
		return err
	}
	return fn(from, to)
}

// Open implements vfs.FS.
func (f *procFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return f.opened(f.FS.Open(path, opts...))
}

// OpenReadWrite implements vfs.FS.
func (f *procFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return f.opened(f.FS.OpenReadWrite(path, c, opts...))
}

// OpenDir implements vfs.FS.
func (f *procFS) OpenDir(name string) (vfs.File, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return f.opened(f.FS.OpenDir(path))
}

// Remove implements vfs.FS.
func (f *procFS) Remove(name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	return f.FS.Remove(path)
}

// RemoveAll implements vfs.FS.
func (f *procFS) RemoveAll(name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	return f.FS.RemoveAll(path)
}

// ReuseForWrite implements vfs.FS.
func (f *procFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	from, err := f.path(oldname)
	if err != nil {
		return nil, err
	}
	to, err := f.path(newname)
	if err != nil {
		return nil, err
	}
	return f.opened(f.FS.ReuseForWrite(from, to, c))
}

// MkdirAll implements vfs.FS.
func (f *procFS) MkdirAll(dir string, perm os.FileMode) error {
	path, err := f.path(dir)
	if err != nil {
		return err
	}
	return f.FS.MkdirAll(path, perm)
}

// Lock implements vfs.FS. Death releases the lock.
func (f *procFS) Lock(name string) (io.Closer, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	l, err := f.FS.Lock(path)
	if err != nil {
		return nil, err
	}
	f.open[l] = struct{}{}
	return &procLock{fs: f, lock: l}, nil
}

// List implements vfs.FS.
func (f *procFS) List(dir string) ([]string, error) {
	path, err := f.path(dir)
	if err != nil {
		return nil, err
	}
	return f.FS.List(path)
}

// Stat implements vfs.FS.
func (f *procFS) Stat(name string) (vfs.FileInfo, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return f.FS.Stat(path)
}

// GetDiskUsage implements vfs.FS.
func (f *procFS) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	path, err := f.path(name)
	if err != nil {
		return vfs.DiskUsage{}, err
	}
	return f.FS.GetDiskUsage(path)
}

// Unwrap implements vfs.FS. The wrapped file system has another root, and would
// let a dead process write: it is not shown.
func (f *procFS) Unwrap() vfs.FS { return nil }

type procLock struct {
	fs   *procFS
	lock io.Closer
}

// Close implements io.Closer.
func (l *procLock) Close() error {
	if l.fs.proc.dead {
		return errDead
	}
	delete(l.fs.open, l.lock)
	return l.lock.Close()
}

// procFile is an open file that lets others run while it syncs. Once the process
// is dead the file below is closed, so that the methods not repeated here fail.
type procFile struct {
	vfs.File
	fs *procFS
}

// Close implements io.Closer.
func (f *procFile) Close() error {
	if f.fs.proc.dead {
		return errDead
	}
	delete(f.fs.open, f.File)
	return f.File.Close()
}

func (f *procFile) waiting(sync func() error) (err error) {
	p := f.fs.proc
	if p.dead {
		return errDead
	}
	t, ok := p.Current().(*task)
	if !ok {
		return sync() // in a callback: nobody may run in between
	}
	t.release(func() { err = sync() })
	return err
}

// Sync implements vfs.File.
func (f *procFile) Sync() error { return f.waiting(f.File.Sync) }

// SyncData implements vfs.File.
func (f *procFile) SyncData() error { return f.waiting(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *procFile) SyncTo(length int64) (full bool, err error) {
	err = f.waiting(func() (e error) {
		full, e = f.File.SyncTo(length)
		return e
	})
	return full, err
}
