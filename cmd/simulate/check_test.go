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

// With -out the check of a file leaves a report: the page with the picture of the
// cycle, and the certificate of what was confirmed. It goes for files of our own,
// and for the recorded one of Elle's paper.
func TestCheckReport(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "skew.edn")
	skew := `{:process 0, :type :invoke, :value [[:append 1 1] [:r 2 nil]]}
{:process 1, :type :invoke, :value [[:append 2 1] [:r 1 nil]]}
{:process 0, :type :ok, :value [[:append 1 1] [:r 2 nil]]}
{:process 1, :type :ok, :value [[:append 2 1] [:r 1 nil]]}
`
	if err := os.WriteFile(bad, []byte(skew), 0o666); err != nil {
		t.Fatal(err)
	}
	files := []string{bad}
	labels, err := history.Labels()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range labels {
		if l.Model == "list-append" && !l.Valid {
			files = append(files, l.File)
		}
	}
	if len(files) == 1 {
		t.Log("no recorded histories beside or above this folder: only our own file was checked")
	}
	out := filepath.Join(dir, "report")
	a, _, stdout, errs := newApp(t)
	if code := a.run(append([]string{"check", "-model", "list-append", "-out", out}, files...)); code != exitSafety {
		t.Fatalf("ends with %d\n%s%s", code, stdout, errs)
	}
	for _, file := range files {
		place := out
		if len(files) > 1 {
			place = filepath.Join(out, filepath.Base(file))
		}
		for name, wants := range map[string][]string{
			"index.html":       {`<svg xmlns="http://www.w3.org/2000/svg" class="cycle"`, "No serial order exists", "verify derived each edge", filepath.Base(file)},
			"certificate.json": {`"valid":"violation"`, `"kind":"rw"`},
			"results.json":     {`"figures"`, `"confirmed"`},
		} {
			text, err := os.ReadFile(filepath.Join(place, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range wants {
				if !strings.Contains(string(text), want) {
					t.Errorf("%s of %s lacks %q", name, file, want)
				}
			}
		}
		if want := "report: " + filepath.Join(place, "index.html"); !strings.Contains(stdout.String(), want) {
			t.Errorf("the command does not say %q:\n%s", want, stdout)
		}
	}
}

// Two files of one name would share a folder: that is refused before anything is
// judged.
func TestCheckReportsOfOneName(t *testing.T) {
	a, _, _, errs := newApp(t)
	if code := a.run([]string{"check", "-model", "list-append", "-out", t.TempDir(), "a/history.edn", "b/history.edn"}); code != exitUsage || !strings.Contains(errs.String(), "a/history.edn and b/history.edn would lie in one folder") {
		t.Errorf("ends with %d: %s", code, errs)
	}
}
