package kv

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// TxnID is the identity of a transaction; the zero one is none.
type TxnID = keys.TxnID

// TxnMeta is what an intent, or a lock, tells of the transaction that it belongs to.
type TxnMeta struct {
	ID TxnID
	// Key is the anchor, the first key that was locked: the record is addressed by it.
	// Nil until there is one, and then the same for ever.
	Key keys.Key
	// Epoch counts restarts under the same ID. Intents of lower epochs are void.
	Epoch int32
	// WriteTS is the provisional commit timestamp. It only grows within one epoch.
	WriteTS hlc.Timestamp
	// MinTS is the lowest timestamp that the transaction may ever commit at: when it
	// began. No record may be created once a marker at or above it stands.
	MinTS hlc.Timestamp
	// Priority decides who is aborted when two wait for each other; ties by ID.
	Priority int32
	// Sequence is that of the request, or of the write, at hand. It grows by one with
	// each write, and begins anew with each epoch.
	Sequence int32
}

// Bounds of priorities. One of MaxPriority is never pushed by lower ones, and one of
// MinPriority is pushed by all higher ones, without a wait.
const (
	MinPriority int32 = 0
	MaxPriority int32 = 1<<31 - 1
)

// TxnStatus is the state of a transaction's record.
type TxnStatus uint8

// The states. A record that is Committed or Aborted never changes again.
const (
	Pending   TxnStatus = iota
	Staging             // committed, if each write in flight turns out to have succeeded
	Committed           // explicitly
	Aborted
	numTxnStatuses
)

var txnStatusNames = [numTxnStatuses]string{"pending", "staging", "committed", "aborted"}

// String is the state's name.
func (s TxnStatus) String() string {
	if s < numTxnStatuses {
		return txnStatusNames[s]
	}
	return "unknown status"
}

// Finalized reports that the state is final.
func (s TxnStatus) Finalized() bool { return s == Committed || s == Aborted }

// ObservedTimestamp is a reading of a node's clock, taken when the transaction first
// visited it. What the node's leaseholders wrote later is no uncertainty.
type ObservedTimestamp struct {
	NodeID NodeID
	TS     hlc.Timestamp
}

// SequencedWrite names a write of a transaction's present epoch.
type SequencedWrite struct {
	Key      keys.Key
	Sequence int32
}

// SeqRange is a range of sequence numbers, both ends included.
type SeqRange struct{ Start, End int32 }

// Txn is a transaction as its coordinator describes it to those it asks, as they
// answer, and as its record keeps it. It is immutable once sent.
type Txn struct {
	TxnMeta
	Name   string // for people
	Status TxnStatus

	// ReadTS is that of the snapshot that the transaction reads. It must equal WriteTS
	// when it commits.
	ReadTS hlc.Timestamp
	// GlobalLimit ends the uncertainty interval, which begins at ReadTS: whatever was
	// committed above it was committed, in real time, after the transaction began.
	// It does not move when the transaction restarts.
	GlobalLimit hlc.Timestamp
	// LastHeartbeat is when the coordinator was last known to be alive, by its clock.
	LastHeartbeat hlc.Timestamp
	// Observed are clock readings, by ascending NodeID.
	Observed []ObservedTimestamp

	// InFlight are the writes of a record that is Staging that need proof.
	InFlight []SequencedWrite
	// LockSpans are, in the record of an ended transaction, the locks to be resolved.
	LockSpans []keys.Span
	// IgnoredSeqs are the writes that were rolled back with a savepoint: ascending,
	// apart from each other.
	IgnoredSeqs []SeqRange

	// ReadTSFixed says that the client chose ReadTS, or has depended on it: the
	// transaction must not be refreshed to another.
	ReadTSFixed bool
	// CommitWait says that the transaction ends only when every clock of the cluster
	// has passed its commit timestamp, so that order in real time holds across keys.
	CommitWait bool
}

