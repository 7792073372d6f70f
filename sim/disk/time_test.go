package disk_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

// machine is a simulation with one machine, its disk and its first incarnation.
type machine struct {
	t    *testing.T
	sim  *sim.Sim
	m    *sim.Machine
	disk *disk.Disk
	proc *sim.Proc
	fs   vfs.FS
}

func newMachine(t *testing.T, seed uint64, cfg disk.Config) *machine {
	s := sim.New(sim.Config{Seed: seed})
	t.Cleanup(func() {
		for _, f := range s.Findings() {
			t.Errorf("%v\n%s", f.String(), f.Stack)
		}
		s.Close()
	})
	m := &machine{t: t, sim: s, m: s.Machine("n1", sim.MachineConfig{}), disk: disk.New(s, "n1", cfg)}
	m.start()
	return m
}

func (m *machine) start() {
	m.proc = m.m.Start("test")
	m.fs = m.disk.Mount(m.proc)
}

// powerLoss takes the power away and starts the next incarnation.
func (m *machine) powerLoss() {
	m.m.Kill("power")
	m.disk.PowerLoss()
	m.start()
}

func (m *machine) run(d time.Duration) { m.sim.RunUntil(m.sim.Now().Add(d)) }

// file makes a durable file and returns a handle.
func (m *machine) file(name, content string) vfs.File {
	f, err := m.fs.Create(name, vfs.WriteCategoryUnspecified)
	must(m.t, err)
	m.task(func(env.Task) {
		_, err = f.Write([]byte(content))
		must(m.t, err)
		syncFile(m.t, f)
		syncDir(m.t, m.fs, "/")
	})
	m.run(time.Second)
	return f
}

func (m *machine) task(fn func(env.Task)) env.Task { return m.proc.Go("test", fn) }

func TestSyncTakesTheDevicesTime(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	f, err := m.fs.Create("f", vfs.WriteCategoryUnspecified)
	must(t, err)
	var took []time.Duration
	m.task(func(env.Task) {
		for range 2000 {
			_, err := f.Write([]byte("record"))
			must(t, err)
			start := m.sim.Now()
			must(t, f.Sync())
			took = append(took, m.sim.Now().Sub(start))
		}
	})
	m.run(time.Minute)
	if len(took) != 2000 {
		t.Fatalf("%d syncs", len(took))
	}
	slices.Sort(took)
	median, p99, longest := took[1000], took[1980], took[1999]
	t.Log(median, p99, longest)
	if median < 190*time.Microsecond || median > 210*time.Microsecond || p99 < 250*time.Microsecond || p99 > 350*time.Microsecond || longest > 1050*time.Microsecond {
		t.Errorf("median %v, p99 %v, longest %v", median, p99, longest)
	}
}

func TestBytesTakeTime(t *testing.T) {
	m := newMachine(t, 1, disk.Config{Profile: disk.Profile{Sync: time.Millisecond, SyncP99: time.Millisecond, BytesPerSecond: 1 << 20}})
	f, err := m.fs.Create("f", vfs.WriteCategoryUnspecified)
	must(t, err)
	m.task(func(env.Task) {
		_, err := f.Write(make([]byte, 1<<20))
		must(t, err)
		start := m.sim.Now()
		must(t, f.Sync())
		if d := m.sim.Now().Sub(start); d < time.Second || d > time.Second+5*time.Millisecond {
			t.Errorf("1 MiB at 1 MiB/s took %v", d)
		}
		start = m.sim.Now()
		must(t, f.Sync()) // nothing to write
		if d := m.sim.Now().Sub(start); d > 5*time.Millisecond {
			t.Errorf("an empty sync took %v", d)
		}
	})
	m.run(time.Minute)
}

func TestDeviceServesInLine(t *testing.T) {
	flat := disk.Profile{Name: "flat", Sync: time.Millisecond, SyncP99: time.Millisecond, Channels: 2}
	m := newMachine(t, 1, disk.Config{Profile: flat})
	var ended []sim.Time
	for range 6 {
		m.task(func(env.Task) { syncDir(t, m.fs, "/"); ended = append(ended, m.sim.Now()) })
	}
	m.run(time.Second)
	if len(ended) != 6 {
		t.Fatalf("%d syncs ended", len(ended))
	}
	// Three rounds of two, each between 0.8 and 4 ms.
	if ended[5] < sim.Time(2400*time.Microsecond) || ended[5] > sim.Time(12*time.Millisecond) {
		t.Errorf("ended at %v", ended)
	}
}

func TestSyncInACallbackKeepsTheMachineBusy(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	f, err := m.fs.Create("f", vfs.WriteCategoryUnspecified)
	must(t, err)
	var next sim.Time
	m.proc.After(0, "sync", func() {
		syncFile(t, f)
		syncDir(t, m.fs, "/")
		m.proc.After(0, "next", func() { next = m.sim.Now() })
	})
	m.run(time.Second)
	if next < sim.Time(320*time.Microsecond) {
		t.Errorf("the next event ran at %v", next)
	}
	m.powerLoss()
	expectList(t, m.fs, "/", "f")
}

