package disk_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"simulacrum/sim"
	"simulacrum/sim/disk"
)

// model is the obvious disk: whole copies, and for the directories the set of all
// states that a power loss may leave, by trying every subset of what is pending.
type model struct {
	disk    *disk.Disk
	fs      vfs.FS
	files   map[uint64]*modelFile
	live    map[string]uint64 // path to inode
	durable map[string]uint64
	pending []modelOp
	losses  int
}

type modelFile struct {
	now   []byte
	old   map[int][]byte // of each dirty sector: what is durable
	lost  map[int]bool
	size  int // durable
	syncs int
}

// modelOp assigns one or two paths; 0 removes.
type modelOp struct {
	paths []string
	to    []uint64
}

func (op *modelOp) apply(m map[string]uint64) {
	for i, p := range op.paths {
		if op.to[i] == 0 {
			delete(m, p)
		} else {
			m[p] = op.to[i]
		}
	}
}

var modelPaths = []string{"/a", "/b", "/c", "/d/a", "/d/b"}

func newModel(t *rapid.T) (*model, func()) {
	s := sim.New(sim.Config{Seed: rapid.Uint64().Draw(t, "seed")})
	m := &model{disk: disk.New(s, "n1", disk.Config{}), files: map[uint64]*modelFile{}, live: map[string]uint64{}, durable: map[string]uint64{}}
	m.fs = m.disk.Mount(nil)
	mustRapid(t, m.fs.MkdirAll("/d", 0o755))
	m.sync(t, "/")
	return m, s.Close
}

func mustRapid(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) sync(t *rapid.T, name string) {
	f, err := m.fs.Open(name)
	mustRapid(t, err)
	mustRapid(t, f.Sync())
	mustRapid(t, f.Close())
}

// record notes an operation. Beyond ten pending ones it syncs, since all subsets
// are tried.
func (m *model) record(t *rapid.T, op modelOp) {
	op.apply(m.live)
	m.pending = append(m.pending, op)
	if len(m.pending) > 10 {
		m.syncDir(t, "/")
		m.syncDir(t, "/d")
	}
}

func (m *model) path(t *rapid.T, label string) string {
	return rapid.SampledFrom(modelPaths).Draw(t, label)
}

// existing is a path that has a file; it skips the action if there is none.
func (m *model) existing(t *rapid.T) string {
	var have []string
	for _, p := range modelPaths {
		if m.live[p] != 0 {
			have = append(have, p)
		}
	}
	if len(have) == 0 {
		t.Skip("no file")
	}
	return rapid.SampledFrom(have).Draw(t, "file")
}

func (m *model) id(p string) uint64 {
	for v := range m.disk.Walk() {
		if v.Path == p {
			return v.ID
		}
	}
	return 0
}

func (m *model) Create(t *rapid.T) {
	p := m.path(t, "path")
	f, err := m.fs.Create(p, vfs.WriteCategoryUnspecified)
	mustRapid(t, err)
	mustRapid(t, f.Close())
	if m.live[p] != 0 {
		m.record(t, modelOp{[]string{p}, []uint64{0}})
	}
	id := m.id(p)
	m.files[id] = &modelFile{old: map[int][]byte{}, lost: map[int]bool{}}
	m.record(t, modelOp{[]string{p}, []uint64{id}})
}

func (m *model) Write(t *rapid.T) {
	p := m.existing(t)
	mf := m.files[m.live[p]]
	off := len(mf.now)
	if rapid.IntRange(0, 2).Draw(t, "how") == 0 {
		off = rapid.IntRange(0, len(mf.now)+3000).Draw(t, "offset")
	}
	b := bytes.Repeat([]byte{byte(rapid.IntRange(1, 255).Draw(t, "byte"))}, rapid.IntRange(1, 3000).Draw(t, "length"))
	f, err := m.fs.OpenReadWrite(p, vfs.WriteCategoryUnspecified)
	mustRapid(t, err)
	_, err = f.WriteAt(b, int64(off))
	mustRapid(t, err)
	mustRapid(t, f.Close())
	if grow := off + len(b) - len(mf.now); grow > 0 {
		mf.now = append(mf.now, make([]byte, grow)...)
	}
	before := append(slices.Clone(mf.now), make([]byte, disk.SectorSize)...)
	for s := off / disk.SectorSize; s <= (off+len(b)-1)/disk.SectorSize; s++ {
		if _, dirty := mf.old[s]; !dirty {
			mf.old[s] = before[s*disk.SectorSize : (s+1)*disk.SectorSize]
		}
		delete(mf.lost, s)
	}
	copy(mf.now[off:], b)
}

