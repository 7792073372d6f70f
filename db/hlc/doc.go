// Package hlc holds hybrid logical clocks and their timestamps: a wall time in
// nanoseconds and a counter that tells apart what falls into one nanosecond, or
// into the time in which a wall clock stands still (Kulkarni et al., "Logical
// Physical Clocks", 2014).
//
// Fault model: the wall clock under a Clock may be offset, drift, step either way
// and freeze. A Clock nevertheless never gives the same or a lower timestamp
// twice in one incarnation, and gives a higher one than every reading that it
// took in. It refuses a reading that is more than the maximum offset ahead of its
// own wall clock, so that one runaway clock does not drag all others along.
// Across a restart it promises nothing until RestartWait has returned.
package hlc
