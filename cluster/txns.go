package cluster

import (
	"errors"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/session"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

var _ workloads.Txns = (*Session)(nil)

// Txn implements workloads.Txns. The client's time-out is for the whole, with all its
// attempts.
func (s *Session) Txn(t env.Task, o workloads.TxnOptions, fn func(tx workloads.Tx) error) (workloads.TxnResult, error) {
	before := t.SetDeadline(s.env.Mono() + s.client.cluster.cfg.ClientTimeout)
	defer t.SetDeadline(before)
	b := &begun{remote: s.txns}
	db := s.db.WithTxns(b)
	if o.At != (workloads.Timestamp{}) {
		db = db.At(hlc.Timestamp{Wall: o.At.Wall, Logical: o.At.Logical})
	}
	var out workloads.TxnResult
	var handle *kv.TxnHandle
	committing := false // the last attempt has asked for its commit
	err := db.TxnWith(t, kv.TxnOptions{Name: o.Name, CommitWait: o.CommitWait}, func(h *kv.TxnHandle) error {
		out.Attempts++
		handle = h
		x := &tx{handle: h}
		switch o.Priority {
		case workloads.LowPriority:
			h.SetPriority(kv.MinPriority)
		case workloads.HighPriority:
			h.SetPriority(kv.MaxPriority)
		}
		err := fn(x)
		committing = err == nil || x.committing
		return err
	})
	if b.txn != nil {
		out.Gateway = b.txn.Gateway()
	}
	if err != nil {
		return out, txnError(err, committing)
	}
	commit := handle.CommitTimestamp()
	out.Commit = workloads.Timestamp{Wall: commit.Wall, Logical: commit.Logical}
	return out, nil
}

// begun is a kv.TxnStarter for one transaction, which it keeps.
type begun struct {
	remote *session.Remote
	txn    *session.Txn
}

// Begin implements kv.TxnStarter.
func (b *begun) Begin(t env.Task, o kv.TxnOptions) (kv.TxnSender, *kv.Error) {
	c, err := b.remote.BeginTxn(t, o)
	if err != nil {
		return nil, err
	}
	b.txn = c
	return c, nil
}

// txnError is an error of a whole transaction in the classes that workloads know. Only
// a commit can leave its outcome open: what fails before it is rolled back.
func txnError(err error, committing bool) error {
	switch {
	case committing && kv.AsError(err).Ambiguous():
		return errors.Join(workloads.ErrAmbiguous, err)
	case errors.Is(err, workloads.ErrFailed):
		return err
	}
	return errors.Join(workloads.ErrFailed, err)
}

// tx is one attempt of a transaction, as workloads see it.
type tx struct {
	handle     *kv.TxnHandle
	committing bool
}

// Do implements workloads.Tx. Its errors are all of the class ErrFailed: nothing is
// committed. The database's own error is within, for the loop that begins anew.
func (x *tx) Do(t env.Task, ops ...workloads.Op) ([]workloads.OpResult, error) {
	br, err := x.handle.Batch(t, kv.Header{MaxKeys: limitOf(ops)}, requests(ops)...)
	if err != nil {
		if e := kv.AsError(err); e.Kind == kv.ConditionFailed {
			return nil, clientError(e)
		}
		return nil, errors.Join(workloads.ErrFailed, err)
	}
	return results(br), nil
}

// Commit implements workloads.Tx. One range is enough for a commit in one phase.
func (x *tx) Commit(t env.Task, ops ...workloads.Op) ([]workloads.OpResult, error) {
	x.committing = true
	br, err := x.handle.CommitWith(t, kv.Header{MaxKeys: limitOf(ops)}, requests(ops)...)
	if err != nil {
		return nil, txnError(err, true)
	}
	return results(br), nil
}

func requests(ops []workloads.Op) []kv.Request {
	all := make([]kv.Request, len(ops))
	for i := range ops {
		all[i] = request(&ops[i])
	}
	return all
}

func results(br *kv.BatchResponse) []workloads.OpResult {
	all := make([]workloads.OpResult, len(br.Responses))
	for i, r := range br.Responses {
		all[i] = result(r)
	}
	return all
}

// Savepoint implements workloads.Tx.
func (x *tx) Savepoint(t env.Task) (workloads.Savepoint, error) {
	s, err := x.handle.Savepoint(t)
	if err != nil {
		return nil, errors.Join(workloads.ErrFailed, err)
	}
	return s, nil
}

// RollbackTo implements workloads.Tx.
func (x *tx) RollbackTo(t env.Task, s workloads.Savepoint) error {
	to, ok := s.(kv.Savepoint)
	if !ok {
		return fmt.Errorf("%w: %T is no savepoint of this client; use what Savepoint returned", workloads.ErrFailed, s)
	}
	if err := x.handle.RollbackTo(t, to); err != nil {
		return errors.Join(workloads.ErrFailed, err)
	}
	return nil
}
