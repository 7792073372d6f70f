package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// Each test here, and in recordrules_test.go, fails when the rule about transactions that
// it names is taken out of db/replica. Batches are sent to the leaseholder as they are,
// without a coordinator that would mend what it is told.

// rules is a cluster with somebody who sends batches to where the lease is.
type rules struct {
	*cluster
	t    *testing.T
	at   *node
	made int
}

func newRules(t *testing.T, nodes int, knobs map[string]int64) *rules {
	r := &rules{cluster: newCluster(t, nodes, sim.Config{Seed: 1, Knobs: knobs}), t: t}
	r.do(put("first", "0"))
	r.at = r.holder()
	return r
}

// now is a fresh reading of the leaseholder's clock; later is one so much above.
func (r *rules) now() hlc.Timestamp                  { return r.at.clock.Now() }
func (r *rules) later(d time.Duration) hlc.Timestamp { return r.now().Add(d) }

// begin is a transaction at ts, anchored at a.
func (r *rules) begin(ts hlc.Timestamp) *kv.Txn {
	r.made++
	var id kv.TxnID
	binary.BigEndian.PutUint32(id[:], uint32(r.made))
	txn := kv.NewTxn(id, fmt.Sprintf("T%d", r.made), 5, ts, ts.Add(maxOffset))
	txn.Key = key("a")
	return txn
}

// send sends a batch, of txn unless that is nil, and takes in what becomes of txn.
func (r *rules) send(h kv.Header, txn *kv.Txn, reqs ...kv.Request) *kv.BatchResponse {
	r.t.Helper()
	h.RangeID = 1
	if txn != nil {
		own := *txn
		h.Txn = &own
	}
	var p env.Promise[*kv.BatchResponse]
	r.at.proc.Go("client", func(t env.Task) {
		t.SetDeadline(r.at.proc.Mono() + 3*time.Second)
		p.Resolve(r.at.store.Send(t, &kv.BatchRequest{Header: h, Requests: reqs}), nil)
	})
	r.until(5*time.Second, p.Ready)
	br, _ := p.Value()
	if txn != nil && br.Txn != nil {
		txn.Update(br.Txn)
	}
	return br
}

// ok is send of what must succeed.
func (r *rules) ok(txn *kv.Txn, reqs ...kv.Request) *kv.BatchResponse {
	r.t.Helper()
	br := r.send(kv.Header{}, txn, reqs...)
	if br.Err != nil {
		r.t.Fatalf("%s: %s", reqs[0].Method(), br.Err)
	}
	return br
}

// refused is send of what must fail with an error of the kind.
func (r *rules) refused(kind kv.ErrorKind, txn *kv.Txn, reqs ...kv.Request) *kv.Error {
	r.t.Helper()
	br := r.send(kv.Header{}, txn, reqs...)
	if br.Err == nil || br.Err.Kind != kind {
		r.t.Fatalf("%s: %v, want %s", reqs[0].Method(), br.Err, kind)
	}
	return br.Err
}

func numbered(seq int32) kv.RequestHeader { return kv.RequestHeader{Sequence: seq} }

// write is a Put by its number in the transaction.
func write(seq int32, k, v string) *kv.PutRequest {
	return &kv.PutRequest{RequestHeader: numbered(seq), Key: key(k), Value: []byte(v)}
}

func span(from, to string) keys.Span { return keys.Span{Key: key(from), EndKey: key(to)} }

// committed writes a version at ts, as a transaction in one phase.
func (r *rules) committed(ts hlc.Timestamp, k, v string) {
	r.t.Helper()
	r.ok(r.begin(ts), write(1, k, v), end(2, k))
}

// end is a commit of the writes to the given keys.
func end(seq int32, wrote ...string) *kv.EndTxnRequest {
	q := &kv.EndTxnRequest{RequestHeader: numbered(seq), Key: key("a"), Commit: true}
	for _, k := range wrote {
		q.LockSpans = append(q.LockSpans, keys.Span{Key: key(k)})
	}
	return q
}

