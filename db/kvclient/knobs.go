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

	knobTxnHeartbeat = &env.Knob{Name: "txn.heartbeat", Default: int64(time.Second), Min: int64(100 * time.Millisecond), Max: int64(time.Minute),
		Doc: "time between a coordinator's heartbeats, ns"}
	knobTxnPipelining = &env.Knob{Name: "txn.pipelining", Default: 1, Min: 0, Max: 1,
		Doc: "whether writes are acknowledged before they are replicated"}
	knobTxnParallel = &env.Knob{Name: "txn.parallel_commit", Default: 1, Min: 0, Max: 1,
		Doc: "whether a commit is made in parallel with writes in flight; 0: two phases"}
	knobTxnInFlight = &env.Knob{Name: "txn.in_flight_bytes", Default: 256 << 10, Min: 0, Max: 64 << 20,
		Doc: "bytes of keys of writes that are tracked as in flight"}
	knobTxnLockSpans = &env.Knob{Name: "txn.lock_span_bytes", Default: 256 << 10, Min: 1, Max: 64 << 20,
		Doc: "bytes of spans of locks until they are condensed"}
	knobTxnRefreshSpans = &env.Knob{Name: "txn.refresh_span_bytes", Default: 256 << 10, Min: 1, Max: 64 << 20,
		Doc: "bytes of spans of reads until they are condensed"}
	knobTxnCleanup = &env.Knob{Name: "txn.cleanup_timeout", Default: int64(time.Minute), Min: int64(time.Second), Max: int64(10 * time.Minute),
		Doc: "time for a rollback, or an explicit commit, that nobody waits for, ns"}
	knobTxnCommitWait = &env.Knob{Name: "txn.commit_wait", Default: 0, Min: 0, Max: 1,
		Doc: "whether all transactions wait until every clock has passed their timestamp (strict serializability)"}
)

// Knobs lists the tunables of the room.
func Knobs() []*env.Knob {
	return []*env.Knob{knobTimeout, knobReadAttempt, knobBackoffMin, knobBackoffMax, knobPrefetch,
		knobTxnHeartbeat, knobTxnPipelining, knobTxnParallel, knobTxnInFlight, knobTxnLockSpans, knobTxnRefreshSpans,
		knobTxnCleanup, knobTxnCommitWait}
}

// Rare points of the room.
const (
	ProbeAmbiguous   env.Probe = "kvclient: outcome of an attempt unknown"
	ProbeRedirected  env.Probe = "kvclient: redirected to another leaseholder"
	ProbeStale       env.Probe = "kvclient: stale descriptor"
	ProbeBehind      env.Probe = "kvclient: index behind what is known"
	ProbeMissing     env.Probe = "kvclient: a range is not in the index, the one above it is"
	ProbeExhausted   env.Probe = "kvclient: no replica took the batch"
	ProbeCrossed     env.Probe = "kvclient: read crosses ranges"
	ProbeReadRetried env.Probe = "kvclient: read tried again, outcome unknown"
	ProbeCoalesced   env.Probe = "kvclient: waited for another's lookup"
	ProbeGatewayLost env.Probe = "kvclient: client moves to another gateway"

	ProbeDivided          env.Probe = "kvclient: batch of a transaction divided among ranges"
	ProbeTxnResent        env.Probe = "kvclient: batch of a transaction sent again, outcome unknown"
	ProbeTxnAbortNoticed  env.Probe = "txn: heartbeat finds transaction aborted"
	ProbeTxnWriteLost     env.Probe = "txn: write in flight did not come to be"
	ProbeTxnStagedTooLow  env.Probe = "txn: staged below a write"
	ProbeTxnStaged        env.Probe = "txn: implicitly committed, before it is explicit"
	ProbeTxnRecovered     env.Probe = "txn: others have committed it"
	ProbeTxnRefreshed     env.Probe = "txn: refreshed"
	ProbeTxnRefreshFailed env.Probe = "txn: refresh failed"
	ProbeTxnCondensed     env.Probe = "txn: read spans condensed"
	ProbeTxnRestarted     env.Probe = "txn: next epoch"
	ProbeTxnAborted       env.Probe = "txn: begins anew under another ID"
	ProbeTxnAmbiguous     env.Probe = "txn: outcome of a commit unknown"
	ProbeTxnCommitWait    env.Probe = "txn: waits for its commit timestamp to pass"
)

// Probes lists the rare points of the room.
func Probes() []env.Probe {
	return []env.Probe{ProbeAmbiguous, ProbeRedirected, ProbeStale, ProbeBehind, ProbeMissing, ProbeExhausted, ProbeCrossed,
		ProbeReadRetried, ProbeCoalesced, ProbeGatewayLost, ProbeDivided, ProbeTxnResent, ProbeTxnAbortNoticed,
		ProbeTxnWriteLost, ProbeTxnStagedTooLow, ProbeTxnStaged, ProbeTxnRecovered, ProbeTxnRefreshed, ProbeTxnRefreshFailed,
		ProbeTxnCondensed, ProbeTxnRestarted, ProbeTxnAborted, ProbeTxnAmbiguous, ProbeTxnCommitWait}
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

// txnSettings are the knobs of transactions in force.
type txnSettings struct {
	heartbeat, cleanup                         time.Duration
	pipelining, parallel, commitWait           bool
	inFlightBytes, lockSpanBytes, refreshBytes int
}

func readTxnSettings(p env.Process) txnSettings {
	return txnSettings{
		heartbeat: env.Duration(p, knobTxnHeartbeat), cleanup: env.Duration(p, knobTxnCleanup),
		pipelining: p.Knob(knobTxnPipelining) != 0, parallel: p.Knob(knobTxnParallel) != 0, commitWait: p.Knob(knobTxnCommitWait) != 0,
		inFlightBytes: int(p.Knob(knobTxnInFlight)), lockSpanBytes: int(p.Knob(knobTxnLockSpans)), refreshBytes: int(p.Knob(knobTxnRefreshSpans)),
	}
}
