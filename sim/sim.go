package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"simulacrum/sim/env"
)

// Config is what a run is a function of.
type Config struct {
	Seed  uint64
	Epoch int64 // a perfect wall clock's reading at T+0, ns since 1970; 0 means 2026-01-01

	// Knobs overrides tunables by name. Names that nobody asks for are the
	// caller's to report: see Sim.KnobsRead.
	Knobs map[string]int64
	// Seams gives, for each named yield seam, the chance in 1,024 that it lets
	// others in; "*" is for all that are not named. None: seams cost nothing.
	Seams map[string]int

	// At event ForkAt (0: never) all streams are derived anew from ForkSeed: same
	// past, other future.
	ForkAt, ForkSeed uint64

	// Record keeps the events numbered [RecordFrom, RecordTo) for Recorded and Why
	// (RecordTo 0: to the end).
	Record               bool
	RecordFrom, RecordTo uint64
	// OnLog is told each line that simulated code logs. It must not act on the
	// simulation.
	OnLog func(at Time, who, line string)
}

// defaultEpoch is 2026-01-01T00:00:00Z.
const defaultEpoch = 1767225600 * int64(time.Second)

// maxInstant is the number of events at one instant past which the run is judged
// to be going in circles.
const maxInstant = 5_000_000

// Sim is one simulation. It is driven from outside by Step and RunUntil, by one
// goroutine at a time.
type Sim struct {
	cfg      Config
	queue    queue
	streams  streams
	tie      uint64 // state of the tie-break stream
	now      Time
	seq      uint64
	trace    trace
	machines []*Machine
	world    *Proc
	current  *Task // the task that runs, nil in callbacks
	proc     *Proc // whose event is being executed
	procs    uint64
	tasks    uint64
	idle     []*coroutine
	findings []Finding
	onProbe  []func(p *Proc, probe env.Probe, count int64)
	probes   map[env.Probe]*reached
	seams    map[string]*seam
	knobs    map[string]bool
	instant  int // events executed at now
	halted   bool
}

// New returns a simulation at T+0 in which nothing happens yet.
func New(cfg Config) *Sim {
	if cfg.Epoch == 0 {
		cfg.Epoch = defaultEpoch
	}
	s := &Sim{
		cfg:     cfg,
		streams: newStreams(cfg.Seed),
		probes:  map[env.Probe]*reached{},
		seams:   map[string]*seam{},
		knobs:   map[string]bool{},
	}
	s.tie, _ = derive(cfg.Seed, "tie-break")
	s.trace.init(cfg)
	m := s.Machine("world", MachineConfig{})
	m.free = true
	s.world = m.Start("world")
	return s
}

// Now is the true time.
func (s *Sim) Now() Time { return s.now }

// Seed is the seed of the run (or of its fork, once that has come).
func (s *Sim) Seed() uint64 { return s.streams.seed }

// Rand is the world's stream of the given name.
func (s *Sim) Rand(name string) *rand.Rand { return s.streams.get(name) }

// World is the process of the simulator itself: the nemesis, drivers, invariants.
// Its machine is never busy, paused or skewed.
func (s *Sim) World() *Proc { return s.world }

// Go starts a task of the world.
func (s *Sim) Go(label string, fn func(env.Task)) env.Task { return s.world.Go(label, fn) }

// Schedule calls fn once, d of true time from now, as an event of the world.
func (s *Sim) Schedule(d time.Duration, label string, fn func()) EventID {
	return s.world.Schedule(d, label, fn)
}

// Cancel removes a pending event. It reports whether it was still to come.
func (s *Sim) Cancel(id EventID) bool {
	i, ok := s.queue.find(id)
	if !ok {
		return false
	}
	if p := s.queue.pos[i]; p >= 0 {
		s.queue.removeAt(int(p))
		s.queue.release(i)
	} else { // in a machine's line: it is dropped when its turn comes
		s.queue.slots[i].kind = kindCancelled
		s.queue.slots[i].fn = nil
	}
	return true
}

// add schedules what the returned slot will say, d from now.
func (s *Sim) add(d time.Duration, k kind, label string, p *Proc) (int32, *slot) {
	if d < 0 {
		d = 0
	}
	i := s.queue.alloc()
	s.seq++
	s.tie += 0x9e3779b97f4a7c15
	sl := &s.queue.slots[i]
	sl.kind, sl.label, sl.proc, sl.cause = k, label, p, s.trace.events
	s.queue.push(entry{at: s.now + Time(d), seq: s.seq, tie: uint32(mix(s.tie) >> 32), slot: i})
	return i, sl
}

