package disk_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
	"simulacrum/sim/disk"
)

// untimed is a disk that nobody's calls reach: no time passes.
func untimed(t testing.TB, seed uint64) (*disk.Disk, vfs.FS) {
	s := sim.New(sim.Config{Seed: seed})
	t.Cleanup(s.Close)
	d := disk.New(s, "n1", disk.Config{})
	return d, d.Mount(nil)
}

func syncDir(t testing.TB, fsys vfs.FS, name string) {
	t.Helper()
	d, err := fsys.OpenDir(name)
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
}

func syncFile(t testing.TB, f vfs.File) {
	t.Helper()
	must(t, f.Sync())
}

// outcomes runs a scenario under many seeds, cuts the power, and counts what is
// found. Every wanted outcome must be among what is found, and nothing else.
func outcomes(t *testing.T, scenario func(fsys vfs.FS), found func(fsys vfs.FS) string, want ...string) {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(300) {
		d, fsys := untimed(t, seed)
		scenario(fsys)
		d.PowerLoss()
		seen[found(d.Mount(nil))]++
	}
	var got []string
	for _, w := range want {
		if seen[w] == 0 {
			t.Errorf("never found: %q", w)
		}
	}
	for k, n := range seen {
		got = append(got, fmt.Sprintf("%d × %q", n, k))
		if !slices.Contains(want, k) {
			t.Errorf("found, but impossible: %q", k)
		}
	}
	slices.Sort(got)
	t.Log(strings.Join(got, "\n"))
}

// tree prints small files with their content.
func tree(t *testing.T) func(fsys vfs.FS) string {
	return func(fsys vfs.FS) string {
		list, err := fsys.List("/")
		must(t, err)
		var parts []string
		for _, name := range list {
			parts = append(parts, name+"="+read(t, fsys, name))
		}
		return strings.Join(parts, " ")
	}
}

func synced(t *testing.T, fsys vfs.FS, name, content string) {
	f := create(t, fsys, name, content)
	syncFile(t, f)
	must(t, f.Close())
}

func TestSyncedFileNeedsItsName(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) { synced(t, fsys, "a", "x") }, tree(t), "", "a=x")
	outcomes(t, func(fsys vfs.FS) { synced(t, fsys, "a", "x"); syncDir(t, fsys, "/") }, tree(t), "a=x")
}

func TestRenameIsAtomic(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "target", "old")
		synced(t, fsys, "temp", "new")
		syncDir(t, fsys, "/")
		must(t, fsys.Rename("temp", "target"))
	}, tree(t), "target=old temp=new", "target=new")
	// The source was never durable: it may be gone, the target may not.
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "target", "old")
		syncDir(t, fsys, "/")
		synced(t, fsys, "temp", "new")
		must(t, fsys.Rename("temp", "target"))
	}, tree(t), "target=old", "target=old temp=new", "target=new")
}

func TestRenameAcrossDirectoriesIsDurableByEither(t *testing.T) {
	for _, which := range []string{"/a", "/b"} {
		outcomes(t, func(fsys vfs.FS) {
			must(t, fsys.MkdirAll("/a", 0o755))
			must(t, fsys.MkdirAll("/b", 0o755))
			syncDir(t, fsys, "/")
			synced(t, fsys, "/a/f", "x")
			must(t, fsys.Rename("/a/f", "/b/f"))
			syncDir(t, fsys, which)
		}, func(fsys vfs.FS) string {
			a, err := fsys.List("/a")
			must(t, err)
			b, err := fsys.List("/b")
			must(t, err)
			return fmt.Sprint(a, b)
		}, "[] [f]")
	}
}

func TestUnrelatedNamesMayOvertake(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "a", "1")
		synced(t, fsys, "b", "2")
	}, tree(t), "", "a=1", "b=2", "a=1 b=2")
	// Those on one name do not.
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "a", "1")
		must(t, fsys.Remove("a"))
		synced(t, fsys, "a", "2")
	}, tree(t), "", "a=1", "a=2")
}

func TestChainsOfRenamesDropTogether(t *testing.T) {
	// b→c without a→b before it would leave one file under two names, and old b
	// nowhere.
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "a", "1")
		synced(t, fsys, "b", "2")
		syncDir(t, fsys, "/")
		must(t, fsys.Rename("a", "b"))
		must(t, fsys.Rename("b", "c"))
	}, tree(t), "a=1 b=2", "b=1", "c=1")
}

func TestRemoveMayComeBack(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "a", "x")
		syncDir(t, fsys, "/")
		must(t, fsys.Remove("a"))
	}, tree(t), "", "a=x")
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "a", "x")
		syncDir(t, fsys, "/")
		must(t, fsys.Remove("a"))
		syncDir(t, fsys, "/")
	}, tree(t), "")
}

