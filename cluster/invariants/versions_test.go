package invariants

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/cluster"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type engineEnv struct {
	*sim.Proc
	env.Network
	fs vfs.FS
}

func (e engineEnv) FS() vfs.FS { return e.fs }

func withEngine(t *testing.T, fn func(*storage.Engine)) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	p := s.Machine("n1", sim.MachineConfig{}).Start("test")
	e := engineEnv{Proc: p, fs: disk.New(s, "n1", disk.Config{}).Mount(p)}
	task := e.Go("test", func(task env.Task) {
		eng, err := storage.Open(task, e, "store", storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		fn(eng)
	})
	for !task.Done() && s.Step() {
	}
	if f := s.Findings(); len(f) > 0 || !task.Done() {
		t.Fatalf("the test did not end: %v", f)
	}
}

// TestLedger claims: whatever transactions and others write to a few keys, in whatever
// order their intents move, are resolved and collected as garbage, the ledger has
// exactly the versions that ever stood in the engine as committed ones, once each, and
// what it holds as provisional are the values of the intents.
func TestLedger(t *testing.T) {
	total := map[string]int{}
	withEngine(t, func(eng *storage.Engine) {
		rapid.Check(t, func(rt *rapid.T) {
			m := newWriters(rt, eng)
			for n := rapid.IntRange(1, 40).Draw(rt, "commands"); n > 0; n-- {
				m.command(total)
				m.check()
			}
		})
	})
	t.Logf("%v", total)
	for _, what := range []string{"plain", "write", "move", "commit", "abort", "restart", "lock", "collect", "refused"} {
		if total[what] == 0 {
			t.Errorf("never happened: %s", what)
		}
	}
}

var ledgerSpan = keys.Span{Key: keys.ClientStart, EndKey: keys.Max}

// writers are transactions, and others, that write to one engine.
type writers struct {
	*rapid.T
	eng    *storage.Engine
	ledger *ledger
	got    []checker.Version
	stood  map[string]bool // versions that were committed in the engine
	txns   []*kv.Txn
	clock  int64
	values int
}

func newWriters(rt *rapid.T, eng *storage.Engine) *writers {
	var b storage.Batch
	lo, hi := mvcc.EncodeSpan(ledgerSpan)
	b.DeleteRange(lo, hi)
	eng.Commit(&b, false, nil)
	m := &writers{T: rt, eng: eng, ledger: newLedger(), stood: map[string]bool{}, clock: 100}
	for n := range 3 {
		m.txns = append(m.txns, kv.NewTxn(kv.TxnID{byte(n + 1)}, "", 1, m.time(), hlc.Timestamp{Wall: 1 << 40}))
	}
	return m
}

// time is now, or a little later.
func (m *writers) time() hlc.Timestamp {
	m.clock += rapid.Int64Range(1, 3).Draw(m.T, "time")
	return hlc.Timestamp{Wall: m.clock}
}

func (m *writers) key() keys.Key {
	return append(keys.ClientStart.Clone(), rapid.SampledFrom([]string{"a", "b", "c\x00d"}).Draw(m.T, "key")...)
}

func (m *writers) value() []byte {
	m.values++
	return fmt.Appendf(nil, "%d", m.values)
}

// command applies one command of a few actions, unless one is refused.
func (m *writers) command(total map[string]int) {
	var b storage.Batch
	w := &mvcc.Writer{Reader: m.eng.NewOverlay(&b), Batch: &b}
	var done []string
	actions := rapid.IntRange(1, 3).Draw(m.T, "actions")
	for range actions {
		what := rapid.SampledFrom([]string{"plain", "write", "write", "write", "move", "commit", "commit", "abort", "restart", "lock", "collect"}).Draw(m.T, "what")
		if what == "collect" && actions > 1 { // garbage is collected by commands of their own
			continue
		}
		if err := m.act(w, what); err != nil {
			total["refused"]++
			return
		}
		done = append(done, what)
	}
	m.eng.Commit(&b, false, nil)
	for _, what := range done {
		total[what]++
	}
	var err error
	if m.got, err = m.ledger.apply(b.Repr(), m.got); err != nil {
		m.Fatalf("%v in\n%s", err, &b)
	}
}

