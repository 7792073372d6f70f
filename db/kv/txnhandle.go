package kv

import (
	"errors"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/sim/env"
)

// WithTxns is a handle like db whose transactions are begun by s.
func (db *DB) WithTxns(s TxnStarter) *DB {
	with := *db
	with.txns = s
	return &with
}

// Txn runs fn as one transaction and commits it, unless fn has. fn is run again, from
// its beginning, whenever the transaction must be: it must have no effects but those
// of tx, and must pass on the errors it gets, wrapped if it likes. Any other error
// of fn, or of the commit, rolls back and is returned. One that is Ambiguous says
// that the commit may have happened.
func (db *DB) Txn(t env.Task, fn func(tx *TxnHandle) error) error {
	return db.TxnWith(t, TxnOptions{}, fn)
}

// TxnWith is Txn of a transaction with options.
func (db *DB) TxnWith(t env.Task, o TxnOptions, fn func(tx *TxnHandle) error) error {
	tx, err := db.Begin(t, o)
	if err != nil {
		return err
	}
	for {
		err := fn(tx)
		if err == nil {
			err = tx.Commit(t)
		}
		if err == nil {
			return nil
		}
		var e *Error
		if !errors.As(err, &e) || !e.Retryable() || tx.ended || tx.fixed || tx.Restart(t) != nil {
			tx.Rollback(t)
			return err
		}
		if terr := t.Err(); terr != nil {
			tx.Rollback(t)
			timeout := Errorf(Timeout, "%v", terr)
			timeout.Cause = e
			return timeout
		}
	}
}

// Begin begins a transaction that the caller ends, by Commit or Rollback, and
// restarts when that is due. Txn does all this.
func (db *DB) Begin(t env.Task, o TxnOptions) (*TxnHandle, error) {
	if db.txns == nil {
		return nil, Errorf(BadRequest, "the handle has no transactions")
	}
	s, err := db.txns.Begin(t, o)
	if err != nil {
		return nil, err
	}
	tx := &TxnHandle{db: db, sender: s}
	if !db.at.IsEmpty() {
		if err := tx.FixTimestamp(t, db.at); err != nil {
			return nil, err
		}
	}
	return tx, nil
}

// TxnHandle is a transaction in conversation. Its errors are of type *Error. It is for
// one task.
type TxnHandle struct {
	db       *DB
	sender   TxnSender
	deadline hlc.Timestamp
	policy   WaitPolicy
	fixed    bool // the client chose the timestamp: no attempt can do better
	ended    bool
}

// Restart begins the next attempt after an error that is Retryable.
func (tx *TxnHandle) Restart(t env.Task) error {
	if err := tx.sender.Restart(t); err != nil {
		return err
	}
	tx.deadline = hlc.Timestamp{}
	return nil
}

// Txn is the transaction as it stands. It must not be changed.
func (tx *TxnHandle) Txn() *Txn { return tx.sender.Txn() }

// ReadTimestamp is that of the snapshot that is read. It may move up until the end,
// unless it is fixed.
func (tx *TxnHandle) ReadTimestamp() hlc.Timestamp { return tx.sender.Txn().ReadTS }

// CommitTimestamp is that of the commit, once it has succeeded.
func (tx *TxnHandle) CommitTimestamp() hlc.Timestamp {
	txn := tx.sender.Txn()
	if !txn.IsLocking() {
		return txn.ReadTS
	}
	return txn.WriteTS
}

// SetDeadline has the commit fail unless its timestamp lies below ts. An earlier
// deadline stays. It holds for this attempt.
func (tx *TxnHandle) SetDeadline(ts hlc.Timestamp) {
	if tx.deadline.IsEmpty() || ts.Less(tx.deadline) {
		tx.deadline = ts
	}
}

// SetPriority changes the priority, from the next batch on.
func (tx *TxnHandle) SetPriority(priority int32) { tx.sender.SetPriority(priority) }

// SetWaitPolicy says what further requests do about the locks of others.
func (tx *TxnHandle) SetWaitPolicy(p WaitPolicy) { tx.policy = p }

// FixTimestamp has the transaction read and commit at ts or not at all, and not be
// retried: nothing may have been sent yet. An empty ts means the present read
// timestamp, at any time, for this attempt.
func (tx *TxnHandle) FixTimestamp(t env.Task, ts hlc.Timestamp) error {
	if err := tx.sender.FixTimestamp(t, ts); err != nil {
		return err
	}
	tx.fixed = tx.fixed || !ts.IsEmpty()
	return nil
}

// Savepoint names the present moment, for RollbackTo.
func (tx *TxnHandle) Savepoint(t env.Task) (Savepoint, error) {
	s, err := tx.sender.Savepoint(t)
	if err != nil {
		return Savepoint{}, err
	}
	return s, nil
}

// RollbackTo undoes the writes since the savepoint, which stays.
func (tx *TxnHandle) RollbackTo(t env.Task, s Savepoint) error {
	if err := tx.sender.RollbackTo(t, s); err != nil {
		return err
	}
	return nil
}

// Batch sends requests that are evaluated together, if they are of one range, and in
// order as far as they concern the same keys.
func (tx *TxnHandle) Batch(t env.Task, h Header, requests ...Request) (*BatchResponse, error) {
	*tx.db.nextID++
	h.ID = *tx.db.nextID
	if h.WaitPolicy == WaitBlock {
		h.WaitPolicy = tx.policy
	}
	ba := &BatchRequest{Header: h, Requests: requests}
	br := tx.sender.Send(t, ba)
	if br.Err != nil {
		return nil, br.Err
	}
	if err := CheckResponse(ba, br); err != nil {
		return nil, err
	}
	return br, nil
}

