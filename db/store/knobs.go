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

	knobRecoveryBatch = env.Knob{Name: "txn.recovery.batch", Default: 128, Min: 1, Max: 10_000, Doc: "writes in flight that a recovery asks for in one batch"}
	knobResolveBatch  = env.Knob{Name: "txn.resolve.batch", Default: 100, Min: 1, Max: 10_000, Doc: "locks that are resolved by one batch"}
	knobCleanupTasks  = env.Knob{Name: "txn.cleanup.tasks", Default: 16, Min: 1, Max: 1000, Doc: "ended transactions that a store cleans up after at once"}
	knobCleanupQueue  = env.Knob{Name: "txn.cleanup.queue", Default: 1000, Min: 0, Max: 100_000, Doc: "ended transactions that wait for that; more are left to who meets them"}
	knobCleanupTries  = env.Knob{Name: "txn.cleanup.tries", Default: 3, Min: 1, Max: 20, Doc: "attempts to clean up after a transaction"}
	knobCleanupDelay  = env.Knob{Name: "txn.cleanup.delay", Default: 0, Min: 0, Max: int64(2 * time.Second), Doc: "time for which locks and record of an ended transaction are left to who meets them before they are cleaned up, ns"}
	knobTxnPause      = env.Knob{Name: "txn.pause", Default: int64(50 * time.Millisecond), Min: int64(time.Millisecond), Max: int64(5 * time.Second), Doc: "pause before a push, or a cleanup, is tried again, ns; doubles, up to 16 times that"}

	knobGCTTL      = env.Knob{Name: "gc.ttl", Default: int64(4 * time.Hour), Min: int64(10 * time.Second), Max: int64(48 * time.Hour), Doc: "time for which the past can be read, and what a transaction may take, ns"}
	knobGCInterval = env.Knob{Name: "gc.interval", Default: int64(time.Minute), Min: int64(100 * time.Millisecond), Max: int64(time.Hour), Doc: "time between two searches of a store for garbage, ns"}
	knobGCBatch    = env.Knob{Name: "gc.batch", Default: 256, Min: 1, Max: 10_000, Doc: "keys whose garbage one command removes"}
	knobGCNotes    = env.Knob{Name: "gc.abort_notes", Default: int64(time.Minute), Min: int64(10 * time.Second), Max: int64(48 * time.Hour), Doc: "time for which the abort span tells a transaction that it is aborted, ns: several times that after which one without heartbeats is abandoned"}
)

// The tunables of splits.
var (
	knobRangeMax      = env.Knob{Name: "range.max.bytes", Default: 512 << 20, Min: 256, Max: 16 << 30, Doc: "bytes above which a range is divided"}
	knobSplitInterval = env.Knob{Name: "range.split.interval", Default: int64(time.Second), Min: int64(10 * time.Millisecond), Max: int64(time.Hour), Doc: "time between two searches of a store for ranges to divide, ns"}
)

// The tunables of the allocator.
var (
	knobAllocator  = env.Knob{Name: "allocator.interval", Default: 0, Min: 0, Max: int64(time.Hour), Doc: "time in which a store looks once at where the replicas and leases of its ranges are, ns; 0: never"}
	knobLoadWindow = env.Knob{Name: "allocator.load.window", Default: int64(30 * time.Second), Min: int64(time.Second), Max: int64(time.Hour), Doc: "time over which the load of a range is counted, ns"}
)

// The tunables of changes of replicas.
var knobReplicaGC = env.Knob{Name: "replicagc.interval", Default: 0, Min: 0, Max: int64(24 * time.Hour), Doc: "time in which a store asks once for each of its replicas whether the range still has it, ns; 0: it does not ask"}

// The tunables of merges, and of splits by load.
var (
	knobRangeMin      = env.Knob{Name: "range.min.bytes", Default: 0, Min: 0, Max: 4 << 30, Doc: "bytes below which a range takes in its neighbour; 0: none does"}
	knobSplitRequests = env.Knob{Name: "range.split.qps", Default: 0, Min: 0, Max: 1_000_000, Doc: "requests a second above which a range is divided; 0: however many"}
)

