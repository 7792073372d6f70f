package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// TestTransactions claims: whatever transactions do to a few keys, in whatever order
// their writes, pushes, rollbacks, restarts and ends come, every read and write has
// the outcome that the rules say, every version stands where they say, and the
// statistics are those of what stands there.
func TestTransactions(t *testing.T) {
	withEngine(t, 1, func(task env.Task, eng *storage.Engine) {
		rapid.Check(t, func(rt *rapid.T) { newMachine(rt, task, eng).run() })
	})
}

type machine struct {
	*rapid.T
	task      env.Task
	eng       *storage.Engine
	m         txnModel
	txns      []*kv.Txn
	seqs      []int32 // the last sequence of each transaction
	done      []operation
	by        []int // whose each of done is
	stats     Stats
	threshold hlc.Timestamp
	said      []string
}

var machineSpan = keys.Span{Key: keys.Key("a"), EndKey: keys.Key("z")}

func newMachine(rt *rapid.T, task env.Task, eng *storage.Engine) *machine {
	var b storage.Batch
	lo, hi := EncodeSpan(machineSpan)
	b.DeleteRange(lo, hi)
	eng.Commit(&b, false, nil)
	m := &machine{T: rt, task: task, eng: eng, m: txnModel{}}
	for n := range 3 {
		ts := m.time("begin")
		m.txns = append(m.txns, kv.NewTxn(kv.TxnID{byte(n + 1)}, "", 1, ts, ts))
		m.seqs = append(m.seqs, 0)
	}
	return m
}

func (m *machine) run() {
	actions := []struct {
		weight int
		do     func()
	}{
		{6, m.txnWrite}, {2, m.plainWrite}, {2, m.replay}, {2, m.deleteRange}, {2, m.acquire}, {2, m.rollback},
		{1, m.restart}, {2, m.move}, {5, m.resolve}, {1, m.collect}, {3, m.get}, {4, m.scan}, {2, m.refresh}, {2, m.query},
	}
	var all []func()
	for _, a := range actions {
		all = append(all, slices.Repeat([]func(){a.do}, a.weight)...)
	}
	for n := rapid.IntRange(1, 60).Draw(m.T, "steps"); n > 0; n-- {
		all[rapid.IntRange(0, len(all)-1).Draw(m.T, "action")]()
		m.check()
	}
}

func (m *machine) time(label string) hlc.Timestamp {
	return hlc.Timestamp{Wall: rapid.Int64Range(m.threshold.Wall+1, m.threshold.Wall+30).Draw(m.T, label)}
}

func (m *machine) keyName() string {
	return rapid.SampledFrom([]string{"b", "b\x00", "c", "d", "e"}).Draw(m.T, "key")
}

func (m *machine) any(n int, label string) int { return rapid.IntRange(0, n-1).Draw(m.T, label) }

func (m *machine) fail(format string, args ...any) {
	m.Helper()
	for _, s := range m.said {
		m.Log(s)
	}
	m.Fatalf(format, args...)
}

func (m *machine) say(format string, args ...any) {
	m.said = append(m.said, fmt.Sprintf(format, args...))
}

// outcomeOf names the error as the model does.
func outcomeOf(err error) outcome {
	var (
		locked    *LockConflictError
		tooOld    *WriteTooOldError
		uncertain *UncertaintyError
		stale     *StaleEpochError
		sequence  *SequenceError
		condition *ConditionFailedError
	)
	switch {
	case err == nil:
		return outcome{what: "ok"}
	case errors.As(err, &locked):
		return outcome{what: "locked"}
	case errors.As(err, &tooOld):
		return outcome{"too old", tooOld.Existing}
	case errors.As(err, &uncertain):
		return outcome{"uncertain", uncertain.ValueTS}
	case errors.As(err, &stale):
		return outcome{what: "stale"}
	case errors.As(err, &sequence):
		return outcome{what: "sequence"}
	case errors.As(err, &condition), errors.Is(err, ErrNotInteger), errors.Is(err, ErrOverflow):
		return outcome{what: "failed"}
	}
	return outcome{what: err.Error()}
}

// commit runs f with a writer, and commits what it wrote unless it failed.
func (m *machine) commit(w *Writer, f func(w *Writer) error) error {
	var b storage.Batch
	w.Reader, w.Batch = m.eng.NewOverlay(&b), &b
	err := f(w)
	if err == nil {
		m.eng.Commit(&b, false, nil)
		m.stats.Add(w.Stats)
		if m.any(30, "flush") == 0 {
			if err := m.eng.Flush(m.task); err != nil {
				m.fail("%v", err)
			}
		}
	}
	return err
}

