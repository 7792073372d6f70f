package disk_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

func TestStallAndSlow(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	f := m.file("f", "x")
	var ended []sim.Time
	sync := func() {
		m.task(func(env.Task) { syncFile(t, f); ended = append(ended, m.sim.Now()) })
	}
	sync()
	m.run(50 * time.Microsecond) // in service when the stall begins
	stall := m.disk.Stall()
	sync()
	m.run(10 * time.Second)
	if len(ended) != 0 || stall.Count() != 2 {
		t.Errorf("%d syncs ended, %d touched", len(ended), stall.Count())
	}
	stall.Heal()
	stall.Heal()
	m.run(time.Millisecond)
	if len(ended) != 2 {
		t.Errorf("%d syncs ended after the stall", len(ended))
	}
	slow := m.disk.Slow(1000)
	sync()
	m.run(100 * time.Millisecond)
	if len(ended) != 2 || slow.Count() != 1 {
		t.Errorf("slow: %d ended, %d touched", len(ended), slow.Count())
	}
	slow.Heal() // what is in service goes on at the old speed
	m.run(time.Millisecond)
	if len(ended) != 3 {
		t.Errorf("slow: %d ended once it was over", len(ended))
	}
	sync()
	m.run(10 * time.Microsecond)
	slow = m.disk.Slow(1000) // and slows down in mid-service
	m.run(10 * time.Millisecond)
	if len(ended) != 3 {
		t.Errorf("slow: %d ended when a sync in service was slowed down", len(ended))
	}
	slow.Heal()
	m.run(time.Millisecond)
	// A callback cannot wait: the process hangs.
	stall = m.disk.Stall()
	ran := false
	m.proc.After(0, "sync", func() {
		syncFile(t, f)
		m.proc.After(0, "next", func() { ran = true })
	})
	m.run(time.Minute)
	if ran || !m.m.Paused() {
		t.Error("the process went on during the stall")
	}
	stall.Heal()
	m.run(time.Millisecond)
	if !ran || m.m.Paused() {
		t.Error("the process hangs after the stall")
	}
}

func TestFull(t *testing.T) {
	m := newMachine(t, 1, disk.Config{Capacity: 8 * disk.PageSize})
	f := m.file("f", "x")
	n, err := f.Write(make([]byte, 10*disk.PageSize))
	if n != 8*disk.PageSize-1 || !vfs.IsNoSpaceError(err) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d: %v", n, err)
	}
	u, err := m.fs.GetDiskUsage("/")
	must(t, err)
	if u.AvailBytes != 0 || u.UsedBytes != 8*disk.PageSize || u.TotalBytes != u.UsedBytes {
		t.Errorf("%+v", u)
	}
	must(t, f.Close())
	must(t, m.fs.Remove("f"))
	full := m.disk.Full(2 * disk.PageSize)
	f = create(t, m.fs, "g", "")
	if n, err := f.Write(make([]byte, 3*disk.PageSize)); n != 2*disk.PageSize || !vfs.IsNoSpaceError(err) || full.Count() != 1 {
		t.Errorf("wrote %d, %v, touched %d", n, err, full.Count())
	}
	full.Heal()
	_, err = f.Write([]byte("x"))
	must(t, err)
	full = m.disk.Full(0)
	if n, err := f.Write([]byte("x")); n != 0 || !vfs.IsNoSpaceError(err) || full.Count() != 1 {
		t.Errorf("wrote %d, %v, touched %d", n, err, full.Count())
	}
	_, err = f.WriteAt([]byte("x"), 0) // takes no space
	must(t, err)
}

func TestReadAndWriteErrors(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	put(t, m.fs, "000001.log", "log")
	put(t, m.fs, "000002.sst", "sst")
	e := m.disk.ReadError(disk.Trigger{Pattern: "*.sst"})
	expect(t, m.fs, "000001.log", "log")
	f, err := m.fs.Open("000002.sst")
	must(t, err)
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) || oserror.IsNotExist(err) || e.Count() != 1 {
		t.Errorf("%v, touched %d", err, e.Count())
	}
	e.Heal()
	expect(t, m.fs, "000002.sst", "sst")
	e = m.disk.WriteError(disk.Trigger{Next: 2})
	g, err := m.fs.OpenReadWrite("000001.log", vfs.WriteCategoryUnspecified)
	if g != nil || !errors.Is(err, syscall.EIO) {
		t.Errorf("the first write: %v", err)
	}
	expectFails(t, "the second", m.fs.Remove("000001.log"))
	must(t, m.fs.Remove("000001.log"))
	if e.Count() != 2 {
		t.Errorf("touched %d", e.Count())
	}
	rare := m.disk.ReadError(disk.Trigger{PerMillion: 100_000})
	for range 1000 {
		_, _ = f.ReadAt(make([]byte, 1), 0)
	}
	if rare.Count() < 50 || rare.Count() > 150 {
		t.Errorf("one in ten hit %d of 1000", rare.Count())
	}
}

func TestBitRot(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	content := strings.Repeat("\x00", 5000)
	m.file("a.sst", content)
	m.file("b.log", content)
	if e := m.disk.BitRot("*.none", 3); e.Count() != 0 {
		t.Errorf("%d bits flipped in no file", e.Count())
	}
	if e := m.disk.BitRot("*.sst", 1); e.Count() != 1 {
		t.Errorf("%d bits flipped", e.Count())
	}
	expect(t, m.fs, "b.log", content)
	if read(t, m.fs, "a.sst") == content {
		t.Error("nothing has changed")
	}
}

func TestLoseAll(t *testing.T) {
	m := newMachine(t, 1, disk.Config{})
	f := m.file("f", "x")
	var waiting error
	m.task(func(env.Task) { waiting = f.Sync() })
	m.run(50 * time.Microsecond)
	e := m.disk.LoseAll()
	m.run(time.Second)
	if !errors.Is(waiting, syscall.EIO) {
		t.Errorf("the sync that was in service returned %v", waiting)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	if _, err := m.fs.List("/"); !errors.Is(err, syscall.EIO) || e.Count() != 3 {
		t.Errorf("%v, touched %d", err, e.Count())
	}
	m.m.Kill("no disk")
	m.start()
	if _, err := m.fs.Stat("f"); !errors.Is(err, syscall.EIO) {
		t.Errorf("before the disk is replaced: %v", err)
	}
	m.m.Kill("no disk")
	e.Heal()
	m.start()
	expectList(t, m.fs, "/")
	if m.disk.Used() != 0 {
		t.Errorf("%d bytes used", m.disk.Used())
	}
}