func (r *rules) want(what string, got, want any) {
	r.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// read is what txn, or nobody, reads.
func (r *rules) read(txn *kv.Txn, k string) string {
	r.t.Helper()
	return string(r.ok(txn, get(k)).Responses[0].(*kv.GetResponse).Value)
}

// A value above the read timestamp, written before the transaction came to the node, may
// have been there before it began.
func TestUncertainValue(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.run(100 * time.Millisecond)
	r.committed(r.now(), "k", "v")
	r.refused(kv.Uncertainty, txn, get("k"))
	// A transaction that was here before it was written need not know of it; one whose
	// interval ends below it, neither.
	txn.Observe(r.at.id, txn.ReadTS)
	r.want("known to be later", r.read(txn, "k"), "")
	r.want("beyond the interval", r.read(r.begin(r.now().Add(-time.Second)), "k"), "")
}

// What a node's clock read when a transaction came there says nothing of what was written
// under the lease of another node: from the beginning of its own lease alone are local
// timestamps of its clock.
func TestUncertainBeforeTheLease(t *testing.T) {
	r := newRules(t, 3, nil)
	next := r.nodes[int(r.at.id)%3]
	txn := r.begin(r.now())
	txn.Observe(next.id, next.clock.Now())
	r.run(20 * time.Millisecond)
	r.committed(r.now(), "k", "v")
	r.transfer(next)
	r.refused(kv.Uncertainty, txn, get("k"))
}

// transfer hands the lease over.
func (r *rules) transfer(to *node) {
	r.t.Helper()
	r.run(100 * time.Millisecond) // it has to have caught up
	r.ok(nil, &kv.TransferLeaseRequest{Key: key("a"), Target: kv.StoreID(to.id)})
	r.until(time.Second, func() bool { return to.store.Replica(1).HoldsLease() })
	r.at = to
}

// A read whose timestamp the leaseholder chooses is uncertain too, and moves above.
func TestUncertainWithoutTxn(t *testing.T) {
	r := newRules(t, 1, nil)
	ahead := r.later(300 * time.Millisecond)
	r.committed(ahead, "k", "v")
	br := r.ok(nil, get("k"))
	if got := br.Responses[0].(*kv.GetResponse); !got.Exists || br.Timestamp.Less(ahead) {
		t.Fatalf("%q at %s, written at %s", got.Value, br.Timestamp, ahead)
	}
}

// Whatever returned or tested data keeps older transactions from writing beneath it.
func TestReadsAreNoted(t *testing.T) {
	for name, c := range map[string]struct {
		at  string // where it must not be written beneath
		req kv.Request
		err kv.ErrorKind
	}{
		"get":              {"k", get("k"), 0},
		"get of nothing":   {"nothing", get("nothing"), 0},
		"scan":             {"c", &kv.ScanRequest{Key: key("b"), EndKey: key("d")}, 0},
		"reverse scan":     {"c", &kv.ReverseScanRequest{Key: key("b"), EndKey: key("d")}, 0},
		"delete range":     {"c", &kv.DeleteRangeRequest{RequestHeader: numbered(1), Key: key("b"), EndKey: key("d")}, 0},
		"failed condition": {"k", &kv.ConditionalPutRequest{RequestHeader: numbered(1), Key: key("k"), Value: []byte("x")}, kv.ConditionFailed},
		"refresh":          {"c", &kv.RefreshRequest{Key: key("c")}, 0},
		"ranged refresh":   {"c", &kv.RefreshRangeRequest{Key: key("b"), EndKey: key("d")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRules(t, 1, nil)
			r.committed(r.now(), "k", "v")
			old := r.begin(r.now())
			reader := r.begin(r.later(100 * time.Millisecond))
			switch q := c.req.(type) {
			case *kv.RefreshRequest:
				q.RefreshFrom = old.ReadTS
			case *kv.RefreshRangeRequest:
				q.RefreshFrom = old.ReadTS
			}
			if c.err != 0 {
				r.refused(c.err, reader, c.req)
			} else {
				r.ok(reader, c.req)
			}
			r.ok(old, write(1, c.at, "beneath"))
			if old.WriteTS.LessEq(reader.ReadTS) {
				t.Fatalf("written at %s, read at %s", old.WriteTS, reader.ReadTS)
			}
		})
	}
}

// A scan notes what it has looked at, and no more.
func TestLimitedScansAreNoted(t *testing.T) {
	for name, reverse := range map[string]bool{"scan": false, "reverse scan": true} {
		t.Run(name, func(t *testing.T) {
			r := newRules(t, 1, nil)
			for _, k := range []string{"b", "d", "f"} {
				r.committed(r.now(), k, "v")
			}
			old := r.begin(r.now())
			reader := r.begin(r.later(100 * time.Millisecond))
			var q kv.Request = &kv.ScanRequest{Key: key("b"), EndKey: key("g")}
			seen, unseen := "c", "fa"
			if reverse {
				q, seen, unseen = &kv.ReverseScanRequest{Key: key("b"), EndKey: key("g")}, "e", "b"
			}
			if br := r.send(kv.Header{MaxKeys: 2}, reader, q); br.Err != nil {
				t.Fatal(br.Err)
			}
			r.ok(old, write(1, unseen, "v"))
			r.want("written where nobody looked", old.WriteTS, old.ReadTS)
			r.ok(old, write(2, seen, "v"))
			if old.WriteTS.LessEq(reader.ReadTS) {
				t.Fatalf("written at %s, read at %s", old.WriteTS, reader.ReadTS)
			}
		})
	}
}

// A transaction's own read does not keep it from writing there; nor does the read of
// another at the same timestamp belong to it.
func TestOwnReads(t *testing.T) {
	r := newRules(t, 1, nil)
	ts := r.later(100 * time.Millisecond)
	one, two := r.begin(ts), r.begin(ts)
	r.ok(one, get("b"))
	r.ok(one, get("c"))
	r.ok(one, write(1, "b", "v"))
	r.want("own read", one.WriteTS, ts)
	r.ok(two, get("c"))
	r.ok(one, write(2, "c", "v"))
	r.want("read by two", one.WriteTS, ts.Next())
}

// Who has no transaction does not write beneath reads either.
func TestReadsAboveWritesWithoutTxn(t *testing.T) {
	r := newRules(t, 1, nil)
	reader := r.begin(r.later(time.Second))
	r.ok(reader, get("k"))
	if br := r.ok(nil, put("k", "v")); br.Timestamp.LessEq(reader.ReadTS) {
		t.Fatalf("written at %s, read at %s", br.Timestamp, reader.ReadTS)
	}
}

// A write that was looked for in vain never lands at its timestamp, whoever asked, and
// not even if it is its own transaction's.
func TestMissingWriteIsPrevented(t *testing.T) {
	for _, fails := range []bool{false, true} {
		r := newRules(t, 1, nil)
		txn := r.begin(r.now())
		meta := txn.TxnMeta
		meta.Sequence = 1
		q := &kv.QueryIntentRequest{RequestHeader: numbered(1), Key: key("k"), Txn: meta, ErrorIfMissing: fails}
		if fails {
			r.refused(kv.IntentMissing, txn, q)
		} else {
			r.want("found", r.ok(nil, q).Responses[0].(*kv.QueryIntentResponse).Found, false)
		}
		r.ok(txn, write(1, "k", "late"))
		if txn.WriteTS.LessEq(meta.WriteTS) {
			t.Fatalf("landed at %s", txn.WriteTS)
		}
	}
}

// An intent that was pushed is found by its own transaction, which moves up with it, and
// not by those who ask whether it was there at the timestamp of the staging.
func TestPushedIntentIsQueried(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, write(1, "k", "v"))
	meta := txn.TxnMeta
	meta.Sequence = 1
	pushed := meta
	pushed.WriteTS = r.later(50 * time.Millisecond)
	r.ok(nil, &kv.ResolveIntentRequest{Key: key("k"), Txn: pushed, Status: kv.Pending})
	r.ok(txn, &kv.QueryIntentRequest{RequestHeader: numbered(1), Key: key("k"), Txn: meta, ErrorIfMissing: true})
	r.want("moved up", txn.WriteTS, pushed.WriteTS)
	q := &kv.QueryIntentRequest{Key: key("k"), Txn: meta}
	r.want("found", r.ok(nil, q).Responses[0].(*kv.QueryIntentResponse).Found, false)
}

