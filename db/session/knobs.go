package session

import (
	"time"

	"simulacrum/sim/env"
)

var (
	// The gateway keeps the transactions of a client alive that is there and says nothing:
	// whatever the limit is, others wait that long for what such a client has locked.
	knobIdle = &env.Knob{Name: "session.idle", Default: int64(15 * time.Second), Min: int64(time.Second), Max: int64(time.Minute),
		Doc: "a session without a step for this long is rolled back, ns"}
	knobGrace = &env.Knob{Name: "session.grace", Default: int64(2 * time.Second), Min: int64(500 * time.Millisecond), Max: int64(time.Minute),
		Doc: "a client whose connection broke, and who is not heard of again for this long, is taken for gone, ns"}
	knobRemember = &env.Knob{Name: "session.remember", Default: int64(30 * time.Second), Min: int64(time.Second), Max: int64(10 * time.Minute),
		Doc: "how long the end of a session is remembered, for who asks again, ns"}
	knobMax = &env.Knob{Name: "session.max", Default: 4096, Min: 16, Max: 1 << 20,
		Doc: "sessions that a gateway has at most, those included that have ended and are remembered"}
	knobAnswerBytes = &env.Knob{Name: "session.answer_bytes", Default: 64 << 10, Min: 256, Max: 64 << 20,
		Doc: "answers larger than this are not kept for who asks again"}
	knobDrain = &env.Knob{Name: "session.drain", Default: int64(time.Second), Min: 0, Max: int64(time.Minute),
		Doc: "how long a node that stops waits for sessions to end before it rolls them back, ns"}

	knobTimeout = &env.Knob{Name: "session.timeout", Default: int64(10 * time.Second), Min: int64(2 * time.Second), Max: int64(5 * time.Minute),
		Doc: "time for a step of a client that states no deadline, ns"}
	knobBegin = &env.Knob{Name: "session.begin_attempt", Default: int64(2 * time.Second), Min: int64(time.Second), Max: int64(time.Minute),
		Doc: "time until another gateway is asked to begin, ns"}
	knobPause = &env.Knob{Name: "session.pause", Default: int64(100 * time.Millisecond), Min: int64(5 * time.Millisecond), Max: int64(5 * time.Second),
		Doc: "pause before a step is asked again, and between rounds of gateways, ns"}
)

// Knobs lists the tunables of the room.
func Knobs() []*env.Knob {
	return []*env.Knob{knobIdle, knobGrace, knobRemember, knobMax, knobAnswerBytes, knobDrain, knobTimeout, knobBegin, knobPause}
}

// Rare points of the room.
const (
	ProbeIdle         env.Probe = "session: rolled back, idle"
	ProbeClientGone   env.Probe = "session: rolled back, its client was restarted"
	ProbeClientSilent env.Probe = "session: rolled back, its client's connection broke"
	ProbeDrained      env.Probe = "session: rolled back, the gateway stops"
	ProbeFull         env.Probe = "session: refused, too many"
	ProbeRemembered   env.Probe = "session: step answered from memory"
	ProbeJoined       env.Probe = "session: step asked again while under way"
	ProbeRefused      env.Probe = "session: step refused, late or out of order"
	ProbeLost         env.Probe = "session: gateway lost before commit"
	ProbeBegunAnew    env.Probe = "session: transaction begins anew, its gateway lost"
	ProbeCommitLearnt env.Probe = "session: commit asked again, outcome learnt"
	ProbeAmbiguous    env.Probe = "session: outcome of a commit unknown"
)

// Probes lists the rare points of the room.
func Probes() []env.Probe {
	return []env.Probe{ProbeIdle, ProbeClientGone, ProbeClientSilent, ProbeDrained, ProbeFull, ProbeRemembered, ProbeJoined, ProbeRefused,
		ProbeLost, ProbeBegunAnew, ProbeCommitLearnt, ProbeAmbiguous}
}
