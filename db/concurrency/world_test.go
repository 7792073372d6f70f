package concurrency

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// world is a toy database of two ranges, a to m and n to z: what sequencers need
// around them, as simple as can be. Its disks are maps of intents and records.
type world struct {
	s      *sim.Sim
	clock  *hlc.Clock
	ranges [2]*toyRange
	dead   map[keys.TxnID]bool // coordinators that send no heartbeats
	slow   time.Duration       // each message between ranges takes
	cut    bool                // no message between ranges arrives
	pushes int
	fail   func(format string, args ...any)
}

type toyRange struct {
	w       *world
	seq     *Sequencer
	intents map[string]kv.TxnMeta
	records map[keys.TxnID]*kv.Txn
	lease   int64
}

func newWorld(seed uint64, knobs map[string]int64) *world {
	s := sim.New(sim.Config{Seed: seed, Epoch: 100e9, Knobs: knobs})
	w := &world{s: s, dead: map[keys.TxnID]bool{}, slow: time.Millisecond}
	w.clock = hlc.NewClock(s.World(), time.Second)
	w.fail = func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
	cfg := &Config{Env: s.World(), Clock: w.clock, Node: 1, Tunables: ReadTunables(s.World()), Transactions: w}
	for i := range w.ranges {
		w.ranges[i] = &toyRange{w: w, seq: NewSequencer(cfg), intents: map[string]kv.TxnMeta{}, records: map[keys.TxnID]*kv.Txn{}}
	}
	return w
}

func (w *world) of(k keys.Key) *toyRange {
	if k[0] < 'n' {
		return w.ranges[0]
	}
	return w.ranges[1]
}

// record is what is known of a transaction at its anchor.
func (r *toyRange) record(m kv.TxnMeta) *kv.Txn {
	rec := r.records[m.ID]
	if rec == nil {
		rec = &kv.Txn{TxnMeta: m, LastHeartbeat: m.MinTS}
		r.records[m.ID] = rec
	}
	if !r.w.dead[m.ID] {
		rec.LastHeartbeat = rec.LastHeartbeat.Forward(r.w.clock.Now())
	}
	return rec
}

// put writes a record and tells the sequencer, as application would.
func (r *toyRange) put(rec *kv.Txn) {
	r.records[rec.ID] = rec
	r.seq.OnTxnUpdated(rec.Clone())
}

// travel is the way of a message.
func (w *world) travel(t env.Task) *kv.Error {
	if err := t.Sleep(w.slow); err != nil {
		return kv.Errorf(kv.Timeout, "%s", err)
	}
	if w.cut {
		return kv.Errorf(kv.NodeUnavailable, "cut")
	}
	return nil
}

// PushTxn implements Transactions.
func (w *world) PushTxn(t env.Task, q *kv.PushTxnRequest, policy kv.WaitPolicy) (*kv.Txn, *kv.Error) {
	if err := w.travel(t); err != nil {
		return nil, err
	}
	w.pushes++
	r := w.of(q.Key)
	var req Request
	req.Set(&kv.BatchRequest{Header: kv.Header{WaitPolicy: policy}, Requests: []kv.Request{q}}, w.clock.Now())
	var tk *Ticket
	for {
		var br *kv.BatchResponse
		var err *kv.Error
		if tk, br, err = r.seq.Sequence(t, tk, &req); err != nil {
			return nil, err
		}
		if br != nil {
			return &br.Responses[0].(*kv.PushTxnResponse).Pushee, nil
		}
		rec := r.record(q.Pushee).Clone()
		switch v := JudgePush(q, rec, w.clock.Now(), 5*time.Second); v {
		case PushWaits:
			if policy == kv.WaitError {
				r.seq.Finish(tk)
				e := kv.Errorf(kv.TransactionPush, "")
				e.Detail = &kv.ErrorDetail{Pushee: rec}
				return nil, e
			}
			r.seq.HandlePushConflict(tk, rec)
			continue
		case PushMoves:
			rec.WriteTS = rec.WriteTS.Forward(q.PushTo)
		case PushAborts:
			rec.Status = kv.Aborted
		case PushRecovers: // the toy's transactions are staging without a write missing
			rec.Status = kv.Committed
		}
		r.put(rec)
		r.seq.Finish(tk)
		return rec.Clone(), nil
	}
}

