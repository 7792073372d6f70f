package disk

import (
	"io"
	"io/fs"
	"path"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim/env"
)

// file is an open handle of a file or directory.
type file struct {
	mount       *mount
	inode       *inode
	name        string
	pos         int64 // of the next Read or Write; ReadAt and WriteAt leave it
	read, write bool
	closed      bool
}

var _ vfs.File = (*file)(nil)

func (f *file) fail(op string, err error) error { return pathError(op, f.name, err) }

func (f *file) check() error {
	if f.closed {
		return fs.ErrClosed
	}
	return f.mount.check()
}

// Close implements vfs.File. It makes nothing durable.
func (f *file) Close() error {
	if f.closed {
		return f.fail("close", fs.ErrClosed)
	}
	f.closed = true
	if f.mount.disk.mount != f.mount {
		return f.fail("close", ErrDead) // its handles were all closed with it
	}
	if len(f.mount.disk.faults.gone) == 0 { // else the inode is of the lost disk
		f.mount.disk.volume.dropOpen(f.inode)
	}
	return nil
}

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.readAt(p, f.pos)
	f.pos += int64(n)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// ReadAt implements vfs.File: io.EOF comes with the bytes before the end.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.readAt(p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *file) readAt(p []byte, off int64) (int, error) {
	if err := f.check(); err != nil {
		return 0, f.fail("read", err)
	}
	switch {
	case f.inode.dir != nil:
		return 0, f.fail("read", syscall.EISDIR)
	case off < 0:
		return 0, f.fail("read", syscall.EINVAL)
	case f.mount.disk.faults.read.hits(f.name):
		return 0, f.fail("read", syscall.EIO)
	}
	n := f.inode.file.readAt(p, off)
	if f.mount.proc != nil {
		f.mount.proc.Charge(env.ClassDiskRead, int64(n))
	}
	return n, nil
}

// Write implements vfs.File. It goes to the cache, at once.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.writeAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) { return f.writeAt(p, off) }

func (f *file) writeAt(p []byte, off int64) (int, error) {
	if err := f.check(); err != nil {
		return 0, f.fail("write", err)
	}
	if !f.write {
		return 0, f.fail("write", syscall.EBADF)
	}
	if off < 0 {
		return 0, f.fail("write", syscall.EINVAL)
	}
	d := f.mount.disk
	var failure error
	if d.faults.write.hits(f.name) {
		p, failure = p[:d.faults.r.IntN(len(p)+1)], syscall.EIO
	}
	if fits := d.room(&f.inode.file, off, len(p)); fits < len(p) {
		d.faults.full.note(1)
		p, failure = p[:fits], syscall.ENOSPC
	}
	d.volume.write(f.inode, p, off)
	f.inode.file.modified = f.mount.now()
	d.wrote(f.inode, off, p)
	return len(p), f.fail("write", failure)
}

// Sync implements vfs.File: makes the content and size durable that the file had
// when Sync was called, or the entries of a directory. It waits for the device.
// After an error the data counts as clean, and may be lost: see the package.
func (f *file) Sync() error {
	if err := f.check(); err != nil {
		return f.fail("sync", err)
	}
	return f.mount.disk.device.sync(f.mount, f.inode, f.name)
}

// SyncData implements vfs.File. The size is data too: it cannot be read without.
func (f *file) SyncData() error { return f.Sync() }

// SyncTo implements vfs.File. It promises nothing and does nothing, which its
// result says: the kernel may write out dirty sectors at any time anyway.
func (f *file) SyncTo(int64) (fullSync bool, err error) {
	return false, f.fail("sync", f.check())
}

// Preallocate implements vfs.File and does nothing.
func (f *file) Preallocate(_, _ int64) error { return f.fail("preallocate", f.check()) }

// Prefetch implements vfs.File and does nothing.
func (f *file) Prefetch(_, _ int64) error { return f.fail("prefetch", f.check()) }

// Fd implements vfs.File.
func (f *file) Fd() uintptr { return vfs.InvalidFd }

// Stat implements vfs.File.
func (f *file) Stat() (vfs.FileInfo, error) {
	if err := f.check(); err != nil {
		return nil, f.fail("stat", err)
	}
	return infoOf(f.inode, f.name), nil
}

// info is what Stat returns: a value, as of the call.
type info struct {
	name     string
	size     int64
	dir      bool
	modified int64
}

func infoOf(n *inode, name string) vfs.FileInfo {
	return &info{path.Base(name), n.file.size, n.dir != nil, n.file.modified}
}

func (i *info) Name() string           { return i.name }
func (i *info) Size() int64            { return i.size }
func (i *info) IsDir() bool            { return i.dir }
func (i *info) ModTime() time.Time     { return time.Unix(0, i.modified).UTC() }
func (i *info) Sys() any               { return nil }
func (i *info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i *info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
