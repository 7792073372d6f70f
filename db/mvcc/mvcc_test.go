package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type testEnv struct {
	*sim.Proc
	env.Network
	fs vfs.FS
}

func (e testEnv) FS() vfs.FS { return e.fs }

// withEngine runs fn with a fresh engine that flushes every few kB.
func withEngine(t testing.TB, seed uint64, fn func(env.Task, *storage.Engine)) {
	t.Helper()
	s := sim.New(sim.Config{Seed: seed, Knobs: map[string]int64{"storage.memtable": 16 << 10, "storage.block": 256,
		"storage.table": 8 << 10, "storage.level.base": 32 << 10, "storage.level0.tables": 2}})
	defer s.Close()
	p := s.Machine("n1", sim.MachineConfig{}).Start("test")
	e := testEnv{Proc: p, fs: disk.New(s, "n1", disk.Config{}).Mount(p)}
	task := e.Go("test", func(task env.Task) {
		eng, err := storage.Open(task, e, "store", storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		fn(task, eng)
		if err := eng.Close(task); err != nil {
			t.Fatal(err)
		}
	})
	for !task.Done() && s.Step() {
	}
	for _, f := range s.Findings() {
		t.Fatalf("%s\n%s", f.String(), f.Stack)
	}
	if !task.Done() {
		t.Fatal("the test waits for ever")
	}
}

// model is the history of each key, newest first.
type model map[string][]Value

func (m model) get(k string, ts hlc.Timestamp) Value {
	for _, v := range m[k] {
		if v.Timestamp.LessEq(ts) {
			return v
		}
	}
	return Value{}
}

func (m model) scan(s keys.Span, ts hlc.Timestamp) (rows []kv.KeyValue) {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if v := m.get(k, ts); s.ContainsKey(keys.Key(k)) && v.Exists {
			rows = append(rows, kv.KeyValue{Key: keys.Key(k), Value: v.Bytes, Timestamp: v.Timestamp})
		}
	}
	return rows
}

func sameRows(a, b []kv.KeyValue) bool {
	return slices.EqualFunc(a, b, func(a, b kv.KeyValue) bool {
		return a.Key.Equal(b.Key) && bytes.Equal(a.Value, b.Value) && a.Timestamp == b.Timestamp
	})
}

func randomKey(rng *rand.Rand) keys.Key {
	if rng.IntN(4) == 0 {
		k := make(keys.Key, 1+rng.IntN(3))
		for i := range k {
			k[i] = []byte{0, 1, 2, 0xfe, 0xff}[rng.IntN(5)]
		}
		if k.Less(keys.Max) {
			return k
		}
	}
	return keys.Key(fmt.Sprintf("k%02d", rng.IntN(30)))
}

func randomTime(rng *rand.Rand) hlc.Timestamp {
	return hlc.Timestamp{Wall: 1 + rng.Int64N(400), Logical: rng.Int32N(3)}
}

// TestModel claims: reads, scans in both directions with limits, and statistics
// agree with a model that keeps every history in a list, however versions are
// spread over memtables and tables.
func TestModel(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		withEngine(t, seed, func(task env.Task, eng *storage.Engine) {
			modelRun(t, task, eng, rand.New(rand.NewPCG(seed, 2)))
		})
	}
}

