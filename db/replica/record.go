package replica

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"simulacrum/db/codec"
	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
)

// The record of a transaction, at a key that belongs to the transaction's anchor,
// says what has become of it. Its states:
//
//	          heartbeat              EndTxn with writes in flight
//	(none) ---------------> PENDING ------------------------------> STAGING
//	   |                      |  ^ a push moves it up                | |
//	   |  EndTxn              |  +--                                 | | EndTxn, once all
//	   +----------+           | EndTxn, a push that aborts           | | writes are proven;
//	              v           v                                      v v or RecoverTxn
//	             COMMITTED or ABORTED <------------------------------+-+
//
// Only the coordinator creates a record. Where there is none, others leave markers in
// the timestamp cache: that it was pushed, or that it must never be created. A record
// that is final never changes, and is removed when all its locks are resolved.

// recordKey is the engine's key of a record.
func recordKey(anchor keys.Key, id keys.TxnID) []byte {
	return mvcc.EncodeKey(nil, keys.TxnRecordKey(anchor, id), hlc.Timestamp{})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeRecord is the value of a record under an engine key: a checksum of both, and
// the transaction.
func EncodeRecord(key []byte, txn *kv.Txn) []byte {
	b := txn.Encode(make([]byte, 4, 4+txn.Size()))
	binary.BigEndian.PutUint32(b, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[4:]))
	return b
}

// DecodeRecord reads what EncodeRecord wrote. An error says that the bytes are damaged.
func DecodeRecord(key, val []byte) (*kv.Txn, error) {
	if len(val) < 4 || binary.BigEndian.Uint32(val) != crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, val[4:]) {
		return nil, fmt.Errorf("replica: checksum mismatch of the transaction record at %x", key)
	}
	r := codec.MakeReader(val[4:])
	txn := kv.DecodeTxn(&r)
	return txn, r.Done()
}

// record reads a transaction's record, nil if there is none.
func (ev *evaluation) record(anchor keys.Key, id keys.TxnID) (*kv.Txn, error) {
	key := recordKey(anchor, id)
	v, ok, err := ev.reader.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	return DecodeRecord(key, v)
}

// putRecord writes a record. It keeps what others need to know.
func (ev *evaluation) putRecord(anchor keys.Key, txn *kv.Txn) {
	rec := &kv.Txn{TxnMeta: txn.TxnMeta, Status: txn.Status, LastHeartbeat: txn.LastHeartbeat,
		InFlight: txn.InFlight, LockSpans: txn.LockSpans, IgnoredSeqs: txn.IgnoredSeqs}
	rec.Key, rec.Sequence = anchor, 0
	key := recordKey(anchor, txn.ID)
	ev.batch.Put(key, EncodeRecord(key, rec))
	ev.effects.heard = append(ev.effects.heard, rec)
}

func (ev *evaluation) dropRecord(anchor keys.Key, id keys.TxnID) {
	ev.batch.Delete(recordKey(anchor, id))
}

// canCreate fails if the record may have existed, and be gone, or was forbidden.
func (ev *evaluation) canCreate(anchor keys.Key, txn *kv.TxnMeta) *kv.Error {
	m := ev.r.reads.Tombstone(anchor, txn.ID)
	if m.TS.Less(txn.MinTS) {
		return nil
	}
	ev.r.cfg.Env.Probe(probeRecordRefused)
	why := kv.AbortNoRecord
	if m.Txn == txn.ID {
		why = kv.AbortReplay
	}
	return kv.AbortedError(why, "its record may not be created")
}

func (ev *evaluation) heartbeatTxn(q *kv.HeartbeatTxnRequest) (kv.Response, error) {
	txn := ev.txn
	rec, err := ev.record(q.Key, txn.ID)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		if e := ev.canCreate(q.Key, &txn.TxnMeta); e != nil {
			txn.Status = kv.Aborted
			return nil, e
		}
		made := *txn
		made.Status, made.InFlight, made.LockSpans = kv.Pending, nil, nil
		made.WriteTS = made.WriteTS.Forward(ev.r.reads.MinCommit(q.Key, txn.ID))
		rec = &made
	}
	if !rec.Status.Finalized() {
		rec.LastHeartbeat = rec.LastHeartbeat.Forward(q.Now)
		ev.putRecord(q.Key, rec) // one that is staging stays so
	}
	txn.Status, txn.LastHeartbeat = rec.Status, rec.LastHeartbeat
	if rec.Epoch == txn.Epoch {
		txn.WriteTS = txn.WriteTS.Forward(rec.WriteTS)
	}
	return &kv.HeartbeatTxnResponse{}, nil
}

