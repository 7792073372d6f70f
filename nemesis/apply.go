package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// apply puts one repetition of a fault in force, and says in o how it heals and
// what it counts.
func (r *Runner) apply(x *running, o *occurrence) {
	switch x.Kind {
	case Crash, CleanStop, PowerLoss, DrainNode:
		r.takeDown(x, o)
	case Pause:
		r.pause(x, o)
	case SlowCPU:
		r.slow(x, o)
	case Partition:
		var effects []Effect
		for _, c := range x.cuts(r.topo) {
			if len(c.from) > 0 && len(c.to) > 0 {
				effects = append(effects, r.t.Cut(c.from, c.to, x.Mode))
			}
		}
		o.hold(effects)
	case Degrade:
		r.degrade(x, o)
	case Reset:
		a, b := r.sides(x)
		n := r.t.Reset(a, b)
		o.count = func() int64 { return n }
		x.reason = "no connection stood"
	case ClockStep, ClockOffset:
		r.moveClocks(x, o)
	case ClockDrift, ClockFreeze:
		r.bendClocks(x, o)
	case ClockStrobe:
		r.strobe(x, o)
	case LeaseTransfer, LeaderTransfer, ForcedElection, TruncateLog, SplitRange, MergeRanges, MoveReplica, ScatterRange:
		r.askRanges(x)
	case AddNode:
		r.addNodes(x)
	case LoseDisk, ReplaceNode:
		r.loseDisks(x, o)
	case Decommission:
		r.decommission(x)
	case NeedSnapshot:
		r.outrun(x, o)
	default:
		kind := [...]DiskKind{DiskSlow, DiskStall, DiskFull, DiskWriteError, DiskSyncError}[x.Kind-SlowDisk]
		var effects []Effect
		for _, n := range r.victims(x) {
			effects = append(effects, r.t.Disk(n, DiskFault{Kind: kind, Factor: x.Factor, Rate: x.Rate}))
		}
		o.hold(effects)
	}
}

// victims are the endpoints of the only group.
func (r *Runner) victims(x *running) []string { return r.topo.group(x.Who[0], false) }

// hold makes the occurrence last as long as the effects.
func (o *occurrence) hold(effects []Effect) {
	o.heal = func() {
		for _, e := range effects {
			e.Heal()
		}
	}
	o.count = func() int64 {
		var n int64
		for _, e := range effects {
			n += e.Count()
		}
		return n
	}
}

// takeDown ends processes and keeps them down. With a stagger each goes down a while
// after the one before it, and comes back so long after it too.
func (r *Runner) takeDown(x *running, o *occurrence) {
	var count int64
	var held []string
	over := false
	o.count = func() int64 { return count }
	down := func(names []string) {
		if over {
			return
		}
		for _, n := range names {
			r.endpoint(n).down++
		}
		held = append(held, names...)
		before := count
		if x.Kind == PowerLoss {
			count += int64(r.t.PowerLoss(names))
		} else {
			for _, n := range names {
				if x.Kind == Crash && r.t.Crash(n) || x.Kind == CleanStop && r.t.Stop(n) || x.Kind == DrainNode && r.t.Drain(n) {
					count++
				}
			}
		}
		if count == before {
			x.reason = fmt.Sprintf("%s down already", strings.Join(names, ","))
		}
	}
	up := func(n string) {
		i := slices.Index(held, n)
		if i < 0 {
			return
		}
		held = slices.Delete(held, i, i+1)
		e := r.endpoint(n)
		if e.down--; e.down == 0 {
			r.t.Start(n)
		}
	}
	o.heal = func() {
		over = true
		for len(held) > 0 {
			up(held[0])
		}
	}
	names := r.victims(x)
	if x.Stagger == 0 {
		down(names)
		return
	}
	for i, n := range names {
		at := time.Duration(i) * x.Stagger
		if i == 0 {
			down(names[:1])
		} else {
			r.after(at, func() { down(names[i : i+1]) })
		}
		if x.For > 0 {
			r.after(at+x.For, func() { up(n) })
		}
	}
}

// length is how long one repetition of a fault lasts, 0: to the end of the window.
func (r *Runner) length(x *running) time.Duration {
	if x.For > 0 && x.Stagger > 0 {
		return x.For + time.Duration(len(r.victims(x))-1)*x.Stagger
	}
	return x.For
}

func (r *Runner) pause(x *running, o *occurrence) {
	var count int64
	names := r.victims(x)
	for _, n := range names {
		if r.endpoint(n).paused++; r.endpoint(n).paused == 1 && r.t.Pause(n) {
			count++
		}
	}
	x.reason = "paused or down already"
	o.count = func() int64 { return count }
	o.heal = func() {
		for _, n := range names {
			if r.endpoint(n).paused--; r.endpoint(n).paused == 0 {
				r.t.Resume(n)
			}
		}
	}
}

// slow slows processors. Of overlapping faults the hardest holds.
func (r *Runner) slow(x *running, o *occurrence) {
	names := r.victims(x)
	o.count = func() int64 { return int64(len(names)) }
	set := func(e *endpoint) { r.t.SetSpeed(e.name, slices.Max(append([]int64{1}, e.slow...))) }
	for _, n := range names {
		e := r.endpoint(n)
		e.slow = append(e.slow, x.Factor)
		set(e)
	}
	o.heal = func() {
		for _, n := range names {
			e := r.endpoint(n)
			i := slices.Index(e.slow, x.Factor)
			e.slow = slices.Delete(e.slow, i, i+1)
			set(e)
		}
	}
}