// NewTxn is a transaction that begins at ts, which is not certain of what others
// wrote up to limit.
func NewTxn(id TxnID, name string, priority int32, ts, limit hlc.Timestamp) *Txn {
	return &Txn{
		TxnMeta: TxnMeta{ID: id, WriteTS: ts, MinTS: ts, Priority: priority},
		Name:    name, ReadTS: ts, GlobalLimit: limit, LastHeartbeat: ts,
	}
}

// Clone returns a copy that shares only what is immutable.
func (t *Txn) Clone() *Txn {
	if t == nil {
		return nil
	}
	c := *t
	c.Observed = slices.Clone(t.Observed)
	c.InFlight = slices.Clone(t.InFlight)
	c.LockSpans = slices.Clone(t.LockSpans)
	c.IgnoredSeqs = slices.Clone(t.IgnoredSeqs)
	return &c
}

// IsLocking reports that the transaction has locked something, or is about to.
func (t *Txn) IsLocking() bool { return len(t.Key) > 0 }

// LastActive is when the coordinator was last known to be alive.
func (t *Txn) LastActive() hlc.Timestamp { return t.LastHeartbeat.Forward(t.MinTS) }

// Update merges what somebody else knows of the same transaction. Nothing goes back:
// the higher epoch wins, timestamps and priorities grow, a final status stays. The
// lists of writes, which only the coordinator knows, are taken over with an advance
// of the status, and are otherwise left alone.
func (t *Txn) Update(from *Txn) {
	if from == nil || from.ID != t.ID {
		return
	}
	if len(t.Key) == 0 {
		t.Key = from.Key
	}
	switch {
	case from.Epoch > t.Epoch && !t.Status.Finalized():
		t.Epoch, t.Status, t.Sequence = from.Epoch, from.Status, from.Sequence
		t.WriteTS, t.ReadTS, t.ReadTSFixed = t.WriteTS.Forward(from.WriteTS), from.ReadTS, from.ReadTSFixed
		t.InFlight, t.LockSpans, t.IgnoredSeqs = from.InFlight, from.LockSpans, from.IgnoredSeqs
	case from.Epoch == t.Epoch:
		t.updateEpoch(from)
	case from.Status == Aborted && t.Status != Committed:
		t.Status = Aborted // of whatever epoch: the transaction is no more
	}
	t.WriteTS = t.WriteTS.Forward(from.WriteTS)
	t.Priority = max(t.Priority, from.Priority)
	t.LastHeartbeat = t.LastHeartbeat.Forward(from.LastHeartbeat)
	t.GlobalLimit = t.GlobalLimit.Forward(from.GlobalLimit)
	t.MinTS = mergeMin(t.MinTS, from.MinTS)
	t.CommitWait = t.CommitWait || from.CommitWait
	for _, o := range from.Observed {
		t.Observe(o.NodeID, o.TS)
	}
}

func (t *Txn) updateEpoch(from *Txn) {
	if from.Status > t.Status && !t.Status.Finalized() {
		t.Status = from.Status
		if from.Status != Aborted {
			t.InFlight, t.LockSpans, t.IgnoredSeqs = from.InFlight, from.LockSpans, from.IgnoredSeqs
		}
	}
	t.ReadTS = t.ReadTS.Forward(from.ReadTS)
	t.Sequence = max(t.Sequence, from.Sequence)
	t.ReadTSFixed = t.ReadTSFixed || from.ReadTSFixed
}

// mergeMin is the lower of two timestamps, of which an empty one says nothing.
func mergeMin(a, b hlc.Timestamp) hlc.Timestamp {
	if a.IsEmpty() || !b.IsEmpty() && b.Less(a) {
		return b
	}
	return a
}

