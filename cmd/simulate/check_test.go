package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"simulacrum/checker/history"
)

// Goldens of simulate check, each file opening with its claim. "file NAME" writes
// a history into a folder, "check" runs the sub-command there.
func TestCheck(t *testing.T) {
	datadriven.Walk(t, "checkdata", func(t *testing.T, path string) {
		dir := t.TempDir()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if d.Cmd == "file" {
				if err := root.WriteFile(d.CmdArgs[0].Key, []byte(d.Input+"\n"), 0o666); err != nil {
					t.Fatal(err)
				}
				return ""
			}
			a, _, out, errs := newApp(t)
			args := strings.Fields(strings.ReplaceAll(d.Input, "@", dir+"/"))
			code := a.run(append([]string{"check"}, args...))
			text := out.String()
			if errs.Len() > 0 {
				text += "stderr: " + errs.String()
			}
			text = strings.ReplaceAll(text, dir+"/", "@")
			return strings.ReplaceAll(fmt.Sprintf("%sexit code %d\n", text, code), "\n\n", "\n \n")
		})
	})
}

// The exit code on each labelled history of the public suites is that of its
// label: 0 for valid, 3 for not.
func TestCheckLabels(t *testing.T) {
	labels, err := history.Labels()
	if err != nil {
		t.Fatal(err)
	}
	if labels == nil {
		t.Skip("no folder shared/data/histories beside or above this one; set SIMULACRUM_SHARED to its parent")
	}
	judged := 0
	for _, l := range labels {
		a, _, out, errs := newApp(t)
		want := map[bool]int{true: exitOK, false: exitSafety}[l.Valid]
		if code := a.run([]string{"check", "-model", l.Model, l.File}); code != want {
			t.Errorf("%s as %s ends with %d, want %d\n%s%s", l.Name, l.Model, code, want, out, errs)
		}
		judged++
	}
	if judged < 63 {
		t.Errorf("only %d labelled histories were judged", judged)
	}
}
