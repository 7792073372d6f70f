package store

import (
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

func (r *rules) heartbeat() *kv.HeartbeatTxnRequest {
	return &kv.HeartbeatTxnRequest{Key: key("a"), Now: r.now()}
}

// pushTo and pushAway push a transaction, as it was last seen, by force.
func pushTo(txn *kv.Txn, ts hlc.Timestamp) *kv.PushTxnRequest {
	return &kv.PushTxnRequest{Key: key("a"), Pushee: txn.TxnMeta, Type: kv.PushTimestamp, PushTo: ts, Force: true}
}

func pushAway(txn *kv.Txn) *kv.PushTxnRequest {
	return &kv.PushTxnRequest{Key: key("a"), Pushee: txn.TxnMeta, Type: kv.PushAbort, Force: true}
}

// pushee is what a push has made of its pushee.
func (r *rules) pushee(q *kv.PushTxnRequest) kv.Txn {
	r.t.Helper()
	return r.ok(nil, q).Responses[0].(*kv.PushTxnResponse).Pushee
}

// record is what a query tells, and whether there is a record.
func (r *rules) record(txn *kv.Txn) (kv.Txn, bool) {
	r.t.Helper()
	q := r.ok(nil, &kv.QueryTxnRequest{Key: key("a"), Txn: txn.TxnMeta}).Responses[0].(*kv.QueryTxnResponse)
	return q.Txn, q.Exists
}

// stage writes the record of a transaction whose only write in flight, and only lock, is
// at k.
func (r *rules) stage(txn *kv.Txn, k string) {
	r.t.Helper()
	q := end(9, k)
	q.InFlight = []kv.SequencedWrite{{Key: key(k), Sequence: 1}}
	at := *txn
	r.ok(&at, q)
}

// A transaction that was aborted before it had a record never gets one.
func TestAbortWithoutRecord(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.want("pushed", r.pushee(pushAway(txn)).Status, kv.Aborted)
	for _, q := range []kv.Request{r.heartbeat(), end(1, "a")} {
		own := *txn
		r.refused(kv.TransactionAborted, &own, q)
	}
	own := *txn
	r.refused(kv.TransactionAborted, &own, write(1, "a", "v"), end(2, "a")) // in one phase
	got, exists := r.record(txn)
	r.want("known as", got.Status, kv.Aborted)
	r.want("has a record", exists, false)
}

// A transaction that was pushed before it had a record commits above, or not at all, and
// whoever comes later is told that it was pushed.
func TestPushWithoutRecord(t *testing.T) {
	r := newRules(t, 1, nil)
	begun, ts := r.now(), r.later(100*time.Millisecond)
	txn := r.begin(begun)
	r.ok(txn, write(1, "a", "v"))
	r.want("pushed", r.pushee(pushTo(txn, ts)).WriteTS, ts)
	again, exists := r.record(txn)
	r.want("known as pushed", again.WriteTS, ts)
	r.want("has a record", exists, false)
	own := *txn
	r.refused(kv.TransactionRetry, &own, end(2, "a"))
	r.want("told", own.WriteTS, ts)
	own = *txn
	r.ok(&own, r.heartbeat())
	r.want("told by a heartbeat", own.WriteTS, ts)

	one := r.begin(begun)
	r.pushee(pushTo(one, ts))
	r.refused(kv.TransactionRetry, one, write(1, "b", "v"), end(2, "b")) // in one phase
}

// A push moves the record that there is, and its transaction commits above.
func TestPushOfRecord(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, r.heartbeat())
	ts := r.later(100 * time.Millisecond)
	r.pushee(pushTo(txn, ts))
	own := *txn
	r.refused(kv.TransactionRetry, &own, end(1))
	r.want("told", own.WriteTS, ts)
	r.ok(txn, r.heartbeat())
	r.want("told by a heartbeat", txn.WriteTS, ts)
}

// A staged record stays staged when its coordinator gives a sign of life, and a push
// leaves it to recovery.
func TestStagingStays(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.stage(txn, "a")
	own := *txn
	r.ok(&own, r.heartbeat())
	got, _ := r.record(txn)
	r.want("after the heartbeat", got.Status, kv.Staging)
	r.refused(kv.IndeterminateCommit, nil, pushAway(txn))
}

