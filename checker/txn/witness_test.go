package txn_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/txn"
	"simulacrum/checker/verify"
)

func config(seed uint64, registers bool) toy.Config {
	return toy.Config{Seed: seed, Txns: 300, Clients: 10, Keys: 5, Gateways: 4, Actions: 4, MaxOffset: 100, Skew: int64(seed%5) * 25,
		Infos: int(seed%3) * 8, Fails: 8, Stale: 8, Registers: registers, PerKey: 24}
}

// The order of timestamps explains each legal history, however far clocks are
// apart, and it is a certificate.
func TestWitnessPassesLegalHistories(t *testing.T) {
	tied := int64(0)
	for seed := uint64(1); seed <= 150; seed++ {
		for _, registers := range []bool{false, true} {
			c := config(seed, registers)
			o := graph.Options{}
			if seed%6 == 0 {
				c.Skew, o.SkewExceeded = 2000, true
			}
			run := toy.Make(c)
			v, order := txn.Witness(run.History, txn.Options{Versions: run.Versions})
			if v.Valid != checker.OK {
				t.Fatalf("seed %d, registers=%v: %s", seed, registers, v)
			}
			tied += v.Count("transactions at one timestamp")
			if err := verify.Order(run.History, order, o); err != nil {
				t.Fatalf("seed %d, registers=%v: %v", seed, registers, err)
			}
			// Without the stored versions unknown outcomes may leave something open, and
			// nothing is held against the history for that.
			v, _ = txn.Witness(run.History, txn.Options{})
			if v.Valid != checker.OK && (c.Infos == 0 || v.Valid != checker.Unknown) {
				t.Fatalf("seed %d, registers=%v, without versions: %s", seed, registers, v)
			}
		}
	}
	if tied == 0 {
		t.Error("no two transactions shared a timestamp")
	}
}

// Whatever breaks serializability in the order of timestamps is seen.
func TestWitnessSeesDefects(t *testing.T) {
	for _, d := range toy.Defects() {
		if d == toy.NoUncertainty {
			continue // breaks real time, not the order of timestamps
		}
		caught := 0
		for seed := uint64(1); seed <= 40; seed++ {
			c := config(seed, seed%2 == 0)
			c.Defect, c.Skew = d, 100
			run := toy.Make(c)
			if v, _ := txn.Witness(run.History, txn.Options{Versions: run.Versions}); v.Valid == checker.Violation {
				caught++
			}
		}
		t.Logf("%-50s caught %d of 40", d, caught)
		if caught < 5 {
			t.Errorf("%s: caught %d of 40", d, caught)
		}
	}
}

func at(wall int64, actions ...history.Action) history.Op {
	return history.Op{Client: "c", Outcome: history.OK, Call: wall, Return: wall + 1, TS: history.Timestamp{Wall: wall}, Actions: actions}
}

func app(k string, n int64) history.Action {
	return history.Action{F: history.Append, Key: k, Arg: history.Int(n)}
}

func read(k string, ns ...int64) history.Action {
	return history.Action{F: history.Read, Key: k, Result: history.List(ns...)}
}

// scanKey scans one key.
func scanKey(k string, ns ...int64) history.Action {
	return history.Action{F: history.Scan, Key: k, Arg: history.Rows(history.Row{Key: k}), Result: history.Rows(history.Row{Key: k, Value: history.List(ns...)})}
}

func hist(ops ...history.Op) *history.History {
	h := &history.History{Ops: ops}
	for i := range ops {
		ops[i].ID = i
	}
	return h
}

// At one timestamp the writer comes first, two writers of a key are wrong, and
// transactions that each miss the other's write are too.
func TestWitnessTies(t *testing.T) {
	for _, c := range []struct {
		name string
		h    *history.History
		want string
	}{
		{"reader called first", hist(at(5, read("x", 1)), at(5, app("x", 1))), ""},
		{"reader misses the write", hist(at(5, read("x")), at(5, app("x", 1))), "[1] was there"},
		{"two writers", hist(at(5, app("x", 1)), at(5, app("x", 2)), at(6, read("x", 1, 2))), "two transactions wrote it at one timestamp"},
		{"write skew", hist(at(5, read("x"), app("y", 1)), at(5, read("y"), app("x", 1))), "was there"},
		{"scans of other keys", hist(at(5, app("a", 1), scanKey("x", 2)), at(5, app("x", 2), scanKey("y"))), ""},
		{"chain", hist(at(5, read("x", 1), app("y", 1)), at(5, app("x", 1)), at(5, read("y", 1))), ""},
	} {
		v, order := txn.Witness(c.h, txn.Options{})
		if c.want == "" && (v.Valid != checker.OK || verify.Order(c.h, order, graph.Options{NoRealTime: true, NoSessions: true}) != nil) {
			t.Errorf("%s: %s", c.name, v)
		}
		if c.want != "" && (v.Valid != checker.Violation || !strings.Contains(v.String(), c.want)) {
			t.Errorf("%s: want %q, got %s", c.name, c.want, v)
		}
	}
}

// A million transactions of three actions, replayed. The aim is 0.3 s.
func BenchmarkWitness1M(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const n, alive, perKey = 1_000_000, 100, 64
	h := &history.History{Ops: make([]history.Op, n)}
	names, lists := []string{}, [][]int64{}
	fresh := func() int {
		names, lists = append(names, fmt.Sprintf("key-%d", len(names))), append(lists, make([]int64, 0, perKey))
		return len(names) - 1
	}
	var live [alive]int
	for i := range live {
		live[i] = fresh()
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		*op = history.Op{ID: i, Client: "c", Call: int64(i), Return: int64(i) + 9, Outcome: history.OK, TS: history.Timestamp{Wall: 1e18 + int64(i)*1000}, Actions: make([]history.Action, 3)}
		for j := range op.Actions {
			slot := r.IntN(alive)
			k := live[slot]
			if r.IntN(2) == 0 {
				op.Actions[j] = read(names[k], append([]int64(nil), lists[k]...)...)
				continue
			}
			lists[k] = append(lists[k], int64(len(lists[k])))
			op.Actions[j] = app(names[k], lists[k][len(lists[k])-1])
			if len(lists[k]) == perKey {
				live[slot] = fresh()
			}
		}
	}
	// Answers do not come in the order of timestamps.
	for i := 0; i+40 < n; i += 20 {
		r.Shuffle(40, func(x, y int) { h.Ops[i+x], h.Ops[i+y] = h.Ops[i+y], h.Ops[i+x] })
	}
	var u, v syscall.Rusage
	b.ReportAllocs()
	b.ResetTimer()
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	for i := 0; i < b.N; i++ {
		if v, _ := txn.Witness(h, txn.Options{}); v.Valid != checker.OK {
			b.Fatal(v)
		}
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &v)
	b.ReportMetric(float64(v.Utime.Nano()+v.Stime.Nano()-u.Utime.Nano()-u.Stime.Nano())/float64(b.N)/1e6, "cpu-ms/op")
}
