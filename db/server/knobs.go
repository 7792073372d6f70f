package server

import (
	"time"

	"simulacrum/db/concurrency"
	"simulacrum/db/gossip"
	"simulacrum/db/kvclient"
	"simulacrum/db/liveness"
	"simulacrum/db/placement"
	"simulacrum/db/replica"
	"simulacrum/db/rpc"
	"simulacrum/db/session"
	"simulacrum/db/storage"
	"simulacrum/db/store"
	"simulacrum/sim/env"
)

var knobPublish = &env.Knob{Name: "server.publish", Default: int64(10 * time.Second), Min: int64(time.Second), Max: int64(time.Minute),
	Doc: "time between two statements of a node about what its store holds, ns"}

const (
	probeClockStrayed   env.Probe = "server: own clock strayed"
	probeDecommissioned env.Probe = "server: decommissioned, about to stop"
)

// Knobs lists the tunables of all rooms of a node.
func Knobs() []*env.Knob {
	var all []*env.Knob
	for _, room := range [][]*env.Knob{storage.Knobs(), rpc.Knobs(), concurrency.Knobs(), replica.Knobs(), store.Knobs(), kvclient.Knobs(), session.Knobs(),
		gossip.Knobs(), liveness.Knobs(), placement.Knobs(), {knobPublish}} {
		all = append(all, room...)
	}
	return all
}

// Probes lists the rare points of all rooms of a node.
func Probes() []env.Probe {
	all := []env.Probe{probeClockStrayed, probeDecommissioned}
	for _, room := range [][]env.Probe{storage.Probes(), rpc.Probes(), concurrency.Probes(), replica.Probes(), store.Probes(), kvclient.Probes(), session.Probes(),
		gossip.Probes(), liveness.Probes()} {
		all = append(all, room...)
	}
	return all
}