// Who has met an intent of a higher epoch, or at a higher timestamp, knows that what was
// staged did not commit.
func TestStagingIsVoid(t *testing.T) {
	for name, seen := range map[string]func(m *kv.TxnMeta){
		"epoch":     func(m *kv.TxnMeta) { m.Epoch++ },
		"timestamp": func(m *kv.TxnMeta) { m.WriteTS = m.WriteTS.Next() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRules(t, 1, nil)
			txn := r.begin(r.now())
			r.stage(txn, "a")
			q := pushAway(txn)
			seen(&q.Pushee)
			r.want("pushed", r.pushee(q).Status, kv.Aborted)
		})
	}
}

// A recovery decides for the attempt that it has looked at, and no other.
func TestRecoveryOfAnotherAttempt(t *testing.T) {
	for name, moved := range map[string]func(m *kv.TxnMeta){
		"epoch":     func(m *kv.TxnMeta) { m.Epoch-- },
		"timestamp": func(m *kv.TxnMeta) { m.WriteTS = m.MinTS.Add(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRules(t, 1, nil)
			txn := r.begin(r.now())
			txn.Epoch = 1
			r.stage(txn, "a")
			meta := txn.TxnMeta
			moved(&meta)
			for _, committed := range []bool{true, false} {
				q := &kv.RecoverTxnRequest{Key: key("a"), Txn: meta, ImplicitlyCommitted: committed}
				r.want("recovered", r.ok(nil, q).Responses[0].(*kv.RecoverTxnResponse).Recovered.Status, kv.Staging)
			}
			got, _ := r.record(txn)
			r.want("the record", got.Status, kv.Staging)
		})
	}
}

// What is final stays as it is.
func TestFinalRecord(t *testing.T) {
	r := newRules(t, 1, map[string]int64{"txn.cleanup.queue": 0})
	x := r.at.store.Transactions()
	x.cleanup.running = x.set.cleanupTasks // nobody has time to remove records
	txn := r.begin(r.now())
	r.stage(txn, "a")
	q := &kv.RecoverTxnRequest{Key: key("a"), Txn: txn.TxnMeta, ImplicitlyCommitted: true}
	r.want("recovered", r.ok(nil, q).Responses[0].(*kv.RecoverTxnResponse).Recovered.Status, kv.Committed)
	back := end(9, "a")
	back.Commit = false
	own := *txn
	if br := r.send(kv.Header{}, &own, back); br.Err == nil || br.Err.Kind != kv.TransactionStatus {
		t.Fatalf("rolled back: %v", br.Err)
	}
	own = *txn
	r.refused(kv.TransactionStatus, &own, end(9))
	own = *txn
	r.ok(&own, r.heartbeat())
	r.want("known to its coordinator as", own.Status, kv.Committed)
	r.want("pushed", r.pushee(pushAway(txn)).Status, kv.Committed)
	q.ImplicitlyCommitted = false
	r.want("recovered again", r.ok(nil, q).Responses[0].(*kv.RecoverTxnResponse).Recovered.Status, kv.Committed)
}

// A rollback that finds its transaction staged goes through recovery: if all is there
// the transaction is committed.
func TestRollbackOfStaging(t *testing.T) {
	for _, whole := range []bool{true, false} {
		r := newRules(t, 1, nil)
		txn := r.begin(r.now())
		if whole {
			r.ok(txn, write(1, "k", "v"))
		}
		r.stage(txn, "k")
		back := end(9, "k")
		back.Commit = false
		own := *txn
		if br := r.send(kv.Header{}, &own, back); whole == (br.Err == nil) {
			t.Fatalf("all written: %t; rolled back: %v", whole, br.Err)
		}
		r.want("left", r.read(nil, "k"), map[bool]string{true: "v", false: ""}[whole])
	}
}

