package network_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/sim/env/envtest"
	"simulacrum/sim/network"
)

// process joins the three rooms that make an env.Env, as package cluster does.
type process struct {
	*sim.Proc
	*network.Endpoint
	fs vfs.FS
}

// FS implements env.Env.
func (p *process) FS() vfs.FS { return p.fs }

type world struct {
	sim   *sim.Sim
	net   *network.Network
	disks map[string]*disk.Disk
	hosts map[string]*sim.Machine
	t     testing.TB
}

// Start implements envtest.World.
func (w *world) Start(name string, main func(env.Env)) {
	m, ok := w.hosts[name]
	if !ok {
		m = w.sim.Machine(name, sim.MachineConfig{})
		w.hosts[name] = m
		w.disks[name] = disk.New(w.sim, name, disk.Config{})
	}
	p := m.Start("conformance")
	e := &process{Proc: p, Endpoint: w.net.Attach(p, here), fs: w.disks[name].Mount(p)}
	p.OnDeath(w.disks[name].CrashProcess)
	p.Schedule(0, "main", func() { main(e) })
}

// Kill implements envtest.World.
func (w *world) Kill(name string) { w.hosts[name].Kill("conformance") }

// Alive implements envtest.World.
func (w *world) Alive(name string) bool { return w.hosts[name].Proc() != nil }

// Wait implements envtest.World.
func (w *world) Wait(limit time.Duration, cond func() bool) bool {
	end := w.sim.Now().Add(limit)
	for !cond() {
		at, ok := w.sim.NextAt()
		if !ok || at > end {
			w.sim.RunUntil(end)
			return cond()
		}
		w.sim.Step()
	}
	return true
}

// Close implements envtest.World.
func (w *world) Close() {
	for _, f := range w.sim.Findings() {
		w.t.Errorf("finding: %s\n%s", f.String(), f.Stack)
	}
	w.sim.Close()
}

// TestConformance runs the suite on the simulated world, under several seeds and
// with tasks interleaved at seams.
func TestConformance(t *testing.T) {
	for seed := range uint64(5) {
		envtest.Run(t, func(t testing.TB) envtest.World {
			s := sim.New(sim.Config{Seed: seed, Seams: map[string]int{"*": 512}})
			return &world{sim: s, net: network.New(s, network.Config{Decode: true}), t: t,
				disks: map[string]*disk.Disk{}, hosts: map[string]*sim.Machine{}}
		})
	}
}
