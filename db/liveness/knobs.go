package liveness

import (
	"time"

	"simulacrum/sim/env"
)

var (
	knobExpiry = &env.Knob{Name: "liveness.expiry", Default: int64(6 * time.Second), Min: int64(2 * time.Second), Max: int64(30 * time.Second),
		Doc: "how long a heartbeat keeps its node live, ns"}
	knobHeartbeat = &env.Knob{Name: "liveness.heartbeat_percent", Default: 50, Min: 20, Max: 70,
		Doc: "time between two heartbeats of a node, in percent of liveness.expiry"}
)

// Knobs lists the tunables of the room. When a node that is not live is dead, and for how
// long one that is back is suspect, are tunables of placement, which judges.
func Knobs() []*env.Knob {
	return []*env.Knob{knobExpiry, knobHeartbeat}
}

// Rare points of the room.
const (
	ProbeEpochLost       env.Probe = "liveness: own epoch was ended by another node"
	ProbeEpochRaised     env.Probe = "liveness: epoch of an expired node is over"
	ProbeEpochRaceLost   env.Probe = "liveness: record moved under an epoch increment"
	ProbeCameBack        env.Probe = "liveness: node came back under an epoch increment"
	ProbeAmbiguous       env.Probe = "liveness: ambiguous write looked up"
	ProbeHeartbeatFailed env.Probe = "liveness: heartbeat failed"
	ProbeLapsed          env.Probe = "liveness: heartbeat after the own record expired"
	ProbeSuspect         env.Probe = "liveness: node is back, and suspect"
	ProbeDecommissioned  env.Probe = "liveness: decommissioned node wants a heartbeat"
)

// Probes lists the rare points of the room.
func Probes() []env.Probe {
	return []env.Probe{ProbeEpochLost, ProbeEpochRaised, ProbeEpochRaceLost, ProbeCameBack, ProbeAmbiguous, ProbeHeartbeatFailed,
		ProbeLapsed, ProbeSuspect, ProbeDecommissioned}
}
