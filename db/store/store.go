package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"

	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// Transport carries what stores say to one another.
type Transport interface {
	// SendRaft sends a batch, which may be lost. The batch is not changed any more.
	SendRaft(to kv.NodeID, b *RaftBatch)
	// SendSnapshot sends a chunk and waits for the answer.
	SendSnapshot(t env.Task, to kv.NodeID, c *SnapshotChunk) (*SnapshotReply, error)
	// AwaitApplied asks a store whether its replica has applied something, and waits for
	// the answer.
	AwaitApplied(t env.Task, to kv.NodeID, q *AppliedRequest) (*AppliedReply, error)
	// CollectChecksum asks another store for a checksum, and waits for it.
	CollectChecksum(t env.Task, to kv.NodeID, q *ChecksumRequest) (*ChecksumReply, error)
	// Live reports whether a node is thought to be up.
	Live(n kv.NodeID) bool
}

// Config is what a store needs.
type Config struct {
	Env       env.Process
	Engine    *storage.Engine
	Clock     *hlc.Clock
	NodeID    kv.NodeID
	StoreID   kv.StoreID
	Transport Transport
	Observer  replica.Observer // may be nil
	// Sender reaches ranges wherever they are. It is asked about transactions once the
	// store has found any, hence not before Open has returned.
	Sender kv.Sender
	// DB is for the store's own transactions.
	DB *kv.DB
	// Cluster is what the node knows of others. Nil: nothing, and nothing is moved.
	Cluster ClusterView
	// Replicas is how many voters each range is to have. 0: nothing is moved.
	Replicas int
}

// Store is the replicas of one node, for one incarnation of its process.
type Store struct {
	cfg      Config
	replicas []*replica.Replica // in order of RangeID
	rcfg     replica.Config

	ready     []*replica.Replica // in line to be drained
	drainLine func()             // s.drain, bound once
	scheduled bool               // a drain is to come
	draining  bool
	outbox    []outgoing // by destination, in order of first use; its buffers are used again

	holders  []*replica.Replica // that have commit indexes to tell when tellLine runs
	tellLine func()             // s.tellCommits, bound once

	awake []*replica.Replica // who is ticked; quiescent ones are dropped in passing
	down  []kv.NodeID        // nodes that were down when somebody asked; sorted

	snapshots  snapshots
	txns       *Txns
	gc         gcQueue
	splits     splitQueue
	replicaGC  replicaGC
	changing   []kv.RangeID // whose replicas are being changed from here
	allocator  allocator
	loadSplits loadSplitQueue
	merges     mergeQueue
	checks     consistency
	tickTimer  env.Timer
	stopped    bool
	incarnated uint32
}

// outgoing is what is to be said to one node at the end of a drain.
type outgoing struct {
	to       kv.NodeID
	messages []replica.Message
}

var incarnationKey = keys.StoreKey("incarnation")

// Open finds all replicas that the engine holds and sets them going. It counts the
// incarnation, durably, before anything is proposed: identities of commands
// contain the number.
func Open(t env.Task, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, txns: newTxns(cfg.Env, cfg.NodeID, cfg.Sender)}
	s.drainLine, s.tellLine = s.drain, s.tellCommits
	if err := s.incarnate(t); err != nil {
		return nil, err
	}
	s.rcfg = replica.Config{
		Env: cfg.Env, Engine: cfg.Engine, Clock: cfg.Clock, NodeID: cfg.NodeID, StoreID: cfg.StoreID,
		Tunables: replica.ReadTunables(cfg.Env), Host: s, Observer: cfg.Observer,
		MinProposed: cfg.Clock.Now(),
		Requests: concurrency.Config{
			Env: cfg.Env, Clock: cfg.Clock, Node: cfg.NodeID, Tunables: concurrency.ReadTunables(cfg.Env), Transactions: s.txns,
		},
		NextID: replica.MakeCommandIDBase(cfg.NodeID, s.incarnated),
	}
	if cfg.Env.Knob(&knobAllocator) > 0 || cfg.Env.Knob(&knobSplitRequests) > 0 {
		s.rcfg.LoadWindow = env.Duration(cfg.Env, &knobLoadWindow)
	}
	s.snapshots.init(s)
	s.gc.init(s)
	s.splits.init(s)
	s.replicaGC.init(s)
	s.allocator.init(s)
	s.loadSplits.init(s)
	s.merges.init(s)
	s.checks.init(s)
	descs, err := Descriptors(cfg.Engine)
	if err != nil {
		return nil, err
	}
	for _, d := range descs {
		if _, ok := d.Replica(cfg.StoreID); !ok {
			continue
		}
		r, err := replica.Load(&s.rcfg, d)
		if err != nil {
			return nil, err
		}
		s.replicas = append(s.replicas, r)
		s.awake = append(s.awake, r)
	}
	slices.SortFunc(s.replicas, func(a, b *replica.Replica) int { return int(a.RangeID() - b.RangeID()) })
	s.armTick()
	return s, nil
}

