package sim

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/sim/env"
)

// chatter is a small program that uses everything: it is run to compare hashes.
func chatter(cfg Config, until Time) *Sim {
	s := New(cfg)
	for i := 0; i < 3; i++ {
		m := s.Machine(fmt.Sprintf("n%d", i+1), MachineConfig{})
		p := m.Start("server")
		var q env.Queue[int]
		p.Go("consumer", func(t env.Task) {
			for {
				v, err := q.Pop(t, "work", time.Second)
				if err != nil && err != env.ErrTimeout {
					return
				}
				p.Charge(env.ClassByte, int64(v)*1000)
				p.Note(s, v)
			}
		})
		r := p.Rand("producer")
		var tick func()
		tick = func() {
			q.Push(r.IntN(100))
			p.After(time.Duration(r.IntN(1e6)), "tick", tick)
		}
		p.After(0, "tick", tick)
	}
	s.RunUntil(until)
	return s
}

func (p *Proc) Note(s *Sim, v int) { s.Note("v", uint64(v), p.id) }

func TestSameSeedSameRun(t *testing.T) {
	a := chatter(Config{Seed: 7}, Time(time.Second))
	b := chatter(Config{Seed: 7}, Time(time.Second))
	c := chatter(Config{Seed: 8}, Time(time.Second))
	defer a.Close()
	defer b.Close()
	defer c.Close()
	if a.Hash() != b.Hash() || a.Events() != b.Events() {
		t.Errorf("one seed, two runs: %x after %d events, %x after %d", a.Hash(), a.Events(), b.Hash(), b.Events())
	}
	if a.Hash() == c.Hash() {
		t.Error("two seeds gave one hash")
	}
	if a.Events() < 1000 {
		t.Errorf("only %d events: the comparison rests on nothing", a.Events())
	}
}

func TestForkSharesThePast(t *testing.T) {
	plain := chatter(Config{Seed: 7, Record: true}, Time(100*time.Millisecond))
	fork := chatter(Config{Seed: 7, Record: true, ForkAt: 200, ForkSeed: 9}, Time(100*time.Millisecond))
	defer plain.Close()
	defer fork.Close()
	a, b := plain.Recorded(), fork.Recorded()
	for i := 0; i < 200; i++ {
		if a[i].Hash != b[i].Hash {
			t.Fatalf("the past differs at %s", &a[i])
		}
	}
	if plain.Hash() == fork.Hash() {
		t.Error("the future is the same")
	}
}

func TestWhyTellsTheChainOfCauses(t *testing.T) {
	s := New(Config{Record: true})
	defer s.Close()
	s.Schedule(time.Second, "first", func() {
		s.Schedule(time.Second, "second", func() {
			s.Schedule(time.Second, "third", func() {})
		})
		s.Schedule(time.Millisecond, "beside", func() {})
	})
	s.RunUntil(Time(time.Minute))
	var got []string
	for _, e := range s.Why(s.Events()) {
		got = append(got, e.Label)
	}
	if want := "first second third"; strings.Join(got, " ") != want {
		t.Errorf("chain is %q, want %q", got, want)
	}
}

func TestEventsComeInOrderOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Config{Seed: rapid.Uint64().Draw(t, "seed")})
		defer s.Close()
		type planned struct {
			at Time
			id EventID
		}
		var plan []planned
		var ran []Time
		for _, d := range rapid.SliceOfN(rapid.IntRange(0, 20), 1, 200).Draw(t, "delays") {
			id := s.Schedule(time.Duration(d), "x", func() { ran = append(ran, s.Now()) })
			plan = append(plan, planned{Time(d), id})
		}
		var want []Time
		for _, p := range plan {
			if rapid.Bool().Draw(t, "cancel") {
				if !s.Cancel(p.id) || s.Cancel(p.id) {
					t.Fatal("a pending event can be cancelled once")
				}
			} else {
				want = append(want, p.at)
			}
		}
		s.RunUntil(100)
		sort.Slice(want, func(i, j int) bool { return want[i] < want[j] })
		if fmt.Sprint(ran) != fmt.Sprint(want) {
			t.Fatalf("ran at %v, want %v", ran, want)
		}
	})
}

