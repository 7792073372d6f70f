package session

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

func drawTimestamp(t *rapid.T, name string) hlc.Timestamp {
	return hlc.Timestamp{Wall: rapid.Int64Min(0).Draw(t, name), Logical: rapid.Int32Min(0).Draw(t, name)}
}

func drawSavepoint(t *rapid.T) kv.Savepoint {
	return kv.Savepoint{ID: kv.TxnID{rapid.Byte().Draw(t, "id")}, Epoch: rapid.Int32().Draw(t, "epoch"), Sequence: rapid.Int32().Draw(t, "seq")}
}

func drawRequest(t *rapid.T) *request {
	q := &request{
		ID:          ID{time.Duration(rapid.Int64().Draw(t, "born")), rapid.Uint64().Draw(t, "lot"), rapid.Uint64().Draw(t, "number")},
		Incarnation: rapid.Int64().Draw(t, "incarnation"), Step: rapid.Int64().Draw(t, "step"), Left: time.Duration(rapid.Int64().Draw(t, "left")),
		Again:      rapid.Bool().Draw(t, "again"),
		Prioritize: rapid.Bool().Draw(t, "prioritize"), Priority: rapid.Int32().Draw(t, "priority"),
		Action: action(rapid.IntRange(1, int(numActions)-1).Draw(t, "action")),
	}
	if q.Action == actBegin || rapid.Bool().Draw(t, "begins") {
		q.Step = 1
		q.Name, q.CommitWait = rapid.String().Draw(t, "name"), rapid.Bool().Draw(t, "wait")
	}
	switch q.Action {
	case actBatch:
		q.Batch = &kv.BatchRequest{Header: kv.Header{MaxKeys: rapid.Int64().Draw(t, "max")},
			Requests: []kv.Request{&kv.PutRequest{Key: keys.Key("k"), Value: []byte("v")}, &kv.EndTxnRequest{Commit: true}}}
	case actRollbackTo:
		q.Savepoint = drawSavepoint(t)
	case actFix:
		q.Timestamp = drawTimestamp(t, "at")
	}
	return q
}

func drawResponse(t *rapid.T) *response {
	p := &response{Refusal: refusal(rapid.IntRange(0, int(numRefusals)-1).Draw(t, "refusal")),
		Node: kv.NodeID(rapid.Int32().Draw(t, "node")), Incarnation: rapid.Int64().Draw(t, "incarnation")}
	if rapid.Bool().Draw(t, "txn") {
		p.Txn = &kv.Txn{TxnMeta: kv.TxnMeta{ID: kv.TxnID{rapid.Byte().Draw(t, "id")}, Key: keys.Key("k"), Epoch: rapid.Int32().Draw(t, "epoch"),
			WriteTS: drawTimestamp(t, "write"), Priority: rapid.Int32().Draw(t, "priority")},
			Status: kv.TxnStatus(rapid.IntRange(0, 3).Draw(t, "status")), ReadTS: drawTimestamp(t, "read")}
	}
	if rapid.Bool().Draw(t, "err") {
		p.Err = kv.AbortedError(kv.AbortGatewayLost, "%s", rapid.String().Draw(t, "why"))
	}
	if rapid.Bool().Draw(t, "batch") {
		p.Batch = &kv.BatchResponse{Timestamp: drawTimestamp(t, "ts"), Responses: []kv.Response{&kv.PutResponse{}}}
	}
	if rapid.Bool().Draw(t, "savepoint") {
		p.Savepoint = drawSavepoint(t)
	}
	return p
}

// Every field of every message survives the way, sizes are as announced, and a part of
// a message is none.
func TestRoundTrip(t *testing.T) {
	check := func(t *rapid.T, m env.Message, decode func(*codec.Reader) env.Message) {
		b := m.Encode([]byte("x"))[1:]
		if len(b) != m.Size() {
			t.Fatalf("%#v announced %d bytes and wrote %d", m, m.Size(), len(b))
		}
		r := codec.NewReader(b)
		got := decode(r)
		if err := r.Done(); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("sent %#v\ngot  %#v, %v", m, got, err)
		}
		r = codec.NewReader(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")])
		decode(r)
		if r.Done() == nil {
			t.Fatalf("%#v decodes from a part of its bytes", m)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, drawRequest(t), Kind.Request)
		check(t, drawResponse(t), Kind.Response)
	})
}

// Any bytes at all are decoded or refused, and what is decoded encodes the same.
func FuzzDecode(f *testing.F) {
	f.Add(true, (&request{ID: ID{1, 2, 3}, Step: 1, Action: actBegin, Name: "t"}).Encode(nil))
	f.Add(true, (&request{Step: 2, Action: actBatch, Batch: &kv.BatchRequest{Requests: []kv.Request{&kv.GetRequest{Key: keys.Key("k")}}}}).Encode(nil))
	f.Add(true, (&request{Action: actRollbackTo, Savepoint: kv.Savepoint{Epoch: 1}}).Encode(nil))
	f.Add(false, (&response{Node: 1, Incarnation: 2, Txn: &kv.Txn{}, Err: kv.Errorf(kv.Timeout, "late"), Savepoint: kv.Savepoint{Sequence: 1}}).Encode(nil))
	f.Add(false, (&response{Refusal: refusedOrder, Batch: &kv.BatchResponse{Responses: []kv.Response{&kv.PutResponse{}}}}).Encode(nil))
	f.Fuzz(func(t *testing.T, isRequest bool, b []byte) {
		decode := Kind.Response
		if isRequest {
			decode = Kind.Request
		}
		r := codec.NewReader(b)
		m := decode(r)
		if r.Done() != nil {
			return
		}
		once := m.Encode(nil)
		if len(once) != m.Size() {
			t.Fatalf("%d bytes announced, %d written", m.Size(), len(once))
		}
		r = codec.NewReader(once)
		again := decode(r)
		if err := r.Done(); err != nil || !bytes.Equal(again.Encode(nil), once) {
			t.Fatalf("%x decodes to what encodes as %x, which does not decode to the same: %v", b, once, err)
		}
	})
}

// A client is told of its transaction what it needs, and nothing that grows with it.
func TestAnswersStaySmall(t *testing.T) {
	txn := kv.NewTxn(kv.TxnID{1}, "name", 5, hlc.Timestamp{Wall: 7}, hlc.Timestamp{Wall: 9})
	for n := range kv.NodeID(100) {
		txn.Observe(n+1, hlc.Timestamp{Wall: 8})
		txn.LockSpans = append(txn.LockSpans, keys.Span{Key: keys.Key("k")})
		txn.IgnoredSeqs = append(txn.IgnoredSeqs, kv.SeqRange{Start: int32(2 * n), End: int32(2 * n)})
	}
	e := kv.Errorf(kv.TransactionPush, "")
	e.Detail = &kv.ErrorDetail{Pushee: txn}
	e.Descs = []*kv.RangeDescriptor{{StartKey: keys.Key("a"), EndKey: keys.Key("b")}}
	p := &response{Txn: view(txn), Err: plain(kv.AmbiguousError(e, "why"))}
	if p.Size() > 200 {
		t.Errorf("the answer takes %d bytes", p.Size())
	}
	if c := p.Err.Cause; c.Detail.Pushee.ID != txn.ID || len(e.Descs) == 0 || len(txn.Observed) == 0 {
		t.Errorf("who was in the way is lost, or the original was changed: %s", p.Err)
	}
}