// The tunables of the consistency queue.
var (
	knobConsistency  = env.Knob{Name: "consistency.interval", Default: 0, Min: 0, Max: int64(48 * time.Hour), Doc: "time in which the replicas of each range are compared once, ns; 0: never"}
	knobChecksumRate = env.Knob{Name: "consistency.rate", Default: 8 << 20, Min: 16 << 10, Max: 1 << 30, Doc: "bytes a second that one checksum reads"}
)

// Knobs lists the tunables of this room.
func Knobs() []*env.Knob {
	return []*env.Knob{&knobSnapRate, &knobSnapSenders, &knobSnapReceivers, &knobSnapMax, &knobSnapIdle,
		&knobRecoveryBatch, &knobResolveBatch, &knobCleanupTasks, &knobCleanupQueue, &knobCleanupTries, &knobCleanupDelay, &knobTxnPause,
		&knobGCTTL, &knobGCInterval, &knobGCBatch, &knobGCNotes, &knobRangeMax, &knobSplitInterval, &knobAllocator, &knobLoadWindow, &knobReplicaGC,
		&knobRangeMin, &knobSplitRequests, &knobConsistency, &knobChecksumRate}
}

// txnSettings are the knobs of transactions in force.
type txnSettings struct {
	recoveryBatch, resolveBatch              int
	cleanupTasks, cleanupQueue, cleanupTries int
	cleanupDelay, pause                      time.Duration
}

func readTxnSettings(p env.Process) txnSettings {
	return txnSettings{
		recoveryBatch: int(p.Knob(&knobRecoveryBatch)), resolveBatch: int(p.Knob(&knobResolveBatch)),
		cleanupTasks: int(p.Knob(&knobCleanupTasks)), cleanupQueue: int(p.Knob(&knobCleanupQueue)), cleanupTries: int(p.Knob(&knobCleanupTries)),
		cleanupDelay: env.Duration(p, &knobCleanupDelay), pause: env.Duration(p, &knobTxnPause),
	}
}

