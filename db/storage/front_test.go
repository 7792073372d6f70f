package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"simulacrum/sim/env"
)

// runs are spans that grow at their front: a first key that comes and goes, and behind
// it numbered keys, of which new ones have lower numbers.
type runs struct {
	rng  *rand.Rand
	next int
	all  [24]struct {
		bare bool
		keys [][]byte // numbered ones, first to last
	}
}

func (r *runs) span(n int) (lo, hi []byte) {
	return fmt.Appendf(nil, "run%02d/", n), fmt.Appendf(nil, "run%02d0", n)
}

// change adds to b one change of one run, as Front allows it.
func (r *runs) change(b *Batch) {
	n := r.rng.IntN(len(r.all))
	run := &r.all[n]
	lo, hi := r.span(n)
	value := bytes.Repeat([]byte("v"), r.rng.IntN(200))
	grow := func() {
		r.next++
		k := fmt.Appendf(lo[:len(lo):len(lo)], "%06d", 999_999-r.next)
		run.keys = slices.Insert(run.keys, 0, k)
		b.Put(k, value)
	}
	drop := func(i int) {
		if i >= 0 && i < len(run.keys) {
			b.Delete(run.keys[i])
			run.keys = slices.Delete(run.keys, i, i+1)
		}
	}
	putBare := func() {
		run.bare = true
		b.Put(lo, value)
	}
	dropBare := func() {
		run.bare = false
		b.Delete(lo)
	}
	switch r.rng.IntN(12) {
	case 0, 1, 2: // an intent, in the place of one, or alone
		if r.rng.IntN(3) == 0 {
			drop(0)
		}
		grow()
		putBare()
	case 3: // a lock
		putBare()
	case 4, 5, 6: // a commit or an abort
		if run.bare {
			switch dropBare(); r.rng.IntN(3) {
			case 0:
				drop(0)
			case 1:
				drop(0)
				grow()
			}
		}
	case 7, 8, 9: // a plain write
		if !run.bare {
			grow()
		}
	case 10: // garbage
		for range r.rng.IntN(8) {
			drop(len(run.keys) - 1)
		}
	case 11: // a snapshot, which writes the run from its front
		b.DeleteRange(lo, hi)
		if run.bare {
			b.Put(lo, value)
		}
		for _, k := range run.keys {
			b.Put(k, value)
		}
	}
}

// TestFront claims: of runs that grow at their front, Front returns what an iterator
// finds first: at present, at snapshots, and through overlays, whatever is in which
// memtable and table.
func TestFront(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		w := newWorld(t, seed, small)
		r := &runs{rng: rand.New(rand.NewPCG(seed, 11))}
		var hits, reads int
		compare := func(rd Reader) {
			for n := range r.all {
				lo, hi := r.span(n)
				k, v, ok, err := rd.Front(lo, hi)
				it := rd.NewIter(lo, hi)
				if it.First() != ok || err != nil || it.Err() != nil || ok && (!bytes.Equal(it.Key(), k) || !bytes.Equal(it.Value(), v)) {
					t.Fatalf("seed %d: front of %s is %q, found %t, error %v; the iterator is at %q, error %v", seed, lo, k, ok, err, it.Key(), it.Err())
				}
				it.Close()
			}
		}
		w.run(func(task env.Task) {
			e := w.open(task)
			var snap *Snapshot
			for step := range 1200 {
				var b Batch
				for range 1 + r.rng.IntN(3) {
					r.change(&b)
				}
				if r.rng.IntN(4) == 0 {
					compare(e.NewOverlay(&b))
				}
				e.Commit(&b, false, nil)
				compare(e)
				for n := range r.all {
					lo, hi := r.span(n)
					f := front{lo: lo, hi: hi, seq: e.seq}
					reads++
					if _, ok := e.newestFront(&f, nil); ok {
						hits++
					}
				}
				if step%100 == 50 {
					snap = e.NewSnapshot()
				} else if snap != nil && step%10 == 0 {
					compare(snap)
				}
				if step%100 == 99 {
					snap.Close()
					snap = nil
				}
				if r.rng.IntN(5) == 0 {
					_ = task.Sleep(time.Millisecond) // flushes and compactions go on
				}
			}
			if err := e.Close(task); err != nil {
				t.Fatal(err)
			}
		})
		if hits < reads/4 || hits > reads*9/10 {
			t.Errorf("seed %d: %d of %d runs were decided early: both ways are to be seen", seed, hits, reads)
		}
	}
}
