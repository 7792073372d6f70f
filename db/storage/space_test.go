package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"simulacrum/sim/env"
)

// TestSpaceStaysBounded claims: overwriting the same keys for ever takes a bounded
// multiple of what is live, leaves no file that nothing refers to, and what a range
// deletion covers goes away from every level.
func TestSpaceStaysBounded(t *testing.T) {
	w := newWorld(t, 1, small)
	w.run(func(task env.Task) {
		e := w.open(task)
		rng := rand.New(rand.NewPCG(1, 6))
		const keys, size = 400, 100
		for n := 0; n < 12_000; n++ {
			b := e.NewBatch()
			b.Put(testKey(rng, keys), make([]byte, size))
			e.Commit(b, false, nil)
			if n%16 == 0 {
				_ = task.Sleep(100 * time.Microsecond)
			}
		}
		settle := func() Metrics {
			for range 2 {
				b := e.NewBatch()
				b.Put([]byte("z"), nil)
				e.Commit(b, true, nil)
				if err := e.Flush(task); err != nil {
					t.Fatal(err)
				}
				_ = task.Sleep(time.Second)
			}
			return e.Metrics()
		}
		m := settle()
		var total int64
		for _, l := range m.Levels {
			total += l.Bytes
		}
		if live := int64(keys * (size + 20)); total > 3*live {
			t.Errorf("%d bytes in tables for %d live ones\n%s", total, live, e)
		}
		if m.Levels[0].Tables >= e.limits.level0 {
			t.Errorf("%d tables in level 0", m.Levels[0].Tables)
		}
		noStrays(t, w, e)

		b := e.NewBatch()
		b.DeleteRange([]byte("k"), []byte("l"))
		e.Commit(b, true, nil)
		m = settle()
		for n, l := range m.Levels {
			if l.Bytes > 2000 {
				t.Errorf("%d bytes are left in level %d\n%s", l.Bytes, n, e)
			}
		}
		noStrays(t, w, e)
		if err := e.Close(task); err != nil {
			t.Fatal(err)
		}
	})
}

func noStrays(t *testing.T, w *world, e *Engine) {
	t.Helper()
	names, err := w.e.FS().List(e.dir)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{currentName: true, manifestName(e.manifest.num): true}
	for _, tables := range e.state.levels {
		for _, table := range tables {
			known[tableName(table.num)] = true
		}
	}
	for _, n := range e.logs {
		known[logName(n)] = true
	}
	if len(e.logs) > 2 {
		t.Errorf("%d logs are left", len(e.logs))
	}
	for _, name := range names {
		if !known[name] {
			t.Error(fmt.Sprint("nothing refers to ", name))
		}
	}
}
