package kv

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// oneOfEach lists every concrete request and response, so that a method that is
// added and not listed fails TestEveryMethodIsListed.
var oneOfEach = []struct {
	request  Request
	response Response
}{
	{&GetRequest{}, &GetResponse{}},
	{&PutRequest{}, &PutResponse{}},
	{&ConditionalPutRequest{}, &ConditionalPutResponse{}},
	{&IncrementRequest{}, &IncrementResponse{}},
	{&DeleteRequest{}, &DeleteResponse{}},
	{&ScanRequest{}, &ScanResponse{}},
	{&ReverseScanRequest{}, &ReverseScanResponse{}},
	{&TransferLeaseRequest{}, &TransferLeaseResponse{}},
	{&RequestLeaseRequest{}, &RequestLeaseResponse{}},
	{&AdminSplitRequest{}, &AdminSplitResponse{}},
	{&AdminChangeReplicasRequest{}, &AdminChangeReplicasResponse{}},
	{&AdminMergeRequest{}, &AdminMergeResponse{}},
	{&RangeStatsRequest{}, &RangeStatsResponse{}},
	{&SubsumeRequest{}, &SubsumeResponse{}},
	{&InitPutRequest{}, &InitPutResponse{}},
	{&DeleteRangeRequest{}, &DeleteRangeResponse{}},
	{&RefreshRequest{}, &RefreshResponse{}},
	{&RefreshRangeRequest{}, &RefreshRangeResponse{}},
	{&QueryIntentRequest{}, &QueryIntentResponse{}},
	{&QueryTxnRequest{}, &QueryTxnResponse{}},
	{&PushTxnRequest{}, &PushTxnResponse{}},
	{&RecoverTxnRequest{}, &RecoverTxnResponse{}},
	{&HeartbeatTxnRequest{}, &HeartbeatTxnResponse{}},
	{&EndTxnRequest{}, &EndTxnResponse{}},
	{&ResolveIntentRequest{}, &ResolveIntentResponse{}},
	{&ResolveIntentRangeRequest{}, &ResolveIntentRangeResponse{}},
	{&GCRequest{}, &GCResponse{}},
}

// fill draws a value for everything that v holds. It knows the types of this
// package only where not every value of the Go type is one of theirs.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case hlc.Timestamp:
		v.Set(reflect.ValueOf(hlc.Timestamp{Wall: rapid.Int64().Draw(t, "wall"), Logical: rapid.Int32Min(0).Draw(t, "logical")}))
		return
	case ReplicaType:
		v.SetUint(rapid.Uint64Max(uint64(numReplicaTypes-1)).Draw(t, "type"))
		return
	case *CommitTrigger: // at most one of its members
		if depth > 0 && rapid.Bool().Draw(t, "set") {
			v.Set(reflect.ValueOf(&CommitTrigger{}))
			one := v.Elem().Field(rapid.IntRange(0, v.Elem().NumField()-1).Draw(t, "trigger"))
			fill(t, one, depth-1)
		}
		return
	case ReplicaRole:
		v.SetUint(rapid.Uint64Max(uint64(numReplicaRoles-1)).Draw(t, "role"))
		return
	case TxnStatus, LockDurability, WaitPolicy, PushType, RetryReason, AbortReason:
		count := map[string]int{"TxnStatus": int(numTxnStatuses), "LockDurability": int(numLockDurabilities), "WaitPolicy": int(numWaitPolicies),
			"PushType": int(numPushTypes), "RetryReason": int(numRetryReasons), "AbortReason": int(numAbortReasons)}[v.Type().Name()]
		v.SetUint(uint64(rapid.IntRange(0, count-1).Draw(t, "enum")))
		return
	case LockStrength: // LockIntent is of held locks alone
		v.SetUint(rapid.Uint64Max(uint64(LockExclusive)).Draw(t, "strength"))
		return
	case ErrorKind:
		v.SetUint(rapid.Uint64Range(1, uint64(numErrorKinds-1)).Draw(t, "kind"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), depth)
		}
	case reflect.Pointer:
		if depth > 0 && rapid.Bool().Draw(t, "set") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, "len")
		if n == 0 {
			return // nil: empty and nil are the same thing on the wire
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if e := v.Index(i); e.Kind() == reflect.Pointer {
				e.Set(reflect.New(e.Type().Elem()))
				fill(t, e.Elem(), depth-1)
			} else {
				fill(t, e, depth-1)
			}
		}
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[Request]() {
			v.Set(reflect.ValueOf(drawOf(t, rapid.SampledFrom(oneOfEach).Draw(t, "request").request)))
		} else {
			v.Set(reflect.ValueOf(drawOf(t, rapid.SampledFrom(oneOfEach).Draw(t, "response").response)))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), depth)
		}
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "int32")))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Byte().Draw(t, "byte")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint"))
	default:
		panic(fmt.Sprintf("no generator for %s", v.Type()))
	}
}

