package checker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"testing"

	"simulacrum/checker/history"
)

// toy is a linearizable store in which each operation takes effect at one moment
// of its interval, and says when. Its histories are legal by construction.
type toy struct {
	r                   *rand.Rand
	clients, keys, ops  int
	infos               int // of 100 operations, how many have an unknown outcome
	increments, deletes bool
	stale               bool
	batches             bool // atomic batches on several keys, and scans
	timeReads           bool
}

type toyOp struct {
	op *history.Op
	at int64 // when it takes effect; Never when it does not
}

// run returns a legal history and the versions it left.
func (y *toy) run() (*history.History, []Version) {
	rec := history.NewRecorder()
	type call struct {
		client int
		at     int64
	}
	var calls []call
	ends := map[int]int64{}
	for i := 0; i < y.ops; i++ {
		c := i % y.clients
		at := ends[c] + y.r.Int64N(40)
		took := 1 + y.r.Int64N(200)
		ends[c] = at + took
		calls = append(calls, call{c, at}, call{-1 - c, at + took})
	}
	var all []toyOp
	sortable := make([]int, 0, y.ops)
	for i := 0; i < len(calls); i += 2 {
		sortable = append(sortable, i)
	}
	sort.SliceStable(sortable, func(a, b int) bool { return calls[sortable[a]].at < calls[sortable[b]].at })
	value := int64(0)
	for _, i := range sortable {
		from, to := calls[i].at, calls[i+1].at
		op := rec.Invoke(fmt.Sprintf("c%d", calls[i].client), "n1", from, y.actions(&value)...)
		at := from + y.r.Int64N(to-from+1)
		op.Return = to
		op.Outcome = history.OK
		if y.r.IntN(100) < y.infos {
			op.Outcome, op.Err = history.Info, "timeout"
			at = from + y.r.Int64N(2000)
			if y.r.IntN(2) == 0 {
				at = history.Never
			}
		}
		all = append(all, toyOp{op, at})
	}
	sort.SliceStable(all, func(a, b int) bool { return all[a].at < all[b].at })
	state := map[string][]Version{}
	var log []Version
	for i, t := range all {
		if t.at == history.Never {
			continue
		}
		ts := history.Timestamp{Wall: t.at, Logical: int32(i + 1)}
		if len(t.op.Actions) > 1 || t.op.Actions[0].F == history.Scan {
			log = append(log, toyBatch(t.op, state, ts)...)
		} else if wrote := toyApply(t.op, state, ts, y); wrote != nil {
			log = append(log, *wrote)
		}
		if t.op.Outcome == history.Info {
			t.op.TS = history.Timestamp{}
			for j := range t.op.Actions {
				t.op.Actions[j].Result = history.Value{}
			}
		}
	}
	return rec.History(), log
}

func (y *toy) actions(value *int64) []history.Action {
	if !y.batches || y.r.IntN(3) > 0 {
		return []history.Action{y.action(value)}
	}
	if y.r.IntN(3) == 0 {
		return []history.Action{{F: history.Scan, Key: "k00"}}
	}
	var out []history.Action
	for i := 2 + y.r.IntN(3); i > 0; i-- {
		a := y.action(value)
		if a.F == history.CAS {
			a.F, a.Expect = history.Write, history.Value{}
		}
		out = append(out, a)
	}
	return out
}

// toyBatch executes a batch or a scan at its moment.
func toyBatch(op *history.Op, state map[string][]Version, ts history.Timestamp) []Version {
	op.TS = ts
	own := map[string]history.Value{}
	now := func(key string) history.Value {
		if v, ok := own[key]; ok {
			return v
		}
		if vs := state[key]; len(vs) > 0 {
			return vs[len(vs)-1].Value
		}
		return history.NoKey()
	}
	for i := range op.Actions {
		a := &op.Actions[i]
		switch a.F {
		case history.Scan:
			var rows []history.Row
			for n := 0; n < 10; n++ {
				if key := fmt.Sprintf("k%02d", n); !now(key).IsAbsent() {
					rows = append(rows, history.Row{Key: key, Value: now(key)})
				}
			}
			a.Result = history.Rows(rows...)
		case history.Read:
			a.Result = now(a.Key)
		case history.Write:
			own[a.Key] = a.Arg
		case history.Delete:
			own[a.Key] = history.NoKey()
		case history.Increment:
			n, _ := now(a.Key).Int()
			a.Result = history.Int(n + 1)
			own[a.Key] = a.Result
		}
	}
	var out []Version
	for n := 0; n < 10; n++ {
		key := fmt.Sprintf("k%02d", n)
		if v, ok := own[key]; ok {
			out = append(out, Version{key, ts, v})
			state[key] = append(state[key], out[len(out)-1])
		}
	}
	return out
}

