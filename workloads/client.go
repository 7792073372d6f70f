package workloads

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// step is one operation of a batch: what to ask, what to record, and how to read
// the answer.
type step struct {
	op     Op
	action history.Action
	read   func(OpResult) (history.Value, error)
}

// outcome is what became of a request.
type outcome struct {
	op  *history.Op
	err error // nil, or what the database said
}

// ok reports whether it certainly took effect.
func (o outcome) ok() bool { return o.err == nil }

// result is what the first step saw.
func (o outcome) result() history.Value { return o.op.Actions[0].Result }

// base is what the parts of a workload share: the oddities that no client should
// ever meet, whatever the history.
type base struct {
	Params
	odd []string // answers that are wrong in themselves, in order of time

	// Of transactions.
	values     int64          // the last value that was given out
	wanted     []string       // kinds that committed transactions must do in a run
	done       map[string]int // what they did, by kind
	attempts   int            // of all transactions
	rolledBack int            // transactions that their clients did not want
}

// fresh is a value that nobody has written.
func (b *base) fresh() int64 { b.values++; return b.values }

// did counts what was done of a kind that must be done in a run.
func (b *base) did(kind string) { b.done[kind]++ }

// oddity notes an answer that is malformed: rows out of order or of other keys,
// values that nobody can have written.
func (b *base) oddity(op *history.Op, format string, args ...any) {
	const enough = 20
	if len(b.odd) < enough {
		b.odd = append(b.odd, fmt.Sprintf("op %d of %s: ", op.ID, op.Client)+fmt.Sprintf(format, args...))
	}
}

// memorySize is how many timestamps a client remembers to ask the past with.
const memorySize = 32

// do executes steps as one batch and records it. The task may end inside: then
// the operation stays open.
func (b *base) do(t env.Task, c *Client, past history.Timestamp, steps ...step) outcome {
	ops := make([]Op, len(steps))
	actions := make([]history.Action, len(steps))
	for i, s := range steps {
		ops[i], actions[i] = s.op, s.action
	}
	op := c.Recorder.Invoke(c.Name(), c.Gateway(), c.Now(), actions...)
	op.Stale = !past.IsZero()
	res, err := c.Do(t, ops, Options{AtTimestamp: Timestamp(past)})
	ts := history.Timestamp(res.Timestamp)
	var cond *ConditionError
	switch {
	case err == nil && len(res.Ops) != len(steps):
		b.oddity(op, "%d operations were answered by %d results", len(steps), len(res.Ops))
		err = fmt.Errorf("%w: malformed answer", ErrAmbiguous)
		c.Recorder.Complete(op, c.Now(), history.Info, err.Error(), history.Timestamp{})
	case err == nil:
		b.results(op, steps, res)
		if op.Stale && ts != past {
			b.oddity(op, "asked for the past at %s and was answered at %s", past, ts)
		}
		c.Recorder.Complete(op, c.Now(), history.OK, "", ts)
		c.remember(ts)
	case errors.As(err, &cond) && cond.Index >= 0 && cond.Index < len(steps):
		if v, bad := Decode(cond.Actual); bad == nil {
			op.Actions[cond.Index].Result = v
		} else {
			b.oddity(op, "condition failed: %v", bad)
		}
		c.Recorder.Complete(op, c.Now(), history.Fail, history.ConditionFailed, history.Timestamp(cond.Timestamp))
	case errors.Is(err, ErrFailed) && !errors.Is(err, ErrAmbiguous):
		c.Recorder.Complete(op, c.Now(), history.Fail, err.Error(), history.Timestamp{})
	default:
		c.Recorder.Complete(op, c.Now(), history.Info, err.Error(), history.Timestamp{})
	}
	return outcome{op, err}
}

// results puts what the steps saw into the operation.
func (b *base) results(op *history.Op, steps []step, res Result) {
	for i, s := range steps {
		if s.read == nil {
			continue
		}
		v, err := s.read(res.Ops[i])
		if err != nil {
			b.oddity(op, "%v", err)
		}
		op.Actions[i].Result = v
	}
}

func (c *Client) remember(ts history.Timestamp) {
	if ts.IsZero() {
		return
	}
	if len(c.memory) == memorySize {
		c.memory = slices.Delete(c.memory, 0, 1)
	}
	c.memory = append(c.memory, ts)
}

// rowsOf checks the rows of a scan of [key, end) and puts them in ascending order.
func rowsOf(rows []Row, key, end []byte, reverse bool) ([]Row, error) {
	rows = slices.Clone(rows)
	if reverse {
		slices.Reverse(rows)
	}
	for i, r := range rows {
		switch {
		case bytes.Compare(r.Key, key) < 0 || bytes.Compare(r.Key, end) >= 0:
			return rows, fmt.Errorf("a scan of [%q, %q) returned %q", key, end, r.Key)
		case i > 0 && bytes.Compare(rows[i-1].Key, r.Key) >= 0:
			return rows, fmt.Errorf("a scan returned %q and %q out of order, or twice", rows[i-1].Key, r.Key)
		case r.Value == nil:
			return rows, fmt.Errorf("a scan returned %q without a value", r.Key)
		}
	}
	return rows, nil
}
