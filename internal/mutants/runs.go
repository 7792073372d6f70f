package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Exit codes of the command that matter here.
const (
	exitInternal = 1
	exitSafety   = 3
	exitLiveness = 4
	exitTimeout  = -1 // ours: the run did not end in time and was killed
)

// Trial is one run to make.
type Trial struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
}

// Outcome is what one run gave, and one line of the results that are kept.
type Outcome struct {
	Trial
	Exit   int      `json:"exit"`
	Checks []string `json:"checks,omitempty"` // those that were violated
	Error  string   `json:"error,omitempty"`  // why there is no verdict
	Millis int64    `json:"millis"`
}

// Caught reports whether a check objected.
func (o Outcome) Caught() bool { return o.Exit == exitSafety || o.Exit == exitLiveness }

// Runs makes runs of one binary and keeps their outcomes in a file named after the
// binary's hash, so that what was run once is not run again, by this process or
// the next. It is safe for concurrent use.
type Runs struct {
	bin     Binary
	timeout time.Duration
	scratch string

	mu   sync.Mutex
	kept map[Trial]Outcome
	log  *os.File
}

// OpenRuns reads what is kept of the binary's outcomes below dir. A last line that
// a kill cut short is ignored.
func OpenRuns(bin Binary, dir, scratch string, timeout time.Duration) (*Runs, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, bin.Hash+".jsonl")
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	r := &Runs{bin: bin, timeout: timeout, scratch: scratch, kept: map[Trial]Outcome{}}
	for line := range bytes.Lines(text) {
		var o Outcome
		if json.Unmarshal(line, &o) == nil {
			r.kept[o.Trial] = o
		}
	}
	r.log, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err == nil && len(text) > 0 && text[len(text)-1] != '\n' {
		_, err = r.log.WriteString("\n")
	}
	return r, err
}

// Close releases the file.
func (r *Runs) Close() error { return r.log.Close() }

// Scenarios lists what the names stand for: "all" is every scenario that the
// binary names itself.
func (r *Runs) Scenarios(names []string) ([]string, error) {
	if !slices.Contains(names, "all") {
		return names, nil
	}
	out, err := exec.Command(r.bin.Path, "-list", "-json").Output()
	if err != nil {
		return nil, fmt.Errorf("listing scenarios: %w", err)
	}
	var sections []struct {
		Title   string
		Entries []struct{ Name string }
	}
	if err := json.Unmarshal(out, &sections); err != nil {
		return nil, fmt.Errorf("reading -list -json: %w", err)
	}
	var all []string
	for _, s := range sections {
		if s.Title == "scenarios" {
			for _, e := range s.Entries {
				all = append(all, e.Name)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("this build holds no scenario")
	}
	return all, nil
}

// Run gives the outcome of one trial, from what is kept or by a run.
func (r *Runs) Run(t Trial) (Outcome, error) {
	r.mu.Lock()
	o, ok := r.kept[t]
	r.mu.Unlock()
	if ok {
		return o, nil
	}
	o, err := r.execute(t)
	if err != nil {
		return o, err
	}
	line, err := json.Marshal(o)
	if err != nil {
		return o, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[t] = o
	_, err = r.log.Write(append(line, '\n'))
	return o, err
}

func (r *Runs) execute(t Trial) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	out, err := os.MkdirTemp(r.scratch, "run")
	if err != nil {
		return Outcome{}, err
	}
	defer os.RemoveAll(out)
	cmd := exec.CommandContext(ctx, r.bin.Path, "-scenario", t.Scenario, "-seed", fmt.Sprint(t.Seed), "-json", "-out", out)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err = cmd.Run()
	o := Outcome{Trial: t, Millis: time.Since(start).Milliseconds()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		o.Exit, o.Error = exitTimeout, fmt.Sprintf("killed after %v", r.timeout)
		return o, nil
	case errors.As(err, &exit):
		o.Exit = exit.ExitCode()
	case err != nil:
		return o, err
	}
	return o, r.read(&o, stdout.Bytes(), stderr.String())
}

// read takes the violated checks from the run's JSON. Usage errors concern the
// whole sweep and are returned; other ends without a verdict belong to the run.
func (r *Runs) read(o *Outcome, stdout []byte, stderr string) error {
	if o.Exit == 2 && strings.Contains(stderr, "\ngoroutine ") {
		o.Exit = exitInternal // a panic that reached the Go runtime ends with the same code as a usage error
	}
	if o.Exit == 2 {
		return fmt.Errorf("%s -seed %d: usage: %s", o.Scenario, o.Seed, strings.TrimSpace(stderr))
	}
	var result struct {
		Verdicts []struct{ Check, Verdict string }
	}
	if err := json.Unmarshal(stdout, &result); err != nil && (o.Exit == 0 || o.Caught()) {
		return fmt.Errorf("%s -seed %d: reading its -json output: %w", o.Scenario, o.Seed, err)
	}
	for _, v := range result.Verdicts {
		if v.Verdict == "violation" {
			o.Checks = append(o.Checks, v.Check)
		}
	}
	if o.Exit != 0 && !o.Caught() {
		o.Error = firstLines(stderr, 5)
	}
	return nil
}

func firstLines(s string, n int) string {
	lines := strings.SplitN(strings.TrimSpace(s), "\n", n+1)
	if len(lines) > n {
		lines = lines[:n]
	}
	return strings.Join(lines, "\n")
}