// drawOf draws a new value of like's type, a pointer to a struct.
func drawOf(t *rapid.T, like any) any {
	v := reflect.New(reflect.TypeOf(like).Elem())
	fill(t, v.Elem(), 3)
	return v.Interface()
}

// framed is a request as it stands in a batch, behind its method.
type framed struct{ Request }

func (f framed) Size() int              { return sizeRequest(f.Request) }
func (f framed) Encode(b []byte) []byte { return appendRequest(b, f.Request) }

type encoder interface {
	Size() int
	Encode([]byte) []byte
}

// checkRoundTrip requires that nothing of v is lost, that its size is as
// announced, and that every shorter input is refused.
func checkRoundTrip(t *rapid.T, v encoder, decode func(*codec.Reader) any) {
	b := v.Encode([]byte("x"))[1:]
	if len(b) != v.Size() {
		t.Fatalf("%#v announced %d bytes and wrote %d", v, v.Size(), len(b))
	}
	r := codec.NewReader(b)
	got := decode(r)
	if err := r.Done(); err != nil {
		t.Fatalf("%#v: %v", v, err)
	}
	if !reflect.DeepEqual(got, any(v)) {
		t.Fatalf("sent %#v\ngot  %#v", v, got)
	}
	if len(b) > 0 {
		r := codec.NewReader(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")])
		decode(r)
		if r.Done() == nil {
			t.Fatalf("%#v decodes from a part of its bytes", v)
		}
	}
}

// Every field of every message survives the way.
func TestRoundTrip(t *testing.T) {
	for _, one := range oneOfEach {
		m := one.request.Method()
		t.Run(m.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				checkRoundTrip(t, framed{drawOf(t, one.request).(Request)}, func(r *codec.Reader) any { return framed{decodeRequest(r)} })
				checkRoundTrip(t, drawOf(t, one.response).(encoder), func(r *codec.Reader) any { return decodeResponse(m, r) })
			})
		})
	}
	t.Run("rest", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			checkRoundTrip(t, drawOf(t, &BatchRequest{}).(encoder), func(r *codec.Reader) any { return DecodeBatchRequest(r) })
			checkRoundTrip(t, drawOf(t, &BatchResponse{}).(encoder), func(r *codec.Reader) any { return DecodeBatchResponse(r) })
			checkRoundTrip(t, drawOf(t, &Error{}).(encoder), func(r *codec.Reader) any { return DecodeError(r) })
			checkRoundTrip(t, drawOf(t, &RangeDescriptor{}).(encoder), func(r *codec.Reader) any { return DecodeRangeDescriptor(r) })
			checkRoundTrip(t, drawOf(t, &Txn{}).(encoder), func(r *codec.Reader) any { return DecodeTxn(r) })
			checkRoundTrip(t, drawOf(t, &TxnMeta{}).(encoder), func(r *codec.Reader) any { m := DecodeTxnMeta(r); return &m })
			checkRoundTrip(t, drawOf(t, &Lease{}).(encoder), func(r *codec.Reader) any { l := DecodeLease(r); return &l })
		})
	})
}

func TestEveryMethodIsListed(t *testing.T) {
	listed := map[Method]bool{TruncateLog: true, AdminSplit: true}
	for _, one := range oneOfEach {
		if one.request.Method() != one.response.Method() {
			t.Errorf("%T is paired with %T", one.request, one.response)
		}
		listed[one.request.Method()] = true
	}
	for m := Method(1); m < numMethods; m++ {
		if !listed[m] {
			t.Errorf("%s has no request in the tests", m)
		}
		if m.Admin() == (m.Reads() || m.Writes()) {
			t.Errorf("%s has no class, or two", m)
		}
	}
	for k := ErrorKind(1); k < numErrorKinds; k++ {
		if errorKindNames[k] == "" {
			t.Errorf("error kind %d has no name", k)
		}
	}
}

