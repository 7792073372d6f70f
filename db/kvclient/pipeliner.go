package kvclient

import (
	"slices"
	"sort"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// pipeliner is the interceptor that lets writes be acknowledged before they are
// replicated, and remembers that they need proof:
//
//	Put(a)            -> Put(a), asynchronously              in flight: a/1
//	Get(a)            -> QueryIntent(a/1), Get(a)            in flight: -
//	Put(b)            -> Put(b), asynchronously              in flight: b/2
//	EndTxn            -> QueryIntent(b/2), EndTxn(in flight: b/2, locks: a, b)
//
// A proof comes before whatever touches the key, in the same batch, so that no request
// is evaluated without a write that it must see. It also keeps the footprint of
// locks, for whoever removes them.
type pipeliner struct {
	c    *coordinator
	next kv.Sender
	// inFlight are writes that need proof, by key; of each key one at most, since a
	// second write of a key comes with a proof of the first.
	inFlight  []kv.SequencedWrite
	bytes     int
	footprint spanSet // all that may be locked, but for what is in flight
}

// Send implements kv.Sender.
func (l *pipeliner) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	asked, sent, async := ba.Requests, l.chained(ba), l.mayBeAsync(ba)
	ba.Requests, ba.AsyncConsensus = sent, async
	br := l.next.Send(t, ba)
	if br.Err != nil {
		for _, r := range asked {
			if kv.LockOf(r).Lock != kv.LockNone {
				l.lock(r.Span()) // may have been locked nevertheless
			}
		}
		br.Err = l.failed(asked, sent, br.Err)
		return br
	}
	l.succeeded(asked, sent, async, br)
	return br
}

// mayBeAsync reports that the writes of the batch may be acknowledged early.
func (l *pipeliner) mayBeAsync(ba *kv.BatchRequest) bool {
	if !l.c.s.set.pipelining || ba.EndTxn() != nil || l.bytes > l.c.s.set.inFlightBytes {
		return false
	}
	writes := false
	for _, r := range ba.Requests {
		if r.Method().Intents() {
			if r.Method().Ranged() {
				return false // what it writes could not be listed
			}
			writes = true
		}
	}
	return writes
}

// chained is the requests of the batch with proofs before what depends on them. A
// commit depends on all writes, and takes lists of them and of all locks with it.
func (l *pipeliner) chained(ba *kv.BatchRequest) []kv.Request {
	et := ba.EndTxn()
	if et == nil && len(l.inFlight) == 0 {
		return ba.Requests
	}
	out := make([]kv.Request, 0, len(ba.Requests)+len(l.inFlight))
	asked := make([]bool, len(l.inFlight))
	ask := func(i int) {
		if !asked[i] {
			asked[i] = true
			out = append(out, l.proof(ba.Txn, l.inFlight[i]))
		}
	}
	for _, r := range ba.Requests {
		if r == kv.Request(et) {
			if et.Commit {
				for i := range l.inFlight {
					ask(i)
				}
			}
			out = append(out, l.end(ba, et))
			continue
		}
		s := r.Span()
		for i := l.from(s.Key); i < len(l.inFlight) && s.ContainsKey(l.inFlight[i].Key); i++ {
			ask(i)
		}
		out = append(out, r)
	}
	return out
}

func (l *pipeliner) proof(txn *kv.Txn, w kv.SequencedWrite) kv.Request {
	meta := txn.TxnMeta
	meta.Sequence = w.Sequence
	return &kv.QueryIntentRequest{Key: w.Key, Txn: meta, ErrorIfMissing: true}
}

// end is the EndTxn with lists of what the transaction, this batch included, has in
// flight and has locked.
func (l *pipeliner) end(ba *kv.BatchRequest, et *kv.EndTxnRequest) *kv.EndTxnRequest {
	end := *et
	end.Key = ba.Txn.Key
	set := l.footprint
	set.spans = append(make([]keys.Span, 0, len(set.spans)+len(l.inFlight)+len(ba.Requests)-1), set.spans...)
	writes := make([]kv.SequencedWrite, 0, len(l.inFlight)+len(ba.Requests)-1)
	for _, w := range l.inFlight {
		set.add(keys.Span{Key: w.Key}, l.c.s.set.lockSpanBytes)
		writes = append(writes, w)
	}
	for _, r := range ba.Requests {
		if kv.LockOf(r).Lock == kv.LockNone {
			continue
		}
		set.add(r.Span(), l.c.s.set.lockSpanBytes)
		if !r.Method().Intents() || r.Method().Ranged() {
			continue
		}
		writes = append(writes, kv.SequencedWrite{Key: r.Span().Key, Sequence: r.Seq()})
	}
	end.InFlight = nil
	if et.Commit {
		end.InFlight = lastOfKeys(writes)
	}
	end.LockSpans = set.list()
	return &end
}

