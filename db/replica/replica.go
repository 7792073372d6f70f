package replica

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"simulacrum/db/codec"
	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// Config is what all replicas of one store share.
type Config struct {
	Env      env.Process
	Engine   *storage.Engine
	Clock    *hlc.Clock
	NodeID   kv.NodeID
	StoreID  kv.StoreID
	Tunables *Tunables
	Host     Host
	Observer Observer // may be nil
	// Epochs are the node's and those of others. Nil until the node knows, and in a store
	// without liveness: then no lease is of an epoch.
	Epochs Epochs
	// MinProposed is the clock's reading when this incarnation began. Leases that
	// were proposed before it are not used: what they promised about reads was
	// known only to the memory of an earlier incarnation.
	MinProposed hlc.Timestamp
	// LoadWindow is the time over which the load of replicas is counted; 0: it is not.
	LoadWindow time.Duration
	// Requests is what brings the requests of each range into an order.
	Requests concurrency.Config
	// NextID is the identity of the next command, increased with each.
	NextID CommandID

	batch storage.Batch // scratch: Commit copies what it is given
}

// Host is the store that a replica lives in.
type Host interface {
	// Ready puts the replica in line to be drained, once.
	Ready(r *Replica)
	// Send queues a message. It leaves at the end of the drain.
	SendMessage(m Message)
	// HoldsCommits has TellCommits called after the commit delay.
	HoldsCommits(r *Replica)
	// SendSnapshot starts sending the range's state to a replica, and calls
	// ReportSnapshot when that has ended.
	SendSnapshot(r *Replica, to kv.ReplicaDescriptor)
	// ComputeChecksum begins to compute a checksum of r's state as it is at this moment,
	// because the command of the given identity has applied.
	ComputeChecksum(r *Replica, id CommandID)
	// Live reports whether a node is thought to be up.
	Live(n kv.NodeID) bool
	// Woke is told that a replica is no longer quiescent and must be ticked.
	Woke(r *Replica)
	// TxnFinished is told of a transaction whose record in r became final by a command
	// that r evaluated. Its LockSpans are what is left to be resolved, beyond r; then
	// the record may be removed.
	TxnFinished(r *Replica, txn *kv.Txn)
	// Split divides the range of which r has the lease, at a key or, without one, where it
	// is most even. It returns where the right side begins, which may have been so before.
	Split(t env.Task, r *Replica, at keys.Key) (keys.Key, *kv.Error)
	// SplitApplied is told that left has been divided, and that right is there now.
	SplitApplied(left, right *Replica)
	// Merge has the range of which r has the lease take in its neighbour to the right, and
	// returns what it is then.
	Merge(t env.Task, r *Replica) (*kv.RangeDescriptor, *kv.Error)
	// MergeOutcome waits until it is known what has become of a merge of which r is the
	// right side. After an error it is not known.
	MergeOutcome(t env.Task, r *Replica, txn kv.TxnMeta) (committed bool, err *kv.Error)
	// MergeApplied is told that left has taken in what right holds, which is gone at once.
	MergeApplied(left, right *Replica)
	// Replica is the store's replica of a range, or nil.
	Replica(id kv.RangeID) *Replica
	// Overlapping are the store's replicas that hold any of a span, by their ranges' IDs.
	Overlapping(s keys.Span) []*Replica
	// ChangeReplicas brings the replicas of the range, of which r has the lease, to what
	// q says, and returns the descriptor after the last step.
	ChangeReplicas(t env.Task, r *Replica, q *kv.AdminChangeReplicasRequest) (*kv.RangeDescriptor, *kv.Error)
	// Suspect is told that r is said not to be in its range any more.
	Suspect(r *Replica)
	// Removed is told that r is gone, since its range has it no more.
	Removed(r *Replica)
}

// Observer looks on, for tests and invariants. It must not change anything nor
// keep what it is shown.
type Observer interface {
	// Applied is told each command when it has been applied or rejected.
	Applied(r *Replica, index uint64, c *Command, why Rejection)
	// LeaseApplied is told each lease command that applied, extensions included.
	LeaseApplied(r *Replica, prev, next kv.Lease)
	// LeaderChanged is told whom a replica takes for the leader (0: nobody).
	LeaderChanged(r *Replica, term uint64, leader kv.ReplicaID)
	// Served is told each read-only batch within span that was answered at ts under the
	// lease of the given sequence.
	Served(r *Replica, span keys.Span, ts hlc.Timestamp, sequence int64)
	// SnapshotApplied is told that the whole state was replaced.
	SnapshotApplied(r *Replica, index uint64)
	// SplitApplied is told that left has been divided, and that right is there now.
	SplitApplied(left, right *Replica)
	// MergeApplied is told that left holds what right held, which is about to be gone.
	MergeApplied(left, right *Replica)
}

