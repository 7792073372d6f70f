package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

func printJSON(w io.Writer, v any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// paint puts text in the colour of an exit code, on a terminal.
func (a *app) paint(code int, text string) string {
	if !a.color {
		return text
	}
	color := "31" // red
	switch code {
	case exitOK:
		color = "32"
	case exitUnknown, exitVacuous:
		color = "33"
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// report prints one run for people. The line that begins with "trace" and the last
// line, the command, are for scripts as well.
func (a *app) report(q request, r *result, twice bool) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s, seed %d: %s\n", r.Scenario, r.Seed, a.paint(r.Exit, r.Outcome))
	if r.Topology != "" {
		fmt.Fprintf(w, "\ntopology\n%s\n", indent(r.Topology))
	}
	reportFaults(w, r.Faults)
	reportOperations(w, r.Operations)
	a.reportVerdicts(w, r.Verdicts)
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "\nnotes\n%s\n", indent(strings.Join(r.Notes, "\n")))
	}
	reportRanges(w, r.Ranges)
	if len(r.Unreached) > 0 {
		head := "probes never reached"
		if r.Probes > 0 {
			head += fmt.Sprintf(": %d of %d", len(r.Unreached), r.Probes)
		}
		fmt.Fprintf(w, "\n%s\n%s\n", head, indent(flow(r.Unreached, 100)))
	}
	reportWhy(w, q, r)
	if r.Internal != "" {
		fmt.Fprintf(w, "\ninternal error\n%s\n", indent(r.Internal))
	}
	if r.Difference != "" {
		fmt.Fprintf(w, "\nnot deterministic\n%s\n", indent(r.Difference))
	}
	if len(r.Files) > 0 {
		fmt.Fprintf(w, "\nfiles\n%s\n", indent(strings.Join(r.Files, "\n")))
	}
	a.reportHint(w, q, r)
	fmt.Fprintf(w, "\n%s\n", pace(r.Events, r.Virtual, r.Wall))
	if twice && r.Difference == "" && r.Internal == "" {
		fmt.Fprintln(w, "run twice: the traces are the same")
	}
	if r.Trace != "" {
		fmt.Fprintf(w, "trace %s\n", r.Trace)
	}
	fmt.Fprint(w, q.command(a.name()))
	if twice {
		fmt.Fprint(w, " -check-determinism")
	}
	fmt.Fprintln(w)
	_, err := io.WriteString(a.stdout, w.String())
	return err
}

func reportRanges(w io.Writer, events []eventCount) {
	var list []string
	for _, e := range events {
		list = append(list, fmt.Sprintf("%s %d", e.Kind, e.Count))
	}
	if len(list) > 0 {
		fmt.Fprintf(w, "\nranges\n%s\n", indent(strings.Join(list, ", ")))
	}
}

func reportFaults(w io.Writer, faults []faultCount) {
	fmt.Fprintf(w, "\nfaults\n")
	if len(faults) == 0 {
		fmt.Fprintln(w, "  none: the plan is empty")
		return
	}
	var idle []string
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range faults {
		if f.Effects == 0 {
			idle = append(idle, f.Fault)
			continue
		}
		fmt.Fprintf(t, "  %s\t%d %s\n", f.Fault, f.Effects, f.Unit)
	}
	t.Flush()
	if len(idle) > 0 {
		fmt.Fprintf(w, "\nfaults that did nothing\n%s\n", indent(strings.Join(idle, "\n")))
	}
}

func reportOperations(w io.Writer, ops []opCount) {
	if len(ops) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "operations\tok\tfailed\tunknown\t")
	for _, o := range ops {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t\n", o.Kind, o.OK, o.Failed, o.Info)
	}
	t.Flush()
}

func (a *app) reportVerdicts(w io.Writer, verdicts []verdict) {
	if len(verdicts) == 0 {
		return
	}
	width := 0
	for _, v := range verdicts {
		width = max(width, len(v.Check))
	}
	fmt.Fprintf(w, "\nverdicts\n")
	for _, v := range verdicts {
		word := v.Verdict
		if v.exit() == exitLiveness {
			word = "liveness violation"
		}
		line := fmt.Sprintf("  %-*s  %s", width, v.Check, a.paint(v.exit(), word))
		if v.Summary != "" {
			line += ": " + oneLine(v.Summary)
		}
		fmt.Fprintln(w, line)
		if v.Confirmed != "" {
			fmt.Fprintf(w, "    confirmed: %s\n", v.Confirmed)
		}
		reportDetails(w, v.Summary, v.Details)
	}
}

