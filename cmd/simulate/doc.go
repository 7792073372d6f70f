// Simulate runs scenarios: a whole cluster with its clients and its faults, in one
// process and in virtual time. One seed and one build give one run.
//
//	simulate -seed 7 -scenario NAME|FILE      one run, reported in full
//	simulate -seeds 1-1000 -scenario all      a sweep, which resumes where it was killed
//	simulate -list                            what there is to run
//	simulate check -model M FILE...           judge recorded histories
//
// This package is the outer layer: flags, sweeps, output and exit codes. What a run
// is stands behind the interface runner. A simulation is single-threaded; a sweep
// runs several side by side. Results go to stdout, progress to stderr.
//
// A run that violates something is made a second time, recording the events of the
// operations that prove it, up to the last of their answers: its report then tells
// how each answer came about.
//
// A run that panics outside simulated code is an internal error of its seed, told
// with the stack, and never the end of a sweep. Bad flags, scenarios and plans are
// told with file, line and remedy.
//
// Exit codes, a sweep ending with the gravest in the order 1, 5, 3, 4, 6, 7:
//
//	0  every check passed          4  liveness violation
//	1  internal error              5  not deterministic
//	2  usage                       6  a verdict is unknown
//	3  safety violation            7  vacuous: too little happened for a verdict
package main
