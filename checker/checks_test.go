package checker

import (
	"bytes"
	"strings"
	"testing"

	"simulacrum/checker/history"
)

// line is one operation in the shorthand of these tests, from call to end.
func line(h *history.History, client string, call, end int64, outcome history.Outcome, ts int64, a ...history.Action) *history.Op {
	op := history.Op{ID: len(h.Ops), Client: client, Call: call, Return: end, Outcome: outcome, Actions: a}
	if ts != 0 {
		op.TS.Wall = ts
	}
	h.Ops = append(h.Ops, op)
	return &h.Ops[len(h.Ops)-1]
}

func w(n int64) history.Action {
	return history.Action{F: history.Write, Key: "x", Arg: history.Int(n)}
}

func r(n int64) history.Action {
	return history.Action{F: history.Read, Key: "x", Result: history.Int(n)}
}

func inc(result int64) history.Action {
	return history.Action{F: history.Increment, Key: "x", Arg: history.Int(1), Result: history.Int(result)}
}

func wants(t *testing.T, v Verdict, valid Valid, text string) {
	t.Helper()
	if v.Valid != valid || !strings.Contains(v.String(), text) {
		t.Errorf("want %s with %q, got %s", valid, text, v)
	}
}

// A stale read is explained with the newer version, its writer and the moments.
func TestStaleReadIsExplained(t *testing.T) {
	h := &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "a", 20, 30, history.OK, 25, w(2))
	line(h, "b", 40, 50, history.OK, 12, r(1))
	v := Register(h, Options{})
	wants(t, v, Violation, "stale read. The write of 2 had ended")
	if len(v.Ops) != 3 || v.Ops[0] != 2 || v.Ops[1] != 1 || v.Ops[2] != 0 {
		t.Errorf("witnesses %v", v.Ops)
	}
	loose := Register(h, Options{SkewExceeded: true})
	wants(t, loose, OK, "1 read was stale")
	if loose.Count("stale reads") != 1 {
		t.Errorf("%s", loose)
	}
}

// Out of bounds of the clocks, a read may be stale but never from the future, and
// writes stay linearizable.
func TestSkewStillForbids(t *testing.T) {
	h := &history.History{}
	line(h, "b", 0, 5, history.OK, 12, r(1))
	line(h, "a", 10, 20, history.OK, 15, w(1))
	wants(t, Register(h, Options{SkewExceeded: true}), Violation, "read from the future")
	h = &history.History{}
	line(h, "a", 0, 10, history.OK, 50, w(1))
	line(h, "a", 20, 30, history.OK, 40, w(2))
	line(h, "a", 40, 50, history.OK, 60, r(1))
	wants(t, Register(h, Options{SkewExceeded: true}), Violation, "timestamps run against real time")
}

// Each way to be wrong has its own words.
func TestExplanations(t *testing.T) {
	h := &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "a", 20, 30, history.OK, 25, r(7))
	wants(t, Register(h, Options{}), Violation, "a phantom")

	h = &history.History{}
	line(h, "a", 0, 10, history.OK, 5, inc(1))
	line(h, "b", 0, 10, history.OK, 6, inc(1))
	line(h, "b", 20, 30, history.OK, 26, r(1))
	wants(t, Register(h, Options{}), Violation, "An update is lost")
	wants(t, Counter(h, Options{}), Violation, "two additions returned 1")

	h = &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "b", 0, 10, history.OK, 5, w(2))
	wants(t, Register(h, Options{}), Violation, "two writers share one timestamp")

	h = &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "b", 20, 30, history.OK, 25, history.Action{F: history.Scan, Arg: history.Rows(history.Row{Key: "x"}, history.Row{Key: "y"}), Result: history.Rows()})
	wants(t, Register(h, Options{}), Violation, "stale read")

	h = &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "b", 20, 30, history.OK, 25, w(3), r(4))
	wants(t, Register(h, Options{}), Violation, "contradicts itself")
}

// An acknowledged write that the store never applied is a loss even if nobody
// read it, and a version nobody wrote is a phantom.
func TestStoredVersionsBind(t *testing.T) {
	h := &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "a", 20, 30, history.OK, 25, w(2))
	line(h, "a", 40, 50, history.OK, 45, r(2))
	two := Version{"x", history.Timestamp{Wall: 25}, history.Int(2)}
	one := Version{"x", history.Timestamp{Wall: 5}, history.Int(1)}
	wants(t, Register(h, Options{Versions: []Version{two, one, one}}), OK, "linearizable")
	wants(t, Register(h, Options{Versions: []Version{two}}), Violation, "never applied a version at that timestamp")
	wants(t, Witness(h, []Version{two}, Options{}), Violation, "never applied")
	ghost := Version{"x", history.Timestamp{Wall: 30}, history.Int(9)}
	wants(t, Witness(h, []Version{one, two, ghost}, Options{}), Violation, "no operation tried to write")
	wants(t, Witness(h, []Version{one, two}, Options{}), OK, "newest of 2 versions")
	wants(t, Witness(h, []Version{one, two, {"x", history.Timestamp{Wall: 25}, history.Int(1)}}, Options{}), Violation, "two different values")
	h.Ops[2].Stale, h.Ops[2].TS = true, history.Timestamp{Wall: 7}
	wants(t, Witness(h, []Version{one, two}, Options{}), Violation, "should have found 1")
	wants(t, Register(h, Options{}), Vacuous, "nothing to judge")
}