// What a terminal shows of a verdict's details: one example, explained. The files
// have all.
const (
	maxDetailLines = 24
	maxLine        = 300 // characters
)

// reportDetails explains a summary by the first of the details; what the summary
// has said already is left out.
func reportDetails(w io.Writer, summary string, details []string) {
	if len(details) == 0 {
		return
	}
	first := strings.TrimPrefix(strings.TrimRight(details[0], "\n")+"\n", strings.TrimRight(summary, "\n")+"\n")
	var lines []string
	if first != "" {
		lines = strings.Split(strings.TrimRight(first, "\n"), "\n")
	}
	for i, l := range lines {
		if i == maxDetailLines {
			fmt.Fprintf(w, "    ... and %d more lines\n", len(lines)-i)
			break
		}
		fmt.Fprintf(w, "    %s\n", cut(l))
	}
	if more := len(details) - 1; more > 0 {
		fmt.Fprintf(w, "    ... and %d more like this, in results.json and index.html\n", more)
	}
}

// oneLine is the beginning of a text, for a place that has one line.
func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return cut(s)
}

func cut(s string) string {
	if len(s) > maxLine {
		return strings.ToValidUTF8(s[:maxLine], "") + " ..."
	}
	return s
}

// maxWhy is how many links of a chain of causes a terminal shows.
const maxWhy = 40

// reportWhy prints the chain of causes, the event that was asked for last.
func reportWhy(w io.Writer, q request, r *result) {
	switch n := len(r.Why); {
	case q.Why == 0:
	case n == 0:
		fmt.Fprintf(w, "\nwhy event %d\n  the run has no such event: it ended after %d\n", q.Why, r.Events)
	default:
		fmt.Fprintf(w, "\nwhy event %d\n", q.Why)
		if n > maxWhy {
			fmt.Fprintf(w, "  ... %d earlier causes are in why.txt\n", n-maxWhy)
		}
		for _, text := range r.Why[max(0, n-maxWhy):] {
			head, notes, _ := strings.Cut(text, " | ")
			fmt.Fprintf(w, "  %s\n", head)
			for note := range strings.SplitSeq(notes, " | ") {
				if note != "" {
					fmt.Fprintf(w, "      %s\n", cut(note))
				}
			}
		}
	}
}

// reportHint says where to look next when something is wrong.
func (a *app) reportHint(w io.Writer, q request, r *result) {
	if r.Exit == exitOK || r.Exit == exitVacuous || r.Trace == "" || q.Log != nil {
		return
	}
	fmt.Fprint(w, "\nnext: the same with -v writes trace.txt (every event, message and operation); with -why EVENT it tells an event's causes\n")
	for _, l := range r.Leads {
		fmt.Fprintf(w, "  what led to the answer of T%d: %s -why %d\n", l.Op, q.command(a.name()), l.Answer)
	}
}

// pace tells how much was simulated and how fast.
func pace(events uint64, virtual, wall int64) string {
	s := fmt.Sprintf("%d events, %v simulated in %v", events, short(virtual), short(wall))
	if wall > 0 {
		s += fmt.Sprintf(", %.1f times real time", float64(virtual)/float64(wall))
	}
	return s
}

// short is a duration in nanoseconds with few digits.
func short(ns int64) time.Duration {
	d := time.Duration(ns)
	if d >= 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// flow sets a list as a paragraph of the given width.
func flow(list []string, width int) string {
	var b strings.Builder
	column := 0
	for i, s := range list {
		if i < len(list)-1 {
			s += ";"
		}
		switch {
		case i == 0:
		case column+1+len(s) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(s)
		column += len(s)
	}
	return b.String()
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

// list prints what there is to run.
func (a *app) list(asJSON bool) error {
	sections := a.runner.Catalog()
	if asJSON {
		return printJSON(a.stdout, sections, "  ")
	}
	for i, s := range sections {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintln(a.stdout, s.Title)
		t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
		for _, e := range s.Entries {
			fmt.Fprintf(t, "  %s\t%s\n", e.Name, e.Doc)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}
