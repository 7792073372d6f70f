package concurrency

import (
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

func waitTxn(n int, priority int32) *kv.Txn {
	txn := kv.NewTxn(txnID(n), "", priority, second(10), second(10))
	txn.Key = keys.Key("a")
	return txn
}

func push(pusher, pushee *kv.Txn) *kv.PushTxnRequest {
	return &kv.PushTxnRequest{Key: pushee.Key, Pusher: pusher.TxnMeta, Pushee: pushee.TxnMeta, Type: kv.PushAbort}
}

// A pushee that is staging may wait for others nevertheless: then the cycle is broken by
// recovering it. One that is over waits for nobody.
func TestDeadlockWithStaging(t *testing.T) {
	for status, want := range map[kv.TxnStatus]PushState{kv.Pending: PushDeadlock, kv.Staging: PushDeadlock, kv.Committed: PushAnswered} {
		var q TxnWaitQueue
		pushee, pusher := waitTxn(1, 1), waitTxn(2, 9)
		pushee.Status = status
		p := q.Enqueue(push(pusher, pushee), pushee)
		q.Pusher(p, pusher, []keys.TxnID{pushee.ID})
		if p.State() != want {
			t.Errorf("%s: %s, must be %s", status, p.State(), want)
		}
	}
}

// A query is answered when the record changes, and when somebody comes to wait that
// the asker does not know; not when somebody comes whom it knows.
func TestQueryNews(t *testing.T) {
	record := waitTxn(1, 5)
	ask := func(q *TxnWaitQueue, known ...keys.TxnID) *QueryWait {
		return q.Query(&kv.QueryTxnRequest{Key: record.Key, Txn: record.TxnMeta, WaitForUpdate: true, KnownWaiting: known}, record)
	}
	for _, c := range []struct {
		what string
		do   func(q *TxnWaitQueue)
		want bool
	}{
		{"nothing", func(q *TxnWaitQueue) {}, false},
		{"heartbeat", func(q *TxnWaitQueue) { r := record.Clone(); r.LastHeartbeat = second(99); q.Update(r) }, false},
		{"status", func(q *TxnWaitQueue) { r := record.Clone(); r.Status = kv.Aborted; q.Update(r) }, true},
		{"priority", func(q *TxnWaitQueue) { r := record.Clone(); r.Priority++; q.Update(r) }, true},
		{"another waits", func(q *TxnWaitQueue) { q.Enqueue(push(waitTxn(3, 5), record), record) }, true},
		{"one that is known waits", func(q *TxnWaitQueue) { q.Enqueue(push(waitTxn(2, 5), record), record) }, false},
		{"somebody without a transaction", func(q *TxnWaitQueue) { q.Enqueue(push(&kv.Txn{}, record), record) }, false},
		{"clear", func(q *TxnWaitQueue) { q.Clear() }, true},
	} {
		var q TxnWaitQueue
		x := ask(&q, txnID(2))
		if c.do(&q); x.News() != c.want {
			t.Errorf("%s: news %t, must be %t\n%s", c.what, x.News(), c.want, &q)
		}
		q.LeaveQuery(x)
	}
	// There is something to answer at once.
	var q TxnWaitQueue
	p := q.Enqueue(push(waitTxn(3, 5), record), record)
	if ask(&q, txnID(2)) != nil || ask(&q, txnID(3)) == nil {
		t.Error("waiting does not depend on who is known")
	}
	ended := record.Clone()
	ended.Status = kv.Committed
	if q.Query(&kv.QueryTxnRequest{Txn: record.TxnMeta, WaitForUpdate: true, KnownWaiting: []keys.TxnID{txnID(3)}}, ended) != nil {
		t.Error("waits for news of what is over")
	}
	q.Leave(p)
}

// Who has left is not said to wait, and a cycle through it is none.
func TestDependentsLeave(t *testing.T) {
	var q TxnWaitQueue
	pushee := waitTxn(1, 5)
	p := q.Enqueue(push(waitTxn(2, 1), pushee), pushee)
	q.Pusher(p, waitTxn(2, 1), []keys.TxnID{txnID(1), txnID(3)})
	if got := q.Dependents(pushee.ID); len(got) != 3 || p.State() != PushPending {
		t.Fatalf("%x\n%s", got, &q)
	}
	q.Pusher(p, waitTxn(2, 9), []keys.TxnID{txnID(3)}) // outranks now, but T1 has left
	if got := q.Dependents(pushee.ID); len(got) != 2 || p.State() != PushPending {
		t.Fatalf("%x\n%s", got, &q)
	}
	q.Pusher(p, waitTxn(2, 9), []keys.TxnID{txnID(3), txnID(1)})
	if p.State() != PushDeadlock {
		t.Fatalf("%s", &q)
	}
}

// A push that is not to wait does not, although others wait for the same transaction;
// one that is forced does not either.
func TestPushThatDoesNotWait(t *testing.T) {
	w := newWorld(1, nil)
	defer w.s.Close()
	pushee, other, third := waitTxn(1, 5), waitTxn(2, 5), waitTxn(3, 5)
	w.of(pushee.Key).record(pushee.TxnMeta)
	var first *kv.Txn
	var second, forced *kv.Error
	ended := 0
	w.s.Go("waits", func(t env.Task) { first, _ = w.PushTxn(t, push(other, pushee), kv.WaitBlock) })
	w.s.Go("does not", func(t env.Task) {
		_ = t.Sleep(10 * time.Millisecond)
		_, second = w.PushTxn(t, push(third, pushee), kv.WaitError)
		ended++
		force := push(third, pushee)
		force.Force = true
		_, forced = w.PushTxn(t, force, kv.WaitBlock)
		ended++
	})
	w.s.RunUntil(w.s.Now() + sim.Time(time.Second))
	if ended != 2 || second == nil || second.Kind != kv.TransactionPush || forced != nil {
		t.Errorf("%d ended: %v, %v", ended, second, forced)
	}
	if first == nil || first.Status != kv.Aborted {
		t.Errorf("who waited was told %v", first)
	}
}

// Whoever waits is let go when the pushee gave its last sign of life too long ago, and
// not before.
func TestExpires(t *testing.T) {
	var q TxnWaitQueue
	pushee := waitTxn(1, 5)
	pushee.LastHeartbeat = second(20)
	p := q.Enqueue(push(waitTxn(2, 5), pushee), pushee)
	if left := q.Expires(p, hlc.Timestamp{Wall: 25e9}, 5*time.Second); left != 1 || p.State() != PushPending {
		t.Errorf("%s left, %s", left, p.State())
	}
	if left := q.Expires(p, hlc.Timestamp{Wall: 25e9 + 1}, 5*time.Second); left != 0 || p.State() != PushEvaluate {
		t.Errorf("%s left, %s", left, p.State())
	}
}

// A push whose pushee is about to expire does not go round and round while the hybrid
// clock stands still, which it does until the wall clock has caught up with what was
// taken in from others: the time that is left stands still with it, at some nanoseconds.
func TestExpiryDoesNotSpin(t *testing.T) {
	w := newWorld(1, nil)
	defer w.s.Close()
	pushee := waitTxn(1, 5)
	w.dead[pushee.ID] = true
	const ahead = 100 * time.Microsecond
	w.clock.Forward(hlc.Timestamp{Wall: 100e9 + int64(w.slow+ahead)})
	rec := w.of(pushee.Key).record(pushee.TxnMeta)
	rec.LastHeartbeat = hlc.Timestamp{Wall: 95e9 + int64(w.slow+ahead) + 1} // it expires when the clock goes on
	var got *kv.Txn
	w.s.Go("waits", func(t env.Task) { got, _ = w.PushTxn(t, push(&kv.Txn{}, pushee), kv.WaitBlock) })
	w.s.RunUntil(w.s.Now() + sim.Time(w.slow))
	if got != nil {
		t.Fatalf("not waited for: %v", got)
	}
	before := w.s.Events()
	w.s.RunUntil(w.s.Now() + sim.Time(10*time.Millisecond))
	if got == nil || got.Status != kv.Aborted {
		t.Fatalf("not expired: %v", got)
	}
	if n := w.s.Events() - before; n > 20 {
		t.Errorf("%d events", n)
	}
}

// When the lease of the record's range changes, those who wait there go round, also if
// their locks are in other ranges.
func TestLeaseChangeAtTheRecord(t *testing.T) {
	w := newWorld(1, nil)
	defer w.s.Close()
	s := w.ranges[0].seq
	p := s.Waits().Enqueue(push(waitTxn(2, 5), waitTxn(1, 5)), waitTxn(1, 5))
	if s.OnLeaseChanged(1); p.State() != PushEvaluate {
		t.Error(p.State())
	}
}

// A query waits for news of a transaction that is staging as of any other that is not
// over: answered at once, and asked again at once, the two would never let time pass
// (scenarios/found/staging-pusher).
func TestQueryOfStagingWaits(t *testing.T) {
	for status, waits := range map[kv.TxnStatus]bool{kv.Pending: true, kv.Staging: true, kv.Committed: false, kv.Aborted: false} {
		var q TxnWaitQueue
		txn := &kv.Txn{TxnMeta: kv.TxnMeta{ID: txnID(1)}, Status: status}
		if x := q.Query(&kv.QueryTxnRequest{Txn: txn.TxnMeta, WaitForUpdate: true}, txn); (x != nil) != waits {
			t.Errorf("%s: waits %t, want %t", status, x != nil, waits)
		}
	}
}
