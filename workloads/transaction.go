package workloads

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// errRollback is what a client returns from a transaction that it does not want.
var errRollback = errors.New("rolled back by its client")

// transaction is one under way: the workload drives it, the history records it as
// one operation. Only what a commit would keep stands in the operation. Writes that
// are undone, by a new attempt or a savepoint, are recorded as a Fail of their own, so
// that whoever sees them is known to have seen what must not be seen.
type transaction struct {
	*base
	c        *Client
	op       *history.Op
	tx       Tx
	attempts int
	kinds    []string // what this attempt did, of what must be done in a run
	// known is what a key must hold when this attempt reads it again: what it wrote
	// itself or has read before.
	known  map[string]history.Value
	wrong  []string // reads of this attempt that contradict known
	quit   bool     // the client rolled back
	last   bool     // the next operations that only write take the commit with them
	paused bool     // the attempt waited between its operations
}

// transact runs fn as one transaction and records it. The task may end inside: then
// the operation stays open.
func (b *base) transact(t env.Task, c *Client, o TxnOptions, fn func(x *transaction) error) outcome {
	x := &transaction{base: b, c: c, op: c.Recorder.Invoke(c.Name(), c.Gateway(), c.Now())}
	x.op.Stale = o.At != (Timestamp{})
	o.CommitWait = o.CommitWait || b.Txn.CommitWait
	res, err := c.txns().Txn(t, o, func(tx Tx) error {
		x.begin(tx)
		err := fn(x)
		x.quit = errors.Is(err, errRollback)
		return err
	})
	b.attempts += x.attempts
	x.contradictions()
	ts := history.Timestamp(res.Commit)
	switch {
	case err == nil:
		x.op.Gateway = res.Gateway
		if x.op.Stale && res.Commit != o.At {
			b.oddity(x.op, "asked for the past at %v and was answered at %s", o.At, ts)
		}
		for _, kind := range x.kinds {
			b.did(kind)
		}
		c.Recorder.Complete(x.op, c.Now(), history.OK, "", ts)
		c.remember(ts)
	case x.quit:
		b.rolledBack++
		c.Recorder.Complete(x.op, c.Now(), history.Fail, errRollback.Error(), history.Timestamp{})
	case errors.Is(err, ErrFailed) && !errors.Is(err, ErrAmbiguous):
		c.Recorder.Complete(x.op, c.Now(), history.Fail, err.Error(), history.Timestamp{})
	default:
		c.Recorder.Complete(x.op, c.Now(), history.Info, err.Error(), history.Timestamp{})
	}
	return outcome{x.op, err}
}

// begin begins an attempt. Of the one before nothing is left.
func (x *transaction) begin(tx Tx) {
	if x.attempts++; x.attempts > 1 {
		x.undo(x.op.Actions)
		x.contradictions()
	}
	x.tx, x.op.Actions, x.kinds, x.wrong, x.quit, x.paused, x.last = tx, nil, nil, nil, false, false, false
	x.known = map[string]history.Value{}
}

// contradictions tells of those of an attempt, whatever became of it: until a client
// is told that it must begin anew, or may not go on, it sees what it has written, and
// sees it as of one moment.
func (x *transaction) contradictions() {
	for _, text := range x.wrong {
		x.oddity(x.op, "%s", text)
	}
}

// undo records that writes are undone.
func (x *transaction) undo(actions []history.Action) {
	var writes []history.Action
	for _, a := range actions {
		if a.F.Writes() {
			writes = append(writes, a)
		}
	}
	if len(writes) > 0 {
		u := x.c.Recorder.Invoke(x.c.Name(), x.c.Gateway(), x.c.Now(), writes...)
		x.c.Recorder.Complete(u, x.c.Now(), history.Fail, history.Undone, history.Timestamp{})
	}
}

// did notes that the attempt did something of a kind.
func (x *transaction) did(kind string) { x.kinds = append(x.kinds, kind) }

// do executes steps in order. Their writes are recorded before anybody can see them.
// After a condition that failed the transaction goes on as if they had not been.
func (x *transaction) do(t env.Task, steps ...step) error {
	ops := make([]Op, len(steps))
	at := len(x.op.Actions)
	for i, s := range steps {
		ops[i] = s.op
		x.op.Actions = append(x.op.Actions, s.action)
	}
	send := x.tx.Do
	if x.last && onlyWrite(steps) {
		send = x.tx.Commit
		x.did(kindAtOnce)
	}
	results, err := send(t, ops...)
	var cond *ConditionError
	switch {
	case errors.As(err, &cond) && cond.Index >= 0 && cond.Index < len(steps):
		actual, bad := Decode(cond.Actual)
		if bad != nil {
			x.wrong = append(x.wrong, "condition failed: "+bad.Error())
		}
		x.undo(x.op.Actions[at:])
		x.op.Actions = append(x.op.Actions[:at:at], history.Action{F: history.Read, Key: steps[cond.Index].action.Key, Result: actual})
		x.hold(&x.op.Actions[at])
		return err
	case err != nil:
		return err
	case len(results) != len(steps):
		return fmt.Errorf("%d operations were answered by %d results", len(steps), len(results))
	}
	for i, s := range steps {
		a := &x.op.Actions[at+i]
		if s.read != nil {
			v, odd := s.read(results[i])
			if odd != nil {
				x.wrong = append(x.wrong, odd.Error())
			}
			a.Result = v
		}
		if s.op.Limit > 0 {
			x.limit(a, s.op, results[i])
		}
		x.hold(a)
	}
	return nil
}