// NextAt is the time of the next event, if there is one.
func (s *Sim) NextAt() (Time, bool) {
	if len(s.queue.heap) == 0 || s.halted {
		return 0, false
	}
	return s.queue.heap[0].at, true
}

// Step executes the next event and moves the time to it. It reports whether there
// was one.
func (s *Sim) Step() bool {
	if len(s.queue.heap) == 0 || s.halted {
		return false
	}
	defer s.recoverCallback()
	s.step()
	return true
}

// RunUntil executes every event up to and including time t, and moves the time to
// t. It returns early when the simulation was halted.
func (s *Sim) RunUntil(t Time) {
	for !s.halted && len(s.queue.heap) > 0 && s.queue.heap[0].at <= t {
		s.runUntil(t)
	}
	if !s.halted && s.now < t {
		s.now = t
	}
}

// runUntil is the hot loop. It is left, and entered again, only when a callback
// panicked or its process died under it.
func (s *Sim) runUntil(t Time) {
	defer s.recoverCallback()
	for !s.halted && len(s.queue.heap) > 0 && s.queue.heap[0].at <= t {
		s.step()
	}
}

// Halt makes the loop stop after the present event: the run has found what it
// was for.
func (s *Sim) Halt() { s.halted = true }

// Halted reports whether Halt was called, or the kernel gave up.
func (s *Sim) Halted() bool { return s.halted }

func (s *Sim) step() {
	e := s.queue.pop()
	if e.at > s.now {
		s.now, s.instant = e.at, 0
	} else if s.instant++; s.instant > maxInstant {
		s.find(Finding{Value: fmt.Sprintf("%d events at one instant: the run goes in circles (last: %s)", maxInstant, s.queue.slots[e.slot].label)})
		s.halted = true
		return
	}
	sl := &s.queue.slots[e.slot]
	if p := sl.proc; p != nil {
		if !p.alive {
			s.queue.release(e.slot)
			return
		}
		if m := p.machine; !m.free && m.mustWait() {
			m.enqueue(e.slot)
			return
		}
	}
	s.execute(e.slot)
}

// execute runs the event of a slot now, and frees the slot.
func (s *Sim) execute(i int32) {
	sl := s.queue.slots[i]
	s.queue.release(i)
	if sl.kind == kindReady {
		sl.machine.serve()
		return
	}
	s.trace.event(s, &sl)
	if s.trace.events == s.cfg.ForkAt && s.cfg.ForkAt != 0 {
		s.fork()
	}
	s.proc = sl.proc
	switch sl.kind {
	case kindFunc:
		sl.fn()
	case kindStart:
		sl.task.start()
	case kindWake:
		sl.task.woken()
	case kindTimeout:
		sl.task.timedOut()
	}
	s.proc = nil
}

func (s *Sim) fork() {
	s.streams.reseed(s.cfg.ForkSeed)
	s.tie, _ = derive(s.cfg.ForkSeed, "tie-break")
}

// OnProbe adds a function that is told of each probe reached and how often it has
// been reached by that process's machine. It may kill the process.
func (s *Sim) OnProbe(fn func(p *Proc, probe env.Probe, count int64)) {
	s.onProbe = append(s.onProbe, fn)
}

// ProbeCount is how often a probe was reached in the run, on all machines.
func (s *Sim) ProbeCount(p env.Probe) int64 {
	if r := s.probes[p]; r != nil {
		return r.total
	}
	return 0
}

// reached is how often a probe was reached: in all, and by each machine.
type reached struct {
	total int64
	by    []int64
}

// reached counts a probe, and returns how often m has been there.
func (s *Sim) reached(p env.Probe, m *Machine) int64 {
	r := s.probes[p]
	if r == nil {
		r = &reached{}
		s.probes[p] = r
	}
	for len(r.by) <= m.index {
		r.by = append(r.by, 0)
	}
	r.total++
	r.by[m.index]++
	return r.by[m.index]
}

// KnobsRead reports whether the named knob was asked for by anybody.
func (s *Sim) KnobsRead(name string) bool { return s.knobs[name] }

// Close ends every task and coroutine. The simulation cannot be used afterwards.
// Without it, coroutines that wait are never collected.
func (s *Sim) Close() {
	for _, m := range s.machines {
		m.Kill("simulation closed")
	}
	s.halted = true
	for _, c := range s.idle {
		c.stop()
	}
	s.idle = nil
}