func TestTiesAreDrawn(t *testing.T) {
	orders := map[string]bool{}
	for seed := uint64(0); seed < 50; seed++ {
		s := New(Config{Seed: seed})
		order := ""
		for _, l := range []string{"a", "b", "c"} {
			s.Schedule(0, l, func() { order += l })
		}
		s.RunUntil(1)
		s.Close()
		orders[order] = true
	}
	if len(orders) != 6 {
		t.Errorf("%d of the 6 orders of three simultaneous events were seen", len(orders))
	}
}

func TestBusyMachineServesInLine(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	m := s.Machine("n1", MachineConfig{Cores: 1})
	p := m.Start("server")
	var at []Time
	for i := 0; i < 3; i++ {
		p.Schedule(time.Duration(i), "work", func() {
			at = append(at, s.Now())
			p.Busy(time.Millisecond)
		})
	}
	s.RunUntil(Time(time.Second))
	if want := []Time{0, 1e6, 2e6}; fmt.Sprint(at) != fmt.Sprint(want) {
		t.Errorf("work began at %v, want %v", at, want)
	}
}

func TestPauseHoldsEventsAndResumeServesThem(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	m := s.Machine("n1", MachineConfig{})
	p := m.Start("server")
	var ran []string
	p.Schedule(1*time.Second, "a", func() { ran = append(ran, "a@"+s.Now().String()) })
	timer := p.After(2*time.Second, "b", func() { ran = append(ran, "b") })
	m.Pause()
	s.RunUntil(Time(5 * time.Second))
	if len(ran) != 0 {
		t.Fatalf("a paused process ran %v", ran)
	}
	if !p.Stop(timer) {
		t.Error("an event in line can still be stopped")
	}
	m.Resume()
	s.RunUntil(Time(6 * time.Second))
	if want := "[a@T+5.000s]"; fmt.Sprint(ran) != want {
		t.Errorf("ran %v, want %v", ran, want)
	}
}

func TestKillUnwindsTasksWithoutEffect(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	m := s.Machine("n1", MachineConfig{})
	p := m.Start("server")
	var log []string
	for _, name := range []string{"a", "b"} {
		p.Go(name, func(t env.Task) {
			defer func() {
				log = append(log, name)
				p.After(0, "late", func() { log = append(log, "effect") })
				p.Go("late", func(env.Task) { log = append(log, "effect") })
				_ = t.Sleep(1) // unwinds again
				log = append(log, "slept")
			}()
			_ = t.Park("for ever", -1)
			log = append(log, "returned")
		})
	}
	p.OnDeath(func() { log = append(log, "death") })
	s.Schedule(time.Second, "kill", func() { m.Kill("test") })
	s.RunUntil(Time(time.Minute))
	sort.Strings(log)
	if want := "[a b death]"; fmt.Sprint(log) != want {
		t.Errorf("log %v, want %v", log, want)
	}
	if len(s.Findings()) != 0 {
		t.Errorf("findings: %v", s.Findings())
	}
	m.Start("server") // and the next incarnation may begin
}

func TestProbeKillsInMidTaskAndInMidCallback(t *testing.T) {
	for _, where := range []string{"task", "callback"} {
		s := New(Config{})
		m := s.Machine("n1", MachineConfig{})
		p := m.Start("server")
		s.OnProbe(func(p *Proc, probe env.Probe, n int64) {
			if probe == "rare" && n == 2 {
				p.Machine().Kill("asked for")
			}
		})
		passed := 0
		work := func() {
			p.Probe("rare")
			passed++
		}
		for i := 0; i < 5; i++ {
			if where == "task" {
				p.Go("work", func(env.Task) { work() })
			} else {
				p.After(0, "work", work)
			}
		}
		s.RunUntil(Time(time.Second))
		if passed != 1 || p.Alive() || len(s.Findings()) != 0 {
			t.Errorf("%s: passed the probe %d times, alive %v, findings %v", where, passed, p.Alive(), s.Findings())
		}
		s.Close()
	}
}

