package disk

import (
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"simulacrum/sim"
)

// Trigger says which operations a fault hits. The zero Trigger hits all.
type Trigger struct {
	// Pattern, in the syntax of path.Match, is matched against the last part of
	// the name under which the file was opened, or against all of it when the
	// pattern has a slash. Empty: every file.
	Pattern string
	// Next, if above zero, is how many operations are hit before the fault heals
	// by itself.
	Next int64
	// PerMillion, if above zero, is the chance of each operation.
	PerMillion int64
}

// Effect is a fault that is in force until Heal.
type Effect struct {
	list    *effects
	r       *rand.Rand
	trigger Trigger
	factor  int64
	limit   int64
	count   int64
	onHeal  func()
}

// Heal ends the fault. What it has destroyed stays so. A second Heal does nothing.
func (e *Effect) Heal() {
	if e.list == nil {
		return
	}
	list := e.list
	e.list = nil
	for i, o := range *list {
		if o == e {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			break
		}
	}
	if e.onHeal != nil {
		e.onHeal()
	}
}

// Count is the number of operations that the fault has touched so far (bits, for
// BitRot). A fault whose Count is 0 has tested nothing.
func (e *Effect) Count() int64 { return e.count }

// effects are the faults of one kind in force, oldest first.
type effects []*Effect

// hits draws whether an operation on the named file fails.
func (l *effects) hits(name string) bool {
	if len(*l) == 0 {
		return false
	}
	for _, e := range *l {
		t := &e.trigger
		if !matches(t.Pattern, name) || t.PerMillion > 0 && e.r.Int64N(1_000_000) >= t.PerMillion {
			continue
		}
		e.count++
		if t.Next > 0 && e.count >= t.Next {
			e.Heal()
		}
		return true
	}
	return false
}

// note counts n operations touched by each fault of the kind.
func (l effects) note(n int64) {
	for _, e := range l {
		e.count += n
	}
}

func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	name = clean(name)
	if !strings.Contains(pattern, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// faults is what is wrong with a disk at present.
type faults struct {
	disk              *Disk
	r                 *rand.Rand
	slow, stall, full effects
	sync, write, read effects
	gone              effects
	frozen            []*sim.Machine // paused, because a callback synced during a stall
}

func (f *faults) add(list *effects, e *Effect) *Effect {
	e.list, e.r = list, f.r
	*list = append(*list, e)
	return e
}

func (f *faults) slowed(d time.Duration) time.Duration {
	for _, e := range f.slow {
		d *= time.Duration(e.factor)
	}
	f.slow.note(1)
	return d
}

// stalled reports whether the device hangs, which touches n operations.
func (f *faults) stalled(n int64) bool {
	f.stall.note(n)
	return len(f.stall) > 0
}

// freeze pauses the machine until the stall ends or its process does: a callback
// cannot wait, so the whole process hangs on its disk.
func (f *faults) freeze(m *sim.Machine) {
	m.Pause()
	f.frozen = append(f.frozen, m)
}

func (f *faults) thaw() {
	for _, m := range f.frozen {
		m.Resume()
	}
	f.frozen = nil
}

// Slow makes syncs take factor times as long, what is left of those in service too.
func (d *Disk) Slow(factor int64) *Effect {
	factor = max(1, factor)
	d.device.speedChanged(factor, 1)
	return d.faults.add(&d.faults.slow, &Effect{factor: factor, onHeal: func() { d.device.speedChanged(1, factor) }})
}

// Stall makes syncs hang until the fault heals, those in service too. Reads and
// writes meet the cache alone and go on.
func (d *Disk) Stall() *Effect {
	f := &d.faults
	return f.add(&f.stall, &Effect{onHeal: func() {
		if len(f.stall) == 0 {
			f.thaw()
			d.device.resume()
		}
	}})
}

// Full makes writes fail with ENOSPC that would take more than limit bytes of
// space in all, in whole pages; names take none. A limit of 0 also fails every
// write that makes a file longer. As much as fits is written.
func (d *Disk) Full(limit int64) *Effect {
	return d.faults.add(&d.faults.full, &Effect{limit: max(0, limit)})
}

// SyncError makes syncs of files and directories fail with EIO once they have
// taken their time. The data then counts as clean and is not durable.
func (d *Disk) SyncError(t Trigger) *Effect {
	return d.faults.add(&d.faults.sync, &Effect{trigger: t})
}

// WriteError makes operations that write to a file fail with EIO after a drawn
// part was written, and operations that change a directory without effect.
func (d *Disk) WriteError(t Trigger) *Effect {
	return d.faults.add(&d.faults.write, &Effect{trigger: t})
}

// ReadError makes reads of files fail with EIO.
func (d *Disk) ReadError(t Trigger) *Effect {
	return d.faults.add(&d.faults.read, &Effect{trigger: t})
}

// LoseAll destroys everything. Until Heal, which ends the mount and puts an empty
// disk in place, every call fails with EIO. Count is the files that were destroyed plus the calls
// that failed.
func (d *Disk) LoseAll() *Effect {
	e := &Effect{}
	d.volume.walk(func(_ string, n *inode) bool {
		if n.dir == nil {
			e.count++
		}
		return true
	})
	fresh := newVolume(d.cfg.JournalLimit)
	fresh.lastID += d.volume.lastID // no number is used twice in a run
	d.volume = fresh
	e.onHeal = d.unmount // handles of the old disk mean nothing on the new one
	return d.faults.add(&d.faults.gone, e)
}

// BitRot flips up to count bits, drawn among the durable bytes of the files that
// match the pattern (as in Trigger). The cache is taken to have been evicted, so
// that the next read sees them; sectors that are dirty are spared. Count is the
// number of bits flipped. Heal does nothing.
func (d *Disk) BitRot(pattern string, count int) *Effect {
	type place struct {
		file   *content
		sector int64
	}
	var places []place
	seen := make(map[uint64]bool)
	d.volume.walk(func(name string, n *inode) bool {
		if n.dir != nil || seen[n.id] || !matches(pattern, name) {
			return true
		}
		seen[n.id] = true
		c := &n.file
		for s := int64(0); s*SectorSize < c.durableSize; s++ {
			if pg := &c.pages[s/sectorsPerPage]; pg.data != nil && pg.slot[s%sectorsPerPage] == 0 {
				places = append(places, place{c, s})
			}
		}
		return true
	})
	e := &Effect{}
	if len(places) == 0 {
		return e
	}
	r := d.faults.r
	for ; count > 0; count-- {
		p := places[r.IntN(len(places))]
		n := min(SectorSize, p.file.durableSize-p.sector*SectorSize)
		bit := r.Int64N(n * 8)
		p.file.pages[p.sector/sectorsPerPage].sectorBytes(p.sector)[bit/8] ^= 1 << (bit % 8)
		e.count++
	}
	return e
}

// Used is the space taken, in bytes.
func (d *Disk) Used() int64 { return d.volume.pages * PageSize }

// limit is the space there is, in bytes.
func (d *Disk) limit() int64 {
	limit := d.cfg.Capacity
	for _, e := range d.faults.full {
		limit = min(limit, e.limit)
	}
	return limit
}

// room is how many of n bytes at off find space in the file.
func (d *Disk) room(c *content, off int64, n int) int {
	limit := d.limit()
	if limit == 0 && off+int64(n) > c.size {
		n = int(max(0, c.size-off))
	}
	return c.room(off, n, (limit-d.Used())/PageSize)
}
