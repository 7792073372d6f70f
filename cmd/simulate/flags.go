package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// options are the command line, read.
type options struct {
	request
	scenarios []string // to run, names or files; empty: the default one
	first     uint64   // of the seeds
	last      uint64
	sweep     bool
	jobs      int
	shuffle   *uint64
	budget    time.Duration
	twice     bool // -check-determinism
	json      bool
	verbose   bool
	list      bool
}

const usageHead = `usage: simulate -seed N [-scenario NAME|FILE] [flags]     one run
       simulate -seeds A-B [-scenario NAME,...|all] [flags]  a sweep
       simulate -list                                        what there is
       simulate check -model M FILE...                       judge recorded histories (-help tells more)

exit codes: 0 ok, 1 internal error, 2 usage, 3 safety violation, 4 liveness violation,
            5 not deterministic, 6 unknown, 7 vacuous

flags:
`

// forRuns and forSweeps are the flags that make sense for one kind only.
var (
	forRuns   = [...]string{"seed", "until", "why", "fork", "plan", "v"}
	forSweeps = [...]string{"jobs", "shuffle", "budget"}
)

// parseFlags reads the command line. flag.ErrHelp means that help was asked for
// and printed to stderr.
func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := &options{first: 1, last: 1, jobs: runtime.GOMAXPROCS(0)}
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("seed", "the run's `seed` (default 1)", func(s string) (err error) {
		o.first, err = parseSeed(s)
		o.last = o.first
		return err
	})
	f.Func("seeds", "sweep the seeds from `A-B`, both included", o.parseRange)
	f.Func("scenario", "`name` or file of the scenario; a sweep takes a comma list, or all", o.parseScenarios)
	f.Func("duration", "virtual `time` that clients work, instead of the scenario's; longer if what heals last needs it", timeInto(&o.Duration))
	f.Func("until", "stop at this virtual `time` and judge nothing that needs the end", timeInto(&o.Until))
	f.StringVar(&o.Plan, "plan", "", "replay the faults of this recorded plan `file`")
	f.Uint64Var(&o.Why, "why", 0, "tell the chain of causes that led to this `event`")
	f.Func("fork", "`EVENT:SEED`, continue with other randomness from that event on", o.parseFork)
	f.StringVar(&o.Out, "out", "", "`folder` for the run's files (default simulate-out)")
	f.BoolVar(&o.json, "json", false, "print results as JSON; a sweep prints one line a run")
	f.BoolVar(&o.verbose, "v", false, "tell on stderr what happens, as it happens")
	f.IntVar(&o.jobs, "jobs", o.jobs, "runs at the same time in a sweep")
	f.Func("shuffle", "sweep in an order drawn from this `seed`", o.parseShuffle)
	f.Func("budget", "wall `time` after which a sweep starts no more runs", timeInto(&o.budget))
	f.BoolVar(&o.twice, "check-determinism", false, "make each run twice and compare the traces")
	f.BoolVar(&o.list, "list", false, "list scenarios, workloads, faults, checks, probes and knobs")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, usageHead)
			f.SetOutput(stderr)
			f.PrintDefaults()
			return nil, err
		}
		return nil, &usageError{What: err.Error(), Remedy: "simulate -help lists the flags"}
	}
	if f.NArg() > 0 {
		return nil, &usageError{What: fmt.Sprintf("unexpected argument %q", f.Arg(0)), Remedy: "everything is a flag: name a scenario with -scenario"}
	}
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	return o, o.validate(given)
}

// validate finds flags that contradict each other or make no sense.
func (o *options) validate(given map[string]bool) error {
	if o.sweep {
		for _, name := range forRuns {
			if given[name] {
				return &usageError{What: fmt.Sprintf("-%s is for one run and -seeds is for many", name), Remedy: "drop one of the two"}
			}
		}
	} else {
		for _, name := range forSweeps {
			if given[name] {
				return &usageError{What: fmt.Sprintf("-%s is for sweeps", name), Remedy: "give -seeds A-B"}
			}
		}
		if len(o.scenarios) > 1 || len(o.scenarios) == 1 && o.scenarios[0] == "all" {
			return &usageError{What: "one run has one scenario", Remedy: fmt.Sprintf("give -seeds %d-%d to sweep several", o.first, o.first)}
		}
	}
	switch {
	case o.jobs < 1:
		return &usageError{What: "-jobs must be at least 1"}
	case o.Duration < 0 || o.Until < 0 || o.budget < 0:
		return &usageError{What: "times are not negative", Remedy: "write -duration 90s, -until 12.5s or -budget 15m"}
	case o.twice && (o.Why > 0 || o.Until > 0):
		return &usageError{What: "-check-determinism compares whole runs", Remedy: "drop -why and -until"}
	}
	o.Out = cmp.Or(o.Out, "simulate-out")
	return nil
}

func parseSeed(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no seed: a seed is a number from 0 to 2^64-1", s)
	}
	return n, nil
}

// timeInto reads a flag that is a time.
func timeInto(d *time.Duration) func(string) error {
	return func(s string) (err error) {
		if *d, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("%q is no time: write 90s, 12.5s or 15m", s)
		}
		return nil
	}
}

func (o *options) parseRange(s string) (err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return fmt.Errorf("%q is no range: write -seeds 1-1000", s)
	}
	if o.first, err = parseSeed(from); err != nil {
		return err
	}
	if o.last, err = parseSeed(to); err != nil {
		return err
	}
	if o.last < o.first || o.last-o.first >= 1<<32 {
		return fmt.Errorf("%q is no range: the first seed comes first, and four thousand million are enough", s)
	}
	o.sweep = true
	return nil
}

func (o *options) parseScenarios(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return fmt.Errorf("%q names an empty scenario", s)
		}
		o.scenarios = append(o.scenarios, name)
	}
	return nil
}

func (o *options) parseFork(s string) (err error) {
	at, seed, ok := strings.Cut(s, ":")
	o.Fork = &fork{}
	if o.Fork.Event, err = strconv.ParseUint(at, 10, 64); err != nil || !ok || o.Fork.Event == 0 {
		return fmt.Errorf("%q is no fork: write -fork EVENT:SEED, where events count from 1", s)
	}
	o.Fork.Seed, err = parseSeed(seed)
	return err
}

func (o *options) parseShuffle(s string) error {
	n, err := parseSeed(s)
	o.shuffle = &n
	return err
}

// command is the line that makes the request's run again.
func (q request) command(program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -scenario %s -seed %d", program, quote(q.Scenario), q.Seed)
	if q.Duration > 0 {
		fmt.Fprintf(&b, " -duration %v", q.Duration)
	}
	if q.Until > 0 {
		fmt.Fprintf(&b, " -until %v", q.Until)
	}
	if q.Plan != "" {
		fmt.Fprintf(&b, " -plan %s", quote(q.Plan))
	}
	if q.Fork != nil {
		fmt.Fprintf(&b, " -fork %d:%d", q.Fork.Event, q.Fork.Seed)
	}
	return b.String()
}

// quote makes a file's name one word for a shell.
func quote(s string) string {
	if strings.ContainsAny(s, " \t'\"\\$&;()<>|*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