// Replica is one replica of one range.
type Replica struct {
	cfg     *Config
	engine  *storage.Engine
	rangeID kv.RangeID
	self    kv.ReplicaDescriptor

	rn   *raft.RawNode
	log  raftLog
	hard raftpb.HardState // as last handed to the engine or the library
	// state is what has been applied. In memory it changes together with the
	// engine's, in the callback that applies.
	state State

	// What the library last reported of itself.
	role   raft.StateType
	term   uint64
	leader kv.ReplicaID

	election election
	queued   bool // in the store's line for Drain
	// ackedEarly says that a write was acknowledged whose entry has not left yet: a
	// process that dies now has promised what nobody else will ever hear of.
	ackedEarly bool
	quiesced   bool // see quiesce.go
	ticks      int  // since start
	lastUse    int  // ticks at the last request
	gone       bool // see gone.go
	removed    bool // gone because the range has it no more
	// newcomers are those who have spoken to r and are not in its descriptor yet.
	newcomers []kv.ReplicaDescriptor
	newborn   bool // begun by a split at the leader, and without a leader so far

	// appends are the log writes that are not synced yet, oldest first.
	appends []*appendWork
	spare   []*appendWork

	// held are messages that wait to be sent with others; see hold. holding: the
	// store has been asked to come for them.
	held    []raftpb.Message
	holding bool

	proposals proposals
	lease     leaseKeeper
	requests  *concurrency.Sequencer
	// reads is what was read under the own lease. Nil while r has none.
	reads *concurrency.TimestampCache
	// frozen: the range is the right side of a merge, and serves nothing. Nil: it serves.
	frozen *freeze
	// observable is the reading below which this node's clock says nothing about values
	// here: a part of the range was in the charge of others until then, though the lease is
	// older.
	observable hlc.Timestamp
	sample     *keySample // nil: requests are not sampled
	// truncations are log truncations that were applied and may not be enacted yet.
	truncations []truncation
	dropStaleAt int64 // bytes of log below which dropStale need not look again
	// incoming is the snapshot that is being stepped into the library.
	incoming *Snapshot

	load load

	effects []effect // scratch of apply
	scratch []byte
}

// Load makes the replica that the engine's content describes. An error means that
// the content is corrupt or lacks what was once synced.
func Load(cfg *Config, desc *kv.RangeDescriptor) (*Replica, error) {
	r := &Replica{cfg: cfg, engine: cfg.Engine, rangeID: desc.RangeID, requests: concurrency.NewSequencer(&cfg.Requests)}
	v, ok, err := r.engine.Get(keys.ReplicaIDKey(r.rangeID))
	if err != nil {
		return nil, err
	}
	rd := codec.MakeReader(v)
	id := kv.ReplicaID(rd.Varint())
	if err := rd.Done(); err != nil || !ok {
		return nil, fmt.Errorf("replica: r%d: no replica ID: %w", r.rangeID, err)
	}
	if r.self, ok = desc.ReplicaByID(id); !ok {
		return nil, fmt.Errorf("replica: r%d: replica %d is not in %s", r.rangeID, id, desc)
	}
	r.state.Desc = desc
	if err := r.state.load(r.engine, r.rangeID); err != nil {
		return nil, err
	}
	r.requests.OnLeaseChanged(r.state.Lease.Sequence)
	r.log.init(r, cfg.Tunables.EntryCacheBytes)
	if err := r.log.load(); err != nil {
		return nil, err
	}
	if err := r.loadHardState(); err != nil {
		return nil, err
	}
	if err := r.start(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Replica) loadHardState() error {
	v, ok, err := r.engine.Get(keys.HardStateKey(r.rangeID))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("replica: r%d: no hard state", r.rangeID)
	}
	if r.hard, err = decodeHardState(v); err != nil {
		return err
	}
	r.hard.Commit = max(r.hard.Commit, r.state.AppliedIndex)
	if r.hard.Commit > r.log.last.index || r.log.truncated.index > r.state.AppliedIndex {
		// What was acknowledged is gone. To vote or acknowledge again would be to
		// break promises that cannot be recalled.
		return fmt.Errorf("replica: r%d: committed to %d and applied to %d, but the log is %s",
			r.rangeID, r.hard.Commit, r.state.AppliedIndex, &r.log)
	}
	return nil
}

