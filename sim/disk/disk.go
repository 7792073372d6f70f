package disk

import (
	"hash/crc32"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
)

// Disk is the disk of one machine. It outlives the incarnations of the process.
// Its methods are for whoever runs the machine (the cluster, the nemesis); the
// process has the vfs.FS that Mount returns.
type Disk struct {
	sim  *sim.Sim
	name string
	cfg  Config

	volume *volume
	device device
	faults faults
	mount  *mount // the only one whose calls have an effect; nil: none

	crash  *rand.Rand // what a power loss keeps
	digest uint64     // of everything written so far, for the trace
}

// New makes an empty disk. The name, such as "n3", names its random streams.
func New(s *sim.Sim, name string, cfg Config) *Disk {
	d := &Disk{sim: s, name: name, cfg: cfg.withDefaults(), crash: s.Rand("disk/" + name + "/crash")}
	d.volume = newVolume(d.cfg.JournalLimit)
	d.device = device{disk: d, latency: s.Rand("disk/" + name + "/latency"), channels: max(1, d.cfg.Profile.Channels)}
	d.faults = faults{disk: d, r: s.Rand("disk/" + name + "/faults")}
	return d
}

// Name is the name that New was given.
func (d *Disk) Name() string { return d.name }

// Mount gives the incarnation p the disk as a file system. Every earlier mount,
// with its files and locks, is dead from now on: its calls fail with ErrDead and
// change nothing, and the same happens to this one when p dies. (A file system
// shared by both incarnations of a node let the dead one write: pebble#3888.)
//
// Sync of a file or directory is the only call that parks the task; in a callback
// it adds to the machine's busy time instead, and the data is durable at once.
// A task that is cancelled or past its deadline while it waits for a sync gets
// its own error, and the sync goes on: the outcome is unknown.
//
// A nil p is nobody: its calls take no time. That is for tests, and for tools that
// prepare a disk from outside the simulation.
func (d *Disk) Mount(p *sim.Proc) vfs.FS {
	d.unmount()
	d.mount = &mount{disk: d, proc: p, locks: make(map[uint64]bool)}
	return d.mount
}

// CrashProcess ends the mount because the process is gone. The operating system
// lives: all that was written is still there, and syncs in flight go on. What is
// not durable stays so.
func (d *Disk) CrashProcess() { d.unmount() }

func (d *Disk) unmount() {
	if d.mount != nil {
		d.mount = nil
		d.volume.dropAllOpens()
		d.faults.thaw()
	}
}

// PowerLoss ends the mount and turns the disk into what is found when the power
// is back, drawn from the disk's own stream (see the package comment for what may
// be found). It reports the number of sectors and of directory operations that were
// lost; both 0 means that it changed nothing. The process must be dead: it panics
// otherwise, since a task that waits for a sync would wait for ever.
func (d *Disk) PowerLoss() (sectors, operations int) {
	if d.mount != nil && d.mount.proc != nil && d.mount.proc.Alive() {
		panic("disk: " + d.name + " loses power under a living process")
	}
	d.unmount()
	d.device.powerLoss()
	sectors, operations = d.volume.powerLoss(d.crash)
	d.sim.Note("disk power loss", uint64(sectors), uint64(operations))
	return sectors, operations
}

// wrote folds what is written into the digest that each sync notes in the trace,
// so that two runs with different bytes on a disk differ in their hash.
func (d *Disk) wrote(n *inode, off int64, p []byte) {
	const odd = 0x9e3779b97f4a7c15
	sum := uint64(crc32.Update(uint32(n.id), castagnoli, p)) ^ uint64(off)<<32
	d.digest = (d.digest ^ sum) * odd
	d.digest ^= d.digest >> 29
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
