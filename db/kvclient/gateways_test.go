package kvclient

import (
	"testing"

	"simulacrum/sim/env"
)

type silent struct{ env.Process }

func (silent) Probe(env.Probe) {}

// A choice that is replaced keeps the current endpoint if that is still there, and
// begins with the first if it is not.
func TestGatewaysSet(t *testing.T) {
	g := NewGateways(silent{}, []string{"n1", "n2"})
	g.Leave("n1")
	if g.Set([]string{"n3", "n2"}); g.Current() != "n2" || g.Len() != 2 {
		t.Errorf("n2 is still there, and the choice is %s of %d", g.Current(), g.Len())
	}
	if g.Set([]string{"n3"}); g.Current() != "n3" {
		t.Errorf("n2 is gone, and the choice is %s", g.Current())
	}
	if g.Leave("n3"); g.Current() != "n3" {
		t.Errorf("there is nobody else, and the choice is %s", g.Current())
	}
}