// Any bytes at all are decoded or refused, and what is decoded encodes the same.
func FuzzDecode(f *testing.F) {
	ts := hlc.Timestamp{Wall: 5, Logical: 6}
	d := &RangeDescriptor{RangeID: 3, StartKey: keys.Key("a"), EndKey: keys.Key("b"), Replicas: []ReplicaDescriptor{{1, 2, 3, Learner}}, NextReplicaID: 4, Generation: math.MaxInt64}
	f.Add((&BatchRequest{Header: Header{RangeID: 1, Timestamp: ts}, Requests: []Request{&ScanRequest{Key: keys.Key("a"), EndKey: keys.Key("b")}}}).Encode(nil))
	f.Add((&BatchResponse{Responses: []Response{&ScanResponse{Rows: []KeyValue{{keys.Key("a"), []byte("v"), ts}}}}, Desc: d}).Encode(nil))
	f.Add((&BatchResponse{Err: AmbiguousError(&Error{Kind: NotLeaseholder, Lease: &Lease{Sequence: 1}, Descs: []*RangeDescriptor{d}}, "x")}).Encode(nil))
	txn := NewTxn(TxnID{1}, "t", 5, ts, ts)
	txn.Key, txn.Observed, txn.InFlight = keys.Key("a"), []ObservedTimestamp{{1, ts}}, []SequencedWrite{{keys.Key("a"), 1}}
	txn.LockSpans, txn.IgnoredSeqs = []keys.Span{{Key: keys.Key("a")}}, []SeqRange{{1, 2}}
	f.Add((&BatchRequest{Header: Header{Txn: txn, CanForwardReadTS: true, WaitPolicy: WaitError, LockTimeout: 1}, Requests: []Request{
		&GetRequest{RequestHeader: RequestHeader{3}, Key: keys.Key("a"), Locking: Locking{LockExclusive, Replicated}},
		&PutRequest{RequestHeader: RequestHeader{4}, Key: keys.Key("a")},
		&EndTxnRequest{Key: keys.Key("a"), Commit: true, InFlight: txn.InFlight, LockSpans: txn.LockSpans},
		ResolveRequest(UpdateOf(txn, txn.LockSpans[0]), true)}}).Encode(nil))
	f.Add((&BatchResponse{Txn: txn, Err: RetryError(RetryWriteTooOld, "x")}).Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, decode := range []func(*codec.Reader) encoder{
			func(r *codec.Reader) encoder { return DecodeBatchRequest(r) },
			func(r *codec.Reader) encoder { return DecodeBatchResponse(r) },
			func(r *codec.Reader) encoder { return DecodeRangeDescriptor(r) },
		} {
			r := codec.NewReader(b)
			v := decode(r)
			if r.Done() != nil {
				continue
			}
			if got := v.Encode(nil); !bytes.Equal(got, b) || v.Size() != len(b) {
				t.Fatalf("%x decodes and encodes as %x", b, got)
			}
			_ = fmt.Sprint(v)
		}
	})
}

func TestErrors(t *testing.T) {
	unknown := AmbiguousError(Errorf(NotLeaseholder, "moved"), "no answer")
	if !unknown.Ambiguous() || unknown.Refused() || AmbiguousError(unknown, "again") != unknown {
		t.Fatal("doubt is not kept")
	}
	if got, want := unknown.Error(), "ambiguous result: no answer; caused by: not leaseholder: moved"; got != want {
		t.Fatalf("%s", got)
	}
	if AsError(nil) != nil || AsError(fmt.Errorf("wrapped: %w", unknown)) != unknown || !AsError(fmt.Errorf("what?")).Ambiguous() {
		t.Fatal("AsError")
	}
	for k := ErrorKind(1); k < numErrorKinds; k++ {
		if e := Errorf(k, "x"); e.Ambiguous() && e.Refused() {
			t.Fatalf("%s is both", k)
		}
	}
}

func TestValidateAndSpan(t *testing.T) {
	a, b, c := keys.Key("a"), keys.Key("b"), keys.Key("c")
	for want, ba := range map[string]*BatchRequest{
		"":                         {Requests: []Request{&GetRequest{Key: a}, &PutRequest{Key: b}}},
		"empty":                    {},
		"negative limit":           {Header: Header{MaxKeys: -1}, Requests: []Request{&GetRequest{Key: a}}},
		"does not only read":       {Header: Header{Timestamp: hlc.Min}, Requests: []Request{&GetRequest{Key: a}, &DeleteRequest{Key: a}}},
		"not alone":                {Requests: []Request{&GetRequest{Key: a}, &RequestLeaseRequest{Key: a}}},
		"without a transaction":    {Requests: []Request{&EndTxnRequest{Key: a}}},
		"beside those":             {Header: Header{Timestamp: hlc.Min, Txn: &Txn{}}, Requests: []Request{&GetRequest{Key: a}}},
		"empty span":               {Requests: []Request{&ScanRequest{Key: b, EndKey: a}}},
		"empty span [\"a\", /Min)": {Requests: []Request{&ReverseScanRequest{Key: a}}},
		"beyond":                   {Requests: []Request{&GetRequest{Key: keys.Max}}},
		"cannot be addressed":      {Requests: []Request{&GetRequest{Key: keys.LeaseKey(1)}}},
	} {
		err := ba.Validate()
		if (err == nil) != (want == "") || err != nil && !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%s: %v, want %q", ba, err, want)
		}
	}
	for want, rs := range map[string][]Request{
		`"a"`:            {&GetRequest{Key: a}, &PutRequest{Key: a}},
		`["a", "b\x00")`: {&GetRequest{Key: b}, &PutRequest{Key: a}},
		`["a", "c")`:     {&GetRequest{Key: b}, &ScanRequest{Key: a, EndKey: c}},
		`["a", "c\x00")`: {&ScanRequest{Key: b, EndKey: c}, &ScanRequest{Key: a, EndKey: b}, &GetRequest{Key: c}},
	} {
		if got := (&BatchRequest{Requests: rs}).Span().String(); got != want {
			t.Errorf("span %s, want %s", got, want)
		}
	}
}
