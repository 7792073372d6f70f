package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"simulacrum/sim/env"
)

// Proc is one incarnation of the process on a machine. It implements env.Process.
type Proc struct {
	sim     *Sim
	machine *Machine
	id      uint64 // of the incarnation, counted over the run
	label   string
	name    uint64 // hash of the machine's name, for the trace
	alive   bool
	started Time
	reason  string // why it died
	memory  int64
	first   *Task // living tasks, oldest first
	last    *Task
	onDeath []func()
}

var _ env.Process = (*Proc)(nil)

// Start begins a new incarnation. The machine must have none alive. A machine
// that starts forgets how busy the old incarnation was.
func (m *Machine) Start(label string) *Proc {
	if m.proc != nil {
		panic("sim: " + m.name + " already runs a process")
	}
	m.sim.procs++
	m.busyUntil, m.fraction = m.sim.now, 0
	p := &Proc{sim: m.sim, machine: m, id: m.sim.procs, label: label, name: hashString(m.name), alive: true, started: m.sim.now}
	m.proc = p
	if p.id > 1 { // the first is the world
		m.sim.tell(m.name, "starts: %s", label)
	}
	return p
}

// Kill ends the living incarnation, if there is one: its tasks are unwound oldest
// first, its events never run, and then the functions given to OnDeath are called
// in the order in which they were given.
func (m *Machine) Kill(reason string) {
	p := m.proc
	if p == nil {
		return
	}
	m.proc = nil
	p.alive, p.reason = false, reason
	m.sim.Note("kill", p.name, hashString(reason))
	m.sim.tell(m.name, "dies: %s", reason)
	running := m.sim.current
	for t := p.first; t != nil; {
		next := t.next
		if t != running {
			t.unwind()
		}
		t = next
	}
	for _, fn := range p.onDeath {
		fn()
	}
	p.onDeath = nil
}

// exit leaves the code of a process that has just died under itself.
func (p *Proc) exit() {
	if p.sim.proc == p || (p.sim.current != nil && p.sim.current.proc == p) {
		panic(unwinding)
	}
}

// Alive reports whether the incarnation lives.
func (p *Proc) Alive() bool { return p.alive }

// Machine is where the process runs.
func (p *Proc) Machine() *Machine { return p.machine }

// Reason is why the process died.
func (p *Proc) Reason() string { return p.reason }

// ID numbers the incarnation within the run.
func (p *Proc) ID() uint64 { return p.id }

// OnDeath adds a function to call when the process dies.
func (p *Proc) OnDeath(fn func()) { p.onDeath = append(p.onDeath, fn) }

// Schedule calls fn once, d of true time from now. The event waits while the
// machine is busy or paused and is dropped if the process is dead by then.
func (p *Proc) Schedule(d time.Duration, label string, fn func()) EventID {
	if !p.alive {
		return 0
	}
	i, sl := p.sim.add(d, kindFunc, label, p)
	sl.fn = fn
	return makeID(i, sl.gen)
}

// Busy adds d to the machine's busy time.
func (p *Proc) Busy(d time.Duration) { p.machine.Busy(d) }

// Ready is when the work charged so far will be done: what is sent now leaves then.
func (p *Proc) Ready() Time { return max(p.machine.busyUntil, p.sim.now) }

// Name implements env.Process.
func (p *Proc) Name() string { return p.machine.name }

// Wall implements env.Process.
func (p *Proc) Wall() int64 { return p.machine.clock.Wall() }

// Mono implements env.Process.
func (p *Proc) Mono() time.Duration { return p.machine.clock.Mono() }

// After implements env.Process.
func (p *Proc) After(d time.Duration, label string, fn func()) env.Timer {
	return env.Timer(p.Schedule(p.machine.clock.trueTime(d), label, fn))
}

// Stop implements env.Process.
func (p *Proc) Stop(t env.Timer) bool { return t != 0 && p.sim.Cancel(EventID(t)) }

// Current implements env.Process.
func (p *Proc) Current() env.Task {
	if t := p.sim.current; t != nil && t.proc == p {
		return t
	}
	return nil
}

// Rand implements env.Process.
func (p *Proc) Rand(name string) *rand.Rand { return p.sim.streams.get(p.machine.name + "/" + name) }

// Charge implements env.Process.
func (p *Proc) Charge(c env.Class, n int64) { p.machine.charge(c, n) }

// Memory implements env.Process.
func (p *Proc) Memory(delta int64) {
	p.memory += delta
	if limit := p.machine.cfg.Memory; limit > 0 && p.memory > limit && p.alive {
		p.machine.Kill(fmt.Sprintf("out of memory: %d of %d bytes", p.memory, limit))
		p.exit()
	}
}

// MemoryHeld is what the process accounts as held, in bytes.
func (p *Proc) MemoryHeld() int64 { return p.memory }

// Probe implements env.Process.
func (p *Proc) Probe(probe env.Probe) {
	if !p.alive {
		return
	}
	s := p.sim
	if s.Recording() { // the arguments alone would cost an allocation
		s.Remark("%s reaches %q", p.machine.name, probe)
	}
	count := s.reached(probe, p.machine)
	for _, fn := range s.onProbe {
		fn(p, probe, count)
	}
	if !p.alive {
		p.exit()
	}
}

// Knob implements env.Process.
func (p *Proc) Knob(k *env.Knob) int64 {
	p.sim.knobs[k.Name] = true
	if v, ok := p.sim.cfg.Knobs[k.Name]; ok {
		return v
	}
	return k.Default
}

// Log implements env.Process.
func (p *Proc) Log(format string, args ...any) {
	p.sim.Note(format, p.name, uint64(len(args)))
	p.sim.tell(p.machine.name, format, args...)
}

// Fatal implements env.Process.
func (p *Proc) Fatal(reason error) {
	if p.alive {
		p.Log("fatal: %v", reason)
		p.machine.Kill("fatal: " + reason.Error())
	}
	p.exit()
}
