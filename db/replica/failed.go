package replica

import (
	"errors"

	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
)

// failed is the client's error for why a request could not be evaluated, nil if err is.
// When the engine cannot read, its content is damaged, and an answer made without it
// would be wrong: then the process ends.
func (ev *evaluation) failed(q kv.Request, err error) *kv.Error {
	if err == nil {
		return nil // before the variables below, whose addresses are taken, are allocated
	}
	return ev.clientError(q, err)
}

func (ev *evaluation) clientError(q kv.Request, err error) *kv.Error {
	var e *kv.Error
	var condition *mvcc.ConditionFailedError
	var old *mvcc.WriteTooOldError
	var uncertain *mvcc.UncertaintyError
	var locks *mvcc.LockConflictError
	var refresh *mvcc.RefreshError
	var epoch *mvcc.StaleEpochError
	var sequence *mvcc.SequenceError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &condition):
		e = kv.Errorf(kv.ConditionFailed, "")
		e.Timestamp = ev.ts // it is a read as well
		if v := condition.Actual; v.Exists {
			e.Actual = &kv.KeyValue{Key: q.Span().Key, Value: v.Bytes, Timestamp: v.Timestamp}
		}
		return e
	case errors.As(err, &old):
		if ev.now.Less(old.Existing) {
			ev.r.cfg.Env.Probe(probeClockBehindWrites)
		}
		e = kv.Errorf(kv.WriteTooOld, "")
		e.Detail = &kv.ErrorDetail{Key: old.Key, ActualTS: old.Existing.Next()}
		return e
	case errors.As(err, &uncertain):
		ev.r.cfg.Env.Probe(probeUncertain)
		e = kv.Errorf(kv.Uncertainty, "")
		e.Detail = &kv.ErrorDetail{Key: uncertain.Key, ReadTS: ev.ts, ValueTS: uncertain.ValueTS, LocalTS: ev.uncertainty.LocalLimit}
		return e
	case errors.As(err, &locks):
		ev.conflicts = locks.Locks
		e = kv.Errorf(kv.LockConflict, "")
		e.Detail = &kv.ErrorDetail{Locks: locks.Locks}
		return e
	case errors.As(err, &refresh):
		return kv.RetryError(kv.RetrySerializable, "%s", err)
	case errors.As(err, &epoch), errors.As(err, &sequence):
		// A request of an attempt that is over, or a copy that was late: nobody waits.
		return kv.Errorf(kv.TransactionStatus, "%s", err)
	case errors.Is(err, mvcc.ErrNotInteger), errors.Is(err, mvcc.ErrOverflow):
		return kv.Errorf(kv.BadRequest, "%s", err)
	}
	ev.r.cfg.Env.Fatal(err)
	return nil
}
