package main

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// summary is what a sweep gave. Its JSON form is the last line of a sweep's -json
// output.
type summary struct {
	Exit      int       `json:"exit"`
	Outcome   string    `json:"outcome"`
	Runs      int       `json:"runs"`
	Reused    int       `json:"reused"`  // results of an earlier sweep of this build
	NotRun    int       `json:"not_run"` // the budget ended before
	Scenarios []tally   `json:"scenarios"`
	Traces    string    `json:"traces"` // over all runs, whatever their order
	Unreached []string  `json:"probes_never_reached,omitempty"`
	Wall      int64     `json:"wall_ns"`
	failures  []*result // in order of scenario and seed
	runs      []*result // the same
}

// tally counts the outcomes of one scenario.
type tally struct {
	Scenario string                `json:"scenario"`
	Runs     int                   `json:"runs"`
	Outcomes map[string]int        `json:"outcomes"` // none of those that did not occur
	Events   uint64                `json:"events"`
	Virtual  int64                 `json:"virtual_ns"`
	Wall     int64                 `json:"wall_ns"` // of the runs, one after another
	Blame    map[string]blameCount `json:"checks,omitempty"`
	Ranges   []eventCount          `json:"range_events,omitempty"` // over all runs, every kind
}

// blameCount tells how often a check objected, and where first.
type blameCount struct {
	Runs  int    `json:"runs"`
	First uint64 `json:"first_seed"`
}

func (s *sweeping) summarize(wall time.Duration) *summary {
	sum := &summary{Reused: s.reused, NotRun: len(s.trials) - len(s.results), Runs: len(s.results), Wall: int64(wall)}
	for _, r := range s.results {
		sum.runs = append(sum.runs, r)
	}
	slices.SortFunc(sum.runs, func(a, b *result) int {
		return cmp.Or(cmp.Compare(s.rank(a.Scenario), s.rank(b.Scenario)), cmp.Compare(a.Seed, b.Seed))
	})
	digest := fnv.New64a()
	missed := map[string]int{}
	for _, r := range sum.runs {
		sum.Exit = gravest(sum.Exit, r.Exit)
		sum.add(r)
		fmt.Fprintf(digest, "%s %d %s\n", r.Scenario, r.Seed, r.Trace)
		for _, p := range r.Unreached {
			missed[p]++
		}
		if r.Exit != exitOK {
			sum.failures = append(sum.failures, r)
		}
	}
	for p, n := range missed {
		if n == len(sum.runs) {
			sum.Unreached = append(sum.Unreached, p)
		}
	}
	slices.Sort(sum.Unreached)
	sum.Outcome, sum.Traces = outcomes[sum.Exit], fmt.Sprintf("%016x", digest.Sum64())
	return sum
}

func (s *sweeping) rank(scenario string) int { return slices.Index(s.opts.scenarios, scenario) }

// add counts a run; runs come grouped by scenario.
func (sum *summary) add(r *result) {
	if n := len(sum.Scenarios); n == 0 || sum.Scenarios[n-1].Scenario != r.Scenario {
		sum.Scenarios = append(sum.Scenarios, tally{Scenario: r.Scenario, Outcomes: map[string]int{}, Blame: map[string]blameCount{}})
	}
	t := &sum.Scenarios[len(sum.Scenarios)-1]
	t.Runs++
	t.Outcomes[outcomes[r.Exit]]++
	t.Events += r.Events
	t.Virtual += r.Virtual
	t.Wall += r.Wall
	for i, e := range r.Ranges {
		if i == len(t.Ranges) {
			t.Ranges = append(t.Ranges, eventCount{Kind: e.Kind})
		}
		t.Ranges[i].Count += e.Count
	}
	for _, v := range r.Verdicts {
		if v.Verdict == wordViolation {
			b := t.Blame[v.Check]
			if b.Runs == 0 {
				b.First = r.Seed
			}
			b.Runs++
			t.Blame[v.Check] = b
		}
	}
}

// printLines prints the sweep as JSON, one line a run and the summary last.
func (s *sweeping) printLines(sum *summary) error {
	for _, r := range sum.runs {
		if err := printJSON(s.app.stdout, r, ""); err != nil {
			return err
		}
	}
	return printJSON(s.app.stdout, sum, "")
}

// columns of the sweep's table, by exit code.
var columns = [...]int{exitOK, exitSafety, exitLiveness, exitUnknown, exitVacuous, exitNotDeterministic, exitInternal}

// maxFailures is the number of failing runs that a sweep prints one by one.
const maxFailures = 20

