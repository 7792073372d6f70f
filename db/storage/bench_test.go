package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const benchKeys = 100_000

func benchKey(buf []byte, n int) []byte { return fmt.Appendf(buf[:0], "key%09d", n*7919%benchKeys) }

// benchOurs runs fn in a task with an engine of default knobs.
func benchOurs(b *testing.B, fn func(env.Task, *Engine)) {
	w := newWorld(b, 1, nil)
	w.run(func(t env.Task) { fn(t, w.open(t)) })
}

func benchPebble(b *testing.B) *pebble.DB {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

// keysOf makes keys outside of the timed part.
func keysOf(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = benchKey(nil, i)
	}
	return out
}

func BenchmarkCommit100(b *testing.B) {
	keys, val := keysOf(benchKeys), make([]byte, 80)
	b.Run("ours", func(b *testing.B) {
		benchOurs(b, func(t env.Task, e *Engine) {
			batch := e.NewBatch()
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n++ {
				batch.Reset()
				batch.Put(keys[n%benchKeys], val)
				e.Commit(batch, false, nil)
				if n%256 == 255 {
					_ = t.Sleep(time.Microsecond)
				}
			}
			b.StopTimer()
		})
	})
	b.Run("ours-memtable", func(b *testing.B) { // without log, flush and environment
		m := newMemtable(testRand(), 0, 0)
		var batch Batch
		b.ReportAllocs()
		for n := 0; n < b.N; n++ {
			batch.Reset()
			batch.Put(keys[n%benchKeys], val)
			m.apply(batch.Repr(), uint64(n+1), nil)
			if m.used() > 4<<20 {
				b.StopTimer()
				m = newMemtable(testRand(), 0, 0)
				b.StartTimer()
			}
		}
	})
	b.Run("pebble", func(b *testing.B) {
		db := benchPebble(b)
		b.ReportAllocs()
		b.ResetTimer()
		for n := 0; n < b.N; n++ {
			batch := db.NewBatch()
			batch.Set(keys[n%benchKeys], val, nil)
			if err := batch.Commit(pebble.NoSync); err != nil {
				b.Fatal(err)
			}
			batch.Close()
		}
	})
}

func BenchmarkGet(b *testing.B) {
	keys, val := keysOf(benchKeys), make([]byte, 80)
	for _, where := range []string{"memtable", "tables"} {
		n := benchKeys
		if where == "memtable" {
			n = 20_000
		}
		b.Run(where+"/ours", func(b *testing.B) {
			benchOurs(b, func(t env.Task, e *Engine) {
				batch := e.NewBatch()
				for i := 0; i < n; i++ {
					batch.Reset()
					batch.Put(keys[i], val)
					e.Commit(batch, false, nil)
				}
				if where == "tables" {
					if err := e.Compact(t); err != nil {
						b.Fatal(err)
					}
				}
				rng := rand.New(rand.NewPCG(1, 1))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					if _, ok, err := e.Get(keys[rng.IntN(n)]); !ok || err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
			})
		})
		b.Run(where+"/pebble", func(b *testing.B) {
			db := benchPebble(b)
			for i := 0; i < n; i++ {
				if err := db.Set(keys[i], val, pebble.NoSync); err != nil {
					b.Fatal(err)
				}
			}
			if where == "tables" {
				if err := db.Compact(b.Context(), []byte("a"), []byte("z"), false); err != nil {
					b.Fatal(err)
				}
			}
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				_, c, err := db.Get(keys[rng.IntN(n)])
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

func BenchmarkIter(b *testing.B) {
	keys, val := keysOf(benchKeys), make([]byte, 80)
	fill := func(e *Engine) {
		batch := e.NewBatch()
		for i := range keys {
			batch.Reset()
			batch.Put(keys[i], val)
			e.Commit(batch, false, nil)
		}
	}
	b.Run("new-seek/ours", func(b *testing.B) {
		benchOurs(b, func(_ env.Task, e *Engine) {
			fill(e)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				it := e.NewIter(keys[i%benchKeys], nil)
				it.First()
				it.Close()
			}
			b.StopTimer()
		})
	})
	b.Run("next/ours", func(b *testing.B) {
		benchOurs(b, func(_ env.Task, e *Engine) {
			fill(e)
			it := e.NewIter(nil, nil)
			defer it.Close()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				if !it.Next() {
					it.First()
				}
			}
			b.StopTimer()
		})
	})
	b.Run("next/pebble", func(b *testing.B) {
		db := benchPebble(b)
		for i := range keys {
			db.Set(keys[i], val, pebble.NoSync)
		}
		it, _ := db.NewIter(nil)
		defer it.Close()
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			if !it.Next() {
				it.First()
			}
		}
	})
}
