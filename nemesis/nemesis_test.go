package nemesis

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"simulacrum/sim/env"
)

var ms = time.Millisecond

func bounds(topo Topology) Bounds {
	b := Bounds{From: 5 * time.Second, To: 60 * time.Second, Strength: 3, Lease: 6 * time.Second, Election: 2 * time.Second,
		Probes: []env.Probe{"append written, before sync", "lease applied"},
		Model: Model{Topology: topo, Groups: Spread(topo, 3), MaxOffset: 500 * ms, Grace: 10 * time.Second,
			Offsets: []time.Duration{0, 240 * ms, -240 * ms}}}
	for f := range NumFamilies {
		b.Families = append(b.Families, f)
	}
	return b
}

// drawFault draws any fault that is valid.
func drawFault(t *rapid.T) Fault {
	duration := rapid.OneOf(rapid.Map(rapid.Int64Range(1, 100_000), func(n int64) time.Duration { return time.Duration(n) * ms }),
		rapid.Map(rapid.Int64Range(1, int64(time.Hour)), func(n int64) time.Duration { return time.Duration(n) }))
	name := rapid.SampledFrom([]string{"n1", "n2", "c3", "region:us-east", "zone:us-east/a", "all"})
	f := Fault{Kind: Kind(rapid.IntRange(0, int(numKinds)-1).Draw(t, "kind")), Times: 1}
	k := kinds[f.Kind]
	f.At.T = duration.Draw(t, "at") - 1
	if rapid.Bool().Draw(t, "probe") {
		f.At = Trigger{Probe: env.Probe(rapid.StringN(1, 20, -1).Draw(t, "name")), Node: rapid.SampledFrom([]string{"n1", Any}).Draw(t, "node"), Nth: rapid.Int64Range(1, 1<<40).Draw(t, "nth")}
	}
	if k.asks {
		name = rapid.SampledFrom([]string{"r1", "r12", "n2", "region:us-east", "zone:us-east/a", "all"})
	}
	if !k.lasting && rapid.Bool().Draw(t, "repeats") {
		f.Times, f.Every = rapid.IntRange(2, 100).Draw(t, "times"), duration.Draw(t, "every")
	}
	least, groups := 1, rapid.IntRange(k.min, min(k.max, 5)).Draw(t, "groups")
	if f.Kind == Partition {
		f.Shape = Shape(rapid.IntRange(1, int(numShapes)-1).Draw(t, "shape"))
		groups = map[Shape]int{Halves: 2 + groups%3, MajorityRing: 4 + groups, Bridge: 3, OneWay: 2, Isolate: 1, Partial: groups}[f.Shape]
		least = 2
	}
	for range groups {
		f.Who = append(f.Who, rapid.SliceOfN(name, least, 4).Draw(t, "who"))
	}
	if leaves := f.Kind == AddNode || f.Kind == Decommission || f.Kind == ReplaceNode || f.Kind == LoseDisk; f.At.Node == Any && groups == 1 &&
		(f.Shape == NoShape || f.Shape == Isolate) && !leaves && rapid.Bool().Draw(t, "hits any") {
		f.Who = [][]string{{Any}}
	}
	if k.lasting && rapid.Bool().Draw(t, "lasts") {
		f.For = duration.Draw(t, "for")
		if rapid.Bool().Draw(t, "repeats") {
			f.Times, f.Every = rapid.IntRange(2, 100).Draw(t, "times"), f.For+duration.Draw(t, "gap")
		}
	}
	values := map[string][]string{"mode": {"hold", "drop"}, "stagger": {"1ms"}, "factor": {"7"}, "rate": {"0.0001%", "100%", "12.5%"},
		"by": {"-3.000001s", "450ms"}, "ppm": {"-900000", "12"}, "to": {"n5", "n-x"}, "period": {"1ns"}, "loss": {"3%"}, "dup": {"99.99%"}, "reorder": {"1%"},
		"corrupt": {"0.01%"}, "delay": {"20ms"}, "jitter": {"1h0m0s"}, "bandwidth": {"64kB/s", "3MB/s", "17B/s"}}
	for i, name := range strings.Fields(k.params) {
		if strings.Contains(k.needs, name) || f.Kind == Degrade && i == 0 || rapid.Bool().Draw(t, name) {
			for _, p := range params {
				if p.name == name {
					if err := p.set(&f, rapid.SampledFrom(values[name]).Draw(t, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	return f
}

// Every fault prints and parses back to itself.
func TestFaultRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFault(t)
		if err := f.Validate(); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		back, err := Parse(f.String())
		if err != nil || !reflect.DeepEqual(f, back) {
			t.Fatalf("%s\nparsed as\n%s\n%v\n%+v\n%+v", f, back, err, f, back)
		}
		p, err := ParsePlan(f.String() + " # as drawn\n# and no more\n")
		if err != nil || len(p.Faults) != 1 || !reflect.DeepEqual(p.Faults[0], f) {
			t.Fatalf("%s in a plan: %v", f, err)
		}
	})
}

// Whatever the text, a plan parses or is refused with a line number, and what
// parses prints back to itself.
func FuzzParsePlan(f *testing.F) {
	f.Add("at T+12.500s partition halves n1,n2|n3 for 4s mode=hold\n# c\nat probe \"a # b\" n3 #4 crash for 2s")
	f.Add("at T+0s degrade all loss=2.5% bandwidth=64kB/s times=3 every=2s for 1s")
	f.Add("at T+3s lease-transfer r3,r12 to=n5 times=20 every=200ms\nat probe \"x\" n3 #4 leader-transfer\nat T+4s truncate-log all")
	f.Add("at T+5s stop all for 1s stagger=4s")
	f.Add("at probe \"x\" any #4 crash for 500ms times=6 every=2s\nat probe \"x\" any #4 partition isolate any for 1s")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlan(text)
		if err != nil {
			var line *LineError
			if !errors.As(err, &line) || line.Line < 1 {
				t.Fatalf("no line number: %v", err)
			}
			return
		}
		back, err := ParsePlan(p.String())
		if err != nil || !reflect.DeepEqual(p, back) {
			t.Fatalf("%q became\n%s\n%v", text, p, err)
		}
	})
}

// TestGolden holds the claims in testdata, each of which opens with its own words.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p, err := ParsePlan(d.Input)
			if err != nil {
				return err.Error() + "\n"
			}
			topo := nine()
			if d.HasArg("spares") {
				topo = twelve()
			}
			if i, err := p.Check(topo); err != nil {
				return fmt.Sprintf("fault %d: %v\n", i+1, err)
			}
			switch d.Cmd {
			case "parse":
				return p.String()
			case "budget":
				b := bounds(topo)
				b.Model.End = 60 * time.Second
				if d.HasArg("groups") {
					b.Model.Groups = [][]string{{"n1", "n4", "n7"}}
				}
				if d.HasArg("repair") {
					b.Model.Replicas, b.Model.Repair = 3, 10*time.Second
				}
				return p.Budget(b.Model).String()
			case "leaves":
				m := bounds(topo).Model
				m.Replicas = 3
				return cmp.Or(p.leaves(m), "nothing that must stay") + "\n"
			case "run":
				w := &world{}
				target := newTarget(w, topo)
				target.gone = goneBy(p, topo)
				r := Run(w, target, p, Options{End: 30 * time.Second})
				for _, a := range d.CmdArgs {
					if a.Key == "visits" {
						for range 4 {
							w.runUntil(w.now + time.Second)
							target.probe("n3", "lease applied")
						}
					}
					if a.Key == "reach" {
						for _, name := range a.Vals {
							w.runUntil(w.now + time.Second)
							target.probe(name, "lease applied")
						}
					}
				}
				w.runUntil(40 * time.Second)
				for _, rep := range r.Reports() {
					target.lines = append(target.lines, rep.String())
				}
				target.lines = append(target.lines, target.trouble()...)
				return strings.Join(target.lines, "\n") + "\n"
			}
			return "unknown command"
		})
	})
}

