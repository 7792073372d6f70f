// Package concurrency keeps the requests of one range apart, and the transactions of
// the whole cluster, as far as they meet in that range.
//
//	                     Sequencer
//	request --> Sequence ------------------------------------------> evaluate --> Finish
//	             |                                                      |
//	             |  latches    short claims of requests on spans        | reads: noted in the
//	             |  LockTable  locks of transactions, and who waits     | TimestampCache before
//	             |  TxnWaitQueue  pushes, at the pushee's record        | latches are released
//	             +-- PushTxn, QueryTxn, ResolveLocks --> other ranges
//
// Latches (Manager) are held from before a request chooses a timestamp and looks at
// data until its effect is in place (a write: when its command has applied; a read:
// when it has read).
//
//	requests, in order of arrival      what they claim
//	  r1 holds                         W [b]
//	  r2 holds                         R [d,f)
//	  r3 waits for r1 and r2           W [a,e)
//	  r4 waits for r3 alone            R [a]      FIFO: it does not overtake r3
//
// Locks outlive requests. Who meets one gives its latches back, waits in line, and after
// a while pushes the holder, at the holder's record. Nobody keeps a graph of who waits
// for whom: deadlocks are found by queries between records (TxnWaitQueue).
//
// What is promised:
//
//   - Two claims that overlap, at least one of them for writing, are never held
//     at once by two guards.
//   - A guard waits exactly for the conflicting guards that came before it,
//     whether those hold or wait themselves. The order is therefore total among
//     conflicting guards, nobody starves, and no cycle of waiting can arise,
//     because all claims of a request enter in one step.
//   - Two locks that conflict are never held in memory by two transactions, and requests
//     that conflict at a listed key are let go in order of arrival.
//   - Whoever waits for a lock goes on, sooner or later, provided messages arrive
//     sometimes: the holder ends, or is found to be abandoned, or is in a cycle.
//   - The timestamp cache never answers lower than what was read.
//
// The latches, the lock table, the wait queue and the cache are state machines, which
// wake tasks and never wait; the sequencer is straight-line code in the request's task.
//
// Fault model: all of this lives in the memory of one incarnation, and is void with its
// lease: locks in memory are lost, which is allowed, since serializability rests on
// the timestamp cache and on refreshes; replicated locks are met again; of reads the
// next lease holder has a summary, or takes everything before its lease as read. What
// is sent to other ranges may be lost, late and answered twice. A request that gives up
// while it waits leaves the line; one that gives up while its command is in flight must
// not let go, and so hands its guard or ticket to the proposal (package replica).
package concurrency
