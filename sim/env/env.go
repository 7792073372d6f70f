package env

import (
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Env is everything that one incarnation of a process may touch.
type Env interface {
	Process
	Network

	// FS is the process's file system. An operation that must wait for the
	// device (Sync, and no other) parks the calling task; called from a
	// callback it charges the time to the node instead. Handles of a dead
	// incarnation fail with vfs-level errors and change nothing.
	FS() vfs.FS
}

// Process is the part of an Env that concerns time, tasks, chance and accounting.
type Process interface {
	// Name is the endpoint's stable name, such as "n3" or "c12".
	Name() string

	// Wall reads the node's wall clock in nanoseconds since the Unix epoch. It may
	// be offset from true time, drift, step either way and freeze.
	Wall() int64

	// Mono reads the node's monotonic clock. It may drift, and never goes back,
	// not even from one incarnation to the next.
	Mono() time.Duration

	// After calls fn once, d from now by the monotonic clock. The label names the
	// event in traces and must be a constant. fn runs as a callback: it must not
	// wait. d <= 0 means "as a separate event, at this instant".
	After(d time.Duration, label string, fn func()) Timer

	// Stop cancels a timer. It reports whether the callback was still to come.
	// Stopping the zero Timer, or one that has fired, does nothing.
	Stop(t Timer) bool

	// Go starts a task. It begins as an event of its own, not within this call.
	Go(label string, fn func(Task)) Task

	// Current is the task that is running, or nil inside a callback.
	Current() Task

	// Rand is the random stream of the given name, derived from the run's seed,
	// the process's name and the stream's name, so that draws in one stream
	// shift no other. The same name gives the same stream; keep it in a field.
	Rand(name string) *rand.Rand

	// Charge adds n units of counted work of class c to the node's busy time.
	// While a node is busy, its events wait in line.
	Charge(c Class, n int64)

	// Memory adds delta bytes to what the process accounts as held. Past the
	// node's limit the process is killed, out of memory.
	Memory(delta int64)

	// Probe marks that a rare point was reached. A fault can be asked for at a
	// probe: then the call may not return, because the process is dead.
	Probe(p Probe)

	// Knob is the value in force of a tunable.
	Knob(k *Knob) int64

	// Log adds a line to the trace. Arguments are formatted only when somebody
	// listens, hence must not be changed later. For rare events, not hot paths.
	Log(format string, args ...any)

	// Fatal ends the process, which found that it cannot go on (its disk fails to
	// sync, its clock has strayed). It does not return.
	Fatal(reason error)
}

// Timer identifies a pending callback of one incarnation. The zero Timer is none.
type Timer uint64

// Class is a kind of counted work; an environment gives each a price.
type Class uint8

// The classes of work.
const (
	ClassRequest  Class = iota // one request evaluated, whatever its size
	ClassKey                   // one key or version looked at or written
	ClassByte                  // one byte moved through evaluation, encoding or checksums
	ClassMessage               // one message sent or received
	ClassRaft                  // one step of a consensus group
	ClassDiskRead              // one byte read from a file
	NumClasses
)

// Probe is the stable name of a rare point in the code, such as "lease expired
// under a request". Each room lists its own in a function Probes, so that a run
// can say which were never reached.
type Probe string

// Knob is a tunable of the system: a default, and the extremes that are legal, so
// that a run may draw any value between them. Durations are in nanoseconds. Each
// room declares its own as unexported package variables that nothing assigns to
// and lists them in a function Knobs.
type Knob struct {
	Name              string // dotted, such as "lease.duration"
	Default, Min, Max int64
	Doc               string // meaning and unit, one line
}

// Duration is the value in force of a knob that holds a time.
func Duration(p Process, k *Knob) time.Duration { return time.Duration(p.Knob(k)) }