func (m *machine) operation() operation {
	return operation{
		kind: rapid.SampledFrom([]string{"put", "put", "delete", "cput", "initput", "increment"}).Draw(m.T, "kind"),
		key:  m.keyName(), value: fmt.Appendf(nil, "v%d", m.any(4, "value")), expected: fmt.Appendf(nil, "v%d", m.any(4, "expected")),
		exists: m.any(2, "exists") == 0, by: int64(m.any(5, "by")),
	}
}

func do(w *Writer, op *operation, ts hlc.Timestamp) (err error) {
	k := keys.Key(op.key)
	switch op.kind {
	case "put":
		return w.Put(k, ts, op.value)
	case "delete":
		_, err = w.Delete(k, ts)
	case "cput":
		err = w.ConditionalPut(k, ts, op.value, op.expected, op.exists)
	case "initput":
		err = w.InitPut(k, ts, op.value, false)
	case "increment":
		_, err = w.Increment(k, ts, op.by)
	}
	return err
}

func (m *machine) local() (ts hlc.Timestamp) {
	if m.any(2, "has local") == 0 {
		ts = m.time("local")
	}
	return ts
}

func (m *machine) plainWrite() {
	op, ts, local := m.operation(), m.time("ts"), m.local()
	got := outcomeOf(m.commit(&Writer{Local: local}, func(w *Writer) error { return do(w, &op, ts) }))
	want := m.m.key(op.key).write(nil, ts, local, &op)
	m.say("%s %q %q at %v: %v", op.kind, op.key, op.value, ts, got)
	if got != want {
		m.fail("%v, want %v", got, want)
	}
}

func (m *machine) txnWrite() {
	n := m.any(len(m.txns), "txn")
	op := m.operation()
	m.seqs[n]++
	op.seq, op.epoch = m.seqs[n], m.txns[n].Epoch
	if m.execute(n, op).what == "ok" {
		m.done, m.by = append(m.done, op), append(m.by, n)
	}
}

func (m *machine) execute(n int, op operation) outcome {
	t := m.txns[n].Clone()
	t.Sequence, t.Epoch = op.seq, op.epoch
	if op.late {
		t.IgnoredSeqs = nil
	}
	local := m.local()
	w := &Writer{Local: local, Txn: t}
	got := outcomeOf(m.commit(w, func(w *Writer) error { return do(w, &op, t.ReadTS) }))
	k := m.m.key(op.key)
	want := k.write(t, t.ReadTS, local, &op)
	m.say("txn %d epoch %d seq %d reads at %v writes at %v: %s %q %q: %v", n+1, op.epoch, op.seq, t.ReadTS, t.WriteTS, op.kind, op.key, op.value, got)
	if got != want {
		m.fail("%v, want %v", got, want)
	}
	if got.what == "ok" && w.Written != k.intent.ts {
		m.fail("written at %v, want %v", w.Written, k.intent.ts)
	}
	return got
}

// replay does a write again, of this epoch or an earlier one, or one like it.
func (m *machine) replay() {
	if len(m.done) == 0 {
		return
	}
	i := m.any(len(m.done), "again")
	op := m.done[i]
	if m.any(4, "other") == 0 {
		op.value = []byte("other")
	}
	op.late = m.any(3, "late") == 0
	m.execute(m.by[i], op)
}

func (m *machine) deleteRange() {
	n := m.any(len(m.txns), "txn")
	m.seqs[n]++
	t := m.txns[n].Clone()
	t.Sequence = m.seqs[n]
	limit := int64(m.any(3, "limit"))
	local := m.local()
	var deleted []keys.Key
	err := m.commit(&Writer{Local: local, Txn: t}, func(w *Writer) (err error) {
		deleted, _, err = w.DeleteRange(machineSpan, t.ReadTS, limit)
		return err
	})
	// The rules: a read that must find nothing newer, then a deletion of each row.
	want, found := outcome{what: "ok"}, 0
	written := want
	before := t.Clone()
	before.Sequence--
	copied := txnModel{}
	for _, name := range m.m.names() {
		k := m.m.copyOf(name)
		v, out := k.read(t.ReadTS, ReadOptions{Txn: before, FailOnMoreRecent: true, Lock: kv.LockExclusive})
		if limit > 0 && int64(found) == limit && (out.what != "ok" || v.Exists) {
			break
		}
		if out.what != "ok" && (want.what == "ok" || out.what == "stale") {
			want = out
		}
		if want.what == "too old" || want.what == "stale" {
			break
		}
		if v.Exists {
			found++
			if want.what == "ok" {
				copied[name] = k
				if out := k.write(t, t.ReadTS, local, &operation{kind: "delete", key: name}); written.what == "ok" {
					written = out
				}
			}
		}
	}
	got := outcomeOf(err)
	m.say("txn %d seq %d deletes %d keys: %v, %v", n+1, t.Sequence, limit, deleted, got)
	if want.what == "ok" {
		want = written
	}
	if got != want || err == nil && len(deleted) != len(copied) {
		m.fail("%v, want %v, %d keys", got, want, len(copied))
	}
	if err == nil {
		for name, k := range copied {
			m.m[name] = k
		}
	}
}

