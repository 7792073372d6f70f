package cluster

import (
	"time"

	"simulacrum/nemesis"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// Alive implements nemesis.Target.
func (c *Cluster) Alive(name string) bool { return c.endpoint(name).machineOf().Proc() != nil }

// Crash implements nemesis.Target.
func (c *Cluster) Crash(name string) bool {
	m := c.endpoint(name).machineOf()
	if m.Proc() == nil {
		return false
	}
	m.Kill("crashed by nemesis")
	return true
}

// PowerLoss implements nemesis.Target. The hosts fall silent before the first
// process dies, so that no connection is reset.
func (c *Cluster) PowerLoss(nodes []string) int {
	c.net.PowerOff(nodes...)
	alive := 0
	for _, name := range nodes {
		n := c.node(name)
		if n.machine.Proc() != nil {
			alive++
			n.machine.Kill("power lost")
		}
		n.disk.PowerLoss()
	}
	return alive
}

// Stop implements nemesis.Target.
func (c *Cluster) Stop(name string) bool {
	n, ok := c.endpoint(name).(*Node)
	if !ok {
		return c.Crash(name)
	}
	return n.stop()
}

// Start implements nemesis.Target.
func (c *Cluster) Start(name string) bool {
	e := c.endpoint(name)
	if n, ok := e.(*Node); e.machineOf().Proc() != nil || ok && !n.Joined() {
		return false
	}
	e.start()
	return true
}

// Pause implements nemesis.Target. A disk may pause the machine too: what nemesis
// did is counted apart.
func (c *Cluster) Pause(name string) bool {
	m := c.endpoint(name).machineOf()
	if c.paused[name] {
		return false
	}
	c.paused[name] = true
	m.Pause()
	return true
}

// Resume implements nemesis.Target.
func (c *Cluster) Resume(name string) bool {
	if !c.paused[name] {
		return false
	}
	delete(c.paused, name)
	c.endpoint(name).machineOf().Resume()
	return true
}

// SetSpeed implements nemesis.Target.
func (c *Cluster) SetSpeed(name string, factor int64) {
	c.endpoint(name).machineOf().SetSpeed(max(1, factor), 1)
}

// ClockOffset implements nemesis.Target.
func (c *Cluster) ClockOffset(name string) time.Duration {
	return c.endpoint(name).machineOf().Clock().Offset()
}

// StepClock implements nemesis.Target.
func (c *Cluster) StepClock(name string, by time.Duration) {
	c.endpoint(name).machineOf().Clock().Step(by)
}

// clockEffect is a clock fault in force. It counts as one change.
type clockEffect struct{ heal func() }

// Heal implements nemesis.Effect.
func (e *clockEffect) Heal() {
	if e.heal != nil {
		e.heal()
		e.heal = nil
	}
}

// Count implements nemesis.Effect.
func (e *clockEffect) Count() int64 { return 1 }

// DriftClock implements nemesis.Target.
func (c *Cluster) DriftClock(name string, ppm int64) nemesis.Effect {
	clock := c.endpoint(name).machineOf().Clock()
	clock.Drift(ppm)
	clock.DriftMono(ppm)
	return &clockEffect{heal: func() {
		clock.Drift(0)
		clock.DriftMono(0)
	}}
}

// FreezeClock implements nemesis.Target.
func (c *Cluster) FreezeClock(name string) nemesis.Effect {
	clock := c.endpoint(name).machineOf().Clock()
	clock.Freeze()
	return &clockEffect{heal: clock.Unfreeze}
}

// Cut implements nemesis.Target.
func (c *Cluster) Cut(from, to []string, mode nemesis.CutMode) nemesis.Effect {
	if mode == nemesis.Hold {
		return c.net.Cut(from, to, network.Hold)
	}
	return c.net.Cut(from, to, network.Drop)
}

// Degrade implements nemesis.Target.
func (c *Cluster) Degrade(from, to []string, f nemesis.LinkFault) nemesis.Effect {
	return c.net.Degrade(from, to, network.LinkFault(f))
}

// Reset implements nemesis.Target.
func (c *Cluster) Reset(a, b []string) int64 { return c.net.Reset(a, b) }

// Disk implements nemesis.Target.
func (c *Cluster) Disk(node string, f nemesis.DiskFault) nemesis.Effect {
	d := c.node(node).disk
	switch f.Kind {
	case nemesis.DiskSlow:
		return d.Slow(f.Factor)
	case nemesis.DiskStall:
		return d.Stall()
	case nemesis.DiskFull:
		return d.Full(0)
	case nemesis.DiskWriteError:
		return d.WriteError(disk.Trigger{PerMillion: f.Rate})
	default:
		return d.SyncError(disk.Trigger{PerMillion: f.Rate})
	}
}

// OnProbe implements nemesis.Target.
func (c *Cluster) OnProbe(fn func(name string, p env.Probe)) { c.onProbe = fn }