// sides are the two ends of the links that a network fault touches: both groups,
// or the only one and everybody.
func (r *Runner) sides(x *running) (a, b []string) {
	a = r.topo.group(x.Who[0], true)
	if len(x.Who) > 1 {
		return a, r.topo.group(x.Who[1], true)
	}
	return a, r.topo.everyone()
}

func (r *Runner) degrade(x *running, o *occurrence) {
	a, b := r.sides(x)
	effects := []Effect{r.t.Degrade(a, b, x.Link)}
	if back := without(b, a); len(back) > 0 {
		effects = append(effects, r.t.Degrade(back, a, x.Link))
	}
	o.hold(effects)
}

// moveClocks makes wall clocks jump; an offset jumps back when it heals.
func (r *Runner) moveClocks(x *running, o *occurrence) {
	names := r.victims(x)
	o.count = func() int64 { return int64(len(names)) }
	for _, n := range names {
		r.t.StepClock(n, x.By)
		e := r.endpoint(n)
		if x.Kind == ClockStep {
			e.stepped = true
		} else {
			e.clock++
		}
	}
	if x.Kind == ClockOffset {
		o.heal = func() {
			for _, n := range names {
				r.t.StepClock(n, -x.By)
				r.settle(r.endpoint(n))
			}
		}
	}
}

// bendClocks changes the rate of clocks. When the rate is back, what was gained or
// lost is put right, as a time service would.
func (r *Runner) bendClocks(x *running, o *occurrence) {
	names := r.victims(x)
	bends := make([]*bend, len(names))
	for i, n := range names {
		e := r.endpoint(n)
		bends[i] = &bend{kind: x.Kind, ppm: x.PPM}
		e.clock++
		e.bends = append(e.bends, bends[i])
		r.rebend(e)
	}
	o.count = func() int64 { return int64(len(names)) }
	o.heal = func() {
		for i, n := range names {
			e := r.endpoint(n)
			at := slices.Index(e.bends, bends[i])
			e.bends = slices.Delete(e.bends, at, at+1)
			r.rebend(e)
			r.t.StepClock(n, -bends[i].gained)
			r.settle(e)
		}
	}
}

// bend is a fault that changes the rate of one clock.
type bend struct {
	kind   Kind
	ppm    int64
	gained time.Duration // by the clock, while this was the bend that acted
}

// harder reports that of two bends this is the one that acts: a clock that stands
// does not drift.
func (b *bend) harder(than *bend) bool {
	if b.kind != than.kind {
		return b.kind == ClockFreeze
	}
	return max(b.ppm, -b.ppm) > max(than.ppm, -than.ppm)
}

// rebend has of the bends in force the hardest act on the clock, of equal ones the
// latest, and it alone. What the clock gains or loses is put down to the one that acts:
// if each of two that overlap were to put right all of its time, a clock that stood
// would be sent into the future (scenario clocks-beyond-bounds, seed 47).
func (r *Runner) rebend(e *endpoint) {
	if b := e.acting; b != nil {
		passed := r.now() - e.bentAt
		if b.kind == ClockFreeze {
			b.gained -= passed
		} else {
			b.gained += passed / 1000 * time.Duration(b.ppm) / 1000
		}
		e.bending.Heal()
	}
	e.acting, e.bentAt = nil, r.now()
	for _, b := range e.bends {
		if e.acting == nil || !e.acting.harder(b) {
			e.acting = b
		}
	}
	switch {
	case e.acting == nil:
	case e.acting.kind == ClockFreeze:
		e.bending = r.t.FreezeClock(e.name)
	default:
		e.bending = r.t.DriftClock(e.name, e.acting.ppm)
	}
}

// strobe makes wall clocks jump by and back, again and again.
func (r *Runner) strobe(x *running, o *occurrence) {
	names := r.victims(x)
	var jumps int64
	away, healed := false, false
	o.count = func() int64 { return jumps }
	flip := func() {
		by := x.By
		if away {
			by = -by
		}
		away = !away
		jumps++
		for _, n := range names {
			r.t.StepClock(n, by)
		}
	}
	var tick func()
	tick = func() {
		if !healed && !r.closed {
			flip()
			r.after(x.Period, tick)
		}
	}
	for _, n := range names {
		r.endpoint(n).clock++
	}
	tick()
	o.heal = func() {
		healed = true
		if away {
			flip()
		}
		for _, n := range names {
			r.settle(r.endpoint(n))
		}
	}
}

// settle notes that a clock fault healed. After the last, the clock stands exactly
// where it began, unless a step moved it: that lasts until HealAll.
func (r *Runner) settle(e *endpoint) {
	if e.clock--; e.clock == 0 && !e.stepped {
		r.goHome(e)
	}
}

func (r *Runner) goHome(e *endpoint) {
	if d := e.home - r.t.ClockOffset(e.name); d != 0 {
		r.t.StepClock(e.name, d)
	}
}
