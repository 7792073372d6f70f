package invariants

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"simulacrum/checker"
	"simulacrum/cluster"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim"
)

// Watcher is a replica.Observer that remembers what must agree. It belongs to one
// simulation.
type Watcher struct {
	cluster *cluster.Cluster
	ranges  map[kv.RangeID]*rangeLog // looked up only; order is that of list
	list    []*rangeLog
	ledger  *ledger
	space   keyspace
	epochs  epochs

	// ClocksWithin says whether clocks are within max_offset at present: only then
	// may two replicas not believe at one moment that they hold the lease.
	ClocksWithin func() bool

	deadlocks deadlocks
	problems  []string
	suppress  int // problems beyond maxProblems
	commands  int64
	replays   int64 // applications compared with an earlier one of the same entry
	leases    int64
	transfers int64
	served    int64
	byEpoch   int64 // reads that were held against the records of liveness
	overlaps  int64 // moments at which two replicas were compared for a valid lease
	sums      int64 // pairs of replicas compared byte by byte
	truncated int64
	snapshots int64
	splits    int64
	merges    int64
	tiled     int64 // moments at which all descriptors were looked at
	indexed   int64 // entries of the index that were compared with descriptors
	rejected  [8]int64
	movements []Movement
	checked   int64 // comparisons of replicas by the database itself
}

// maxProblems bounds what is remembered in words.
const maxProblems = 20

// rangeLog is what is known of one range.
type rangeLog struct {
	id    kv.RangeID
	first uint64 // index of entries[0]
	// entries hold a digest of each command and its fate; 0: not seen.
	entries []uint64
	// leases in the order of the log, one for each sequence; extensions move the
	// expiration of the last.
	leases   []leaseSpan
	versions []checker.Version
	// into is the range that has taken this one in; 0: none.
	into kv.RangeID
}

// leaseSpan is one lease and what was served under it.
type leaseSpan struct {
	kv.Lease
	transfer  bool
	maxServed hlc.Timestamp
	servedBy  string
	servedAt  keys.Span // of the read at maxServed
	maxWrite  hlc.Timestamp
	maxLocal  hlc.Timestamp // clock of its holder, where a version says when it was written
	// readBefore is up to where its predecessor says that it has served reads.
	readBefore hlc.Timestamp
}

var _ replica.Observer = (*Watcher)(nil)

// New returns a watcher, to be given to cluster.New as its Observer and then to
// Attach.
func New() *Watcher {
	return &Watcher{ranges: map[kv.RangeID]*rangeLog{}, ledger: newLedger(), epochs: newEpochs(), ClocksWithin: func() bool { return true }}
}

// Attach tells the watcher whom it watches.
func (w *Watcher) Attach(c *cluster.Cluster) { w.cluster, w.space = c, newKeyspace(c.Ranges()) }

func (w *Watcher) rangeLog(id kv.RangeID) *rangeLog {
	if l, ok := w.ranges[id]; ok {
		return l
	}
	l := &rangeLog{id: id}
	w.ranges[id] = l
	w.list = append(w.list, l)
	return l
}

func (w *Watcher) problem(format string, args ...any) {
	if len(w.problems) == maxProblems {
		w.suppress++
		return
	}
	at, event := sim.Time(0), uint64(0)
	if w.cluster != nil {
		at, event = w.cluster.Sim().Now(), w.cluster.Sim().Events()
	}
	w.problems = append(w.problems, fmt.Sprintf("%s event %d: ", at, event)+fmt.Sprintf(format, args...))
}

// Applied implements replica.Observer: every replica that applies an index must
// find the same command there and come to the same judgement.
func (w *Watcher) Applied(r *replica.Replica, index uint64, c *replica.Command, why replica.Rejection) {
	l := w.rangeLog(r.RangeID())
	if l.first == 0 {
		l.first = index
	}
	if index < l.first { // a replica that lags behind the first that was seen
		l.entries = slices.Insert(l.entries, 0, make([]uint64, l.first-index)...)
		l.first = index
	}
	i := index - l.first
	for uint64(len(l.entries)) <= i {
		l.entries = append(l.entries, 0)
	}
	digest := digestOf(c, why)
	switch old := l.entries[i]; {
	case old == 0:
		l.entries[i] = digest
		w.commands++
		w.rejected[why]++
		w.firstApplied(l, r, c, why)
	case old != digest:
		w.problem("r%d: replica %s at index %d judged %s as %q, unlike another replica before it", l.id, r.Self(), index, c, why)
	default:
		w.replays++
	}
}