func (m *model) Sync(t *rapid.T) {
	p := m.existing(t)
	mf := m.files[m.live[p]]
	m.sync(t, p)
	for s := range mf.old {
		if !mf.lost[s] {
			delete(mf.old, s)
		}
	}
	mf.size = len(mf.now)
}

func (m *model) FailedSync(t *rapid.T) {
	p := m.existing(t)
	mf := m.files[m.live[p]]
	e := m.disk.SyncError(disk.Trigger{Next: 1})
	f, err := m.fs.Open(p)
	mustRapid(t, err)
	if f.Sync() == nil || e.Count() != 1 {
		t.Fatal("the sync did not fail")
	}
	mustRapid(t, f.Close())
	for s := range mf.old {
		mf.lost[s] = true
	}
}

func (m *model) SyncDir(t *rapid.T) {
	m.syncDir(t, rapid.SampledFrom([]string{"/", "/d"}).Draw(t, "dir"))
}

func (m *model) syncDir(t *rapid.T, dir string) {
	m.sync(t, dir)
	needed := map[string]bool{}
	due := make([]bool, len(m.pending))
	for i := len(m.pending) - 1; i >= 0; i-- {
		for _, p := range m.pending[i].paths {
			if m.fs.PathDir(p) == dir || needed[p] {
				due[i] = true
			}
		}
		for _, p := range m.pending[i].paths {
			needed[p] = needed[p] || due[i]
		}
	}
	var rest []modelOp
	for i := range m.pending {
		if due[i] {
			m.pending[i].apply(m.durable)
		} else {
			rest = append(rest, m.pending[i])
		}
	}
	m.pending = rest
}

func (m *model) Rename(t *rapid.T) {
	from, to := m.existing(t), m.path(t, "to")
	mustRapid(t, m.fs.Rename(from, to))
	if m.live[from] != m.live[to] {
		m.record(t, modelOp{[]string{from, to}, []uint64{0, m.live[from]}})
	}
}

func (m *model) Link(t *rapid.T) {
	from, to := m.existing(t), m.path(t, "to")
	err := m.fs.Link(from, to)
	if m.live[to] != 0 {
		if err == nil {
			t.Fatal("link over a name")
		}
		return
	}
	mustRapid(t, err)
	m.record(t, modelOp{[]string{to}, []uint64{m.live[from]}})
}

func (m *model) Remove(t *rapid.T) {
	p := m.existing(t)
	mustRapid(t, m.fs.Remove(p))
	m.record(t, modelOp{[]string{p}, []uint64{0}})
}

func (m *model) CrashProcess(*rapid.T) {
	m.disk.CrashProcess()
	m.fs = m.disk.Mount(nil)
}

func (m *model) PowerLoss(t *rapid.T) {
	m.disk.PowerLoss()
	m.fs = m.disk.Mount(nil)
	m.losses++
	found := map[string]uint64{}
	for v := range m.disk.Walk() {
		if v.Dir {
			continue
		}
		found[v.Path] = v.ID
		if m.files[v.ID] == nil {
			t.Fatalf("%s is an inode that never was", v.Path)
		}
	}
	if !m.possible()[fmt.Sprint(found)] {
		t.Fatalf("names %v cannot have survived: durable %v, pending %v", found, m.durable, m.pending)
	}
	checked := map[uint64]bool{}
	for v := range m.disk.Walk() {
		if v.Dir || checked[v.ID] {
			continue
		}
		checked[v.ID] = true
		m.files[v.ID].checkSurvivor(t, v)
		m.files[v.ID] = &modelFile{now: v.Bytes(), old: map[int][]byte{}, lost: map[int]bool{}, size: int(v.Size)}
	}
	m.live, m.durable, m.pending = found, map[string]uint64{}, nil
	for p, id := range found {
		m.durable[p] = id
	}
}

