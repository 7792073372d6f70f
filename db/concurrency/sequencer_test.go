package concurrency

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// client is a transaction of the model test: it does its requests one after the other,
// thinks in between, and commits. If one fails it aborts. Some vanish instead.
type client struct {
	n        int
	start    time.Duration
	ops      []*op
	think    []time.Duration
	vanishes bool
	priority int32
	done     bool
	aborted  bool
}

func drawClient(t *rapid.T, n int) *client {
	c := &client{n: n, start: time.Duration(rapid.IntRange(0, 40).Draw(t, "start")) * 5 * time.Millisecond,
		vanishes: rapid.IntRange(0, 9).Draw(t, "vanishes") == 0, priority: int32(rapid.IntRange(1, 3).Draw(t, "priority"))}
	if rapid.IntRange(0, 9).Draw(t, "urgent") == 0 {
		c.priority = kv.MaxPriority
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "ops") {
		o := &op{name: fmt.Sprintf("T%d.%d", n, i), strength: kv.LockStrength(rapid.IntRange(0, 3).Draw(t, "strength")), volatile: true}
		from := []string{"a", "b", "c", "n", "o"}[rapid.IntRange(0, 4).Draw(t, "key")]
		o.span.Key = keys.Key(from)
		if rapid.IntRange(0, 3).Draw(t, "ranged") == 0 {
			o.span.EndKey = keys.Key{from[0] + 2}
		}
		switch rapid.IntRange(0, 9).Draw(t, "policy") {
		case 0:
			o.policy = kv.WaitError
		case 1:
			o.timeout = 30 * time.Millisecond
		}
		c.ops = append(c.ops, o)
		c.think = append(c.think, time.Duration(rapid.IntRange(0, 3).Draw(t, "think"))*10*time.Millisecond)
	}
	return c
}

func (c *client) run(w *world, t env.Task) {
	defer func() { c.done = true }()
	_ = t.Sleep(c.start)
	txn := kv.NewTxn(txnID(c.n), "", c.priority, w.clock.Now(), w.clock.Now())
	txn.LastHeartbeat = w.clock.Now()
	for i, o := range c.ops {
		o.txn = txn
		if o.strength == kv.LockNone && len(txn.Key) == 0 && i%2 == 0 {
			o.txn = nil
		}
		if err := w.serve(t, o); err != nil {
			c.aborted = true
			w.end(t, txn, kv.Aborted, true)
			return
		}
		_ = t.Sleep(c.think[i])
	}
	if c.vanishes {
		w.dead[txn.ID] = true
		return
	}
	w.end(t, txn, kv.Committed, true)
}

// Whatever transactions meet in two ranges: no two hold a key together that must not;
// every request ends, though some clients vanish, messages are lost and leases change;
// and nothing is left behind.
func TestEverybodyEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64Range(1, 1000).Draw(t, "seed"), nil)
		defer w.s.Close()
		w.fail = func(format string, args ...any) { t.Fatalf(format, args...) }
		var clients []*client
		for n := range rapid.IntRange(2, 8).Draw(t, "clients") {
			c := drawClient(t, n+1)
			clients = append(clients, c)
			w.s.Go("client", func(t env.Task) { c.run(w, t) })
		}
		lease := rapid.IntRange(0, 20).Draw(t, "lease") * 20
		cut := rapid.IntRange(0, 20).Draw(t, "cut") * 20
		w.s.Go("faults", func(t env.Task) {
			if cut > 0 {
				_ = t.Sleep(time.Duration(cut) * time.Millisecond)
				w.cut = true
				_ = t.Sleep(200 * time.Millisecond)
				w.cut = false
			}
			if lease > 0 {
				_ = t.Sleep(time.Duration(lease) * time.Millisecond)
				for _, r := range w.ranges {
					r.lease++
					r.seq.OnLeaseChanged(r.lease)
				}
			}
		})
		w.s.RunUntil(w.s.Now() + sim.Time(60*time.Second))
		for _, f := range w.s.Findings() {
			t.Fatal(f.String())
		}
		for _, c := range clients {
			if !c.done {
				t.Fatalf("T%d still waits\n%s%s", c.n, w.ranges[0].seq, w.ranges[1].seq)
			}
		}
		for _, r := range w.ranges {
			if r.seq.Latches().Len() != 0 || len(r.seq.Waits().txns) != 0 {
				t.Fatalf("left behind:\n%s", r.seq)
			}
			r.seq.Locks().Clear()
			if r.seq.Locks().Len() != 0 {
				t.Fatalf("left behind:\n%s", r.seq)
			}
		}
	})
}