// QueryTxn implements Transactions.
func (w *world) QueryTxn(t env.Task, q *kv.QueryTxnRequest) (*kv.QueryTxnResponse, *kv.Error) {
	if err := w.travel(t); err != nil {
		return nil, err
	}
	r := w.of(q.Key)
	var req Request
	req.Set(&kv.BatchRequest{Requests: []kv.Request{q}}, w.clock.Now())
	var tk *Ticket
	var rec *kv.Txn
	for {
		var err *kv.Error
		if tk, _, err = r.seq.Sequence(t, tk, &req); err != nil {
			return nil, err
		}
		if rec = r.record(q.Txn); !r.seq.HandleQuery(tk, rec) {
			break
		}
	}
	resp := &kv.QueryTxnResponse{Exists: true, Txn: *rec.Clone(), Waiting: r.seq.Dependents(q.Txn.ID)}
	r.seq.Finish(tk)
	return resp, nil
}

// ResolveLocks implements Transactions.
func (w *world) ResolveLocks(t env.Task, ups []kv.LockUpdate) *kv.Error {
	for _, u := range ups {
		if err := w.travel(t); err != nil {
			return err
		}
		if u.Status == kv.Staging {
			w.fail("locks of a transaction that is staging are to be resolved as: %s", u)
		}
		r := w.of(u.Span.Key)
		var req Request
		req.Latches = []Latch{{u.Span, Write}}
		tk, _, err := r.seq.Sequence(t, nil, &req)
		if err != nil {
			return err
		}
		if m, ok := r.intents[string(u.Span.Key)]; ok && m.ID == u.Txn.ID {
			if u.Status.Finalized() || m.Epoch < u.Txn.Epoch {
				delete(r.intents, string(u.Span.Key))
			} else {
				m.WriteTS = m.WriteTS.Forward(u.Txn.WriteTS)
				r.intents[string(u.Span.Key)] = m
			}
			r.seq.OnLockUpdated(&u) // nothing is said of what was not there
		}
		r.seq.Finish(tk)
	}
	return nil
}

// op is one request of a dialogue or a model test.
type op struct {
	name     string
	txn      *kv.Txn
	span     keys.Span
	strength kv.LockStrength // LockNone: a read
	volatile bool            // an unreplicated lock
	policy   kv.WaitPolicy
	timeout  time.Duration
	hold     bool // keep the ticket until told otherwise

	task    env.Task
	release env.Promise[bool]
	done    bool
	err     *kv.Error
	saw     []string // keys
}

func (o *op) batch() *kv.BatchRequest {
	var q kv.Request
	switch {
	case o.strength == kv.LockIntent && o.span.IsPoint():
		q = &kv.PutRequest{Key: o.span.Key}
	case o.strength == kv.LockIntent:
		q = &kv.DeleteRangeRequest{Key: o.span.Key, EndKey: o.span.EndKey}
	case o.span.IsPoint():
		q = &kv.GetRequest{Key: o.span.Key, Locking: kv.Locking{Lock: o.strength}}
	default:
		q = &kv.ScanRequest{Key: o.span.Key, EndKey: o.span.EndKey, Locking: kv.Locking{Lock: o.strength}}
	}
	return &kv.BatchRequest{Header: kv.Header{Txn: o.txn, WaitPolicy: o.policy, LockTimeout: o.timeout}, Requests: []kv.Request{q}}
}

// serve is the life of a request at its replica.
func (w *world) serve(t env.Task, o *op) *kv.Error {
	r := w.of(o.span.Key)
	if o.txn != nil && o.strength > kv.LockNone && len(o.txn.Key) == 0 {
		o.txn.Key = o.span.Key // as its coordinator would
	}
	var req Request
	req.Set(o.batch(), w.clock.Now())
	var tk *Ticket
	for {
		var err *kv.Error
		if tk, _, err = r.seq.Sequence(t, tk, &req); err != nil {
			return err
		}
		if o.txn != nil && o.txn.IsLocking() {
			if rec := w.of(o.txn.Key).record(o.txn.TxnMeta); rec.Status.Finalized() {
				r.seq.Finish(tk)
				return kv.AbortedError(kv.AbortSpanFound, "%s", rec.Status)
			}
		}
		if found := r.evaluate(&req, o); len(found) > 0 {
			r.seq.HandleLockConflict(tk, found, r.lease)
			continue
		}
		if o.hold {
			_, _ = o.release.Wait(t, "held", -1)
		}
		r.lock(o)
		r.seq.Finish(tk)
		return nil
	}
}