func modelRun(t *testing.T, task env.Task, eng *storage.Engine, rng *rand.Rand) {
	m := model{}
	var stats Stats
	all := keys.Span{Key: keys.Key{0}, EndKey: keys.Max}
	for step := 0; step < 600; step++ {
		var b storage.Batch
		w := &Writer{Reader: eng.NewOverlay(&b), Batch: &b}
		if rng.IntN(2) == 0 {
			w.Local = randomTime(rng)
		}
		for n := rng.IntN(4); n >= 0; n-- {
			writeOne(t, w, m, rng)
		}
		eng.Commit(&b, false, nil)
		stats.Add(w.Stats)
		if rng.IntN(40) == 0 {
			if err := eng.Flush(task); err != nil {
				t.Fatal(err)
			}
		}
		ts := randomTime(rng)
		k := randomKey(rng)
		got, err := Get(eng, k, ts)
		if want := m.get(string(k), ts); err != nil || got.String() != want.String() || got.Local != want.Local {
			t.Fatalf("get %v at %v: %v %v, want %v", k, ts, got, err, want)
		}
		checkScan(t, eng, m, rng, ts)
	}
	counted, err := ComputeStats(eng, all)
	if err != nil || counted != stats {
		t.Fatalf("statistics: counted %+v (%v), kept %+v", counted, err, stats)
	}
	again := codec.NewReader(stats.Encode(nil))
	if s := DecodeStats(again); s != stats || again.Done() != nil {
		t.Fatalf("statistics decode to %+v", s)
	}
	sum, err := Checksum(eng, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Compact(task); err != nil {
		t.Fatal(err)
	}
	if sum2, err := Checksum(eng, all); err != nil || sum2 != sum {
		t.Fatalf("checksum %x, after compaction %x, %v", sum, sum2, err)
	}
}

// writeOne does one random write to engine and model.
func writeOne(t *testing.T, w *Writer, m model, rng *rand.Rand) {
	k, ts := randomKey(rng), randomTime(rng)
	prev := m.get(string(k), hlc.Max)
	v := Value{Bytes: make([]byte, rng.IntN(60)), Exists: true, Timestamp: ts, Local: w.Local}
	var err error
	switch rng.IntN(4) {
	case 0:
		var existed bool
		existed, err = w.Delete(k, ts)
		v = Value{Timestamp: ts, Local: w.Local}
		if err == nil && existed != prev.Exists {
			t.Fatalf("delete of %v says %v", k, existed)
		}
	case 1:
		fits := rng.IntN(2) == 0
		expected := append(prev.Bytes[:len(prev.Bytes):len(prev.Bytes)], 'x')
		if fits {
			expected = prev.Bytes
		}
		err = w.ConditionalPut(k, ts, v.Bytes, expected, prev.Exists)
		var failed *ConditionFailedError
		if errors.As(err, &failed) {
			if fits || !prev.Exists {
				t.Fatalf("condition failed: %v", err)
			}
			return
		}
		if err == nil && !fits && prev.Exists {
			t.Fatalf("condition did not fail on %v", k)
		}
	default:
		err = w.Put(k, ts, v.Bytes)
	}
	var old *WriteTooOldError
	if tooOld := !prev.Timestamp.IsEmpty() && ts.LessEq(prev.Timestamp); tooOld != errors.As(err, &old) || !tooOld && err != nil {
		t.Fatalf("write of %v at %v over %v: %v", k, ts, prev, err)
	}
	if err == nil {
		if v.Local.IsEmpty() {
			v.Local = ts
		}
		m[string(k)] = append([]Value{v}, m[string(k)]...)
	}
}

// checkScan compares scans of a random span, in pieces.
func checkScan(t *testing.T, eng *storage.Engine, m model, rng *rand.Rand, ts hlc.Timestamp) {
	s := keys.Span{Key: randomKey(rng), EndKey: randomKey(rng)}
	if s.EndKey.Less(s.Key) {
		s.Key, s.EndKey = s.EndKey, s.Key
	}
	if s.Key.Equal(s.EndKey) {
		s.EndKey = nil
	}
	want := m.scan(s, ts)
	for _, reverse := range []bool{false, true} {
		l := Limit{}
		if rng.IntN(2) == 0 {
			l.Keys = 1 + rng.Int64N(5)
		} else if rng.IntN(2) == 0 {
			l.Bytes = 1 + rng.Int64N(200)
		}
		scan := Scan
		if reverse {
			scan = ReverseScan
			slices.Reverse(want)
		}
		var rows []kv.KeyValue
		for rest := s; ; {
			some, resume, err := scan(eng, rest, ts, l)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, some...)
			if resume.Key == nil && resume.EndKey == nil {
				break
			}
			if l.Keys > 0 && int64(len(some)) != l.Keys {
				t.Fatalf("%d rows of %d, and yet there is a rest", len(some), l.Keys)
			}
			rest = resume
		}
		if !sameRows(rows, want) {
			t.Fatalf("scan of %v at %v (reverse %v):\n%v\nwant\n%v", s, ts, reverse, rows, want)
		}
	}
}

