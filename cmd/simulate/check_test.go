package main

import (
	"fmt"
	"os"
	"path/filepath"
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
	dir := history.SharedDir()
	if dir == "" {
		t.Skip("no folder shared/data/histories beside or above this one; set SIMULACRUM_SHARED to its parent")
	}
	dir = filepath.Join(dir, "data", "histories")
	labels, err := os.ReadFile(filepath.Join(dir, "LABELS.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, line := range strings.Split(string(labels), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 3 || strings.HasPrefix(line, "#") {
			continue
		}
		a, _, out, errs := newApp(t)
		want := map[string]int{"true": exitOK, "false": exitSafety}[f[2]]
		if code := a.run([]string{"check", "-model", f[1], filepath.Join(dir, f[0])}); code != want {
			t.Errorf("%s as %s ends with %d, want %d\n%s%s", f[0], f[1], code, want, out, errs)
		}
		judged++
	}
	if judged < 63 {
		t.Errorf("only %d labelled histories were judged", judged)
	}
}