// A write to a key where the own intent was pushed up stays there.
func TestWriteAboveOwnIntent(t *testing.T) {
	r := newRules(t, 1, nil)
	txn := r.begin(r.now())
	r.ok(txn, write(1, "k", "v"))
	pushed := txn.TxnMeta
	pushed.WriteTS = r.later(50 * time.Millisecond)
	r.ok(nil, &kv.ResolveIntentRequest{Key: key("k"), Txn: pushed, Status: kv.Pending})
	r.ok(txn, write(2, "k", "w"))
	r.want("written", txn.WriteTS, pushed.WriteTS)
}

// The next leaseholder writes above what was read under earlier leases, be it above the
// start of its own; and records of which it does not know cannot be created any more.
func TestReadsBeforeTheLease(t *testing.T) {
	r := newRules(t, 3, nil)
	old, reader := r.begin(r.now()), r.begin(r.later(time.Second))
	r.ok(reader, get("k"))
	r.transfer(r.nodes[int(r.at.id)%3])
	start := r.at.store.Replica(1).State().Lease.Start
	r.ok(old, write(1, "other", "v"))
	if old.WriteTS.Less(start) {
		t.Fatalf("written at %s, the lease begins at %s", old.WriteTS, start)
	}
	r.ok(old, write(2, "k", "v"))
	if old.WriteTS.LessEq(reader.ReadTS) {
		t.Fatalf("written at %s, read at %s", old.WriteTS, reader.ReadTS)
	}
	r.refused(kv.TransactionAborted, old, &kv.HeartbeatTxnRequest{Key: key("a"), Now: r.now()})
}

// Nothing is read or written so near the end of a lease, or beyond it, that its next
// holder might write beneath. The lease is prolonged if that helps.
func TestLeaseCoversWhatIsServed(t *testing.T) {
	r := newRules(t, 1, map[string]int64{"lease.duration": int64(4 * time.Second), "lease.renew.percent": 20})
	near := r.begin(r.later(3700 * time.Millisecond))
	r.run(200 * time.Millisecond)
	r.ok(near, get("k"))
	if l := r.at.store.Replica(1).State().Lease; l.Expiration.Add(-maxOffset).LessEq(near.ReadTS) {
		t.Fatalf("read at %s under %s", near.ReadTS, l)
	}
	r.refused(kv.NotLeaseholder, r.begin(r.later(10*time.Second)), get("k"))
}