func TestIncrement(t *testing.T) {
	withEngine(t, 1, func(_ env.Task, eng *storage.Engine) {
		var b storage.Batch
		w := &Writer{Reader: eng.NewOverlay(&b), Batch: &b}
		k := keys.Key("n")
		at := func(n int64) hlc.Timestamp { return hlc.Timestamp{Wall: n} }
		for n := int64(1); n <= 3; n++ {
			if sum, err := w.Increment(k, at(n), 5); err != nil || sum != 5*n {
				t.Fatalf("%d, %v", sum, err)
			}
		}
		if _, err := w.Increment(k, at(4), 1<<63-1); !errors.Is(err, ErrOverflow) {
			t.Fatal(err)
		}
		if err := w.Put(k, at(5), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Increment(k, at(6), 1); !errors.Is(err, ErrNotInteger) {
			t.Fatal(err)
		}
	})
}

// TestManyVersions claims that a key with thousands of versions is read by seeks.
func TestManyVersions(t *testing.T) {
	withEngine(t, 1, func(_ env.Task, eng *storage.Engine) {
		var b storage.Batch
		w := &Writer{Reader: eng.NewOverlay(&b), Batch: &b}
		for n := int64(1); n <= 2000; n++ {
			for _, k := range []string{"a", "b", "c"} {
				if err := w.Put(keys.Key(k), hlc.Timestamp{Wall: n}, fmt.Appendf(nil, "%d", n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		eng.Commit(&b, false, nil)
		s := keys.Span{Key: keys.Key("a"), EndKey: keys.Key("d")}
		for _, n := range []int64{1, 2, 7, 1000, 1999, 2000, 5000} {
			want := fmt.Sprint(min(n, 2000))
			for _, scan := range []func(storage.Reader, keys.Span, hlc.Timestamp, Limit) ([]kv.KeyValue, keys.Span, error){Scan, ReverseScan} {
				rows, _, err := scan(eng, s, hlc.Timestamp{Wall: n}, Limit{})
				if err != nil || len(rows) != 3 || string(rows[0].Value) != want || string(rows[2].Value) != want {
					t.Fatalf("at %d: %v %v", n, rows, err)
				}
			}
		}
	})
}

// TestKeyOrder claims that engine keys sort by user key, bare key first, then from
// newest to oldest, and decode to what was encoded.
func TestKeyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	type version struct {
		k  keys.Key
		ts hlc.Timestamp
	}
	var vs []version
	for n := 0; n < 2000; n++ {
		v := version{randomKey(rng), randomTime(rng)}
		if n%10 == 0 {
			v.ts = hlc.Timestamp{}
		}
		vs = append(vs, v)
	}
	vs = append(vs, version{keys.Key{}, hlc.Max}, version{keys.Max, hlc.Min})
	for n, a := range vs {
		b := vs[rng.IntN(len(vs))]
		want := a.k.Compare(b.k)
		if want == 0 && a.ts != b.ts {
			want = b.ts.Compare(a.ts)
			if a.ts.IsEmpty() {
				want = -1
			} else if b.ts.IsEmpty() {
				want = 1
			}
		}
		ea, eb := EncodeKey(nil, a.k, a.ts), EncodeKey(nil, b.k, b.ts)
		if got := bytes.Compare(ea, eb); got != min(1, max(-1, want)) {
			t.Fatalf("%d: %v and %v compare %d, encoded %d", n, a, b, want, got)
		}
		if k, ts, err := DecodeKey(ea); err != nil || !k.Equal(a.k) || ts != a.ts {
			t.Fatalf("%v decodes to %v %v %v", a, k, ts, err)
		}
	}
}

func FuzzDecodeKey(f *testing.F) {
	f.Add(EncodeKey(nil, keys.Key("a\x00b"), hlc.Timestamp{Wall: 5, Logical: 1}))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, ts, err := DecodeKey(b)
		if err == nil && !bytes.Equal(EncodeKey(nil, k, ts), b) {
			t.Fatalf("%q decodes to %v %v, which encodes to something else", b, k, ts)
		}
	})
}

func FuzzDecodeValue(f *testing.F) {
	key, ts := EncodeKey(nil, keys.Key("a"), hlc.Timestamp{Wall: 5}), hlc.Timestamp{Wall: 5}
	f.Add(encodeValue(nil, key, Value{Exists: true, Bytes: []byte("x"), Timestamp: ts, Local: hlc.Timestamp{Wall: 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4 { // let what follows the checksum be reached
			s := valueSum(key, b[4:])
			b = append([]byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)}, b[4:]...)
		}
		v, err := decodeValue(key, b, ts)
		if err == nil && !bytes.Equal(encodeValue(nil, key, v), b) {
			t.Fatalf("%q decodes to %v, which encodes to something else", b, v)
		}
	})
}