// print prints the sweep for people: a table, the failures with the command for
// each, and last the command that makes the first failure, or the sweep, again.
func (s *sweeping) print(sum *summary) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%d runs: %s\n\n", sum.Runs, s.app.paint(sum.Exit, sum.Outcome))
	printTallies(w, sum.Scenarios)
	printRangeEvents(w, sum.Scenarios)
	s.printFailures(w, sum.failures)
	if len(sum.Unreached) > 0 {
		fmt.Fprintf(w, "\nprobes never reached in any run\n%s\n", indent(flow(sum.Unreached, 100)))
	}
	var events uint64
	var virtual int64
	for _, t := range sum.Scenarios {
		events, virtual = events+t.Events, virtual+t.Virtual
	}
	fmt.Fprintf(w, "\n%s\n", pace(events, virtual, sum.Wall))
	if sum.Reused > 0 {
		fmt.Fprintf(w, "%d results are of an earlier sweep of this build\n", sum.Reused)
	}
	if sum.NotRun > 0 {
		fmt.Fprintf(w, "%d runs were not made: the budget of %v ended before\n", sum.NotRun, s.opts.budget)
	}
	fmt.Fprintf(w, "traces %s\n", sum.Traces)
	if len(sum.failures) > 0 {
		fmt.Fprintln(w, s.reproduce(worst(sum.failures)))
	} else {
		fmt.Fprintf(w, s.app.name()+" -scenario %s -seeds %d-%d\n", strings.Join(s.opts.scenarios, ","), s.opts.first, s.opts.last)
	}
	_, err := io.WriteString(s.app.stdout, w.String())
	return err
}

func printTallies(w io.Writer, tallies []tally) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(t, "scenario\truns")
	for _, code := range columns {
		fmt.Fprintf(t, "\t%s", outcomes[code])
	}
	fmt.Fprintln(t)
	for _, c := range tallies {
		fmt.Fprintf(t, "%s\t%d", c.Scenario, c.Runs)
		for _, code := range columns {
			fmt.Fprintf(t, "\t%d", c.Outcomes[outcomes[code]])
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	for _, c := range tallies {
		for _, check := range slices.Sorted(maps.Keys(c.Blame)) {
			b := c.Blame[check]
			fmt.Fprintf(w, "\n%s: %s objects to %d of %d runs, first to seed %d\n", c.Scenario, check, b.Runs, c.Runs, b.First)
		}
	}
}

// printRangeEvents tells what happened to the ranges of those scenarios in which they
// change, and what never did: a sweep proves nothing about it.
func printRangeEvents(w io.Writer, tallies []tally) {
	for _, c := range tallies {
		var happened, never []string
		changes := false
		for _, e := range c.Ranges {
			if e.Count == 0 {
				never = append(never, e.Kind)
				continue
			}
			happened = append(happened, fmt.Sprintf("%s %d", e.Kind, e.Count))
			changes = changes || slices.Contains([]string{"splits", "merges", "changes of replicas"}, e.Kind)
		}
		if !changes {
			continue
		}
		fmt.Fprintf(w, "\n%s: ranges: %s\n", c.Scenario, strings.Join(happened, ", "))
		if len(never) > 0 {
			fmt.Fprintf(w, "  never in %d runs: %s\n", c.Runs, strings.Join(never, ", "))
		}
	}
}

func (s *sweeping) printFailures(w io.Writer, failures []*result) {
	for i, r := range failures {
		if i == maxFailures {
			fmt.Fprintf(w, "\n... and %d more: see sweep-*.jsonl in %s\n", len(failures)-i, s.opts.Out)
			return
		}
		fmt.Fprintf(w, "\n%s, seed %d: %s\n", r.Scenario, r.Seed, s.app.paint(r.Exit, r.Outcome))
		for _, v := range r.Verdicts {
			if v.exit() != exitOK {
				fmt.Fprintf(w, "  %s: %s: %s\n", v.Check, v.Verdict, oneLine(v.Summary))
			}
		}
		for _, text := range []string{r.Internal, r.Difference} {
			if text != "" {
				fmt.Fprintln(w, indent(text))
			}
		}
		fmt.Fprintf(w, "  %s\n", s.reproduce(r))
	}
}

func (s *sweeping) reproduce(r *result) string {
	q := s.opts.request
	q.Scenario, q.Seed = r.Scenario, r.Seed
	line := q.command(s.app.name())
	if r.Exit == exitNotDeterministic {
		line += " -check-determinism"
	}
	return line
}

// worst is the first of the gravest failures.
func worst(failures []*result) *result {
	w := failures[0]
	for _, r := range failures {
		if r.Exit != w.Exit && gravest(r.Exit, w.Exit) == r.Exit {
			w = r
		}
	}
	return w
}
