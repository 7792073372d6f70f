package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// change makes a patch of the fake module that puts body into the named rule.
func change(id, header, rule, body string) string {
	lines := map[string]string{
		"Safe": "@@ -5,5 +5,6 @@\n func Safe(seed int) bool {\n+\t%s\n \tif seed < 0 {\n \t\treturn false\n \t}\n \treturn true\n",
		"Live": "@@ -13,3 +13,4 @@\n func Live(seed int) bool {\n+\t%s\n \treturn true\n }\n",
		"Sane": "@@ -18,2 +18,3 @@\n func Sane(seed int) {\n+\t%s\n }\n",
	}
	return fmt.Sprintf("id: %s\nrule: made up %s\n%s\n\n--- a/rules/rules.go\n+++ b/rules/rules.go\n", id, rule, header) + fmt.Sprintf(lines[rule], body)
}

// lab is a folder of patches and the fake module, with a log of the runs made.
type lab struct {
	dir, out, log string
}

func newLab(t *testing.T, patches ...string) lab {
	t.Helper()
	l := lab{dir: t.TempDir(), out: t.TempDir(), log: filepath.Join(t.TempDir(), "log")}
	t.Setenv("FAKE_LOG", l.log)
	for i, p := range patches {
		if err := os.WriteFile(filepath.Join(l.dir, fmt.Sprintf("%02d.patch", i)), []byte(p), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l lab) run(more ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	args := append([]string{"-dir", l.dir, "-C", "testdata/fake", "-out", l.out, "-seeds", "30", "-jobs", "3"}, more...)
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// runs counts the runs made so far.
func (l lab) runs() int {
	text, _ := os.ReadFile(l.log)
	return bytes.Count(text, []byte("\n"))
}

const swept = "scenarios: busy\nchecks: linearizable"

// Each way for a patch to end has its row and its part in the exit code.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		code        int
		row         string // a pattern for the table's row
		also        string
	}{
		{"caught", change("A", swept, "Safe", "if seed%7 == 5 { return false }"), 0, `^A .* caught +linearizable +5 +5 +5 `, ""},
		{"not caught", change("A", swept, "Safe", "if seed == 31 { return false }"), 1, `^A .* NOT CAUGHT +- +- +>30 +30 `, ""},
		{"stall", change("A", swept, "Live", "if seed == 9 { return false }"), 0, `caught +progress \(unexpected\) +9 +9 +9 `, ""},
		{"two scenarios", change("A", "scenarios: calm, busy", "Safe", "if seed == 3 { return false }"), 0, `caught +linearizable +3 +3 +6 `, ""},
		{"all scenarios", change("A", "scenarios: all", "Safe", "if seed == 4 { return false }"), 0, `caught +linearizable +4 +4 +8 `, ""},
		{"control", change("A", swept+"\ncontrol: true", "Live", "if seed == 9 { return false }"), 0, `control ok +- +- +- +30 `, ""},
		{"flagged control", change("A", swept+"\ncontrol: true", "Safe", "if seed == 9 { return false }"), 1, `FLAGGED +linearizable +9 `, "a check objects to what is safe"},
		{"panic", change("A", swept, "Sane", `if seed == 2 { panic("mad") }`), 1, `NOT CAUGHT`, "1 runs ended without a verdict, the first is busy -seed 2, exit 1"},
		{"does not apply", strings.Replace(change("A", swept, "Safe", "return false"), "return true", "return maybe", 1), 2, `^A .* ERROR`,
			`rules/rules.go: hunk 1 (`},
		{"does not build", change("A", swept, "Safe", "return 7"), 2, `ERROR`, "rules/rules.go:6"},
		{"no such file", strings.ReplaceAll(change("A", swept, "Safe", "return false"), "rules.go", "none.go"), 2, `ERROR`, "none.go cannot be read"},
		{"no such scenario", change("A", "scenarios: unknown", "Safe", "if seed == 1 { return false }"), 2, `ERROR`, "no such scenario"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := newLab(t, c.patch).run()
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
			lines := strings.Split(out, "\n")
			if !regexp.MustCompile(c.row).MatchString(lines[1]) {
				t.Errorf("row %q does not match %q", lines[1], c.row)
			}
			if !strings.Contains(out, c.also) {
				t.Errorf("nothing says %q in\n%s", c.also, out)
			}
		})
	}
}

