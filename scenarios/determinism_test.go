package scenarios

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"simulacrum/db/server"
)

// sample is one short run of each scenario.
func sample(t *testing.T) []*Resolved {
	t.Helper()
	var all []*Resolved
	for i, name := range List() {
		s := shortened(t, name)
		r, err := s.Resolve(uint64(11+i), server.Knobs(), server.Probes())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// shortened is a scenario cut to some seconds of faults, or whole if its plan does
// not fit into those.
func shortened(t *testing.T, name string) *Scenario {
	t.Helper()
	whole, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	short := *whole
	short.Faults.From, short.Faults.To = Duration(4*time.Second), Duration(12*time.Second)
	short.Duration, short.Checks.Liveness = Duration(14*time.Second), Duration(10*time.Second)
	if s, err := Parse(short.String()); err == nil {
		return s
	}
	return whole
}

// outcome is what must be the same each time: the trace, and each check's word.
func outcome(t *testing.T, r *Resolved) string {
	res, err := Run(r, Options{})
	if err != nil {
		t.Error(err)
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%016x after %d events, %d operations", res.Hash, res.Events, len(res.History.Ops))
	for _, v := range res.Verdicts {
		fmt.Fprintf(&b, ", %s %s", v.Check, v.Valid)
	}
	return b.String()
}

// A run is the same whatever else the process did before, does beside it, on how
// many threads, and however often memory is collected. Nothing of a run stays
// behind.
func TestSameRunWhateverTheHost(t *testing.T) {
	if testing.Short() {
		t.Skip("makes some forty runs")
	}
	runs := sample(t)
	goroutines := runtime.NumGoroutine()
	want := make([]string, len(runs))
	for i, r := range runs {
		want[i] = outcome(t, r)
	}
	heap := live()
	check := func(how string, i int) {
		if got := outcome(t, runs[i]); got != want[i] {
			t.Errorf("%s, seed %d, %s:\n%s\nfirst it was\n%s", runs[i].Scenario.Name, runs[i].Seed, how, got, want[i])
		}
	}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(runs)) {
		check("in another order", i)
	}

	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				check("side by side with others", i)
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	wg.Wait()

	before := runtime.GOMAXPROCS(1)
	for i := range runs {
		check("with GOMAXPROCS=1", i)
	}
	runtime.GOMAXPROCS(before)

	percent := debug.SetGCPercent(10)
	for i := range runs {
		check("with GOGC=10", i)
	}
	debug.SetGCPercent(percent)

	if now := settled(goroutines); now > goroutines {
		t.Errorf("%d goroutines before all runs, %d after", goroutines, now)
	}
	if now := live(); now > heap+heapSlack {
		t.Errorf("%d bytes were live after %d runs, %d after %d", heap, len(runs), now, 5*len(runs))
	}
}

// heapSlack is far below what one run holds, and above what the runtime keeps.
const heapSlack = 4 << 20

// live is the heap that a full collection leaves.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go at the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settled waits a little for goroutines that are about to end.
func settled(want int) int {
	n := runtime.NumGoroutine()
	for i := 0; i < 100 && n > want; i++ {
		time.Sleep(10 * time.Millisecond)
		n = runtime.NumGoroutine()
	}
	return n
}

// A pinned run is the run itself, once it has been written and read back; so is
// one that is stopped early, as far as it goes; and another future has the same
// past.
func TestPinnedCutAndForked(t *testing.T) {
	r, err := shortened(t, "default").Resolve(5, server.Knobs(), server.Probes())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Run(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r.Pin().String())
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := s.Resolve(r.Seed, server.Knobs(), server.Probes())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := outcome(t, pinned), outcome(t, r); got != want {
		t.Errorf("pinned:\n%s\ndrawn:\n%s", got, want)
	}
	agree := func(how string, c []uint64, least int) {
		n := 0
		for n < len(c) && n < len(whole.Checkpoints) && c[n] == whole.Checkpoints[n] {
			n++
		}
		if n < least {
			t.Errorf("%s: %d checkpoints agree with the whole run, want %d", how, n, least)
		}
	}
	cut, err := Run(r, Options{Until: whole.End / 2})
	if err != nil {
		t.Fatal(err)
	}
	agree("cut", cut.Checkpoints, len(cut.Checkpoints))
	at := whole.Events / 2
	forked, err := Run(r, Options{ForkAt: at, ForkSeed: 99})
	if err != nil {
		t.Fatal(err)
	}
	agree("forked", forked.Checkpoints, int(at)/4096)
	if forked.Hash == whole.Hash || forked.Findings != nil && whole.Findings == nil {
		t.Errorf("the fork ended as the whole run did, or broke: trace %016x, findings %v", forked.Hash, forked.Findings)
	}
	watched, err := Run(r, Options{Record: true})
	if err != nil {
		t.Fatal(err)
	}
	if watched.Hash != whole.Hash {
		t.Errorf("recording changed the run")
	}
}

// Clients are told the same, at the same moments, whether messages are handed over
// as they are or encoded and decoded: no receiver depends on the sender's memory,
// and no field is lost on the way.
func TestDecodingChangesNothing(t *testing.T) {
	for _, r := range sample(t) {
		var logs [2]string
		for i := range logs {
			q := *r
			q.Decode = i == 1
			res, err := Run(&q, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			fmt.Fprintln(&b, res.Events, "events")
			for j := range res.History.Ops {
				fmt.Fprintln(&b, &res.History.Ops[j])
			}
			logs[i] = b.String()
		}
		direct, decoded := strings.Split(logs[0], "\n"), strings.Split(logs[1], "\n")
		for j := range direct {
			if j >= len(decoded) || direct[j] != decoded[j] {
				t.Errorf("%s, seed %d: direct, of %d lines\n%s\ndecoded, of %d lines\n%s", r.Scenario.Name, r.Seed,
					len(direct), direct[j], len(decoded), decoded[min(j, len(decoded)-1)])
				break
			}
		}
	}
}
