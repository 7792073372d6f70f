package graph_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
)

// serialLists is a legal history as the workload makes them: clients in flight at
// once, three actions a transaction, keys that are given up after so many appends.
// What each read returns is memory of its own, as it is from a database.
func serialLists(n, clients, alive, perKey int) *history.History {
	r := rand.New(rand.NewPCG(7, 7))
	h := &history.History{Ops: make([]history.Op, 0, n)}
	names := make([]string, 0)
	lists := make([][]int64, 0)
	fresh := func() int {
		names = append(names, fmt.Sprintf("key-%d", len(names)))
		lists = append(lists, nil)
		return len(names) - 1
	}
	live := make([]int, alive)
	for i := range live {
		live[i] = fresh()
	}
	client := make([]string, clients)
	for i := range client {
		client[i] = fmt.Sprint("c", i)
	}
	for i := 0; i < n; i++ {
		// Each takes effect at 10·i, is called before and answered after.
		at := int64(i) * 10
		op := history.Op{ID: i, Client: client[i%clients], Gateway: "n1", Call: at - int64(clients*2), Return: at + r.Int64N(int64(clients)*7), Outcome: history.OK, TS: history.Timestamp{Wall: at + 1}}
		op.Actions = make([]history.Action, 3)
		for j := range op.Actions {
			slot := r.IntN(alive)
			k := live[slot]
			a := &op.Actions[j]
			a.Key = names[k]
			if r.IntN(2) == 0 {
				a.F, a.Result = history.Read, history.List(append([]int64(nil), lists[k]...)...)
				continue
			}
			a.F, a.Arg = history.Append, history.Int(int64(len(lists[k])+1))
			lists[k] = append(lists[k], int64(len(lists[k])+1))
			if len(lists[k]) == perKey {
				live[slot] = fresh()
			}
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

// The promise: a million transactions on lists in under 2 s and 1 GB on one core.
func BenchmarkListAppend1M(b *testing.B) {
	benchLists(b, 1_000_000, graph.Options{})
}

// The same, counting the causal reverse as well.
func BenchmarkListAppend1MCausal(b *testing.B) {
	benchLists(b, 1_000_000, graph.Options{CausalReverse: true})
}

func BenchmarkListAppend100k(b *testing.B) {
	benchLists(b, 100_000, graph.Options{})
}

func benchLists(b *testing.B, n int, o graph.Options) {
	h := serialLists(n, 30, 100, 64)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	for i := 0; i < b.N; i++ {
		if r := graph.ListAppend(h, o); r.Verdict.Valid != checker.OK {
			b.Fatal(r.Verdict)
		}
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/1e6, "cpu-ms/op")
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/1e6, "MB/op")
	runtime.KeepAlive(h)
}

// cpuTime is what this process has used of its cores: on a shared machine the wall
// clock measures the neighbours.
func cpuTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// Registers: a million transactions of three actions, without and with the order
// of versions from the store.
func BenchmarkRegisters1M(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	const n, clients, keys = 1_000_000, 30, 2000
	h := &history.History{Ops: make([]history.Op, n)}
	var versions []checker.Version
	now := make([]int64, keys)
	names := make([]string, keys)
	for k := range names {
		names[k] = fmt.Sprintf("key-%d", k)
	}
	for i := range h.Ops {
		at := int64(i) * 10
		op := &h.Ops[i]
		*op = history.Op{ID: i, Client: names[i%clients], Gateway: "n1", Call: at - clients*2, Return: at + r.Int64N(clients*7), Outcome: history.OK, TS: history.Timestamp{Wall: at + 1}, Actions: make([]history.Action, 3)}
		for j := range op.Actions {
			k := r.IntN(keys)
			a := &op.Actions[j]
			*a = history.Action{F: history.Read, Key: names[k], Result: history.Int(now[k])}
			if now[k] == 0 {
				a.Result = history.NoKey()
			}
			if r.IntN(2) == 0 && (j == 0 || op.Actions[j-1].Key != a.Key) && (j < 2 || op.Actions[0].Key != a.Key) {
				now[k] = int64(4*i + j + 1)
				*a = history.Action{F: history.Write, Key: names[k], Arg: history.Int(now[k])}
				versions = append(versions, checker.Version{Key: names[k], TS: op.TS, Value: a.Arg})
			}
		}
	}
	for _, c := range []struct {
		name string
		o    graph.Options
	}{{"values", graph.Options{}}, {"versions", graph.Options{Versions: versions}}} {
		b.Run(c.name, func(b *testing.B) {
			cpu := cpuTime()
			for i := 0; i < b.N; i++ {
				if r := graph.Registers(h, c.o); r.Verdict.Valid != checker.OK {
					b.Fatal(r.Verdict)
				}
			}
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}