// digestOf is a hash of a command and its fate, never 0.
func digestOf(c *replica.Command, why replica.Rejection) uint64 {
	h := xxhash.Sum64(c.Batch) ^ uint64(c.ID)*0x9e3779b97f4a7c15 ^ uint64(c.Kind)<<56 ^ uint64(why)<<48
	h ^= uint64(c.LeaseSequence)<<32 ^ c.MaxLeaseIndex ^ uint64(c.WriteTS.Wall)
	h ^= uint64(c.Lease.Next.Expiration.Wall)<<1 ^ uint64(c.Lease.Next.Epoch)<<32 ^ uint64(c.TruncateTo)
	return h | 1
}

// firstApplied looks at a command the first time that any replica applies it.
func (w *Watcher) firstApplied(l *rangeLog, r *replica.Replica, c *replica.Command, why replica.Rejection) {
	if why != replica.Applied {
		return
	}
	switch c.Kind {
	case replica.KindLease:
		w.lease(l, c)
	case replica.KindTruncate:
		w.truncated++
	case replica.KindWrite:
		w.write(l, r, c)
	case replica.KindSplit:
		w.write(l, r, c)
		w.split(l, c.Split)
	case replica.KindMerge:
		w.write(l, r, c)
		w.merge(l, c.Merge)
	case replica.KindChange:
		w.write(l, r, c)
		w.held(w.space.change(c.Change))
	}
}

// write collects the versions that a command commits, and holds its timestamp
// against the lease in force.
func (w *Watcher) write(l *rangeLog, r *replica.Replica, c *replica.Command) {
	if l.into != 0 {
		w.problem("r%d: %s applied after r%d has taken the range in", l.id, c, l.into)
	}
	if n := len(l.leases); n > 0 {
		cur := &l.leases[n-1]
		cur.maxWrite = cur.maxWrite.Forward(c.WriteTS)
		if c.LeaseSequence != cur.Sequence {
			w.problem("r%d: a command evaluated under lease #%d applied under lease %s", l.id, c.LeaseSequence, cur.Lease)
		}
		if c.WriteTS.Less(cur.Start) {
			w.problem("r%d: a write at %s applied under lease %s, which begins later", l.id, c.WriteTS, cur.Lease)
		}
	} else {
		w.problem("r%d: a write at %s applied before there was any lease", l.id, c.WriteTS)
	}
	var err error
	if l.versions, err = w.ledger.apply(c.Batch, l.versions); err != nil {
		w.problem("r%d: replica %s applied a batch that makes no sense: %v", l.id, r.Self(), err)
	}
	if d := r.Desc(); d.StartKey.Less(keys.ClientStart) {
		if err := w.epochs.apply(c.Batch); err != nil {
			w.problem("r%d: liveness records: %v", l.id, err)
		}
	}
	if n := len(l.leases); n > 0 {
		l.leases[n-1].maxLocal = l.leases[n-1].maxLocal.Forward(w.ledger.local)
	}
}

// LeaderChanged implements replica.Observer.
func (w *Watcher) LeaderChanged(*replica.Replica, uint64, kv.ReplicaID) {}

// SnapshotApplied implements replica.Observer.
func (w *Watcher) SnapshotApplied(*replica.Replica, uint64) { w.snapshots++ }

// split begins the right side with the leases of the left one.
func (w *Watcher) split(l *rangeLog, s *replica.Split) {
	w.splits++
	w.held(w.space.split(&s.Left, &s.Right))
	right := w.rangeLog(s.Right.RangeID)
	if len(right.leases) > 0 || len(right.entries) > 0 {
		w.problem("r%d: begins by a split of r%d, and has begun before", right.id, l.id)
		return
	}
	for i, lease := range l.leases {
		l.leases[i] = lease.within(s.Left.Span())
		right.leases = append(right.leases, lease.within(s.Right.Span()))
	}
}

