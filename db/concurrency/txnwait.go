package concurrency

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// PushState is what a waiting push has come to.
type PushState uint8

// The states. All but PushPending end the waiting.
const (
	PushPending   PushState = iota
	PushEvaluate            // the record may have changed in the pusher's favour: push anew
	PushAnswered            // the pushee is as the pusher wants it
	PushDeadlock            // the two wait for each other, and the pusher is to go on
	PushPusherEnd           // the pusher itself is over
)

// String is the state's name.
func (s PushState) String() string {
	return [...]string{"pending", "evaluate", "answered", "deadlock", "pusher is over"}[s]
}

// PushWait is a push that waits for its pushee.
type PushWait struct {
	req    *kv.PushTxnRequest
	pusher kv.TxnMeta // as last heard
	// dependents are those who wait for the pusher, directly or not, ascending.
	dependents []keys.TxnID
	state      PushState
	pushee     *kv.Txn // PushAnswered
	task       env.Task
}

// State is what the push has come to.
func (p *PushWait) State() PushState { return p.state }

// Dependents are those who are known to wait for the pusher.
func (p *PushWait) Dependents() []keys.TxnID { return p.dependents }

func (p *PushWait) become(s PushState, pushee *kv.Txn) {
	if p.state != PushPending {
		return
	}
	p.state, p.pushee = s, pushee
	if p.task != nil {
		p.task.Wake()
	}
}

// QueryWait is a query that waits for news of a transaction.
type QueryWait struct {
	id    keys.TxnID
	known []keys.TxnID
	news  bool
	task  env.Task
}

// News reports that there is something to answer.
func (q *QueryWait) News() bool { return q.news }

func (q *QueryWait) tell() {
	if q.news {
		return
	}
	q.news = true
	if q.task != nil {
		q.task.Wake()
	}
}

// TxnWaitQueue is where pushes that did not succeed wait, at the leaseholder of the
// pushee's record, and where queries wait that follow a transaction's fate.
//
// Deadlocks are found by messages. Each pusher that waits has its own record queried
// meanwhile, wherever that is, and the answer says who waits over there: so the set of
// those who wait, directly or not, for the pusher comes to the pushee. If the pushee is
// among them, the two wait for each other.
//
//	T1 waits for T2 here              T2 waits for T1 there
//	  T2's record: pushers {T1}         T1's record: pushers {T2}
//	       |  QueryTxn(T1) asks there ------->|
//	       |<-- T1: waited for by {T2} -------|
//	  T2 waits for T1, which waits for T2: the one of lower priority is aborted
//
// The zero queue is ready to use. It never waits itself.
type TxnWaitQueue struct {
	txns []*waitedFor // by ID
}

// waitedFor is a transaction that somebody waits for. It is listed while there are
// pushes or queries.
type waitedFor struct {
	id      kv.TxnID
	txn     *kv.Txn     // the record as last heard
	pushes  []*PushWait // in order of arrival
	queries []*QueryWait
}

func (q *TxnWaitQueue) at(id keys.TxnID) (int, bool) {
	return slices.BinarySearchFunc(q.txns, id, func(w *waitedFor, id keys.TxnID) int { return bytes.Compare(w.id[:], id[:]) })
}

func (q *TxnWaitQueue) find(id keys.TxnID) *waitedFor {
	if i, ok := q.at(id); ok {
		return q.txns[i]
	}
	return nil
}

func (q *TxnWaitQueue) make(id keys.TxnID) *waitedFor {
	i, ok := q.at(id)
	if !ok {
		q.txns = slices.Insert(q.txns, i, &waitedFor{id: id})
	}
	return q.txns[i]
}

// forget drops w if nobody waits for it.
func (q *TxnWaitQueue) forget(w *waitedFor) {
	if len(w.pushes) > 0 || len(w.queries) > 0 {
		return
	}
	if i, ok := q.at(w.id); ok && q.txns[i] == w {
		q.txns = slices.Delete(q.txns, i, i+1)
	}
}

