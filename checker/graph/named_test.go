package graph_test

import (
	"slices"
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/verify"
)

// script reads a history of one transaction a line, in the manner of the tables
// in Adya's thesis: "ok 0-9 c1: append x 1, r x [1]". Results and values follow.
func script(t *testing.T, lines ...string) *history.History {
	t.Helper()
	h := &history.History{}
	for i, line := range lines {
		head, body, _ := strings.Cut(line, ": ")
		f := strings.Fields(head)
		op := history.Op{ID: i, Client: f[2], Gateway: "n1", Return: history.Never}
		if f[0] == "stale" {
			op.Outcome, op.Stale = history.OK, true
		} else {
			o, err := history.ParseOutcome(f[0])
			if err != nil {
				t.Fatal(err)
			}
			op.Outcome = o
		}
		from, to, _ := strings.Cut(f[1], "-")
		op.Call = number(t, from)
		if op.Outcome != history.Info {
			op.Return = number(t, to)
		}
		for _, s := range strings.Split(body, ", ") {
			f := strings.SplitN(s, " ", 3)
			kind, err := history.ParseF(f[0])
			if err != nil {
				t.Fatal(err)
			}
			a := history.Action{F: kind, Key: f[1]}
			switch {
			case kind.Writes():
				a.Arg = history.Int(number(t, f[2]))
			case f[2] == "nothing":
				a.Result = history.NoKey()
			case f[2][0] == '[':
				ns := []int64{}
				for _, n := range strings.Fields(strings.Trim(f[2], "[]")) {
					ns = append(ns, number(t, n))
				}
				a.Result = history.List(ns...)
			default:
				a.Result = history.Int(number(t, f[2]))
			}
			op.Actions = append(op.Actions, a)
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	v, err := history.ParseTimestamp(s + ",0")
	if err != nil {
		t.Fatal(err)
	}
	return v.Wall
}

// The least history of each anomaly has its name, and its neighbours that are legal
// have none.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     graph.Options
		want  string // names, sorted, with spaces between; empty for none
		lines []string
	}{
		{name: "dirty write", want: "G0", lines: []string{"ok 0-9 a: append x 1, append y 1", "ok 0-9 b: append x 2, append y 2", "ok 0-9 c: r x [1 2]", "ok 0-9 d: r y [2 1]"}},
		{name: "aborted read", want: "G1a", lines: []string{"fail 0-9 a: append x 1", "ok 0-9 b: r x [1]"}},
		{name: "intermediate read", want: "G-single G1b", lines: []string{"ok 0-9 a: append x 1, append x 2", "ok 0-9 b: r x [1]", "ok 0-9 c: r x [1 2]"}},
		{name: "circular information", want: "G1c", lines: []string{"ok 0-9 a: append x 1, r y [1]", "ok 0-9 b: append y 1, r x [1]"}},
		{name: "read skew", want: "G-single", lines: []string{"ok 0-9 a: append x 1, append y 1", "ok 0-9 b: r x [1], r y []"}},
		{name: "write skew", want: "G2-item", lines: []string{"ok 0-9 a: r x [], append y 1", "ok 0-9 b: r y [], append x 1"}},
		{name: "long fork", want: "G-nonadjacent", lines: []string{"ok 0-9 a: append x 1", "ok 0-9 b: append y 1", "ok 0-9 c: r x [1], r y []", "ok 0-9 d: r x [], r y [1]"}},
		{name: "lost update", want: "lost-update", lines: []string{"ok 0-9 a: r x [], append x 1", "ok 0-9 b: r x [], append x 2", "ok 0-9 c: r x [1 2]"}},
		{name: "lost update that nobody saw", want: "lost-update", lines: []string{"ok 0-9 a: r x [], append x 1", "ok 0-9 b: r x [], append x 2"}},
		{name: "own writes missed", want: "internal", lines: []string{"ok 0-9 a: append x 1, r x []"}},
		{name: "two views in one", want: "internal", lines: []string{"ok 0-9 a: append x 1", "ok 0-9 b: r x [], r x [1]"}},
		{name: "dirty update", want: "G1a dirty-update", lines: []string{"fail 0-9 a: append x 1", "ok 0-9 b: append x 2", "ok 0-9 c: r x [1 2]"}},
		{name: "two pasts", want: "incompatible-order", lines: []string{"ok 0-9 a: append x 1", "ok 0-9 b: append x 2", "ok 0-9 c: r x [1 2]", "ok 0-9 d: r x [2 1]"}},
		{name: "twice", want: "duplicate-elements", lines: []string{"ok 0-9 a: append x 1", "ok 0-9 c: r x [1 1]"}},
		{name: "from nowhere", want: "garbage-read", lines: []string{"ok 0-9 a: append x 1", "ok 0-9 c: r x [1 7]"}},
		{name: "from elsewhere", o: graph.Options{Imported: true}, lines: []string{"ok 0-9 a: append x 1", "ok 0-9 c: r x [1 7]"}},
		{name: "stale read", want: "G-single-realtime", lines: []string{"ok 0-9 a: append x 1", "ok 10-19 b: r x []", "ok 0-99 c: r x [1]"}},
		{name: "stale read, asked for", lines: []string{"ok 0-9 a: append x 1", "stale 10-19 b: r x []", "ok 0-99 c: r x [1]"}},
		{name: "stale read, clocks off", o: graph.Options{SkewExceeded: true}, lines: []string{"ok 0-9 a: append x 1", "ok 10-19 b: r x []", "ok 0-99 c: r x [1]"}},
		{name: "writes reversed, clocks off", o: graph.Options{SkewExceeded: true}, want: "G0-realtime", lines: []string{"ok 0-9 a: append x 1", "ok 10-19 b: append x 2", "ok 0-99 c: r x [2 1]"}},
		{name: "real time through another key", lines: []string{"ok 0-5 a: r x [1], append y 1", "ok 10-15 b: r y [], r x [], append z 1", "ok 0-99 c: append x 1"}, want: "G-single-realtime"},
		{name: "two reads of one key", lines: []string{"ok 0-5 a: r x [1]", "ok 10-15 b: r x []", "ok 0-99 c: append x 1"}},
		{name: "unknown outcome has no end", lines: []string{"info 0-9 a: append x 1", "ok 10-19 b: r x []", "ok 20-29 c: r x [1]"}},
		{name: "unknown outcome has a beginning", want: "G1c-realtime", lines: []string{"info 20-29 a: append x 1", "ok 10-19 b: r x [1]"}},
		{name: "seen in part", want: "G-single", lines: []string{"info 0-9 a: append x 1, append y 1", "ok 0-9 b: r x [1], r y []"}},
		{name: "session", want: "G-single-session", o: graph.Options{NoRealTime: true}, lines: []string{"ok 0-9 a: append x 1", "ok 10-19 a: r x []", "ok 0-99 c: r x [1]"}},
		{name: "causal reverse", o: graph.Options{CausalReverse: true}, lines: []string{"ok 0-9 a: append x 1", "ok 10-19 b: append y 1", "ok 5-29 c: r x [], r y [1]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := script(t, c.lines...)
			r := graph.ListAppend(h, c.o)
			var names []string
			for _, a := range r.Anomalies {
				if !a.Warning {
					names = append(names, a.Name)
				}
				if a.Cycle != nil {
					if err := verify.Cycle(h, a.Cycle, c.o); err != nil {
						t.Error(err)
					}
				}
			}
			slices.Sort(names)
			if got := strings.Join(slices.Compact(names), " "); got != c.want {
				t.Errorf("got %q, want %q\n%s", got, c.want, r.Verdict)
			}
			if c.o.CausalReverse && r.Verdict.Count("causal reverse") != 1 {
				t.Errorf("causal reverse not counted: %s", r.Verdict)
			}
			if c.o.Imported && !strings.Contains(r.Verdict.String(), "Warning") {
				t.Errorf("no warning: %s", r.Verdict)
			}
		})
	}
}

