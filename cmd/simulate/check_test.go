package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
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
