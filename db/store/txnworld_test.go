package store

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// txnWorld is the cluster as Txns sees it, behind a Sender: records and intents as maps,
// requests evaluated by the rules of transactions in their simplest form, each after a
// millisecond.
type txnWorld struct {
	s       *sim.Sim
	clock   *hlc.Clock
	x       *Txns
	records map[kv.TxnID]*kv.Txn
	intents map[string]kv.TxnMeta
	// prevented are the timestamps at or below which a key may not be written any more.
	prevented map[string]hlc.Timestamp
	notes     map[kv.TxnID]bool // in the abort span
	dead      map[kv.TxnID]bool // coordinators that send no heartbeats

	cut    map[string]bool // keys whose ranges are not reached
	held   kv.Method       // requests of this method wait until that changes
	lose   kv.Method       // the answer to the next of these is lost
	asking map[kv.TxnID]int
	log    []string
	broken func(format string, args ...any)
}

func newTxnWorld(seed uint64, knobs map[string]int64) *txnWorld {
	s := sim.New(sim.Config{Seed: seed, Epoch: 100e9, Knobs: knobs})
	w := &txnWorld{s: s, clock: hlc.NewClock(s.World(), maxOffset), records: map[kv.TxnID]*kv.Txn{}, intents: map[string]kv.TxnMeta{},
		prevented: map[string]hlc.Timestamp{}, notes: map[kv.TxnID]bool{}, dead: map[kv.TxnID]bool{}, cut: map[string]bool{}, asking: map[kv.TxnID]int{}}
	w.broken = func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
	w.x = newTxns(s.World(), 1, kv.SenderFunc(w.send))
	return w
}

func (w *txnWorld) run(d time.Duration) { w.s.RunUntil(w.s.Now() + sim.Time(d)) }

func testTxnID(n int) (id kv.TxnID) { id[0] = byte(n); return id }

func txnSecond(n int) hlc.Timestamp { return hlc.Timestamp{Wall: int64(n) * 1e9} }

// send is the Sender.
func (w *txnWorld) send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if err := ba.Validate(); err != nil {
		return kv.ErrorResponse(err)
	}
	method := ba.Requests[0].Method()
	if q, ok := ba.Requests[0].(*kv.QueryIntentRequest); ok {
		w.asking[q.Txn.ID]++
		if w.asking[q.Txn.ID] > 1 {
			w.broken("two recoveries of a transaction at once")
		}
		defer func() { w.asking[q.Txn.ID]-- }()
	}
	err := t.Sleep(time.Millisecond)
	for err == nil && w.held == method {
		err = t.Sleep(time.Millisecond)
	}
	if err != nil {
		return kv.ErrorResponse(kv.Errorf(kv.Timeout, "%s", err))
	}
	br := w.evaluate(ba)
	w.log = append(w.log, fmt.Sprintf("%s -> %s", w.text(ba), answer(br)))
	if w.lose == method {
		w.lose = 0
		return kv.ErrorResponse(kv.AmbiguousError(nil, "the answer was lost"))
	}
	return br
}

func (w *txnWorld) text(ba *kv.BatchRequest) string {
	var parts []string
	for _, r := range ba.Requests {
		s := kv.FormatRequest(r)
		switch r := r.(type) {
		case *kv.QueryIntentRequest:
			s = fmt.Sprintf("QueryIntent(%s, %s epoch %d seq %d ts %d)", r.Key, kv.FormatTxnID(r.Txn.ID), r.Txn.Epoch, r.Txn.Sequence, r.Txn.WriteTS.Wall/1e9)
		case *kv.ResolveIntentRequest:
			if r.Poison {
				s += " with note"
			}
		case *kv.ResolveIntentRangeRequest:
			if r.Poison {
				s += " with note"
			}
		case *kv.GCRequest:
			s = "GC(" + r.Span().String()
			for _, k := range r.Keys {
				s += ", " + k.Key.String()
			}
			s += ")"
		}
		parts = append(parts, s)
	}
	s := strings.Join(parts, ", ")
	if ba.MaxKeys > 0 {
		s += fmt.Sprintf(" max %d keys", ba.MaxKeys)
	}
	if ba.WaitPolicy == kv.WaitError {
		s += " without waiting"
	}
	return s
}

