package replica

import (
	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// AbortNote is what the abort span of a range keeps of a transaction whose intents
// were removed from it because it is aborted. The transaction may not know yet: were
// it to read here now, it would miss what it wrote.
type AbortNote struct {
	Anchor   keys.Key      // where its record was
	WriteTS  hlc.Timestamp // at or above which it is to begin anew
	Priority int32
	// At is when the note was left, by the leaseholder's clock: it is kept for as long as
	// somebody may need it, however long ago the transaction began.
	At hlc.Timestamp
}

// Encode appends the note.
func (n *AbortNote) Encode(b []byte) []byte {
	b = codec.AppendVarint(n.WriteTS.Encode(codec.AppendBytes(b, n.Anchor)), int64(n.Priority))
	return n.At.Encode(b)
}

// DecodeAbortNote reads what Encode wrote.
func DecodeAbortNote(v []byte) (AbortNote, error) {
	r := codec.MakeReader(v)
	n := AbortNote{Anchor: r.Bytes(), WriteTS: hlc.Decode(&r), Priority: r.Int32(), At: hlc.Decode(&r)}
	return n, r.Done()
}

// checkAbortSpan fails if the batch's transaction has been aborted here. Requests that
// concern its record find out there.
func (ev *evaluation) checkAbortSpan() *kv.Error {
	txn := ev.txn
	if txn == nil || !txn.IsLocking() {
		return nil
	}
	looks := false
	for _, q := range ev.call.ba.Requests {
		switch q.Method() {
		case kv.HeartbeatTxn, kv.QueryTxn:
		case kv.EndTxn:
			looks = looks || q.(*kv.EndTxnRequest).Commit
		default:
			looks = true
		}
	}
	if !looks {
		return nil
	}
	v, ok, err := ev.r.engine.Get(keys.AbortSpanKey(ev.r.rangeID, txn.ID))
	if err != nil || !ok {
		return ev.failed(nil, err)
	}
	n, err := DecodeAbortNote(v)
	if err != nil {
		return ev.failed(nil, err)
	}
	ev.r.cfg.Env.Probe(probeAbortSpan)
	txn.WriteTS = txn.WriteTS.Forward(n.WriteTS)
	txn.Status = kv.Aborted
	return kv.AbortedError(kv.AbortSpanFound, "its intents in r%d were removed", ev.r.rangeID)
}

// noteAbort leaves a note, or takes it away, when locks of an aborted transaction were
// resolved. Without poison its coordinator knows, and has nothing more under way.
func (ev *evaluation) noteAbort(txn *kv.TxnMeta, poison, removed bool) error {
	key := keys.AbortSpanKey(ev.r.rangeID, txn.ID)
	if poison {
		if removed {
			n := AbortNote{Anchor: txn.Key, WriteTS: txn.WriteTS, Priority: txn.Priority, At: ev.now}
			ev.batch.Put(key, n.Encode(nil))
		}
		return nil
	}
	_, ok, err := ev.reader.Get(key)
	if ok {
		ev.batch.Delete(key)
	}
	return err
}
