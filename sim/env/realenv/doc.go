// Package realenv is env.Env over the real world: the wall clock, TCP on loopback
// and the operating system's files. It shows that code written against the seam is
// not tied to the simulator, and it keeps the conformance suite honest.
//
//	World ── Start ──> Proc (one incarnation, an env.Env)
//	                    │  one big lock: whoever runs holds it
//	   dispatcher ──────┤  runs callbacks: timers when due, what sockets reported
//	   task goroutines ─┤  hold the lock but for Park, Sleep and Sync
//	   socket readers ──┘  never hold it: they post callbacks
//	   and writers
//
// Fault model: the machine's own. Processes of a World are goroutines of one
// operating-system process; Kill ends one as abruptly as that allows: its tasks are
// unwound at their next wait, and until then hold no means of doing harm, since each
// call of a dead incarnation is without effect. A kill resets its connections.
// There is no power loss here, no skew and no partition; that is what the simulator
// is for.
//
// Rejected: one event-loop goroutine that hands control to tasks by channels, as
// the simulator does. It would order wake-ups in the same way, and so hide what
// code assumes about that order; here the Go scheduler decides.
package realenv