func answer(br *kv.BatchResponse) string {
	if br.Err != nil {
		return br.Err.Kind.String()
	}
	var parts []string
	for _, r := range br.Responses {
		switch r := r.(type) {
		case *kv.PushTxnResponse:
			parts = append(parts, r.Pushee.Status.String())
		case *kv.RecoverTxnResponse:
			parts = append(parts, r.Recovered.Status.String())
		case *kv.QueryTxnResponse:
			parts = append(parts, r.Txn.Status.String())
		case *kv.QueryIntentResponse:
			parts = append(parts, map[bool]string{true: "found", false: "missing"}[r.Found])
		case *kv.ResolveIntentRangeResponse:
			s := fmt.Sprintf("%d locks", r.Count)
			if !r.Resume.IsPoint() {
				s += " and more from " + r.Resume.Key.String()
			}
			parts = append(parts, s)
		default:
			parts = append(parts, "done")
		}
	}
	return strings.Join(parts, ", ")
}

func (w *txnWorld) evaluate(ba *kv.BatchRequest) *kv.BatchResponse {
	for _, r := range ba.Requests {
		if w.cut[string(r.Span().Key)] {
			return kv.ErrorResponse(kv.Errorf(kv.NodeUnavailable, "cut"))
		}
	}
	br := &kv.BatchResponse{}
	for _, r := range ba.Requests {
		resp, err := w.one(r, ba)
		if err != nil {
			return kv.ErrorResponse(err)
		}
		br.Responses = append(br.Responses, resp)
	}
	return br
}

// record is what is known of a transaction at its anchor.
func (w *txnWorld) record(m kv.TxnMeta) *kv.Txn {
	if rec := w.records[m.ID]; rec != nil {
		return rec.Clone()
	}
	return &kv.Txn{TxnMeta: m, LastHeartbeat: m.MinTS}
}

func (w *txnWorld) one(r kv.Request, ba *kv.BatchRequest) (kv.Response, *kv.Error) {
	switch r := r.(type) {
	case *kv.PushTxnRequest:
		return w.push(r)
	case *kv.QueryTxnRequest:
		return &kv.QueryTxnResponse{Exists: w.records[r.Txn.ID] != nil, Txn: *w.record(r.Txn)}, nil
	case *kv.QueryIntentRequest:
		in, ok := w.intents[string(r.Key)]
		if ok && in.ID == r.Txn.ID && in.Epoch == r.Txn.Epoch && in.Sequence >= r.Txn.Sequence && in.WriteTS.LessEq(r.Txn.WriteTS) {
			return &kv.QueryIntentResponse{Found: true}, nil
		}
		w.prevented[string(r.Key)] = w.prevented[string(r.Key)].Forward(r.Txn.WriteTS)
		return &kv.QueryIntentResponse{}, nil
	case *kv.RecoverTxnRequest:
		rec := w.record(r.Txn)
		if rec.Status == kv.Staging && rec.Epoch == r.Txn.Epoch && rec.WriteTS == r.Txn.WriteTS {
			rec.Status = kv.Aborted
			if r.ImplicitlyCommitted {
				rec.Status = kv.Committed
			}
			w.records[rec.ID] = rec.Clone()
		}
		return &kv.RecoverTxnResponse{Recovered: *rec}, nil
	case *kv.ResolveIntentRequest:
		w.resolve(r.Update(), r.Poison, 1)
		return &kv.ResolveIntentResponse{}, nil
	case *kv.ResolveIntentRangeRequest:
		n, resume := w.resolve(r.Update(), r.Poison, ba.MaxKeys)
		return &kv.ResolveIntentRangeResponse{Count: n, Resume: resume}, nil
	case *kv.GCRequest:
		for _, k := range r.Keys {
			_, id, ok := keys.DecodeTxnRecordKey(k.Key)
			if rec := w.records[id]; ok && rec != nil {
				w.collect(rec)
			}
		}
		return &kv.GCResponse{}, nil
	}
	return nil, kv.Errorf(kv.BadRequest, "%s", r.Method())
}