// Where nothing has been read before, a transaction is moved up on the spot; with what it
// has read elsewhere, or at a timestamp that the client has fixed, it has to be told.
func TestMovedUpWhereAllowed(t *testing.T) {
	r := newRules(t, 1, nil)
	ts := r.later(100 * time.Millisecond)
	told := r.begin(r.now())
	moved, fixed := r.begin(told.ReadTS), r.begin(told.ReadTS)
	fixed.ReadTSFixed = true
	r.committed(ts, "k", "v")
	r.refused(kv.WriteTooOld, told, write(1, "k", "w"))
	if br := r.send(kv.Header{CanForwardReadTS: true}, fixed, write(1, "k", "w")); br.Err == nil {
		t.Fatal("a fixed timestamp was moved")
	}
	if br := r.send(kv.Header{CanForwardReadTS: true}, moved, write(1, "k", "w")); br.Err != nil {
		t.Fatal(br.Err)
	}
	r.want("moved", moved.ReadTS, ts.Next())
	reader := r.begin(r.later(200 * time.Millisecond))
	r.ok(reader, get("m"))
	if br := r.send(kv.Header{CanForwardReadTS: true}, fixed, write(1, "m", "w")); br.Err != nil || fixed.ReadTS != told.ReadTS {
		t.Fatalf("%v: reads at %s", br.Err, fixed.ReadTS)
	}
}

// Nor is a transaction moved up on the spot to where the lease does not reach.
func TestMovedUpWithinTheLease(t *testing.T) {
	r := newRules(t, 1, nil)
	end := r.at.store.Replica(1).State().Lease.Expiration.Add(-maxOffset)
	r.committed(before(end), "k", "v")
	txn := r.begin(r.now())
	if br := r.send(kv.Header{CanForwardReadTS: true}, txn, write(1, "k", "w")); br.Err == nil || br.Err.Kind != kv.WriteTooOld {
		t.Fatalf("%v: written at %s, the lease reaches to %s", br.Err, txn.WriteTS, end)
	}
}

// before is the timestamp before ts.
func before(ts hlc.Timestamp) hlc.Timestamp {
	if ts.Logical > 0 {
		return hlc.Timestamp{Wall: ts.Wall, Logical: ts.Logical - 1}
	}
	return hlc.Timestamp{Wall: ts.Wall - 1, Logical: math.MaxInt32}
}

// A write of a transaction is acknowledged before it is replicated if that is asked for;
// a batch that ends the transaction never is, for nobody would ask for the proof.
func TestAckedEarly(t *testing.T) {
	r := newRules(t, 3, nil)
	txn := r.begin(r.now())
	r.hold = func(from, _ kv.NodeID, _ *replica.Message) bool { return from == r.at.id }
	async := func(reqs ...kv.Request) *env.Promise[*kv.BatchResponse] {
		p := new(env.Promise[*kv.BatchResponse])
		own := *txn
		ba := &kv.BatchRequest{Header: kv.Header{RangeID: 1, Txn: &own, AsyncConsensus: true}, Requests: reqs}
		r.at.proc.Go("client", func(t env.Task) { p.Resolve(r.at.store.Send(t, ba), nil) })
		return p
	}
	wrote := async(write(1, "k", "v"))
	staging := end(3, "k", "m")
	staging.InFlight = []kv.SequencedWrite{{Key: key("k"), Sequence: 1}}
	staged := async(write(2, "m", "v"), staging)
	r.run(100 * time.Millisecond)
	r.want("write acknowledged", wrote.Ready(), true)
	r.want("staging acknowledged", staged.Ready(), false)
	r.hold = nil
	r.until(10*time.Second, staged.Ready)
	if br, _ := staged.Value(); br.Err != nil {
		t.Fatal(br.Err)
	}
}

// A stated timestamp far in the future is refused: clocks would have to follow it.
func TestReadOfTheFuture(t *testing.T) {
	r := newRules(t, 1, nil)
	br := r.send(kv.Header{Timestamp: r.later(2 * time.Second)}, nil, get("k"))
	if br.Err == nil || br.Err.Kind != kv.TimestampTooFarAhead {
		t.Fatal(br.Err)
	}
	ahead := r.later(200 * time.Millisecond)
	if br := r.send(kv.Header{Timestamp: ahead}, nil, get("k")); br.Err != nil || r.now().Less(ahead) {
		t.Fatalf("%v: the clock is at %s, read at %s", br.Err, r.now(), ahead)
	}
}
