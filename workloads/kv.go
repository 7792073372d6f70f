package workloads

import (
	"errors"
	"fmt"

	"simulacrum/sim/env"
)

// KV is one client endpoint, as a workload needs it. Package cluster satisfies it.
// A client may crash: then the task that uses it ends inside a call, and a later
// incarnation runs the workload afresh with a KV of its own.
type KV interface {
	// Name is the client's endpoint, such as "c12".
	Name() string
	// Gateway is the node that the next request goes to. It changes when the client
	// reconnects elsewhere.
	Gateway() string
	// Do executes the operations as one atomic batch: all at one timestamp, all or
	// none. It waits for the answer or for the client's own time-out. The error,
	// if any, is ErrFailed or ErrAmbiguous by errors.Is.
	Do(t env.Task, ops []Op, opt Options) (Result, error)
}

// Kind is what an Op does.
type Kind uint8

// The kinds of operations.
const (
	Get         Kind = iota // read Key
	Put                     // write Value to Key
	CPut                    // write Value to Key if it holds Expect
	Delete                  // remove Key
	Increment               // add Delta to the decimal counter at Key (absent is 0)
	Scan                    // read [Key, End), ascending
	ReverseScan             // read [Key, End), descending
	InitPut                 // write Value to Key if it is absent or holds Value already
	DeleteRange             // remove all keys of [Key, End) that are there
)

// Lock is what a reading operation holds against others until its transaction ends.
type Lock uint8

// The strengths of locks. Only operations of transactions lock.
const (
	NoLock        Lock = iota
	SharedLock         // others may read and lock likewise, and not write
	ExclusiveLock      // others may neither lock nor write
)

// Op is one operation of a batch. A nil Value of a CPut deletes; a nil Expect
// means "the key must be absent".
type Op struct {
	Kind          Kind
	Key, End      []byte
	Value, Expect []byte
	Delta         int64
	// Lock is what a Get, Scan or ReverseScan locks of what it reads. With
	// LockReplicated the lock is kept as safely as a write, otherwise it may be lost.
	Lock           Lock
	LockReplicated bool
	// Limit is the most rows that a Scan or ReverseScan answers, 0: all. An operation
	// with a limit is the only one of its batch.
	Limit int64
}

// Options of a call.
type Options struct {
	// AtTimestamp reads the past: the batch must be read-only. Zero: the database
	// chooses.
	AtTimestamp Timestamp
}

// Timestamp is a reading of the database's hybrid clock. Zero means none.
type Timestamp struct {
	Wall    int64
	Logical int32
}

// Less orders timestamps.
func (a Timestamp) Less(b Timestamp) bool {
	return a.Wall < b.Wall || a.Wall == b.Wall && a.Logical < b.Logical
}

// Row is a key and its value.
type Row struct {
	Key, Value []byte
}

// OpResult is what one operation answered.
type OpResult struct {
	Value []byte // of Get: nil when absent
	Int   int64  // of Increment: the value after it; of DeleteRange: how many keys it removed
	Rows  []Row  // of Scan and ReverseScan, in the order asked for
	// More says that a limit cut a Scan or ReverseScan short: there may be further
	// rows beyond the last.
	More bool
}

// Result is what a batch answered: one OpResult for each Op, and the timestamp at
// which the database says that it executed.
type Result struct {
	Ops       []OpResult
	Timestamp Timestamp
}

// The two classes of errors. Whatever is neither is treated as ambiguous.
var (
	// ErrFailed: the batch certainly had no effect, and never will.
	ErrFailed = errors.New("failed, without effect")
	// ErrAmbiguous: the batch may have taken effect, or may still.
	ErrAmbiguous = errors.New("outcome unknown")
)

// ConditionError says that a CPut met another value than it expected. It is an
// ErrFailed that proves what the key held at Timestamp. An InitPut that met another
// value says so in the same way.
type ConditionError struct {
	Index     int    // of the operation in the batch
	Actual    []byte // nil: absent
	Timestamp Timestamp
}

// Error implements error.
func (e *ConditionError) Error() string {
	return fmt.Sprintf("condition of operation %d failed: the key holds %q", e.Index, e.Actual)
}

// Is makes a ConditionError one of ErrFailed.
func (e *ConditionError) Is(target error) bool { return target == ErrFailed }
