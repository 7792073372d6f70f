package kvclient

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// attempt is what a client saw and did in one attempt of a transaction.
type attempt struct {
	name   string
	id     kv.TxnID
	reads  map[string][]byte // of others' values: nil is none
	writes map[string][]byte // nil: deleted
	incs   int64
}

// history is what became of one transaction.
type history struct {
	attempts   []*attempt
	begin, end sim.Time
	err        error
	ts         hlc.Timestamp
}

func (h *history) last() *attempt { return h.attempts[len(h.attempts)-1] }

// client draws the steps of one transaction. Draws do not depend on outcomes.
type step struct {
	op       string
	key, end string
	pause    time.Duration
}

const counterKey = "h"

func drawSteps(t *rapid.T) []step {
	key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"})
	ops := rapid.SampledFrom([]string{"get", "get", "put", "put", "put", "scan", "cput", "del", "inc", "delrange", "save", "back", "lock", "both", "either"})
	var steps []step
	for range rapid.IntRange(0, 6).Draw(t, "steps") {
		s := step{op: ops.Draw(t, "op"), key: key.Draw(t, "key"), end: key.Draw(t, "end"),
			pause: rapid.SampledFrom([]time.Duration{0, 0, 0, 30 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second}).Draw(t, "pause")}
		if s.end < s.key {
			s.key, s.end = s.end, s.key
		}
		steps = append(steps, s)
	}
	return steps
}

// run is the transaction's function. It checks that the attempt sees its own writes.
func (a *attempt) run(t env.Task, tx *kv.TxnHandle, steps []step, fail func(string, ...any)) error {
	type saved struct {
		s      kv.Savepoint
		writes map[string][]byte
		incs   int64
	}
	var save *saved
	saw := func(key string, v []byte) {
		own, written := a.writes[key]
		switch before, read := a.reads[key]; {
		case written && !bytes.Equal(own, v):
			fail("%s wrote %q to %s and then read %q", a.name, own, key, v)
		case !written && read && !bytes.Equal(before, v):
			fail("%s read %s as %q and then as %q", a.name, key, before, v)
		case !written:
			a.reads[key] = v
		}
	}
	for i, s := range steps {
		t.Sleep(s.pause)
		value := []byte(fmt.Sprintf("%s.%d", a.name, i))
		k := keys.Key(s.key)
		a.id = tx.Txn().ID
		switch s.op {
		case "get", "lock":
			lock := kv.Locking{}
			if s.op == "lock" {
				lock.Lock = kv.LockExclusive
			}
			v, err := tx.GetLocked(t, k, lock)
			if err != nil {
				return err
			}
			saw(s.key, v.Bytes)
		case "put":
			if err := tx.Put(t, k, value); err != nil {
				return err
			}
			a.writes[s.key] = value
		case "both":
			if _, err := tx.Batch(t, kv.Header{}, &kv.PutRequest{Key: k, Value: value}, &kv.PutRequest{Key: keys.Key(s.end), Value: value}); err != nil {
				return err
			}
			a.writes[s.key], a.writes[s.end] = value, value
		case "either": // a write, and in another range perhaps a condition that fails
			if s.key == s.end {
				continue
			}
			_, err := tx.Batch(t, kv.Header{}, &kv.PutRequest{Key: k, Value: value}, &kv.ConditionalPutRequest{Key: keys.Key(s.end), Value: value})
			if e := kv.AsError(err); e != nil && e.Kind == kv.ConditionFailed {
				saw(s.end, e.Actual.Value)
			} else if err != nil {
				return err
			} else {
				saw(s.end, nil)
				a.writes[s.key], a.writes[s.end] = value, value
			}
		case "del":
			if _, err := tx.Del(t, k); err != nil {
				return err
			}
			a.writes[s.key] = nil
		case "cput":
			err := tx.CPutAbsent(t, k, value)
			if e := kv.AsError(err); e != nil && e.Kind == kv.ConditionFailed {
				saw(s.key, e.Actual.Value)
			} else if err != nil {
				return err
			} else {
				saw(s.key, nil)
				a.writes[s.key] = value
			}
		case "inc":
			sum, err := tx.Inc(t, keys.Key(counterKey), 1)
			if err != nil {
				return err
			}
			var before []byte
			if sum > 1 {
				before = binary.BigEndian.AppendUint64(nil, uint64(sum-1))
			}
			saw(counterKey, before)
			a.incs++
			a.writes[counterKey] = binary.BigEndian.AppendUint64(nil, uint64(sum))
		case "scan":
			rows, err := tx.Scan(t, k, keys.Key(s.end).Next(), 0)
			if err != nil {
				return err
			}
			found := map[string][]byte{}
			for _, row := range rows {
				found[string(row.Key)] = row.Value
			}
			for c := s.key[0]; c <= s.end[0]; c++ {
				saw(string(rune(c)), found[string(rune(c))])
			}
		case "delrange":
			n, err := tx.DelRange(t, k, keys.Key(s.end).Next())
			if err != nil {
				return err
			}
			_ = n
			for c := s.key[0]; c <= s.end[0]; c++ {
				a.writes[string(rune(c))] = nil
			}
		case "save":
			sp, err := tx.Savepoint(t)
			if err != nil {
				return err
			}
			save = &saved{sp, copyOf(a.writes), a.incs}
		case "back":
			if save == nil {
				continue
			}
			if err := tx.RollbackTo(t, save.s); err != nil {
				return err
			}
			a.writes, a.incs = copyOf(save.writes), save.incs
		}
	}
	a.id = tx.Txn().ID
	return nil
}

