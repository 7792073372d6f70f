package replica

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// effects are what a command means beyond the data that it writes, for the memory of
// the replica that evaluated it: locks, records of transactions, and who waits for
// them. They follow when the command has applied, before its latches are released;
// never if it does not.
type effects struct {
	acquired []kv.Lock
	updated  []kv.LockUpdate
	// heard are transactions of which something new is known at their records.
	heard []*kv.Txn
	// seen are commits that took back some of their writes. What those had found is read
	// for good, and no intent stands for it any more (scenarios/found/taken-back).
	seen []kv.LockUpdate
	// pushed has no record, and must commit at or above its write timestamp.
	pushed *kv.Txn
	// tombs are transactions whose records must not be created, or not again.
	tombs []tomb
	// finished has a final record, and locks in other ranges.
	finished *kv.Txn
}

// tomb is a transaction that is over. by is itself if it has ended itself.
type tomb struct {
	txn kv.TxnMeta
	by  keys.TxnID
}

func (fx *effects) acquire(k keys.Key, txn kv.TxnMeta, s kv.LockStrength, d kv.LockDurability) {
	fx.acquired = append(fx.acquired, kv.Lock{Key: k, Txn: txn, Strength: s, Durability: d})
}

func (fx *effects) update(u kv.LockUpdate) {
	fx.updated = append(fx.updated, u)
	if u.Status == kv.Committed && len(u.IgnoredSeqs) > 0 {
		fx.seen = append(fx.seen, u)
	}
}

// follow lets the effects be.
func (fx *effects) follow(r *Replica) {
	for i := range fx.acquired {
		l := &fx.acquired[i]
		r.requests.OnLockAcquired(l.Key, l.Txn, l.Strength, l.Durability)
	}
	for i := range fx.updated {
		r.requests.OnLockUpdated(&fx.updated[i])
	}
	for i := range fx.seen {
		u := &fx.seen[i]
		r.reads.Add(u.Span, u.Txn.WriteTS, u.Txn.ID)
	}
	if t := fx.pushed; t != nil {
		r.reads.MarkPushed(t.Key, t.ID, t.WriteTS)
	}
	for i := range fx.tombs {
		t := &fx.tombs[i]
		r.reads.MarkTombstone(t.txn.Key, t.txn.ID, t.txn.MinTS, t.by)
	}
	for _, txn := range fx.heard {
		if txn.Status == kv.Staging {
			r.cfg.Env.Probe(probeStaged)
		}
		r.requests.OnTxnUpdated(txn)
	}
	if fx.finished != nil {
		r.cfg.Host.TxnFinished(r, fx.finished)
	}
	*fx = effects{}
}
