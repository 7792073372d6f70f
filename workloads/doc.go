// Package workloads holds what clients do to the system under test, and what must
// hold of the answers.
//
//	scenario's Params --> New --> Workload (one a run)
//	                               |  Setup: one client, before the first fault
//	client endpoint c1 ..cN        |  Run:   each incarnation of each client, until Done
//	KV (package cluster) <---------|  Final: after healing, until served
//	     |  answer, ErrFailed,     |
//	     v  ErrAmbiguous           v
//	history.Recorder  <---- one operation a batch
//	     |
//	     '--> Check: package checker, part by part
//
// A workload has one or more parts on keys of their own: registers (read, write,
// compare, delete, scans either way, atomic batches, reads of the past), counters
// (every increment counts exactly once) and sets (what was added is there). The
// workload "mixed" does all three at once. Keys are laid out so that each range
// holds some of every part, and clients of all regions meet on a few hot ones.
//
// Workloads of transactions are scripts: lists, a ledger of registers, a bank, and
// others that provoke one anomaly each. A transaction is one operation of the history,
// from its first begin to its end, with what a commit keeps of it; writes that an
// attempt or a savepoint undid stand beside it as failures, so that whoever sees them
// is caught. What a transaction is to do is drawn before it begins: begun anew, it
// does the same again, with values of its own. A client may pause or stop talking in
// the middle, with locks held.
//
// Fault model: a client may get no answer, an answer that says nothing, or its
// process may die inside a call. Then its operation stays open in the history, as
// one that may have happened. Nothing is retried under the same identity: each
// attempt is an operation, with values of its own. Answers of the wrong shape (a
// scan out of order, a value that nobody can have written) are a violation
// whatever the history.
//
// State that clients share (which values are taken, what was last seen of a key)
// lives outside the system under test: clients may tell each other.
package workloads
