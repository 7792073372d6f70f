package disk

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
)

// ErrDead is the reason for which every call of a dead incarnation, or of a mount
// that a later one has replaced, fails.
var ErrDead = errors.New("disk: the incarnation that holds this handle is gone")

// mount is the file system of one incarnation.
type mount struct {
	disk  *Disk
	proc  *sim.Proc // nil: nobody, and nothing takes time
	locks map[uint64]bool
}

var _ vfs.FS = (*mount)(nil)

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (m *mount) alive() bool {
	return m.disk.mount == m && (m.proc == nil || m.proc.Alive())
}

// check says whether a call may have an effect at all.
func (m *mount) check() error {
	if !m.alive() {
		return ErrDead
	}
	if len(m.disk.faults.gone) > 0 {
		m.disk.faults.gone.note(1)
		return syscall.EIO
	}
	return nil
}

// changes is check for a call that changes a directory.
func (m *mount) changes(name string) error {
	if err := m.check(); err != nil {
		return err
	}
	if m.disk.faults.write.hits(name) {
		return syscall.EIO
	}
	return nil
}

// now is the time that files are stamped with: the node's own.
func (m *mount) now() int64 {
	if m.proc == nil {
		return m.disk.sim.World().Wall()
	}
	return m.proc.Wall()
}

func (m *mount) open(n *inode, name string, read, write bool) *file {
	n.opens++
	return &file{mount: m, inode: n, name: name, read: read, write: write}
}

func apply(f vfs.File, opts []vfs.OpenOption) vfs.File {
	for _, o := range opts {
		o.Apply(f)
	}
	return f
}

// Create implements vfs.FS: a new inode, always.
func (m *mount) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := m.changes(name); err != nil {
		return nil, pathError("create", name, err)
	}
	n, err := m.disk.volume.create(name)
	if err != nil {
		return nil, pathError("create", name, err)
	}
	n.file.modified = m.now()
	return m.open(n, name, true, true), nil
}

// Link implements vfs.FS.
func (m *mount) Link(oldname, newname string) error {
	err := m.changes(newname)
	if err == nil {
		err = m.disk.volume.link(oldname, newname)
	}
	return pathError("link", newname, err)
}

// Open implements vfs.FS: for reading.
func (m *mount) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	n, err := m.find(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return apply(m.open(n, name, true, false), opts), nil
}

func (m *mount) find(name string) (*inode, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return m.disk.volume.find(name)
}

// OpenReadWrite implements vfs.FS: creates if need be, never truncates.
func (m *mount) OpenReadWrite(
	name string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption,
) (vfs.File, error) {
	if err := m.changes(name); err != nil {
		return nil, pathError("open", name, err)
	}
	n, err := m.disk.volume.openOrCreate(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return apply(m.open(n, name, true, true), opts), nil
}

// OpenDir implements vfs.FS: a handle whose Sync makes the entries durable.
func (m *mount) OpenDir(name string) (vfs.File, error) { return m.Open(name) }

// Remove implements vfs.FS.
func (m *mount) Remove(name string) error {
	err := m.changes(name)
	if err == nil {
		err = m.disk.volume.remove(name)
	}
	return pathError("remove", name, err)
}

// RemoveAll implements vfs.FS.
func (m *mount) RemoveAll(name string) error {
	err := m.changes(name)
	if err == nil {
		err = m.disk.volume.removeAll(name)
	}
	return pathError("remove", name, err)
}

// Rename implements vfs.FS: atomic, also across a power loss.
func (m *mount) Rename(oldname, newname string) error {
	err := m.changes(newname)
	if err == nil {
		err = m.disk.volume.rename(oldname, newname)
	}
	return pathError("rename", oldname, err)
}

// ReuseForWrite implements vfs.FS: renames, and keeps the old content.
func (m *mount) ReuseForWrite(
	oldname, newname string, category vfs.DiskWriteCategory,
) (vfs.File, error) {
	if err := m.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return m.OpenReadWrite(newname, category)
}

// MkdirAll implements vfs.FS. Each new directory becomes durable in its parent
// only when the parent is synced.
func (m *mount) MkdirAll(dir string, _ fs.FileMode) error {
	err := m.changes(dir)
	if err == nil {
		err = m.disk.volume.mkdirAll(dir)
	}
	return pathError("mkdir", dir, err)
}

// Lock implements vfs.FS. The lock belongs to the mount and ends with it.
func (m *mount) Lock(name string) (io.Closer, error) {
	if err := m.changes(name); err != nil {
		return nil, pathError("lock", name, err)
	}
	n, err := m.disk.volume.openOrCreate(name)
	if err == nil && m.locks[n.id] {
		err = syscall.EAGAIN
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	if n.file.size > 0 { // the contract says: truncated
		if n, err = m.disk.volume.create(name); err != nil {
			return nil, pathError("lock", name, err)
		}
	}
	m.locks[n.id] = true
	return &lock{m, n.id}, nil
}

type lock struct {
	mount *mount
	id    uint64
}

// Close releases the lock.
func (l *lock) Close() error {
	delete(l.mount.locks, l.id)
	return nil
}

// List implements vfs.FS; the names are sorted.
func (m *mount) List(dir string) ([]string, error) {
	n, err := m.find(dir)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("list", dir, err)
	}
	return names(n.dir.live), nil
}

// Stat implements vfs.FS.
func (m *mount) Stat(name string) (vfs.FileInfo, error) {
	n, err := m.find(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return infoOf(n, name), nil
}

// PathBase implements vfs.FS.
func (*mount) PathBase(name string) string { return path.Base(name) }

// PathJoin implements vfs.FS.
func (*mount) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir implements vfs.FS.
func (*mount) PathDir(name string) string { return path.Dir(name) }

// GetDiskUsage implements vfs.FS. It counts whole pages of all files that have a
// name or a handle, against the capacity or a lower limit that Full has set.
func (m *mount) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	if _, err := m.find(name); err != nil {
		return vfs.DiskUsage{}, pathError("statfs", name, err)
	}
	used, limit := m.disk.Used(), m.disk.limit()
	return vfs.DiskUsage{
		AvailBytes: uint64(max(0, limit-used)),
		TotalBytes: uint64(m.disk.cfg.Capacity),
		UsedBytes:  uint64(used),
	}, nil
}

// Unwrap implements vfs.FS: nothing is wrapped.
func (*mount) Unwrap() vfs.FS { return nil }