func TestPanicIsAFindingAndOthersGoOn(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	a, b := s.Machine("n1", MachineConfig{}).Start("server"), s.Machine("n2", MachineConfig{}).Start("server")
	c := s.Machine("n3", MachineConfig{}).Start("server")
	a.Go("bad task", func(env.Task) { panic("broken") })
	b.After(0, "bad callback", func() {
		var p *Proc
		p.alive = true
	})
	ran := false
	c.After(time.Second, "good", func() { ran = true })
	s.RunUntil(Time(time.Minute))
	if len(s.Findings()) != 2 || a.Alive() || b.Alive() || !ran {
		t.Fatalf("findings %v, alive %v %v, other ran %v", s.Findings(), a.Alive(), b.Alive(), ran)
	}
	for _, f := range s.Findings() {
		if f.InDatabase() || !strings.Contains(f.Stack, "sim_test.go") {
			t.Errorf("finding %s: stack %s", f.Value, f.Stack)
		}
	}
}

func TestWaits(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	p := s.Machine("n1", MachineConfig{}).Start("server")
	var got []error
	cancelled := errors.New("cancelled")
	task := p.Go("waiter", func(t env.Task) {
		got = append(got, t.Park("limit", time.Second)) // ErrTimeout at 1s
		t.SetDeadline(p.Mono() + time.Second)
		got = append(got, t.Park("deadline", -1)) // ErrDeadline at 2s
		t.SetDeadline(0)
		got = append(got, t.Park("woken", -1)) // nil at 3s
		got = append(got, t.Sleep(time.Hour))  // cancelled at 4s
		got = append(got, t.Park("again", -1)) // still cancelled
	})
	s.Schedule(3*time.Second, "wake", task.Wake)
	s.Schedule(4*time.Second, "cancel", func() { task.Cancel(cancelled) })
	s.RunUntil(Time(time.Minute))
	want := []error{env.ErrTimeout, env.ErrDeadline, nil, cancelled, cancelled}
	if fmt.Sprint(got) != fmt.Sprint(want) || !task.Done() {
		t.Errorf("waits ended with %v, want %v", got, want)
	}
}

func TestClocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Config{})
		defer s.Close()
		m := s.Machine("n1", MachineConfig{})
		p := m.Start("server")
		c := m.Clock()
		last := c.Mono()
		for i := 0; i < 20; i++ {
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				c.Drift(rapid.Int64Range(-100000, 100000).Draw(t, "ppm"))
			case 1:
				c.DriftMono(rapid.Int64Range(-100000, 100000).Draw(t, "ppm"))
			case 2:
				c.Step(time.Duration(rapid.Int64Range(-1e9, 1e9).Draw(t, "step")))
			case 3:
				c.Freeze()
				w := c.Wall()
				s.RunUntil(s.Now() + 1e9)
				if c.Wall() != w {
					t.Fatal("a frozen clock moved")
				}
				c.Unfreeze()
			case 4:
				d := time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "timer"))
				due, fired := c.Mono()+d, false
				p.After(d, "timer", func() {
					fired = true
					if c.Mono() < due {
						t.Fatalf("a timer fired %v early", due-c.Mono())
					}
				})
				s.RunUntil(s.Now() + 2e10)
				if !fired {
					t.Fatal("a timer did not fire")
				}
			case 5:
				s.RunUntil(s.Now() + Time(rapid.Int64Range(0, 1e9).Draw(t, "pass")))
			}
			if now := c.Mono(); now < last {
				t.Fatalf("the monotonic clock went back by %v", last-now)
			} else {
				last = now
			}
		}
		c.SetOffset(5 * time.Millisecond)
		if c.Offset() != 5*time.Millisecond {
			t.Fatalf("offset %v after SetOffset(5ms)", c.Offset())
		}
	})
}

func TestTimePrintsAndParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := Time(rapid.Int64Range(-1e15, 1e15).Draw(t, "time"))
		if back, err := ParseTime(at.String()); err != nil || back != at {
			t.Fatalf("%s parses to %v, %v", at, back, err)
		}
	})
}

