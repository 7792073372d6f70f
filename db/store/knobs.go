package store

import (
	"time"

	"simulacrum/sim/env"
)

// The tunables of a store.
var (
	knobSnapRate      = env.Knob{Name: "snapshot.rate", Default: 32 << 20, Min: 64 << 10, Max: 1 << 30, Doc: "bytes a second at which one snapshot is sent"}
	knobSnapSenders   = env.Knob{Name: "snapshot.senders", Default: 2, Min: 1, Max: 16, Doc: "snapshots that a store sends at once"}
	knobSnapReceivers = env.Knob{Name: "snapshot.receivers", Default: 2, Min: 1, Max: 16, Doc: "snapshots that a store receives at once"}
	knobSnapMax       = env.Knob{Name: "snapshot.max.bytes", Default: 256 << 20, Min: 16 << 20, Max: 512 << 20, Doc: "bytes above which a snapshot is refused by its receiver"}
	knobSnapIdle      = env.Knob{Name: "snapshot.idle", Default: int64(10 * time.Second), Min: int64(2 * time.Second), Max: int64(time.Minute), Doc: "time without a chunk after which half a snapshot is dropped, ns"}
)

// Knobs lists the tunables of this room.
func Knobs() []*env.Knob {
	return []*env.Knob{&knobSnapRate, &knobSnapSenders, &knobSnapReceivers, &knobSnapMax, &knobSnapIdle}
}

// The rare points of this room.
const (
	probeSnapHalf     env.Probe = "store: snapshot half received"
	probeSnapComplete env.Probe = "store: snapshot received, before it is installed"
	probeSnapRefused  env.Probe = "store: snapshot refused"
	probeSnapFailed   env.Probe = "store: snapshot could not be sent"
	probeSnapDropped  env.Probe = "store: half a snapshot dropped"
	probeNodeBack     env.Probe = "store: woke ranges for a node that is back"
)

// Probes lists the rare points of this room.
func Probes() []env.Probe {
	return []env.Probe{probeSnapHalf, probeSnapComplete, probeSnapRefused, probeSnapFailed, probeSnapDropped, probeNodeBack}
}
