package scenarios

import (
	"testing"

	"simulacrum/checker"
	"simulacrum/db/server"
)

// Runs that once found a bug find it no more.
func TestFoundStaysFixed(t *testing.T) {
	for _, name := range Found() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Seed == 0 {
			t.Errorf("%s does not say which seed found the bug", name)
		}
		r, err := s.Resolve(s.Seed, server.Knobs(), server.Probes())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res, err := Run(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range res.Verdicts {
			if v.Valid != checker.OK {
				t.Errorf("%s: %s", name, v)
			}
		}
	}
}