func TestReadsAreCharged(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	m.file("f", strings.Repeat("x", 1<<20))
	before := m.m.BusyTotal()
	read(t, m.fs, "f")
	if m.m.BusyTotal() == before {
		t.Error("reading a megabyte was free")
	}
}

func TestWritesDuringASyncAreNotCovered(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(100) {
		m := newMachine(t, seed, disk.Config{})
		f := m.file("f", fill("o", 1))
		m.task(func(env.Task) {
			_, err := f.WriteAt([]byte(fill("1", 1)), 0)
			must(t, err)
			syncFile(t, f)
			m.m.Kill("the sync returned")
		})
		m.task(func(env.Task) {
			_, err := f.WriteAt([]byte(fill("2", 1)), 0)
			must(t, err)
		})
		m.run(time.Second)
		m.disk.PowerLoss()
		m.start()
		seen[sectors(t)(m.fs)] = true
	}
	// The second write may have come before or after the sync was called, but
	// what the sync found is there, or something newer.
	if seen["o"] || !seen["1"] || !seen["2"] {
		t.Errorf("found %v", seen)
	}
}

func TestPowerLossDuringASyncDraws(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		m := newMachine(t, seed, disk.Config{})
		f := m.file("f", fill("o", 1))
		_, err := f.WriteAt([]byte(fill("1", 1)), 0)
		must(t, err)
		m.task(func(env.Task) { _ = f.Sync(); t.Error("the sync returned") })
		m.run(100 * time.Microsecond) // the sync is in service
		_, err = f.WriteAt([]byte(fill("2", 1)), 0)
		must(t, err)
		m.powerLoss()
		m.run(time.Second) // what was in service must not come to pass
		seen[sectors(t)(m.fs)] = true
	}
	if len(seen) != 3 || !seen["o"] || !seen["1"] || !seen["2"] {
		t.Errorf("found %v, want o, 1 and 2", seen)
	}
}

func TestAppendsDuringASyncAreNotCovered(t *testing.T) {
	shortest := 0
	for seed := range uint64(50) {
		m := newMachine(t, seed, disk.Config{})
		f := m.file("f", fill("o", 1))
		m.task(func(env.Task) { syncFile(t, f); syncDir(t, m.fs, "/") })
		m.proc.After(time.Microsecond, "append", func() {
			_, err := f.WriteAt([]byte(fill("n", 2)), disk.SectorSize)
			must(t, err)
		})
		m.run(300 * time.Microsecond)
		m.powerLoss()
		m.run(time.Second)
		for v := range m.disk.Walk() {
			if v.Size == disk.SectorSize {
				shortest++
			}
			if v.DurableSize != v.Size {
				t.Errorf("seed %d: durable to %d of %d", seed, v.DurableSize, v.Size)
			}
		}
	}
	if shortest == 0 || shortest == 50 {
		t.Errorf("%d of 50 lost the append", shortest)
	}
}

func TestNamesMadeDuringASyncAreNotCovered(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		m := newMachine(t, seed, disk.Config{})
		put(t, m.fs, "before", "")
		done := false
		m.task(func(env.Task) { syncDir(t, m.fs, "/"); done = true })
		m.run(50 * time.Microsecond)
		put(t, m.fs, "during", "")
		m.run(time.Second)
		m.powerLoss()
		list, err := m.fs.List("/")
		must(t, err)
		if !done || !slices.Contains(list, "before") {
			t.Errorf("seed %d: done %v, found %q", seed, done, list)
		}
		if !slices.Contains(list, "during") {
			lost++
		}
	}
	if lost == 0 || lost == 50 {
		t.Errorf("%d of 50 lost the name", lost)
	}
}

func TestPowerLossEmptiesTheDevice(t *testing.T) {
	flat := disk.Profile{Name: "flat", Sync: time.Millisecond, SyncP99: time.Millisecond, Channels: 1}
	for seed := range uint64(30) {
		m := newMachine(t, seed, disk.Config{Profile: flat})
		f := m.file("f", fill("o", 1))
		_, err := f.WriteAt([]byte(fill("n", 8)), 0)
		must(t, err)
		for range 3 {
			m.task(func(env.Task) { _ = f.Sync(); t.Error("the sync returned") })
		}
		m.run(100 * time.Microsecond)
		m.powerLoss()
		m.run(10 * time.Millisecond)
		for v := range m.disk.Walk() {
			if v.DurableSize != v.Size {
				t.Fatalf("seed %d: durable to %d of %d", seed, v.DurableSize, v.Size)
			}
		}
		start, ended := m.sim.Now(), 0
		for range 3 {
			m.task(func(env.Task) { syncDir(t, m.fs, "/"); ended++ })
		}
		m.run(1500 * time.Microsecond)
		if ended > 1 {
			t.Errorf("seed %d: %d syncs ended by %v", seed, ended, m.sim.Now().Sub(start))
		}
	}
}

