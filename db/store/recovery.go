package store

import (
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// recovered is what came of a recovery.
type recovered struct {
	txn *kv.Txn
	err *kv.Error
}

// Recover finds out whether a transaction is committed whose record was found Staging,
// as staged says, makes the record say so, and returns it as it then is. It is not
// final if its coordinator has meanwhile moved on.
//
// It is one recovery for all who ask while it is in progress. It has a task of its own:
// that one of those who wait is cancelled is no matter to the others. If it fails it
// is they who decide whether to ask again.
func (x *Txns) Recover(t env.Task, staged *kv.Txn) (*kv.Txn, *kv.Error) {
	p := x.recoveries[staged.ID]
	if p == nil {
		p = new(env.Promise[recovered])
		x.recoveries[staged.ID] = p
		x.p.Go("recover transaction", func(t env.Task) {
			txn, err := x.recover(t, staged)
			delete(x.recoveries, staged.ID)
			p.Resolve(recovered{txn, err}, nil)
		})
	} else {
		x.p.Probe(probeRecoveryShared)
	}
	r, err := p.Wait(t, "recovery", -1)
	if err != nil {
		return nil, kv.Errorf(kv.Timeout, "waiting for the recovery of transaction %s: %s", kv.FormatTxnID(staged.ID), err)
	}
	return r.txn, r.err
}

// recover asks for the writes in flight and then tells the record. Between the two the
// record may change: its range compares it with what was asked about.
func (x *Txns) recover(t env.Task, staged *kv.Txn) (*kv.Txn, *kv.Error) {
	x.p.Probe(probeRecovery)
	all, err := x.allWritten(t, staged)
	if err != nil {
		x.p.Probe(probeRecoveryFailed)
		return nil, err
	}
	x.p.Probe(probeRecoveryAsked)
	br := x.send(t, kv.Header{}, &kv.RecoverTxnRequest{Key: staged.Key, Txn: staged.TxnMeta, ImplicitlyCommitted: all})
	if br.Err != nil {
		x.p.Probe(probeRecoveryFailed)
		return nil, br.Err
	}
	txn := &br.Responses[0].(*kv.RecoverTxnResponse).Recovered
	switch txn.Status {
	case kv.Committed:
		x.p.Probe(probeRecoveredCommitted)
	case kv.Aborted:
		x.p.Probe(probeRecoveredAborted)
	}
	return txn, nil
}

// allWritten reports whether each write in flight is there, as the staged attempt left
// it: at its epoch, and at or below its timestamp. One that is not there can never
// come, for the very question forbids it.
func (x *Txns) allWritten(t env.Task, staged *kv.Txn) (bool, *kv.Error) {
	for left := staged.InFlight; len(left) > 0; {
		n := min(len(left), x.set.recoveryBatch)
		reqs := make([]kv.Request, n)
		for i, w := range left[:n] {
			q := &kv.QueryIntentRequest{Key: w.Key, Txn: staged.TxnMeta}
			q.Txn.Sequence = w.Sequence
			reqs[i] = q
		}
		br := x.send(t, kv.Header{}, reqs...)
		if br.Err != nil {
			return false, br.Err
		}
		for _, r := range br.Responses {
			if !r.(*kv.QueryIntentResponse).Found {
				return false, nil
			}
		}
		left = left[n:]
	}
	return true, nil
}