// The explicit commit of what was staged is refused when the record is not as it was
// staged: it is gone, of another attempt, or was moved.
func TestExplicitCommitOfWhatMoved(t *testing.T) {
	r := newRules(t, 1, nil)
	explicit := func(txn *kv.Txn) *kv.Txn {
		own := *txn
		own.Status = kv.Staging
		return &own
	}
	gone := r.begin(r.now())
	r.refused(kv.TransactionStatus, explicit(gone), end(9))
	moved := r.begin(r.now())
	r.stage(moved, "a")
	lower := explicit(moved)
	lower.WriteTS = lower.WriteTS.Add(1)
	lower.ReadTS = lower.WriteTS
	r.refused(kv.TransactionStatus, lower, end(9))
	pending := r.begin(r.now())
	r.ok(pending, r.heartbeat())
	r.refused(kv.TransactionStatus, explicit(pending), end(9))
	r.ok(explicit(moved), end(9))
}

// An attempt that is over does not end a later one.
func TestEndOfAnEarlierEpoch(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	txn.Epoch = 1
	r.ok(txn, r.heartbeat())
	before := *txn
	before.Epoch = 0
	r.refused(kv.TransactionStatus, &before, end(1))
}

// A commit needs what was read at the timestamp of what was written, below the deadline.
func TestMayCommit(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	q := end(1)
	q.Deadline = txn.WriteTS
	own := *txn
	r.refused(kv.TransactionRetry, &own, q)
	own = *txn
	own.WriteTS = own.WriteTS.Next()
	r.refused(kv.TransactionRetry, &own, end(1))
	q.Deadline = txn.WriteTS.Next()
	r.ok(txn, q)
}

// A transaction in one phase, and any that leaves no record, is not executed twice.
func TestReplay(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	for i := range 2 {
		own := *txn
		br := r.send(kv.Header{CanForwardReadTS: true}, &own, write(1, "k", "mine"), end(2, "k"))
		switch {
		case i == 0 && br.Err == nil:
			r.ok(nil, put("k", "another's"))
		case i == 0:
			t.Fatal(br.Err)
		case br.Err == nil || br.Err.Detail == nil || br.Err.Detail.Abort != kv.AbortReplay:
			t.Fatalf("executed twice: %v", br.Err)
		}
	}
	r.want("left", r.read(nil, "k"), "another's")

	two := r.begin(r.now())
	r.ok(two, write(1, "m", "v"))
	own := *two
	r.ok(&own, end(2, "m"))
	r.refused(kv.TransactionAborted, two, r.heartbeat())
	r.refused(kv.TransactionAborted, two, end(2, "m"))
}

// Writes that were rolled back to a savepoint are not committed, be it by recovery.
func TestIgnoredWrites(t *testing.T) {
	for _, recovered := range []bool{false, true} {
		r := newRules(t, 1, nil)
		txn := r.begin(r.now())
		r.ok(txn, write(1, "k", "kept"))
		r.ok(txn, write(2, "k", "undone"))
		txn.IgnoredSeqs = []kv.SeqRange{{Start: 2, End: 2}}
		if recovered {
			r.stage(txn, "k")
			r.ok(nil, &kv.RecoverTxnRequest{Key: key("a"), Txn: txn.TxnMeta, ImplicitlyCommitted: true})
			r.run(time.Second)
		} else {
			r.ok(txn, end(3, "k"))
		}
		r.want("left", r.read(nil, "k"), "kept")
	}
}

