package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// collectAt is how much garbage, in percent of what lives, starts a collection. A
// simulation holds some 15 MB and makes 400 MB of garbage a second: with the usual
// 100 it is collected dozens of times, which is also the one thing that jobs side
// by side share. The memory that this costs is bounded by the memory of the nodes.
const collectAt = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	a := &app{
		runner: newRunner(), program: invokedAs(os.Args[0]),
		stdout: os.Stdout, stderr: os.Stderr,
		color: terminal(os.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		live:  terminal(os.Stderr) && os.Getenv("TERM") != "dumb",
		now:   time.Now,
		build: buildHash,
	}
	os.Exit(a.run(os.Args[1:]))
}

// app is the command with what it touches of the world, so that tests can hold all
// of it.
type app struct {
	runner         runner
	program        string // how it was called, for the commands that it prints
	stdout, stderr io.Writer
	color          bool // results in colour
	live           bool // a progress line that rewrites itself
	now            func() time.Time
	build          func() (string, error) // hash of the binary
}

// invokedAs is what to type for this program again: what go run builds is gone
// afterwards.
func invokedAs(arg0 string) string {
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") {
		return "go run ./cmd/simulate"
	}
	return arg0
}

func (a *app) name() string { return cmp.Or(a.program, "simulate") }

// run is the command. It returns the exit code.
func (a *app) run(args []string) int {
	if len(args) > 0 && args[0] == "check" {
		return a.check(args[1:])
	}
	o, err := parseFlags(args, a.stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	code := exitOK
	switch {
	case err != nil:
	case o.list:
		err = a.list(o.json)
	default:
		if err = a.resolve(o); err != nil {
			break
		}
		if o.sweep {
			code, err = a.sweep(o)
		} else {
			code, err = a.single(o)
		}
	}
	return a.end(code, err)
}

// end prints an error and gives it its exit code.
func (a *app) end(code int, err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return code
	case errors.As(err, &usage):
		fmt.Fprintln(a.stderr, "simulate:", err)
		return exitUsage
	}
	fmt.Fprintln(a.stderr, "simulate: internal error:", err)
	return exitInternal
}

// resolve fills in the scenarios and checks each, and the plan.
func (a *app) resolve(o *options) error {
	names := a.runner.Scenarios()
	if len(o.scenarios) == 0 {
		if len(names) == 0 {
			return &usageError{What: "this build holds no scenario", Remedy: "name a file with -scenario"}
		}
		o.scenarios = names[:1]
	}
	var all []string
	for _, s := range o.scenarios {
		chosen := []string{s}
		if s == "all" {
			chosen = names
		}
		for _, s := range chosen {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	o.scenarios = all
	for _, s := range all {
		q := o.request
		q.Scenario, q.Seed = s, o.first
		if err := a.runner.Check(q); err != nil {
			return err
		}
	}
	return nil
}

// single makes one run and reports it in full.
func (a *app) single(o *options) (int, error) {
	q := o.request
	q.Scenario, q.Seed = o.scenarios[0], o.first
	q.Out = filepath.Join(o.Out, folder(q))
	if o.verbose {
		q.Log, q.Record = a.stderr, &window{} // the whole trace
	} else if q.Why > 0 {
		q.Record = &window{0, q.Why + 1}
	}
	r, err := a.once(q, o.twice)
	if err != nil {
		return 0, err
	}
	if o.json {
		return r.Exit, printJSON(a.stdout, r, "  ")
	}
	return r.Exit, a.report(q, r, o.twice)
}

// folder names the place of a run's files.
func folder(q request) string {
	name := strings.TrimSuffix(filepath.Base(q.Scenario), filepath.Ext(q.Scenario))
	return fmt.Sprintf("%s-%d", name, q.Seed)
}

// once makes one run, or two that are compared. Only usage errors are returned;
// whatever else goes wrong is in the result.
func (a *app) once(q request, twice bool) (*result, error) {
	start := a.now()
	r, err := a.try(q)
	if err != nil {
		return nil, err
	}
	r.Wall = cmp.Or(r.Wall, int64(a.now().Sub(start)))
	if twice && r.Internal == "" {
		if r.Difference, err = a.compare(q, r); err != nil {
			return nil, err
		}
	}
	r.judge()
	return r, nil
}

// try makes one run. A panic that escapes it becomes the result's internal error,
// with the stack, as does an error that nobody can mend.
func (a *app) try(q request) (r *result, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = &result{Internal: fmt.Sprintf("panic: %v\n\n%s", p, debug.Stack())}, nil
		}
		if r != nil {
			r.Scenario, r.Seed = q.Scenario, q.Seed
		}
	}()
	r, err = a.runner.Run(q)
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return nil, err
	case err != nil:
		return &result{Internal: err.Error()}, nil
	case r == nil:
		return &result{Internal: "the run ended without a result"}, nil
	}
	return r, nil
}
