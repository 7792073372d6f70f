package kvclient

import (
	"slices"

	"bytes"
	"encoding/binary"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

type codecReader = codec.Reader

func newCodecReader(b []byte) *codec.Reader { return codec.NewReader(b) }

// toyEval is one attempt at a batch: all of it, or nothing.
type toyEval struct {
	f    *toy
	ba   *kv.BatchRequest
	txn  *kv.Txn // as it becomes; nil: none
	now  hlc.Timestamp
	drop bool // the writes come to nothing
	at   int32

	conflict *toyConflict
	reads    []func()
}

func (ev *toyEval) run() (*kv.BatchResponse, *toyConflict) {
	f := ev.f
	saved := map[string]toyKey{}
	for name, k := range f.keys {
		c := *k
		c.versions = k.versions[:len(k.versions):len(k.versions)]
		if k.intent != nil {
			i := *k.intent
			i.history = i.history[:len(i.history):len(i.history)]
			c.intent = &i
		}
		saved[name] = c
	}
	restore := func() {
		for name, k := range saved {
			read, reader := f.keys[name].read, f.keys[name].reader
			*f.keys[name] = k
			f.keys[name].read, f.keys[name].reader = read, reader
		}
	}
	br := &kv.BatchResponse{}
	if err := ev.check(); err != nil {
		return &kv.BatchResponse{Err: err, Txn: ev.txn}, nil
	}
	for i, r := range ev.ba.Requests {
		ev.at = int32(i)
		response, err := ev.one(r)
		if ev.conflict != nil {
			restore()
			return nil, ev.conflict
		}
		if err != nil {
			restore()
			err.Index = int32(i)
			if err.Kind == kv.ConditionFailed {
				for _, read := range ev.reads {
					read()
				}
			}
			return &kv.BatchResponse{Err: err, Txn: ev.txn}, nil
		}
		br.Responses = append(br.Responses, response)
	}
	for _, read := range ev.reads {
		read()
	}
	if ev.drop {
		restore()
	}
	br.Txn = ev.txn
	if ev.txn != nil {
		br.Timestamp = ev.txn.WriteTS
	}
	return br, nil
}

// check refuses requests of a transaction that is aborted.
func (ev *toyEval) check() *kv.Error {
	if ev.txn == nil || ev.ba.EndTxn() != nil {
		return nil
	}
	if rec := ev.f.records[ev.txn.ID]; rec != nil && rec.Status == kv.Aborted {
		ev.txn.Status = kv.Aborted
		return kv.AbortedError(kv.AbortSpanFound, "")
	}
	return nil
}

func (ev *toyEval) in(s keys.Span, do func(name string, k *toyKey)) {
	for _, name := range ev.f.names {
		if s.ContainsKey(keys.Key(name)) && ev.conflict == nil {
			do(name, ev.f.keys[name])
		}
	}
}

func (ev *toyEval) one(r kv.Request) (kv.Response, *kv.Error) {
	switch r := r.(type) {
	case *kv.GetRequest:
		v, err := ev.read(r.Key, r.Sequence)
		if err == nil && r.Lock != kv.LockNone && v.exists {
			ev.lock(r.Key)
		}
		return &kv.GetResponse{Value: v.bytes, Exists: v.exists}, err
	case *kv.ScanRequest:
		rows, err := ev.scan(r.Span(), r.Sequence)
		return &kv.ScanResponse{Rows: rows}, err
	case *kv.ReverseScanRequest:
		rows, err := ev.scan(r.Span(), r.Sequence)
		slices.Reverse(rows)
		return &kv.ReverseScanResponse{Rows: rows}, err
	case *kv.PutRequest:
		return &kv.PutResponse{}, ev.write(r.Key, r.Sequence, func(toyValue) (toyValue, *kv.Error) { return toyValue{bytes: r.Value, exists: true}, nil }, false)
	case *kv.ConditionalPutRequest:
		return &kv.ConditionalPutResponse{}, ev.write(r.Key, r.Sequence, func(old toyValue) (toyValue, *kv.Error) {
			if old.exists != r.ExpectedExists || old.exists && !bytes.Equal(old.bytes, r.Expected) {
				e := kv.Errorf(kv.ConditionFailed, "")
				if old.exists {
					e.Actual = &kv.KeyValue{Key: r.Key, Value: old.bytes}
				}
				return old, e
			}
			return toyValue{bytes: r.Value, exists: true}, nil
		}, true)
	case *kv.IncrementRequest:
		sum := r.By
		err := ev.write(r.Key, r.Sequence, func(old toyValue) (toyValue, *kv.Error) {
			if old.exists {
				sum += int64(binary.BigEndian.Uint64(old.bytes))
			}
			return toyValue{bytes: binary.BigEndian.AppendUint64(nil, uint64(sum)), exists: true}, nil
		}, true)
		return &kv.IncrementResponse{Value: sum}, err
	case *kv.DeleteRequest:
		existed := false
		err := ev.write(r.Key, r.Sequence, func(old toyValue) (toyValue, *kv.Error) { existed = old.exists; return toyValue{}, nil }, true)
		return &kv.DeleteResponse{Existed: existed}, err
	case *kv.DeleteRangeRequest:
		response := &kv.DeleteRangeResponse{}
		var failed *kv.Error
		ev.in(r.Span(), func(name string, _ *toyKey) {
			v, err := ev.read(keys.Key(name), r.Sequence-1)
			if err == nil && v.exists {
				response.Count++
				err = ev.write(keys.Key(name), r.Sequence, func(toyValue) (toyValue, *kv.Error) { return toyValue{}, nil }, true)
			}
			if err != nil {
				failed = err
			}
		})
		return response, failed
	case *kv.RefreshRequest:
		return &kv.RefreshResponse{}, ev.refresh(r.Span(), r.RefreshFrom)
	case *kv.RefreshRangeRequest:
		return &kv.RefreshRangeResponse{}, ev.refresh(r.Span(), r.RefreshFrom)
	case *kv.QueryIntentRequest:
		return ev.queryIntent(r)
	case *kv.QueryTxnRequest:
		if rec := ev.f.records[r.Txn.ID]; rec != nil {
			return &kv.QueryTxnResponse{Exists: true, Txn: *rec}, nil
		}
		return &kv.QueryTxnResponse{Txn: kv.Txn{TxnMeta: r.Txn}}, nil
	case *kv.HeartbeatTxnRequest:
		return &kv.HeartbeatTxnResponse{}, ev.heartbeat(r)
	case *kv.EndTxnRequest:
		return ev.end(r)
	}
	panic("toy: " + r.Method().String())
}

// read is what the transaction sees at the key.
func (ev *toyEval) read(key keys.Key, seq int32) (toyValue, *kv.Error) {
	k, txn := ev.f.keys[string(key)], ev.txn
	limit := txn.GlobalLimit
	if own, ok := txn.ObservedAt(1); ok {
		limit = limit.Backward(own)
	}
	if i := k.intent; i != nil {
		switch {
		case i.txn.ID == txn.ID && i.txn.Epoch == txn.Epoch:
			if v, ok := i.at(seq, txn.IgnoredSeqs); ok {
				return v, nil
			}
		case i.txn.ID == txn.ID:
		case i.txn.WriteTS.LessEq(txn.ReadTS.Forward(txn.GlobalLimit)):
			ev.conflict = &toyConflict{key: key, txn: i.txn, ts: txn.ReadTS.Forward(txn.GlobalLimit)}
			return toyValue{}, nil
		}
	}
	var v toyValue
	for _, x := range k.versions {
		switch {
		case x.ts.LessEq(txn.ReadTS):
			v = x.toyValue
		case x.ts.LessEq(txn.GlobalLimit) && x.local.LessEq(limit):
			e := kv.Errorf(kv.Uncertainty, "")
			e.Detail = &kv.ErrorDetail{ReadTS: txn.ReadTS, ValueTS: x.ts, LocalTS: limit}
			return v, e
		}
	}
	ts, id := txn.ReadTS, txn.ID
	ev.reads = append(ev.reads, func() { k.bump(ts, id) })
	return v, nil
}

func (ev *toyEval) locked(key keys.Key) bool {
	k := ev.f.keys[string(key)]
	if i := k.intent; i != nil && i.txn.ID != ev.txn.ID {
		ev.conflict = &toyConflict{key: key, txn: i.txn, write: true}
	} else if k.lock != nil && k.lock.ID != ev.txn.ID {
		ev.conflict = &toyConflict{key: key, txn: *k.lock, write: true}
	}
	return ev.conflict != nil
}

func (ev *toyEval) lock(key keys.Key) {
	if !ev.locked(key) {
		meta := ev.txn.TxnMeta
		ev.f.keys[string(key)].lock = &meta
	}
}

// write lays an intent of what of makes of the value before.
func (ev *toyEval) write(key keys.Key, seq int32, of func(toyValue) (toyValue, *kv.Error), reads bool) *kv.Error {
	k, txn := ev.f.keys[string(key)], ev.txn
	if ev.locked(key) {
		return nil
	}
	if i := k.intent; i != nil && i.txn.Epoch > txn.Epoch {
		return kv.RetryError(kv.RetrySerializable, "a request of an earlier epoch")
	} else if i != nil && i.txn.ID == txn.ID && i.txn.Epoch == txn.Epoch && i.last() >= seq {
		// A replay: nothing moves, since the first answer may have been acted upon.
		txn.WriteTS = txn.WriteTS.Forward(i.txn.WriteTS)
		var old toyValue
		if reads {
			var err *kv.Error
			if old, err = ev.read(key, seq-1); err != nil {
				return err
			}
		}
		_, err := of(old)
		return err
	}
	if newest := k.newest(); txn.ReadTS.Less(newest) && reads {
		e := kv.Errorf(kv.WriteTooOld, "")
		e.Detail = &kv.ErrorDetail{ActualTS: newest.Next()}
		txn.WriteTS = txn.WriteTS.Forward(newest.Next())
		return e
	} else if txn.WriteTS.LessEq(newest) {
		txn.WriteTS = newest.Next()
	}
	if txn.WriteTS.Less(k.read) || txn.WriteTS == k.read && k.reader != txn.ID {
		txn.WriteTS = k.read.Next()
	}
	var old toyValue
	if reads {
		var err *kv.Error
		if old, err = ev.read(key, seq-1); err != nil || ev.conflict != nil {
			return err
		}
	}
	v, err := of(old)
	if err != nil {
		return err
	}
	v.seq = seq
	i := k.intent
	if i == nil || i.txn.Epoch < txn.Epoch {
		i = &toyIntent{local: ev.now}
		k.intent = i
	}
	ts := i.txn.WriteTS.Forward(txn.WriteTS)
	i.txn = txn.TxnMeta
	i.txn.WriteTS = ts
	txn.WriteTS = ts
	if n := len(i.history); n == 0 || i.last() < seq {
		i.history = append(i.history, v)
	}
	return nil
}

func (ev *toyEval) refresh(s keys.Span, from hlc.Timestamp) (failed *kv.Error) {
	txn := ev.txn
	ev.in(s, func(name string, k *toyKey) {
		for _, v := range k.versions {
			if from.Less(v.ts) && v.ts.LessEq(txn.ReadTS) {
				failed = kv.RetryError(kv.RetrySerializable, "%s was written at %s", name, v.ts)
			}
		}
		if i := k.intent; i != nil && i.txn.ID != txn.ID && i.txn.WriteTS.LessEq(txn.ReadTS) {
			failed = kv.RetryError(kv.RetrySerializable, "%s has an intent at %s", name, i.txn.WriteTS)
		}
		ev.reads = append(ev.reads, func() { k.bump(txn.ReadTS, txn.ID) })
	})
	return failed
}

func (ev *toyEval) scan(s keys.Span, seq int32) (rows []kv.KeyValue, failed *kv.Error) {
	ev.in(s, func(name string, _ *toyKey) {
		v, err := ev.read(keys.Key(name), seq)
		if err != nil {
			failed = err
		} else if v.exists {
			rows = append(rows, kv.KeyValue{Key: keys.Key(name), Value: v.bytes})
		}
	})
	return rows, failed
}

func (ev *toyEval) queryIntent(r *kv.QueryIntentRequest) (kv.Response, *kv.Error) {
	k := ev.f.keys[string(r.Key)]
	if i := k.intent; i != nil && i.txn.ID == r.Txn.ID && i.txn.Epoch == r.Txn.Epoch && i.last() >= r.Txn.Sequence {
		ev.txn.WriteTS = ev.txn.WriteTS.Forward(i.txn.WriteTS)
		return &kv.QueryIntentResponse{Found: true}, nil
	}
	k.bump(r.Txn.WriteTS, kv.TxnID{})
	e := kv.Errorf(kv.IntentMissing, "")
	e.Detail = &kv.ErrorDetail{Key: r.Key}
	return nil, e
}

func (ev *toyEval) heartbeat(r *kv.HeartbeatTxnRequest) *kv.Error {
	f, txn := ev.f, ev.txn
	rec := f.records[txn.ID]
	switch {
	case rec == nil && f.over[txn.ID]:
		return kv.AbortedError(kv.AbortNoRecord, "")
	case rec == nil:
		rec = txn.Clone()
		f.records[txn.ID] = rec
	}
	rec.LastHeartbeat = rec.LastHeartbeat.Forward(r.Now)
	txn.Status, txn.LastHeartbeat = rec.Status, rec.LastHeartbeat
	return nil
}

func (ev *toyEval) end(r *kv.EndTxnRequest) (kv.Response, *kv.Error) {
	f, txn := ev.f, ev.txn
	rec := f.records[txn.ID]
	switch {
	case rec != nil && rec.Status == kv.Aborted && r.Commit:
		txn.Status = kv.Aborted
		return nil, kv.AbortedError(kv.AbortRecordFound, "")
	case rec != nil && rec.Status == kv.Committed:
		return nil, kv.Errorf(kv.TransactionStatus, "already committed")
	case rec == nil && f.over[txn.ID] && r.Commit:
		return nil, kv.AbortedError(kv.AbortReplay, "")
	case !r.Commit:
		if rec != nil && rec.Status == kv.Staging {
			if f.recover(rec); rec.Status == kv.Committed {
				return nil, kv.Errorf(kv.TransactionStatus, "already committed")
			}
		}
		txn.Status = kv.Aborted
		f.records[txn.ID] = txn.Clone()
		f.over[txn.ID] = true
		f.resolveAll(txn)
		return &kv.EndTxnResponse{}, nil
	}
	// A record that is staged may be committed already: then it is as the record says.
	if rec != nil && rec.Status == kv.Staging && ev.ba.Txn.Status == kv.Staging {
		rec.Status = kv.Committed
		txn.Status = kv.Committed
		f.over[txn.ID] = true
		f.resolveAll(rec)
		return &kv.EndTxnResponse{}, nil
	}
	txn.WriteTS = txn.WriteTS.Forward(f.pushed[txn.ID])
	if txn.WriteTS != txn.ReadTS {
		return nil, kv.RetryError(kv.RetrySerializable, "")
	}
	if !r.Deadline.IsEmpty() && r.Deadline.LessEq(txn.WriteTS) {
		return nil, kv.RetryError(kv.RetryDeadline, "")
	}
	made := txn.Clone()
	made.LockSpans, made.InFlight = r.LockSpans, r.InFlight
	if len(r.InFlight) > 0 {
		made.Status = kv.Staging
		f.records[txn.ID] = made
		txn.Status = kv.Staging
		return &kv.EndTxnResponse{StagingTS: txn.WriteTS}, nil
	}
	made.Status, txn.Status = kv.Committed, kv.Committed
	f.over[txn.ID] = true
	one := ev.ba.IsCompleteTxn()
	if !one {
		f.records[txn.ID] = made
	}
	f.resolveAll(made)
	return &kv.EndTxnResponse{OnePhase: one}, nil
}
