package concurrency

import (
	"bytes"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// PushVerdict is what becomes of a push, by the pushee's record.
type PushVerdict uint8

// The verdicts.
const (
	// PushWaits: the pushee is alive, and does not have to yield.
	PushWaits PushVerdict = iota
	// PushIsMoot: the pushee is over, or above the timestamp already. Nothing changes.
	PushIsMoot
	// PushMoves: the record's timestamp moves up to PushTo.
	PushMoves
	// PushAborts: the record becomes Aborted.
	PushAborts
	// PushRecovers: the pushee would have to yield but is staging: whether it is
	// committed must be found out first.
	PushRecovers
)

// String is the verdict's name.
func (v PushVerdict) String() string {
	return [...]string{"waits", "is moot", "moves", "aborts", "recovers"}[v]
}

// JudgePush says what becomes of a push when the pushee's record, or what can be
// known without one, is as given. expiration is how long after its last sign of life
// a transaction counts as abandoned.
func JudgePush(req *kv.PushTxnRequest, record *kv.Txn, now hlc.Timestamp, expiration time.Duration) PushVerdict {
	expired := record.LastActive().Add(expiration).Less(now)
	switch {
	case pushed(req, record):
		return PushIsMoot
	case !expired && !req.Force && (req.Type == kv.PushTouch || !outranks(req.Pusher, record.Priority)):
		return PushWaits
	case record.Status == kv.Staging:
		return PushRecovers
	case req.Type == kv.PushTimestamp && !expired:
		return PushMoves
	}
	// Whoever touches or reads under an abandoned transaction ends it, since nobody
	// else will.
	return PushAborts
}

// pushed reports that the pushee is as the pusher wants it.
func pushed(req *kv.PushTxnRequest, pushee *kv.Txn) bool {
	return pushee.Status.Finalized() || req.Type == kv.PushTimestamp && req.PushTo.LessEq(pushee.WriteTS)
}

// outranks reports that the pusher need not wait for a pushee that is alive: there
// are two ranks of transactions besides the usual ones. A pusher without transaction
// has no rank.
func outranks(pusher kv.TxnMeta, pushee int32) bool {
	if pusher.ID == (keys.TxnID{}) {
		return false
	}
	return pusher.Priority == kv.MaxPriority && pushee < kv.MaxPriority || pushee == kv.MinPriority && pusher.Priority > kv.MinPriority
}

// winsDeadlock reports that of two transactions that wait for each other, in a cycle
// of any length, the pusher is the one to go on. The order is total, so that some edge
// of every cycle is won.
func winsDeadlock(pusher, pushee kv.TxnMeta) bool {
	if pusher.Priority != pushee.Priority {
		return pusher.Priority > pushee.Priority
	}
	return bytes.Compare(pusher.ID[:], pushee.ID[:]) > 0
}
