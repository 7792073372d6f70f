package disk_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
	"simulacrum/sim/disk"
)

// contract is one claim about vfs.FS, made of a file system whose directory dir
// is empty. Each is checked on this disk and on the host's own file system.
type contract struct {
	name  string
	check func(t *testing.T, fsys vfs.FS, dir string)
}

func TestContract(t *testing.T) {
	for _, c := range contracts {
		t.Run("disk/"+c.name, func(t *testing.T) {
			s := sim.New(sim.Config{Seed: 1})
			defer s.Close()
			fsys := disk.New(s, "n1", disk.Config{}).Mount(nil)
			must(t, fsys.MkdirAll("/dir", 0o755))
			c.check(t, fsys, "/dir")
		})
		t.Run("host/"+c.name, func(t *testing.T) { c.check(t, vfs.Default, t.TempDir()) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, fsys vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write([]byte(content))
	must(t, err)
	return f
}

func put(t testing.TB, fsys vfs.FS, name, content string) {
	t.Helper()
	must(t, create(t, fsys, name, content).Close())
}

func read(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, err)
	must(t, f.Close())
	return string(b)
}

func expect(t testing.TB, fsys vfs.FS, name, content string) {
	t.Helper()
	if got := read(t, fsys, name); got != content {
		t.Errorf("%s holds %q, want %q", name, got, content)
	}
}

func expectList(t testing.TB, fsys vfs.FS, dir string, want ...string) {
	t.Helper()
	got, err := fsys.List(dir)
	must(t, err)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s lists %q, want %q", dir, got, want)
	}
}

func expectNone(t testing.TB, what string, err error) {
	t.Helper()
	if !oserror.IsNotExist(err) || !errors.Is(err, fs.ErrNotExist) || !os.IsNotExist(errorsRoot(err)) {
		t.Errorf("%s: %v, want an error that says that the file does not exist", what, err)
	}
}

func errorsRoot(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

func expectFails(t testing.TB, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeded", what)
	}
}

var contracts = []contract{
	{"create makes a new inode and leaves the old to its handle", func(t *testing.T, fsys vfs.FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		old := create(t, fsys, name, "old")
		put(t, fsys, name, "new")
		b := make([]byte, 3)
		_, err := old.ReadAt(b, 0)
		must(t, err)
		if string(b) != "old" {
			t.Errorf("the old handle reads %q", b)
		}
		_, err = old.Write([]byte(" more"))
		must(t, err)
		expect(t, fsys, name, "new")
		must(t, old.Close())
	}},
	{"create spares the other hard link", func(t *testing.T, fsys vfs.FS, dir string) {
		a, b := fsys.PathJoin(dir, "a"), fsys.PathJoin(dir, "b")
		put(t, fsys, a, "first")
		must(t, fsys.Link(a, b))
		put(t, fsys, a, "second")
		expect(t, fsys, b, "first")
		expect(t, fsys, a, "second")
	}},
	{"link shares content, and needs a new name and an old file", func(t *testing.T, fsys vfs.FS, dir string) {
		a, b := fsys.PathJoin(dir, "a"), fsys.PathJoin(dir, "b")
		f := create(t, fsys, a, "x")
		must(t, fsys.Link(a, b))
		_, err := f.Write([]byte("y"))
		must(t, err)
		expect(t, fsys, b, "xy")
		if err := fsys.Link(a, b); !oserror.IsExist(err) {
			t.Errorf("link over a name: %v", err)
		}
		expectNone(t, "link of nothing", fsys.Link(fsys.PathJoin(dir, "none"), fsys.PathJoin(dir, "c")))
		expectFails(t, "link of a directory", fsys.Link(dir, fsys.PathJoin(dir, "d")))
		must(t, fsys.Remove(a))
		expect(t, fsys, b, "xy")
		must(t, f.Close())
	}},
	{"rename replaces, within and across directories", func(t *testing.T, fsys vfs.FS, dir string) {
		a, b, sub := fsys.PathJoin(dir, "a"), fsys.PathJoin(dir, "b"), fsys.PathJoin(dir, "sub")
		must(t, fsys.MkdirAll(sub, 0o755))
		put(t, fsys, a, "a")
		put(t, fsys, b, "b")
		must(t, fsys.Rename(a, b))
		expect(t, fsys, b, "a")
		expectList(t, fsys, dir, "b", "sub")
		must(t, fsys.Rename(b, fsys.PathJoin(sub, "c")))
		expect(t, fsys, fsys.PathJoin(sub, "c"), "a")
		must(t, fsys.Rename(sub, fsys.PathJoin(dir, "moved")))
		expect(t, fsys, fsys.PathJoin(dir, "moved", "c"), "a")
		expectNone(t, "rename of nothing", fsys.Rename(a, b))
		put(t, fsys, a, "again")
		must(t, fsys.Rename(a, a))
		must(t, fsys.Link(a, b))
		must(t, fsys.Rename(a, b)) // two names of one file: both stay
		expectList(t, fsys, dir, "a", "b", "moved")
	}},
	{"rename refuses what makes no sense", func(t *testing.T, fsys vfs.FS, dir string) {
		f, d, full := fsys.PathJoin(dir, "f"), fsys.PathJoin(dir, "d"), fsys.PathJoin(dir, "full")
		put(t, fsys, f, "")
		must(t, fsys.MkdirAll(d, 0o755))
		must(t, fsys.MkdirAll(fsys.PathJoin(full, "x"), 0o755))
		expectFails(t, "file over directory", fsys.Rename(f, d))
		expectFails(t, "directory over file", fsys.Rename(d, f))
		expectFails(t, "directory over a full one", fsys.Rename(d, full))
		expectFails(t, "directory into itself", fsys.Rename(full, fsys.PathJoin(full, "x", "y")))
		expectNone(t, "rename into no directory", fsys.Rename(f, fsys.PathJoin(dir, "none", "f")))
		expectList(t, fsys, dir, "d", "f", "full")
	}},
	{"remove leaves the file to its handle", func(t *testing.T, fsys vfs.FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		f := create(t, fsys, name, "still here")
		must(t, fsys.Remove(name))
		expectNone(t, "remove again", fsys.Remove(name))
		_, err := fsys.Open(name)
		expectNone(t, "open", err)
		b := make([]byte, 10)
		_, err = f.ReadAt(b, 0)
		must(t, err)
		if string(b) != "still here" {
			t.Errorf("read %q", b)
		}
		must(t, f.Sync())
		must(t, f.Close())
	}},
	{"remove takes empty directories only, RemoveAll all", func(t *testing.T, fsys vfs.FS, dir string) {
		sub := fsys.PathJoin(dir, "a", "b")
		must(t, fsys.MkdirAll(sub, 0o755))
		put(t, fsys, fsys.PathJoin(sub, "f"), "x")
		expectFails(t, "remove of a full directory", fsys.Remove(sub))
		must(t, fsys.RemoveAll(fsys.PathJoin(dir, "a")))
		expectList(t, fsys, dir)
		must(t, fsys.RemoveAll(fsys.PathJoin(dir, "a")))
		must(t, fsys.RemoveAll(fsys.PathJoin(dir, "none", "below")))
		must(t, fsys.MkdirAll(sub, 0o755))
		must(t, fsys.Remove(sub))
		expectList(t, fsys, fsys.PathJoin(dir, "a"))
	}},
	{"ReuseForWrite renames and keeps the content", func(t *testing.T, fsys vfs.FS, dir string) {
		a, b := fsys.PathJoin(dir, "a"), fsys.PathJoin(dir, "b")
		put(t, fsys, a, "0123456789")
		f, err := fsys.ReuseForWrite(a, b, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write([]byte("abc"))
		must(t, err)
		must(t, f.Close())
		expect(t, fsys, b, "abc3456789")
		expectList(t, fsys, dir, "b")
		_, err = fsys.ReuseForWrite(a, b, vfs.WriteCategoryUnspecified)
		expectNone(t, "reuse of nothing", err)
	}},
	{"OpenReadWrite creates, keeps, and writes anywhere", func(t *testing.T, fsys vfs.FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		f, err := fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.WriteAt([]byte("tail"), 10_000) // leaves a hole
		must(t, err)
		_, err = f.Write([]byte("head")) // WriteAt did not move the position
		must(t, err)
		must(t, f.Close())
		f, err = fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.WriteAt([]byte("H"), 0)
		must(t, err)
		must(t, f.Close())
		want := make([]byte, 10_004)
		copy(want, "Head")
		copy(want[10_000:], "tail")
		expect(t, fsys, name, string(want))
		_, err = fsys.OpenReadWrite(dir, vfs.WriteCategoryUnspecified)
		expectFails(t, "opening a directory for writing", err)
	}},
	{"reads end with io.EOF", func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, fsys.PathJoin(dir, "f"), "abcdef")
		b := make([]byte, 4)
		if n, err := f.ReadAt(b, 4); n != 2 || err != io.EOF || string(b[:n]) != "ef" {
			t.Errorf("across the end: %d %v %q", n, err, b[:n])
		}
		if n, err := f.ReadAt(b, 6); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d %v", n, err)
		}
		if n, err := f.ReadAt(b, 1<<40); n != 0 || err != io.EOF {
			t.Errorf("past the end: %d %v", n, err)
		}
		if n, err := f.ReadAt(nil, 6); n != 0 || err != nil {
			t.Errorf("nothing at the end: %d %v", n, err)
		}
		if n, err := f.ReadAt(b, 2); n != 4 || err != nil {
			t.Errorf("up to the end: %d %v", n, err)
		}
		_, err := f.ReadAt(b, -1)
		expectFails(t, "a negative offset", err)
		if n, err := f.Read(b); n != 0 || err != io.EOF {
			t.Errorf("Read where Write stopped: %d %v", n, err)
		}
		must(t, f.Close())
	}},
	{"handles for reading do not write, directories are not read", func(t *testing.T, fsys vfs.FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		put(t, fsys, name, "x")
		f, err := fsys.Open(name)
		must(t, err)
		_, err = f.Write([]byte("y"))
		expectFails(t, "a write", err)
		must(t, f.Close())
		d, err := fsys.OpenDir(dir)
		must(t, err)
		_, err = d.Read(make([]byte, 1))
		expectFails(t, "a read of a directory", err)
		must(t, d.Sync())
		must(t, d.Close())
		_, err = fsys.OpenDir(fsys.PathJoin(dir, "none"))
		expectNone(t, "OpenDir", err)
	}},
	{"a closed handle is of no use", func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, fsys.PathJoin(dir, "f"), "x")
		must(t, f.Close())
		_, werr := f.Write([]byte("y"))
		_, rerr := f.ReadAt(make([]byte, 1), 0)
		_, serr := f.Stat()
		for _, err := range []error{werr, rerr, serr, f.Sync(), f.Close()} {
			if !errors.Is(err, fs.ErrClosed) && !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%v", err)
			}
		}
	}},
	{"names lead through directories that exist", func(t *testing.T, fsys vfs.FS, dir string) {
		f, none := fsys.PathJoin(dir, "f"), fsys.PathJoin(dir, "none")
		put(t, fsys, f, "x")
		_, err := fsys.Open(none)
		expectNone(t, "open", err)
		_, err = fsys.Stat(none)
		expectNone(t, "stat", err)
		_, err = fsys.List(none)
		expectNone(t, "list", err)
		_, err = fsys.Create(fsys.PathJoin(none, "x"), vfs.WriteCategoryUnspecified)
		expectNone(t, "create", err)
		_, err = fsys.OpenReadWrite(fsys.PathJoin(none, "x"), vfs.WriteCategoryUnspecified)
		expectNone(t, "open for writing", err)
		_, err = fsys.Open(fsys.PathJoin(f, "x"))
		expectFails(t, "a file used as a directory", err)
		_, err = fsys.List(f)
		expectFails(t, "list of a file", err)
		expectFails(t, "MkdirAll over a file", fsys.MkdirAll(f, 0o755))
		_, err = fsys.Create("", vfs.WriteCategoryUnspecified)
		expectFails(t, "the empty name", err)
	}},
	{"create replaces an empty directory, and no other", func(t *testing.T, fsys vfs.FS, dir string) {
		d := fsys.PathJoin(dir, "d")
		must(t, fsys.MkdirAll(fsys.PathJoin(d, "e"), 0o755))
		_, err := fsys.Create(d, vfs.WriteCategoryUnspecified)
		expectFails(t, "create over a full directory", err)
		must(t, fsys.Remove(fsys.PathJoin(d, "e")))
		put(t, fsys, d, "file now")
		expect(t, fsys, d, "file now")
	}},
	{"MkdirAll and Stat", func(t *testing.T, fsys vfs.FS, dir string) {
		sub := fsys.PathJoin(dir, "a", "b", "c")
		must(t, fsys.MkdirAll(sub, 0o755))
		must(t, fsys.MkdirAll(sub, 0o755))
		fi, err := fsys.Stat(sub)
		must(t, err)
		if !fi.IsDir() || !fi.Mode().IsDir() || fi.Name() != "c" {
			t.Errorf("directory: %v %v %q", fi.IsDir(), fi.Mode(), fi.Name())
		}
		f := create(t, fsys, fsys.PathJoin(sub, "f"), "12345")
		for _, stat := range []func() (vfs.FileInfo, error){f.Stat, func() (vfs.FileInfo, error) { return fsys.Stat(fsys.PathJoin(sub, "f")) }} {
			fi, err := stat()
			must(t, err)
			if fi.IsDir() || !fi.Mode().IsRegular() || fi.Size() != 5 || fi.Name() != "f" || fi.ModTime().IsZero() {
				t.Errorf("file: %v %v %d %q %v", fi.IsDir(), fi.Mode(), fi.Size(), fi.Name(), fi.ModTime())
			}
		}
		must(t, f.Close())
		expectList(t, fsys, sub, "f")
	}},
	{"locks exclude until they are closed", func(t *testing.T, fsys vfs.FS, dir string) {
		name := fsys.PathJoin(dir, "LOCK")
		l, err := fsys.Lock(name)
		must(t, err)
		second, err := fsys.Lock(name)
		expectFails(t, "a second lock", err)
		if second != nil {
			t.Error("a closer came with the error")
		}
		expectList(t, fsys, dir, "LOCK")
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
		_, err = fsys.Lock(fsys.PathJoin(dir, "none", "LOCK"))
		expectNone(t, "lock in no directory", err)
	}},
	{"syncs, hints and usage", func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, fsys.PathJoin(dir, "f"), "x")
		must(t, f.Preallocate(0, 1<<16))
		must(t, f.SyncData())
		_, err := f.SyncTo(1)
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
		if fi, err := fsys.Stat(fsys.PathJoin(dir, "f")); err != nil || fi.Size() != 1 {
			t.Errorf("preallocation changed the size: %v", err)
		}
		u, err := fsys.GetDiskUsage(dir)
		must(t, err)
		if u.TotalBytes == 0 || u.UsedBytes == 0 || u.AvailBytes > u.TotalBytes {
			t.Errorf("%+v", u)
		}
		if fsys.Unwrap() != nil || fsys.PathBase("/a/b") != "b" || fsys.PathDir("/a/b") != "/a" || fsys.PathJoin("/a", "b") != "/a/b" {
			t.Error("paths")
		}
	}},
	{"large and scattered writes read back", func(t *testing.T, fsys vfs.FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		f, err := fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		must(t, err)
		want := make([]byte, 70_000)
		for i, at := range []int{0, 69_000, 511, 512, 4095, 4096, 30_000, 8_191} {
			p := bytes.Repeat([]byte{byte('a' + i)}, min(1000, len(want)-at))
			_, err := f.WriteAt(p, int64(at))
			must(t, err)
			copy(want[at:], p)
		}
		must(t, f.Close())
		expect(t, fsys, name, string(want))
	}},
}
