package realenv_test

import (
	"testing"
	"time"

	"simulacrum/sim/env"
	"simulacrum/sim/env/envtest"
	"simulacrum/sim/env/realenv"
)

type world struct{ *realenv.World }

// Start implements envtest.World.
func (w world) Start(name string, main func(env.Env)) { w.World.Start(name, main) }

// Alive implements envtest.World.
func (w world) Alive(name string) bool { return w.Proc(name) != nil }

// Wait implements envtest.World.
func (w world) Wait(limit time.Duration, cond func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func TestConformance(t *testing.T) {
	envtest.Run(t, func(t testing.TB) envtest.World {
		return world{realenv.NewWorld(realenv.Config{Dir: t.TempDir(), Seed: 1})}
	})
}
