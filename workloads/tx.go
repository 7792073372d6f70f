package workloads

import "simulacrum/sim/env"

// Txns is a client endpoint with transactions in conversation. Package cluster
// satisfies it.
type Txns interface {
	KV
	// Txn runs fn as one transaction and commits it. fn is run again, from its
	// beginning, whenever the transaction must begin anew: it must have no effects but
	// those of tx and on what it resets itself, and must pass on the errors it gets. An
	// error of its own rolls back. The error, if any, is ErrFailed or ErrAmbiguous by
	// errors.Is: failed says that nothing of it has happened or will.
	Txn(t env.Task, o TxnOptions, fn func(tx Tx) error) (TxnResult, error)
}

// TxnOptions are what a transaction begins with.
type TxnOptions struct {
	Name string
	// At reads the past: everything is read at this timestamp, and nothing written.
	// Zero: the database chooses.
	At Timestamp
	// Priority is its rank among transactions that want the same keys.
	Priority Priority
	// CommitWait has the commit waited out, for order in real time across keys.
	CommitWait bool
}

// Priority is the rank of a transaction among those that want the same keys: one of
// higher rank does not wait for one of lower rank, which has to yield.
type Priority uint8

// The ranks.
const (
	NormalPriority Priority = iota
	LowPriority
	HighPriority
)

// Tx is one attempt of a transaction. Only its fn uses it, in its own task.
type Tx interface {
	// Do executes the operations in order, in the transaction, and answers each.
	Do(t env.Task, ops ...Op) ([]OpResult, error)
	// Commit is Do of the last operations, which take the commit with them: after it fn
	// only returns. It alone may fail with ErrAmbiguous, and fails altogether when a
	// condition does.
	Commit(t env.Task, ops ...Op) ([]OpResult, error)
	// Savepoint names the present moment, RollbackTo undoes the writes since then.
	Savepoint(t env.Task) (Savepoint, error)
	RollbackTo(t env.Task, s Savepoint) error
}

// Savepoint is a moment in an attempt, to go back to.
type Savepoint any

// TxnResult is how a transaction went that committed.
type TxnResult struct {
	// Commit is the timestamp at which everything of it happened.
	Commit Timestamp
	// Attempts counts the times that fn ran.
	Attempts int
	// Gateway names the node that coordinated, with its incarnation, such as "n3/2":
	// successive transactions of one gateway incarnation are ordered by its clock.
	Gateway string
}
