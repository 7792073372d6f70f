package workloads

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// store is a database of one key-value map with all its versions. It executes each
// batch at one instant, between the request's way there and the answer's way back,
// and breaks one promise if told to.
type store struct {
	s        *sim.Sim
	rng      *rand.Rand
	versions map[string][]version
	dirty    map[string][]byte // what open transactions have written
	last     Timestamp
	defect   string
	writes   int
}

type version struct {
	ts    Timestamp
	value []byte
}

// endpoint is one client's KV.
type endpoint struct {
	*store
	name string
}

func (e *endpoint) Name() string    { return e.name }
func (e *endpoint) Gateway() string { return "n1" }

func (e *endpoint) Do(t env.Task, ops []Op, opt Options) (Result, error) {
	trouble := e.rng.IntN(100)
	if trouble == 0 {
		return Result{}, fmt.Errorf("no gateway: %w", ErrFailed)
	}
	if err := t.Sleep(time.Duration(1+e.rng.IntN(40)) * time.Millisecond); err != nil || trouble == 1 {
		return Result{}, fmt.Errorf("timed out: %w", ErrAmbiguous)
	}
	res, err := e.execute(ops, opt.AtTimestamp)
	if t.Sleep(time.Duration(1+e.rng.IntN(40))*time.Millisecond) != nil || trouble == 2 {
		return Result{}, fmt.Errorf("timed out: %w", ErrAmbiguous)
	}
	return res, err
}

func (s *store) at(key []byte, ts Timestamp) []byte {
	list := s.versions[string(key)]
	for i := len(list) - 1; i >= 0; i-- {
		if !ts.Less(list[i].ts) {
			return list[i].value
		}
	}
	return nil
}

func (s *store) execute(ops []Op, at Timestamp) (Result, error) {
	ts := s.tick()
	read := ts
	if at != (Timestamp{}) {
		ts, read = at, at
	} else if s.defect == "stale reads" && s.rng.IntN(20) == 0 {
		read = Timestamp{Wall: ts.Wall - int64(300*time.Millisecond)}
	}
	res := Result{Timestamp: ts}
	writes := map[string][]byte{}
	var order []string
	put := func(key, value []byte) { writes[string(key)] = value; order = append(order, string(key)) }
	for i, op := range ops {
		var r OpResult
		switch op.Kind {
		case Get:
			r.Value = s.at(op.Key, read)
		case Put:
			put(op.Key, op.Value)
		case Delete:
			put(op.Key, nil)
		case CPut:
			if actual := s.at(op.Key, ts); !bytes.Equal(actual, op.Expect) && s.defect != "blind cas" {
				return Result{}, &ConditionError{Index: i, Actual: actual, Timestamp: ts}
			}
			put(op.Key, op.Value)
		case Increment:
			old, _ := Decode(s.at(op.Key, ts))
			n, _ := old.Int()
			r.Int = n + op.Delta
			if s.defect == "double increment" && s.rng.IntN(20) == 0 {
				r.Int += op.Delta
			}
			put(op.Key, EncodeInt(r.Int))
		case Scan, ReverseScan:
			var keys []string
			for k := range s.versions {
				if k >= string(op.Key) && k < string(op.End) && s.at([]byte(k), read) != nil {
					keys = append(keys, k)
				}
			}
			sort.Strings(keys)
			if op.Kind == ReverseScan && s.defect != "scan order" {
				slices.Reverse(keys)
			}
			for _, k := range keys {
				r.Rows = append(r.Rows, Row{[]byte(k), s.at([]byte(k), read)})
			}
		}
		res.Ops = append(res.Ops, r)
	}
	for _, k := range order {
		s.writes++
		if s.defect == "lost writes" && s.writes%100 == 0 {
			continue
		}
		s.versions[k] = append(s.versions[k], version{ts, writes[k]})
	}
	return res, nil
}

