package kv

import (
	"simulacrum/db/hlc"
	"simulacrum/sim/env"
)

// Sender delivers batches: to a store, to a range wherever it is, to a cluster. It
// always returns a response, with Err set if the batch failed. t is the task that
// waits, and its deadline binds the sender as the batch's own does. The sender
// does not change ba; the caller leaves it unchanged for ever.
type Sender interface {
	Send(t env.Task, ba *BatchRequest) *BatchResponse
}

// SenderFunc is a function as a Sender.
type SenderFunc func(t env.Task, ba *BatchRequest) *BatchResponse

// Send implements Sender.
func (f SenderFunc) Send(t env.Task, ba *BatchRequest) *BatchResponse { return f(t, ba) }

// TxnOptions are what a transaction begins with.
type TxnOptions struct {
	Name       string // for people
	Priority   int32  // 0: drawn by lot
	CommitWait bool   // see Txn.CommitWait
}

// Savepoint is a moment in a transaction's attempt, to go back to.
type Savepoint struct {
	ID       TxnID
	Epoch    int32
	Sequence int32 // of the last write before it
}

// TxnSender coordinates one transaction, attempt after attempt. Send delivers its
// batches, the last of which ends with an EndTxn, in the order of the calls: those
// that come while another is under way wait.
//
// After an error that is Retryable every further batch but a rollback fails with
// that error, until Restart. After one of the kinds ConditionFailed, LockConflict
// and BadRequest the transaction goes on as if the batch had never been. After any
// other it can only be rolled back.
type TxnSender interface {
	Sender
	// Txn is the transaction as it stands. It must not be changed.
	Txn() *Txn
	// Restart begins the next attempt. It is an error if none is due.
	Restart(t env.Task) *Error
	// Savepoint names the present moment.
	Savepoint(t env.Task) (Savepoint, *Error)
	// RollbackTo undoes the writes after the savepoint, which stays. What was read
	// since then stays read.
	RollbackTo(t env.Task, s Savepoint) *Error
	// SetPriority changes the priority, from the next batch on.
	SetPriority(priority int32)
	// FixTimestamp has the transaction read and commit at ts or not at all; an empty
	// ts means its present read timestamp. Another than that can be asked for only
	// before the first batch of the attempt.
	FixTimestamp(t env.Task, ts hlc.Timestamp) *Error
}

// TxnStarter begins transactions.
type TxnStarter interface {
	Begin(t env.Task, o TxnOptions) (TxnSender, *Error)
}
