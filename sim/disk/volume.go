package disk

import (
	"path"
	"strings"
	"syscall"
)

// volume is the part of a disk that knows neither time nor faults: a tree of
// inodes with the state of each as it is in the cache and on the medium.
// Its errors are bare error numbers; the mount adds operation and path.
type volume struct {
	root    *inode
	journal journal
	lastID  uint64
	pages   int64    // allocated to inodes that have a name or a handle
	orphans []*inode // no name, but a handle
	images  imagePool
}

func newVolume(journalLimit int) *volume {
	v := &volume{journal: journal{limit: journalLimit}}
	v.root = v.newDir()
	v.root.links = 1
	return v
}

func (v *volume) newFile() *inode {
	v.lastID++
	return &inode{id: v.lastID, file: content{images: &v.images}}
}

func (v *volume) newDir() *inode {
	v.lastID++
	return &inode{id: v.lastID, dir: &directory{live: map[string]*inode{}, durable: map[string]*inode{}}}
}

// clean makes a name absolute; relative names start at the root.
func clean(name string) string {
	if name == "" {
		return ""
	}
	return path.Clean("/" + name)
}

// find returns the inode of a name.
func (v *volume) find(name string) (*inode, error) {
	name = clean(name)
	if name == "" {
		return nil, syscall.ENOENT
	}
	n := v.root
	for rest := name[1:]; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if n.dir == nil {
			return nil, syscall.ENOTDIR
		}
		child, ok := n.dir.live[part]
		if !ok {
			return nil, syscall.ENOENT
		}
		n = child
	}
	return n, nil
}

// locate returns the directory in which a name is or would be, the last part of
// the name, and its inode, if there is one.
func (v *volume) locate(name string) (dir *inode, base string, n *inode, err error) {
	name = clean(name)
	if name == "" {
		return nil, "", nil, syscall.ENOENT
	}
	if name == "/" {
		return nil, "", nil, syscall.EBUSY
	}
	parent, base := path.Split(name)
	if dir, err = v.find(parent); err != nil {
		return nil, "", nil, err
	}
	if dir.dir == nil {
		return nil, "", nil, syscall.ENOTDIR
	}
	return dir, base, dir.dir.live[base], nil
}

// create makes a new, empty file, after removing what had the name.
func (v *volume) create(name string) (*inode, error) {
	dir, base, old, err := v.locate(name)
	if err != nil {
		return nil, err
	}
	if old != nil {
		if err := v.unlink(dir, base, old); err != nil {
			return nil, err
		}
	}
	n := v.newFile()
	n.links = 1
	v.journal.record(change{dir, base, n})
	return n, nil
}

// openOrCreate returns the file of a name, made if need be.
func (v *volume) openOrCreate(name string) (*inode, error) {
	_, _, n, err := v.locate(name)
	if err == nil && n == nil {
		return v.create(name)
	}
	if err == syscall.EBUSY || n != nil && n.dir != nil {
		return nil, syscall.EISDIR
	}
	return n, err
}

func (v *volume) link(oldname, newname string) error {
	n, err := v.find(oldname)
	if err != nil {
		return err
	}
	dir, base, existing, err := v.locate(newname)
	if err != nil {
		return err
	}
	if existing != nil {
		return syscall.EEXIST
	}
	if n.dir != nil {
		return syscall.EPERM
	}
	n.links++
	v.journal.record(change{dir, base, n})
	return nil
}

// unlink removes a name. A directory must be empty.
func (v *volume) unlink(dir *inode, base string, n *inode) error {
	if n.dir != nil && len(n.dir.live) > 0 {
		return syscall.ENOTEMPTY
	}
	v.journal.record(change{dir, base, nil})
	v.dropLink(n)
	return nil
}

func (v *volume) remove(name string) error {
	dir, base, n, err := v.locate(name)
	if err != nil {
		return err
	}
	if n == nil {
		return syscall.ENOENT
	}
	return v.unlink(dir, base, n)
}