// A seed draws one plan, whatever was drawn before it; over 1,000 seeds every
// family and every kind occurs, at probes as well, and all bounds are kept.
func TestSwarm(t *testing.T) {
	count := map[string]int{}
	for seed := range uint64(1000) {
		topo := nine()
		if seed%2 == 0 {
			topo = twelve()
		}
		b := bounds(topo)
		b.Model.Replicas, b.Model.Repair = 3, 20*time.Second
		switch seed % 4 {
		case 1:
			b.MaxDown, b.MaxActive, b.MinAvailable = 1, 4, 600_000
		case 2:
			b.BeyondMaxOffset = true
		}
		p := Swarm(stream(seed), b)
		if again := Swarm(stream(seed), b); again.String() != p.String() {
			t.Fatalf("seed %d drew\n%sand then\n%s", seed, p, again)
		}
		back, err := ParsePlan(p.String())
		if err != nil || !reflect.DeepEqual(back.Faults, p.Faults) {
			t.Fatalf("seed %d: %v\n%s", seed, err, p)
		}
		if _, err := p.Check(topo); err != nil {
			t.Fatal(err)
		}
		m := b.Model
		m.End = b.To
		budget := p.Budget(m)
		if !b.BeyondMaxOffset && !budget.ClocksWithin {
			t.Fatalf("seed %d: clocks %v apart\n%s", seed, budget.MaxSkew, p)
		}
		if down, _ := p.peak(m); b.MaxDown > 0 && down > b.MaxDown {
			t.Fatalf("seed %d: %d down\n%s", seed, down, p)
		}
		if bad := p.leaves(m); bad != "" {
			t.Fatalf("seed %d: %s\n%s", seed, bad, p)
		}
		if !budget.ClocksWithin {
			count["clocks beyond"]++
		}
		if len(p.Faults) == 0 {
			count["empty"]++
		}
		halfway := 0
		for _, f := range p.Faults {
			count[f.Kind.String()]++
			count[f.Shape.String()]++
			if strings.Contains(string(f.At.Probe), ", before ") {
				halfway++
			}
			if f.At.Node == Any {
				count["any"]++
				if f.Times > 1 {
					count["any, again and again"]++
				}
			}
			if f.At.Probe != "" && f.Kind == Partition {
				count["partition at probe"]++
			}
			if f.At.Probe != "" {
				count["probe"]++
			} else if f.At.T < b.From || f.end(b.To) > b.To {
				t.Fatalf("seed %d: outside of the window: %s", seed, f)
			}
			if strings.HasPrefix(f.Who[0][0], "c") {
				count["clients"]++
			}
			if f.Times > 1 {
				count["repeated"]++
			}
			if f.Stagger > 0 {
				count["staggered"]++
			}
			if f.Kind == CleanStop && f.Stagger > 0 {
				count["rolling restart"]++
			}
			if f.Kind.Family() == Ranges && f.Times > 10 {
				count["storm"]++
			}
			if f.Kind.Family() == Ranges && f.At.Probe != "" {
				count["range at probe"]++
			}
			if f.To != "" {
				count["to"]++
			}
		}
		if halfway > b.Strength+1 { // more than come of waiting for any point
			count["crossroads"]++
		}
	}
	want := []string{"probe", "clients", "repeated", "staggered", "clocks beyond", "rolling restart", "storm", "range at probe", "to", "partition at probe", "crossroads", "any", "any, again and again"}
	for _, k := range Kinds() {
		want = append(want, k.String())
	}
	for s := Halves; s < numShapes; s++ {
		want = append(want, s.String())
	}
	for _, w := range want {
		if count[w] < 10 {
			t.Errorf("%s: only %d in 1000 seeds", w, count[w])
		}
	}
	if count["empty"] > 20 {
		t.Errorf("%d of 1000 plans are empty", count["empty"])
	}
	t.Log(count)
}