// Two replicas that applied the same command give one version, not a conflict; a
// run without reads is vacuous.
func TestWitnessVacuous(t *testing.T) {
	h := &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	v := Version{"x", history.Timestamp{Wall: 5}, history.Int(1)}
	wants(t, Witness(h, []Version{v, v, v}, Options{}), Vacuous, "nothing to judge")
}

// The search out of its bounds is unknown, never ok.
func TestSearchBoundsAreUnknown(t *testing.T) {
	h := &history.History{}
	for i := int64(0); i < 8; i++ {
		line(h, string(rune('a'+i)), 0, 100, history.OK, 0, w(i))
	}
	line(h, "z", 0, 100, history.OK, 0, r(3))
	for _, o := range []Options{{MaxConcurrency: 4}, {MaxOps: 5}, {MaxSteps: 3}} {
		v, _ := Porcupine(h, o)
		wants(t, v, Unknown, "Key x is unknown")
		if w := Worst(Registers(h, o).Verdicts...); w != Unknown {
			t.Errorf("%+v: together %s", o, w)
		}
	}
	wants(t, Registers(h, Options{}).Verdicts[0], OK, "linearizable")
}

// Counters: nothing lost, nothing twice, additions of unknown outcome either way.
func TestCounter(t *testing.T) {
	make := func(final int64) *history.History {
		h := &history.History{}
		line(h, "a", 0, 10, history.OK, 5, inc(1))
		line(h, "a", 20, 30, history.Info, 0, history.Action{F: history.Increment, Key: "x", Arg: history.Int(1)})
		line(h, "b", 20, 30, history.OK, 25, history.Action{F: history.Increment, Key: "x", Arg: history.Int(1)})
		line(h, "b", 40, 50, history.OK, 45, r(final))
		return h
	}
	wants(t, Counter(make(1), Options{}), Violation, "an acknowledged addition is lost")
	wants(t, Counter(make(2), Options{}), OK, "exactly once")
	wants(t, Counter(make(3), Options{}), OK, "exactly once")
	wants(t, Counter(make(4), Options{}), Violation, "counted twice")
	h := make(2)
	h.Ops = h.Ops[:3]
	wants(t, Counter(h, Options{}), Vacuous, "0 of 1 keys have a final read")
	h = &history.History{}
	line(h, "a", 0, 10, history.OK, 5, inc(2))
	line(h, "a", 20, 30, history.OK, 6, inc(1))
	wants(t, Counter(h, Options{}), Violation, "after another had already returned 2")
}

// Sets: lost, phantom, failed, twice, and too early.
func TestSetDurable(t *testing.T) {
	add := func(n int64) history.Action {
		return history.Action{F: history.Add, Key: "s", Arg: history.Int(n)}
	}
	read := func(ns ...int64) history.Action {
		return history.Action{F: history.Read, Key: "s", Result: history.List(ns...)}
	}
	make := func(final ...int64) *history.History {
		h := &history.History{}
		line(h, "a", 0, 10, history.OK, 0, add(1))
		line(h, "b", 0, 10, history.OK, 0, add(2))
		line(h, "a", 20, 30, history.Fail, 0, add(3))
		line(h, "a", 40, 50, history.Info, 0, add(4))
		line(h, "c", 41, 42, history.OK, 0, read(1))
		line(h, "c", 100, 110, history.OK, 0, read(final...))
		line(h, "a", 120, 130, history.Info, 0, add(5))
		return h
	}
	v := SetDurable(make(1, 2, 4), Options{})
	wants(t, v, OK, "all 2 acknowledged")
	if v.Count("stale sightings") != 1 || v.Count("unknown outcome, present at the end") != 1 {
		t.Errorf("%s", v)
	}
	wants(t, SetDurable(make(1), Options{}), Violation, "lacks 1 that were acknowledged")
	wants(t, SetDurable(make(1, 2, 3), Options{}), Violation, "certainly failed")
	wants(t, SetDurable(make(1, 2, 9), Options{}), Violation, "nobody added")
	wants(t, SetDurable(make(1, 2, 2), Options{}), Violation, "twice")
	wants(t, SetDurable(make(1, 2, 5), Options{}), Violation, "only later")
	h := make(1, 2)
	h.Ops = h.Ops[:5]
	h.Ops[4].Call = 5
	wants(t, SetDurable(h, Options{}), Vacuous, "0 of 1 sets")
}