func (r *Replica) start() error {
	t := r.cfg.Tunables
	rn, err := raft.NewRawNode(&raft.Config{
		ID:                        uint64(r.self.ReplicaID),
		ElectionTick:              t.ElectionTicks,
		HeartbeatTick:             t.HeartbeatTicks,
		Storage:                   &r.log,
		Applied:                   r.state.AppliedIndex,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             uint64(t.MaxMessageBytes),
		MaxCommittedSizePerReady:  uint64(t.MaxApplyBytes),
		MaxUncommittedEntriesSize: uint64(t.MaxUncommittedBytes),
		MaxInflightMsgs:           t.MaxInflight,
		CheckQuorum:               true,
		PreVote:                   true,
		Logger:                    (*raftLogger)(r),
		DisableProposalForwarding: true,
		// A change is evaluated under the latch of the descriptor, against what has
		// applied: no two are under way. What the library would check knows less, and
		// makes of a change that it does not like an entry that says nothing.
		DisableConfChangeValidation: true,
		StepDownOnRemoval:           true,
	})
	if err != nil {
		return err
	}
	r.rn = rn
	r.term = r.hard.Term
	r.election.rand = r.cfg.Env.Rand(fmt.Sprintf("raft/r%d/election", r.rangeID))
	r.rearm(true)
	return nil
}

// RangeID is the range that r is a replica of.
func (r *Replica) RangeID() kv.RangeID { return r.rangeID }

// Self is r's own place in the range.
func (r *Replica) Self() kv.ReplicaDescriptor { return r.self }

// Desc is the range's descriptor as applied.
func (r *Replica) Desc() *kv.RangeDescriptor { return r.state.Desc }

// State is what has been applied. The caller must not change it.
func (r *Replica) State() *State { return &r.state }

// Leader is the replica that r takes for the leader (0: nobody), and its term.
func (r *Replica) Leader() (kv.ReplicaID, uint64) { return r.leader, r.term }

// IsLeader reports whether r takes itself for the leader.
func (r *Replica) IsLeader() bool { return r.role == raft.StateLeader }

// Quiesced reports whether r sleeps.
func (r *Replica) Quiesced() bool { return r.quiesced }

// Requests is what requests pass before they are evaluated: latches, locks and those who
// wait. It is for looking at.
func (r *Replica) Requests() *concurrency.Sequencer { return r.requests }

// Pending is the number of proposals whose fate is open.
func (r *Replica) Pending() int { return len(r.proposals.pending) }

// LogBounds are the indexes of the entry before the first of the log and of the
// last one.
func (r *Replica) LogBounds() (truncated, last uint64) {
	return r.log.truncated.index, r.log.last.index
}

// String prints the replica on one line.
func (r *Replica) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "r%d/%d %s term %d leader %d", r.rangeID, r.self.ReplicaID, roleName(r.role), r.term, r.leader)
	if r.quiesced {
		b.WriteString(" quiesced")
	}
	fmt.Fprintf(&b, ", %s, commit %d, %s", &r.log, r.hard.Commit, &r.state)
	if n := len(r.proposals.pending); n > 0 {
		fmt.Fprintf(&b, ", %d pending", n)
	}
	return b.String()
}

// ProgressString prints what a leader knows of the others, a line each.
func (r *Replica) ProgressString() string {
	var b strings.Builder
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		fmt.Fprintf(&b, "%d: %s match %d next %d pending snapshot %d active %t\n", id, p.State, p.Match, p.Next, p.PendingSnapshot, p.RecentActive)
	})
	return b.String()
}

func roleName(s raft.StateType) string {
	switch s {
	case raft.StateLeader:
		return "leader"
	case raft.StateCandidate:
		return "candidate"
	case raft.StatePreCandidate:
		return "pre-candidate"
	}
	return "follower"
}

// election decides when a replica that hears of no leader campaigns. The library's
// own timer is not used, since it draws from a global and secret source.
type election struct {
	rand    *rand.Rand
	elapsed int       // ticks since the last sign of a leader
	target  int       // ticks at which to act; more than the library's election ticks
	timer   env.Timer // the last fraction of a tick, when the target is reached
}
