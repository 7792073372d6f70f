package replica

import (
	"time"

	"simulacrum/sim/env"
)

// The tunables of a replica.
var (
	knobTick         = env.Knob{Name: "raft.tick", Default: int64(500 * time.Millisecond), Min: int64(50 * time.Millisecond), Max: int64(time.Second), Doc: "time between two ticks of consensus, ns"}
	knobCommitDelay  = env.Knob{Name: "raft.commit.delay", Default: int64(10 * time.Millisecond), Min: 0, Max: int64(200 * time.Millisecond), Doc: "time that a leader waits for entries to send a higher commit index with, ns; 0: sends it at once"}
	knobHeartbeat    = env.Knob{Name: "raft.heartbeat.ticks", Default: 2, Min: 1, Max: 3, Doc: "ticks between heartbeats"}
	knobElection     = env.Knob{Name: "raft.election.ticks", Default: 4, Min: 4, Max: 20, Doc: "ticks without a leader before a follower campaigns, at least; at most twice as many"}
	knobMessage      = env.Knob{Name: "raft.message.bytes", Default: 32 << 10, Min: 1, Max: 1 << 20, Doc: "bytes of entries in one append message"}
	knobInflight     = env.Knob{Name: "raft.inflight", Default: 128, Min: 1, Max: 512, Doc: "append messages on their way to one follower"}
	knobUncommitted  = env.Knob{Name: "raft.uncommitted.bytes", Default: 16 << 20, Min: 1 << 10, Max: 64 << 20, Doc: "bytes of uncommitted entries above which the leader drops proposals"}
	knobApply        = env.Knob{Name: "raft.apply.bytes", Default: 64 << 10, Min: 1, Max: 4 << 20, Doc: "bytes of entries that are applied in one batch"}
	knobEntryCache   = env.Knob{Name: "raft.entry.cache.bytes", Default: 256 << 10, Min: 0, Max: 16 << 20, Doc: "bytes of recent log entries that a replica keeps in memory"}
	knobRepropose    = env.Knob{Name: "raft.repropose.ticks", Default: 4, Min: 1, Max: 20, Doc: "ticks after which a proposal without an outcome is proposed again"}
	knobLogSize      = env.Knob{Name: "raft.log.bytes", Default: 16 << 20, Min: 1 << 10, Max: 64 << 20, Doc: "bytes of log above which the leader truncates it"}
	knobLogKeep      = env.Knob{Name: "raft.log.keep.factor", Default: 4, Min: 1, Max: 16, Doc: "how many times raft.log.bytes a live follower that lags may hold up"}
	knobLogStale     = env.Knob{Name: "raft.log.stale.bytes", Default: 64 << 10, Min: 1 << 10, Max: 64 << 20, Doc: "bytes of log that start a truncation of what all replicas have"}
	knobQuiesceAfter = env.Knob{Name: "raft.quiesce.ticks", Default: 6, Min: 1, Max: 1 << 30, Doc: "ticks without a request after which an idle range may go to sleep"}
	knobLease        = env.Knob{Name: "lease.duration", Default: int64(6 * time.Second), Min: int64(2 * time.Second), Max: int64(20 * time.Second), Doc: "length of an expiration lease, ns"}
	knobLeaseRenew   = env.Knob{Name: "lease.renew.percent", Default: 50, Min: 20, Max: 90, Doc: "percent of the lease that may be left when it is renewed"}
	knobLeaseEpoch   = env.Knob{Name: "lease.epoch", Default: 0, Min: 0, Max: 1, Doc: "1: ranges that liveness does not need have leases that last as long as their holder's epoch"}
	knobMaxCommand   = env.Knob{Name: "replica.command.bytes", Default: 8 << 20, Min: 64 << 10, Max: 32 << 20, Doc: "bytes above which a batch's writes are refused"}
	knobSnapChunk    = env.Knob{Name: "snapshot.chunk.bytes", Default: 256 << 10, Min: 256, Max: 8 << 20, Doc: "bytes of a snapshot in one message"}
)

