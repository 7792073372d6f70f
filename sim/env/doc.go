// Package env is the seam between a process and the world it runs in: clocks,
// timers, tasks, randomness, the network, the disk, probes and knobs. It is the
// only thing that the database and the simulator both know.
//
//	   db/...  (the system under test)          workloads, nemesis (clients of it)
//	      \                                        /
//	       +----------------- env.Env -------------+
//	      /                                        \
//	sim + sim/network + sim/disk               sim/env/realenv
//	(virtual time, one thread, faults)         (wall clock, TCP on loopback, vfs.Default)
//
// Rules that bind every implementation, and that the suite in sim/env/envtest
// checks against each:
//
//   - One process is single-threaded: at any moment at most one of its tasks or
//     callbacks runs, and it runs until it waits (Task.Park, Sleep, Yield) or
//     returns. State of a process therefore needs no lock. Callbacks (timers,
//     network handlers) never wait.
//   - Whatever is sent, awaited or scheduled belongs to one incarnation of the
//     process. When the process dies its tasks end without another effect: no
//     message is sent, no byte is written, no timer fires.
//   - Time is the node's own. Wall may be skewed, step and freeze; Mono may drift
//     but never goes back. Neither is the true time, which nobody here can see.
//
// Fault model: everything under this seam may fail or be late, except that memory
// of a living process is not corrupted and that a process which is not Byzantine
// stays so. What may happen to messages is written at Conn, to files in
// package sim/disk.
package env