func (y *toy) action(value *int64) history.Action {
	a := history.Action{F: history.Read, Key: fmt.Sprintf("k%02d", y.r.IntN(y.keys))}
	switch n := y.r.IntN(10); {
	case y.increments && n >= 5:
		a.F, a.Arg = history.Increment, history.Int(1)
	case y.increments:
	case n >= 6:
		*value++
		a.F, a.Arg = history.Write, history.Int(*value)
	case n >= 4:
		*value++
		a.F, a.Arg = history.CAS, history.Int(*value)
		a.Expect = history.Int(*value - 1 - y.r.Int64N(4))
	case n == 3 && y.deletes:
		a.F = history.Delete
	}
	return a
}

// toyApply executes one operation at its moment and returns the version it left.
func toyApply(op *history.Op, state map[string][]Version, ts history.Timestamp, y *toy) *Version {
	a := &op.Actions[0]
	now := history.NoKey()
	vs := state[a.Key]
	if len(vs) > 0 {
		now = vs[len(vs)-1].Value
	}
	op.TS = ts
	next := now
	switch a.F {
	case history.Read:
		if y.stale && len(vs) > 2 && y.r.IntN(4) == 0 {
			op.Stale, op.TS = true, vs[len(vs)-2].TS
			now = vs[len(vs)-2].Value
		} else if !y.timeReads {
			op.TS = history.Timestamp{}
		}
		a.Result = now
		return nil
	case history.Write:
		next = a.Arg
	case history.Delete:
		next = history.NoKey()
	case history.CAS:
		if !now.Equal(a.Expect) {
			if op.Outcome == history.OK {
				op.Outcome, op.Err, a.Result = history.Fail, history.ConditionFailed, now
			}
			return nil
		}
		next = a.Arg
	case history.Increment:
		n, _ := now.Int()
		next = history.Int(n + 1)
		a.Result = next
	}
	v := Version{a.Key, ts, next}
	state[a.Key] = append(vs, v)
	return &v
}

func mustPass(t *testing.T, seed uint64, v Verdict) {
	t.Helper()
	if v.Valid == Violation || v.Valid == Unknown {
		t.Fatalf("seed %d: a legal history is judged %s", seed, v)
	}
}

// A legal history is never flagged, whatever its clients missed.
func TestLegalHistoriesPass(t *testing.T) {
	for seed := uint64(0); seed < 300; seed++ {
		r := rand.New(rand.NewPCG(seed, 7))
		y := &toy{r: r, clients: 1 + r.IntN(6), keys: 1 + r.IntN(3), ops: 20 + r.IntN(100), infos: r.IntN(20), deletes: seed%3 == 0, increments: seed%5 == 4, timeReads: true, stale: seed%4 == 0, batches: seed%2 == 0}
		h, versions := y.run()
		// With additions of different amounts and unknown outcome, and no versions
		// from the store, the deciders may honestly not know.
		open := func(v Verdict) bool { return v.Valid == Unknown && y.increments && y.batches }
		for _, v := range append(Registers(h, Options{MaxConcurrency: 30}).Verdicts, Register(h, Options{}), Register(h, Options{SkewExceeded: true})) {
			if !open(v) {
				mustPass(t, seed, v)
			}
		}
		mustPass(t, seed, Register(h, Options{Versions: versions}))
		mustPass(t, seed, Witness(h, versions, Options{}))
		if y.increments {
			mustPass(t, seed, Counter(h, Options{}))
		}
	}
}

// A mutated history is flagged exactly when it became illegal: Porcupine says so
// for any order; the sweep, which is stricter, may know more, and must not know
// less.
func TestMutationsAreFlagged(t *testing.T) {
	var illegal, stricter, harmless int
	for seed := uint64(0); seed < 600; seed++ {
		r := rand.New(rand.NewPCG(seed, 11))
		y := &toy{r: r, clients: 1 + r.IntN(4), keys: 1 + r.IntN(2), ops: 10 + r.IntN(40), infos: r.IntN(10), deletes: seed%3 == 0, timeReads: true, batches: seed%2 == 0}
		h, versions := y.run()
		if !mutate(r, h) {
			continue
		}
		p, _ := Porcupine(h, Options{MaxConcurrency: 50})
		s := Register(h, Options{})
		w := Worst(s, Witness(h, versions, Options{}))
		switch {
		case p.Valid == Unknown:
		case p.Valid == Violation && s.Valid != Violation:
			t.Fatalf("seed %d: Porcupine flags and the sweep says %s", seed, s)
		case p.Valid == Violation:
			illegal++
			if len(s.Ops) == 0 || len(s.Details) == 0 {
				t.Fatalf("seed %d: a violation without a witness: %s", seed, s)
			}
		case w == Violation:
			stricter++
		default:
			harmless++
		}
	}
	t.Logf("%d illegal, all flagged; %d legal in some order but not by timestamps or versions; %d harmless", illegal, stricter, harmless)
	if illegal < 100 {
		t.Fatal("too few mutations became illegal to prove anything")
	}
}

