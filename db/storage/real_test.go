package storage

import (
	"fmt"
	"testing"

	"simulacrum/sim/env"
	"simulacrum/sim/env/realenv"
)

// TestRealFiles claims that the engine works on the operating system's files, with
// a real scheduler between its tasks, and reads again what a killed one had synced.
func TestRealFiles(t *testing.T) {
	w := realenv.NewWorld(realenv.Config{Dir: t.TempDir(), Knobs: small})
	defer w.Close()
	session := func(fn func(env.Task, *Engine) error) {
		done := make(chan error, 1)
		w.Start("n1", func(e env.Env) {
			e.Go("test", func(task env.Task) {
				eng, err := Open(task, e, "data/store", Options{})
				if err == nil {
					err = fn(task, eng)
				}
				done <- err
			})
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.Kill("n1")
	}
	key := func(n int) []byte { return fmt.Appendf(nil, "k%04d", n) }
	session(func(task env.Task, e *Engine) error {
		var synced env.Promise[bool]
		for n := 0; n < 500; n++ {
			b := e.NewBatch()
			b.Put(key(n), make([]byte, 100))
			if n == 499 {
				e.Commit(b, true, func() { synced.Resolve(true, nil) })
			} else {
				e.Commit(b, n%7 == 0, nil)
			}
		}
		_, err := synced.Wait(task, "sync", -1)
		return err
	})
	session(func(task env.Task, e *Engine) error {
		for n := 0; n < 500; n++ {
			if _, ok, err := e.Get(key(n)); !ok || err != nil {
				return fmt.Errorf("key %d: %v %v", n, ok, err)
			}
		}
		if err := e.Compact(task); err != nil {
			return err
		}
		return e.Close(task)
	})
}
