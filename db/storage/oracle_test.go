package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// oracle is our engine and pebble, given the same operations.
type oracle struct {
	t     *testing.T
	rng   *rand.Rand
	e     *Engine
	db    *pebble.DB
	snaps []snapPair
}

type snapPair struct {
	ours   *Snapshot
	theirs *pebble.Snapshot
}

// TestAgainstPebble claims: after any mix of commits, range deletions, snapshots,
// flushes, compactions and reopenings, the two engines read the same, at present
// and at every open snapshot, by seeks and steps in both directions.
func TestAgainstPebble(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 3
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { againstPebble(t, seed) })
	}
}

func againstPebble(t *testing.T, seed uint64) {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w := newWorld(t, seed, small)
	o := &oracle{t: t, rng: rand.New(rand.NewPCG(seed, 3)), db: db}
	w.run(func(task env.Task) {
		o.e = w.open(task)
		for step := 0; step < 500; step++ {
			o.commit()
			o.step(task, w)
		}
		o.closeSnapshots()
		if err := o.e.Close(task); err != nil {
			t.Fatal(err)
		}
	})
}

func (o *oracle) commit() {
	b := o.e.NewBatch()
	fill(o.rng, b, 150)
	pb := o.db.NewBatch()
	for _, op := range b.Ops() {
		var err error
		switch op.Kind {
		case "put":
			err = pb.Set(op.Key, op.Value, nil)
		case "delete":
			err = pb.Delete(op.Key, nil)
		case "delete-range":
			err = pb.DeleteRange(op.Key, op.Value, nil)
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	if o.rng.IntN(4) == 0 { // before it is committed, the batch is seen by its overlay only
		ip := o.db.NewIndexedBatch()
		if err := ip.Apply(pb, nil); err != nil {
			o.t.Fatal(err)
		}
		o.compare(o.e.NewOverlay(b), ip)
		if err := ip.Close(); err != nil {
			o.t.Fatal(err)
		}
	}
	o.e.Commit(b, false, nil)
	if err := o.db.Apply(pb, pebble.NoSync); err != nil {
		o.t.Fatal(err)
	}
}

func (o *oracle) step(task env.Task, w *world) {
	switch n := o.rng.IntN(60); {
	case n < 4 && len(o.snaps) < 6:
		o.snaps = append(o.snaps, snapPair{o.e.NewSnapshot(), o.db.NewSnapshot()})
	case n < 7 && len(o.snaps) > 0:
		i := o.rng.IntN(len(o.snaps))
		o.snaps[i].ours.Close()
		o.snaps[i].theirs.Close()
		o.snaps = append(o.snaps[:i], o.snaps[i+1:]...)
	case n == 7:
		if err := o.e.Flush(task); err != nil {
			o.t.Fatal(err)
		}
	case n == 8:
		if err := o.e.Compact(task); err != nil {
			o.t.Fatal(err)
		}
	case n == 9:
		o.closeSnapshots()
		if err := o.e.Close(task); err != nil {
			o.t.Fatal(err)
		}
		o.e = w.open(task)
	case n < 30:
		_ = task.Sleep(time.Duration(o.rng.IntN(1000)) * time.Microsecond)
	}
	o.compare(o.e, o.db)
	if len(o.snaps) > 0 {
		s := o.snaps[o.rng.IntN(len(o.snaps))]
		o.compare(s.ours, s.theirs)
	}
}

func (o *oracle) closeSnapshots() {
	for _, s := range o.snaps {
		s.ours.Close()
		s.theirs.Close()
	}
	o.snaps = nil
}

// compare reads a little of both at random.
func (o *oracle) compare(ours Reader, theirs pebble.Reader) {
	for n := 0; n < 4; n++ {
		k := testKey(o.rng, 150)
		v, ok, err := ours.Get(k)
		pv, closer, perr := theirs.Get(k)
		if err != nil || ok != (perr == nil) || !bytes.Equal(v, pv) {
			o.t.Fatalf("get %q: %q %v %v, pebble %q %v\n%s", k, v, ok, err, pv, perr, o.e)
		}
		if closer != nil {
			closer.Close()
		}
	}
	var lo, hi []byte
	if o.rng.IntN(2) == 0 {
		lo = testKey(o.rng, 150)
	}
	if o.rng.IntN(2) == 0 {
		if hi = testKey(o.rng, 150); bytes.Compare(lo, hi) >= 0 {
			hi = nil
		}
	}
	it := ours.NewIter(lo, hi)
	defer it.Close()
	pit, err := theirs.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		o.t.Fatal(err)
	}
	defer pit.Close()
	var trace []string
	for n := 0; n < 25; n++ {
		var a, b bool
		op := o.rng.IntN(8)
		if !it.Valid() {
			op = o.rng.IntN(4)
		}
		k := testKey(o.rng, 150)
		switch op {
		case 0:
			a, b = it.First(), pit.First()
		case 1:
			a, b = it.Last(), pit.Last()
		case 2:
			a, b = it.SeekGE(k), pit.SeekGE(k)
		case 3:
			a, b = it.SeekLT(k), pit.SeekLT(k)
		case 4, 5:
			a, b = it.Next(), pit.Next()
		default:
			a, b = it.Prev(), pit.Prev()
		}
		trace = append(trace, fmt.Sprintf("%d %s", op, k))
		if a != b || it.Err() != nil || a && (!bytes.Equal(it.Key(), pit.Key()) || !bytes.Equal(it.Value(), pit.Value())) {
			o.t.Fatalf("iterator [%s,%s) after %v: %v %q, pebble %v %q (%v)\n%s", lo, hi, trace, a, it.Key(), b, pit.Key(), it.Err(), o.e)
		}
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}