// lastOfKeys is the last write of each key, in order of keys; nil if there is none.
func lastOfKeys(writes []kv.SequencedWrite) []kv.SequencedWrite {
	if len(writes) == 0 {
		return nil
	}
	slices.SortStableFunc(writes, func(a, b kv.SequencedWrite) int { return a.Key.Compare(b.Key) })
	out := writes[:1]
	for _, w := range writes[1:] {
		if n := len(out); out[n-1].Key.Equal(w.Key) {
			out[n-1] = w
		} else {
			out = append(out, w)
		}
	}
	return out
}

// from is the position of the first write in flight at or above k.
func (l *pipeliner) from(k keys.Key) int {
	return sort.Search(len(l.inFlight), func(i int) bool { return !l.inFlight[i].Key.Less(k) })
}

// succeeded takes the proofs out of the answer and notes what they prove, what is now
// in flight, and what is locked.
func (l *pipeliner) succeeded(asked, sent []kv.Request, async bool, br *kv.BatchResponse) {
	answers := br.Responses
	if len(sent) > len(asked) {
		br.Responses = make([]kv.Response, 0, len(asked))
	}
	for i, r := range sent {
		if q, ok := r.(*kv.QueryIntentRequest); ok {
			l.prove(q.Key, q.Txn.Sequence)
			continue
		}
		if len(sent) > len(asked) {
			br.Responses = append(br.Responses, answers[i])
		}
		l.note(r, answers[i], async)
	}
}

func (l *pipeliner) note(r kv.Request, response kv.Response, async bool) {
	lock := kv.LockOf(r).Lock
	switch {
	case lock == kv.LockNone:
	case r.Method().Intents() && async:
		l.launch(kv.SequencedWrite{Key: r.Span().Key, Sequence: r.Seq()})
	case r.Method().Intents():
		l.prove(r.Span().Key, r.Seq()) // a later write of the key proves the one before
		l.lock(r.Span())
	case r.Method() == kv.Get:
		l.lock(r.Span())
	default:
		rows, _ := kv.ScanResult(response)
		for i := range rows {
			l.lock(keys.Span{Key: rows[i].Key})
		}
	}
}

// launch notes that w needs proof.
func (l *pipeliner) launch(w kv.SequencedWrite) {
	i := l.from(w.Key)
	if i < len(l.inFlight) && l.inFlight[i].Key.Equal(w.Key) {
		l.inFlight[i].Sequence = max(l.inFlight[i].Sequence, w.Sequence)
		return
	}
	l.inFlight = append(l.inFlight, kv.SequencedWrite{})
	copy(l.inFlight[i+1:], l.inFlight[i:])
	l.inFlight[i] = w
	l.bytes += len(w.Key)
}

// prove moves a write of the key, up to seq, from those in flight to the footprint.
func (l *pipeliner) prove(k keys.Key, seq int32) {
	i := l.from(k)
	if i < len(l.inFlight) && l.inFlight[i].Key.Equal(k) && l.inFlight[i].Sequence <= seq {
		l.bytes -= len(k)
		l.lock(keys.Span{Key: k})
		l.inFlight = append(l.inFlight[:i], l.inFlight[i+1:]...)
	}
}

func (l *pipeliner) lock(s keys.Span) {
	if l.footprint.add(s, l.c.s.set.lockSpanBytes) {
		l.c.s.metrics.Condensed++
	}
}

// failed makes the error one of the batch without proofs. A proof that failed means
// that a write was lost, and that the attempt is void.
func (l *pipeliner) failed(asked, sent []kv.Request, err *kv.Error) *kv.Error {
	e := *err
	if e.Index >= 0 {
		e.Index = -1
		at := sent[err.Index]
		for i, r := range asked {
			if r == at || r.Method() == kv.EndTxn && at.Method() == kv.EndTxn {
				e.Index = int32(i)
			}
		}
	}
	if e.Kind == kv.IntentMissing {
		l.c.s.p.Probe(ProbeTxnWriteLost)
		e.Kind = kv.TransactionRetry
		detail := kv.ErrorDetail{Retry: kv.RetryAsyncWrite}
		if err.Detail != nil {
			detail.Key = err.Detail.Key
		}
		e.Detail = &detail
	}
	return &e
}

// rollbackTo gives up proving the writes after seq: whether they exist or not, they
// do not count. They may still be locks.
func (l *pipeliner) rollbackTo(seq int32) {
	kept := l.inFlight[:0]
	for _, w := range l.inFlight {
		if w.Sequence <= seq {
			kept = append(kept, w)
			continue
		}
		l.bytes -= len(w.Key)
		l.lock(keys.Span{Key: w.Key})
	}
	l.inFlight = kept
}

// restarted keeps the locks in mind, unless they are no longer this transaction's.
func (l *pipeliner) restarted(newID bool) {
	l.rollbackTo(-1)
	if newID {
		l.footprint.clear()
	}
}

// locks is all that may be locked.
func (l *pipeliner) locks() []keys.Span {
	for _, w := range l.inFlight {
		l.lock(keys.Span{Key: w.Key})
	}
	return l.footprint.list()
}
