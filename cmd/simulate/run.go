package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/report"
	"simulacrum/checker/verify"
	"simulacrum/cluster"
	"simulacrum/db/server"
	"simulacrum/scenarios"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// Run makes one run.
func (house) Run(q request) (*result, error) {
	r, err := resolve(q)
	if err != nil {
		return nil, err
	}
	opt := scenarios.Options{Until: sim.Time(q.Until)}
	if q.Fork != nil {
		opt.ForkAt, opt.ForkSeed = q.Fork.Event, q.Fork.Seed
	}
	if q.Record != nil {
		opt.Record, opt.RecordFrom, opt.RecordTo = true, q.Record.From, q.Record.To
	}
	if q.Log != nil {
		opt.OnLog = func(at sim.Time, who, line string) { fmt.Fprintf(q.Log, "%s %s: %s\n", at, who, line) }
	}
	start := time.Now()
	res, err := scenarios.Run(r, opt)
	if err != nil {
		return nil, err
	}
	out := summarize(q, res)
	out.Wall = int64(time.Since(start))
	out.judge()
	if q.Out != "" && (!q.Failures || out.Exit != exitOK) {
		out.Files, err = writeFiles(q, res, out)
	}
	return out, err
}

// summarize turns a run's result into what the command prints.
func summarize(q request, res *scenarios.Result) *result {
	out := &result{
		Scenario: res.Scenario.Name, Seed: res.Seed, Topology: cluster.Describe(res.Topology),
		Operations: operations(res.History), Events: res.Events, Virtual: int64(res.End),
		Trace: fmt.Sprintf("%016x", res.Hash), Spacing: sim.CheckpointEvery(), Checkpoints: res.Checkpoints,
	}
	out.Notes = notes(q, res)
	for _, f := range res.Faults {
		if res.Cut && f.Done == 0 {
			continue // its time may not have come
		}
		out.Faults = append(out.Faults, faultCount{Fault: f.Fault.String(), Effects: f.Count, Unit: unit(f.Count)})
	}
	for _, c := range res.RangeEvents {
		out.Ranges = append(out.Ranges, eventCount{c.Name, c.N})
	}
	for _, v := range res.Verdicts {
		if v.Check == "internal" || aboutCheckers(v.Check) && v.Valid == checker.Violation {
			var b strings.Builder
			fmt.Fprintln(&b, oneLine(v.Summary))
			reportDetails(&b, v.Summary, v.Details)
			out.Internal += b.String()
			continue
		}
		shown := verdict{Check: v.Check, Verdict: v.Valid.String(), Summary: v.Summary, Confirmed: v.Confirmed, Liveness: slices.Contains(scenarios.LivenessChecks, v.Check)}
		if v.Valid != checker.OK {
			shown.Details = v.Details
		}
		out.Verdicts = append(out.Verdicts, shown)
	}
	out.Probes = len(res.Probes)
	for _, p := range res.Probes {
		if p.Count == 0 && !res.Cut {
			out.Unreached = append(out.Unreached, string(p.Probe))
		}
	}
	if q.Why == 0 && q.Log == nil { // recorded to be compared
		for _, e := range res.Recorded {
			out.Recorded = append(out.Recorded, event{Number: e.Number, Hash: e.Hash, Text: strings.Join(append([]string{e.String()}, e.Digests...), " | ")})
		}
	}
	if q.Why > 0 {
		for _, e := range res.Why(q.Why) {
			out.Why = append(out.Why, e.String())
		}
	}
	return out
}

// aboutCheckers tells whether a violation of a check is a bug of a checker and not
// of the database.
func aboutCheckers(check string) bool {
	return check == "agreement" || check == "transactions-agreement" || check == verify.Evidence
}

// notes tell what a reader would otherwise miss, or take for something else.
func notes(q request, res *scenarios.Result) []string {
	var list []string
	if res.Cut {
		list = append(list, fmt.Sprintf("stopped at %s: no check was made that needs the run's end", res.End))
	}
	if q.Fork != nil && res.Events < q.Fork.Event {
		list = append(list, fmt.Sprintf("not forked: the run ended after %d events", res.Events))
	}
	if len(res.Deaths) > 0 {
		var kinds []string
		count := map[string]int{}
		for _, d := range res.Deaths {
			if d = oneLine(d); count[d] == 0 {
				kinds = append(kinds, d)
			}
			count[d]++
		}
		for i, d := range kinds {
			if i == maxDeaths {
				list = append(list, fmt.Sprintf("... and %d other kinds of deaths", len(kinds)-i))
				break
			}
			if count[d] > 1 {
				d += fmt.Sprintf(" (%d times)", count[d])
			}
			list = append(list, d)
		}
	}
	for _, name := range res.Unknown {
		if _, set := res.Scenario.Knobs.Set[name]; set && res.Scenario.Knobs.Perturb {
			list = append(list, fmt.Sprintf("the scenario sets the knob %s, which nobody asked for", name))
		}
	}
	return list
}

// maxDeaths is how many kinds of deaths are told.
const maxDeaths = 6

func unit(effects int64) string {
	if effects == 1 {
		return "effect"
	}
	return "effects"
}