// After the window of any plan everything is as it was, every process lives, and
// each fault that began has a report; those that did nothing say why.
func TestRunnerHealsEverything(t *testing.T) {
	for seed := range uint64(300) {
		topo := twelve()
		b := bounds(topo)
		b.BeyondMaxOffset = true
		p := Swarm(stream(seed), b)
		w := &world{}
		target := newTarget(w, topo)
		target.gone = goneBy(p, topo)
		r := Run(w, target, p, Options{End: b.To})
		rng := stream(seed + 1000)
		for w.now < b.To {
			w.runUntil(w.now + time.Duration(rng.IntN(1000))*ms)
			if target.probe != nil {
				target.probe(pick(rng, topo.Nodes).Name, pick(rng, b.Probes))
			}
			if rng.IntN(20) == 0 {
				target.dead[pick(rng, topo.Nodes).Name] = true // it died of itself
			}
		}
		w.runUntil(b.To + 5*time.Second)
		if bad := target.trouble(); len(bad) > 0 {
			t.Fatalf("seed %d: not healed: %q\n%s\n%s", seed, bad, p, strings.Join(target.lines, "\n"))
		}
		reports := r.Reports()
		if len(reports) != len(p.Faults) {
			t.Fatalf("%d reports of %d faults", len(reports), len(p.Faults))
		}
		for _, rep := range reports {
			if (rep.Count == 0) != (rep.Nothing != "") {
				t.Fatalf("seed %d: %+v", seed, rep)
			}
		}
		if i, err := Happened(reports).Check(topo); err != nil {
			t.Fatal(i, err)
		}
	}
}

