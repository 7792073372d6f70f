// Package cputime tells benchmarks how much processor time the program has used, on
// all cores and with the garbage collector: on a machine that others use as well,
// wall time measures them.
package cputime

import (
	"syscall"
	"time"
)

// Used is the processor time since the program began; 0 where it is not to be had.
func Used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
