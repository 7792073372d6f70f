package disk_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

// The file systems that are compared: this disk without the kernel's events, and
// pebble's MemFS, plain and able to crash.
func each(b *testing.B, run func(b *testing.B, fsys vfs.FS)) {
	b.Run("disk", func(b *testing.B) {
		s := sim.New(sim.Config{Seed: 1})
		defer s.Close()
		run(b, disk.New(s, "n1", disk.Config{}).Mount(nil))
	})
	b.Run("MemFS", func(b *testing.B) { run(b, vfs.NewMem()) })
	b.Run("MemFS-crashable", func(b *testing.B) { run(b, vfs.NewCrashableMem()) })
}

// BenchmarkAppendSync is the life of a log: small records, each synced, a new file
// every megabyte.
func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			each(b, func(b *testing.B, fsys vfs.FS) {
				record := make([]byte, size)
				var f vfs.File
				b.ReportAllocs()
				for i := range b.N {
					if i%(1<<20/size) == 0 {
						f = create(b, fsys, "log", "")
					}
					_, err := f.Write(record)
					if err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkAppendSyncTimed includes the kernel: two events and two switches.
func BenchmarkAppendSyncTimed(b *testing.B) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	d := disk.New(s, "n1", disk.Config{})
	p := s.Machine("n1", sim.MachineConfig{}).Start("bench")
	fsys := d.Mount(p)
	record := make([]byte, 100)
	b.ReportAllocs()
	p.Go("log", func(env.Task) {
		var f vfs.File
		for i := range b.N {
			if i%10_000 == 0 {
				f = create(b, fsys, "log", "")
			}
			_, err := f.Write(record)
			if err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for s.Step() {
	}
}

// BenchmarkWriteTable writes 1 MiB in blocks of 32 KiB and syncs it once.
func BenchmarkWriteTable(b *testing.B) {
	each(b, func(b *testing.B, fsys vfs.FS) {
		block := make([]byte, 32<<10)
		b.SetBytes(1 << 20)
		for range b.N {
			f := create(b, fsys, "table", "")
			for range 32 {
				_, err := f.Write(block)
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReadBlock reads blocks of 4 KiB that are not aligned.
func BenchmarkReadBlock(b *testing.B) {
	each(b, func(b *testing.B, fsys vfs.FS) {
		f := create(b, fsys, "table", string(make([]byte, 1<<20)))
		block := make([]byte, 4<<10)
		b.SetBytes(4 << 10)
		for i := range b.N {
			_, err := f.ReadAt(block, int64(i*5000)%(1<<20-5000))
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
