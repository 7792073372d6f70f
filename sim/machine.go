package sim

import (
	"fmt"
	"time"

	"simulacrum/sim/env"
)

// MachineConfig is the hardware of a machine.
type MachineConfig struct {
	Region, Zone string
	Cores        int   // how many units of work proceed at once; 0 means 4
	Memory       int64 // bytes that its process may account as held; 0 means no limit
	Prices       *Prices
}

// Prices is the CPU time of one unit of each class of work, in picoseconds.
type Prices [env.NumClasses]int64

// DefaultPrices are of the order of what a tuned server spends on one core.
func DefaultPrices() Prices {
	return Prices{
		env.ClassRequest:  20_000_000, // 20 µs
		env.ClassKey:      1_000_000,
		env.ClassByte:     1_000,
		env.ClassMessage:  5_000_000,
		env.ClassRaft:     5_000_000,
		env.ClassDiskRead: 200,
	}
}

// Machine is what outlives a crash: clocks, a CPU that may be busy, slow or
// paused, memory, and (elsewhere) a disk and a place in the network.
type Machine struct {
	sim    *Sim
	name   string
	index  int // in sim.machines
	cfg    MachineConfig
	prices Prices
	clock  Clock
	free   bool // the world's machine: nothing costs time there

	proc *Proc // the living incarnation, or nil

	// The CPU. Events that come while it is busy or paused wait in line, in order.
	busyUntil Time
	fraction  int64 // picoseconds of work not yet in busyUntil
	slowNum   int64 // work takes slowNum/slowDen times as long
	slowDen   int64
	pauses    int
	line      []int32 // slots
	lineHead  int
	ready     EventID // the kindReady event, when line is not empty and not paused
	busyTotal time.Duration
}

// Machine adds a machine.
func (s *Sim) Machine(name string, cfg MachineConfig) *Machine {
	if cfg.Cores == 0 {
		cfg.Cores = 4
	}
	m := &Machine{sim: s, name: name, index: len(s.machines), cfg: cfg, prices: DefaultPrices(), slowNum: 1, slowDen: 1}
	if cfg.Prices != nil {
		m.prices = *cfg.Prices
	}
	m.clock = Clock{sim: s, epoch: s.cfg.Epoch}
	m.clock.wall = line{base: s.cfg.Epoch + int64(s.now), since: s.now}
	m.clock.mono = line{base: int64(time.Hour), since: s.now}
	s.machines = append(s.machines, m)
	return m
}

// Name is the machine's name, which its processes bear too.
func (m *Machine) Name() string { return m.name }

// Config is what the machine was made with.
func (m *Machine) Config() MachineConfig { return m.cfg }

// Clock is the machine's pair of clocks.
func (m *Machine) Clock() *Clock { return &m.clock }

// Proc is the living incarnation, or nil.
func (m *Machine) Proc() *Proc { return m.proc }

// BusyTotal is the CPU time charged so far.
func (m *Machine) BusyTotal() time.Duration { return m.busyTotal }

// Pause freezes the process: its events wait in line. Pauses nest.
func (m *Machine) Pause() {
	m.pauses++
	m.sim.Cancel(m.ready)
	m.ready = 0
}

// Resume ends one Pause. The process goes on as if no time had passed, but for
// its clocks.
func (m *Machine) Resume() {
	if m.pauses == 0 {
		return
	}
	if m.pauses--; m.pauses == 0 {
		m.scheduleReady()
	}
}

// Paused reports whether the machine is paused.
func (m *Machine) Paused() bool { return m.pauses > 0 }

// SetSpeed makes every unit of work take num/den times its price. Both must be
// above zero.
func (m *Machine) SetSpeed(num, den int64) { m.slowNum, m.slowDen = num, den }

// mustWait reports whether an event of this machine cannot run now.
func (m *Machine) mustWait() bool {
	return m.busyUntil > m.sim.now || m.pauses > 0 || len(m.line) > m.lineHead
}

func (m *Machine) enqueue(slot int32) {
	m.sim.queue.pos[slot] = posLine
	m.line = append(m.line, slot)
	m.scheduleReady()
}

// scheduleReady arranges for the line to be served once the CPU is free.
func (m *Machine) scheduleReady() {
	if m.ready != 0 || m.pauses > 0 || len(m.line) == m.lineHead {
		return
	}
	i, sl := m.sim.add(m.busyUntil.Sub(m.sim.now), kindReady, "cpu ready", nil)
	sl.machine = m
	m.ready = makeID(i, sl.gen)
}

// serve executes the first event in line, and arranges for the next: an event may
// make the CPU busy again. (When the event does not return because its process
// died or panicked, recoverCallback arranges it.)
func (m *Machine) serve() {
	m.ready = 0
	if m.busyUntil > m.sim.now {
		m.scheduleReady()
		return
	}
	for len(m.line) > m.lineHead {
		slot := m.line[m.lineHead]
		m.lineHead++
		if m.lineHead == len(m.line) {
			m.line, m.lineHead = m.line[:0], 0
		}
		sl := &m.sim.queue.slots[slot]
		if sl.kind == kindCancelled || !sl.proc.alive {
			m.sim.queue.release(slot)
			continue
		}
		m.sim.execute(slot)
		m.scheduleReady()
		return
	}
}

// Busy adds d to the CPU's busy time, undivided by cores.
func (m *Machine) Busy(d time.Duration) {
	if m.free {
		return
	}
	if m.busyUntil < m.sim.now {
		m.busyUntil = m.sim.now
	}
	m.busyUntil = m.busyUntil.Add(d)
	m.busyTotal += d
}

func (m *Machine) charge(c env.Class, n int64) {
	if m.free {
		return
	}
	ps := m.prices[c]*n*m.slowNum/(m.slowDen*int64(m.cfg.Cores)) + m.fraction
	m.fraction = ps % 1000
	m.Busy(time.Duration(ps / 1000))
}

// String prints the machine for people.
func (m *Machine) String() string {
	state := "down"
	if m.proc != nil {
		state = "up since " + m.proc.started.String()
	}
	if m.pauses > 0 {
		state += ", paused"
	}
	return fmt.Sprintf("%s %s/%s %s, clock %+v, busy %v", m.name, m.cfg.Region, m.cfg.Zone, state, m.clock.Offset(), m.busyTotal)
}