func (w *txnWorld) push(r *kv.PushTxnRequest) (kv.Response, *kv.Error) {
	rec := w.record(r.Pushee)
	switch concurrency.JudgePush(r, rec, w.clock.Now(), 5*time.Second) {
	case concurrency.PushWaits: // for a second, in the wait queue
		e := kv.Errorf(kv.TransactionPush, "")
		e.Detail = &kv.ErrorDetail{Pushee: rec}
		return nil, e
	case concurrency.PushMoves:
		rec.WriteTS = rec.WriteTS.Forward(r.PushTo)
	case concurrency.PushAborts:
		rec.Status = kv.Aborted
	case concurrency.PushRecovers:
		e := kv.Errorf(kv.IndeterminateCommit, "")
		e.Detail = &kv.ErrorDetail{Pushee: rec}
		return nil, e
	}
	if w.records[rec.ID] != nil { // only its coordinator creates one
		w.records[rec.ID] = rec.Clone()
	}
	return &kv.PushTxnResponse{Pushee: *rec}, nil
}

// resolve does what u says to the first limit locks of its transaction in its span.
func (w *txnWorld) resolve(u kv.LockUpdate, poison bool, limit int64) (n int64, resume keys.Span) {
	if u.Status == kv.Staging {
		w.broken("resolved as staging: %s", u)
	}
	if u.Status == kv.Aborted && poison {
		w.notes[u.Txn.ID] = true
	}
	for _, k := range w.keys() {
		if !u.Span.ContainsKey(keys.Key(k)) || w.intents[k].ID != u.Txn.ID {
			continue
		}
		if n == limit && limit > 0 {
			return n, keys.Span{Key: keys.Key(k), EndKey: u.Span.EndKey}
		}
		n++
		if u.Status.Finalized() {
			delete(w.intents, k)
		}
	}
	return n, keys.Span{}
}

// collect removes a record. To whoever meets a lock of a transaction without a record
// it is abandoned, hence aborted.
func (w *txnWorld) collect(rec *kv.Txn) {
	if !rec.Status.Finalized() {
		w.broken("the record of a transaction is removed that is %s", rec.Status)
	}
	if n := w.locks(rec.ID); n > 0 && rec.Status == kv.Committed {
		w.broken("the record of a committed transaction is removed, and %d locks of it stand", n)
	}
	delete(w.records, rec.ID)
}

func (w *txnWorld) keys() []string {
	all := make([]string, 0, len(w.intents))
	for k := range w.intents {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

// locks is the number of intents of a transaction.
func (w *txnWorld) locks(id kv.TxnID) (n int) {
	for _, in := range w.intents {
		if in.ID == id {
			n++
		}
	}
	return n
}

// String lists records, intents and notes.
func (w *txnWorld) String() string {
	var lines []string
	for id, rec := range w.records {
		lines = append(lines, fmt.Sprintf("%s %s epoch %d ts %d\n", kv.FormatTxnID(id), rec.Status, rec.Epoch, rec.WriteTS.Wall/1e9))
	}
	for k, in := range w.intents {
		lines = append(lines, fmt.Sprintf("intent at %s of %s\n", keys.Key(k), kv.FormatTxnID(in.ID)))
	}
	for k, ts := range w.prevented {
		lines = append(lines, fmt.Sprintf("no write at %s up to %d\n", keys.Key(k), ts.Wall/1e9))
	}
	for id := range w.notes {
		lines = append(lines, fmt.Sprintf("note of %s in the abort span\n", kv.FormatTxnID(id)))
	}
	slices.Sort(lines)
	if len(lines) == 0 {
		return "nothing is left\n"
	}
	return strings.Join(lines, "")
}