func (m *writers) act(w *mvcc.Writer, what string) error {
	txn := rapid.SampledFrom(m.txns).Draw(m.T, "txn")
	w.Txn = nil
	switch what {
	case "plain":
		return w.Put(m.key(), m.time(), m.value())
	case "write":
		txn.Sequence++
		if rapid.Bool().Draw(m.T, "up") {
			txn.Refreshed(m.time())
		}
		w.Txn = txn.Clone()
		if rapid.IntRange(0, 3).Draw(m.T, "delete") == 0 {
			_, err := w.Delete(m.key(), txn.ReadTS)
			return err
		}
		return w.Put(m.key(), txn.ReadTS, m.value())
	case "lock":
		w.Txn = txn.Clone()
		return w.AcquireLock(m.key(), kv.LockExclusive)
	case "move":
		_, err := w.ResolveIntent(m.key(), m.update(txn, kv.Pending))
		return err
	case "commit", "abort":
		status := map[string]kv.TxnStatus{"commit": kv.Committed, "abort": kv.Aborted}[what]
		u := m.update(txn, status)
		if rapid.Bool().Draw(m.T, "rolled back") && txn.Sequence > 0 {
			u.IgnoredSeqs = []kv.SeqRange{{Start: txn.Sequence, End: txn.Sequence}}
		}
		_, _, err := w.ResolveIntentRange(ledgerSpan, u, 0)
		txn.ID[1]++ // the next one
		txn.Sequence = 0
		txn.Refreshed(m.time())
		return err
	case "restart":
		txn.Restart(0, m.time())
		_, err := w.ResolveIntent(m.key(), m.update(txn, kv.Pending))
		return err
	case "collect":
		threshold := m.time()
		ks, _, err := mvcc.FindGarbage(w.Reader, ledgerSpan, threshold, 0)
		if err != nil {
			return err
		}
		return w.GC(threshold, ks)
	}
	panic(what)
}

// update is what has become of a transaction, perhaps at a higher timestamp.
func (m *writers) update(txn *kv.Txn, status kv.TxnStatus) kv.LockUpdate {
	u := kv.LockUpdate{Txn: txn.TxnMeta, Status: status}
	if rapid.Bool().Draw(m.T, "moved") {
		u.Txn.WriteTS = m.time()
	}
	return u
}

// check compares the ledger with what stands in the engine, as it is read there.
func (m *writers) check() {
	lo, hi := mvcc.EncodeSpan(ledgerSpan)
	it := m.eng.NewIter(lo, hi)
	defer it.Close()
	provisional := map[string]string{}
	intent := "" // the version that is provisional
	for ok := it.First(); ok; ok = it.Next() {
		k, v, bare, err := mvcc.DecodeVersion(it.Key(), it.Value())
		if err != nil {
			m.Fatal(err)
		}
		user := string(cluster.UserKey(k))
		if bare {
			rec, err := mvcc.DecodeRecord(it.Key(), it.Value())
			if err != nil {
				m.Fatal(err)
			}
			if rec.Intent != nil {
				intent = user + fmt.Sprint(timestampOf(rec.Intent.Txn.WriteTS))
			}
			continue
		}
		value := history.NoKey()
		if v.Exists {
			var n int64
			fmt.Sscan(string(v.Bytes), &n)
			value = history.Int(n)
		}
		s := fmt.Sprint(checker.Version{Key: user, TS: timestampOf(v.Timestamp), Value: value})
		if user+fmt.Sprint(timestampOf(v.Timestamp)) == intent {
			provisional[user] = s
		} else {
			m.stood[s] = true
		}
	}
	var got []string
	for _, v := range m.got {
		got = append(got, fmt.Sprint(v))
	}
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != len(got) {
		m.Fatalf("a version is there twice: %v", got)
	}
	if len(got) != len(m.stood) {
		m.Fatalf("the ledger has %v, in the engine there were %v", got, m.stood)
	}
	for _, s := range got {
		if !m.stood[s] {
			m.Fatalf("the ledger has %s, which never stood in the engine: %v", s, m.stood)
		}
	}
	if len(provisional) != len(m.ledger.provisional) {
		m.Fatalf("provisional are %v, not %v", provisional, m.ledger.provisional)
	}
	for k, v := range m.ledger.provisional {
		if provisional[k] != fmt.Sprint(v) {
			m.Fatalf("provisional is %s, not %s", provisional[k], fmt.Sprint(v))
		}
	}
}

// What cannot be is said: a record without its value, bytes that are no batch, and a
// removal of which nobody can tell what it takes away.
func TestLedgerRefuses(t *testing.T) {
	key := append(keys.ClientStart.Clone(), 'k')
	at := hlc.Timestamp{Wall: 7}
	withEngine(t, func(eng *storage.Engine) {
		var whole, alone, cleared storage.Batch
		w := &mvcc.Writer{Reader: eng.NewOverlay(&whole), Batch: &whole, Txn: kv.NewTxn(kv.TxnID{1}, "", 1, at, at)}
		w.Txn.Sequence = 1
		if err := w.Put(key, at, []byte("1")); err != nil {
			t.Fatal(err)
		}
		for _, op := range whole.Ops() {
			if len(op.Key) < 16 { // the bare key
				alone.Put(op.Key, op.Value)
			}
		}
		lo, hi := mvcc.EncodeSpan(keys.Span{Key: key, EndKey: key.Next()})
		cleared.DeleteRange(lo, hi)
		for name, c := range map[string]struct {
			repr []byte
			ok   bool
		}{"whole": {whole.Repr(), true}, "alone": {alone.Repr(), false}, "cleared": {cleared.Repr(), false}, "noise": {[]byte("noise"), false}} {
			if _, err := newLedger().apply(c.repr, nil); (err == nil) != c.ok {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
