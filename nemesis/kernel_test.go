package nemesis

import (
	"testing"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
)

// kernelTarget has machines of the real kernel for processes; the rest is fake.
type kernelTarget struct {
	*fakeTarget
	s        *sim.Sim
	machines map[string]*sim.Machine
	starts   int
}

func (k *kernelTarget) Alive(name string) bool { return k.machines[name].Proc() != nil }
func (k *kernelTarget) Crash(name string) bool {
	was := k.Alive(name)
	k.machines[name].Kill("crash")
	return was
}
func (k *kernelTarget) Start(name string) bool {
	if k.Alive(name) {
		return false
	}
	k.starts++
	p := k.machines[name].Start("test")
	p.Go("work", func(t env.Task) {
		for t.Sleep(10*time.Millisecond) == nil {
			p.Probe("worked")
		}
	})
	return true
}
func (k *kernelTarget) OnProbe(fn func(string, env.Probe)) {
	k.s.OnProbe(func(p *sim.Proc, probe env.Probe, _ int64) { fn(p.Machine().Name(), probe) })
}

// Under the real kernel a fault at a probe ends the process inside the probe's
// event, at the visit that it names, counted over all incarnations; one that died
// of itself is started again; at the end everybody lives.
func TestRunnerOnKernel(t *testing.T) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	k := &kernelTarget{newTarget(&world{}, nine()), s, map[string]*sim.Machine{}, 0}
	for _, n := range k.topo.everyone() {
		k.machines[n] = s.Machine(n, sim.MachineConfig{})
		k.Start(n)
	}
	began := k.starts
	p, err := ParsePlan(`
		at T+1s crash n1,n2 for 2s
		at probe "worked" n3 #50 crash for 1s
		at probe "worked" n3 #60 crash
		at probe "worked" n4 #100000 crash`)
	if err != nil {
		t.Fatal(err)
	}
	r := Run(s.World(), k, p, Options{End: 10 * time.Second})
	s.Schedule(4*time.Second, "dies of itself", func() { k.machines["n5"].Kill("out of memory") })
	s.RunUntil(sim.Time(11 * time.Second))
	for _, f := range s.Findings() {
		t.Error(f)
	}
	reports := r.Reports()
	for i, want := range []struct {
		count      int64
		start, end time.Duration
	}{{2, time.Second, 3 * time.Second}, {1, 500 * ms, 1500 * ms}, {1, 1600 * ms, 10 * time.Second}, {0, 0, 0}} {
		if rep := reports[i]; rep.Count != want.count || rep.Start != want.start || rep.End != want.end {
			t.Errorf("%s", rep)
		}
	}
	if r.Revived() != 1 || k.starts-began != 5 {
		t.Errorf("%d revived, %d started", r.Revived(), k.starts-began)
	}
	for _, n := range k.topo.everyone() {
		if !k.Alive(n) {
			t.Errorf("%s is dead", n)
		}
	}
}
