package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Config is one measurement.
type Config struct {
	Root, Package string // the module, and its command to build
	Out           string // where results are kept
	Seeds         int    // seeds in a block
	Blocks        int    // disjoint blocks, each swept to its first catch
	Jobs          int
	Timeout       time.Duration // of one run, in wall time
	CheckOnly     bool          // build, and run nothing
	Progress      io.Writer     // nil: none
}

// Score is what the sweep of one mutant gave.
type Score struct {
	Mutant
	Broken  error // the patch does not apply or build, or a run is a usage error
	Notes   []string
	Blocks  []Block
	Elapsed time.Duration
	built   bool
}

// Lab builds and sweeps. Its scratch directory holds patched files and binaries
// and goes with Close.
type Lab struct {
	Config
	scratch  string
	baseline *Runs // of the unpatched build
}

// NewLab builds the command without any patch. That it builds is the condition for
// blaming a patch later.
func NewLab(c Config) (*Lab, error) {
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	l := &Lab{Config: c, scratch: scratch}
	bin, err := Build(c.Root, c.Package, scratch, "unpatched", nil)
	if err == nil {
		l.baseline, err = OpenRuns(bin, c.Out, scratch, c.Timeout)
	}
	if err != nil {
		os.RemoveAll(scratch)
		return nil, fmt.Errorf("%s without a patch: %w", c.Package, err)
	}
	return l, nil
}

// Close removes what is not kept.
func (l *Lab) Close() error {
	return cmp.Or(l.baseline.Close(), os.RemoveAll(l.scratch))
}

func (l *Lab) say(format string, args ...any) {
	if l.Progress != nil {
		fmt.Fprintf(l.Progress, format+"\n", args...)
	}
}

// Measure patches, builds and sweeps one mutant.
func (l *Lab) Measure(m Mutant) Score {
	start := time.Now()
	s := Score{Mutant: m}
	s.Broken = l.measure(&s)
	s.Elapsed = time.Since(start)
	return s
}

func (l *Lab) measure(s *Score) error {
	dir, err := os.MkdirTemp(l.scratch, "patch")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	replace, notes, err := s.Overlay(l.Root, dir)
	s.Notes = notes
	if err != nil {
		return err
	}
	bin, err := Build(l.Root, l.Package, dir, "patched", replace)
	if err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	if bin.Hash == l.baseline.bin.Hash {
		return fmt.Errorf("%s: the patched build is the same as the unpatched: the change is not in %s", s.File, l.Package)
	}
	s.built = true
	if l.CheckOnly {
		return nil
	}
	runs, err := OpenRuns(bin, l.Out, l.scratch, l.Timeout)
	if err != nil {
		return err
	}
	defer runs.Close()
	scenarios, err := runs.Scenarios(s.Scenarios)
	if err != nil {
		return err
	}
	for i := range l.Blocks {
		b, err := SweepBlock(runs, scenarios, uint64(1+i*l.Seeds), l.Seeds, l.Jobs, l.counts(s.Control))
		if err != nil {
			return err
		}
		l.say("%s: block %d of %d: %s", s.ID, i+1, l.Blocks, b)
		s.Blocks = append(s.Blocks, b)
		if s.Control && b.First != nil {
			break
		}
	}
	return nil
}

// counts accepts a catch when the unpatched build passes the same trial. Of a
// control, only safety matters.
func (l *Lab) counts(control bool) confirm {
	return func(o Outcome) (bool, error) {
		if control && o.Exit != exitSafety {
			return false, nil
		}
		plain, err := l.baseline.Run(o.Trial)
		return err == nil && !plain.Caught(), err
	}
}

// String tells how the block ended.
func (b Block) String() string {
	if b.First == nil {
		return fmt.Sprintf("not caught in %d runs", b.Tried)
	}
	return fmt.Sprintf("caught by %s in %s -seed %d, run %d", strings.Join(b.First.Checks, ", "), b.First.Scenario, b.First.Seed, b.Tried)
}