// removeAll removes a name and what is below it, one operation each, children
// first and in order. A name that does not exist is no error.
func (v *volume) removeAll(name string) error {
	dir, base, n, err := v.locate(name)
	if err == syscall.ENOENT || err == nil && n == nil {
		return nil
	}
	if err != nil {
		return err
	}
	v.removeTree(dir, base, n)
	return nil
}

func (v *volume) removeTree(dir *inode, base string, n *inode) {
	if n.dir != nil {
		for _, name := range names(n.dir.live) {
			v.removeTree(n, name, n.dir.live[name])
		}
	}
	v.journal.record(change{dir, base, nil})
	v.dropLink(n)
}

func (v *volume) rename(oldname, newname string) error {
	fromDir, fromBase, n, err := v.locate(oldname)
	if err != nil {
		return err
	}
	if n == nil {
		return syscall.ENOENT
	}
	toDir, toBase, target, err := v.locate(newname)
	if err != nil {
		return err
	}
	if n.dir != nil && strings.HasPrefix(clean(newname), clean(oldname)+"/") {
		return syscall.EINVAL // into itself
	}
	if target == n {
		return nil // the same name, or another name of the same file: POSIX leaves both
	}
	if target != nil {
		switch {
		case target.dir != nil && n.dir == nil:
			return syscall.EEXIST
		case target.dir == nil && n.dir != nil:
			return syscall.ENOTDIR
		case target.dir != nil && len(target.dir.live) > 0:
			return syscall.ENOTEMPTY
		}
	}
	v.journal.record(change{fromDir, fromBase, nil}, change{toDir, toBase, n})
	if target != nil {
		v.dropLink(target)
	}
	return nil
}

func (v *volume) mkdirAll(name string) error {
	name = clean(name)
	if name == "" {
		return syscall.ENOENT
	}
	n := v.root
	for rest := name[1:]; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		child := n.dir.live[part]
		if child == nil {
			child = v.newDir()
			child.links = 1
			v.journal.record(change{n, part, child})
		}
		if child.dir == nil {
			return syscall.ENOTDIR
		}
		n = child
	}
	return nil
}

// dropLink notes that a name of n is gone. The space is free once no handle is
// open either, although the medium may hold the bytes for longer.
func (v *volume) dropLink(n *inode) {
	n.links--
	if n.links > 0 {
		return
	}
	if n.opens > 0 {
		v.orphans = append(v.orphans, n)
		return
	}
	v.pages -= n.file.allocated
}

// dropOpen notes that a handle of n is closed.
func (v *volume) dropOpen(n *inode) {
	n.opens--
	if n.opens > 0 || n.links > 0 {
		return
	}
	for i, o := range v.orphans {
		if o == n {
			v.orphans = append(v.orphans[:i], v.orphans[i+1:]...)
			break
		}
	}
	v.pages -= n.file.allocated
}

// dropAllOpens closes every handle, because the process is gone.
func (v *volume) dropAllOpens() {
	for _, n := range v.orphans {
		v.pages -= n.file.allocated
	}
	v.orphans = nil
	v.walk(func(_ string, n *inode) bool { n.opens = 0; return true })
}

// write puts p into n at off.
func (v *volume) write(n *inode, p []byte, off int64) {
	v.pages += n.file.write(p, off)
}

// walk visits all names below the root in order, files and directories; a
// directory comes before what is in it. It stops when fn returns false.
func (v *volume) walk(fn func(name string, n *inode) bool) {
	var visit func(prefix string, n *inode) bool
	visit = func(prefix string, n *inode) bool {
		for _, name := range names(n.dir.live) {
			child := n.dir.live[name]
			if !fn(prefix+name, child) || child.dir != nil && !visit(prefix+name+"/", child) {
				return false
			}
		}
		return true
	}
	visit("/", v.root)
}
