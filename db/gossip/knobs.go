package gossip

import (
	"time"

	"simulacrum/sim/env"
)

var (
	knobFanout = &env.Knob{Name: "gossip.fanout", Default: 3, Min: 2, Max: 8,
		Doc: "peers that a node chooses to exchange infos with"}
	knobIncoming = &env.Knob{Name: "gossip.incoming", Default: 10, Min: 8, Max: 64,
		Doc: "nodes that a node lets choose it as their peer"}
	knobPace = &env.Knob{Name: "gossip.pace", Default: int64(250 * time.Millisecond), Min: int64(20 * time.Millisecond), Max: int64(time.Second),
		Doc: "least time between two exchanges with one peer, ns"}
	knobInterval = &env.Knob{Name: "gossip.interval", Default: int64(time.Second), Min: int64(200 * time.Millisecond), Max: int64(2 * time.Second),
		Doc: "time between two exchanges with a peer for whom there is no news, ns"}
	knobTimeout = &env.Knob{Name: "gossip.timeout", Default: int64(3 * time.Second), Min: int64(time.Second), Max: int64(10 * time.Second),
		Doc: "a peer that does not answer for this long is given up, ns"}
	knobRetry = &env.Knob{Name: "gossip.retry", Default: int64(2 * time.Second), Min: int64(500 * time.Millisecond), Max: int64(10 * time.Second),
		Doc: "time until a peer that was given up may be chosen again, ns"}
	knobRotate = &env.Knob{Name: "gossip.rotate", Default: int64(20 * time.Second), Min: int64(2 * time.Second), Max: int64(time.Minute),
		Doc: "time until a node exchanges one of its peers for another, ns"}
	knobMaxHops = &env.Knob{Name: "gossip.max_hops", Default: 4, Min: 2, Max: 16,
		Doc: "a node whose infos came through more hands than this is worth choosing as a peer"}
	knobMessageBytes = &env.Knob{Name: "gossip.message_bytes", Default: 128 << 10, Min: 1 << 10, Max: 4 << 20,
		Doc: "infos of one message, in bytes, but for the one that crosses this"}
	knobNodeTTL = &env.Knob{Name: "gossip.node_ttl", Default: int64(2 * time.Minute), Min: int64(20 * time.Second), Max: int64(time.Hour),
		Doc: "how long a node's descriptor is shown that is not renewed, which happens in half that time, ns"}
	knobSentinelTTL = &env.Knob{Name: "gossip.sentinel_ttl", Default: int64(15 * time.Second), Min: int64(5 * time.Second), Max: int64(2 * time.Minute),
		Doc: "a node that has not heard of the first range's leaseholder for this long takes itself for cut off, ns"}
)

// Knobs lists the tunables of the room.
func Knobs() []*env.Knob {
	return []*env.Knob{knobFanout, knobIncoming, knobPace, knobInterval, knobTimeout, knobRetry, knobRotate, knobMaxHops,
		knobMessageBytes, knobNodeTTL, knobSentinelTTL}
}

// Rare points of the room.
const (
	ProbeAlien       env.Probe = "gossip: exchange with another cluster refused"
	ProbeFull        env.Probe = "gossip: peer has too many callers"
	ProbeGivenUp     env.Probe = "gossip: peer given up"
	ProbeRotated     env.Probe = "gossip: peer exchanged for another"
	ProbeFar         env.Probe = "gossip: peer chosen because its infos come from far"
	ProbePredecessor env.Probe = "gossip: info of an earlier incarnation overruled"
	ProbeReborn      env.Probe = "gossip: peer has a new memory"
	ProbeCutOff      env.Probe = "gossip: sentinel missed, looking for others"
	ProbeDivided     env.Probe = "gossip: news did not fit into one message"
)

// Probes lists the rare points of the room.
func Probes() []env.Probe {
	return []env.Probe{ProbeAlien, ProbeFull, ProbeGivenUp, ProbeRotated, ProbeFar, ProbePredecessor, ProbeReborn, ProbeCutOff, ProbeDivided}
}