// Restart begins the next epoch, at ts or above, and at the given priority or above.
// What was read, written or rolled back before is void; locks are kept in mind by
// the coordinator, not here. The uncertainty interval keeps its end.
func (t *Txn) Restart(priority int32, ts hlc.Timestamp) {
	t.Epoch++
	t.WriteTS = t.WriteTS.Forward(ts)
	t.ReadTS = t.WriteTS
	t.Priority = max(t.Priority, priority)
	t.Status, t.Sequence = Pending, 0
	t.InFlight, t.LockSpans, t.IgnoredSeqs = nil, nil, nil
	t.ReadTSFixed = false
}

// Refreshed moves the read timestamp up, to ts, to which everything that was read
// was found to be unchanged.
func (t *Txn) Refreshed(ts hlc.Timestamp) {
	t.WriteTS = t.WriteTS.Forward(ts)
	t.ReadTS = t.ReadTS.Forward(t.WriteTS)
}

// Observe notes a reading of a node's clock, unless a lower one is known.
func (t *Txn) Observe(node NodeID, ts hlc.Timestamp) {
	i, found := t.observed(node)
	if !found {
		t.Observed = slices.Insert(slices.Clone(t.Observed), i, ObservedTimestamp{node, ts})
	} else if ts.Less(t.Observed[i].TS) {
		t.Observed = slices.Clone(t.Observed)
		t.Observed[i].TS = ts
	}
}

// ObservedAt is the reading of the node's clock, if one was taken.
func (t *Txn) ObservedAt(node NodeID) (hlc.Timestamp, bool) {
	if i, found := t.observed(node); found {
		return t.Observed[i].TS, true
	}
	return hlc.Timestamp{}, false
}

func (t *Txn) observed(node NodeID) (int, bool) {
	return slices.BinarySearchFunc(t.Observed, node, func(o ObservedTimestamp, n NodeID) int { return int(o.NodeID) - int(n) })
}

// SeqIgnored reports that the write of that number was rolled back.
func (t *Txn) SeqIgnored(seq int32) bool { return SeqIgnored(t.IgnoredSeqs, seq) }

// SeqIgnored reports that one of the ranges, which ascend, holds seq.
func SeqIgnored(ranges []SeqRange, seq int32) bool {
	for _, r := range ranges {
		if seq < r.Start {
			return false
		}
		if seq <= r.End {
			return true
		}
	}
	return false
}

// AddIgnored adds the range to those given, which ascend and end below r's end. The
// result is new, since the old one may have been sent.
func AddIgnored(ranges []SeqRange, r SeqRange) []SeqRange {
	n := len(ranges)
	for n > 0 && ranges[n-1].End >= r.Start-1 {
		r.Start = min(r.Start, ranges[n-1].Start)
		r.End = max(r.End, ranges[n-1].End)
		n--
	}
	return append(slices.Clone(ranges[:n]), r)
}

// FormatTxnID prints the first bytes of an ID, enough to tell apart those of a test.
func FormatTxnID(id TxnID) string { return fmt.Sprintf("%x", id[:4]) }

// String prints the meta for reading.
func (m TxnMeta) String() string {
	return fmt.Sprintf("%s key=%s epoch=%d seq=%d ts=%s min=%s prio=%d", FormatTxnID(m.ID), m.Key, m.Epoch, m.Sequence, m.WriteTS, m.MinTS, m.Priority)
}

// String prints the transaction for reading.
func (t *Txn) String() string {
	var b strings.Builder
	if t.Name != "" {
		fmt.Fprintf(&b, "%q ", t.Name)
	}
	fmt.Fprintf(&b, "%s %s read=%s limit=%s", t.TxnMeta, t.Status, t.ReadTS, t.GlobalLimit)
	if len(t.InFlight) > 0 {
		fmt.Fprintf(&b, " in flight %d", len(t.InFlight))
	}
	for _, r := range t.IgnoredSeqs {
		fmt.Fprintf(&b, " without %d-%d", r.Start, r.End)
	}
	if t.ReadTSFixed {
		b.WriteString(" fixed")
	}
	return b.String()
}
