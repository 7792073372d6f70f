package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// fake is a runner whose runs end by seed: in scenario "mixed" the last digit
// decides, in "calm" all is well.
type fake struct {
	mu   sync.Mutex
	runs map[string]int // by scenario and seed
	made int
}

func (f *fake) Scenarios() []string { return []string{"calm", "mixed"} }

func (f *fake) Catalog() []section {
	return []section{
		{"scenarios", []entry{{"calm", "nothing happens"}, {"mixed", "ends by the seed's last digit"}}},
		{"faults", []entry{{"crash", "a process dies, unsynced data with it"}}},
	}
}

func (f *fake) Check(q request) error {
	switch {
	case strings.HasSuffix(q.Scenario, ".toml"):
		return &usageError{File: q.Scenario, Line: 7, What: `unknown fault "crush"`, Remedy: "simulate -list names the faults"}
	case q.Scenario != "calm" && q.Scenario != "mixed":
		return &usageError{What: "no scenario " + q.Scenario, Remedy: "simulate -list names them; a file ends in .toml"}
	case q.Plan != "":
		return &usageError{File: q.Plan, Line: 2, What: "a plan needs a time first", Remedy: `write "12.5s crash n3"`}
	}
	return nil
}

func (f *fake) Run(q request) (*result, error) {
	f.mu.Lock()
	key := fmt.Sprint(q.Scenario, q.Seed)
	f.runs[key]++
	f.made++
	again := f.runs[key]
	f.mu.Unlock()
	r := &result{
		Topology:   "3 nodes in one region",
		Events:     9000 + q.Seed,
		Virtual:    int64(60 * time.Second),
		Wall:       int64(500 * time.Millisecond),
		Trace:      fmt.Sprintf("%016x", 0xabc000+q.Seed),
		Operations: []opCount{{"read", 120, 3, 0}, {"write", 80, 1, 7}},
		Verdicts:   []verdict{{Check: "linearizable", Verdict: wordOK, Summary: "16 keys"}, {Check: "progress", Verdict: wordOK, Liveness: true}},
		Unreached:  []string{"lease expired under a request"},
		Spacing:    4096, Checkpoints: []uint64{1, 2},
	}
	if q.Why > 0 && q.Why < r.Events {
		r.Why = []string{"T+1s event 3 (by 0) n1: boot", fmt.Sprintf("T+2s event %d (by 3) n1: tick", q.Why)}
	}
	if q.Scenario != "mixed" {
		return r, nil
	}
	r.Faults = []faultCount{{"12.5s crash n3", 1, "processes"}, {"20s partition n1 | n2 n3", 240, "messages dropped"}, {"30s clock n2 +1ms", 0, ""}}
	r.Ranges = []eventCount{{"splits", int64(q.Seed)}, {"merges", 0}}
	return f.spoil(r, q, again)
}

// spoil makes the run end as its seed's last digit says.
func (f *fake) spoil(r *result, q request, again int) (*result, error) {
	switch q.Seed % 10 {
	case 1:
		r.Verdicts[0] = verdict{Check: "linearizable", Verdict: wordViolation, Summary: "key x: a read missed an acknowledged write", Details: []string{"w(x,1) returned at 1s\nr(x)=0 was called at 2s"}}
	case 2:
		r.Verdicts[1].Verdict = wordViolation
	case 3:
		r.Verdicts[0].Verdict = wordUnknown
	case 4:
		r.Verdicts[0].Verdict, r.Verdicts[0].Summary = wordVacuous, "no write succeeded"
	case 5:
		return nil, errors.New("the cluster would not start")
	case 6:
		panic("index out of range")
	case 7: // not deterministic from its second checkpoint on
		r.Trace = fmt.Sprintf("%016x", again)
		r.Checkpoints[1] = uint64(again)
		if q.Record != nil {
			r.Recorded = []event{{q.Record.From, 5, "T+9s event 4096 n1: tick"}, {q.Record.From + 1, uint64(again), fmt.Sprintf("T+9s event 4097 n%d: send", again%2+1)}}
		}
	}
	return r, nil
}

// at is a command with a fake runner and a clock that stands still.
func newApp(t *testing.T) (*app, *fake, *bytes.Buffer, *bytes.Buffer) {
	f := &fake{runs: map[string]int{}}
	var out, errs bytes.Buffer
	return &app{runner: f, stdout: &out, stderr: &errs,
		now:   func() time.Time { return time.Unix(0, 0) },
		build: func() (string, error) { return "0123456789ab", nil },
	}, f, &out, &errs
}