// An edge is told in words that name both transactions and what each saw or did.
func TestWords(t *testing.T) {
	h := script(t, "ok 0-9 a: r x [], append y 1", "ok 0-9 b: r y [], append x 5")
	v := graph.ListAppend(h, graph.Options{}).Verdict
	want := `violation list-append: not serializable: G2-item
          transactions 2, reads 2, writes 2, keys 2, ww edges 0, wr edges 0, rw edges 2, session edges 0, real-time edges 0, cyclic components 1, unknown outcomes 0, G2-item 1
    G2-item: each of 2 transactions comes before the next, and the last before the first.
      T0 → T1  rw       T1 appended 5 to x after T0 had read [] there
      T1 → T0  rw       T0 appended 1 to y after T1 had read [] there
      T0: op 0 of a at n1 [T+0.000000s … T+0.000000s] ok r x = []; append y 1
      T1: op 1 of b at n1 [T+0.000000s … T+0.000000s] ok r y = []; append x 5
`
	if v.String() != want {
		t.Errorf("got\n%s\nwant\n%s", v, want)
	}
	if !slices.Equal(v.Ops, []int{0, 1}) {
		t.Errorf("witnesses are %v", v.Ops)
	}
}

// Values that two transactions write cannot be told apart, and that is said.
func TestNotUnique(t *testing.T) {
	h := script(t, "ok 0-9 a: append x 1", "ok 0-9 b: append x 1", "ok 0-9 c: r x [1]")
	if v := graph.ListAppend(h, graph.Options{}).Verdict; v.Valid != checker.Unknown || !strings.Contains(v.Summary, "same value") {
		t.Error(v)
	}
	h = script(t, "fail 0-9 a: append x 1", "ok 0-9 b: append x 1", "ok 0-9 c: r x [1]")
	if v := graph.ListAppend(h, graph.Options{}).Verdict; v.Valid != checker.OK {
		t.Error(v)
	}
	if v := graph.ListAppend(&history.History{}, graph.Options{}).Verdict; v.Valid != checker.Vacuous {
		t.Error(v)
	}
}
