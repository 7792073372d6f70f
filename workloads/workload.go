package workloads

import (
	"math/rand/v2"
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

// txns is the endpoint as workloads of transactions need it: one without is a
// mistake of whoever put the run together.
func (c *Client) txns() Txns { return c.KV.(Txns) }

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