// run has ten clients work for ten seconds, two of which die and come back.
func run(t *testing.T, seed uint64, name, defect string) (*history.History, []checker.Verdict, Final) {
	t.Helper()
	p := Params{Slots: 4, Keys: 12, Counters: 4, Think: 20 * time.Millisecond, Txn: Defaults().Txn}
	p.Txn.Away = 500 * time.Millisecond
	if name == "registers" {
		p.Txn.Add, p.Txn.Increment, p.Txn.Nested = 4, 4, 40
	}
	w, err := New(name, p)
	if err != nil {
		t.Fatal(err)
	}
	s := sim.New(sim.Config{Seed: seed})
	defer s.Close()
	db := &store{s: s, rng: s.Rand("store"), versions: map[string][]version{}, dirty: map[string][]byte{}, defect: defect}
	rec := history.NewRecorder()
	begin, end := false, sim.Time(10*time.Second)
	client := func(name string) *Client {
		return &Client{KV: &endpoint{db, name}, Recorder: rec, Rand: s.Rand(name),
			Now: func() int64 { return int64(s.Now()) }, Done: func() bool { return s.Now() >= end && begin }}
	}
	var final Final
	s.Go("driver", func(task env.Task) {
		if err := w.Setup(task, client("c0")); err != nil {
			t.Error(err)
		}
		begin = true
		for i := range 10 {
			m := s.Machine(fmt.Sprintf("c%d", i+1), sim.MachineConfig{})
			start := func() {
				m.Start("client").Go("client", func(task env.Task) { w.Run(task, client(m.Name())) })
			}
			start()
			if i < 2 {
				s.Schedule(time.Duration(3+i)*time.Second, "kill", func() { m.Kill("test"); start() })
			}
		}
		if err := task.Sleep(12 * time.Second); err != nil {
			t.Error(err)
		}
		end += sim.Time(time.Hour)
		final = w.Final(task, client("c0"))
	})
	s.RunUntil(sim.Time(60 * time.Second))
	for _, f := range s.Findings() {
		t.Fatal(f)
	}
	h := rec.History()
	return h, w.Check(h, Context{Versions: db.applied()}), final
}

// On a store that keeps its promises every workload passes, with something to
// show for it; dead clients leave operations open; the same seed gives the same
// history.
func TestHonestStore(t *testing.T) {
	for _, name := range Names() {
		h, verdicts, final := run(t, 1, name, "")
		for _, v := range verdicts {
			if v.Valid != checker.OK {
				t.Errorf("%s: %s", name, v)
			}
		}
		if final.Served != 4 || final.Slots != 4 || final.Missing != "" {
			t.Errorf("%s: %+v", name, final)
		}
		var text strings.Builder
		if err := history.WriteJSONL(&text, h); err != nil {
			t.Fatal(err)
		}
		again, _, _ := run(t, 1, name, "")
		var other strings.Builder
		if err := history.WriteJSONL(&other, again); err != nil || text.String() != other.String() {
			t.Errorf("%s: two runs of one seed differ", name)
		}
		t.Logf("%s: %d operations", name, len(h.Ops))
	}
}

// Each broken promise is noticed, by the check whose matter it is.
func TestBrokenStores(t *testing.T) {
	for _, c := range []struct{ workload, defect, check string }{
		{"register", "stale reads", "register"},
		{"register", "lost writes", "register"},
		{"register", "blind cas", "register"},
		{"register", "scan order", "well-formed"},
		{"increments", "double increment", "counter"},
		{"increments", "lost writes", "counter"},
		{"set", "lost writes", "set"},
		{"mixed", "lost writes", "set"},
		{"mixed", "double increment", "counter"},
		{"append", "no validation", "list-append"},
		{"append", "snapshot isolation", "list-append"},
		{"append", "phantoms", "list-append"},
		{"append", "dirty reads", "list-append"},
		{"append", "stale snapshots", "list-append"},
		{"append", "rollbacks are ignored", "list-append"},
		{"append", "lost writes", "transaction-witness"},
		{"append", "torn commits", "transaction-witness"},
		{"registers", "no validation", "rw-register"},
		{"registers", "snapshot isolation", "rw-register"},
		{"registers", "phantoms", "rw-register"},
		{"registers", "dirty reads", "rw-register"},
		{"registers", "stale snapshots", "rw-register"},
		{"registers", "lost writes", "transaction-witness"},
		{"registers", "own writes are missed", "well-formed"},
		{"registers", "limits are ignored", "well-formed"},
		{"registers", "rollbacks are ignored", "rw-register"},
		{"registers", "rollbacks are ignored", "set"},
		{"registers", "rollbacks are ignored", "counter"},
		{"registers", "rollbacks are ignored", "well-formed"},
		{"registers", "the past is now", "transaction-witness"},
		{"bank", "no validation", "bank"},
		{"bank", "torn commits", "bank"},
		{"bank", "the past is now", "transaction-witness"},
		{"long-fork", "lost writes", "rw-register"},
		{"g2", "phantoms", "g2"},
		{"g2", "snapshot isolation", "g2"},
		{"monotonic", "no validation", "monotonic"},
		{"monotonic", "phantoms", "monotonic"},
		{"sequential", "lost writes", "sequential"},
	} {
		// What is rolled back, and mattered, is rare: one run may be without it.
		found := false
		var verdicts []checker.Verdict
		for seed := uint64(2); seed <= 4 && !found; seed++ {
			_, verdicts, _ = run(t, seed, c.workload, c.defect)
			for _, v := range verdicts {
				found = found || v.Check == c.check && v.Valid == checker.Violation
			}
		}
		if !found {
			t.Errorf("%s with %s: %s saw nothing:\n%v", c.workload, c.defect, c.check, verdicts)
		}
	}
}

