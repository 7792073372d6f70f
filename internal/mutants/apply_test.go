package main

import (
	"strings"
	"testing"
)

const file = "one\ntwo\nthree\nfour\nfive\nsame\nsame\nlast"

// A hunk applies where its lines match exactly; it may have moved if they stand in
// one place only; anything else is an error that names file, hunk and line.
func TestApply(t *testing.T) {
	for _, c := range []struct {
		name, hunks string
		want        string // of the file afterwards, or
		err         string // part of the error
		note        string
	}{
		{name: "in place", hunks: "@@ -2,2 +2,2 @@\n two\n-three\n+3\n", want: "one\ntwo\n3\nfour\nfive\nsame\nsame\nlast"},
		{name: "two hunks", hunks: "@@ -1 +1,2 @@\n one\n+more\n@@ -4,2 +5 @@\n-four\n five\n", want: "one\nmore\ntwo\nthree\nfive\nsame\nsame\nlast"},
		{name: "moved", hunks: "@@ -1,2 +1,1 @@\n three\n-four\n", want: "one\ntwo\nthree\nfive\nsame\nsame\nlast", note: "applied +2 lines off, at line 3"},
		{name: "at the end", hunks: "@@ -7,2 +7,2 @@\n same\n-last\n\\ No newline at end of file\n+end\n", want: "one\ntwo\nthree\nfour\nfive\nsame\nsame\nend\n"},
		{name: "ambiguous", hunks: "@@ -1,1 +1,1 @@\n-same\n+other\n", err: "a.go: hunk 1 (p.patch:6) does not apply: its lines stand at [6 7]"},
		{name: "gone", hunks: "@@ -2,2 +2,1 @@\n two\n-drei\n", err: `hunk 1 (p.patch:6) does not apply: line 3: want "drei\n", the file has "three\n"`},
		{name: "past the end", hunks: "@@ -20 +20 @@\n-x\n+y\n", err: "but the file has 8 lines"},
		{name: "blank differs", hunks: "@@ -2 +2 @@\n-two \n+2\n", err: `want "two \n"`},
		{name: "overlap", hunks: "@@ -2,2 +2,2 @@\n two\n-three\n+3\n@@ -3 +3 @@\n-three\n+3\n", err: "hunk 2 (p.patch:10) does not apply: it overlaps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseMutant("p.patch", "id: X\nrule: r\nscenarios: s\n--- a/a.go\n+++ b/a.go\n"+c.hunks)
			if err != nil {
				t.Fatal(err)
			}
			got, notes, err := m.Files[0].Apply(m.File, file)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
			if strings.Join(notes, "\n") == "" != (c.note == "") || !strings.Contains(strings.Join(notes, "\n"), c.note) {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
}

// A patch file that is not in order is an error that names its line.
func TestParseErrors(t *testing.T) {
	const head = "id: X\nrule: r\nscenarios: s\n\n"
	for _, c := range []struct{ name, text, err string }{
		{"unknown key", "id: X\nrules: r\n", `p:2: unknown key "rules"`},
		{"no id", "rule: r\nscenarios: s\n\n", "the header has no id"},
		{"no scenario", "id: X\nrule: r\n\n", "names no scenarios"},
		{"prose", "id: X\nsome words\n", "p:2: the header has lines"},
		{"no diff", head, "no diff follows"},
		{"creation", head + "--- /dev/null\n+++ b/new.go\n@@ -0,0 +1 @@\n+x\n", `p:6: the change is of "/dev/null" to "new.go"`},
		{"new file mode", head + "diff --git a/x b/x\nnew file mode 100644\n", "p:6:"},
		{"outside", head + "--- a/../x.go\n+++ b/../x.go\n@@ -1 +1 @@\n-a\n+b\n", "not inside the module"},
		{"short hunk", head + "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n", "promises 3 old and 3 new lines and has 2 and 2"},
		{"long hunk", head + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-b\n+c\n d\n", "p:10:"},
		{"bad range", head + "--- a/x\n+++ b/x\n@@ -one +1 @@\n", "p:7:"},
		{"bad control", "id: X\ncontrol: maybe\n", "true or false"},
		{"twice", head + strings.Repeat("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-b\n+c\n", 2), "changed twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseMutant("p", c.text)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
