package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/scenarios"
)

// The scenarios of this build resolve, also when they are made longer, and cut
// short where the plan in their file allows; the default one comes first. A run
// goes on longer than asked for if what heals last needs the time.
func TestScenariosResolve(t *testing.T) {
	names := house{}.Scenarios()
	if names[0] != "default" {
		t.Errorf("the first scenario is %s", names[0])
	}
	for _, name := range names {
		for _, d := range []time.Duration{0, 20 * time.Second, 3 * time.Minute} {
			r, err := resolve(request{Scenario: name, Seed: 7, Duration: d})
			var usage *usageError
			switch {
			case errors.As(err, &usage) && d == 20*time.Second && strings.Contains(err.Error(), "its time does not come"):
			case err != nil:
				t.Errorf("%s for %v: %v", name, d, err)
			case r.Duration < d:
				t.Errorf("%s for %v takes %v", name, d, r.Duration)
			}
		}
	}
}

// A recorded plan replaces what the seed would draw: it comes back as it was.
func TestPlanIsReplayed(t *testing.T) {
	first, err := resolve(request{Scenario: "partitions", Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plan")
	if err := os.WriteFile(file, []byte(first.Plan.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	again, err := resolve(request{Scenario: "partitions", Seed: 6, Plan: file})
	if err != nil {
		t.Fatal(err)
	}
	if again.Plan.String() != first.Plan.String() || len(first.Plan.Faults) == 0 {
		t.Errorf("recorded\n%s\nreplayed\n%s", first.Plan, again.Plan)
	}
}

// Mistakes in what a person wrote are usage errors that name file and line.
func TestMistakesAreUsageErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct {
		q    request
		want string
	}{
		{request{Scenario: "defualt"}, `no scenario is called "defualt"`},
		{request{Scenario: filepath.Join(dir, "none.toml")}, "no such file"},
		{request{Scenario: write("bad.toml", "name = \"bad\"\ncolour = 3\n")}, "bad.toml: line 2"},
		{request{Scenario: "default", Plan: filepath.Join(dir, "none")}, "no such file"},
		{request{Scenario: "default", Plan: write("plan", "# a plan\nT+5s crush n1\n")}, "plan:2: "},
		{request{Scenario: "default", Plan: write("plan2", "# a plan\nat T+5s crash n1 for 1s\n\nat T+6s crash n77 for 1s\n")}, `plan2:4: at T+6.000s crash n77 for 1s: there is no "n77"`},
		{request{Scenario: "default", Plan: write("plan3", "at T+55s crash n1 for 1s\n")}, "plan3:1: its time does not come"},
		{request{Scenario: write("knob.toml", "name = \"knob\"\n[[topology.region]]\nname = \"a\"\nzones = [\"a\"]\nnodes = 3\nclients = 1\n[knobs.set]\n\"rpc.offset_chek\" = 1\n")}, `knob.toml:8: "rpc.offset_chek": no room has that knob`},
	} {
		_, err := resolve(c.q)
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want a usage error with %q", c.q, err, c.want)
		}
	}
}

// After a violation the run is made again for the events of its first example: the
// report tells them, the page shows them, and the terminal says how to ask for more.
func TestViolationIsLedUpTo(t *testing.T) {
	q := request{Scenario: "default", Seed: 2, Duration: 20 * time.Second, Out: t.TempDir()}
	r, err := resolve(q)
	if err != nil {
		t.Fatal(err)
	}
	res, err := scenarios.Run(r, scenarios.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := checker.Verdict{Check: "invented"}
	op := res.History.Ops[5]
	v.Report([]checker.Finding{{Text: "Somebody does not like this operation.\n  " + op.String(), Ops: []int{5}}})
	v.Valid, v.Summary = checker.Violation, "one operation is not liked"
	res.Verdicts = append(res.Verdicts, v)
	out := summarize(q, res)
	out.judge()
	if out.Files, err = writeFiles(q, res, out); err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		"index.html": {"What went wrong, explained", "The events that led there", "begins op 5 of " + op.Client, "ends op 5 of " + op.Client},
		"events.txt": {"T5, from its call to its answer", "begins op 5 of " + op.Client},
	} {
		text, err := os.ReadFile(filepath.Join(q.Out, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
	a, _, stdout, _ := newApp(t)
	if err := a.report(q, out, false); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("what led to the answer of T5: simulate -scenario default -seed 2 -duration 20s -why %d\n", out.Leads[0].Answer); !strings.Contains(stdout.String(), want) {
		t.Errorf("the terminal does not say %q:\n%s", want, stdout)
	}
	q.Why, q.Record, q.Out = out.Leads[0].Answer, &window{0, out.Leads[0].Answer + 1}, ""
	why, err := house{}.Run(q)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(why.Why); n == 0 || !strings.Contains(why.Why[n-1], "ends op 5 of "+op.Client) {
		t.Errorf("that command tells %d events, the last without the answer", n)
	}
}
