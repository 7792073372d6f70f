package hlc

import (
	"fmt"
	"time"

	"simulacrum/sim/env"
)

// Clock is the hybrid clock of one incarnation of a process.
type Clock struct {
	p         env.Process
	maxOffset time.Duration
	last      Timestamp // the highest that was given out or taken in; never goes back
}

// NewClock returns a clock over p's wall clock. maxOffset is how far any two
// clocks of the cluster are assumed to differ at most.
func NewClock(p env.Process, maxOffset time.Duration) *Clock {
	return &Clock{p: p, maxOffset: maxOffset}
}

// MaxOffset is how far two clocks are assumed to differ at most.
func (c *Clock) MaxOffset() time.Duration { return c.maxOffset }

// PhysicalNow reads the wall clock, in nanoseconds, and changes nothing.
func (c *Clock) PhysicalNow() int64 { return c.p.Wall() }

// Now is above every timestamp that Now gave and Update or Forward took in before.
func (c *Clock) Now() Timestamp {
	if wall := c.p.Wall(); wall > c.last.Wall {
		c.last = Timestamp{Wall: wall}
	} else {
		c.last = c.last.Next()
	}
	return c.last
}

// Last is the highest timestamp that was given out or taken in. Unlike Now it
// consumes none.
func (c *Clock) Last() Timestamp { return c.last }

// Update takes in a reading from another clock: Now will exceed it. It refuses
// one that is more than the maximum offset ahead of the own wall clock with a
// *TooFarAheadError and is then unchanged.
func (c *Clock) Update(reading Timestamp) error {
	if reading.LessEq(c.last) {
		return nil
	}
	wall := c.p.Wall()
	// Both are near the present or arbitrary; the difference is tested so that it
	// cannot overflow.
	if reading.Wall > wall && uint64(reading.Wall-wall) > uint64(c.maxOffset) {
		return &TooFarAheadError{Reading: reading, Wall: wall, MaxOffset: c.maxOffset}
	}
	c.last = reading
	return nil
}

// Forward takes in a timestamp that is known to be sound, such as the start of a
// lease that was applied: Now will exceed it, however far ahead it is.
func (c *Clock) Forward(t Timestamp) {
	if c.last.Less(t) {
		c.last = t
	}
}

// RestartWait returns when the clock may be used after a restart: when the wall
// clock has passed every timestamp that an earlier incarnation can have given
// out. That is bound, if the earlier incarnation persisted one, and the maximum
// offset from now otherwise: no clock of the cluster, this one before the restart
// included, was further ahead than that. It waits by the wall clock and not by
// the monotonic one, because a wall clock that stands still does not get past
// anything. It returns an error only if the wait was ended.
func (c *Clock) RestartWait(t env.Task, bound Timestamp) error {
	until := c.p.Wall() + int64(c.maxOffset)
	if !bound.IsEmpty() {
		until = bound.Wall + 1
	}
	for {
		left := time.Duration(until - c.p.Wall())
		if left <= 0 {
			break
		}
		if err := t.Sleep(max(left, time.Millisecond)); err != nil {
			return err
		}
	}
	c.Forward(bound)
	return nil
}

// WaitUntil returns when the wall clock has passed ts, which may lie in the
// future: a holder of such a timestamp waits rather than push clocks ahead.
func (c *Clock) WaitUntil(t env.Task, ts Timestamp) error {
	for {
		left := time.Duration(ts.Wall - c.p.Wall())
		if left < 0 {
			return nil
		}
		if err := t.Sleep(max(left, time.Microsecond)); err != nil {
			return err
		}
	}
}

// TooFarAheadError says that a reading was refused.
type TooFarAheadError struct {
	Reading   Timestamp
	Wall      int64 // the own wall clock when it was refused
	MaxOffset time.Duration
}

// Error implements error.
func (e *TooFarAheadError) Error() string {
	return fmt.Sprintf("clock reading %s is %s ahead of the local clock, more than %s",
		e.Reading, time.Duration(e.Reading.Wall-e.Wall), e.MaxOffset)
}