func TestConcurrentSyncsOfOneFile(t *testing.T) {
	for seed := range uint64(400) {
		m := newMachine(t, seed, disk.Config{})
		f := m.file("f", fill("o", 4))
		durable := 0
		if seed%2 == 1 { // a failure must not undo what a later sync covers
			m.disk.SyncError(disk.Trigger{PerMillion: 300_000})
		}
		for i := range 4 {
			m.proc.After(time.Duration(i)*50*time.Microsecond, "write", func() {
				_, err := f.WriteAt([]byte(fill(string(rune('1'+i)), 4)), 0)
				must(t, err)
				m.task(func(env.Task) {
					if err := f.Sync(); err == nil {
						durable = max(durable, i+1)
					} else if seed%2 == 0 {
						t.Error(err)
					}
				})
			})
		}
		m.run(50*time.Microsecond + time.Duration(seed)*2*time.Microsecond)
		m.powerLoss()
		for i, c := range sectors(t)(m.fs) {
			if c == 'o' {
				c = '0'
			}
			if c < '0' || c > '4' || int(c-'0') < durable {
				t.Fatalf("seed %d: sector %d holds %c, though version %d was synced", seed, i, c, durable)
			}
		}
	}
}

func TestProcessCrashDoesNotStopTheDevice(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	f := m.file("f", fill("o", 1))
	_, err := f.WriteAt([]byte(fill("n", 1)), 0)
	must(t, err)
	m.task(func(env.Task) { _ = f.Sync() })
	m.run(50 * time.Microsecond)
	m.m.Kill("crash")
	m.disk.CrashProcess()
	m.run(time.Second)
	m.disk.PowerLoss()
	m.start()
	if got := sectors(t)(m.fs); got != "n" {
		t.Errorf("found %q", got)
	}
}

func TestDeadIncarnationsChangeNothing(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	f := m.file("f", "content")
	old := m.fs
	_, err := old.Lock("LOCK")
	must(t, err)
	hash := m.disk.Hash()
	refused := func(when string) {
		t.Helper()
		_, err1 := f.Write([]byte("x"))
		_, err2 := f.ReadAt(make([]byte, 1), 0)
		_, err3 := old.Create("g", vfs.WriteCategoryUnspecified)
		_, err4 := old.List("/")
		_, err5 := old.Lock("other")
		for i, err := range []error{err1, err2, err3, err4, err5, f.Sync(), old.Remove("f"), old.Rename("f", "g"), old.MkdirAll("d", 0), old.RemoveAll("f"), old.Link("f", "g")} {
			if !errors.Is(err, disk.ErrDead) {
				t.Errorf("%s: call %d: %v", when, i+1, err)
			}
		}
		if m.disk.Hash() != hash {
			t.Errorf("%s: the disk has changed", when)
		}
	}
	m.m.Kill("crash")
	refused("after the death")
	m.start()
	refused("after the next start")
	_, err = m.fs.Lock("LOCK") // released by the death
	must(t, err)
	expect(t, m.fs, "f", "content")
	replaced := m.fs
	m.fs = m.disk.Mount(m.proc)
	if _, err := replaced.List("/"); !errors.Is(err, disk.ErrDead) {
		t.Errorf("a mount that was replaced while its process lives: %v", err)
	}
	if _, err := m.fs.Lock("LOCK"); err != nil {
		t.Errorf("a later mount of the same process: %v", err)
	}
	if err := f.Close(); !errors.Is(err, disk.ErrDead) {
		t.Errorf("close: %v", err)
	}
}

func TestCancelledTaskLeavesItsSync(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	stall := m.disk.Stall()
	var got error
	task := m.task(func(env.Task) {
		d, err := m.fs.OpenDir("/")
		must(t, err)
		got = d.Sync()
	})
	m.run(time.Second)
	task.Cancel(env.ErrCanceled)
	m.run(time.Second)
	if !errors.Is(got, env.ErrCanceled) {
		t.Errorf("the sync returned %v", got)
	}
	stall.Heal()
	m.run(time.Second)
}

func TestTraceKnowsTheBytes(t *testing.T) {
	hash := func(text string) uint64 {
		m := newMachine(t, 3, disk.Config{})
		m.file("f", text)
		return m.sim.Hash()
	}
	if hash("same") != hash("same") {
		t.Error("the same run has two hashes")
	}
	if hash("some") == hash("same") {
		t.Error("other bytes have the same hash")
	}
}