func copyOf(m map[string][]byte) map[string][]byte {
	c := map[string][]byte{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

// Whatever goes wrong between gateways and stores, and however clocks differ within
// bounds: transactions are atomic, take effect if and only if they are told to have, in
// the order of their timestamps, and see what was acknowledged before they began.
func TestTransactionsAreSerializable(t *testing.T) {
	var total TxnMetrics
	rapid.Check(t, func(t *rapid.T) {
		knobs := map[string]int64{
			"txn.pipelining":         rapid.Int64Range(0, 1).Draw(t, "pipelining"),
			"txn.parallel_commit":    rapid.Int64Range(0, 1).Draw(t, "parallel"),
			"txn.refresh_span_bytes": rapid.SampledFrom([]int64{2, 1 << 20}).Draw(t, "refresh bytes"),
			"txn.lock_span_bytes":    rapid.SampledFrom([]int64{2, 1 << 20}).Draw(t, "lock bytes"),
			"txn.commit_wait":        rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(t, "commit wait"),
		}
		f := newToy(noCleanup{}, rapid.Uint64().Draw(t, "seed"), []time.Duration{0, 200 * time.Millisecond, -200 * time.Millisecond}, knobs, "c", "f")
		defer f.s.Close()
		f.jitter = rapid.SampledFrom([]time.Duration{0, 5 * time.Millisecond, 200 * time.Millisecond}).Draw(t, "jitter")
		faults := rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(t, "faults of 100")
		var dialogue strings.Builder
		f.log = func(g kv.NodeID, ba *kv.BatchRequest, answer string) {
			fmt.Fprintf(&dialogue, "%s g%d: %s -> %s\n", f.s.Now(), g, ba, answer)
		}
		splits := []string{"b", "e", "g"}
		f.mishap = func(ba *kv.BatchRequest) string {
			switch n := f.rand.IntN(100); {
			case n < faults:
				return []string{"notsent", "lost", "hang", "late", "dropped", "dropped"}[f.rand.IntN(6)]
			case n == 99 && faults > 0:
				f.split(splits[f.rand.IntN(len(splits))])
			}
			return ""
		}
		clients := rapid.IntRange(1, 5).Draw(t, "clients")
		var all []*history
		var wrong string
		fail := func(format string, args ...any) { wrong += fmt.Sprintf(format, args...) + "\n" }
		for c := range clients {
			g := f.gateways[c%len(f.gateways)]
			var work [][]step
			for range rapid.IntRange(1, 4).Draw(t, "transactions") {
				work = append(work, drawSteps(t))
			}
			g.p.Go("client", func(task env.Task) {
				for n, steps := range work {
					h := &history{begin: f.s.Now()}
					all = append(all, h)
					task.SetDeadline(g.p.Mono() + time.Minute)
					h.err = g.db.Txn(task, func(tx *kv.TxnHandle) error {
						a := &attempt{name: fmt.Sprintf("%d.%d.%d", c, n, len(h.attempts)), reads: map[string][]byte{}, writes: map[string][]byte{}}
						h.attempts = append(h.attempts, a)
						if err := a.run(task, tx, steps, fail); err != nil {
							return err
						}
						if len(steps)%2 == 0 { // with a last write, or two, in the same batch
							last := []kv.Request{&kv.PutRequest{Key: keys.Key("a"), Value: []byte(a.name)}, &kv.PutRequest{Key: keys.Key("g"), Value: []byte(a.name)}}[:(len(steps)+2)/2%3]
							for i := range last {
								a.writes[[]string{"a", "g"}[i]] = []byte(a.name)
							}
							if _, err := tx.CommitWith(task, kv.Header{}, last...); err != nil {
								return err
							}
						} else if err := tx.Commit(task); err != nil {
							return err
						}
						h.ts = tx.CommitTimestamp()
						if now := g.clock.Now(); now.LessEq(h.ts) {
							fail("%s ends at %s, when the clock is %s", a.name, h.ts, now)
						}
						return nil
					})
					h.end = f.s.Now()
				}
			})
		}
		f.s.RunUntil(f.s.Now() + sim.Time(10*time.Minute))
		for _, finding := range f.s.Findings() {
			t.Fatal(finding.String())
		}
		f.settle()
		checkHistories(t, f, all, fail)
		if wrong != "" {
			t.Fatal(wrong + "\n" + dialogue.String())
		}
		for _, g := range f.gateways {
			m := g.txns.Metrics()
			total.Committed += m.Committed
			total.Parallel += m.Parallel
			total.OnePhase += m.OnePhase
			total.ReadOnly += m.ReadOnly
			total.Ambiguous += m.Ambiguous
			total.Restarts += m.Restarts
			total.Aborts += m.Aborts
			total.Refreshed += m.Refreshed
			total.RefreshFailed += m.RefreshFailed
			total.Pipelined += m.Pipelined
			total.Condensed += m.Condensed
			total.CommitWaits += m.CommitWaits
			total.Heartbeats += m.Heartbeats
		}
	})
	t.Log(total.String())
}

// settle finds out what became of everything that is left.
func (f *toy) settle() {
	for _, name := range f.names {
		k := f.keys[name]
		for _, meta := range []*kv.TxnMeta{k.lock, k.held()} {
			if meta == nil {
				continue
			}
			rec := f.records[meta.ID]
			if rec == nil {
				rec = &kv.Txn{TxnMeta: *meta}
				f.records[meta.ID] = rec
			}
			if rec.Status == kv.Staging {
				f.recover(rec)
			}
			if !rec.Status.Finalized() {
				rec.Status = kv.Aborted
			}
			f.resolve(k, rec)
		}
	}
}

func (k *toyKey) held() *kv.TxnMeta {
	if k.intent == nil {
		return nil
	}
	return &k.intent.txn
}

func checkHistories(t *rapid.T, f *toy, all []*history, fail func(string, ...any)) {
	commits := map[kv.TxnID]*history{}
	var incs, maybe int64
	for _, h := range all {
		var e *kv.Error
		switch errors.As(h.err, &e); {
		case h.err == nil:
			commits[h.last().id] = h
			incs += h.last().incs
		case h.end == 0:
			fail("%s never ended", h.last().name)
		case e == nil || e.Ambiguous():
			if f.versionsOf(h.last().id) > 0 {
				commits[h.last().id] = h
				h.ts = f.commitOf(h.last().id)
				incs += h.last().incs
			}
			maybe++
		}
	}
	for _, name := range f.names {
		var before hlc.Timestamp
		for _, v := range f.keys[name].versions {
			h := commits[v.txn]
			if h == nil {
				fail("%s has %q at %s of a transaction that did not commit", name, v.bytes, v.ts)
				continue
			}
			if want, ok := h.last().writes[name]; !ok || !bytes.Equal(want, v.bytes) || v.ts != h.ts {
				fail("%s has %q at %s, and %s, which committed at %s, wrote %q", name, v.bytes, v.ts, h.last().name, h.ts, want)
			}
			if v.ts.LessEq(before) {
				fail("%s has versions out of order", name)
			}
			before = v.ts
		}
	}
	for _, h := range all {
		if commits[h.last().id] != h {
			continue
		}
		checkCommitted(f, h, all, fail)
	}
	if n := f.keys[counterKey].versions; len(n) > 0 {
		if got := int64(binary.BigEndian.Uint64(n[len(n)-1].bytes)); got != incs {
			fail("the counter is %d after %d increments", got, incs)
		}
	}
	_ = t
}

// checkCommitted checks that all the writes are there, and that all reads are of the
// state just before the commit timestamp.
func checkCommitted(f *toy, h *history, all []*history, fail func(string, ...any)) {
	a := h.last()
	for _, name := range f.names {
		k := f.keys[name]
		wrote, written := a.writes[name]
		found := false
		var value []byte
		var valueTS hlc.Timestamp
		for _, v := range k.versions {
			if v.txn == a.id {
				found = true
			} else if v.ts.LessEq(h.ts) {
				value, valueTS = v.bytes, v.ts
			}
		}
		if written && !found && wrote != nil {
			fail("%s committed at %s and its write of %s is lost", a.name, h.ts, name)
		}
		read, isRead := a.reads[name]
		if !isRead {
			continue
		}
		if !bytes.Equal(read, value) {
			fail("%s committed at %s and read %s as %q, which then was %q", a.name, h.ts, name, read, value)
		}
		for _, other := range all {
			_, wrote := other.last().writes[name]
			if other.err == nil && other.end < h.begin && wrote && valueTS.Less(other.ts) && f.hasVersion(k, other) {
				fail("%s began after %s had ended, and did not see its write of %s", a.name, other.last().name, name)
			}
		}
	}
}

func (f *toy) hasVersion(k *toyKey, h *history) bool {
	for _, v := range k.versions {
		if v.txn == h.last().id {
			return true
		}
	}
	return false
}

func (f *toy) versionsOf(id kv.TxnID) (n int) {
	for _, k := range f.keys {
		for _, v := range k.versions {
			if v.txn == id {
				n++
			}
		}
	}
	return n
}

func (f *toy) commitOf(id kv.TxnID) hlc.Timestamp {
	for _, name := range f.names {
		for _, v := range f.keys[name].versions {
			if v.txn == id {
				return v.ts
			}
		}
	}
	return hlc.Timestamp{}
}