// Whose intents were removed because it was aborted does not read what was there before
// its own writes. The note is left only where something was removed, and goes when the
// coordinator knows. A rollback is not kept out by it.
func TestAbortSpan(t *testing.T) {
	r := newRules(t, 1, nil)
	notes := func() int {
		n := 0
		s := keys.AbortSpan(1)
		it := r.at.engine.NewIter(s.Key, s.EndKey)
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		it.Close()
		return n
	}
	txn := r.begin(r.now())
	r.ok(txn, write(1, "k", "v"))
	aborted := func(k string, poison bool) {
		r.ok(nil, &kv.ResolveIntentRequest{Key: key(k), Txn: txn.TxnMeta, Status: kv.Aborted, Poison: poison})
	}
	aborted("other", true)
	r.want("notes where nothing was removed", notes(), 0)
	aborted("k", true)
	r.want("notes", notes(), 1)
	for _, q := range []kv.Request{get("k"), write(2, "m", "v"), end(3, "k")} {
		own := *txn
		if e := r.refused(kv.TransactionAborted, &own, q); e.Detail.Abort != kv.AbortSpanFound {
			t.Fatal(e)
		}
	}
	own := *txn
	back := end(3, "k")
	back.Commit = false
	r.ok(&own, back)
	r.want("notes when it was rolled back without poison", notes(), 0)

	again := r.begin(r.now())
	r.ok(again, write(1, "k", "v"))
	back.Poison = true
	nothing := r.begin(r.now())
	r.ok(nothing, back)
	r.want("notes when its own rollback removed nothing", notes(), 0)
	r.ok(again, back)
	r.want("notes when its own rollback removed something", notes(), 1)

	ranged := r.begin(r.now())
	r.ok(ranged, write(1, "k", "v"))
	r.ok(nil, &kv.ResolveIntentRangeRequest{Key: key("a"), EndKey: key("z"), Txn: ranged.TxnMeta, Status: kv.Aborted, Poison: true})
	r.refused(kv.TransactionAborted, ranged, get("k"))
}

// Before versions are collected the threshold is raised, by an earlier command; then what
// lies at or below it is not read, nor refreshed from.
func TestCollection(t *testing.T) {
	r := newRules(t, 1, nil)
	past := r.begin(r.now())
	past.GlobalLimit = past.ReadTS
	r.committed(r.now(), "k", "v")
	threshold := r.now()
	early := &kv.GCRequest{Key: key("k"), EndKey: key("l"), Keys: []kv.GCKey{{Key: key("k"), Timestamp: threshold}}}
	r.refused(kv.BadRequest, nil, early)
	r.ok(nil, &kv.GCRequest{Key: key("k"), EndKey: key("l"), Threshold: threshold})
	r.ok(nil, early)
	r.refused(kv.ReadBelowGC, past, get("k"))
	r.refused(kv.ReadBelowGC, past, write(1, "k", "w"))
	now := r.begin(r.now())
	r.refused(kv.ReadBelowGC, now, &kv.RefreshRequest{Key: key("k"), RefreshFrom: past.ReadTS})
	r.refused(kv.ReadBelowGC, now, &kv.RefreshRangeRequest{Key: key("k"), EndKey: key("l"), RefreshFrom: past.ReadTS})
	br := r.send(kv.Header{Timestamp: threshold}, nil, get("k"))
	if br.Err == nil || br.Err.Kind != kv.ReadBelowGC {
		t.Fatalf("read at the threshold: %v", br.Err)
	}
	r.want("read", r.read(nil, "k"), "v")
}

// Records are collected when they are final, and are not created again.
func TestCollectionOfRecords(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, r.heartbeat())
	gc := func() *kv.GCRequest {
		return &kv.GCRequest{Key: key("a"), EndKey: key("b"), Keys: []kv.GCKey{{Key: keys.TxnRecordKey(key("a"), txn.ID)}}}
	}
	r.refused(kv.BadRequest, nil, gc())
	r.pushee(pushAway(txn))
	r.ok(nil, gc())
	own := *txn
	own.Status = kv.Pending
	r.refused(kv.TransactionAborted, &own, r.heartbeat())
}

// A transaction whose record says that it is aborted does not commit, nor stage.
func TestAbortOfRecord(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, write(1, "k", "v"))
	r.ok(txn, r.heartbeat())
	r.want("pushed", r.pushee(pushAway(txn)).Status, kv.Aborted)
	staging := end(2, "k")
	staging.InFlight = []kv.SequencedWrite{{Key: key("k"), Sequence: 1}}
	for _, q := range []*kv.EndTxnRequest{end(2, "k"), staging} {
		own := *txn
		r.refused(kv.TransactionAborted, &own, q)
	}
	own := *txn
	back := end(2, "k")
	back.Commit = false
	r.ok(&own, back)
	r.want("left", r.read(nil, "k"), "")
}