func TestOutOfMemoryIsACrash(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	p := s.Machine("n1", MachineConfig{Memory: 100}).Start("server")
	after := false
	p.Go("hog", func(env.Task) {
		p.Memory(60)
		p.Memory(60)
		after = true
	})
	s.RunUntil(Time(time.Second))
	if p.Alive() || after || !strings.HasPrefix(p.Reason(), "out of memory") {
		t.Errorf("alive %v, went on %v, reason %q", p.Alive(), after, p.Reason())
	}
}

func TestSeamsLetOthersIn(t *testing.T) {
	interleaved := func(seams map[string]int) bool {
		s := New(Config{Seed: 1, Seams: seams})
		defer s.Close()
		p := s.Machine("n1", MachineConfig{}).Start("server")
		inside, both := 0, false
		for i := 0; i < 20; i++ {
			p.Go("racer", func(t env.Task) {
				inside++
				t.Yield("between")
				both = both || inside > 1
				inside--
			})
		}
		s.RunUntil(Time(time.Second))
		return both
	}
	if interleaved(nil) {
		t.Error("a task that never waits was interrupted")
	}
	if !interleaved(map[string]int{"*": 512}) {
		t.Error("a seam that is on let nobody in")
	}
}

func TestClosedSimulationsLeaveNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := 0; i < 1000; i++ {
		chatter(Config{Seed: uint64(i)}, Time(5*time.Millisecond)).Close()
	}
	if after := runtime.NumGoroutine(); after > before+1 {
		t.Errorf("%d goroutines before, %d after a thousand runs", before, after)
	}
}

func BenchmarkTimer(b *testing.B) {
	s := New(Config{})
	defer s.Close()
	p := s.Machine("n1", MachineConfig{}).Start("server")
	left := b.N
	r := p.Rand("x")
	var fn func()
	fn = func() {
		if left--; left > 0 {
			p.After(time.Duration(r.IntN(1e6)), "timer", fn)
		}
	}
	for i := 0; i < 1000; i++ { // a queue of usual depth
		p.After(time.Duration(r.IntN(1e6)), "timer", fn)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for left > 0 && s.Step() {
	}
}

func BenchmarkTaskSwitch(b *testing.B) {
	s := New(Config{})
	defer s.Close()
	p := s.Machine("n1", MachineConfig{}).Start("server")
	p.Go("sleeper", func(t env.Task) {
		for i := 0; i < b.N; i++ {
			_ = t.Sleep(1)
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	s.RunUntil(Time(1) << 60)
}

func BenchmarkTaskStart(b *testing.B) {
	s := New(Config{})
	defer s.Close()
	p := s.Machine("n1", MachineConfig{}).Start("server")
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		p.Go("short", func(env.Task) {})
		s.Step()
	}
}

// In its stride the kernel allocates nothing: not for a timer that fires or is
// stopped, a task that waits and is woken, work that keeps the CPU busy, a note, or
// a probe.
func TestHotPathAllocatesNothing(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	p := s.Machine("n1", MachineConfig{}).Start("server")
	waiter := p.Go("waiter", func(t env.Task) {
		for t.Park("waits", time.Second) != env.ErrCanceled {
		}
	})
	var fn func()
	fn = func() {
		p.Charge(env.ClassRequest, 1)
		p.Probe("reached")
		s.Note("noted", 1, 2)
		waiter.Wake()
		p.Stop(p.After(time.Second, "never", fn))
		p.After(10*time.Microsecond, "timer", fn) // comes while the CPU is busy
	}
	p.After(0, "timer", fn)
	for range 10_000 { // more than checkpointEvery, so that the list has room
		s.Step()
	}
	if n := testing.AllocsPerRun(100, func() {
		for range 100 {
			s.Step()
		}
	}); n != 0 {
		t.Errorf("%v allocations in 100 events", n)
	}
	if s.ProbeCount("reached") == 0 || len(s.Findings()) > 0 {
		t.Errorf("nothing happened: %v", s.Findings())
	}
}
