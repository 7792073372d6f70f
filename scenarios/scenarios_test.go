package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/nemesis"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

var testProbes = []env.Probe{"append written, before sync", "lease applied"}

func testKnobs() []*env.Knob {
	knobs := []*env.Knob{
		{Name: "rpc.offset_check", Default: 1, Min: 0, Max: 1},
		{Name: "txn.heartbeat", Default: int64(time.Second), Min: int64(100 * time.Millisecond), Max: int64(time.Minute)},
		{Name: "range.max.bytes", Default: 512 << 20, Min: 256, Max: 1 << 40},
		{Name: "range.split.interval", Default: int64(time.Second), Min: int64(100 * time.Millisecond), Max: int64(time.Minute)},
		{Name: "allocator.interval", Max: int64(time.Hour)},
		{Name: "allocator.load.window", Default: int64(30 * time.Second), Min: int64(time.Second), Max: int64(time.Hour)},
		{Name: "replicagc.interval", Max: int64(24 * time.Hour)},
		{Name: "store.dead.after", Default: int64(5 * time.Minute), Min: int64(5 * time.Second), Max: int64(time.Hour)},
		{Name: "store.suspect.for", Default: int64(30 * time.Second), Max: int64(5 * time.Minute)},
		{Name: "server.publish", Default: int64(10 * time.Second), Min: int64(time.Second), Max: int64(time.Minute)},
		{Name: "placement.band.ranges.min", Default: 2, Min: 1, Max: 50},
		{Name: "lease.duration", Default: int64(6 * time.Second), Min: int64(2 * time.Second), Max: int64(20 * time.Second)},
		{Name: "lease.epoch", Default: 0, Min: 0, Max: 1},
		{Name: "liveness.expiry", Default: int64(6 * time.Second), Min: int64(2 * time.Second), Max: int64(30 * time.Second)},
	}
	for i := range 40 {
		knobs = append(knobs, &env.Knob{Name: fmt.Sprintf("test.k%02d", i), Default: 100, Min: 1, Max: 1 << 40})
	}
	return knobs
}

// Every scenario prints as a file that parses to it, by name and from disk.
func TestRoundTrip(t *testing.T) {
	want := []string{"add-node", "append", "az-failure", "az-failure-repaired", "bank", "calm", "clocks", "clocks-beyond-bounds", "clocks-within-bounds", "contention",
		"coordinator-crashes", "default", "disks", "epoch-leases", "g2", "lease-storm", "lose-node-briefly", "lose-node-forever", "long-fork", "monotonic", "moves", "overload", "partitions",
		"region-failure", "region-failure-repaired", "registers", "savepoints", "splits", "splits-and-merges", "strict"}
	slices.Sort(want)
	got := List()
	slices.Sort(got)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("listed %v", got)
	}
	for _, name := range List() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name || s.Doc == "" {
			t.Errorf("%s is called %q and says %q", name, s.Name, s.Doc)
		}
		path := filepath.Join(t.TempDir(), name+".toml")
		if err := os.WriteFile(path, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		back, err := Load(path)
		if err != nil {
			t.Fatalf("%v in\n%s", err, s)
		}
		if !reflect.DeepEqual(s, back) {
			t.Errorf("%s came back as\n%s", s, back)
		}
	}
	if _, err := Load("defaults"); err == nil || !strings.Contains(err.Error(), "az-failure") {
		t.Errorf("an unknown name: %v", err)
	}
}