// SetEpochs has leases hang on the epochs of nodes. Liveness is younger than the store,
// whose incarnation it tells others; this is called before anything else happens.
func (s *Store) SetEpochs(e replica.Epochs) { s.rcfg.Epochs = e }

func (s *Store) incarnate(t env.Task) error {
	v, _, err := s.cfg.Engine.Get(incarnationKey)
	if err != nil {
		return err
	}
	if len(v) == 4 {
		s.incarnated = binary.BigEndian.Uint32(v)
	}
	s.incarnated++
	var b storage.Batch
	b.Put(incarnationKey, binary.BigEndian.AppendUint32(nil, s.incarnated))
	var synced env.Promise[struct{}]
	s.cfg.Engine.Commit(&b, true, func() { synced.Resolve(struct{}{}, nil) })
	_, err = synced.Wait(t, "store: incarnation", -1)
	return err
}

// Send serves a batch at the replica that it names.
func (s *Store) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if err := ba.Validate(); err != nil {
		return kv.ErrorResponse(err)
	}
	if s.stopped {
		return kv.ErrorResponse(kv.Errorf(kv.NodeUnavailable, "n%d is stopping", s.cfg.NodeID))
	}
	r := s.Replica(ba.RangeID)
	if r == nil {
		err := kv.Errorf(kv.RangeNotFound, "s%d has no replica", s.cfg.StoreID)
		err.RangeID = ba.RangeID
		s.addNeighbours(ba, err) // it may have been taken in by one of them
		return kv.ErrorResponse(err)
	}
	br := r.Send(t, ba)
	if br.Err != nil && br.Err.Kind == kv.RangeKeyMismatch {
		s.addNeighbours(ba, br.Err)
	}
	return br
}

// addNeighbours tells whoever came to the wrong range of those that hold what it looked
// for, as far as they are here. After a split or a merge that is where they are, and the
// index may not say so for some time.
func (s *Store) addNeighbours(ba *kv.BatchRequest, err *kv.Error) {
	for _, r := range s.replicas {
		here := func(q kv.Request) bool {
			k, ok := keys.Addr(q.Span().Key)
			return ok && r.Desc().ContainsKey(k)
		}
		if slices.ContainsFunc(ba.Requests, here) && !slices.Contains(err.Descs, r.Desc()) {
			err.Descs = append(err.Descs, r.Desc())
		}
	}
}

// Replica is the replica of a range, or nil.
func (s *Store) Replica(id kv.RangeID) *replica.Replica {
	i := sort.Search(len(s.replicas), func(i int) bool { return s.replicas[i].RangeID() >= id })
	if i < len(s.replicas) && s.replicas[i].RangeID() == id {
		return s.replicas[i]
	}
	return nil
}

// Incarnation is how often a store has been opened on this disk, this time included.
func (s *Store) Incarnation() int64 { return int64(s.incarnated) }

// VisitReplicas calls fn for each replica in order of range, until it returns false.
func (s *Store) VisitReplicas(fn func(r *replica.Replica) bool) {
	for _, r := range s.replicas {
		if !fn(r) {
			return
		}
	}
}

// HandleRaft takes in what another node's replicas say.
func (s *Store) HandleRaft(b *RaftBatch) {
	if s.stopped {
		return
	}
	for i := range b.Messages {
		m := &b.Messages[i]
		if m.To.StoreID != s.cfg.StoreID {
			continue
		}
		r := s.Replica(m.RangeID)
		if r != nil && r.Self().ReplicaID < m.To.ReplicaID {
			s.succeed(r, m.To.ReplicaID)
			r = nil
		}
		switch {
		case r == nil:
			s.handleAbsent(m)
		case r.Self().ReplicaID == m.To.ReplicaID:
			r.Step(m)
		}
	}
}

// Ready implements replica.Host.
func (s *Store) Ready(r *replica.Replica) {
	if r.Queued() {
		return
	}
	r.Queue()
	s.ready = append(s.ready, r)
	s.schedule()
}

func (s *Store) schedule() {
	if !s.scheduled && !s.draining {
		s.scheduled = true
		s.cfg.Env.After(0, "store: drain", s.drainLine)
	}
}

