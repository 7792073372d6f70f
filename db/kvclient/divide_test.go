package kvclient

import (
	"testing"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// A transaction that has read nothing may be moved up by the leaseholder, but not by
// several, each for itself; and not once it has read. Nor may it if its time is fixed.
func TestForwardingIsNotForParts(t *testing.T) {
	f := newToy(t, 1, []time.Duration{0}, nil, "c", "f")
	var allowed []bool
	f.mishap = func(ba *kv.BatchRequest) string { allowed = append(allowed, ba.CanForwardReadTS); return "" }
	get := func(k string) kv.Request { return &kv.GetRequest{Key: keys.Key(k)} }
	scan := &kv.ScanRequest{Key: keys.Key("a"), EndKey: keys.Key("h")}
	for i, c := range []struct {
		fix     bool
		h       kv.Header
		batches [][]kv.Request
		want    []bool
	}{
		{false, kv.Header{}, [][]kv.Request{{get("a"), get("b")}, {get("a")}}, []bool{true, false}},
		{false, kv.Header{}, [][]kv.Request{{get("a"), get("d")}}, []bool{false, false}},
		{false, kv.Header{}, [][]kv.Request{{scan}}, []bool{false, false, false}},
		{false, kv.Header{MaxKeys: 100}, [][]kv.Request{{scan}}, []bool{false, false, false}},
		{true, kv.Header{}, [][]kv.Request{{get("a")}}, []bool{false}},
	} {
		allowed = nil
		g := f.gateways[0]
		g.p.Go("client", func(task env.Task) {
			tx, _ := g.db.Begin(task, kv.TxnOptions{})
			if c.fix {
				tx.FixTimestamp(task, tx.ReadTimestamp())
			}
			for _, requests := range c.batches {
				if _, err := tx.Batch(task, c.h, requests...); err != nil {
					t.Errorf("case %d: %v", i, err)
				}
			}
		})
		f.s.RunUntil(f.s.Now() + sim.Time(time.Second))
		if len(allowed) != len(c.want) {
			t.Fatalf("case %d: %v", i, allowed)
		}
		for j := range allowed {
			if allowed[j] != c.want[j] {
				t.Errorf("case %d: %v, want %v", i, allowed, c.want)
			}
		}
	}
}

// The parts of a scan come back in the order of keys, even if the batch begins with a
// request for a range in the middle (workload registers, seed 1).
func TestPartsAreInOrderOfKeys(t *testing.T) {
	f := newToy(t, 1, []time.Duration{0}, nil, "c", "f")
	var up, down []kv.KeyValue
	g := f.gateways[0]
	g.p.Go("client", func(task env.Task) {
		err := g.db.Txn(task, func(tx *kv.TxnHandle) error {
			for _, k := range []string{"a", "d", "g"} {
				if err := tx.Put(task, keys.Key(k), []byte(k)); err != nil {
					return err
				}
			}
			for _, k := range []string{"d", "g"} {
				br, err := tx.Batch(task, kv.Header{}, &kv.GetRequest{Key: keys.Key(k)}, &kv.ScanRequest{Key: keys.Key("a"), EndKey: keys.Key("h")},
					&kv.ReverseScanRequest{Key: keys.Key("a"), EndKey: keys.Key("h")})
				if err != nil {
					return err
				}
				up = append(up, br.Responses[1].(*kv.ScanResponse).Rows...)
				down = append(down, br.Responses[2].(*kv.ReverseScanResponse).Rows...)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	f.s.RunUntil(f.s.Now() + sim.Time(5*time.Second))
	if n := f.s.Findings(); len(n) > 0 {
		t.Fatal(n)
	}
	order := func(rows []kv.KeyValue) (s string) {
		for _, r := range rows {
			s += string(r.Key)
		}
		return s
	}
	if order(up) != "adgadg" || order(down) != "gdagda" {
		t.Errorf("upwards %q, downwards %q", order(up), order(down))
	}
}

// A commit whose proofs do not arrive may be one nevertheless: the record is staged and
// the writes are there. Others find that out, and so it must not be said that it failed
// (scenario registers, seed 5). If it is the record that does not arrive, it did fail.
func TestCommitWithoutProofIsInDoubt(t *testing.T) {
	for _, c := range []struct {
		lost      kv.Method
		ambiguous bool
	}{{kv.QueryIntent, true}, {kv.EndTxn, false}} {
		f := newToy(t, 1, []time.Duration{0}, nil, "c", "f")
		f.mishap = func(ba *kv.BatchRequest) string {
			if ba.Requests[len(ba.Requests)-1].Method() == c.lost && len(ba.Requests[0].Span().Key) > 0 {
				return "notsent"
			}
			return ""
		}
		var failed error
		g := f.gateways[0]
		g.p.Go("client", func(task env.Task) {
			tx, _ := g.db.Begin(task, kv.TxnOptions{})
			for _, k := range []string{"a", "d"} {
				if err := tx.Put(task, keys.Key(k), []byte(k)); err != nil {
					t.Error(err)
				}
			}
			_, failed = tx.CommitWith(task, kv.Header{Deadline: 2 * time.Second})
		})
		f.s.RunUntil(f.s.Now() + sim.Time(20*time.Second))
		if n := f.s.Findings(); len(n) > 0 {
			t.Fatal(n)
		}
		if failed == nil || kv.AsError(failed).Ambiguous() != c.ambiguous {
			t.Errorf("without %s: %v", c.lost, failed)
		}
	}
}

// Spans that do not fit the budget cover more, never less.
func TestSpanSetForgetsNothing(t *testing.T) {
	var c spanSet
	condensed := false
	for i := range 200 {
		k := keys.Key{byte(i * 37), byte(i)}
		condensed = c.add(keys.Span{Key: k}, 60) || condensed
		if i%3 == 0 {
			c.add(keys.Span{Key: k, EndKey: keys.Key{byte(i * 37), byte(i), 9}}, 60)
		}
		for j := range i + 1 {
			found := false
			for _, s := range c.spans {
				found = found || s.ContainsKey(keys.Key{byte(j * 37), byte(j)})
			}
			if !found {
				t.Fatalf("key %d is forgotten after %d", j, i)
			}
		}
	}
	if c.bytes > 60 || !condensed {
		t.Fatalf("%d bytes, condensed %t", c.bytes, condensed)
	}
}