func TestDirectoriesNeedTheirParents(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		must(t, fsys.MkdirAll("/d", 0o755))
		synced(t, fsys, "/d/f", "x")
		syncDir(t, fsys, "/d") // but not the root
	}, func(fsys vfs.FS) string {
		list, err := fsys.List("/d")
		if err != nil {
			return "nothing"
		}
		return strings.Join(list, " ")
	}, "nothing", "f")
}

// sectors describes a file by the first byte of each of its sectors.
func sectors(t *testing.T) func(fsys vfs.FS) string {
	return func(fsys vfs.FS) string {
		b := read(t, fsys, "f")
		var out []byte
		for i := 0; i < len(b); i += disk.SectorSize {
			c := b[i]
			if c == 0 {
				c = '0'
			}
			if strings.Trim(b[i:min(i+disk.SectorSize, len(b))], b[i:i+1]) != "" {
				c = '!' // torn inside
			}
			out = append(out, c)
		}
		return string(out)
	}
}

func fill(c string, n int) string { return strings.Repeat(c, n*disk.SectorSize) }

func TestOverwrittenSectorsAreOldOrNew(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "f", fill("o", 2))
		syncDir(t, fsys, "/")
		f, err := fsys.OpenReadWrite("f", vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write([]byte(fill("x", 2))) // overwritten before any sync: never seen
		must(t, err)
		_, err = f.WriteAt([]byte(fill("n", 2)), 0)
		must(t, err)
	}, sectors(t), "oo", "no", "on", "nn")
}

func TestAppendedSectorsAndSize(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		synced(t, fsys, "f", fill("o", 1))
		syncDir(t, fsys, "/")
		f, err := fsys.OpenReadWrite("f", vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.WriteAt([]byte(fill("n", 2)), disk.SectorSize)
		must(t, err)
	}, sectors(t), "o", "on", "onn", "o00", "on0", "o0n")
}

func TestPartOfASectorIsAtomicToo(t *testing.T) {
	outcomes(t, func(fsys vfs.FS) {
		f := create(t, fsys, "f", "durable,")
		syncFile(t, f)
		syncDir(t, fsys, "/")
		_, err := f.Write([]byte("appended"))
		must(t, err)
	}, tree(t), "f=durable,", "f=durable,appended", "f=durable,"+strings.Repeat("\x00", 8))
}

func TestBytesBeyondALostSizeDoNotComeBack(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		d, fsys := untimed(t, seed)
		f := create(t, fsys, "f", "ab")
		syncFile(t, f)
		syncDir(t, fsys, "/")
		_, err := f.Write([]byte("SECRET"))
		must(t, err)
		d.PowerLoss()
		fsys = d.Mount(nil)
		if read(t, fsys, "f") != "ab" {
			continue
		}
		lost++
		f, err = fsys.OpenReadWrite("f", vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.WriteAt([]byte("z"), 20)
		must(t, err)
		expect(t, fsys, "f", "ab"+strings.Repeat("\x00", 18)+"z")
	}
	if lost == 0 {
		t.Error("no seed lost the size")
	}
}

func TestProcessCrashKeepsThePageCache(t *testing.T) {
	d, fsys := untimed(t, 1)
	put(t, fsys, "f", "never synced")
	d.CrashProcess()
	expect(t, d.Mount(nil), "f", "never synced")
}

func TestFailedSyncGivesUpTheData(t *testing.T) {
	scenario := func(t *testing.T, d *disk.Disk, fsys vfs.FS) {
		f := create(t, fsys, "f", fill("o", 2))
		syncFile(t, f)
		syncDir(t, fsys, "/")
		_, err := f.WriteAt([]byte(fill("n", 2)), 0)
		must(t, err)
		e := d.SyncError(disk.Trigger{Next: 1})
		expectFails(t, "the sync", f.Sync())
		if e.Count() != 1 {
			t.Errorf("the fault counts %d", e.Count())
		}
		_, err = f.WriteAt([]byte(fill("N", 1)), disk.SectorSize) // dirty again
		must(t, err)
		syncFile(t, f) // succeeds, and does not cover the first sector
		expect(t, fsys, "f", fill("n", 1)+fill("N", 1))
	}
	seen := map[string]bool{}
	for seed := range uint64(100) {
		d, fsys := untimed(t, seed)
		scenario(t, d, fsys)
		d.PowerLoss()
		seen[sectors(t)(d.Mount(nil))] = true
	}
	if len(seen) != 2 || !seen["oN"] || !seen["nN"] {
		t.Errorf("found %v, want oN and nN", seen)
	}
}