// A catch at a seed that fails without the patch, too, is no evidence.
func TestUnpatchedFailureDoesNotCount(t *testing.T) {
	code, out, _ := newLab(t, change("A", swept, "Safe", "if seed == 40 { return false }")).run("-seeds", "50")
	if code != 1 || !strings.Contains(out, "1 catches do not count") || !strings.Contains(out, "NOT CAUGHT") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Blocks are disjoint, each stops at its first catch, and the median is of their
// depths.
func TestBlocks(t *testing.T) {
	l := newLab(t, change("A", swept, "Safe", "if seed == 4 || seed == 12 || seed == 29 { return false }"))
	code, out, _ := l.run("-seeds", "10", "-blocks", "3")
	if code != 0 || !regexp.MustCompile(`(?m)^A .* caught +linearizable +4 +4 +15 `).MatchString(out) { // depths 4, 2, 9
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// What was run once is not run again: a second measurement gives the same table
// from what is kept, also when the last line was cut short by a kill.
func TestResume(t *testing.T) {
	l := newLab(t, change("A", swept, "Safe", "if seed == 20 { return false }"))
	wall := regexp.MustCompile(`\S+s\n`)
	_, first, _ := l.run("-jobs", "1")
	made := l.runs()
	if made < 20 {
		t.Fatalf("%d runs made", made)
	}
	_, second, _ := l.run("-jobs", "1")
	if a, b := wall.ReplaceAllString(first, ""), wall.ReplaceAllString(second, ""); a != b {
		t.Errorf("first\n%s\nthen\n%s", a, b)
	}
	if l.runs() != made {
		t.Errorf("%d runs were made again", l.runs()-made)
	}
	names, _ := filepath.Glob(filepath.Join(l.out, "*.jsonl"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		if err := os.WriteFile(name, text[:len(text)-5], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, third, _ := l.run("-jobs", "1")
	if a, b := wall.ReplaceAllString(first, ""), wall.ReplaceAllString(third, ""); a != b {
		t.Errorf("first\n%s\nafter a kill\n%s", a, b)
	}
	if again := l.runs() - made; again < 1 || again > 2 {
		t.Errorf("%d runs were made again, want the one or two whose lines were cut", again)
	}
}

// -check builds each patch and runs nothing; a patch that does not apply fails it.
func TestCheckOnly(t *testing.T) {
	good, bad := change("A", swept, "Safe", "return false"), change("B", swept, "Safe", "return 7")
	l := newLab(t, good)
	if code, out, _ := l.run("-check"); code != 0 || !strings.Contains(out, "builds") || l.runs() > 0 {
		t.Errorf("exit code %d after %d runs\n%s", code, l.runs(), out)
	}
	if code, out, _ := newLab(t, good, bad).run("-check"); code != 2 || !strings.Contains(out, "does not build") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Patches are chosen by id, and wrong flags are usage errors with a remedy.
func TestUsage(t *testing.T) {
	l := newLab(t, change("A", swept, "Safe", "return false"), change("B", swept, "Safe", "if seed == 2 { return false }"))
	if code, out, _ := l.run("-only", "b"); code != 0 || strings.Contains(out, "\nA ") || !strings.Contains(out, "\nB ") {
		t.Errorf("-only: exit code %d\n%s", code, out)
	}
	for _, args := range [][]string{{"-only", "C"}, {"-seeds", "0"}, {"stray"}, {"-nonsense"}, {"-dir", t.TempDir()}, {"-dir", ""}} {
		if code, _, errs := l.run(args...); code != 2 || errs == "" {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
}