// mutate changes what one operation saw, or when.
func mutate(r *rand.Rand, h *history.History) bool {
	var reads, oks []*history.Op
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Outcome == history.OK {
			oks = append(oks, op)
			if op.Actions[0].F == history.Read {
				reads = append(reads, op)
			}
		}
	}
	if len(reads) < 2 || len(oks) < 2 {
		return false
	}
	switch r.IntN(4) {
	case 0: // one read sees what another saw
		a, b := reads[r.IntN(len(reads))], reads[r.IntN(len(reads))]
		a.Actions[0].Result = b.Actions[0].Result
	case 1: // a read loses its value
		reads[r.IntN(len(reads))].Actions[0].Result = history.NoKey()
	case 2: // an operation happened much earlier or later than it did
		op := oks[r.IntN(len(oks))]
		d := r.Int64N(600) - 300
		op.Call, op.Return = op.Call+d, op.Return+d
	case 3: // a phantom
		reads[r.IntN(len(reads))].Actions[0].Result = history.Int(1_000_000)
	}
	return true
}

// The histories that Porcupine is tested with are judged to their labels.
func TestLabelledHistories(t *testing.T) {
	labels, err := history.Labels()
	if err != nil {
		t.Fatal(err)
	}
	if labels == nil {
		t.Skip("no folder shared/data/histories beside or above this one; set SIMULACRUM_SHARED to its parent")
	}
	judged := 0
	for _, l := range labels {
		if l.Model != "etcd-register" && l.Model != "kv" {
			continue
		}
		file, err := os.Open(l.File)
		if err != nil {
			t.Fatal(err)
		}
		read, o := history.ReadEtcdLog, Options{MaxConcurrency: 200, MaxSteps: 20_000_000}
		if l.Model == "kv" {
			read = history.ReadKVLog
		}
		h, err := read(file)
		file.Close()
		if err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		v, keys := Porcupine(h, o)
		if want := map[bool]Valid{true: OK, false: Violation}[l.Valid]; v.Valid != want {
			t.Errorf("%s: want %s, got %s%v", l.Name, want, v, keys)
		}
		judged++
	}
	if judged < 50 {
		t.Fatalf("only %d labelled histories judged", judged)
	}
}

func benchmarkSweep(b *testing.B, keys, clients int) {
	y := &toy{r: rand.New(rand.NewPCG(1, 1)), clients: clients, keys: keys, ops: 100_000, infos: 1, timeReads: true}
	h, versions := y.run()
	for _, c := range []struct {
		name string
		o    Options
	}{{"seen", Options{}}, {"stored", Options{Versions: versions}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if v := Register(h, c.o); v.Valid != OK {
					b.Fatal(v)
				}
			}
		})
	}
}

func BenchmarkSweep16Keys30Clients(b *testing.B) { benchmarkSweep(b, 16, 30) }

func BenchmarkSweepHotKey30Clients(b *testing.B) { benchmarkSweep(b, 1, 30) }

func BenchmarkWitness(b *testing.B) {
	y := &toy{r: rand.New(rand.NewPCG(1, 1)), clients: 30, keys: 16, ops: 100_000, infos: 1, timeReads: true}
	h, versions := y.run()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if v := Witness(h, versions, Options{}); v.Valid != OK {
			b.Fatal(v)
		}
	}
}

func BenchmarkPorcupine16Keys10Clients(b *testing.B) {
	y := &toy{r: rand.New(rand.NewPCG(1, 1)), clients: 10, keys: 16, ops: 20_000, timeReads: true}
	h, _ := y.run()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if v, _ := Porcupine(h, Options{}); v.Valid != OK {
			b.Fatal(v)
		}
	}
}

func BenchmarkRegisters16Keys30Clients(b *testing.B) {
	y := &toy{r: rand.New(rand.NewPCG(1, 1)), clients: 30, keys: 16, ops: 100_000, infos: 1, timeReads: true}
	h, _ := y.run()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if v := Worst(Registers(h, Options{}).Verdicts...); v != OK {
			b.Fatal(v)
		}
	}
}
