package session

import (
	"fmt"
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Kind is the kind of call that carries the steps of sessions.
var Kind = &rpc.Kind{ID: 12, Name: "session", Class: rpc.Default,
	Request:  func(r *codec.Reader) env.Message { return decodeRequest(r) },
	Response: func(r *codec.Reader) env.Message { return decodeResponse(r) }}

// ID is a session's identity, which its client chooses. The client's endpoint, which
// the network vouches for, belongs to it.
type ID struct {
	Born   time.Duration // of the client's incarnation, by its monotonic clock: later ones have more
	Lot    uint64        // drawn by that incarnation, so that no two are ever taken for each other
	Number uint64        // of its sessions
}

// String prints the identity for reading.
func (id ID) String() string { return fmt.Sprintf("%d of %s/%x", id.Number, id.Born, id.Lot>>48) }

// action is what a step does.
type action uint8

const (
	actBegin action = iota + 1 // and nothing more
	actBatch                   // a commit is the last request of a batch
	actRestart
	actSavepoint
	actRollbackTo
	actFix      // the timestamp
	actRollback // of whatever step: it ends the session
	numActions
)

var actionNames = [numActions]string{"", "begin", "batch", "restart", "savepoint", "rollback to", "fix", "rollback"}

// request is one step of a session.
type request struct {
	ID          ID
	Incarnation int64 // of the gateway that the session is bound to; 0: its client knows none
	Step        int64 // 1 begins, whatever else it does, and one more with each
	Left        time.Duration
	// Again says that the step may have been executed before: then it begins nothing, since
	// the session that it began may be over and forgotten.
	Again bool
	// Prioritize has the transaction go on with Priority, from this step on.
	Prioritize bool
	Priority   int32
	Action     action

	Name       string           // step 1; its priority is the field above
	CommitWait bool             // step 1
	Batch      *kv.BatchRequest // batch
	Savepoint  kv.Savepoint     // rollback to
	Timestamp  hlc.Timestamp    // fix
}

// commits reports that the step asks for a commit.
func (q *request) commits() bool {
	if q.Action != actBatch {
		return false
	}
	et := q.Batch.EndTxn()
	return et != nil && et.Commit
}

// begins reports that the step begins the session, if there is none.
func (q *request) begins() bool { return q.Step == 1 && q.Action != actRollback && !q.Again }

// Size implements env.Message.
func (q *request) Size() int {
	n := codec.SizeVarint(int64(q.ID.Born)) + codec.SizeUvarint(q.ID.Lot) + codec.SizeUvarint(q.ID.Number) +
		codec.SizeVarint(q.Incarnation) + codec.SizeVarint(q.Step) + codec.SizeVarint(int64(q.Left)) +
		2*codec.SizeBool + codec.SizeVarint(int64(q.Priority)) + codec.SizeByte
	if q.Step == 1 {
		n += codec.SizeString(q.Name) + codec.SizeBool
	}
	switch q.Action {
	case actBatch:
		n += q.Batch.Size()
	case actRollbackTo:
		n += sizeSavepoint(q.Savepoint)
	case actFix:
		n += q.Timestamp.Size()
	}
	return n
}

// Encode implements env.Message.
func (q *request) Encode(b []byte) []byte {
	b = codec.AppendUvarint(codec.AppendUvarint(codec.AppendVarint(b, int64(q.ID.Born)), q.ID.Lot), q.ID.Number)
	b = codec.AppendVarint(codec.AppendVarint(codec.AppendVarint(b, q.Incarnation), q.Step), int64(q.Left))
	b = codec.AppendVarint(codec.AppendBool(codec.AppendBool(b, q.Again), q.Prioritize), int64(q.Priority))
	b = append(b, byte(q.Action))
	if q.Step == 1 {
		b = codec.AppendBool(codec.AppendString(b, q.Name), q.CommitWait)
	}
	switch q.Action {
	case actBatch:
		b = q.Batch.Encode(b)
	case actRollbackTo:
		b = appendSavepoint(b, q.Savepoint)
	case actFix:
		b = q.Timestamp.Encode(b)
	}
	return b
}

func decodeRequest(r *codec.Reader) *request {
	q := &request{
		ID:          ID{Born: time.Duration(r.Varint()), Lot: r.Uvarint(), Number: r.Uvarint()},
		Incarnation: r.Varint(), Step: r.Varint(), Left: time.Duration(r.Varint()),
		Again: r.Bool(), Prioritize: r.Bool(), Priority: r.Int32(), Action: action(r.Byte()),
	}
	if q.Step == 1 {
		q.Name, q.CommitWait = r.String(), r.Bool()
	}
	switch q.Action {
	case actBatch:
		q.Batch = kv.DecodeBatchRequest(r)
	case actRollbackTo:
		q.Savepoint = decodeSavepoint(r)
	case actFix:
		q.Timestamp = hlc.Decode(r)
	case actBegin, actRestart, actSavepoint, actRollback:
	default:
		r.Failf("session: unknown step %d", q.Action)
	}
	return q
}

// String prints the step for traces.
func (q *request) String() string {
	s := fmt.Sprintf("session %s step %d: %s", q.ID, q.Step, actionNames[q.Action])
	if q.Action == actBatch {
		s += " " + q.Batch.String()
	}
	return s
}

// refusal is why a step has no answer of its own.
type refusal uint8

const (
	accepted         refusal = iota // it was executed, now or before
	refusedStopping                 // the node stops, and begins no sessions
	refusedFull                     // too many sessions
	refusedUnknown                  // no such session: another incarnation's, or forgotten, or never begun
	refusedEnded                    // the session ended without this step; Err is the reason
	refusedOrder                    // neither the next step nor the last one
	refusedUnderWay                 // it is being executed, and this call's time is over
	refusedForgotten                // it was executed, and the answer was not kept
	numRefusals
)

var refusalNames = [numRefusals]string{"accepted", "the gateway is stopping", "the gateway has too many sessions",
	"the gateway does not know the session", "the session has ended", "the step is late, or out of order",
	"the step is still under way", "the step's answer was not kept"}

// String is the refusal in words.
func (f refusal) String() string { return refusalNames[f] }

// response is the answer to a step.
type response struct {
	Refusal     refusal
	Node        kv.NodeID // the gateway, and its incarnation
	Incarnation int64

	Txn       *kv.Txn // the transaction after the step, as far as its client needs it; see view
	Err       *kv.Error
	Batch     *kv.BatchResponse // of a batch that succeeded: the responses alone
	Savepoint kv.Savepoint
}

// Flags of what a response carries.
const (
	hasTxn byte = 1 << iota
	hasErr
	hasBatch
	hasSavepoint
	allFlags
)

func (p *response) flags() (f byte) {
	if p.Txn != nil {
		f |= hasTxn
	}
	if p.Err != nil {
		f |= hasErr
	}
	if p.Batch != nil {
		f |= hasBatch
	}
	if p.Savepoint != (kv.Savepoint{}) {
		f |= hasSavepoint
	}
	return f
}

// Size implements env.Message.
func (p *response) Size() int {
	n := 2*codec.SizeByte + codec.SizeVarint(int64(p.Node)) + codec.SizeVarint(p.Incarnation)
	if p.Txn != nil {
		n += p.Txn.TxnMeta.Size() + codec.SizeByte + p.Txn.ReadTS.Size()
	}
	if p.Err != nil {
		n += p.Err.Size()
	}
	if p.Batch != nil {
		n += p.Batch.Size()
	}
	if p.Savepoint != (kv.Savepoint{}) {
		n += sizeSavepoint(p.Savepoint)
	}
	return n
}

// Encode implements env.Message.
func (p *response) Encode(b []byte) []byte {
	b = append(b, byte(p.Refusal), p.flags())
	b = codec.AppendVarint(codec.AppendVarint(b, int64(p.Node)), p.Incarnation)
	if p.Txn != nil {
		b = p.Txn.ReadTS.Encode(append(p.Txn.TxnMeta.Encode(b), byte(p.Txn.Status)))
	}
	if p.Err != nil {
		b = p.Err.Encode(b)
	}
	if p.Batch != nil {
		b = p.Batch.Encode(b)
	}
	if p.Savepoint != (kv.Savepoint{}) {
		b = appendSavepoint(b, p.Savepoint)
	}
	return b
}

func decodeResponse(r *codec.Reader) *response {
	p := &response{Refusal: refusal(r.Byte())}
	flags := r.Byte()
	p.Node, p.Incarnation = kv.NodeID(r.Int32()), r.Varint()
	if p.Refusal >= numRefusals || flags >= allFlags {
		r.Failf("session: unknown refusal %d or flags %x", p.Refusal, flags)
		return p
	}
	if flags&hasTxn != 0 {
		p.Txn = &kv.Txn{TxnMeta: kv.DecodeTxnMeta(r), Status: kv.TxnStatus(r.Byte()), ReadTS: hlc.Decode(r)}
		if p.Txn.Status > kv.Aborted {
			r.Failf("session: unknown status %d", p.Txn.Status)
		}
	}
	if flags&hasErr != 0 {
		p.Err = kv.DecodeError(r)
	}
	if flags&hasBatch != 0 {
		p.Batch = kv.DecodeBatchResponse(r)
	}
	if flags&hasSavepoint != 0 {
		if p.Savepoint = decodeSavepoint(r); p.Savepoint == (kv.Savepoint{}) {
			r.Failf("session: a savepoint of nothing")
		}
	}
	return p
}

// String prints the answer for traces.
func (p *response) String() string {
	switch {
	case p.Refusal != accepted:
		return p.Refusal.String()
	case p.Err != nil:
		return p.Err.Error()
	case p.Batch != nil:
		return p.Batch.String()
	}
	return "done"
}

func sizeSavepoint(s kv.Savepoint) int {
	return len(s.ID) + codec.SizeVarint(int64(s.Epoch)) + codec.SizeVarint(int64(s.Sequence))
}

func appendSavepoint(b []byte, s kv.Savepoint) []byte {
	return codec.AppendVarint(codec.AppendVarint(append(b, s.ID[:]...), int64(s.Epoch)), int64(s.Sequence))
}

func decodeSavepoint(r *codec.Reader) (s kv.Savepoint) {
	copy(s.ID[:], r.Take(uint64(len(s.ID))))
	s.Epoch, s.Sequence = r.Int32(), r.Int32()
	return s
}

// view is what a client needs to know of its transaction: not what was observed and
// locked, which grows. The copy is the message's own.
func view(t *kv.Txn) *kv.Txn {
	return &kv.Txn{
		TxnMeta: kv.TxnMeta{ID: t.ID, Key: t.Key, Epoch: t.Epoch, WriteTS: t.WriteTS, Priority: t.Priority},
		Status:  t.Status, ReadTS: t.ReadTS,
	}
}

// plain is an error without what only routers need, and without what is known of
// other transactions beyond their names.
func plain(e *kv.Error) *kv.Error {
	if e == nil {
		return nil
	}
	c := *e
	c.Lease, c.Descs, c.Cause = nil, nil, plain(e.Cause)
	if e.Detail != nil && e.Detail.Pushee != nil {
		d := *e.Detail
		d.Pushee = view(d.Pushee)
		c.Detail = &d
	}
	return &c
}