// Batches and scans stay within one slot, so that no range boundary cuts them.
func TestSplitsSeparateSlots(t *testing.T) {
	w, err := New("mixed", Params{})
	if err != nil {
		t.Fatal(err)
	}
	splits := w.Splits()
	if len(splits) != 11 {
		t.Fatalf("%d splits of 12 slots", len(splits))
	}
	count := make([]int, 12)
	for _, k := range w.Universe() {
		count[sort.Search(len(splits), func(i int) bool { return bytes.Compare(splits[i], []byte(k)) > 0 })]++
	}
	for i, n := range count {
		if n != 3+1+1 {
			t.Errorf("slot %d has %d of registers, counters and sets", i, n)
		}
	}
}

// Think times have the mean that was asked for.
func TestExponential(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var sum time.Duration
	const n = 100_000
	for range n {
		sum += exponential(r, 100*time.Millisecond)
	}
	if mean := sum / n; mean < 98*time.Millisecond || mean > 102*time.Millisecond {
		t.Errorf("mean %v", mean)
	}
}

// Parameters that make no sense are refused with what would.
func TestParams(t *testing.T) {
	for _, p := range []Params{{Slots: 100}, {Keys: -1}, {Hot: 50}, {HotPercent: 101}, {Mix: Mix{Read: -1}}} {
		if _, err := New("mixed", p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
	if _, err := New("no such", Params{}); err == nil || !strings.Contains(err.Error(), "register") {
		t.Errorf("an unknown workload: %v", err)
	}
}

// Transactions have the ranks, and come back to their keys, as often as was asked for;
// not at all if it was not asked for.
func TestRanksAndComingBack(t *testing.T) {
	for _, share := range []int{0, 20} {
		p := Params{Keys: 999, Hot: -1, Txn: Defaults().Txn}
		p.Txn.Low, p.Txn.High, p.Txn.Again, p.Txn.Nested = share, share/2, share, 0
		w, err := New("registers", p)
		if err != nil {
			t.Fatal(err)
		}
		l := w.(*transactional).script.(*ledger)
		l.done = map[string]int{}
		for _, kind := range l.wanted {
			l.done[kind] = 1 // nothing is owed, for which courses would be picked
		}
		c := &Client{Rand: rand.New(rand.NewPCG(1, 2))}
		ranks := map[Priority]int{}
		const n = 10_000
		later, back := 0, 0
		for range n {
			course := l.draw(c, func(readOnly bool, before []move) move { return l.next(c, readOnly, before) })
			ranks[course.o.Priority]++
			seen := map[int]bool{}
			for _, m := range course.moves {
				if !ofOneKey(m.kind) {
					continue
				}
				if len(seen) > 0 {
					later++
					if seen[m.at] {
						back++
					}
				}
				seen[m.at] = true
			}
		}
		about := func(what string, got, of, percent int) {
			if 100*got < of*(percent-1) || 100*got > of*(percent+1) {
				t.Errorf("%s: %d of %d, not %d percent", what, got, of, percent)
			}
		}
		about("low", ranks[LowPriority], n, share)
		about("high", ranks[HighPriority], n, share/2)
		about("operations that come back", back, later, share)
	}
}