// evaluate meets the intents of others.
func (r *toyRange) evaluate(req *Request, o *op) (found []kv.Lock) {
	for _, k := range sortedKeys(r.intents) {
		m := r.intents[k]
		if !o.span.ContainsKey(keys.Key(k)) || m.ID == req.txnID() || o.policy == kv.WaitSkip {
			continue
		}
		if o.strength == kv.LockNone && req.ReadTS.Less(m.WriteTS) {
			continue
		}
		found = append(found, kv.Lock{Key: keys.Key(k), Txn: m, Strength: kv.LockIntent, Durability: kv.Replicated})
	}
	return found
}

func sortedKeys(m map[string]kv.TxnMeta) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	return ks
}

// lock takes what the request asked for.
func (r *toyRange) lock(o *op) {
	for c := o.span.Key[0]; ; c++ {
		k := keys.Key{c}
		if !o.span.ContainsKey(k) {
			return
		}
		if o.policy == kv.WaitSkip {
			tk := &Ticket{req: &Request{Txn: o.txn}, lock: LockGuard{req: &Request{Txn: o.txn}}}
			m, onDisk := r.intents[string(k)]
			if _, locked := r.seq.Locked(tk, k, max(o.strength, kv.LockShared)); locked || onDisk && m.ID != o.txn.ID {
				continue
			}
		}
		o.saw = append(o.saw, string(k))
		if o.strength == kv.LockNone || o.txn == nil {
			continue
		}
		if o.strength == kv.LockIntent || !o.volatile {
			if m, ok := r.intents[string(k)]; ok && m.ID != o.txn.ID {
				r.w.fail("%s of T%d overwrites the intent of T%d at %s", o.name, o.txn.ID[0], m.ID[0], k)
			}
		}
		if o.strength == kv.LockIntent {
			r.intents[string(k)] = o.txn.TxnMeta
			r.seq.OnLockAcquired(k, o.txn.TxnMeta, kv.LockIntent, kv.Replicated)
		} else {
			r.seq.OnLockAcquired(k, o.txn.TxnMeta, o.strength, kv.Unreplicated)
		}
	}
}

// start serves the request in a task of its own.
func (w *world) start(o *op, done func()) {
	o.task = w.s.Go(o.name, func(t env.Task) {
		err := w.serve(t, o)
		o.done, o.err = true, err
		done()
	})
}

// end finalises a transaction and releases its locks.
func (w *world) end(t env.Task, txn *kv.Txn, status kv.TxnStatus, resolve bool) {
	if txn.IsLocking() {
		r := w.of(txn.Key)
		rec := r.record(txn.TxnMeta).Clone()
		if !rec.Status.Finalized() {
			rec.Status = status
			r.put(rec)
		}
		status = rec.Status
	}
	if !resolve {
		return
	}
	for _, r := range w.ranges {
		up := kv.LockUpdate{Span: keys.Span{Key: keys.Key("a"), EndKey: keys.Key("zz")}, Txn: txn.TxnMeta, Status: status}
		for _, k := range sortedKeys(r.intents) {
			if r.intents[k].ID == txn.ID {
				delete(r.intents, k)
			}
		}
		r.seq.OnLockUpdated(&up)
	}
}

// names makes printed transactions, times and keys short.
func names(s string) string {
	var pairs []string
	for i := 1; i <= 9; i++ {
		pairs = append(pairs, fmt.Sprintf("%02x000000", i), fmt.Sprintf("T%d", i))
	}
	pairs = append(pairs, ".000000000,0", "")
	return strings.NewReplacer(pairs...).Replace(s)
}
