package scenarios

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/server"
	"simulacrum/nemesis"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

var testProbes = []env.Probe{"append written, before sync", "lease applied"}

// knobsOfTests are some whose values matter here, those that any scenario sets, and forty
// of no meaning. Nothing assigns to it.
var knobsOfTests = func() []*env.Knob {
	knobs := []*env.Knob{
		{Name: "rpc.offset_check", Default: 1, Min: 0, Max: 1},
		{Name: "txn.heartbeat", Default: int64(time.Second), Min: int64(100 * time.Millisecond), Max: int64(time.Minute)},
		{Name: "lease.duration", Default: int64(6 * time.Second), Min: int64(2 * time.Second), Max: int64(20 * time.Second)},
	}
	set := map[string]int64{}
	for _, name := range List() {
		if s, err := Load(name); err == nil {
			maps.Copy(set, s.Knobs.Set)
		}
	}
	for _, k := range server.Knobs() {
		if _, ok := set[k.Name]; ok && !slices.ContainsFunc(knobs, func(o *env.Knob) bool { return o.Name == k.Name }) {
			knobs = append(knobs, k)
		}
	}
	for i := range 40 {
		knobs = append(knobs, &env.Knob{Name: fmt.Sprintf("test.k%02d", i), Default: 100, Min: 1, Max: 1 << 40})
	}
	return knobs
}()

func testKnobs() []*env.Knob { return knobsOfTests }

// Every scenario prints as a file that parses to it, by name and from disk.
func TestRoundTrip(t *testing.T) {
	entries, err := os.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range entries {
		want = append(want, strings.TrimSuffix(e.Name(), ".toml"))
	}
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