// Clocks that are stopped and drift at the same time are off by what the faults in force
// explain, and by nothing once they have healed; and a clock stands for as long as any
// fault says that it does.
func TestBentClocksOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Plan{}
		for range rapid.IntRange(1, 5).Draw(t, "faults") {
			f := Fault{Kind: rapid.SampledFrom([]Kind{ClockFreeze, ClockDrift}).Draw(t, "kind"), Times: 1, Who: [][]string{{"n1"}},
				At: Trigger{T: time.Duration(rapid.IntRange(0, 20).Draw(t, "at")) * time.Second}, For: time.Duration(rapid.IntRange(1, 20).Draw(t, "for")) * time.Second}
			if f.Kind == ClockDrift {
				f.PPM = rapid.SampledFrom([]int64{-900_000, -200, 5_000, 100_000}).Draw(t, "ppm")
			}
			p.Faults = append(p.Faults, f)
		}
		w := &world{}
		target := newTarget(w, nine())
		Run(w, target, p, Options{End: time.Minute})
		for at := 500 * ms; at < 45*time.Second; at += time.Second {
			w.runUntil(at)
			var lo, hi time.Duration
			stands := false
			for _, f := range p.Faults {
				if since := at - f.At.T; since >= 0 && since < f.For {
					a, b := force{Fault: f, from: f.At.T, to: at}.moves()
					lo, hi = lo+a, hi+b
					stands = stands || f.Kind == ClockFreeze
				}
			}
			off := target.ClockOffset("n1")
			if off < lo || off > hi {
				t.Fatalf("at %v the clock is off by %v, and not between %v and %v:\n%s", at, off, lo, hi, p)
			}
			if target.stand["n1"] != stands {
				t.Fatalf("at %v the clock stands: %v, and should: %v:\n%s", at, target.stand["n1"], stands, p)
			}
		}
	})
}

// goneBy are the nodes that a plan leaves without a disk.
func goneBy(p *Plan, topo Topology) []string {
	var all []string
	for _, f := range p.Faults {
		if f.Kind == LoseDisk {
			all = append(all, f.Targets(topo)...)
		}
	}
	return all
}

// Copies of a range are spread as far as the topology allows, and large
// topologies are sampled rather than enumerated.
func TestSpread(t *testing.T) {
	if n := len(Spread(nine(), 3)); n != 27 {
		t.Errorf("%d sets of one node in each of three regions of three", n)
	}
	if n := len(Spread(nine(), 5)); n != 3*(3*3*3) { // two, two and one of each three
		t.Errorf("%d sets of five", n)
	}
	var large Topology
	for i := range 90 {
		large.Nodes = append(large.Nodes, Place{fmt.Sprintf("n%d", i+1), fmt.Sprintf("r%d", i%3), fmt.Sprintf("z%d", i/3%5)})
	}
	sets := Spread(large, 5)
	if len(sets) < 500 || len(sets) > 1000 || !reflect.DeepEqual(sets, Spread(large, 5)) {
		t.Errorf("%d sets of 5 of 90", len(sets))
	}
}

// What happened at probes is known afterwards: each time is a fault of its own, at its moment,
// on whom it hit, and the budget of it is that of a plan which had named them.
func TestHappenedAtProbes(t *testing.T) {
	p, err := ParsePlan(`
		at T+20s crash n4 for 1s times=2 every=2s
		at probe "lease applied" any #2 crash for 500ms times=3 every=2s
		at probe "lease applied" n2 #9 crash for 1s`)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	target := newTarget(w, nine())
	r := Run(w, target, p, Options{End: time.Minute})
	for i, name := range []string{"n3", "n1", "n2", "n4"} {
		w.runUntil(time.Duration(i+1) * time.Second)
		target.probe(name, "lease applied")
	}
	w.runUntil(time.Minute)
	const want = "at T+2.000s crash n1 for 500ms\nat T+4.000s crash n4 for 500ms\nat T+20.000s crash n4 for 1s times=2 every=2s\n"
	if got := Happened(r.Reports()).String(); got != want {
		t.Errorf("happened:\n%swant:\n%s", got, want)
	}
}

// A plan says when it pauses which client, each time; pauses of nodes, and what else
// happens to clients, are not among them.
func TestPaused(t *testing.T) {
	p, err := ParsePlan(`
		at T+5s pause c1,n2 for 2s times=2 every=4s
		at T+6s crash c2 for 1s
		at T+8s pause c2,c3 for 1s
		at T+58s pause c3 for 9s`)
	if err != nil {
		t.Fatal(err)
	}
	span := func(from, to time.Duration) Span { return Span{From: from * time.Second, To: to * time.Second} }
	want := map[string][]Span{"c1": {span(5, 7), span(9, 11)}, "c2": {span(8, 9)}, "c3": {span(8, 9), span(58, 60)}}
	if got := p.Paused(Model{Topology: nine(), End: time.Minute}); !reflect.DeepEqual(got, want) {
		t.Errorf("paused %v, want %v", got, want)
	}
}
