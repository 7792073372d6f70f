package sim

import "time"

// Clock is a machine's pair of clocks. Both are linear between changes: reading =
// base + (true - since) * (1 + ppm/1e6). Integers throughout: floating point may
// fuse differently on another processor.
type Clock struct {
	sim  *Sim
	wall line
	mono line

	epoch int64 // wall reading of a perfect clock at T+0, ns since 1970
}

// line is one linear piece of a clock.
type line struct {
	base   int64 // reading at since
	since  Time
	ppm    int64 // drift in parts per million
	frozen bool
}

func (l *line) at(now Time) int64 {
	if l.frozen {
		return l.base
	}
	d := int64(now - l.since)
	return l.base + d + scale(d, l.ppm)
}

// rebase starts a new piece at now, so that a change of rate does not change the past.
func (l *line) rebase(now Time) { l.base, l.since = l.at(now), now }

// scale is d*ppm/1e6 without overflow for any d below 292 years.
func scale(d, ppm int64) int64 { return d/1e6*ppm + d%1e6*ppm/1e6 }

// Wall reads the wall clock, in ns since the Unix epoch.
func (c *Clock) Wall() int64 { return c.wall.at(c.sim.now) }

// Mono reads the monotonic clock.
func (c *Clock) Mono() time.Duration { return time.Duration(c.mono.at(c.sim.now)) }

// Offset is how far the wall clock is ahead of true time.
func (c *Clock) Offset() time.Duration {
	return time.Duration(c.Wall() - c.epoch - int64(c.sim.now))
}

// SetOffset sets the wall clock to true time plus d, and lets it run.
func (c *Clock) SetOffset(d time.Duration) {
	c.wall.frozen = false
	c.wall.base, c.wall.since = c.epoch+int64(c.sim.now)+int64(d), c.sim.now
}

// Step moves the wall clock by d, either way.
func (c *Clock) Step(d time.Duration) {
	c.wall.rebase(c.sim.now)
	c.wall.base += int64(d)
}

// Drift makes the wall clock run ppm parts per million fast (negative: slow).
func (c *Clock) Drift(ppm int64) {
	c.wall.rebase(c.sim.now)
	c.wall.ppm = ppm
}

// DriftMono makes the monotonic clock run ppm parts per million fast. Timers that
// are already set keep their moment. |ppm| must stay below a million.
func (c *Clock) DriftMono(ppm int64) {
	c.mono.rebase(c.sim.now)
	c.mono.ppm = ppm
}

// Freeze stops the wall clock.
func (c *Clock) Freeze() {
	c.wall.rebase(c.sim.now)
	c.wall.frozen = true
}

// Unfreeze lets the wall clock go on from where it stands, behind true time.
func (c *Clock) Unfreeze() {
	c.wall.frozen = false
	c.wall.since = c.sim.now
}

// trueTime converts a time on the monotonic clock to a true one, rounded up so
// that a timer never fires before its clock says so.
func (c *Clock) trueTime(d time.Duration) time.Duration {
	if c.mono.ppm == 0 || d <= 0 {
		return d
	}
	rate := 1e6 + c.mono.ppm
	t := int64(d)/rate*1e6 + int64(d)%rate*1e6/rate
	return time.Duration(t + 3) // three divisions above and in scale were rounded down
}
