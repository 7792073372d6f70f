package sloppy

import "simulacrum/sim/env"

const (
	listed   env.Probe = "listed and used"
	unlisted env.Probe = "used, not listed"
	unused   env.Probe = "listed, not used"
)

var (
	knobListed   = env.Knob{Name: "a"}
	knobUnlisted = env.Knob{Name: "b"}
)

// Probes lists the room's probes.
func Probes() []env.Probe { return []env.Probe{listed, unused} }

// Knobs lists the room's knobs.
func Knobs() []*env.Knob { return []*env.Knob{&knobListed} }

func run(p env.Process, given env.Probe) int64 {
	p.Probe(listed)
	p.Probe(unlisted)
	p.Probe("said on the spot")
	p.Probe(given)
	return p.Knob(&knobListed) + p.Knob(&knobUnlisted)
}