// The rare points of this room.
const (
	probeSnapHalf     env.Probe = "store: snapshot half received"
	probeSnapComplete env.Probe = "store: snapshot received, before it is installed"
	probeSnapRefused  env.Probe = "store: snapshot refused"
	probeSnapFailed   env.Probe = "store: snapshot could not be sent"
	probeSnapDropped  env.Probe = "store: half a snapshot dropped"
	probeNodeBack     env.Probe = "store: woke ranges for a node that is back"

	probeRecovery           env.Probe = "txn: recovery begun"
	probeRecoveryShared     env.Probe = "txn: recovery joined by another who waits"
	probeRecoveryAsked      env.Probe = "txn: writes in flight asked for, before the record is told"
	probeRecoveryFailed     env.Probe = "txn: recovery failed, for now"
	probeRecoveryMoot       env.Probe = "txn: recovery moot, the transaction has moved on"
	probeRecoveredCommitted env.Probe = "txn: recovered as committed"
	probeRecoveredAborted   env.Probe = "txn: recovered as aborted"
	probeResolveResumed     env.Probe = "txn: locks of a span resolved piece by piece"
	probeCleanupDropped     env.Probe = "txn: cleanup dropped, too many wait"
	probeCleanupGivenUp     env.Probe = "txn: cleanup given up"
	probeAbandonedEnded     env.Probe = "txn: abandoned one ended for its record"
	probeRecordRemovable    env.Probe = "txn: locks resolved, before the record is removed"
	probeRecordRemoved      env.Probe = "txn: record removed"

	probeGCRaised        env.Probe = "gc: threshold raised, before anything is removed"
	probeGCDivided       env.Probe = "gc: command too large, divided"
	probeGCRecord        env.Probe = "gc: old record found"
	probeGCNotes         env.Probe = "gc: old notes found in the abort span"
	probeAbsent          env.Probe = "store: message to a replica that is not there"
	probeSplitBySize     env.Probe = "store: range divided, since it was too large"
	probeBorn            env.Probe = "store: snapshot made a replica"
	probeMergeSubsumed   env.Probe = "store: right side of a merge frozen, before its replicas are asked"
	probeMergeCaughtUp   env.Probe = "store: replicas of a right side caught up, before the merge commits"
	probeMergeFailed     env.Probe = "store: merge given up"
	probeMergeRecordGone env.Probe = "store: merge found committed, though its record is gone"
	probeMergeBySize     env.Probe = "store: small range took in its neighbour"
	probeSplitByLoad     env.Probe = "store: range divided, since it was too busy"
	probeSplitLost       env.Probe = "store: split overtaken by another change"
	probeGCRefused       env.Probe = "gc: refused, the range has changed"

	probeQueueFailed  env.Probe = "queue: work on a range failed, for now"
	probeQueueStuck   env.Probe = "queue: a range cannot be helped while the cluster is as it is"
	probeQueueUnstuck env.Probe = "queue: the cluster has changed, those that were stuck come again"

	probeReplicaGC       env.Probe = "store: left-over replica removed"
	probeSuspect         env.Probe = "store: replica suspected of being left over"
	probeSucceeded       env.Probe = "store: replica removed for the one after it"
	probeBuried          env.Probe = "store: message to a replica that was removed"
	probeLearnerThere    env.Probe = "change: learner caught up, before it votes"
	probeChangeTakenBack env.Probe = "change: failed, learners taken back"
	probeChangeJoint     env.Probe = "change: joint, before it is left"
	probeChangeHanded    env.Probe = "change: lease moved, the rest handed over"
	probeChangeLost      env.Probe = "change: overtaken by another"

	probeReplicas       env.Probe = "allocator: number of replicas mended"
	probeDeadReplaced   env.Probe = "allocator: dead replica replaced"
	probeDecommissioned env.Probe = "allocator: replica taken off a store that leaves"
	probeTidied         env.Probe = "allocator: half a change of replicas finished"
	probeRebalanced     env.Probe = "allocator: replica moved for balance"
	probeLeaseMoved     env.Probe = "allocator: lease moved"

	probeChecksum env.Probe = "consistency: state fixed, before its checksum is computed"
	probeCompared env.Probe = "consistency: replicas compared"
	probeDiverged env.Probe = "consistency: replicas differ"
)

// Probes lists the rare points of this room.
func Probes() []env.Probe {
	return []env.Probe{probeSnapHalf, probeSnapComplete, probeSnapRefused, probeSnapFailed, probeSnapDropped, probeNodeBack,
		probeRecovery, probeRecoveryShared, probeRecoveryAsked, probeRecoveryFailed, probeRecoveryMoot, probeRecoveredCommitted,
		probeRecoveredAborted, probeResolveResumed, probeCleanupDropped, probeCleanupGivenUp, probeAbandonedEnded,
		probeRecordRemovable, probeRecordRemoved,
		probeGCRaised, probeGCDivided, probeGCRecord, probeGCNotes, probeGCRefused, probeAbsent, probeBorn, probeSplitLost, probeMergeSubsumed, probeMergeCaughtUp, probeMergeFailed, probeMergeRecordGone, probeSplitBySize,
		probeQueueFailed, probeQueueStuck, probeQueueUnstuck,
		probeReplicaGC, probeSuspect, probeSucceeded, probeBuried, probeLearnerThere, probeChangeTakenBack, probeChangeJoint, probeChangeHanded, probeChangeLost,
		probeReplicas, probeDeadReplaced, probeDecommissioned, probeTidied, probeRebalanced, probeLeaseMoved,
		probeMergeBySize, probeSplitByLoad,
		probeChecksum, probeCompared, probeDiverged}
}
