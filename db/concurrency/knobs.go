package concurrency

import (
	"time"

	"simulacrum/sim/env"
)

// The tunables of this room.
var (
	knobPagesBytes   = env.Knob{Name: "tscache.page.bytes", Default: 32 << 10, Min: 256, Max: 1 << 20, Doc: "bytes of marks in one page of a range's timestamp cache"}
	knobPages        = env.Knob{Name: "tscache.pages", Default: 4, Min: 1, Max: 16, Doc: "pages of a range's timestamp cache"}
	knobSummaryBytes = env.Knob{Name: "tscache.summary.bytes", Default: 16 << 10, Min: 64, Max: 1 << 20, Doc: "bytes of a read summary that travels with a lease"}
	knobLiveness     = env.Knob{Name: "lock.push.liveness", Default: int64(50 * time.Millisecond), Min: 0, Max: int64(time.Second), Doc: "how long the first in line waits at a lock before it finds out whether the holder is alive, ns"}
	knobDeadlock     = env.Knob{Name: "lock.push.deadlock", Default: int64(100 * time.Millisecond), Min: 0, Max: int64(time.Second), Doc: "how long the others wait before they push, so that a deadlock is found, ns"}
	knobLocks        = env.Knob{Name: "lock.table.limit", Default: 10_000, Min: 1, Max: 1 << 20, Doc: "locks that a range lists; above it those that nobody waits for are forgotten"}
	knobExpiration   = env.Knob{Name: "txn.expiration", Default: int64(5 * time.Second), Min: int64(2 * time.Second), Max: int64(30 * time.Second), Doc: "time without a heartbeat after which a transaction counts as abandoned, ns"}
	knobQueryWait    = env.Knob{Name: "txnwait.query", Default: int64(time.Second), Min: int64(50 * time.Millisecond), Max: int64(5 * time.Second), Doc: "how long a query of a transaction waits for news at most, ns"}
)

// Knobs lists the tunables of this room.
func Knobs() []*env.Knob {
	return []*env.Knob{&knobPagesBytes, &knobPages, &knobSummaryBytes, &knobLiveness, &knobDeadlock, &knobLocks,
		&knobExpiration, &knobQueryWait}
}

// Tunables are the values in force, read once for a store.
type Tunables struct {
	CachePageBytes int64 // of the timestamp cache
	CachePages     int
	SummaryBytes   int // of a read summary

	LivenessDelay, DeadlockDelay time.Duration // before a push
	LockLimit                    int
	Expiration                   time.Duration // of a transaction without heartbeats
	QueryWait                    time.Duration
}

// ReadTunables reads the values in force.
func ReadTunables(p env.Process) *Tunables {
	return &Tunables{
		CachePageBytes: p.Knob(&knobPagesBytes),
		CachePages:     int(p.Knob(&knobPages)),
		SummaryBytes:   int(p.Knob(&knobSummaryBytes)),
		LivenessDelay:  env.Duration(p, &knobLiveness),
		DeadlockDelay:  env.Duration(p, &knobDeadlock),
		LockLimit:      int(p.Knob(&knobLocks)),
		Expiration:     env.Duration(p, &knobExpiration),
		QueryWait:      env.Duration(p, &knobQueryWait),
	}
}

// The rare points of this room.
const (
	probeLockWait        env.Probe = "concurrency: waits for a lock"
	probeReservationWait env.Probe = "concurrency: waits for a reservation"
	probeLockTimeout     env.Probe = "concurrency: lock timeout"
	probePushed          env.Probe = "concurrency: holder pushed, before its lock is resolved"
	probePushFailed      env.Probe = "concurrency: push did not arrive"
	probePushInterrupted env.Probe = "concurrency: lock free while its holder was pushed"
	probeFinishedPassed  env.Probe = "concurrency: locks of a finished transaction passed"
	probeDiscovered      env.Probe = "concurrency: replicated locks met"
	probeStaleLease      env.Probe = "concurrency: locks met under another lease"
	probeDeadlock        env.Probe = "concurrency: deadlock, before the loser is aborted"
	probePusherAborted   env.Probe = "concurrency: pusher aborted while it waited"
	probePusheeExpired   env.Probe = "concurrency: pushee without a sign of life"
)

// Probes lists the rare points of this room.
func Probes() []env.Probe {
	return []env.Probe{probeLockWait, probeReservationWait, probeLockTimeout, probePushed, probePushFailed,
		probePushInterrupted, probeFinishedPassed, probeDiscovered, probeStaleLease, probeDeadlock,
		probePusherAborted, probePusheeExpired}
}
