package store

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Whatever writes of staging transactions are there, whoever waits for them and gives up,
// whatever does not arrive or is answered in vain: a transaction is committed in the end
// exactly if all its writes were there; all who wait are told the same; there are
// never two recoveries of one at a time; and no record of a committed transaction goes
// while a lock of it stands (txnWorld checks both).
func TestStagedTransactions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTxnWorld(rapid.Uint64().Draw(t, "seed"), map[string]int64{
			"txn.recovery.batch": rapid.Int64Range(1, 3).Draw(t, "recovery batch"),
			"txn.resolve.batch":  rapid.Int64Range(1, 3).Draw(t, "resolve batch"),
			"txn.cleanup.tasks":  rapid.Int64Range(1, 3).Draw(t, "tasks"),
		})
		defer w.s.Close()
		m := &stagedMachine{w: w, told: map[kv.TxnID][]kv.TxnStatus{}, truth: map[kv.TxnID]kv.TxnStatus{}}
		t.Repeat(map[string]func(*rapid.T){
			"stage":  m.stage,
			"wait":   m.wait,
			"cancel": m.cancel,
			"finish": m.finish,
			"cut": func(t *rapid.T) {
				if len(w.intents) == 0 {
					t.Skip("no key")
				}
				w.cut[rapid.SampledFrom(w.keys()).Draw(t, "key")] = true
			},
			"heal": func(*rapid.T) { clear(w.cut) },
			"lose": func(t *rapid.T) {
				w.lose = rapid.SampledFrom([]kv.Method{kv.PushTxn, kv.QueryIntent, kv.RecoverTxn, kv.ResolveIntent, kv.GC}).Draw(t, "method")
			},
			"": func(t *rapid.T) {
				w.run(time.Duration(rapid.IntRange(0, 60).Draw(t, "ms")) * time.Millisecond)
				m.check(t)
			},
		})
		clear(w.cut)
		w.run(10 * time.Second)
		for i := range m.ids {
			id := m.ids[i]
			if rec := w.records[id]; rec != nil && rec.Status.Finalized() {
				w.x.Finish(rec.Clone())
			}
		}
		w.run(10 * time.Second)
		m.check(t)
		if m.open > 0 {
			t.Fatalf("%d wait for ever", m.open)
		}
		for _, id := range m.ids {
			if rec := w.records[id]; rec != nil && rec.Status == kv.Committed {
				t.Fatalf("the record of %s stays", rec)
			}
		}
	})
}

var stagedKeys = []string{"a", "b", "c", "d", "e"}

type stagedMachine struct {
	w     *txnWorld
	ids   []kv.TxnID
	truth map[kv.TxnID]kv.TxnStatus   // what became of it when it was staged
	told  map[kv.TxnID][]kv.TxnStatus // to those who waited
	tasks []env.Task
	open  int // who waits and was not cancelled
}

// stage is a transaction whose coordinator vanishes when it has sent its commit.
func (m *stagedMachine) stage(t *rapid.T) {
	w := m.w
	if len(m.ids) == 9 {
		t.Skip("enough")
	}
	id := testTxnID(len(m.ids) + 1)
	txn := kv.NewTxn(id, "", 5, txnSecond(50), txnSecond(50))
	txn.Status = kv.Staging
	txn.Epoch = int32(rapid.IntRange(0, 2).Draw(t, "epoch"))
	m.truth[id] = kv.Committed
	for i, k := range stagedKeys {
		k = fmt.Sprintf("%s%d", k, len(m.ids))
		if rapid.Bool().Draw(t, "not "+k) {
			continue
		}
		if len(txn.Key) == 0 {
			txn.Key = keys.Key(k)
		}
		seq := int32(i + 1)
		txn.InFlight = append(txn.InFlight, kv.SequencedWrite{Key: keys.Key(k), Sequence: seq})
		txn.LockSpans = append(txn.LockSpans, keys.Span{Key: keys.Key(k)})
		in := kv.TxnMeta{ID: id, Epoch: txn.Epoch, Sequence: seq, WriteTS: txn.WriteTS}
		switch rapid.IntRange(0, 9).Draw(t, "how") {
		case 0: // it never came
			m.truth[id] = kv.Aborted
			continue
		case 1:
			in.Epoch--
			m.truth[id] = kv.Aborted
		case 2:
			in.Sequence--
			m.truth[id] = kv.Aborted
		case 3:
			in.WriteTS = in.WriteTS.Next()
			m.truth[id] = kv.Aborted
		}
		w.intents[k] = in
	}
	if len(txn.Key) == 0 {
		txn.Key = keys.Key("a")
	}
	m.ids = append(m.ids, id)
	w.records[id] = txn
}

func (m *stagedMachine) draw(t *rapid.T) *kv.Txn {
	if len(m.ids) == 0 {
		t.Skip("none")
	}
	rec := m.w.records[rapid.SampledFrom(m.ids).Draw(t, "txn")]
	if rec == nil {
		t.Skip("gone")
	}
	return rec.Clone()
}

func (m *stagedMachine) wait(t *rapid.T) {
	w, rec := m.w, m.draw(t)
	req := &kv.PushTxnRequest{Key: rec.Key, Pushee: rec.TxnMeta, Type: kv.PushType(rapid.IntRange(0, 2).Draw(t, "type")), PushTo: txnSecond(99)}
	m.open++
	m.tasks = append(m.tasks, w.s.Go("wait", func(t env.Task) {
		txn, err := w.x.PushTxn(t, req, kv.WaitBlock)
		m.open--
		if err == nil {
			// With the last lock the record goes. Then it no longer matters what is said.
			if w.records[rec.ID] != nil || w.locks(rec.ID) > 0 {
				m.told[rec.ID] = append(m.told[rec.ID], txn.Status)
			}
		} else if t.Err() == nil {
			w.broken("%s", err)
		}
	}))
}

func (m *stagedMachine) cancel(t *rapid.T) {
	if len(m.tasks) == 0 {
		t.Skip("nobody")
	}
	rapid.SampledFrom(m.tasks).Draw(t, "who").Cancel(env.ErrCanceled)
}

func (m *stagedMachine) finish(t *rapid.T) {
	if rec := m.draw(t); rec.Status.Finalized() {
		m.w.x.Finish(rec)
	} else {
		m.w.x.abandoned(rec)
	}
}

func (m *stagedMachine) check(t *rapid.T) {
	for _, f := range m.w.s.Findings() {
		t.Fatal(f.String())
	}
	for _, id := range m.ids {
		for _, st := range m.told[id] {
			if st != m.truth[id] {
				t.Fatalf("transaction %s is %s, and somebody was told that it is %s", kv.FormatTxnID(id), m.truth[id], st)
			}
		}
		if rec := m.w.records[id]; rec != nil && rec.Status.Finalized() && rec.Status != m.truth[id] {
			t.Fatalf("transaction %s is %s, and its record says %s", kv.FormatTxnID(id), m.truth[id], rec.Status)
		}
	}
}
