package workloads

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// Workload is one run's worth of work for all clients. It holds state that the
// clients share outside of the database (which values are taken), so each run
// makes its own, and it is used from one simulation alone.
type Workload interface {
	// Name is what scenarios call it.
	Name() string
	// Splits are the keys at which the cluster should split its ranges beforehand:
	// no batch of the workload crosses one.
	Splits() [][]byte
	// Setup writes what must be there before the clients begin. One client does it,
	// before the first fault.
	Setup(t env.Task, c *Client) error
	// Run is the loop of one client. It returns when c.Done says so, or its task
	// ends with the client's process; a later incarnation calls Run again.
	Run(t env.Task, c *Client)
	// Final writes to and reads from all that the workload has, after everything
	// healed. It tries until it succeeds or the task's deadline passes. Some client
	// of each region does it.
	Final(t env.Task, c *Client) Final
	// Check judges the history of the whole run.
	Check(h *history.History, ctx Context) []checker.Verdict
	// Registers are the options under which Check judges registers; without Keys if
	// the workload has none.
	Registers(ctx Context) checker.Options
	// Universe lists the keys as histories call them, sorted.
	Universe() []string
}

// Client is one incarnation of a client and its means.
type Client struct {
	KV
	Recorder *history.Recorder
	Rand     *rand.Rand
	// Now is true virtual time since the run began, in nanoseconds: the clock of
	// histories, which no process can read.
	Now func() int64
	// Done says that the client should stop after its present operation.
	Done func() bool

	memory []history.Timestamp // of its last operations, the newest last
}

// Final is how the end of a run went.
type Final struct {
	// Slots counts the parts of the key space, Served those that answered a write
	// and a read of everything in them.
	Slots, Served int
	// Took is the time from the call to the last answer, or to giving up.
	Took time.Duration
	// Missing names the first part that did not answer, and LastError says why.
	Missing, LastError string
}

// Context is what a Check knows beside the history.
type Context struct {
	// Skewed: clocks came further apart than max_offset.
	Skewed bool
	// Versions are those that the database applied, or nil if nobody collected them.
	Versions []checker.Version
}

// Params are the size and the mixture of a workload. The zero Params are
// replaced, field by field, by those of Defaults.
type Params struct {
	// Slots is the number of parts of the key space: one for each range.
	Slots int
	// Keys is how many registers there are, and Counters how many counters, both
	// spread over all slots.
	Keys, Counters int
	// Hot is how many registers, and counters, draw HotPercent of the operations.
	// Below 0: none.
	Hot, HotPercent int
	// Think is the mean time from an answer to the next request, exponentially
	// spread. Negative: none, a closed loop.
	Think time.Duration
	// Mix weighs the operations on registers.
	Mix Mix
	// Registers, Increments and Sets weigh the parts of the mixed workload.
	Registers, Increments, Sets int
}

// Mix weighs operations on registers against each other.
type Mix struct {
	Read, Write, CAS, Delete, Scan, Reverse, Batch, Past int
}

// Defaults is a mixture in which clients of all regions meet on few keys.
func Defaults() Params {
	return Params{
		Slots: 12, Keys: 36, Counters: 12, Hot: 3, HotPercent: 50, Think: 100 * time.Millisecond,
		Mix:       Mix{Read: 30, Write: 25, CAS: 15, Delete: 5, Scan: 6, Reverse: 4, Batch: 10, Past: 5},
		Registers: 60, Increments: 20, Sets: 20,
	}
}

// fill replaces zero fields by the defaults.
func (p Params) fill() Params {
	d := Defaults()
	for _, f := range []struct{ have, def *int }{
		{&p.Slots, &d.Slots}, {&p.Keys, &d.Keys}, {&p.Counters, &d.Counters}, {&p.Hot, &d.Hot}, {&p.HotPercent, &d.HotPercent},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	if p.Think == 0 {
		p.Think = d.Think
	}
	if p.Mix == (Mix{}) {
		p.Mix = d.Mix
	}
	if p.Registers == 0 && p.Increments == 0 && p.Sets == 0 {
		p.Registers, p.Increments, p.Sets = d.Registers, d.Increments, d.Sets
	}
	return p
}

// Validate says what is wrong with parameters, and what would be right.
func (p Params) Validate() error {
	p = p.fill()
	switch m := p.Mix; {
	case p.Slots < 1 || p.Slots > 99:
		return fmt.Errorf("slots = %d: say 1 to 99, one for each range", p.Slots)
	case p.Keys < 1 || p.Keys > 999 || p.Counters < 1 || p.Counters > 999:
		return fmt.Errorf("keys = %d and counters = %d: say 1 to 999 of each", p.Keys, p.Counters)
	case p.Hot > p.Keys || p.HotPercent < 0 || p.HotPercent > 100:
		return fmt.Errorf("hot = %d with %d percent: say at most %d keys, and 0 to 100", p.Hot, p.HotPercent, p.Keys)
	case min(m.Read, m.Write, m.CAS, m.Delete, m.Scan, m.Reverse, m.Batch, m.Past) < 0,
		min(p.Registers, p.Increments, p.Sets) < 0:
		return fmt.Errorf("a weight is below 0: leave an operation out with 0")
	}
	return nil
}

// Names lists the workloads that New knows.
func Names() []string { return []string{"register", "increments", "set", "mixed"} }

// New makes a workload for one run.
func New(name string, p Params) (Workload, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p = p.fill()
	b := &base{Params: p}
	w := &mixed{name: name, base: b, weights: []int{1}}
	switch name {
	case "register":
		w.parts = []part{newRegisters(b)}
	case "increments":
		w.parts = []part{newCounters(b)}
	case "set":
		w.parts = []part{newSets(b)}
	case "mixed":
		w.parts = []part{newRegisters(b), newCounters(b), newSets(b)}
		w.weights = []int{p.Registers, p.Increments, p.Sets}
	default:
		return nil, fmt.Errorf("no workload is called %q: there are %s", name, strings.Join(Names(), ", "))
	}
	return w, nil
}