// onlyWrite reports that the steps neither read nor can be refused.
func onlyWrite(steps []step) bool {
	for _, s := range steps {
		if s.op.Kind != Put && s.op.Kind != Delete {
			return false
		}
	}
	return true
}

// limit takes from what a limited scan covered the keys that it did not come to.
func (x *transaction) limit(a *history.Action, op Op, res OpResult) {
	if int64(len(res.Rows)) > op.Limit {
		x.wrong = append(x.wrong, fmt.Sprintf("a scan returned %d rows of at most %d", len(res.Rows), op.Limit))
	}
	switch {
	case !res.More:
		return
	case len(res.Rows) == 0:
		a.Result = history.Value{} // it says nothing about any key
		return
	}
	last := string(res.Rows[len(res.Rows)-1].Key)
	var covered []history.Row
	for _, r := range a.Arg.Rows() {
		if op.Kind == Scan && r.Key <= last || op.Kind == ReverseScan && r.Key >= last {
			covered = append(covered, r)
		}
	}
	a.Arg = history.Rows(covered...)
}

// hold holds an answer against what the attempt knows, and learns from it.
func (x *transaction) hold(a *history.Action) {
	switch a.F {
	case history.Read:
		x.see(a.Key, a.Result)
	case history.Scan:
		if a.Result.IsNone() {
			return
		}
		rows := a.Result.Rows()
		for _, covered := range a.Arg.Rows() {
			v := history.NoKey()
			if i := slices.IndexFunc(rows, func(r history.Row) bool { return r.Key == covered.Key }); i >= 0 {
				v = rows[i].Value
			}
			x.see(covered.Key, v)
		}
	case history.Write, history.CAS:
		x.known[a.Key] = a.Arg
	case history.Delete:
		x.known[a.Key] = history.NoKey()
	case history.Increment:
		x.known[a.Key] = a.Result
	case history.Add:
		delete(x.known, a.Key)
	case history.Append:
		if v, ok := x.known[a.Key]; ok {
			n, _ := a.Arg.Int()
			x.known[a.Key] = history.List(append(slices.Clone(v.List()), n)...)
		}
	}
}

func (x *transaction) see(key string, v history.Value) {
	was, ok := x.known[key]
	same := was.Equal(v) || len(was.List()) == 0 && len(v.List()) == 0 && was.Kind() != history.IntKind && v.Kind() != history.IntKind
	if ok && !same {
		x.wrong = append(x.wrong, fmt.Sprintf("%s was read as %s where the transaction itself had left or found %s", key, v, was))
	}
	x.known[key] = v
}

// savepoint is a moment of an attempt with what was recorded and known by then.
type savepoint struct {
	db      Savepoint
	actions int
	kinds   int
	known   map[string]history.Value
}

// savepoint names the present moment.
func (x *transaction) savepoint(t env.Task) (savepoint, error) {
	db, err := x.tx.Savepoint(t)
	return savepoint{db, len(x.op.Actions), len(x.kinds), maps.Clone(x.known)}, err
}

// rollback undoes the writes since a savepoint. What was read since then stays read,
// except where it was of a key written since: that was held against those writes
// when it was read, and means nothing without them.
func (x *transaction) rollback(t env.Task, s savepoint) error {
	if err := x.tx.RollbackTo(t, s.db); err != nil {
		return err
	}
	since := x.op.Actions[s.actions:]
	x.undo(since)
	wrote := map[string]bool{}
	kept := slices.Clone(x.op.Actions[:s.actions])
	for _, a := range since {
		seen := a
		if a.F == history.CAS {
			seen = history.Action{F: history.Read, Key: a.Key, Result: a.Expect}
		}
		own := wrote[a.Key] || slices.ContainsFunc(a.Arg.Rows(), func(r history.Row) bool { return wrote[r.Key] })
		if !seen.F.Writes() && !own {
			kept = append(kept, seen)
		}
		wrote[a.Key] = wrote[a.Key] || a.F.Writes()
	}
	x.op.Actions, x.kinds, x.known = kept, x.kinds[:s.kinds], maps.Clone(s.known)
	x.did("savepoint rolled back")
	return nil
}

// pause sleeps in the middle of a transaction, no longer than clients are to work.
func (x *transaction) pause(t env.Task, d time.Duration) error {
	const slice = 250 * time.Millisecond
	x.paused = true
	for d > 0 && !x.c.Done() {
		if err := t.Sleep(min(d, slice)); err != nil {
			return fmt.Errorf("%w: %v", errRollback, err)
		}
		d -= slice
	}
	return nil
}
