package kv

import (
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