// possible is every state that the names may be in, printed (fmt sorts maps).
func (m *model) possible() map[string]bool {
	states := map[string]bool{}
	for subset := range 1 << len(m.pending) {
		state, dropped, ok := map[string]uint64{}, map[string]bool{}, true
		for p, id := range m.durable {
			state[p] = id
		}
		for i := range m.pending {
			op := &m.pending[i]
			for _, p := range op.paths {
				ok = ok && !(subset>>i&1 == 1 && dropped[p])
				dropped[p] = dropped[p] || subset>>i&1 == 0
			}
			if subset>>i&1 == 1 {
				op.apply(state)
			}
		}
		if ok {
			states[fmt.Sprint(state)] = true
		}
	}
	return states
}

// checkSurvivor compares what is found of a file with what may be: each sector old
// or new up to the size that was found, which is between the durable and the new.
func (f *modelFile) checkSurvivor(t *rapid.T, v disk.View) {
	got := v.Bytes()
	if len(got) < f.size || len(got) > len(f.now) {
		t.Fatalf("%s has %d bytes, durable were %d of %d", v.Path, len(got), f.size, len(f.now))
	}
	for s := 0; s*disk.SectorSize < len(got); s++ {
		end := min((s+1)*disk.SectorSize, len(got))
		part := got[s*disk.SectorSize : end]
		old, dirty := f.old[s]
		isNew := bytes.Equal(part, f.now[s*disk.SectorSize:end])
		isOld := dirty && bytes.Equal(part, old[:len(part)])
		if !isNew && !isOld {
			t.Fatalf("%s sector %d is neither old nor new (dirty %v)", v.Path, s, dirty)
		}
	}
	if v.Dirty != 0 || v.DurableSize != v.Size {
		t.Fatalf("%s is not clean after a power loss", v.Path)
	}
}

// Check compares what a process sees, and what the disk says of durability.
func (m *model) Check(t *rapid.T) {
	found := map[string]uint64{}
	pages := map[uint64]int{}
	for v := range m.disk.Walk() {
		if v.Dir {
			continue
		}
		found[v.Path] = v.ID
		mf := m.files[v.ID]
		if !bytes.Equal(v.Bytes(), mf.now) {
			t.Fatalf("%s holds other bytes than were written", v.Path)
		}
		durable := append(slices.Clone(mf.now), make([]byte, disk.SectorSize)...)
		for s, old := range mf.old {
			copy(durable[s*disk.SectorSize:], old)
		}
		if !bytes.Equal(v.Durable(), durable[:mf.size]) {
			t.Fatalf("%s: durable bytes differ", v.Path)
		}
		if v.Dirty != len(mf.old) || v.Lost != len(mf.lost) || int(v.DurableSize) != mf.size {
			t.Fatalf("%s: %d dirty, %d lost, %d durable; want %d, %d, %d", v.Path, v.Dirty, v.Lost, v.DurableSize, len(mf.old), len(mf.lost), mf.size)
		}
		pages[v.ID] = 0
		for range v.Chunks() {
			pages[v.ID]++
		}
	}
	if fmt.Sprint(found) != fmt.Sprint(m.live) {
		t.Fatalf("names %v, want %v", found, m.live)
	}
	used := 0
	for _, n := range pages {
		used += n * disk.PageSize
	}
	if int64(used) != m.disk.Used() {
		t.Fatalf("%d bytes used, and %d accounted", used, m.disk.Used())
	}
	if strings.Contains(m.disk.String(), "%!") {
		t.Fatal(m.disk.String())
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, done := newModel(t)
		defer done()
		t.Repeat(map[string]func(*rapid.T){
			"create": m.Create, "write": m.Write, "write again": m.Write, "sync": m.Sync, "failed sync": m.FailedSync,
			"sync directory": m.SyncDir, "rename": m.Rename, "link": m.Link, "remove": m.Remove,
			"crash": m.CrashProcess, "power loss": m.PowerLoss, "": m.Check,
		})
	})
}