// A seed resolves to one run; other seeds to others; a pinned run to itself under
// any probes; what a scenario expects of its budget is so.
func TestResolve(t *testing.T) {
	for _, name := range List() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		distinct, faults, perturbed := map[string]bool{}, 0, 0
		var available int64
		const seeds = 60
		for seed := range uint64(seeds) {
			r, err := s.Resolve(seed, testKnobs(), testProbes)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := s.Resolve(seed, testKnobs(), testProbes)
			if !reflect.DeepEqual(r, again) {
				t.Fatalf("%s: seed %d resolves to two runs", name, seed)
			}
			check(t, r)
			distinct[r.Plan.String()+fmt.Sprint(r.Offsets, r.Knobs)] = true
			faults += len(r.Plan.Faults)
			perturbed += len(r.Knobs)
			timed := &nemesis.Plan{}
			for _, f := range r.Plan.Faults {
				if f.At.Probe == "" {
					timed.Faults = append(timed.Faults, f)
				}
			}
			available += timed.Budget(r.Model()).Share(time.Duration(s.Faults.From), r.Healed) / seeds
		}
		if len(distinct) < seeds*9/10 && name != "region-failure" && name != "calm" {
			t.Errorf("%s: only %d distinct runs", name, len(distinct))
		}
		if s.Knobs.Perturb && perturbed < 20*seeds {
			t.Errorf("%s: only %d knobs a run differ", name, perturbed/seeds)
		}
		t.Logf("%s: %d faults a run, a quorum of everything for %s of the window", name, faults/seeds, Percent(available))
	}
}

// check holds one run against its scenario.
func check(t *testing.T, r *Resolved) {
	t.Helper()
	s := r.Scenario
	if len(r.Offsets) != len(r.Topology.All()) {
		t.Fatalf("%d clocks of %d nodes", len(r.Offsets), len(r.Topology.Nodes))
	}
	if !s.Faults.Beyond && !r.Budget.ClocksWithin {
		t.Errorf("%s, seed %d: clocks %v apart", s.Name, r.Seed, r.Budget.MaxSkew)
	}
	if s.Faults.Expect == "available" && r.Budget.Share(0, r.Healed) != 1_000_000 {
		t.Errorf("%s, seed %d is not available\n%s%s", s.Name, r.Seed, r.Plan, r.Budget)
	}
	if _, err := workloads.New(s.Workload.Name, r.Params); err != nil {
		t.Error(err)
	}
	if r.Duration < r.Healed+r.Liveness {
		t.Errorf("%s, seed %d: clients stop at %v, before liveness is judged", s.Name, r.Seed, r.Duration)
	}
	pinned := r.Pin()
	back, err := Parse(pinned.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, pinned)
	}
	again, err := back.Resolve(r.Seed, testKnobs(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Scenario = r.Scenario
	if !reflect.DeepEqual(again, r) {
		t.Fatalf("%s, seed %d: pinned as\n%s\nit became\n%+v\nnot\n%+v", s.Name, r.Seed, pinned, again, r)
	}
}

// A client that lives and says nothing keeps what it has locked until its session has been
// idle for too long: transactions may have to wait for that, and nobody else.
func TestLivenessAllowsForSilentClients(t *testing.T) {
	const name, usual, longer = "session.idle", 15 * time.Second, 10 * time.Second
	knobs := append(testKnobs(), &env.Knob{Name: name, Default: int64(usual), Min: int64(time.Second), Max: int64(time.Minute)})
	for scenario, more := range map[string]time.Duration{"append": longer, "calm": 0} {
		liveness := func(idle time.Duration) time.Duration {
			s, err := Load(scenario)
			if err != nil {
				t.Fatal(err)
			}
			s.Knobs.Set = map[string]int64{name: int64(idle)}
			r, err := s.Resolve(1, knobs, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r.Liveness
		}
		if got := liveness(usual+longer) - liveness(usual); got != more || liveness(time.Second) != liveness(usual) {
			t.Errorf("%s: the bound is widened by %v, not by %v", scenario, got, more)
		}
	}
}

// TestGolden holds the claims in testdata.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s, err := Parse(d.Input)
			if err != nil {
				return err.Error() + "\n"
			}
			if d.Cmd == "resolve" {
				r, err := s.Resolve(1, testKnobs(), testProbes)
				if err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%+v\n%+v\n", r.Topology, r.Knobs)
			}
			return s.String()
		})
	})
}

// Whatever the text, it is a scenario that prints and parses back, or an error.
func FuzzParse(f *testing.F) {
	for _, name := range List() {
		text, err := files.ReadFile("files/" + name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10_000 {
			return
		}
		s, err := Parse(text)
		if err != nil {
			return
		}
		back, err := Parse(s.String())
		if err != nil || !reflect.DeepEqual(s, back) {
			t.Fatalf("%v\n%s\n%+v\n%+v", err, s, s, back)
		}
	})
}