// endTxn commits, stages or rolls back.
func (ev *evaluation) endTxn(q *kv.EndTxnRequest) (kv.Response, error) {
	if ev.onePhase {
		return ev.endOnePhase(q)
	}
	txn := ev.txn
	rec, err := ev.record(q.Key, txn.ID)
	if err != nil {
		return nil, err
	}
	if e := ev.mayEnd(q, rec); e != nil {
		return nil, e
	}
	if !q.Commit {
		txn.Status = kv.Aborted
		return &kv.EndTxnResponse{}, ev.finalize(q, rec)
	}
	if ev.call.ba.Txn.Status == kv.Staging {
		// All writes were proven at the timestamp that the record has.
		txn.Status = kv.Committed
		return &kv.EndTxnResponse{}, ev.finalize(q, rec)
	}
	if rec != nil {
		txn.WriteTS = txn.WriteTS.Forward(rec.WriteTS)
	}
	if e := ev.mayCommit(q); e != nil {
		return nil, e
	}
	if len(q.InFlight) > 0 {
		txn.Status = kv.Staging
		staged := *txn
		staged.InFlight, staged.LockSpans = q.InFlight, q.LockSpans
		if rec != nil {
			staged.LastHeartbeat = staged.LastHeartbeat.Forward(rec.LastHeartbeat)
		}
		ev.putRecord(q.Key, &staged)
		return &kv.EndTxnResponse{StagingTS: txn.WriteTS}, nil
	}
	txn.Status = kv.Committed
	if err = ev.finalize(q, rec); err == nil && q.Trigger != nil {
		err = ev.trigger(q.Trigger)
	}
	return &kv.EndTxnResponse{}, err
}

// mayEnd judges by the state of the record whether the transaction may be ended so.
func (ev *evaluation) mayEnd(q *kv.EndTxnRequest, rec *kv.Txn) *kv.Error {
	txn := ev.txn
	status := func(format string, args ...any) *kv.Error {
		e := kv.Errorf(kv.TransactionStatus, format, args...)
		e.Detail = &kv.ErrorDetail{Pushee: rec}
		return e
	}
	staged := ev.call.ba.Txn.Status == kv.Staging && q.Commit
	switch {
	case rec == nil && q.Commit:
		if e := ev.canCreate(q.Key, &txn.TxnMeta); e != nil {
			txn.Status = kv.Aborted
			return e
		}
		if staged {
			return status("its record is gone")
		}
	case rec == nil:
	case rec.Status == kv.Committed:
		return status("it is committed already")
	case rec.Status == kv.Aborted && q.Commit:
		txn.Status = kv.Aborted
		return kv.AbortedError(kv.AbortRecordFound, "")
	case rec.Status == kv.Aborted: // its locks may still be there
	case rec.Epoch > txn.Epoch:
		return status("it is in epoch %d", rec.Epoch)
	case rec.Status == kv.Staging && rec.Epoch == txn.Epoch && !q.Commit:
		ev.r.cfg.Env.Probe(probeRollbackStaging)
		ev.rollback = true
		e := kv.Errorf(kv.IndeterminateCommit, "it may be committed")
		e.Detail = &kv.ErrorDetail{Pushee: rec}
		return e
	case staged && (rec.Status != kv.Staging || rec.Epoch != txn.Epoch || rec.WriteTS != txn.WriteTS):
		return status("its record has moved on")
	}
	return nil
}

// mayCommit tests what a commit needs besides the record: that what was read holds at
// the timestamp of what was written, and the deadline.
func (ev *evaluation) mayCommit(q *kv.EndTxnRequest) *kv.Error {
	txn := ev.txn
	txn.WriteTS = txn.WriteTS.Forward(ev.r.reads.MinCommit(q.Key, txn.ID))
	switch {
	case txn.ReadTS != txn.WriteTS:
		return kv.RetryError(kv.RetrySerializable, "read at %s, written at %s", txn.ReadTS, txn.WriteTS)
	case !q.Deadline.IsEmpty() && q.Deadline.LessEq(txn.WriteTS):
		return kv.RetryError(kv.RetryDeadline, "written at %s, deadline %s", txn.WriteTS, q.Deadline)
	}
	return nil
}

