package realenv_test

import (
	"testing"
	"time"

	"simulacrum/sim/env"
	"simulacrum/sim/env/realenv"
)

func TestOutOfMemory(t *testing.T) {
	w := realenv.NewWorld(realenv.Config{Dir: t.TempDir(), Memory: 1000})
	defer w.Close()
	p := w.Start("p", func(e env.Env) {
		e.Memory(600)
		e.Memory(-100)
		e.Memory(400)
		e.Memory(200)
		t.Error("lives on with 1100 of 1000 bytes")
	})
	if !(world{w}).Wait(10*time.Second, func() bool { return !p.Alive() }) {
		t.Fatal("alive")
	}
	if p.Reason() == nil || p.Reason().Error() != "out of memory" {
		t.Errorf("died of %v", p.Reason())
	}
}

func TestKnobs(t *testing.T) {
	w := realenv.NewWorld(realenv.Config{Dir: t.TempDir(), Knobs: map[string]int64{"a": 7}})
	defer w.Close()
	got := make(chan int64, 2)
	w.Start("p", func(e env.Env) {
		got <- e.Knob(&env.Knob{Name: "a", Default: 1})
		got <- e.Knob(&env.Knob{Name: "b", Default: 1})
	})
	if a, b := <-got, <-got; a != 7 || b != 1 {
		t.Errorf("%d and %d", a, b)
	}
}