// Requests of different transactions that conflict at a key are served in order of
// arrival, whatever their strengths.
func TestFirstComeFirstServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64Range(1, 1000).Draw(t, "seed"), nil)
		defer w.s.Close()
		n := rapid.IntRange(2, 12).Draw(t, "requests")
		var served []int
		var strengths []kv.LockStrength
		for i := range n {
			o := &op{name: "op", span: keys.Span{Key: keys.Key("a")}, volatile: true, strength: kv.LockStrength(rapid.IntRange(1, 3).Draw(t, "strength"))}
			strengths = append(strengths, o.strength)
			start := time.Duration(i)*time.Millisecond + time.Duration(rapid.IntRange(0, 900).Draw(t, "start"))*time.Microsecond
			hold := time.Duration(rapid.IntRange(0, 30).Draw(t, "hold")) * time.Millisecond
			w.s.Go("client", func(task env.Task) {
				_ = task.Sleep(start)
				o.txn = kv.NewTxn(txnID(i+1), "", 5, w.clock.Now(), w.clock.Now())
				if err := w.serve(task, o); err != nil {
					t.Fatalf("request %d: %s", i, err)
				}
				served = append(served, i)
				_ = task.Sleep(hold)
				w.end(task, o.txn, kv.Committed, true)
			})
		}
		w.s.RunUntil(w.s.Now() + sim.Time(10*time.Second))
		for _, f := range w.s.Findings() {
			t.Fatal(f.String())
		}
		if len(served) != n {
			t.Fatalf("served %d of %d\n%s", len(served), n, w.ranges[0].seq)
		}
		for i, later := range served {
			for _, earlier := range served[i+1:] {
				if earlier < later && strengths[earlier].Conflicts(strengths[later]) {
					t.Fatalf("request %d was served before %d: %v", later, earlier, served)
				}
			}
		}
	})
}

// The latches and lock spans of each kind of request.
func TestRequestSet(t *testing.T) {
	k := keys.Key("k")
	txn := kv.NewTxn(txnID(1), "", 5, second(10), second(12))
	txn.Key = k
	record := keys.TxnRecordKey(k, txn.ID).String()
	for _, c := range []struct {
		q    kv.Request
		want string
	}{
		{&kv.GetRequest{Key: k}, `r"k"; none "k"`},
		{&kv.GetRequest{Key: k, Locking: kv.Locking{Lock: kv.LockShared}}, `w"k"; shared "k"`},
		{&kv.ScanRequest{Key: k, EndKey: keys.Key("l")}, `r["k", "l"); none ["k", "l")`},
		{&kv.PutRequest{Key: k}, `w"k"; intent "k"`},
		{&kv.DeleteRangeRequest{Key: k, EndKey: keys.Key("l")}, `w["k", "l"); intent ["k", "l")`},
		{&kv.RefreshRequest{Key: k}, `r"k";`},
		{&kv.QueryIntentRequest{Key: k}, `r"k";`},
		{&kv.ResolveIntentRequest{Key: k}, `w"k";`},
		{&kv.PushTxnRequest{Key: k, Pushee: txn.TxnMeta}, `w` + record + `; push`},
		{&kv.QueryTxnRequest{Key: k, Txn: txn.TxnMeta}, `r` + record + `; query`},
		{&kv.RecoverTxnRequest{Key: k, Txn: txn.TxnMeta}, `w` + record + `;`},
		{&kv.HeartbeatTxnRequest{Key: k}, `w` + record + `;`},
		{&kv.EndTxnRequest{Key: k, LockSpans: []keys.Span{{Key: k}}}, `w` + record + ` w"k";`},
		{&kv.GCRequest{Key: keys.Key("a"), EndKey: keys.Key("z"), Threshold: second(5), Keys: []kv.GCKey{
			{Key: k, Timestamp: second(5)}, {Key: keys.TxnRecordKey(k, txn.ID)}}}, `w"k" w` + record + `;`},
	} {
		var r Request
		r.Set(&kv.BatchRequest{Header: kv.Header{Txn: txn}, Requests: []kv.Request{c.q}}, second(99))
		got := ""
		for _, l := range r.Latches {
			got += fmt.Sprintf(" %s%s", l.Access, l.Span)
		}
		got = got[1:] + ";"
		for _, l := range r.Locks {
			got += fmt.Sprintf(" %s %s", l.Strength, l.Span)
		}
		if r.Push != nil {
			got += " push"
		}
		if r.Query != nil {
			got += " query"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", kv.FormatRequest(c.q), got, c.want)
		}
		if r.ReadTS != second(12) {
			t.Errorf("looks up to %s", r.ReadTS)
		}
	}
}

func BenchmarkSequence(b *testing.B) {
	for _, c := range []struct {
		name string
		q    kv.Request
	}{
		{"put", &kv.PutRequest{Key: keys.Key("a")}},
		{"get", &kv.GetRequest{Key: keys.Key("a")}},
		{"scan", &kv.ScanRequest{Key: keys.Key("a"), EndKey: keys.Key("c")}},
	} {
		for _, locks := range []int{0, 1000} {
			b.Run(fmt.Sprintf("%s, %d locks elsewhere", c.name, locks), func(b *testing.B) {
				w := newWorld(1, nil)
				defer w.s.Close()
				s := w.ranges[0].seq
				for _, k := range benchKeys(locks) {
					s.OnLockAcquired(k, kv.TxnMeta{ID: txnID(2)}, kv.LockExclusive, kv.Unreplicated)
				}
				ba := &kv.BatchRequest{Header: kv.Header{Txn: kv.NewTxn(txnID(1), "", 5, second(10), second(12))}, Requests: []kv.Request{c.q}}
				var req Request
				b.ReportAllocs()
				for b.Loop() {
					req.Set(ba, second(10))
					tk, _, err := s.Sequence(nil, nil, &req)
					if err != nil {
						b.Fatal(err)
					}
					s.Finish(tk)
				}
			})
		}
	}
}
