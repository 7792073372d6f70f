package recorded

import (
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Every labelled history of the public suites gets its label: valid is ok and
// invalid is a violation; no verdict is unknown or vacuous.
func TestLabels(t *testing.T) {
	labels, err := history.Labels()
	if err != nil {
		t.Fatal(err)
	}
	if labels == nil {
		t.Skip("no folder shared/data/histories beside or above this one; set SIMULACRUM_SHARED to its parent")
	}
	judged := 0
	for _, l := range labels {
		text, err := os.ReadFile(l.File)
		if err != nil {
			t.Fatal(err)
		}
		vs, err := judge(l.Model, text, Options{Partial: true})
		if err != nil {
			t.Errorf("%s: %v", l.Name, err)
			continue
		}
		if want := map[bool]checker.Valid{true: checker.OK, false: checker.Violation}[l.Valid]; checker.Worst(vs...) != want {
			t.Errorf("%s: want %s, got\n%v", l.Name, want, vs)
		}
		judged++
	}
	if judged < 63 {
		t.Errorf("only %d labelled histories were judged", judged)
	}
}

func judge(model string, text []byte, o Options) ([]checker.Verdict, error) {
	m, err := Find(model)
	if err != nil {
		return nil, err
	}
	format, err := history.Detect(text)
	if err != nil {
		return nil, err
	}
	h, err := history.ReadAs(text, format, m.Shape)
	if err != nil {
		return nil, err
	}
	return m.Judge(h, o)
}

// Goldens of verdicts: each file opens with its claim. A case names its model, and
// whether the history is whole.
func TestVerdicts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			o := Options{Partial: !d.HasArg("whole")}
			d.MaybeScanArgs(t, "steps", &o.Steps)
			vs, err := judge(d.Cmd, []byte(d.Input), o)
			if err != nil {
				return err.Error() + "\n"
			}
			var b strings.Builder
			for _, v := range vs {
				v.Counts = nil
				b.WriteString(v.String())
			}
			return b.String()
		})
	})
}

// A pattern keeps the actions on keys like it, of scans that name their keys too,
// and drops operations that have none left.
func TestOnly(t *testing.T) {
	h, err := history.ReadJSONL(strings.NewReader(`
{"id":0,"client":"c","call":0,"return":1,"outcome":"ok","actions":[{"f":"w","key":"a/x","arg":1},{"f":"w","key":"b/x","arg":1}]}
{"id":1,"client":"c","call":2,"return":3,"outcome":"ok","actions":[{"f":"w","key":"b/y","arg":1}]}
{"id":2,"client":"c","call":4,"return":5,"outcome":"ok","actions":[{"f":"scan","key":"a","arg":{"rows":[["a/x",null],["b/x",null]]},"result":{"rows":[["a/x",1],["b/x",1]]}}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"":    "w a/x 1;w b/x 1;w b/y 1;scan a = {a/x:1 b/x:1};",
		"a/*": "w a/x 1;scan a = {a/x:1};",
		"*/x": "w a/x 1;w b/x 1;scan a = {a/x:1 b/x:1};",
		"*y":  "w b/y 1;",
		"x":   "",
		"a.x": "",
	} {
		var b strings.Builder
		for _, op := range Only(h, pattern).Ops {
			for _, a := range op.Actions {
				b.WriteString(a.String() + ";")
			}
		}
		if b.String() != want {
			t.Errorf("%q keeps %s, want %s", pattern, b.String(), want)
		}
	}
}