// Knobs lists the tunables of this room.
func Knobs() []*env.Knob {
	return []*env.Knob{&knobTick, &knobCommitDelay, &knobHeartbeat, &knobElection, &knobMessage, &knobInflight, &knobUncommitted,
		&knobApply, &knobEntryCache, &knobRepropose, &knobLogSize, &knobLogKeep, &knobLogStale, &knobQuiesceAfter, &knobLease,
		&knobLeaseRenew, &knobLeaseEpoch, &knobMaxCommand, &knobSnapChunk}
}

// Tunables are the values in force, read once for a store: the hot path asks for
// them too often to look each up by name.
type Tunables struct {
	Tick, CommitDelay               time.Duration
	HeartbeatTicks, ElectionTicks   int
	MaxMessageBytes, MaxApplyBytes  int64
	MaxUncommittedBytes             int64
	MaxInflight                     int
	EntryCacheBytes                 int64
	ReproposeTicks                  int
	LogBytes, LogKeepFactor         int64
	LogStaleBytes                   int64
	QuiesceTicks                    int
	LeaseDuration, LeaseRenewBefore time.Duration // renewed when no more than this is left
	EpochLeases                     bool
	MaxCommandBytes                 int64
	SnapshotChunkBytes              int64
}

// ReadTunables reads the values in force.
func ReadTunables(p env.Process) *Tunables {
	t := &Tunables{
		Tick:                env.Duration(p, &knobTick),
		CommitDelay:         env.Duration(p, &knobCommitDelay),
		HeartbeatTicks:      int(p.Knob(&knobHeartbeat)),
		ElectionTicks:       int(p.Knob(&knobElection)),
		MaxMessageBytes:     p.Knob(&knobMessage),
		MaxApplyBytes:       p.Knob(&knobApply),
		MaxUncommittedBytes: p.Knob(&knobUncommitted),
		MaxInflight:         int(p.Knob(&knobInflight)),
		EntryCacheBytes:     p.Knob(&knobEntryCache),
		ReproposeTicks:      int(p.Knob(&knobRepropose)),
		LogBytes:            p.Knob(&knobLogSize),
		LogKeepFactor:       p.Knob(&knobLogKeep),
		LogStaleBytes:       p.Knob(&knobLogStale),
		QuiesceTicks:        int(p.Knob(&knobQuiesceAfter)),
		LeaseDuration:       env.Duration(p, &knobLease),
		EpochLeases:         p.Knob(&knobLeaseEpoch) == 1,
		MaxCommandBytes:     p.Knob(&knobMaxCommand),
		SnapshotChunkBytes:  p.Knob(&knobSnapChunk),
	}
	t.LeaseRenewBefore = t.LeaseDuration / 100 * time.Duration(p.Knob(&knobLeaseRenew))
	return t
}