// A run that did too little says so; liveness has its bound; silence is measured.
func TestActivity(t *testing.T) {
	h := &history.History{}
	line(h, "a", 0, 10e9, history.OK, 0, w(1))
	line(h, "b", 5e9, 50e9, history.OK, 0, r(1))
	wants(t, Vacuity(h, []Want{{history.Write, 1}, {history.Read, 1}}), OK, "2 operations")
	wants(t, Vacuity(h, []Want{{history.CAS, 1}}), Vacuous, "cas succeeded 0 times")
	if v := Vacuity(h, nil); v.Count("conflicts") != 2 {
		t.Errorf("%s", v)
	}
	wants(t, Availability(h), OK, "longest time without an answer 40.000 s from T+10")
	wants(t, Liveness(3e9, 10e9, FirstSuccessByKey(h, 3e9, []string{"x"})), Violation, "47.000 s after healing")
	wants(t, Liveness(3e9, 50e9, FirstSuccessByKey(h, 3e9, []string{"x"})), OK, "key x was last")
	wants(t, Liveness(3e9, 50e9, FirstSuccessByKey(h, 3e9, []string{"y"})), Violation, "not before the run ended")
	line(h, "c", 60e9, 61e9, history.OK, 0, history.Action{F: history.Scan, Key: "x", Arg: history.Rows(history.Row{Key: "x"}, history.Row{Key: "y"})})
	wants(t, Liveness(3e9, 50e9, FirstSuccessByKey(h, 3e9, []string{"y"})), OK, "key y was last")
	wants(t, Liveness(0, 1, nil), Vacuous, "nothing")
}

// Worst orders: ok, vacuous, unknown, violation; the zero verdict is unknown.
func TestWorst(t *testing.T) {
	o, v, u, x := Verdict{Valid: OK}, Verdict{Valid: Vacuous}, Verdict{}, Verdict{Valid: Violation}
	for _, c := range []struct {
		in   []Verdict
		want Valid
	}{{nil, Vacuous}, {[]Verdict{o}, OK}, {[]Verdict{o, v}, Vacuous}, {[]Verdict{v, u, o}, Unknown}, {[]Verdict{x, u}, Violation}} {
		if got := Worst(c.in...); got != c.want {
			t.Errorf("%v: %s, want %s", c.in, got, c.want)
		}
	}
}

// Porcupine's page is one file, the same each time.
func TestPicture(t *testing.T) {
	h := &history.History{}
	line(h, "a", 0, 10, history.OK, 5, w(1))
	line(h, "b", 20, 30, history.OK, 25, r(7))
	res := Registers(h, Options{})
	if res.PictureKey != "x" {
		t.Fatalf("picture of %q", res.PictureKey)
	}
	var one, two bytes.Buffer
	if err := Picture(&one, h, Options{}, res.PictureKey); err != nil {
		t.Fatal(err)
	}
	if err := Picture(&two, h, Options{}, res.PictureKey); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) || !strings.Contains(one.String(), "r x = 7") {
		t.Error("the page differs from run to run or lacks the operation")
	}
	if Picture(&one, h, Options{}, "nope") == nil {
		t.Error("a picture of a key that is not there")
	}
}

// What a failed batch found after its own write has gone with it; what it found
// before, it found.
func TestFailedBatch(t *testing.T) {
	batch := func(first, second history.Action) *history.History {
		h := &history.History{}
		line(h, "a", 0, 10, history.OK, 5, w(1))
		op := line(h, "b", 20, 30, history.Fail, 0, first, second, history.Action{F: history.CAS, Key: "y", Arg: history.Int(3), Expect: history.Int(2), Result: history.NoKey()})
		op.Err = history.ConditionFailed
		line(h, "a", 40, 50, history.OK, 45, r(1))
		return h
	}
	for _, res := range []RegisterResult{Registers(batch(w(7), r(7)), Options{}), Registers(batch(r(1), w(7)), Options{})} {
		if v := Worst(res.Verdicts...); v != OK {
			t.Errorf("%s", res.Verdicts)
		}
	}
	res := Registers(batch(r(4), w(7)), Options{})
	wants(t, res.Verdicts[0], Violation, "phantom")
	wants(t, res.Verdicts[1], Violation, "no order")
	if k := PictureKey(batch(r(4), w(7)), res.Verdicts, []string{"x", "y"}); k != "x" {
		t.Errorf("picture of %q", k)
	}
	if k := PictureKey(batch(r(1), w(7)), nil, []string{"y", "x"}); k != "x" {
		t.Errorf("picture of %q", k)
	}
}
