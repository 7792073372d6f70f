package kvclient

import (
	"math/rand/v2"
	"time"

	"simulacrum/sim/env"
)

var (
	knobTimeout = &env.Knob{Name: "kvclient.timeout", Default: int64(10 * time.Second), Min: int64(2 * time.Second), Max: int64(5 * time.Minute),
		Doc: "time for a batch that states no deadline, ns"}
	knobReadAttempt = &env.Knob{Name: "kvclient.read_attempt", Default: int64(3 * time.Second), Min: int64(time.Second), Max: int64(time.Minute),
		Doc: "time until a read is tried elsewhere, ns"}
	knobBackoffMin = &env.Knob{Name: "kvclient.backoff_min", Default: int64(5 * time.Millisecond), Min: int64(time.Millisecond), Max: int64(time.Second),
		Doc: "pause after the first round of refusals, ns; doubles"}
	knobBackoffMax = &env.Knob{Name: "kvclient.backoff_max", Default: int64(500 * time.Millisecond), Min: int64(time.Millisecond), Max: int64(10 * time.Second),
		Doc: "longest pause between rounds, ns"}
	knobPrefetch = &env.Knob{Name: "kvclient.prefetch", Default: 8, Min: 1, Max: 1000,
		Doc: "range descriptors that are read at a time"}
)

// Knobs lists the tunables of the room.
func Knobs() []*env.Knob {
	return []*env.Knob{knobTimeout, knobReadAttempt, knobBackoffMin, knobBackoffMax, knobPrefetch}
}

// Rare points of the room.
const (
	ProbeAmbiguous   env.Probe = "kvclient: outcome of an attempt unknown"
	ProbeRedirected  env.Probe = "kvclient: redirected to another leaseholder"
	ProbeStale       env.Probe = "kvclient: stale descriptor"
	ProbeExhausted   env.Probe = "kvclient: no replica took the batch"
	ProbeCrossed     env.Probe = "kvclient: read crosses ranges"
	ProbeReadRetried env.Probe = "kvclient: read tried again, outcome unknown"
	ProbeCoalesced   env.Probe = "kvclient: waited for another's lookup"
	ProbeGatewayLost env.Probe = "kvclient: client moves to another gateway"
)

// Probes lists the rare points of the room.
func Probes() []env.Probe {
	return []env.Probe{ProbeAmbiguous, ProbeRedirected, ProbeStale, ProbeExhausted, ProbeCrossed,
		ProbeReadRetried, ProbeCoalesced, ProbeGatewayLost}
}

// backoff is a pause that doubles.
type backoff struct {
	rand      *rand.Rand
	next, max time.Duration
}

// settings are the knobs in force, which do not change during a run.
type settings struct {
	timeout, readAttempt, backoffMin, backoffMax time.Duration
	prefetch                                     int64
}

func readSettings(p env.Process) settings {
	return settings{
		timeout: env.Duration(p, knobTimeout), readAttempt: env.Duration(p, knobReadAttempt),
		backoffMin: env.Duration(p, knobBackoffMin), backoffMax: env.Duration(p, knobBackoffMax),
		prefetch: p.Knob(knobPrefetch),
	}
}

func (s *settings) backoff(r *rand.Rand) backoff {
	return backoff{rand: r, next: s.backoffMin, max: s.backoffMax}
}

// pause sleeps, for half to one and a half times the pause of the moment, but not
// beyond the deadline (by Mono).
func (b *backoff) pause(t env.Task, p env.Process, deadline time.Duration) error {
	d := b.next/2 + time.Duration(b.rand.Int64N(int64(b.next)+1))
	b.next = min(2*b.next, b.max)
	return t.Sleep(min(d, max(deadline-p.Mono(), 0)))
}

// deadline is when a batch must be done, by Mono: after the time that it states or a
// default, and no later than the task itself.
func (s *settings) deadline(p env.Process, t env.Task, left time.Duration) time.Duration {
	if left <= 0 {
		left = s.timeout
	}
	return deadlineOf(p, t, left)
}

// deadlineOf is when the time left is over, by Mono, and no later than the task's
// own deadline.
func deadlineOf(p env.Process, t env.Task, left time.Duration) time.Duration {
	at := p.Mono() + left
	own := t.SetDeadline(0)
	t.SetDeadline(own)
	if own > 0 {
		at = min(at, own)
	}
	return at
}