// drain lets each replica in line do its work, then sends what they have to say.
func (s *Store) drain() {
	if s.stopped {
		return
	}
	s.scheduled, s.draining = false, true
	for i := 0; i < len(s.ready); i++ { // grows while it is worked off
		s.ready[i].Drain()
		s.ready[i] = nil
	}
	s.ready = s.ready[:0]
	s.draining = false
	for i := range s.outbox {
		o := &s.outbox[i]
		s.cfg.Env.Charge(env.ClassMessage, int64(len(o.messages)))
		s.cfg.Transport.SendRaft(o.to, newRaftBatch(s.cfg.NodeID, o.messages))
		clear(o.messages)
		o.messages = o.messages[:0]
	}
	s.outbox = s.outbox[:0]
}

// SendMessage implements replica.Host.
func (s *Store) SendMessage(m replica.Message) {
	to := m.To.NodeID
	for i := range s.outbox {
		if o := &s.outbox[i]; o.to == to {
			o.messages = append(o.messages, m)
			return
		}
	}
	n := len(s.outbox)
	if n == cap(s.outbox) {
		s.outbox = append(s.outbox, outgoing{})
	}
	s.outbox = s.outbox[:n+1]
	o := &s.outbox[n]
	o.to, o.messages = to, append(o.messages, m)
	s.schedule()
}

// Transactions settles what is open about the transactions that the store's ranges meet.
func (s *Store) Transactions() *Txns { return s.txns }

// TxnFinished implements replica.Host: see Txns.Finish.
func (s *Store) TxnFinished(_ *replica.Replica, txn *kv.Txn) { s.txns.Finish(txn) }

// HoldsCommits implements replica.Host.
func (s *Store) HoldsCommits(r *replica.Replica) {
	if s.holders = append(s.holders, r); len(s.holders) == 1 {
		s.cfg.Env.After(s.rcfg.Tunables.CommitDelay, "store: commits", s.tellLine)
	}
}

// tellCommits sends what replicas have held back. What goes to one node is one
// message.
func (s *Store) tellCommits() {
	if s.stopped {
		return
	}
	for _, r := range s.holders {
		r.TellCommits()
	}
	clear(s.holders)
	s.holders = s.holders[:0]
}

// Live implements replica.Host. It remembers who was down, to wake ranges that
// went to sleep without them.
func (s *Store) Live(n kv.NodeID) bool {
	if n == s.cfg.NodeID || s.cfg.Transport.Live(n) {
		return true
	}
	if i, found := slices.BinarySearch(s.down, n); !found {
		s.down = slices.Insert(s.down, i, n)
	}
	return false
}

// Woke implements replica.Host.
func (s *Store) Woke(r *replica.Replica) {
	if !slices.Contains(s.awake, r) { // it may have slept for less than a tick
		s.awake = append(s.awake, r)
	}
}

func (s *Store) armTick() {
	s.tickTimer = s.cfg.Env.After(s.rcfg.Tunables.Tick, "store: tick", s.tick)
}

func (s *Store) tick() {
	s.armTick()
	n := 0
	for _, r := range s.awake {
		if r.Quiesced() {
			continue
		}
		s.awake[n] = r
		n++
	}
	clear(s.awake[n:])
	s.awake = s.awake[:n]
	for _, r := range s.awake[:n] { // those that wake meanwhile begin with the next tick
		r.Tick()
	}
	s.wakeForReturned()
	s.snapshots.tick()
	s.gc.tick()
	s.splits.tick()
	s.replicaGC.tick()
	s.allocator.tick()
	s.loadSplits.tick()
	s.merges.tick()
	s.checks.tick()
}

// wakeForReturned wakes the ranges that may have left a node behind when they went
// to sleep, once it is back.
func (s *Store) wakeForReturned() {
	for i := 0; i < len(s.down); {
		n := s.down[i]
		if !s.cfg.Transport.Live(n) {
			i++
			continue
		}
		s.down = slices.Delete(s.down, i, i+1)
		s.cfg.Env.Probe(probeNodeBack)
		for _, r := range s.replicas {
			r.WakeFor(n)
		}
	}
}

// String lists the replicas, a line each.
func (s *Store) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "n%d,s%d incarnation %d: %d replicas, %d awake\n", s.cfg.NodeID, s.cfg.StoreID,
		s.incarnated, len(s.replicas), len(s.awake))
	for _, r := range s.replicas {
		fmt.Fprintf(&b, "  %s\n", r)
	}
	return b.String()
}

// Stop ends the store: nothing is ticked, drained or served any more.
func (s *Store) Stop() {
	s.stopped = true
	s.cfg.Env.Stop(s.tickTimer)
}