// Caught reports whether every block caught it.
func (s Score) Caught() bool {
	for _, b := range s.Blocks {
		if b.First == nil {
			return false
		}
	}
	return len(s.Blocks) > 0
}

// Flagged reports whether any block did.
func (s Score) Flagged() bool {
	return slices.ContainsFunc(s.Blocks, func(b Block) bool { return b.First != nil })
}

// AsExpected reports whether a mutant was caught at all, or a control by nothing.
func (s Score) AsExpected() bool { return s.Broken == nil && s.Flagged() != s.Control }

// median is the middle of the depths of the catching blocks, 0 if there is none.
func (s Score) median() uint64 {
	var depths []uint64
	for _, b := range s.Blocks {
		if b.First != nil {
			depths = append(depths, b.Depth)
		}
	}
	if len(depths) == 0 {
		return 0
	}
	slices.Sort(depths)
	return depths[len(depths)/2]
}

// verdict is the table's third column.
func (s Score) verdict() string {
	switch {
	case s.Broken != nil:
		return "ERROR"
	case s.built && len(s.Blocks) == 0:
		return "builds"
	case s.Control && s.Flagged():
		return "FLAGGED"
	case s.Control:
		return "control ok"
	case s.Caught():
		return "caught"
	case s.Flagged():
		n := 0
		for _, b := range s.Blocks {
			if b.First != nil {
				n++
			}
		}
		return fmt.Sprintf("caught %d/%d", n, len(s.Blocks))
	}
	return "NOT CAUGHT"
}

// by lists the checks that caught it first in some block, and marks those that
// the patch does not expect.
func (s Score) by() string {
	var names []string
	for _, b := range s.Blocks {
		if b.First == nil {
			continue
		}
		for _, c := range b.First.Checks {
			if len(s.Checks) > 0 && !slices.Contains(s.Checks, c) {
				c += " (unexpected)"
			}
			if !slices.Contains(names, c) {
				names = append(names, c)
			}
		}
	}
	return strings.Join(names, ", ")
}

// PrintTable writes one line a score, and below it what a person must know about
// those that are not as expected.
func PrintTable(w io.Writer, scores []Score, seeds int) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "id\trule\tresult\tby\tfirst seed\tmedian\truns\twall")
	for _, s := range scores {
		first, median := "-", "-"
		if b := slices.IndexFunc(s.Blocks, func(b Block) bool { return b.First != nil }); b >= 0 {
			first, median = fmt.Sprint(s.Blocks[b].First.Seed), fmt.Sprint(s.median())
		} else if len(s.Blocks) > 0 && !s.Control {
			median = fmt.Sprintf(">%d", seeds)
		}
		tried := 0
		for _, b := range s.Blocks {
			tried += b.Tried
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%v\n", s.ID, s.Rule, s.verdict(), cmp.Or(s.by(), "-"), first, median, tried, s.Elapsed.Round(100*time.Millisecond))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range scores {
		s.explain(w)
	}
	return nil
}

func (s Score) explain(w io.Writer) {
	if s.Broken != nil {
		fmt.Fprintf(w, "\n%s: %v\n", s.ID, s.Broken)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(w, "\n%s: note: %s\n", s.ID, n)
	}
	var errs, doubts []Outcome
	for _, b := range s.Blocks {
		errs, doubts = append(errs, b.Errors...), append(doubts, b.Doubts...)
	}
	if len(errs) > 0 {
		o := errs[0]
		fmt.Fprintf(w, "\n%s: %d runs ended without a verdict, the first is %s -seed %d, exit %d: %s\n", s.ID, len(errs), o.Scenario, o.Seed, o.Exit, o.Error)
	}
	if len(doubts) > 0 && !s.Control {
		o := doubts[0]
		fmt.Fprintf(w, "\n%s: %d catches do not count, because the unpatched build fails there too; the first is %s -seed %d\n", s.ID, len(doubts), o.Scenario, o.Seed)
	}
	if s.Broken == nil && s.Control && s.Flagged() {
		fmt.Fprintf(w, "\n%s: a control was flagged: a check objects to what is safe\n", s.ID)
	}
}
