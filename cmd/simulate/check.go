package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"text/tabwriter"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/recorded"
	"simulacrum/checker/report"
	"simulacrum/checker/verify"
)

const checkHead = `usage: simulate check -model M [flags] FILE...

Judges recorded histories: what clients did and were told, by a run of ours or by
any other test. The verdict comes first, then its first example, explained.

  simulate check -model register -keys '*/reg/*' simulate-out/default-7/history.jsonl
  simulate check -model list-append store/db/latest/history.edn

A history from elsewhere may be a part of one: a value that nobody wrote is then a
warning. Ours (jsonl) are whole, and it is a violation; -partial decides otherwise.

exit codes: 0 ok, 1 internal error, 2 usage, 3 violation, 6 unknown, 7 vacuous: the
            history holds too little to judge; of several files the gravest counts
`

// checking are the arguments of simulate check, read.
type checking struct {
	model   recorded.Model
	format  history.Format // "": told by the content
	options recorded.Options
	partial string // "", "true" or "false"
	keys    string
	json    bool
	out     string // folder for reports; "": none are written
	files   []string
}

// checked is what the check of one file gave; its JSON form is the output of -json.
type checked struct {
	File       string            `json:"file"`
	Format     history.Format    `json:"format"`
	Model      string            `json:"model"`
	Operations int               `json:"operations"`
	Exit       int               `json:"exit"`
	Outcome    string            `json:"outcome"`
	Verdicts   []checker.Verdict `json:"verdicts"`
	Report     string            `json:"report,omitempty"` // the page that was written
	history    *history.History
}

// check is the sub-command. It returns the exit code. Files are judged one after
// another; one that cannot be read ends it.
func (a *app) check(args []string) int {
	c, err := parseCheck(args, a.stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return a.end(exitOK, err)
	}
	code := exitOK
	for i, file := range c.files {
		r, err := c.safely(file)
		if err == nil && c.out != "" {
			err = c.write(r)
		}
		if err != nil {
			return a.end(code, err)
		}
		code = gravest(code, r.Exit)
		switch {
		case !c.json:
			if i > 0 {
				fmt.Fprintln(a.stdout)
			}
			err = a.printChecked(r)
		case len(c.files) > 1:
			err = printJSON(a.stdout, r, "")
		default:
			err = printJSON(a.stdout, r, "  ")
		}
		if err != nil {
			return a.end(code, err)
		}
	}
	return code
}

// parseCheck reads the arguments; flags may stand before, between and after files.
func parseCheck(args []string, stderr io.Writer) (*checking, error) {
	c := &checking{}
	f := flag.NewFlagSet("simulate check", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	model := f.String("model", "", "what the history must satisfy: one of the `models` below")
	format := f.String("format", "", "of the files: one of the `formats` below (default: told by the content)")
	f.Func("partial", "`true or false`: the history may lack operations (default: true, but for jsonl)", func(s string) error {
		if c.partial = s; s != "true" && s != "false" {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		return nil
	})
	f.StringVar(&c.keys, "keys", "", "judge only keys like this `pattern`, where * stands for any text")
	f.IntVar(&c.options.Steps, "steps", recorded.DefaultSteps, "`bound` of the search for an order of one key's operations; unknown beyond")
	f.BoolVar(&c.json, "json", false, "print the verdicts as JSON; of several files one line each")
	f.StringVar(&c.out, "out", "", "write a report, with pictures and certificates, into this `folder`; of several files each into its own below it")
	for rest := args; ; {
		if err := f.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				printCheckHelp(stderr, f)
				return nil, err
			}
			return nil, &usageError{What: err.Error(), Remedy: "simulate check -help lists the flags"}
		}
		if rest = f.Args(); len(rest) == 0 {
			break
		}
		c.files, rest = append(c.files, rest[0]), rest[1:]
	}
	return c, c.resolve(*model, *format)
}

// resolve finds the model and the format, and what is missing.
func (c *checking) resolve(model, format string) (err error) {
	if model == "" {
		return &usageError{What: "no model", Remedy: "name what the history must satisfy with -model; simulate check -help lists models"}
	}
	if c.model, err = recorded.Find(model); err != nil {
		return &usageError{What: err.Error()}
	}
	if format != "" {
		if c.format, err = history.ParseFormat(format); err != nil {
			return &usageError{What: err.Error()}
		}
	}
	if len(c.files) == 0 {
		return &usageError{What: "no file to check", Remedy: "name at least one behind the flags"}
	}
	if len(c.files) > 1 && c.out != "" {
		if a, b := sameReport(c.files); a != "" {
			return &usageError{What: fmt.Sprintf("the reports on %s and %s would lie in one folder below %s", a, b, c.out), Remedy: "check them one at a time, each with an -out of its own"}
		}
	}
	if c.options.Steps < 1 {
		return &usageError{What: "-steps must be at least 1"}
	}
	return nil
}

// sameReport finds two files of one name: their reports would overwrite each other.
func sameReport(files []string) (first, second string) {
	for i, f := range files {
		for _, g := range files[:i] {
			if filepath.Base(f) == filepath.Base(g) {
				return g, f
			}
		}
	}
	return "", ""
}