// Push lets a push wait, if others wait for the same transaction already: then it
// would not succeed either. It returns nil if the push is to be evaluated.
func (q *TxnWaitQueue) Push(req *kv.PushTxnRequest) *PushWait {
	w := q.find(req.Pushee.ID)
	if w == nil || w.txn == nil || req.Force || req.Type == kv.PushTouch || outranks(req.Pusher, w.txn.Priority) {
		return nil
	}
	return q.Enqueue(req, w.txn)
}

// Enqueue lets a push wait that was evaluated and did not succeed, because of what
// pushee says.
func (q *TxnWaitQueue) Enqueue(req *kv.PushTxnRequest, pushee *kv.Txn) *PushWait {
	w := q.make(req.Pushee.ID)
	p := &PushWait{req: req, pusher: req.Pusher}
	w.pushes = append(w.pushes, p)
	q.news(w, pushee)
	q.tellWaiting(w)
	return p
}

// Leave ends the waiting of a push.
func (q *TxnWaitQueue) Leave(p *PushWait) {
	p.become(PushEvaluate, nil)
	w := q.find(p.req.Pushee.ID)
	if w == nil {
		return
	}
	w.pushes = slices.DeleteFunc(w.pushes, func(o *PushWait) bool { return o == p })
	q.forget(w)
}

// Query lets a query wait for news of a transaction whose record was read as txn says.
// It returns nil if the query is to be answered: it is not to wait, or knows less than
// there is.
func (q *TxnWaitQueue) Query(req *kv.QueryTxnRequest, txn *kv.Txn) *QueryWait {
	if !req.WaitForUpdate || txn.Status.Finalized() || txn.Priority > req.Txn.Priority ||
		unknown(q.Dependents(req.Txn.ID), req.KnownWaiting) {
		return nil
	}
	w := q.make(req.Txn.ID)
	q.news(w, txn)
	x := &QueryWait{id: req.Txn.ID, known: req.KnownWaiting}
	w.queries = append(w.queries, x)
	return x
}

// LeaveQuery ends the waiting of a query.
func (q *TxnWaitQueue) LeaveQuery(x *QueryWait) {
	if w := q.find(x.id); w != nil {
		w.queries = slices.DeleteFunc(w.queries, func(o *QueryWait) bool { return o == x })
		q.forget(w)
	}
}

// Dependents are those who wait for the transaction, directly or not, as far as is
// known here; ascending.
func (q *TxnWaitQueue) Dependents(id keys.TxnID) []keys.TxnID {
	w := q.find(id)
	if w == nil {
		return nil
	}
	var all []keys.TxnID
	for _, p := range w.pushes {
		if p.pusher.ID != (keys.TxnID{}) {
			all = append(append(all, p.pusher.ID), p.dependents...)
		}
	}
	slices.SortFunc(all, compareIDs)
	return slices.Compact(all)
}

func compareIDs(a, b keys.TxnID) int { return bytes.Compare(a[:], b[:]) }

// unknown reports that some ID is not in known, in whatever order.
func unknown(ids, known []keys.TxnID) bool {
	for _, id := range ids {
		if !slices.Contains(known, id) {
			return true
		}
	}
	return false
}

// Update takes notice of a transaction's record, which was written or read.
func (q *TxnWaitQueue) Update(txn *kv.Txn) {
	if w := q.find(txn.ID); w != nil {
		q.news(w, txn)
	}
}

// news updates the record and tells those for whom that changes something.
func (q *TxnWaitQueue) news(w *waitedFor, txn *kv.Txn) {
	if w.txn == nil || w.txn.Status != txn.Status || w.txn.Priority < txn.Priority {
		for _, x := range w.queries {
			x.tell()
		}
	}
	if w.txn == nil {
		w.txn = txn.Clone()
	} else {
		w.txn.Update(txn)
	}
	for _, p := range w.pushes {
		if pushed(p.req, w.txn) {
			p.become(PushAnswered, w.txn.Clone())
		}
	}
}

// tellWaiting tells the queries that do not know all who wait.
func (q *TxnWaitQueue) tellWaiting(w *waitedFor) {
	if len(w.queries) == 0 {
		return
	}
	all := q.Dependents(w.id)
	for _, x := range w.queries {
		if unknown(all, x.known) {
			x.tell()
		}
	}
}