// copyOf is a copy of a key, to be written to.
func (m txnModel) copyOf(name string) *mKey {
	k := *m[name]
	k.versions, k.locks = slices.Clone(k.versions), slices.Clone(k.locks)
	if k.intent != nil {
		in := *k.intent
		in.writes = slices.Clone(in.writes)
		k.intent = &in
	}
	return &k
}

func (m *machine) acquire() {
	n, name := m.any(len(m.txns), "txn"), m.keyName()
	m.seqs[n]++
	t := m.txns[n].Clone()
	t.Sequence = m.seqs[n]
	s := kv.LockShared + kv.LockStrength(m.any(2, "strength"))
	got := outcomeOf(m.commit(&Writer{Txn: t}, func(w *Writer) error { return w.AcquireLock(keys.Key(name), s) }))
	want := m.m.key(name).lock(t, s)
	m.say("txn %d locks %q %v: %v", n+1, name, s, got)
	if got != want {
		m.fail("%v, want %v", got, want)
	}
}

func (m *machine) rollback() {
	n := m.any(len(m.txns), "txn")
	if m.seqs[n] == 0 {
		return
	}
	from := int32(m.any(int(m.seqs[n]), "savepoint")) + 1
	m.txns[n].IgnoredSeqs = kv.AddIgnored(m.txns[n].IgnoredSeqs, kv.SeqRange{Start: from, End: m.seqs[n]})
	m.seqs[n]++
	m.say("txn %d rolls back %v", n+1, m.txns[n].IgnoredSeqs)
}

func (m *machine) restart() {
	n := m.any(len(m.txns), "txn")
	m.txns[n].Restart(1, m.time("restart"))
	m.seqs[n] = 0
	m.say("txn %d restarts at %v", n+1, m.txns[n].ReadTS)
}

// move pushes or refreshes a transaction, as its coordinator knows it.
func (m *machine) move() {
	t := m.txns[m.any(len(m.txns), "txn")]
	t.WriteTS = t.WriteTS.Forward(m.time("push"))
	if m.any(2, "refresh") == 0 {
		t.Refreshed(t.WriteTS)
	}
	m.say("txn %d reads at %v writes at %v", t.ID[0], t.ReadTS, t.WriteTS)
}

// resolve tells some or all keys what has become of a transaction; when it is over,
// its place is taken by a new one.
func (m *machine) resolve() {
	n := m.any(len(m.txns), "txn")
	t := m.txns[n]
	u := kv.UpdateOf(t, machineSpan)
	u.Status = rapid.SampledFrom([]kv.TxnStatus{kv.Pending, kv.Pending, kv.Staging, kv.Committed, kv.Committed, kv.Aborted}).Draw(m.T, "status")
	if u.Status == kv.Pending || m.any(4, "other timestamp") == 0 {
		u.Txn.WriteTS = m.time("resolve")
	}
	m.say("txn %d is %v at %v epoch %d without %v", n+1, u.Status, u.Txn.WriteTS, u.Txn.Epoch, u.IgnoredSeqs)
	if !u.Status.Finalized() && m.any(2, "point") == 0 {
		name := m.keyName()
		if err := m.commit(&Writer{}, func(w *Writer) error { _, err := w.ResolveIntent(keys.Key(name), u); return err }); err != nil {
			m.fail("%v", err)
		}
		m.m.key(name).resolve(u)
		return
	}
	limit := int64(m.any(3, "limit"))
	for s := machineSpan; s.Key != nil; {
		err := m.commit(&Writer{}, func(w *Writer) (err error) {
			var changed int64
			changed, s, err = w.ResolveIntentRange(s, u, limit)
			if limit > 0 && (changed > limit || s.Key != nil && changed < limit) {
				m.fail("%d of %d intents, and the rest is %v", changed, limit, s)
			}
			return err
		})
		if err != nil {
			m.fail("%v", err)
		}
	}
	for _, name := range m.m.names() {
		m.m[name].resolve(u)
	}
	if u.Status.Finalized() {
		ts := m.time("begin")
		id := t.ID
		// The name lives on, in another epoch, so that what is replayed is not taken for
		// a write of the new one.
		m.txns[n] = kv.NewTxn(id, "", 1, ts, ts)
		m.txns[n].Epoch = t.Epoch + 1
		m.seqs[n] = 0
	}
}