// brief leaves the paragraphs out that do not belong to the claim of a golden.
func brief(text string) string {
	var kept []string
	for _, p := range strings.Split(text, "\n\n") {
		switch head, _, _ := strings.Cut(strings.TrimSpace(p), "\n"); {
		case head == "topology", head == "faults", head == "faults that did nothing", head == "probes never reached",
			strings.HasPrefix(head, "operations"):
		default:
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "\n\n")
}

// Goldens of what the command prints. Each file opens with its claim; each case
// runs the command with a fake runner in a folder of its own.
func TestOutput(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			a, _, out, errs := newApp(t)
			code := a.run(append(strings.Fields(d.Input), "-out", t.TempDir()))
			text := strings.TrimRight(out.String(), "\n")
			if i := strings.Index(text, "goroutine "); i >= 0 { // a stack names addresses
				j := strings.Index(text[i:], "\n\n")
				text = text[:i] + "(stack)" + text[i+j:]
			}
			if d.Cmd == "brief" {
				text = brief(text)
			}
			if text != "" {
				text += "\n"
			}
			if errs.Len() > 0 {
				text += "stderr: " + errs.String()
			}
			return strings.ReplaceAll(fmt.Sprintf("%sexit code %d\n", text, code), "\n\n", "\n \n")
		})
	})
}

// A sweep gives the same summary whatever the order and the number of workers.
func TestSweepOrderDoesNotMatter(t *testing.T) {
	var first string
	for _, flags := range []string{"-jobs 1", "-jobs 4", "-shuffle 3", "-shuffle 4 -jobs 7"} {
		a, _, out, _ := newApp(t)
		code := a.run(append(strings.Fields("-scenario all -seeds 20-39 "+flags), "-out", t.TempDir()))
		if code != exitInternal {
			t.Errorf("%s: exit code %d", flags, code)
		}
		// The stacks of panics differ in their addresses.
		got := out.String()[:strings.Index(out.String(), "mixed, seed")]
		got += out.String()[strings.Index(out.String(), "\ntraces "):]
		if first == "" {
			first = got
		} else if got != first {
			t.Errorf("%s:\n%s\nwant\n%s", flags, got, first)
		}
	}
}

// A sweep that was stopped resumes: what was run is not run again, not even when
// the file's last line was cut short; other options and other builds start afresh.
func TestSweepResumes(t *testing.T) {
	dir := t.TempDir()
	a, f, out, errs := newApp(t)
	sweep := func(build, flags string) int {
		before := f.made
		out.Reset()
		a.build = func() (string, error) { return build, nil }
		if code := a.run(append(strings.Fields("-scenario mixed -jobs 2 "+flags), "-out", dir)); code == exitUsage {
			t.Fatal(errs)
		}
		return f.made - before
	}
	name := filepath.Join(dir, "sweep-one.jsonl")
	for _, step := range []struct {
		build, flags string
		cut          int // bytes to cut off the file before
		want         int // runs made
	}{
		{"one", "-seeds 1-6", 0, 6},
		{"one", "-seeds 1-12", 0, 6},
		{"one", "-seeds 1-12", 9, 1},
		{"one", "-seeds 1-12", 0, 0},
		{"one", "-seeds 1-12 -duration 5s", 0, 12},
		{"two", "-seeds 1-3", 0, 3},
	} {
		if step.cut > 0 {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, text[:len(text)-step.cut], 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if made := sweep(step.build, step.flags); made != step.want {
			t.Errorf("%s %s: %d runs made, want %d", step.build, step.flags, made, step.want)
		}
	}
}

// When the budget has ended no more runs are started, and the sweep says how many
// are missing.
func TestBudget(t *testing.T) {
	a, f, out, _ := newApp(t)
	clock := time.Unix(0, 0)
	a.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	code := a.run([]string{"-scenario", "calm", "-seeds", "1-100", "-jobs", "1", "-budget", "20s", "-out", t.TempDir()})
	if code != exitOK || f.made == 0 || f.made > 20 {
		t.Errorf("exit code %d after %d runs", code, f.made)
	}
	if want := fmt.Sprintf("%d runs were not made: the budget of 20s ended before", 100-f.made); !strings.Contains(out.String(), want) {
		t.Errorf("nothing says %q in\n%s", want, out)
	}
}

// The progress line is for terminals; colours as well.
func TestTerminal(t *testing.T) {
	a, _, out, errs := newApp(t)
	a.run([]string{"-scenario", "calm", "-seeds", "1-3", "-out", t.TempDir()})
	if errs.Len() > 0 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("off a terminal: stderr %q, stdout %q", errs, out)
	}
	a, _, out, errs = newApp(t)
	a.live, a.color = true, true
	a.run([]string{"-scenario", "calm", "-seeds", "1-3", "-out", t.TempDir()})
	if !strings.HasPrefix(errs.String(), "\r1 of 3 runs, 0 not ok") || !strings.HasSuffix(errs.String(), "\r\x1b[K") || !strings.Contains(out.String(), "\x1b[32mok") {
		t.Errorf("on a terminal: stderr %q, stdout %q", errs, out)
	}
}

// Of two exit codes the graver one counts, in the promised order.
func TestGravity(t *testing.T) {
	order := []int{1, 5, 3, 4, 6, 7, 0}
	for i, a := range order {
		for _, b := range order[i:] {
			if gravest(a, b) != a || gravest(b, a) != a {
				t.Errorf("of %d and %d the graver is %d", a, b, gravest(a, b))
			}
		}
	}
}