// finalize makes the record final. Locks in this range are resolved in the same
// command; if there are none elsewhere no record is left behind.
func (ev *evaluation) finalize(q *kv.EndTxnRequest, rec *kv.Txn) error {
	over := *ev.txn
	over.InFlight, over.LockSpans = nil, nil
	if rec != nil {
		over.LastHeartbeat = over.LastHeartbeat.Forward(rec.LastHeartbeat)
	}
	changed := int64(0)
	d := ev.r.state.Desc
	if t := q.Trigger; t != nil && t.Merge != nil {
		d = &t.Merge.Left // what is to be resolved on the right side is here with the commit
	}
	for _, s := range q.LockSpans {
		here, ok, rest := intersect(d, s)
		over.LockSpans = append(over.LockSpans, rest...)
		if !ok {
			continue
		}
		n, err := ev.resolve(kv.UpdateOf(&over, here))
		if err != nil {
			return err
		}
		changed += n
	}
	if over.Status == kv.Aborted {
		if err := ev.noteAbort(&over.TxnMeta, q.Poison, changed > 0); err != nil {
			return err
		}
	}
	if len(over.LockSpans) > 0 {
		ev.putRecord(q.Key, &over)
		ev.effects.finished = &over
	} else {
		if rec != nil {
			ev.dropRecord(q.Key, over.ID)
		}
		ev.effects.heard = append(ev.effects.heard, &over)
	}
	over.Key = q.Key
	ev.effects.tombs = append(ev.effects.tombs, tomb{txn: over.TxnMeta, by: over.ID})
	return nil
}

// mayBeOnePhase reports that the batch is a whole transaction, within the range, so that
// it needs neither intents nor a record.
func (ev *evaluation) mayBeOnePhase() bool {
	if ev.txn == nil || ev.txn.Epoch > 0 || ev.txn.ReadTS != ev.txn.WriteTS || !ev.call.ba.IsCompleteTxn() {
		return false
	}
	for _, s := range ev.call.ba.EndTxn().LockSpans {
		if _, ok, rest := intersect(ev.r.state.Desc, s); !ok || len(rest) > 0 {
			return false
		}
	}
	return true
}

// endOnePhase commits a transaction whose versions are in the same command. A copy of
// the batch that comes later finds the marker that this one leaves.
func (ev *evaluation) endOnePhase(q *kv.EndTxnRequest) (kv.Response, error) {
	txn := ev.txn
	rec, err := ev.record(q.Key, txn.ID)
	if err != nil {
		return nil, err
	}
	if e := ev.mayEnd(q, rec); e != nil {
		return nil, e
	}
	if e := ev.mayCommit(q); e != nil {
		return nil, e
	}
	txn.Status = kv.Committed
	for _, s := range q.LockSpans {
		if ev.writes(s) { // no intent, but perhaps the lock of an earlier read, in memory
			ev.effects.update(kv.UpdateOf(txn, s))
		} else if _, err := ev.resolve(kv.UpdateOf(txn, s)); err != nil {
			return nil, err
		}
	}
	if rec != nil {
		ev.dropRecord(q.Key, txn.ID)
	}
	ev.r.cfg.Env.Probe(probeOnePhase)
	over := *txn
	over.Key = q.Key
	ev.effects.heard = append(ev.effects.heard, &over)
	ev.effects.tombs = append(ev.effects.tombs, tomb{txn: over.TxnMeta, by: over.ID})
	return &kv.EndTxnResponse{OnePhase: true}, nil
}

// writes reports that s is a point that a request of the batch writes.
func (ev *evaluation) writes(s keys.Span) bool {
	for _, q := range ev.call.ba.Requests {
		if q.Method().Intents() && s.IsPoint() && q.Span().Equal(s) {
			return true
		}
	}
	return false
}

// pushee is what is known of a transaction, from its record or without one.
func (ev *evaluation) pushee(anchor keys.Key, meta *kv.TxnMeta) (txn *kv.Txn, exists bool, err error) {
	rec, err := ev.record(anchor, meta.ID)
	if err != nil || rec != nil {
		return rec, rec != nil, err
	}
	txn = &kv.Txn{TxnMeta: *meta, LastHeartbeat: meta.MinTS}
	txn.Key, txn.Sequence = anchor, 0
	if ev.canCreate(anchor, meta) != nil {
		// It was over, and its locks were resolved before its record went; or it was
		// aborted before it had one.
		txn.Status = kv.Aborted
	}
	txn.WriteTS = txn.WriteTS.Forward(ev.r.reads.MinCommit(anchor, meta.ID))
	return txn, false, nil
}