// Pusher takes notice of what was heard of a pusher: its record, and who waits for it.
func (q *TxnWaitQueue) Pusher(p *PushWait, txn *kv.Txn, waiting []keys.TxnID) {
	w := q.find(p.req.Pushee.ID)
	if p.state != PushPending || w == nil {
		return
	}
	if txn.Status.Finalized() {
		p.become(PushPusherEnd, nil)
		return
	}
	p.pusher.Priority = max(p.pusher.Priority, txn.Priority)
	// The answer is all there is to know over there: who has left is forgotten.
	more := unknown(waiting, p.dependents)
	p.dependents = slices.Clone(waiting)
	slices.SortFunc(p.dependents, compareIDs)
	if more {
		q.tellWaiting(w)
	}
	// One that is staging may wait too: its writes were moved above the staging timestamp,
	// and it is on its way to commit again (scenario contention, seed 18: the two waited
	// until their clients gave up). Whether it has to yield is for recovery to say, to
	// which the push leads.
	if _, cycle := slices.BinarySearchFunc(p.dependents, w.id, compareIDs); cycle && !w.txn.Status.Finalized() && winsDeadlock(p.pusher, w.txn.TxnMeta) {
		p.become(PushDeadlock, nil)
	}
}

// Expires is how long the pushee may still go without a sign of life; 0: the push is
// to be evaluated, as its state then says. It has no meaning for a push that is over.
func (q *TxnWaitQueue) Expires(p *PushWait, now hlc.Timestamp, expiration time.Duration) time.Duration {
	w := q.find(p.req.Pushee.ID)
	if w == nil || w.txn == nil {
		p.become(PushEvaluate, nil)
		return 0
	}
	left := w.txn.LastActive().Add(expiration).Wall - now.Wall
	if left < 0 {
		p.become(PushEvaluate, nil)
		return 0
	}
	return time.Duration(left) + 1 // the first moment past it
}

// Visit calls fn for each transaction that waits for another, for whoever looks at
// several queues at once. It must not change anything.
func (q *TxnWaitQueue) Visit(fn func(pusher, pushee keys.TxnID)) {
	for _, w := range q.txns {
		for _, p := range w.pushes {
			if p.pusher.ID != (keys.TxnID{}) && p.state == PushPending {
				fn(p.pusher.ID, w.id)
			}
		}
	}
}

// Clear lets everybody go round, when the lease is lost or the range has changed.
func (q *TxnWaitQueue) Clear() {
	for _, w := range q.txns {
		for _, p := range w.pushes {
			p.become(PushEvaluate, nil)
		}
		for _, x := range w.queries {
			x.tell()
		}
	}
	q.txns = nil
}

// String lists who waits for whom, for people.
func (q *TxnWaitQueue) String() string {
	var b strings.Builder
	for _, w := range q.txns {
		fmt.Fprintf(&b, "%s", kv.FormatTxnID(w.id))
		if w.txn != nil {
			fmt.Fprintf(&b, " %s, priority %d", w.txn.Status, w.txn.Priority)
		}
		b.WriteByte('\n')
		for _, p := range w.pushes {
			who := "somebody without txn"
			if p.pusher.ID != (keys.TxnID{}) {
				who = kv.FormatTxnID(p.pusher.ID)
			}
			fmt.Fprintf(&b, "  %s push by %s: %s", p.req.Type, who, p.state)
			for i, id := range p.dependents {
				if i == 0 {
					b.WriteString("; waited for by")
				}
				fmt.Fprintf(&b, " %s", kv.FormatTxnID(id))
			}
			b.WriteByte('\n')
		}
		for _, x := range w.queries {
			fmt.Fprintf(&b, "  query knows %d who wait", len(x.known))
			if x.news {
				b.WriteString(", has news")
			}
			b.WriteByte('\n')
		}
	}
	if b.Len() == 0 {
		return "nobody waits\n"
	}
	return b.String()
}
