package storage

import (
	"math/rand/v2"
	"testing"

	"simulacrum/sim"
	"simulacrum/sim/env"
)

// TestCrashes claims: whatever a crash leaves, at whatever point of commits,
// flushes, compactions and recoveries it comes, the store that opens is a prefix of
// the commits that ends with a whole one and has all that was acknowledged.
func TestCrashes(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 3
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		crashes(t, seed)
	}
}

func crashes(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	knobs := small
	if seed%2 == 0 {
		knobs = drawKnobs(rng)
	}
	w := newWorld(t, seed, knobs)
	// At every round one probe is armed, or none: the process dies there.
	var armed env.Probe
	var countdown int
	w.s.OnProbe(func(p *sim.Proc, probe env.Probe, _ int64) {
		if probe == armed && p == w.p {
			if countdown--; countdown == 0 {
				armed = ""
				w.m.Kill("probe")
			}
		}
	})
	l := &commitLog{}
	probes := Probes()
	for round := 0; round < 40; round++ {
		armed, countdown = "", 0
		if rng.IntN(2) == 0 {
			armed, countdown = probes[rng.IntN(len(probes))], 1+rng.IntN(3)
		}
		steps := 1 + rng.IntN(1500)
		if rng.IntN(3) == 0 {
			steps = 1 + rng.IntN(60) // likely within the recovery
		}
		w.e.Go("test", func(task env.Task) {
			e, err := Open(task, w.e, "data/store", Options{})
			if err != nil {
				t.Fatalf("seed %d round %d: open: %v", seed, round, err)
			}
			verify(t, seed, round, l, e)
			w.workload(l, rng, e)(task)
		})
		for p := w.p; steps > 0 && p.Alive() && w.s.Step(); steps-- {
		}
		w.check()
		armed = ""
		w.crash(rng.IntN(3) > 0)
	}
	w.run(func(task env.Task) {
		e := w.open(task)
		verify(t, seed, -1, l, e)
		if err := e.Close(task); err != nil {
			t.Fatal(err)
		}
	})
	if held := w.p.MemoryHeld(); held != 0 {
		t.Errorf("seed %d: %d bytes are still accounted after Close", seed, held)
	}
}

// drawKnobs draws each tunable from its extremes, its default and the small value.
func drawKnobs(rng *rand.Rand) map[string]int64 {
	m := map[string]int64{}
	for _, k := range Knobs() {
		m[k.Name] = []int64{k.Min, k.Max, k.Default, small[k.Name]}[rng.IntN(4)]
	}
	return m
}

// verify compares a store that was just opened with the commits.
func verify(t *testing.T, seed uint64, round int, l *commitLog, e *Engine) {
	t.Helper()
	if e.Seq() < l.acked {
		t.Fatalf("seed %d round %d: recovered to %d, acknowledged %d", seed, round, e.Seq(), l.acked)
	}
	if !l.truncate(e.Seq()) {
		t.Fatalf("seed %d round %d: recovered to %d, in the middle of a commit", seed, round, e.Seq())
	}
	l.acked = e.Seq()
	sameAs(t, e, l.model(e.Seq()))
	if e.DurableSeq() != e.Seq() {
		t.Fatalf("seed %d: open shows %d, durable is %d", seed, e.Seq(), e.DurableSeq())
	}
}

// TestProbesAreReached claims that the crash test is not idle.
func TestProbesAreReached(t *testing.T) {
	seen := map[env.Probe]bool{}
	for seed := uint64(100); seed < 103; seed++ {
		w := newWorld(t, seed, small)
		w.s.OnProbe(func(_ *sim.Proc, p env.Probe, _ int64) { seen[p] = true })
		rng := rand.New(rand.NewPCG(seed, 1))
		l := &commitLog{}
		for round := 0; round < 10; round++ {
			w.e.Go("test", func(task env.Task) { w.workload(l, rng, w.open(task))(task) })
			for n := 0; n < 3000; n++ {
				w.s.Step()
			}
			w.check()
			w.crash(true)
			l = &commitLog{}
		}
	}
	for _, p := range Probes() {
		if !seen[p] {
			t.Errorf("never reached: %s", p)
		}
	}
}

// TestSameBytes claims that a run is a function of its seed, to the last byte on
// the disk.
func TestSameBytes(t *testing.T) {
	run := func(seed uint64) (uint64, uint64) {
		w := newWorld(t, seed, small)
		rng := rand.New(rand.NewPCG(seed, 1))
		w.e.Go("test", func(task env.Task) { w.workload(&commitLog{}, rng, w.open(task))(task) })
		for n := 0; n < 4000; n++ {
			w.s.Step()
		}
		w.check()
		return w.s.Hash(), w.d.Hash()
	}
	a, b := run(7)
	c, d := run(7)
	if a != c || b != d {
		t.Errorf("trace %x and %x, disk %x and %x", a, c, b, d)
	}
	if c, d := run(8); a == c || b == d {
		t.Error("another seed, and the same bytes")
	}
}