// What is in the log behind a rise of the threshold, and writes beneath it, is rejected,
// though the threshold was not known when it was evaluated.
func TestWriteBehindTheThreshold(t *testing.T) {
	r := newRules(t, 3, nil)
	old := r.begin(r.now())
	r.run(100 * time.Millisecond)
	threshold := r.now()
	r.hold = func(from, _ kv.NodeID, _ *replica.Message) bool { return from == r.at.id }
	collected := r.at.send(0, &kv.GCRequest{Key: key("k"), EndKey: key("l"), Threshold: threshold})
	r.run(10 * time.Millisecond)
	var wrote env.Promise[*kv.BatchResponse]
	r.at.proc.Go("client", func(t env.Task) {
		locks := &kv.GetRequest{Key: key("first"), Locking: kv.Locking{Lock: kv.LockExclusive}}
		wrote.Resolve(r.at.store.Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: 1, Txn: old}, Requests: []kv.Request{locks, write(1, "m", "v")}}), nil)
	})
	r.run(10 * time.Millisecond)
	r.hold = nil
	r.until(10*time.Second, func() bool { return collected.Ready() && wrote.Ready() })
	if br, _ := wrote.Value(); br.Err == nil || br.Err.Kind != kv.ReadBelowGC {
		t.Fatalf("written: %v", br.Err)
	}
	// Nor has it the locks that it would have taken.
	r.want("locks", r.at.store.Replica(1).Requests().Locks(), "no locks\n")
}

// A commit in one phase that comes to the log under a lease that is over is rejected, and
// who has waited for its latches finds the lease gone.
func TestRejectedCommit(t *testing.T) {
	r := newRules(t, 3, nil)
	old := r.at
	r.isolate(old, true)
	txn := r.begin(r.now())
	var p env.Promise[*kv.BatchResponse]
	old.proc.Go("client", func(t env.Task) {
		p.Resolve(old.store.Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: 1, Txn: txn}, Requests: []kv.Request{write(1, "k", "v"), end(2, "k")}}), nil)
	})
	r.run(10 * time.Millisecond)
	waiter := old.send(0, put("k", "w"))
	r.run(8 * time.Second)
	if br := r.onOthers(old, put("m", "v")); br.Err != nil {
		t.Fatal(br.Err)
	}
	r.isolate(old, false)
	r.until(10*time.Second, p.Ready)
	if br, _ := p.Value(); br.Err == nil || br.Err.Kind != kv.NotLeaseholder {
		t.Fatalf("committed: %v", br.Err)
	}
	r.until(10*time.Second, waiter.Ready)
	if br, _ := waiter.Value(); br.Err == nil || br.Err.Kind != kv.NotLeaseholder {
		t.Fatalf("served: %v", br.Err)
	}
	r.want("left", string(r.do(get("k")).Responses[0].(*kv.GetResponse).Value), "")
}

// isolate cuts a node off, or no more.
func (c *cluster) isolate(n *node, on bool) {
	for _, o := range c.nodes {
		c.cut[[2]kv.NodeID{n.id, o.id}], c.cut[[2]kv.NodeID{o.id, n.id}] = on, on
	}
}

// A transaction that has begun anew may meet its own intents of before: it does not commit
// in one phase, for which they would be another's.
func TestOnePhaseOfALaterEpoch(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, write(1, "k", "before"))
	txn.Epoch = 1
	br := r.ok(txn, write(1, "k", "v"), end(2, "k"))
	r.want("in one phase", br.Responses[1].(*kv.EndTxnResponse).OnePhase, false)
	r.want("left", r.read(nil, "k"), "v")
}

// One phase ends what was before: the record of a transaction that had become old, and
// the locks of its reads.
func TestOnePhaseLeavesNothing(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, &kv.GetRequest{Key: key("first"), Locking: kv.Locking{Lock: kv.LockExclusive, Durability: kv.Replicated}})
	r.ok(txn, r.heartbeat())
	br := r.ok(txn, write(1, "k", "v"), end(2, "k", "first"))
	r.want("in one phase", br.Responses[1].(*kv.EndTxnResponse).OnePhase, true)
	_, exists := r.record(txn)
	r.want("has a record", exists, false)
	held, _, err := mvcc.HeldBy(r.at.engine, span("a", "z"), txn.ID, 10)
	r.want("still held", held, []keys.Key{})
	r.want("error", err, nil)
}
