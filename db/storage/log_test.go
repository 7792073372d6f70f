package storage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"simulacrum/sim/env"
)

// TestGroupCommit claims: synced commits that come together share a sync, are
// acknowledged in order and never within Commit; an empty batch is a barrier; and
// a commit without sync is visible at once and durable only later.
func TestGroupCommit(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.run(func(task env.Task) {
		e := w.open(task)
		var acks []int
		commit := func(n int, sync bool) {
			b := e.NewBatch()
			b.Put(fmt.Appendf(nil, "%04d", n), []byte("v"))
			e.Commit(b, sync, func() { acks = append(acks, n) })
		}
		before := e.Metrics().Syncs
		for n := range 100 {
			commit(n, true)
		}
		if len(acks) != 0 || e.DurableSeq() != 0 || e.Seq() != 100 {
			t.Fatalf("%d acknowledged at once, durable %d of %d", len(acks), e.DurableSeq(), e.Seq())
		}
		_ = task.Sleep(time.Second)
		if len(acks) != 100 || !slices.IsSorted(acks) || e.DurableSeq() != 100 {
			t.Fatalf("acknowledged %v, durable %d", acks, e.DurableSeq())
		}
		if syncs := e.Metrics().Syncs - before; syncs > 2 {
			t.Errorf("%d syncs for commits that came together", syncs)
		}

		commit(100, false)
		if len(acks) != 101 {
			t.Error("a commit without sync waited")
		}
		if _, ok, err := e.Get([]byte("0100")); !ok || err != nil {
			t.Error("a commit is not visible")
		}
		called := 0
		e.OnDurable(101, func() { called++ })
		e.OnDurable(50, func() { called += 10 })
		if called != 0 {
			t.Error("OnDurable called back within the call")
		}
		_ = task.Sleep(time.Second)
		if e.DurableSeq() != 100 || called != 10 {
			t.Errorf("durable %d without a sync, called %d", e.DurableSeq(), called)
		}
		e.Commit(e.NewBatch(), true, func() { called += 100 })
		_ = task.Sleep(time.Second)
		if e.DurableSeq() != 101 || called != 111 {
			t.Errorf("after the barrier: durable %d, called %d", e.DurableSeq(), called)
		}
		if err := e.Close(task); err != nil {
			t.Fatal(err)
		}
	})
}