// pushTxn gets a transaction out of another's way, or says that it is not to be moved.
func (ev *evaluation) pushTxn(q *kv.PushTxnRequest) (kv.Response, error) {
	pushee, exists, err := ev.pushee(q.Key, &q.Pushee)
	if err != nil {
		return nil, err
	}
	if !pushee.Status.Finalized() {
		if pushee.Status == kv.Staging && (pushee.Epoch < q.Pushee.Epoch || pushee.Epoch == q.Pushee.Epoch && pushee.WriteTS.Less(q.Pushee.WriteTS)) {
			// It has written since, or higher: what it staged did not commit.
			ev.r.cfg.Env.Probe(probeStagingVoid)
			pushee.Status, pushee.InFlight = kv.Pending, nil
		}
		pushee.Epoch = max(pushee.Epoch, q.Pushee.Epoch)
		pushee.WriteTS = pushee.WriteTS.Forward(q.Pushee.WriteTS)
		pushee.Priority = max(pushee.Priority, q.Pushee.Priority)
	}
	switch concurrency.JudgePush(q, pushee, ev.now, ev.r.cfg.Requests.Tunables.Expiration) {
	case concurrency.PushWaits:
		if ev.call.req.Push != nil && ev.call.ba.WaitPolicy == kv.WaitBlock {
			ev.waitFor = pushee
		}
		e := kv.Errorf(kv.TransactionPush, "")
		e.Detail = &kv.ErrorDetail{Pushee: pushee}
		return nil, e
	case concurrency.PushRecovers:
		e := kv.Errorf(kv.IndeterminateCommit, "")
		e.Detail = &kv.ErrorDetail{Pushee: pushee}
		return nil, e
	case concurrency.PushMoves:
		pushee.WriteTS = pushee.WriteTS.Forward(q.PushTo)
		if exists {
			ev.putRecord(q.Key, pushee)
		} else {
			ev.effects.heard = append(ev.effects.heard, pushee)
			ev.effects.pushed = pushee
		}
	case concurrency.PushAborts:
		pushee.Status, pushee.InFlight = kv.Aborted, nil
		if exists {
			ev.putRecord(q.Key, pushee)
		} else {
			ev.effects.heard = append(ev.effects.heard, pushee)
		}
		ev.effects.tombs = append(ev.effects.tombs, tomb{txn: pushee.TxnMeta})
	}
	return &kv.PushTxnResponse{Pushee: *pushee}, nil
}

func (ev *evaluation) queryTxn(q *kv.QueryTxnRequest) (kv.Response, error) {
	txn, exists, err := ev.pushee(q.Key, &q.Txn)
	if err != nil {
		return nil, err
	}
	if ev.call.req.Query != nil && ev.r.requests.HandleQuery(ev.call.ticket, txn) {
		ev.queryWaits = true
		return nil, kv.Errorf(kv.TransactionPush, "waits for news")
	}
	return &kv.QueryTxnResponse{Exists: exists, Txn: *txn, Waiting: ev.r.requests.Dependents(q.Txn.ID)}, nil
}

// recoverTxn ends a transaction that is staging as its writes say, unless it has moved
// on since they were looked at.
func (ev *evaluation) recoverTxn(q *kv.RecoverTxnRequest) (kv.Response, error) {
	txn, exists, err := ev.pushee(q.Key, &q.Txn)
	if err != nil {
		return nil, err
	}
	if !exists || txn.Status != kv.Staging || txn.Epoch != q.Txn.Epoch || txn.WriteTS != q.Txn.WriteTS {
		return &kv.RecoverTxnResponse{Recovered: *txn}, nil
	}
	ev.r.cfg.Env.Probe(probeRecovered)
	txn.InFlight = nil
	txn.Status = kv.Aborted
	if q.ImplicitlyCommitted {
		txn.Status = kv.Committed
	}
	ev.putRecord(q.Key, txn)
	ev.effects.finished = txn
	ev.effects.tombs = append(ev.effects.tombs, tomb{txn: txn.TxnMeta})
	return &kv.RecoverTxnResponse{Recovered: *txn}, nil
}