func (m *machine) collect() {
	m.threshold = m.time("threshold")
	var ks []keys.Key
	garbage, _, err := FindGarbage(m.eng, machineSpan, m.threshold, 0)
	for _, name := range m.m.names() {
		k, has := m.m[name], len(m.m[name].versions)
		k.collect(m.threshold)
		if len(k.versions) < has {
			ks = append(ks, keys.Key(name))
		}
	}
	m.say("collect to %v: %v", m.threshold, ks)
	if err != nil || !slices.EqualFunc(ks, garbage, keys.Key.Equal) {
		m.fail("garbage at %v (%v), want %v", garbage, err, ks)
	}
	if m.any(2, "all") == 0 {
		ks = ks[:0]
		for _, name := range m.m.names() {
			ks = append(ks, keys.Key(name))
		}
	}
	if err := m.commit(&Writer{}, func(w *Writer) error { return w.GC(m.threshold, ks) }); err != nil {
		m.fail("%v", err)
	}
	for _, t := range m.txns {
		if t.ReadTS.LessEq(m.threshold) { // what reads below the threshold is refused
			t.Refreshed(m.threshold.Next())
		}
	}
}

func (m *machine) options() (ReadOptions, hlc.Timestamp) {
	o, ts := ReadOptions{}, m.time("read")
	if n := m.any(len(m.txns)+1, "reader"); n > 0 {
		o.Txn = m.txns[n-1].Clone()
		o.Txn.Sequence = int32(m.any(int(m.seqs[n-1])+1, "sequence"))
		if m.any(8, "old epoch") == 0 {
			o.Txn.Epoch = max(0, o.Txn.Epoch-1)
		}
	}
	if m.any(2, "uncertain") == 0 {
		o.Uncertainty.GlobalLimit = ts.Add(10)
		if m.any(2, "leaseholder") == 0 {
			o.Uncertainty.LocalLimit = m.time("local limit")
		}
	}
	if m.any(4, "locking") == 0 {
		o.FailOnMoreRecent = true
		o.Lock = kv.LockStrength(m.any(3, "strength"))
	}
	o.SkipLocked = m.any(5, "skip") == 0
	return o, ts
}

func (m *machine) get() {
	o, ts := m.options()
	name := m.keyName()
	v, err := GetWith(m.eng, keys.Key(name), ts, o)
	want, out := m.m.key(name).read(ts, o)
	if out.what == "locked" && o.SkipLocked {
		want, out = Value{}, outcome{what: "ok"}
	}
	got := outcomeOf(err)
	if got != out || err == nil && (v.String() != want.String() || v.Timestamp != want.Timestamp || v.Exists && v.Local != want.Local) {
		m.fail("get %q at %v with %+v: %v %v, want %v %v", name, ts, o, v, got, want, out)
	}
}