// printCheckHelp prints what there is to say.
func printCheckHelp(w io.Writer, f *flag.FlagSet) {
	fmt.Fprint(w, checkHead)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nmodels:")
	for _, m := range recorded.Models() {
		fmt.Fprintf(t, "  %s\t%s\n", m.Name, m.Doc)
	}
	fmt.Fprintln(t, "\nformats:")
	for _, x := range history.Formats() {
		fmt.Fprintf(t, "  %s\t%s\n", x, x.Doc())
	}
	t.Flush()
	fmt.Fprintln(w, "\nflags:")
	f.SetOutput(w)
	f.PrintDefaults()
}

// safely turns a panic of a reader or checker into an internal error, with the
// stack.
func (c *checking) safely(file string) (r *checked, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("%s: panic: %v\n\n%s", file, p, debug.Stack())
		}
	}()
	return c.judge(file)
}

// judge reads one file and judges it. What a person can mend is a *usageError.
func (c *checking) judge(file string) (*checked, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &usageError{File: file, What: "cannot be read: " + errors.Unwrap(err).Error(), Remedy: "name a file that holds one history"}
	}
	format := c.format
	if format == "" {
		if format, err = history.Detect(text); err != nil {
			return nil, placed(file, err)
		}
	}
	h, err := history.ReadAs(text, format, c.model.Shape)
	if err != nil {
		return nil, placed(file, err)
	}
	h = recorded.Only(h, c.keys)
	o := c.options
	o.Partial = !format.Ours()
	if c.partial != "" {
		o.Partial = c.partial == "true"
	}
	r := &checked{File: file, Format: format, Model: c.model.Name, Operations: len(h.Ops), history: h}
	if r.Verdicts, err = c.model.Judge(h, o); err != nil {
		return nil, &usageError{File: file, What: err.Error(), Remedy: "choose another model with -model, or some of the keys with -keys"}
	}
	for _, v := range r.Verdicts {
		if v.Check == verify.Evidence {
			return nil, fmt.Errorf("%s: %s", file, v.Summary)
		}
	}
	r.Exit = exitOf(checker.Worst(r.Verdicts...))
	r.Outcome = checker.Worst(r.Verdicts...).String()
	return r, nil
}

// write writes the report on one file and notes where its page is.
func (c *checking) write(r *checked) error {
	dir := c.out
	if len(c.files) > 1 {
		dir = filepath.Join(dir, filepath.Base(r.File))
	}
	command := "simulate check -model " + r.Model
	if c.keys != "" {
		command += " -keys " + quote(c.keys)
	}
	if c.partial != "" {
		command += " -partial " + c.partial
	}
	rep := &report.Report{Title: filepath.Base(r.File) + " as " + r.Model, Recorded: r.File, Verdicts: r.Verdicts, History: r.history, Reproduce: command + " " + quote(r.File)}
	r.Report = filepath.Join(dir, "index.html")
	if err := rep.Write(dir); err != nil {
		return &usageError{What: err.Error(), Remedy: "name a folder that can be written with -out"}
	}
	return nil
}

// exitOf is the exit code of a verdict.
func exitOf(v checker.Valid) int {
	switch v {
	case checker.OK:
		return exitOK
	case checker.Violation:
		return exitSafety
	case checker.Vacuous:
		return exitVacuous
	}
	return exitUnknown
}

// atLine is how readers begin their errors.
var atLine = regexp.MustCompile(`^(?:history )?line (\d+):? `)

// placed gives an error of a reader its file and line.
func placed(file string, err error) error {
	u := &usageError{File: file, What: err.Error()}
	if m := atLine.FindStringSubmatch(u.What); m != nil {
		u.Line, _ = strconv.Atoi(m[1])
		u.What = u.What[len(m[0]):]
	}
	return u
}

// printChecked prints the verdict on one file for people.
func (a *app) printChecked(r *checked) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s: %s\n", r.File, a.paint(r.Exit, r.Outcome))
	fmt.Fprintf(w, "  %s, operations: %d, read as %s\n", r.Model, r.Operations, r.Format)
	for _, v := range r.Verdicts {
		fmt.Fprintf(w, "  %s: %s: %s\n", v.Check, a.paint(exitOf(v.Valid), v.Valid.String()), oneLine(v.Summary))
		if v.Confirmed != "" {
			fmt.Fprintf(w, "    confirmed: %s\n", v.Confirmed)
		}
		if len(v.Details) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimRight(v.Details[0], "\n"), "\n")
		for i, l := range lines {
			if i == maxDetailLines {
				fmt.Fprintf(w, "    ... and %d more lines; -json prints all\n", len(lines)-i)
				break
			}
			fmt.Fprintf(w, "    %s\n", cut(l))
		}
		if more := len(v.Details) - 1; more > 0 {
			fmt.Fprintf(w, "    ... and %d more; -json prints all\n", more)
		}
	}
	if r.Report != "" {
		fmt.Fprintf(w, "  report: %s\n", r.Report)
	}
	_, err := io.WriteString(a.stdout, w.String())
	return err
}
