package storage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// small makes everything happen every few commits.
var small = map[string]int64{
	"storage.memtable": 8 << 10, "storage.log.file": 6 << 10, "storage.log.buffer": 256,
	"storage.block": 128, "storage.table": 4 << 10, "storage.level.base": 16 << 10,
	"storage.level.factor": 3, "storage.level0.tables": 2, "storage.cache": 4 << 10, "storage.manifest": 1 << 10,
}

// testEnv is a process with a disk and no network.
type testEnv struct {
	*sim.Proc
	env.Network
	fs vfs.FS
}

func (e testEnv) FS() vfs.FS { return e.fs }

// world is one machine with one disk.
type world struct {
	t testing.TB
	s *sim.Sim
	m *sim.Machine
	d *disk.Disk
	p *sim.Proc
	e env.Env
}

func newWorld(t testing.TB, seed uint64, knobs map[string]int64) *world {
	w := &world{t: t, s: sim.New(sim.Config{Seed: seed, Knobs: knobs, Seams: map[string]int{"*": 256}})}
	w.m = w.s.Machine("n1", sim.MachineConfig{})
	w.d = disk.New(w.s, "n1", disk.Config{})
	t.Cleanup(w.s.Close)
	w.start()
	return w
}

func (w *world) start() {
	w.p = w.m.Start("test")
	w.e = testEnv{Proc: w.p, fs: w.d.Mount(w.p)}
}

// crash ends the incarnation, with the power or without.
func (w *world) crash(power bool) {
	w.m.Kill("test")
	if power {
		w.d.PowerLoss()
	} else {
		w.d.CrashProcess()
	}
	w.start()
}

// run runs fn as a task of the process until it ends or the process dies.
func (w *world) run(fn func(t env.Task)) {
	w.t.Helper()
	task := w.e.Go("test", fn)
	for p := w.p; !task.Done() && p.Alive(); {
		if !w.s.Step() {
			w.t.Fatal("nothing left to happen, and the task waits")
		}
	}
	w.check()
}

func (w *world) check() {
	w.t.Helper()
	for _, f := range w.s.Findings() {
		w.t.Fatalf("%s\n%s", f.String(), f.Stack)
	}
}

func (w *world) open(t env.Task) *Engine {
	e, err := Open(t, w.e, "data/store", Options{})
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	return e
}

// commitLog is what was committed, to compare a recovered store with.
type commitLog struct {
	commits []commitRecord
	acked   uint64
}

type commitRecord struct {
	seq uint64 // after it
	ops []Op
}

// truncate forgets the commits after seq, and reports whether seq ends one.
func (l *commitLog) truncate(seq uint64) bool {
	for n := len(l.commits); n > 0 && l.commits[n-1].seq > seq; n-- {
		l.commits = l.commits[:n-1]
	}
	return seq == 0 && len(l.commits) == 0 || len(l.commits) > 0 && l.commits[len(l.commits)-1].seq == seq
}

// model is the map that the commits up to seq make.
func (l *commitLog) model(seq uint64) map[string]string {
	m := map[string]string{}
	for _, c := range l.commits {
		if c.seq <= seq {
			applyOps(m, c.ops)
		}
	}
	return m
}

func applyOps(m map[string]string, ops []Op) {
	for _, op := range ops {
		switch op.Kind {
		case "put":
			m[string(op.Key)] = string(op.Value)
		case "delete":
			delete(m, string(op.Key))
		case "delete-range":
			maps.DeleteFunc(m, func(k, _ string) bool { return k >= string(op.Key) && k < string(op.Value) })
		}
	}
}

func testKey(rng *rand.Rand, keys int) []byte { return fmt.Appendf(nil, "k%04d", rng.IntN(keys)) }

// fill adds a few random operations to b.
func fill(rng *rand.Rand, b *Batch, keys int) {
	for n := 1 + rng.IntN(5); n > 0; n-- {
		switch rng.IntN(12) {
		case 0, 1:
			b.Delete(testKey(rng, keys))
		case 2:
			lo, hi := testKey(rng, keys), testKey(rng, keys)
			if string(lo) < string(hi) && rng.IntN(3) > 0 {
				hi = append(slices.Clone(lo), 'x') // mostly narrow
			}
			b.DeleteRange(lo, hi)
		default:
			v := make([]byte, rng.IntN(200))
			for i := range v {
				v[i] = byte(rng.Uint32())
			}
			b.Put(testKey(rng, keys), v)
		}
	}
}

func cloneOps(ops []Op) []Op {
	for i := range ops {
		ops[i].Key, ops[i].Value = slices.Clone(ops[i].Key), slices.Clone(ops[i].Value)
	}
	return ops
}

// sameAs compares everything in r with the model, forwards, backwards and by Get.
func sameAs(t testing.TB, r Reader, want map[string]string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	it := r.NewIter(nil, nil)
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n >= len(keys) || string(it.Key()) != keys[n] || string(it.Value()) != want[keys[n]] {
			t.Fatalf("forwards, %d: %q is not in the model in this place", n, it.Key())
		}
		n++
	}
	if n != len(keys) || it.Err() != nil {
		t.Fatalf("forwards: %d keys of %d, %v", n, len(keys), it.Err())
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		n--
		if n < 0 || string(it.Key()) != keys[n] || string(it.Value()) != want[keys[n]] {
			t.Fatalf("backwards, %d: %q is not in the model in this place", n, it.Key())
		}
	}
	if n != 0 || it.Err() != nil {
		t.Fatalf("backwards: %d keys missing, %v", n, it.Err())
	}
	for _, k := range keys {
		if v, ok, err := r.Get([]byte(k)); err != nil || !ok || string(v) != want[k] {
			t.Fatalf("get %q: %v %v", k, ok, err)
		}
	}
}

// workload commits at random until it is killed.
func (w *world) workload(l *commitLog, rng *rand.Rand, e *Engine) func(env.Task) {
	return func(t env.Task) {
		b := e.NewBatch()
		for {
			b.Reset()
			fill(rng, b, 300)
			e.Commit(b, false, nil)
			if b.Empty() {
				continue
			}
			seq := e.Seq()
			l.commits = append(l.commits, commitRecord{seq, cloneOps(b.Ops())})
			switch rng.IntN(8) {
			case 0:
				e.Commit(&Batch{}, true, func() { l.acked = max(l.acked, seq) })
			case 1:
				e.OnDurable(seq, func() { l.acked = max(l.acked, seq) })
			}
			l.acked = max(l.acked, e.DurableSeq())
			if rng.IntN(20) == 0 {
				b.Reset()
				b.Put([]byte("synced"), fmt.Appendf(nil, "%d", e.Seq()))
				seq := e.Seq() + 1
				l.commits = append(l.commits, commitRecord{seq, cloneOps(b.Ops())})
				e.Commit(b, true, func() { l.acked = max(l.acked, seq) })
			}
			if rng.IntN(4) == 0 {
				_ = t.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
			}
		}
	}
}