// merge ends the right side. What was read there counts as read under the lease of the
// left side from now on: whoever has the next one knows of that alone.
func (w *Watcher) merge(l *rangeLog, m *replica.Merge) {
	w.merges++
	w.held(w.space.merge(&m.Left, &m.Right))
	right := w.rangeLog(m.Right.RangeID)
	right.into = l.id
	if n, k := len(l.leases), len(right.leases); n > 0 && k > 0 {
		for i := range right.leases {
			if s := &right.leases[i]; s.servedBy != "" && l.leases[n-1].maxServed.Less(s.maxServed) {
				l.leases[n-1].maxServed, l.leases[n-1].servedBy, l.leases[n-1].servedAt = s.maxServed, s.servedBy, s.servedAt
			}
		}
	}
}

// MergeApplied implements replica.Observer: see merge, which looks at each once.
func (w *Watcher) MergeApplied(*replica.Replica, *replica.Replica) {}

// SplitApplied implements replica.Observer: see split, which looks at each once.
func (w *Watcher) SplitApplied(*replica.Replica, *replica.Replica) {}

// Versions are all that any replica applied and that were committed, range by range.
// Those of intents that nobody has resolved are not among them, though their
// transactions may be committed; the verdict counts them.
func (w *Watcher) Versions() []checker.Version {
	var all []checker.Version
	for _, l := range w.list {
		all = append(all, l.versions...)
	}
	return all
}

// Verdicts sums up. Without any commands, or comparisons, it is vacuous.
func (w *Watcher) Verdicts() []checker.Verdict {
	v := checker.Verdict{Check: "invariants", Valid: checker.OK, Counts: []checker.Count{
		{Name: "commands", N: w.commands},
		{Name: "rejected", N: w.commands - w.rejected[replica.Applied]},
		{Name: "applications compared", N: w.replays},
		{Name: "leases", N: w.leases},
		{Name: "transfers", N: w.transfers},
		{Name: "reads held against leases", N: w.served},
		{Name: "reads held against epochs", N: w.byEpoch},
		{Name: "replicas compared", N: w.sums},
		{Name: "truncations", N: w.truncated},
		{Name: "snapshots", N: w.snapshots},
		{Name: "splits", N: w.splits},
		{Name: "merges", N: w.merges},
		{Name: "looks at all descriptors", N: w.tiled},
		{Name: "ranges compared by the consistency queue", N: w.checked},
		{Name: "entries of the index compared", N: w.indexed},
		{Name: "intents never resolved", N: int64(len(w.ledger.provisional))},
	}}
	v.Details = append(v.Details, w.problems...)
	if w.suppress > 0 {
		v.Details = append(v.Details, fmt.Sprintf("%d further problems are not shown.", w.suppress))
	}
	switch {
	case len(w.problems) > 0:
		v.Valid = checker.Violation
		v.Summary = w.problems[0]
	case w.commands == 0 || w.replays == 0 || w.sums == 0 || w.served == 0:
		v.Valid = checker.Vacuous
		v.Summary = "too little happened to look at"
	default:
		v.Summary = fmt.Sprintf("logs, leases and contents of replicas agree: %d commands, %d leases, %d comparisons of whole replicas", w.commands, w.leases, w.sums)
	}
	return []checker.Verdict{v}
}

// RangeEvents counts what happened to ranges, by kind, the kinds always in one order.
func (w *Watcher) RangeEvents() []checker.Count {
	c := &w.space.changes
	return []checker.Count{
		{Name: "splits", N: w.splits}, {Name: "merges", N: w.merges},
		{Name: "changes of replicas", N: c.steps}, {Name: "joint configurations", N: c.joint},
		{Name: "replicas added", N: c.added}, {Name: "voters removed", N: c.voters},
		{Name: "lease transfers", N: w.transfers}, {Name: "snapshots", N: w.snapshots}, {Name: "truncations", N: w.truncated},
	}
}

// LeaseApplied implements replica.Observer. Leases are looked at in Applied, where
// the command says whether it is a transfer.
func (w *Watcher) LeaseApplied(*replica.Replica, kv.Lease, kv.Lease) {}
