package store

import (
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// cleanup resolves the locks of transactions that are over, and then removes their
// records. Nobody waits for it. It has as many tasks as there is work, up to a bound,
// and none when there is none.
type cleanup struct {
	x       *Txns
	running int // tasks
	queue   env.Queue[ended]
	// known are the transactions in the queue or being worked on: no more than fit into
	// the queue, and one a task.
	known map[kv.TxnID]bool
}

// ended is a transaction in line, and since when by Mono it is there.
type ended struct {
	txn   *kv.Txn
	since time.Duration
}

// Finish is for a record that has become final, when that has applied where the lease is:
// txn.LockSpans are the locks that are still to be resolved. It returns at once.
//
// The record of an aborted transaction that lists no locks stays: others aborted it,
// and only its coordinator knows what it had locked.
func (x *Txns) Finish(txn *kv.Txn) {
	if !txn.Status.Finalized() {
		panic("store: a transaction is finished whose fate is open: " + txn.String())
	}
	if txn.Status == kv.Committed || len(txn.LockSpans) > 0 {
		x.cleanup.add(txn)
	}
}

// abandoned is for an old record, for which nobody else will come: if it is not final it
// is made so, unless its coordinator turns out to be alive.
func (x *Txns) abandoned(txn *kv.Txn) { x.cleanup.add(txn) }

// add puts a transaction in line. Beyond the bound it is dropped: its locks are met by
// others, and its record is found by the GC queue.
func (c *cleanup) add(txn *kv.Txn) {
	switch {
	case c.known[txn.ID]:
		return
	case c.running >= c.x.set.cleanupTasks && c.queue.Len() >= c.x.set.cleanupQueue:
		c.x.p.Probe(probeCleanupDropped)
		return
	}
	c.known[txn.ID] = true
	c.queue.Push(ended{txn, c.x.p.Mono()})
	if c.running < c.x.set.cleanupTasks {
		c.running++
		c.x.p.Go("clean up after transactions", c.work)
	}
}

// work is a task: it ends when the queue is empty.
func (c *cleanup) work(t env.Task) {
	for {
		e, ok := c.queue.TryPop()
		if !ok {
			c.running--
			return
		}
		if c.wait(t, e.since) == nil {
			c.do(t, e.txn)
		}
		delete(c.known, e.txn.ID)
	}
}

// wait lets a transaction have been in line for a while. Whoever meets its locks
// meanwhile finds the record, which says what became of it, and resolves them at once: it
// costs a push, and correctness does not hang on it. All wait at the same time, so that a
// few tasks keep up with many transactions.
func (c *cleanup) wait(t env.Task, since time.Duration) error {
	rest := c.x.set.cleanupDelay - (c.x.p.Mono() - since)
	if rest <= 0 {
		return nil
	}
	return t.Sleep(rest)
}

// do cleans up after one transaction. What fails is tried again a few times.
func (c *cleanup) do(t env.Task, txn *kv.Txn) {
	job := cleanupJob{x: c.x, txn: txn}
	pause := c.x.pause()
	for try := 1; ; try++ {
		err := job.run(t)
		switch {
		case err == nil, err.Kind == kv.TransactionPush: // it is alive
			return
		case !mayPass(err) || try >= c.x.set.cleanupTries || pause.wait(t) != nil:
			c.x.p.Probe(probeCleanupGivenUp)
			return
		}
	}
}

// cleanupJob is how far the work on one transaction has come.
type cleanupJob struct {
	x      *Txns
	txn    *kv.Txn
	listed bool
	left   []kv.LockUpdate // once listed: not known to be resolved
}

// run goes on where it failed the last time. Without an error nothing is left to do.
func (j *cleanupJob) run(t env.Task) *kv.Error {
	if !j.txn.Status.Finalized() {
		if err := j.end(t); err != nil {
			return err
		}
	}
	if !j.listed {
		j.left, j.listed = updatesOf(j.txn, j.txn.LockSpans), true
	}
	var err *kv.Error
	if j.left, err = j.x.resolve(t, j.left); err != nil {
		return err
	}
	// Not before: to whoever meets a lock and finds no record, the transaction is
	// abandoned, and part of what it committed would be undone.
	j.x.p.Probe(probeRecordRemovable)
	record := kv.GCKey{Key: keys.TxnRecordKey(j.txn.Key, j.txn.ID)}
	br := j.x.send(t, kv.Header{}, &kv.GCRequest{Key: j.txn.Key, Keys: []kv.GCKey{record}})
	if br.Err == nil {
		j.x.p.Probe(probeRecordRemoved)
	}
	return br.Err
}

// end makes the transaction final. A touch ends who is abandoned and lets be who is not,
// whatever its priority: then it fails with TransactionPush.
func (j *cleanupJob) end(t env.Task) *kv.Error {
	req := &kv.PushTxnRequest{Key: j.txn.Key, Pushee: j.txn.TxnMeta, Type: kv.PushTouch}
	txn, err := j.x.push(t, req, kv.WaitError)
	switch {
	case err != nil:
		return err
	case !txn.Status.Finalized():
		return kv.Errorf(kv.TransactionPush, "touched, and %s", txn.Status)
	}
	j.x.p.Probe(probeAbandonedEnded)
	j.txn = txn
	return nil
}
