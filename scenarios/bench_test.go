package scenarios

import (
	"runtime"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/db/server"
	"simulacrum/internal/cputime"
	"simulacrum/sim"
)

// BenchmarkFaultless is the topology of the scenario default and its thirty clients
// with nothing going wrong: simulation alone, from the moment when all work.
func BenchmarkFaultless(b *testing.B) {
	x := prepared(b, "default", 1, func(s *Scenario) {
		quiet(s)
		s.Checks.Invariants = false
	})
	defer x.sim.Close()
	x.sim.RunUntil(sim.Time(20 * time.Second))
	events := x.sim.Events()
	b.ReportAllocs()
	b.ResetTimer()
	start := cputime.Used()
	for range b.N {
		x.sim.RunUntil(x.sim.Now().Add(time.Second))
	}
	used := cputime.Used() - start
	b.ReportMetric(float64(x.sim.Events()-events)/float64(b.N), "events/op")
	b.ReportMetric(float64(b.N)/used.Seconds(), "sim-s/cpu-s")
}

// BenchmarkDefaultRun is a whole run of the scenario default, faults and checks
// included, over the first seeds in turn.
func BenchmarkDefaultRun(b *testing.B) {
	b.ReportAllocs()
	var checks time.Duration
	start := cputime.Used()
	for i := range b.N {
		_, took := wholeRun(b, prepared(b, "default", uint64(i%8)+1, nil))
		checks += took
	}
	b.ReportMetric(float64((cputime.Used()-start).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(checks.Milliseconds())/float64(b.N), "check-ms/op")
}

// BenchmarkClosedLoop is thirty clients without think time in one region of three
// nodes, for ten simulated seconds, with all checks: checked operations a
// second of processor time.
func BenchmarkClosedLoop(b *testing.B) {
	b.ReportAllocs()
	ops, checks := 0, time.Duration(0)
	start := cputime.Used()
	for range b.N {
		x := prepared(b, "default", 1, closedLoop)
		n, took := wholeRun(b, x)
		ops += n
		checks += took
	}
	b.ReportMetric(float64(ops)/(cputime.Used()-start).Seconds(), "ops/cpu-s")
	b.ReportMetric(float64(ops)/float64(b.N), "ops/op")
	b.ReportMetric(float64(checks.Milliseconds())/float64(b.N), "check-ms/op")
}

// quiet takes everything away that may go wrong.
func quiet(s *Scenario) {
	s.Faults = Faults{Strength: 3, Expect: "available"}
	s.Knobs = Knobs{}
}

func closedLoop(s *Scenario) {
	quiet(s)
	s.Topology.Regions = []Region{{Name: "us-east", Zones: []string{"a", "b", "c"}, Nodes: 1, Clients: 30}}
	s.Workload.Think = 0
	s.Duration = Duration(10 * time.Second)
	s.Checks.Liveness = Duration(10 * time.Second)
}

// BenchmarkCheckedTransactions are transactions of one to five reads and writes, three on
// average, in conversation: thirty clients without think time in one region of three
// nodes, for ten simulated seconds, with all checks. txns/cpu-s are those that committed, a
// second of processor time.
func BenchmarkCheckedTransactions(b *testing.B) {
	b.ReportAllocs()
	txns, ops := 0, 0
	var checks time.Duration
	start := cputime.Used()
	for range b.N {
		n, of, took := checkedTransactions(b, prepared(b, "registers", 1, transactionLoop))
		txns, ops, checks = txns+n, ops+of, checks+took
	}
	b.ReportMetric(float64(txns)/(cputime.Used()-start).Seconds(), "txns/cpu-s")
	b.ReportMetric(float64(txns)/float64(b.N), "txns/op")
	b.ReportMetric(float64(ops)/float64(txns), "ops/txn")
	b.ReportMetric(float64(checks.Milliseconds())/float64(b.N), "check-ms/op")
}

func transactionLoop(s *Scenario) {
	closedLoop(s)
	s.Workload.Keys, s.Workload.Hot, s.Workload.HotPercent = 600, -1, 0
	s.Workload.Txn = Txn{Ops: 5, Read: 50, Write: 50, PerKey: 48}
}

// checkedTransactions works a run off and judges it: how many transactions have
// committed, of how many operations, and how long judging took.
func checkedTransactions(tb testing.TB, x *run) (txns, ops int, checks time.Duration) {
	x.work()
	x.finish()
	x.runner.Close()
	start := cputime.Used()
	r := x.result()
	x.sim.Close()
	for _, v := range r.Verdicts {
		if v.Valid != checker.OK {
			tb.Fatalf("%s: %s", v.Check, v.Summary)
		}
	}
	for i := range r.History.Ops {
		if o := &r.History.Ops[i]; o.Outcome == history.OK {
			txns++
			ops += len(o.Actions)
		}
	}
	return txns, ops, cputime.Used() - start
}

// BenchmarkSideBySide is two whole runs, one after the other and then at the same
// time on two processors. speedup is what the second processor brings.
func BenchmarkSideBySide(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var alone, together time.Duration
	b.ResetTimer()
	for range b.N {
		runtime.GOMAXPROCS(1)
		start := time.Now()
		for seed := range uint64(2) {
			wholeRun(b, prepared(b, "default", seed+1, nil))
		}
		alone += time.Since(start)
		runtime.GOMAXPROCS(2)
		start = time.Now()
		done := make(chan struct{})
		for seed := range uint64(2) {
			go func() {
				wholeRun(b, prepared(b, "default", seed+1, nil))
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		together += time.Since(start)
	}
	b.ReportMetric(float64(alone)/float64(together), "speedup")
}

// prepared is a run that is laid out, of a scenario that change may have changed.
func prepared(tb testing.TB, name string, seed uint64, change func(*Scenario)) *run {
	s, err := Load(name)
	if err != nil {
		tb.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	r, err := s.Resolve(seed, server.Knobs(), server.Probes())
	if err != nil {
		tb.Fatal(err)
	}
	x, err := layOut(r, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// wholeRun works a run off and judges it: how many operations had an answer, and
// how long judging took.
func wholeRun(tb testing.TB, x *run) (ops int, checks time.Duration) {
	x.work()
	x.finish()
	x.runner.Close()
	start := time.Now()
	r := x.result()
	x.sim.Close()
	for i := range r.History.Ops {
		if r.History.Ops[i].Outcome == history.OK {
			ops++
		}
	}
	return ops, time.Since(start)
}
