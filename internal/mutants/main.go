package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	c := Config{}
	var dir, only string
	var verbose bool
	f := flag.NewFlagSet("mutants", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&dir, "dir", "", "folder of patch `files` (required)")
	f.StringVar(&only, "only", "", "measure only these `ids`, separated by commas")
	f.IntVar(&c.Seeds, "seeds", 200, "seeds in a block: a mutant that survives them all is not caught")
	f.IntVar(&c.Blocks, "blocks", 1, "disjoint blocks of seeds, for a median")
	f.IntVar(&c.Jobs, "jobs", runtime.GOMAXPROCS(0), "runs at the same time")
	f.DurationVar(&c.Timeout, "timeout", 3*time.Minute, "wall time after which one run is killed")
	f.StringVar(&c.Root, "C", ".", "the module's root")
	f.StringVar(&c.Package, "pkg", "./cmd/simulate", "the command to build")
	f.StringVar(&c.Out, "out", "", "where results are kept (default simulate-out/mutants in the module)")
	f.BoolVar(&c.CheckOnly, "check", false, "only see whether every patch applies and builds")
	f.BoolVar(&verbose, "v", false, "tell each block's end on stderr")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if verbose {
		c.Progress = stderr
	}
	mutants, err := prepare(&c, dir, only, f.Args())
	if err != nil {
		fmt.Fprintln(stderr, "mutants:", err)
		return 2
	}
	code, err := measureAll(c, mutants, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "mutants:", err)
		return 2
	}
	return code
}

// prepare checks the flags and reads the patches.
func prepare(c *Config, dir, only string, rest []string) ([]Mutant, error) {
	switch {
	case len(rest) > 0:
		return nil, fmt.Errorf("unexpected argument %q; patches are named by -dir and -only", rest[0])
	case dir == "":
		return nil, errors.New("-dir is missing: name a folder of patches, such as -dir internal/mutants/patches")
	case c.Seeds < 1 || c.Blocks < 1 || c.Jobs < 1:
		return nil, errors.New("-seeds, -blocks and -jobs are at least 1")
	}
	var err error
	if c.Root, err = filepath.Abs(c.Root); err != nil {
		return nil, err
	}
	if c.Out == "" {
		c.Out = filepath.Join(c.Root, "simulate-out", "mutants")
	}
	mutants, err := ReadMutants(dir)
	if err != nil || only == "" {
		return mutants, err
	}
	var chosen []Mutant
	for _, id := range fields(only) {
		i := slices.IndexFunc(mutants, func(m Mutant) bool { return strings.EqualFold(m.ID, id) })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: no patch in %s has this id", id, dir)
		}
		chosen = append(chosen, mutants[i])
	}
	return chosen, nil
}

func measureAll(c Config, mutants []Mutant, stdout io.Writer) (int, error) {
	lab, err := NewLab(c)
	if err != nil {
		return 0, err
	}
	defer lab.Close()
	code := 0
	var scores []Score
	for _, m := range mutants {
		s := lab.Measure(m)
		scores = append(scores, s)
		switch {
		case s.Broken != nil:
			code = 2
		case !c.CheckOnly && !s.AsExpected():
			code = max(code, 1)
		}
	}
	return code, PrintTable(stdout, scores, c.Seeds)
}