func (m *machine) scan() {
	o, ts := m.options()
	s := keys.Span{Key: keys.Key(m.keyName()), EndKey: keys.Key(m.keyName())}
	if s.EndKey.Less(s.Key) {
		s.Key, s.EndKey = s.EndKey, s.Key
	}
	if s.Key.Equal(s.EndKey) {
		s = machineSpan
	}
	l := Limit{Keys: int64(m.any(4, "max keys"))}
	o.MaxLocks = m.any(3, "max locks")
	names := slices.DeleteFunc(m.m.names(), func(name string) bool { return !s.ContainsKey(keys.Key(name)) })
	scan := ScanWith
	if m.any(2, "reverse") == 0 {
		scan = ReverseScanWith
		slices.Reverse(names)
	}
	rows, resume, err := scan(m.eng, s, ts, l, o)
	var want []kv.KeyValue
	out, locked, next := outcome{what: "ok"}, 0, ""
	for _, name := range names {
		v, o1 := m.m[name].read(ts, o)
		if o1.what == "locked" && o.SkipLocked || o1.what == "ok" && !v.Exists {
			continue
		}
		if o1.what == "stale" {
			out = o1
			break
		}
		if l.Keys > 0 && int64(len(want)) == l.Keys {
			next = name
			break
		}
		if o1.what == "locked" {
			out = o1
			if locked += m.m[name].inTheWay(idOf(o.Txn), o.Lock); locked >= o.MaxLocks && o.MaxLocks > 0 {
				break
			}
		} else if o1.what != "ok" {
			if out.what == "ok" {
				out = o1
			}
			break
		} else {
			want = append(want, kv.KeyValue{Key: keys.Key(name), Value: v.Bytes, Timestamp: v.Timestamp})
		}
	}
	got := outcomeOf(err)
	if got != out || err == nil && (!sameRows(rows, want) || (next != "") != (resume.Key != nil)) {
		m.fail("scan %v at %v limit %v with %+v: %v %v resume %v, want %v %v then %q", s, ts, l, o, rows, got, resume, want, out, next)
	}
	if err == nil && next != "" && (!resume.ContainsKey(keys.Key(next)) || len(want) > 0 && resume.ContainsKey(want[len(want)-1].Key)) {
		m.fail("the rest after %v, from %q on, is said to be %v", want, next, resume)
	}
}

func (m *machine) refresh() {
	from, to := m.time("from"), m.time("to")
	id := byte(m.any(4, "who"))
	err := Refresh(m.eng, machineSpan, from, to, kv.TxnID{id})
	want := true
	for _, name := range m.m.names() {
		want = want && m.m[name].refresh(from, to, id)
	}
	var failed *RefreshError
	if (err == nil) != want || err != nil && !errors.As(err, &failed) {
		m.fail("refresh of %d from %v to %v: %v, want %v", id, from, to, err, want)
	}
}

func (m *machine) query() {
	n, name := m.any(len(m.txns), "txn"), m.keyName()
	meta := m.txns[n].TxnMeta
	meta.Sequence = int32(m.any(int(m.seqs[n])+1, "sequence"))
	got, err := QueryIntent(m.eng, keys.Key(name), &meta)
	var want QueryIntentResult
	if in := m.m.key(name).intent; in != nil && in.id == meta.ID[0] && in.epoch == meta.Epoch && in.writes[len(in.writes)-1].seq >= meta.Sequence {
		want = QueryIntentResult{Found: true, At: in.ts, Proven: in.ts.LessEq(meta.WriteTS)}
	}
	if err != nil || got != want {
		m.fail("query of %v at %q: %+v %v, want %+v", meta, name, got, err, want)
	}
}

// check compares everything that the engine holds, and the statistics.
func (m *machine) check() {
	counted, err := ComputeStats(m.eng, machineSpan)
	if err != nil || counted != m.stats {
		m.fail("statistics: counted %+v (%v), kept %+v", counted, err, m.stats)
	}
	var want Stats
	for _, name := range m.m.names() {
		k := m.m[name]
		st, err := look(m.eng, keys.Key(name))
		if err != nil {
			m.fail("%v", err)
		}
		if (k.intent != nil) != (st.rec.intent() != nil) || k.intent != nil && k.intent.ts != st.prov.Timestamp {
			m.fail("%q has %v, want %+v", name, st.rec, k.intent)
		}
		newest := k.newest()
		if k.intent != nil {
			w := k.intent.writes[len(k.intent.writes)-1]
			newest = Value{Bytes: w.bytes, Exists: w.exists, Timestamp: k.intent.ts, Local: k.intent.local}
			if newest.String() != st.prov.String() || newest.Local != st.prov.Local {
				m.fail("%q has the provisional %v, want %v", name, st.prov, newest)
			}
			want.Intents++
			want.Versions++
		}
		if newest.Exists {
			want.Live++
		}
		if !newest.Timestamp.IsEmpty() {
			want.Keys++
		}
		want.Versions += int64(len(k.versions))
		want.Locks += int64(len(k.locks))
		for _, v := range k.versions {
			key := EncodeKey(nil, keys.Key(name), v.Timestamp)
			b, ok, err := m.eng.Get(key)
			if err != nil || !ok || !bytes.Equal(b, encodeValue(nil, key, v)) {
				m.fail("%q has not %v, local %v: %q %v", name, v, v.Local, b, err)
			}
		}
	}
	if want.Live != counted.Live || want.Keys != counted.Keys || want.Versions != counted.Versions ||
		want.Intents != counted.Intents || want.Locks != counted.Locks {
		m.fail("counted %+v, want %+v", counted, want)
	}
}
