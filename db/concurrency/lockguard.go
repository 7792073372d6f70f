package concurrency

import (
	"fmt"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// WaitKind says what a request waits for at a lock.
type WaitKind uint8

// The kinds of waiting.
const (
	WaitNone        WaitKind = iota
	WaitHolder               // a transaction that holds the lock
	WaitReservation          // a request that came before, and waits or runs
)

// Wait is what a request waits for.
type Wait struct {
	Kind WaitKind
	Key  keys.Key
	// Txn holds the lock, or has sent the request that came before; of a zero ID if
	// that has no transaction.
	Txn      kv.TxnMeta
	Strength kv.LockStrength // held, or wanted by the request before
	Durable  bool            // the lock is not only in memory
	// Head says that no other request has waited longer at the key: it finds out
	// whether the holder is alive.
	Head bool
}

// String prints what is waited for, such as "holder 0a0b0c0d".
func (w Wait) String() string {
	switch w.Kind {
	case WaitNone:
		return "nothing"
	case WaitHolder:
		return "holder " + kv.FormatTxnID(w.Txn.ID)
	}
	if w.Txn.ID == (keys.TxnID{}) {
		return "a request before"
	}
	return "request of " + kv.FormatTxnID(w.Txn.ID)
}

// LockGuard is a request's presence in the lock table.
type LockGuard struct {
	req *Request
	seq uint64 // order of arrival: that of the first Scan

	locks   []*lock  // where it has places
	found   []*lock  // discovered by its evaluation, and not scanned since
	at      *lock    // where it waits, or nil
	wait    Wait     // for what
	changed bool     // wait has changed, and the guard is among the woken
	task    env.Task // whom to wake then
	// resolve are locks of transactions known to be over, that Scan walked past.
	resolve []kv.LockUpdate
}

// Waiting is what the guard waits for now.
func (g *LockGuard) Waiting() Wait { return g.wait }

// reads reports that the guard waits to read.
func (g *LockGuard) reads() bool { return g.at != nil && g.at.place(g) < 0 }

// String prints the guard as "#7 of 0a0b0c0d".
func (g *LockGuard) String() string {
	if g.req.Txn == nil {
		return fmt.Sprintf("#%d without txn", g.seq)
	}
	return fmt.Sprintf("#%d of %s", g.seq, kv.FormatTxnID(g.req.Txn.ID))
}

// ToResolve are the locks that the last Scan walked past: they must be resolved, and
// the request scanned again, before it is evaluated. Good until the next Scan.
func (g *LockGuard) ToResolve() []kv.LockUpdate { return g.resolve }
