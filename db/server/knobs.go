package server

import (
	"slices"
	"strings"

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
	for _, room := range [][]*env.Knob{storage.Knobs(), rpc.Knobs(), replica.Knobs(), store.Knobs(), kvclient.Knobs(), session.Knobs()} {
		all = append(all, room...)
	}
	return slices.DeleteFunc(all, func(k *env.Knob) bool { return ofTransactions(k.Name) })
}

// Probes lists the rare points of all rooms of a node.
func Probes() []env.Probe {
	all := []env.Probe{probeClockStrayed}
	for _, room := range [][]env.Probe{storage.Probes(), rpc.Probes(), replica.Probes(), store.Probes(), kvclient.Probes(), session.Probes()} {
		all = append(all, room...)
	}
	return slices.DeleteFunc(all, func(p env.Probe) bool { return ofTransactions(string(p)) })
}

// ofTransactions tells what belongs to transactions, which no replica evaluates yet:
// to draw their knobs, and to wait for their rare points, would be in vain.
func ofTransactions(name string) bool {
	return strings.HasPrefix(name, "txn") || strings.HasPrefix(name, "session") || strings.HasPrefix(name, "kvclient: batch of a transaction")
}
