package disk

import (
	"fmt"
	"hash/crc32"
	"iter"
	"strings"
)

// View is one name on the disk, for whoever looks in from outside the simulation.
// It is valid until the simulation goes on.
type View struct {
	Path        string
	Dir         bool
	ID          uint64 // of the inode: hard links share it
	Size        int64  // bytes, as the process sees the file
	DurableSize int64  // bytes that a power loss is sure to leave
	Dirty       int    // sectors that are not (known to be) durable
	Lost        int    // of these, sectors that a failed sync gave up
	file        *content
}

func viewOf(name string, n *inode) View {
	v := View{Path: name, Dir: n.dir != nil, ID: n.id, Size: n.file.size, DurableSize: n.file.durableSize, Dirty: len(n.file.dirty), file: &n.file}
	for i := range n.file.dirty {
		if n.file.dirty[i].lost {
			v.Lost++
		}
	}
	return v
}

// Walk yields every file and directory in order, a directory before what is in it.
func (d *Disk) Walk() iter.Seq[View] {
	return func(yield func(View) bool) {
		d.volume.walk(func(name string, n *inode) bool { return yield(viewOf(name, n)) })
	}
}

// Chunks yields the bytes of a file as the process sees them, with their offsets,
// without copying them. Holes are left out. They must not be changed.
func (v View) Chunks() iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		for i := range v.file.pages {
			off := int64(i) * PageSize
			if data := v.file.pages[i].data; data != nil && !yield(off, data[:min(PageSize, v.Size-off)]) {
				return
			}
		}
	}
}

// Bytes is a copy of the file as the process sees it.
func (v View) Bytes() []byte {
	b := make([]byte, v.Size)
	v.file.readAt(b, 0)
	return b
}

// Durable is a copy of the file as a power loss would leave it that keeps nothing
// unsynced.
func (v View) Durable() []byte { return v.file.durable() }

// Hash is of all names and bytes as the process sees them.
func (d *Disk) Hash() uint64 {
	var h uint64
	mix := func(x uint64) {
		h = (h ^ x) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	for v := range d.Walk() {
		mix(uint64(crc32.Checksum([]byte(v.Path), castagnoli)))
		mix(uint64(v.Size))
		for off, b := range v.Chunks() {
			mix(uint64(off))
			mix(uint64(crc32.Checksum(b, castagnoli)))
		}
	}
	return h
}

// String draws the tree: sizes, and what is not durable.
func (d *Disk) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) %d of %d bytes used, %d directory operations not durable, %d syncs in line, %d in service\n",
		d.name, d.cfg.Profile.Name, d.Used(), d.limit(), len(d.volume.journal.ops), d.device.queue.Len(), d.device.busy)
	for v := range d.Walk() {
		depth := strings.Count(v.Path, "/")
		base := v.Path[strings.LastIndexByte(v.Path, '/')+1:]
		if v.Dir {
			fmt.Fprintf(&b, "%*s%s/\n", 2*depth, "", base)
			continue
		}
		fmt.Fprintf(&b, "%*s%-*s %8d", 2*depth, "", max(1, 30-2*depth), base, v.Size)
		if v.DurableSize != v.Size {
			fmt.Fprintf(&b, "  durable to %d", v.DurableSize)
		}
		if v.Dirty > 0 {
			fmt.Fprintf(&b, "  %d sectors dirty", v.Dirty-v.Lost)
		}
		if v.Lost > 0 {
			fmt.Fprintf(&b, "  %d lost by a failed sync", v.Lost)
		}
		b.WriteByte('\n')
	}
	for i := range d.volume.journal.ops {
		fmt.Fprintf(&b, "  pending: %v\n", &d.volume.journal.ops[i])
	}
	return b.String()
}

// String prints the operation by its assignments.
func (op *operation) String() string {
	var b strings.Builder
	for i := range op.changes[:op.n] {
		c := &op.changes[i]
		if i > 0 {
			b.WriteString(", ")
		}
		if c.to == nil {
			fmt.Fprintf(&b, "#%d/%s = nothing", c.dir.id, c.name)
		} else {
			fmt.Fprintf(&b, "#%d/%s = #%d", c.dir.id, c.name, c.to.id)
		}
	}
	return b.String()
}
