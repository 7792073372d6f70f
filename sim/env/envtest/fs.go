package envtest

import (
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim/env"
)

const category = vfs.WriteCategoryUnspecified

var fsCases = []testCase{
	{"write, sync, read", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			fs := e.FS()
			b.must(fs.MkdirAll("data/sub", 0o755))
			b.must(writeFile(fs, "data/sub/f", "hello"))
			b.must(syncDir(fs, "data/sub"))
			got, err := readFile(fs, "data/sub/f")
			b.check(got == "hello" && err == nil, "read %q, %v", got, err)
			b.must(fs.Rename("data/sub/f", "data/sub/g"))
			names, err := fs.List("data/sub")
			b.check(slices.Equal(names, []string{"g"}) && err == nil, "list %q, %v", names, err)
			info, err := fs.Stat("data/sub/g")
			b.check(err == nil && info.Size() == 5, "stat: %v", err)
			b.must(fs.Remove("data/sub/g"))
			_, err = fs.Open("data/sub/g")
			b.check(err != nil, "a removed file was opened")
		})
	}},
	{"a sync in a callback", func(b *bench) {
		b.start("p", func(e env.Env) {
			b.must(writeFile(e.FS(), "f", "hello"))
			b.note("end")
		})
		b.expect("end")
	}},
	{"synced bytes outlive the process", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			b.must(e.FS().MkdirAll("data", 0o755))
			b.must(writeFile(e.FS(), "data/f", "kept"))
			b.must(syncDir(e.FS(), "data"))
			b.must(syncDir(e.FS(), "."))
		})
		b.Kill("p")
		b.start("p", func(e env.Env) {
			got, err := readFile(e.FS(), "data/f")
			b.check(got == "kept" && err == nil, "read %q, %v", got, err)
		})
	}},
	{"others run during a sync", func(b *bench) {
		b.start("p", func(e env.Env) {
			syncing, left := 0, 4
			for i := range 4 {
				e.Go("test", func(t env.Task) {
					syncing++
					b.must(writeFile(e.FS(), string(rune('a'+i)), "x"))
					b.check(e.Current() == t, "another task is current after a sync")
					syncing--
					if left--; left == 0 {
						b.note("end %d", syncing)
					}
				})
			}
		})
		b.expect("end 0")
	}},
	{"each process has its own files", func(b *bench) {
		b.start("p", func(e env.Env) { b.must(writeFile(e.FS(), "f", "p's")) })
		b.start("q", func(e env.Env) {
			_, err := e.FS().Stat("f")
			b.check(err != nil, "q sees a file of p")
		})
	}},
	{"handles of the dead do nothing", func(b *bench) {
		var file vfs.File
		var fs vfs.FS
		b.start("p", func(e env.Env) {
			fs = e.FS()
			var err error
			file, err = fs.Create("f", category)
			b.must(err)
			_, err = file.Write([]byte("before"))
			b.must(err)
			b.must(file.Sync())
			b.must(syncDir(fs, "."))
		})
		b.Kill("p")
		_, err := file.Write([]byte("after"))
		b.check(err != nil, "a dead process wrote")
		b.check(file.Sync() != nil, "a dead process synced")
		_, err = fs.Create("g", category)
		b.check(err != nil, "a dead process created a file")
		b.check(fs.Remove("f") != nil, "a dead process removed a file")
		b.start("p", func(e env.Env) {
			got, err := readFile(e.FS(), "f")
			b.check(got == "before" && err == nil, "read %q, %v", got, err)
		})
	}},
	{"death releases locks", func(b *bench) {
		b.start("p", func(e env.Env) {
			_, err := e.FS().Lock("LOCK")
			b.must(err)
		})
		b.Kill("p")
		b.start("p", func(e env.Env) {
			l, err := e.FS().Lock("LOCK")
			b.must(err)
			if err == nil {
				b.must(l.Close())
			}
		})
	}},
}

func (b *bench) must(err error) {
	b.Helper()
	b.check(err == nil, "%v", err)
}

func writeFile(fs vfs.FS, name, text string) error {
	f, err := fs.Create(name, category)
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(text)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func readFile(fs vfs.FS, name string) (string, error) {
	f, err := fs.Open(name)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	return string(text), f.Close()
}

func syncDir(fs vfs.FS, name string) error {
	d, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return d.Close()
}