// Get reads one key.
func (tx *TxnHandle) Get(t env.Task, key keys.Key) (Value, error) {
	return tx.GetLocked(t, key, Locking{})
}

// GetLocked reads one key and locks it, if it has a value.
func (tx *TxnHandle) GetLocked(t env.Task, key keys.Key, lock Locking) (Value, error) {
	br, err := tx.Batch(t, Header{}, &GetRequest{Key: key, Locking: lock})
	if err != nil {
		return Value{}, err
	}
	get := br.Responses[0].(*GetResponse)
	return Value{Bytes: get.Value, Exists: get.Exists, Timestamp: get.Timestamp}, nil
}

func (tx *TxnHandle) send(t env.Task, r Request) error {
	_, err := tx.Batch(t, Header{}, r)
	return err
}

// Put writes one key.
func (tx *TxnHandle) Put(t env.Task, key keys.Key, value []byte) error {
	return tx.send(t, &PutRequest{Key: key, Value: value})
}

// CPut writes one key if it has the expected value.
func (tx *TxnHandle) CPut(t env.Task, key keys.Key, value, expected []byte) error {
	return tx.send(t, &ConditionalPutRequest{Key: key, Value: value, Expected: expected, ExpectedExists: true})
}

// CPutAbsent writes one key if it has no value.
func (tx *TxnHandle) CPutAbsent(t env.Task, key keys.Key, value []byte) error {
	return tx.send(t, &ConditionalPutRequest{Key: key, Value: value})
}

// InitPut writes one key that has no value, or the same, and fails if it has another.
func (tx *TxnHandle) InitPut(t env.Task, key keys.Key, value []byte) error {
	return tx.send(t, &InitPutRequest{Key: key, Value: value})
}

// Inc adds to the number at key, and returns the sum.
func (tx *TxnHandle) Inc(t env.Task, key keys.Key, by int64) (int64, error) {
	br, err := tx.Batch(t, Header{}, &IncrementRequest{Key: key, By: by})
	if err != nil {
		return 0, err
	}
	return br.Responses[0].(*IncrementResponse).Value, nil
}

// Del deletes the value at key, and tells whether there was one.
func (tx *TxnHandle) Del(t env.Task, key keys.Key) (existed bool, err error) {
	br, err := tx.Batch(t, Header{}, &DeleteRequest{Key: key})
	if err != nil {
		return false, err
	}
	return br.Responses[0].(*DeleteResponse).Existed, nil
}

// DelRange deletes all values of [start, end), and tells how many there were.
func (tx *TxnHandle) DelRange(t env.Task, start, end keys.Key) (int64, error) {
	br, err := tx.Batch(t, Header{}, &DeleteRangeRequest{Key: start, EndKey: end})
	if err != nil {
		return 0, err
	}
	return br.Responses[0].(*DeleteRangeResponse).Count, nil
}

// Scan reads the keys of [start, end) upwards, at most limit of them (0: all).
func (tx *TxnHandle) Scan(t env.Task, start, end keys.Key, limit int64) ([]KeyValue, error) {
	return tx.scan(t, &ScanRequest{Key: start, EndKey: end}, limit)
}

// ReverseScan is Scan downwards from end.
func (tx *TxnHandle) ReverseScan(t env.Task, start, end keys.Key, limit int64) ([]KeyValue, error) {
	return tx.scan(t, &ReverseScanRequest{Key: start, EndKey: end}, limit)
}

// ScanLocked is Scan that locks what it returns.
func (tx *TxnHandle) ScanLocked(t env.Task, start, end keys.Key, limit int64, lock Locking) ([]KeyValue, error) {
	return tx.scan(t, &ScanRequest{Key: start, EndKey: end, Locking: lock}, limit)
}

func (tx *TxnHandle) scan(t env.Task, r Request, limit int64) ([]KeyValue, error) {
	return scanPages(r, limit, tx.db.page, func(h Header, r Request) (*BatchResponse, error) { return tx.Batch(t, h, r) })
}

// Commit ends the transaction, so that it takes effect. When it returns without
// error the gateway's clock is past the commit timestamp.
func (tx *TxnHandle) Commit(t env.Task) error {
	_, err := tx.CommitWith(t, Header{})
	return err
}

// CommitWith sends requests and commits, all in one batch. If they are all that the
// transaction writes, and of one range, one phase is enough. It returns the answers
// to the requests. A transaction that has ended is not committed again.
func (tx *TxnHandle) CommitWith(t env.Task, h Header, requests ...Request) (*BatchResponse, error) {
	if tx.ended && len(requests) == 0 {
		return &BatchResponse{}, nil
	}
	return tx.commit(t, h, nil, requests)
}

// CommitTrigger is Commit with what the commit does to the range that holds the
// transaction's record, which is that of the first key that it wrote.
func (tx *TxnHandle) CommitTrigger(t env.Task, trigger *CommitTrigger) error {
	_, err := tx.commit(t, Header{}, trigger, nil)
	return err
}

func (tx *TxnHandle) commit(t env.Task, h Header, trigger *CommitTrigger, requests []Request) (*BatchResponse, error) {
	end := &EndTxnRequest{Commit: true, Deadline: tx.deadline, Trigger: trigger}
	all := append(append(make([]Request, 0, len(requests)+1), requests...), end)
	br, err := tx.Batch(t, h, all...)
	if err != nil {
		return nil, err
	}
	tx.ended = true
	answers := *br
	answers.Responses = br.Responses[:len(requests)]
	return &answers, nil
}

// Rollback ends the transaction without effect. It does not wait: locks may be
// removed a little later. It does nothing if the transaction has ended.
func (tx *TxnHandle) Rollback(t env.Task) {
	if tx.ended {
		return
	}
	tx.ended = true
	tx.sender.Send(t, &BatchRequest{Requests: []Request{&EndTxnRequest{}}})
}
