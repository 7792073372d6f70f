package network_test

import (
	"testing"
	"time"

	"simulacrum/sim/network"
)

func TestPrint(t *testing.T) {
	r, a, _, c := pair(t, network.Config{})
	r.net.Cut([]string{"a"}, []string{"b"}, network.Drop)
	a.send(c, 1, 2, 3)
	r.run(time.Second)
	want := "a us-east1/a, 48 bytes queued, 0 to be read\n  a>b #1 open, blocked, 3 waiting or on their way (48 bytes)\n"
	if got := a.ep.String(); got != want {
		t.Errorf("printed %q", got)
	}
}