// operations counts by kind and outcome, in the order of kinds. What consists of
// several actions is a batch, or in conversation a transaction; what was undone on the
// way is part of one.
func operations(h *history.History) []opCount {
	kinds := [...]history.F{history.Read, history.Write, history.CAS, history.Increment, history.Add, history.Delete, history.Scan, history.Append}
	counts := make([]opCount, len(kinds)+1)
	for i, k := range kinds {
		counts[i].Kind = k.String()
	}
	counts[len(kinds)].Kind = "batch"
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Err == history.Undone {
			continue
		}
		if strings.Contains(op.Gateway, "/") {
			counts[len(kinds)].Kind = "transaction"
		}
		at := len(kinds)
		if len(op.Actions) == 1 {
			at = slices.Index(kinds[:], op.Actions[0].F)
		}
		switch op.Outcome {
		case history.OK:
			counts[at].OK++
		case history.Fail:
			counts[at].Failed++
		default:
			counts[at].Info++
		}
	}
	return slices.DeleteFunc(counts, func(c opCount) bool { return c.OK+c.Failed+c.Info == 0 })
}

// writeFiles writes the report's folder and lists what a person should open.
func writeFiles(q request, res *scenarios.Result, out *result) ([]string, error) {
	rep := &report.Report{
		Title: res.Scenario.Doc, Scenario: res.Scenario.Name, Seed: res.Seed, TraceHash: out.Trace,
		Events: res.Events, SimTime: time.Duration(res.End), WallTime: time.Duration(out.Wall),
		Verdicts: res.Verdicts, History: res.History, Reproduce: q.command("go run ./cmd/simulate"), Plan: res.Plan.String(),
	}
	var err error
	if rep.Leads, err = leads(q, res, out); err != nil {
		return nil, err
	}
	fill(rep, res)
	for _, x := range extras(res, out) {
		if x.text != "" {
			rep.Files = append(rep.Files, report.File{Name: x.name, Doc: x.doc})
		}
	}
	if err := rep.Write(q.Out); err != nil {
		return nil, err
	}
	files := []string{filepath.Join(q.Out, "index.html"), filepath.Join(q.Out, "plan.txt")}
	for _, x := range extras(res, out) {
		name := filepath.Join(q.Out, x.name)
		if x.text == "" {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err // what an earlier run left would mislead
			}
			continue
		}
		if err := os.WriteFile(name, []byte(x.text), 0o644); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	if rep.Trace != nil {
		files = append(files, filepath.Join(q.Out, "trace.txt"))
	}
	return files, nil
}

// fill puts into the report what the result tells of the run itself: where everything was,
// what broke, and what was reached.
func fill(rep *report.Report, res *scenarios.Result) {
	rep.Places = placesOf(res)
	for i, n := range res.Topology.All() {
		node := report.Node{Name: n.Name, Region: n.Region, Zone: n.Zone}
		if i >= len(res.Topology.Nodes) {
			node.Note = "spare"
		}
		rep.Topology = append(rep.Topology, node)
	}
	for _, c := range res.Topology.Clients {
		rep.Clients = append(rep.Clients, c.Name)
	}
	for _, f := range res.Faults {
		if f.Done > 0 {
			rep.Faults = append(rep.Faults, report.Fault{Line: f.Fault.String(), Family: f.Fault.Kind.Family().String(),
				Targets: f.Fault.Targets(res.Topology), Start: int64(f.Start), End: int64(f.End), Effects: f.Count})
		}
	}
	for _, p := range res.Probes {
		rep.Probes = append(rep.Probes, report.Probe{Name: string(p.Probe), Count: p.Count})
	}
	for _, k := range res.Knobs {
		rep.Knobs = append(rep.Knobs, knobLine(k))
	}
	if len(res.Recorded) > 0 {
		var b bytes.Buffer
		for i := range res.Recorded {
			fmt.Fprintln(&b, &res.Recorded[i])
		}
		rep.Trace = b.Bytes()
	}
	if regs, o, ok := res.Registers(); ok && regs.PictureKey != "" {
		var b bytes.Buffer
		if err := checker.Picture(&b, res.History, o, regs.PictureKey); err == nil {
			rep.Porcupine, rep.PorcupineKey = b.Bytes(), regs.PictureKey
		}
	}
}

// extra is a file that the report does not write itself, empty if this run has none.
type extra struct{ name, doc, text string }

func extras(res *scenarios.Result, out *result) []extra {
	var stacks strings.Builder
	for _, f := range res.Findings {
		fmt.Fprintf(&stacks, "%s\n%s\n", &f, f.Stack)
	}
	return []extra{
		{"scenario.toml", "this run as a scenario, with every draw made", res.Pin().String()},
		{"stacks.txt", "the whole stack of each panic", stacks.String()},
		{"why.txt", "the chain of causes that was asked for", strings.Join(out.Why, "\n")},
	}
}

func knobLine(k scenarios.KnobValue) report.Knob {
	line := report.Knob{Name: k.Name, Value: fmt.Sprint(k.Value)}
	for _, known := range server.Knobs() {
		if known.Name == k.Name {
			line.Value, line.Default = knobValue(known, k.Value), knobValue(known, known.Default)
		}
	}
	return line
}

// knobValue prints a knob's value: those whose unit is nanoseconds as times.
func knobValue(k *env.Knob, v int64) string {
	if strings.HasSuffix(k.Doc, " ns") || strings.Contains(k.Doc, " ns;") || strings.Contains(k.Doc, " ns,") {
		return time.Duration(v).String()
	}
	return fmt.Sprint(v)
}
