// Package sim is the kernel: one virtual time, one queue of events, tasks that are
// coroutines, and randomness from one seed. A simulation runs in one thread and is
// a pure function of its Config; many run side by side in one process, since
// nothing here is kept at package level.
//
//	         Step / RunUntil (driven from outside)
//	                   |
//	queue: (time, drawn tie-break, sequence)
//	                   |
//	    +--------------+---------------+
//	    |              |               |
//	callback        task wake      machine ready
//	    |              |               |
//	    +----- Proc (one incarnation, an env.Process) -----+
//	                   |
//	           Machine (clocks, CPU, memory; outlives crashes)
//
// Each event knows the event that scheduled it, so that a chain of causes can be
// told afterwards (Recorded, Why). Each executed event feeds a rolling hash, the
// trace, which is what "the same run" means.
//
// Fault model of the kernel: processes die at any event, and at probes in the middle
// of one; machines pause and are slow; clocks are offset, drift, step and freeze.
// Promised nevertheless: the true time never goes back, an event never runs twice,
// and a dead incarnation never acts again. A panic in simulated code is a Finding of
// the run, not a crash of the program.
package sim
