package server

import (
	"simulacrum/db/concurrency"
	"simulacrum/db/kvclient"
	"simulacrum/db/replica"
	"simulacrum/db/rpc"
	"simulacrum/db/session"
	"simulacrum/db/storage"
	"simulacrum/db/store"
	"simulacrum/sim/env"
)

const probeClockStrayed env.Probe = "server: own clock strayed"

// Knobs lists the tunables of all rooms of a node.
func Knobs() []*env.Knob {
	var all []*env.Knob
	for _, room := range [][]*env.Knob{storage.Knobs(), rpc.Knobs(), concurrency.Knobs(), replica.Knobs(), store.Knobs(), kvclient.Knobs(), session.Knobs()} {
		all = append(all, room...)
	}
	return all
}

// Probes lists the rare points of all rooms of a node.
func Probes() []env.Probe {
	all := []env.Probe{probeClockStrayed}
	for _, room := range [][]env.Probe{storage.Probes(), rpc.Probes(), concurrency.Probes(), replica.Probes(), store.Probes(), kvclient.Probes(), session.Probes()} {
		all = append(all, room...)
	}
	return all
}