// The rare points of this room.
const (
	probeAppendUnsynced    env.Probe = "replica: append written, before sync"
	probeAppliedUnacked    env.Probe = "replica: applied, before ack"
	probeEvaluated         env.Probe = "replica: evaluated, before proposing"
	probeLeaseMoved        env.Probe = "replica: lease moved between evaluation and proposal"
	probeReproposed        env.Probe = "replica: proposal proposed again"
	probeNewLeaseIndex     env.Probe = "replica: proposal given a new lease index"
	probeRejectedLease     env.Probe = "replica: command rejected, of another lease"
	probeRejectedIndex     env.Probe = "replica: command rejected, copy or overtaken"
	probeRejectedPrevious  env.Probe = "replica: lease request rejected, overtaken"
	probeAmbiguous         env.Probe = "replica: deadline passed with the proposal in flight"
	probeLeaseAcquired     env.Probe = "replica: lease acquired"
	probeLeaseExtended     env.Probe = "replica: lease extended"
	probeLeaseRevoked      env.Probe = "replica: lease revoked, before transfer"
	probeLeaseTransferred  env.Probe = "replica: lease transferred"
	probeLeaseStasis       env.Probe = "replica: request in the lease's stasis"
	probeLeaseProscribed   env.Probe = "replica: lease of an earlier incarnation found"
	probeLeaseTooShort     env.Probe = "replica: request beyond the lease"
	probeEpochEnding       env.Probe = "replica: epoch to be ended for a lease"
	probeEpochEnded        env.Probe = "replica: epoch ended, before the lease"
	probeLeadershipFollows env.Probe = "replica: leadership handed to the leaseholder"
	probeCampaign          env.Probe = "replica: campaign"
	probeForgetLeader      env.Probe = "replica: woke, leader dead"
	probeLogConflict       env.Probe = "replica: log tail replaced"
	probeTruncated         env.Probe = "replica: truncated log"
	probeTruncationHeld    env.Probe = "replica: truncation held until applied state is durable"
	probeQuiesced          env.Probe = "replica: quiesced"
	probeWoke              env.Probe = "replica: woke"
	probeSnapshotInstalled env.Probe = "replica: snapshot installed, before sync"
	probeSnapshotIgnored   env.Probe = "replica: snapshot ignored"
	probeClockBehindWrites env.Probe = "replica: clock found behind versions"
	probeAckedEarly        env.Probe = "replica: write acknowledged, before it is replicated"
	probeWriteForwarded    env.Probe = "replica: write moved above reads"
	probeForwarded         env.Probe = "replica: transaction moved up where it is evaluated"
	probeUncertain         env.Probe = "replica: read met an uncertain value"
	probePrevented         env.Probe = "replica: write prevented, since it was not found"
	probeAbortSpan         env.Probe = "replica: request of an aborted transaction"
	probeRecordRefused     env.Probe = "replica: transaction record refused"
	probeStaged            env.Probe = "replica: staged, before ack"
	probeStagingVoid       env.Probe = "replica: push of a staging that is void"
	probeRollbackStaging   env.Probe = "replica: rollback of what is staging"
	probeRecovered         env.Probe = "replica: staging transaction recovered"
	probeSplit             env.Probe = "replica: split applied, before anybody knows"
	probeMerge             env.Probe = "replica: merge applied, before anybody knows"
	probeSubsumed          env.Probe = "replica: frozen for a merge, before ack"
	probeFrozenByLease     env.Probe = "replica: frozen, since the lease came in the middle of a merge"
	probeFrozenWait        env.Probe = "replica: request waits for a merge"
	probeThawed            env.Probe = "replica: thawed, the merge is aborted"
	probeSubsumedBySnap    env.Probe = "replica: taken in by a snapshot"
	probeChanged           env.Probe = "replica: change of replicas applied, before consensus goes by it"
	probeJoint             env.Probe = "replica: joint configuration entered"
	probeStillborn         env.Probe = "replica: split without a right side, which was removed before"
	probeRemoved           env.Probe = "replica: removed, before anybody knows"
	probeOnePhase          env.Probe = "replica: committed in one phase"
)

// Probes lists the rare points of this room.
func Probes() []env.Probe {
	return []env.Probe{probeAppendUnsynced, probeAppliedUnacked, probeEvaluated, probeLeaseMoved, probeReproposed,
		probeNewLeaseIndex, probeRejectedLease, probeRejectedIndex, probeRejectedPrevious, probeAmbiguous,
		probeLeaseAcquired, probeLeaseExtended, probeLeaseRevoked, probeLeaseTransferred, probeLeaseStasis,
		probeLeaseProscribed, probeLeaseTooShort, probeEpochEnding, probeEpochEnded, probeLeadershipFollows, probeCampaign, probeForgetLeader, probeLogConflict,
		probeTruncated, probeTruncationHeld, probeQuiesced, probeWoke, probeSnapshotInstalled,
		probeSnapshotIgnored, probeClockBehindWrites, probeAckedEarly, probeWriteForwarded, probeForwarded,
		probeUncertain, probePrevented, probeAbortSpan, probeRecordRefused, probeStaged, probeStagingVoid,
		probeRollbackStaging, probeRecovered, probeOnePhase, probeSplit, probeMerge,
		probeSubsumed, probeFrozenByLease, probeFrozenWait, probeThawed, probeSubsumedBySnap,
		probeChanged, probeJoint, probeRemoved, probeStillborn}
}