func TestHolesCostNothing(t *testing.T) {
	d, fsys := untimed(t, 1)
	f := create(t, fsys, "f", "")
	_, err := f.WriteAt([]byte("x"), 1<<20)
	must(t, err)
	if d.Used() != disk.PageSize {
		t.Errorf("%d bytes used", d.Used())
	}
	must(t, fsys.Remove("f"))
	if d.Used() != disk.PageSize {
		t.Errorf("%d bytes used with a handle open", d.Used())
	}
	must(t, f.Close())
	if d.Used() != 0 {
		t.Errorf("%d bytes used at last", d.Used())
	}
}

func TestJournalIsBounded(t *testing.T) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	d := disk.New(s, "n1", disk.Config{JournalLimit: 10})
	fsys := d.Mount(nil)
	for i := range 100 {
		put(t, fsys, fmt.Sprintf("f%02d", i), "")
	}
	d.PowerLoss()
	list, err := d.Mount(nil).List("/")
	must(t, err)
	if len(list) < 90 {
		t.Errorf("%d files are left", len(list))
	}
}

func TestSameSeedSameImage(t *testing.T) {
	run := func(seed uint64) (uint64, string) {
		d, fsys := untimed(t, seed)
		for i := range 40 {
			f := create(t, fsys, fmt.Sprintf("f%d", i), strings.Repeat(string(rune('a'+i%26)), 300*i))
			if i%3 == 0 {
				syncFile(t, f)
			}
			if i%7 == 0 {
				syncDir(t, fsys, "/")
			}
			if i%5 == 0 {
				must(t, fsys.Rename(fmt.Sprintf("f%d", i), fmt.Sprintf("g%d", i/2)))
			}
		}
		d.PowerLoss()
		return d.Hash(), d.String()
	}
	hash, text := run(7)
	again, textAgain := run(7)
	if hash != again || text != textAgain {
		t.Errorf("two images of one seed:\n%s\n%s", text, textAgain)
	}
	if other, _ := run(8); other == hash {
		t.Error("another seed gives the same image")
	}
}

func TestCloneIsTheSameDiskAndAnother(t *testing.T) {
	d, fsys := untimed(t, 1)
	must(t, fsys.MkdirAll("/d", 0o755))
	f := create(t, fsys, "f", fill("o", 3))
	syncFile(t, f)
	_, err := f.WriteAt([]byte(fill("n", 2)), 0)
	must(t, err)
	e := d.SyncError(disk.Trigger{Next: 1})
	if f.Sync() == nil || e.Count() != 1 {
		t.Error("the sync succeeded")
	}
	_, err = f.WriteAt([]byte("again"), 0)
	must(t, err)
	must(t, fsys.Link("f", "/d/g"))
	open := create(t, fsys, "open", "x")
	must(t, fsys.Remove("open"))
	s := sim.New(sim.Config{Seed: 2})
	defer s.Close()
	c := d.Clone(s, "n1")
	if c.Hash() != d.Hash() || c.Used() != d.Used()-disk.PageSize {
		t.Errorf("the clone differs:\n%s\n%s", d, c)
	}
	before, hash := d.String(), d.Hash()
	c.PowerLoss()
	put(t, c.Mount(nil), "h", "y")
	if d.String() != before || d.Hash() != hash {
		t.Errorf("what befell the clone befell the disk:\n%s\n%s", before, d)
	}
	must(t, open.Close())
	// From the same stream, the clone's image is the disk's own.
	twin := sim.New(sim.Config{Seed: 1})
	defer twin.Close()
	c = d.Clone(twin, "n1")
	c.PowerLoss()
	d.PowerLoss()
	if c.Hash() != d.Hash() || c.String() != d.String() {
		t.Errorf("two images:\n%s\n%s", d, c)
	}
}

func TestInspection(t *testing.T) {
	d, fsys := untimed(t, 1)
	must(t, fsys.MkdirAll("/data/sub", 0o755))
	f := create(t, fsys, "/data/log", fill("a", 10))
	syncFile(t, f)
	_, err := f.Write([]byte(fill("b", 2)))
	must(t, err)
	var paths []string
	for v := range d.Walk() {
		paths = append(paths, v.Path)
		if v.Dir {
			continue
		}
		var joined []byte
		for off, b := range v.Chunks() {
			if off != int64(len(joined)) {
				t.Errorf("a chunk at %d after %d bytes", off, len(joined))
			}
			joined = append(joined, b...)
		}
		if !bytes.Equal(joined, v.Bytes()) || string(joined) != fill("a", 10)+fill("b", 2) {
			t.Error("chunks and bytes differ")
		}
		if string(v.Durable()) != fill("a", 10) || v.Dirty != 2 {
			t.Errorf("durable %d bytes, %d sectors dirty", len(v.Durable()), v.Dirty)
		}
	}
	if want := []string{"/data", "/data/log", "/data/sub"}; !slices.Equal(paths, want) {
		t.Errorf("walked %q, want %q", paths, want)
	}
	text := d.String()
	for _, want := range []string{"data/\n", "durable to 5120", "2 sectors dirty", "pending: #1/data = #2"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
