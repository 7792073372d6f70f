// Package concurrency keeps the requests of one range apart. It holds latches:
// short claims on spans of keys, which a request takes before it chooses a
// timestamp and looks at data, and gives back when its effect is in place (a
// write: when its command has applied; a read: when it has read).
//
//	requests, in order of arrival      what they claim
//	  r1 holds                         W [b]
//	  r2 holds                         R [d,f)
//	  r3 waits for r1 and r2           W [a,e)
//	  r4 waits for r3 alone            R [a]      FIFO: it does not overtake r3
//
// What is promised:
//
//   - Two claims that overlap, at least one of them for writing, are never held
//     at once by two guards.
//   - A guard waits exactly for the conflicting guards that came before it,
//     whether those hold or wait themselves. The order is therefore total among
//     conflicting guards, nobody starves, and no cycle of waiting can arise,
//     because all claims of a request enter in one step.
//
// Fault model: none of its own. Latches live in the memory of one incarnation;
// when it dies they die with it. A request that gives up while it waits leaves
// the line; one that gives up while its command is in flight must not let go,
// and so hands its guard to the proposal (package replica).
//
// Locks, which outlive a request, wait queues and the timestamp cache are to join
// this package when there are transactions.
package concurrency
