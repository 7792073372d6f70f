package checker

import (
	"strings"
	"testing"

	"simulacrum/checker/history"
)

const second = int64(1e9)

// asked builds a history of reads of one key: calls and answers in seconds, an answer of
// 0 for one that never came.
func asked(key string, times ...[2]int64) *history.History {
	rec := history.NewRecorder()
	for _, t := range times {
		op := rec.Invoke("c1", "n1", t[0]*second, history.Action{F: history.Read, Key: key})
		if t[1] > 0 {
			rec.Complete(op, t[1]*second, history.OK, "", history.Timestamp{})
		}
	}
	return rec.History()
}

// A key that is asked for in vain for longer than the bound is a violation in a window,
// and none outside of it, in one that is too short, or if somebody was served, or nobody asked any more.
func TestUnserved(t *testing.T) {
	whole := []Window{{0, 100 * second}}
	for name, test := range map[string]struct {
		h       *history.History
		windows []Window
		bad     bool
	}{
		"answered late":            {asked("a", [2]int64{10, 31}), whole, true},
		"answered in time":         {asked("a", [2]int64{10, 29}), whole, false},
		"its client died":          {asked("a", [2]int64{10, 0}), whole, false},
		"asked again, in time":     {asked("a", [2]int64{10, 0}, [2]int64{14, 25}), whole, false},
		"asked again and again":    {asked("a", [2]int64{10, 0}, [2]int64{14, 0}, [2]int64{18, 0}, [2]int64{22, 0}, [2]int64{26, 0}, [2]int64{31, 0}), whole, true},
		"not asked in between":     {asked("a", [2]int64{10, 0}, [2]int64{32, 33}), whole, false},
		"answered before":          {asked("a", [2]int64{1, 5}, [2]int64{10, 33}), whole, true},
		"excused":                  {asked("a", [2]int64{10, 31}), []Window{{0, 9 * second}, {40 * second, 100 * second}}, false},
		"an excuse in between":     {asked("a", [2]int64{10, 60}), []Window{{0, 25 * second}, {26 * second, 100 * second}}, false},
		"too close to the end":     {asked("a", [2]int64{85, 107}), whole, false},
		"a window, and just in it": {asked("a", [2]int64{80, 101}), whole, true},
	} {
		v := Unserved(test.h, test.windows, nil, 20*second)
		if (v.Valid == Violation) != test.bad || v.Valid != Violation && v.Valid != OK {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// A transaction that fails while it waits for one key says nothing against another that it
// had read before: this one was served, when the transaction ended at the latest.
func TestUnservedOfTransactionThatFails(t *testing.T) {
	h := func(answer history.Value) *history.History {
		rec := history.NewRecorder()
		for _, at := range []int64{10, 18, 26} {
			op := rec.Invoke("c1", "n1", at*second, history.Action{F: history.Read, Key: "a", Result: answer}, history.Action{F: history.Read, Key: "b"})
			if at < 26 {
				rec.Complete(op, (at+8)*second, history.Fail, "deadline exceeded", history.Timestamp{})
				continue
			}
			op.Actions[1].Result = history.Int(1)
			rec.Complete(op, (at+8)*second, history.OK, "", history.Timestamp{})
		}
		return rec.History()
	}
	whole := []Window{{0, 100 * second}}
	v := Unserved(h(history.Int(1)), whole, nil, 20*second)
	if v.Valid != Violation || v.Count("keys unserved") != 1 || !strings.HasPrefix(v.Details[0], "Key b ") {
		t.Errorf("one read was answered each time: %s", v)
	}
	if v = Unserved(h(history.Value{}), whole, nil, 20*second); v.Count("keys unserved") != 2 {
		t.Errorf("no read was answered: %s", v)
	}
	if v = Unserved(h(history.Int(1)), whole, nil, 7*second); v.Count("keys unserved") != 2 {
		t.Errorf("an answer counts as one that came when the transaction ended: %s", v)
	}
}

// A request whose client is paused counts until the pause begins: what became of it then
// nobody saw. One that is made after the pause counts as any other.
func TestUnservedOfPausedClient(t *testing.T) {
	for name, test := range map[string]struct {
		paused Window
		bad    bool
	}{
		"paused while it waited":   {Window{12 * second, 40 * second}, false},
		"paused before it asked":   {Window{2 * second, 8 * second}, true},
		"paused after the bound":   {Window{35 * second, 40 * second}, true},
		"paused after the request": {Window{42 * second, 50 * second}, true},
	} {
		h := asked("a", [2]int64{10, 41})
		paused := map[string][]Window{"c1": {test.paused}}
		if v := Unserved(h, []Window{{0, 100 * second}}, paused, 20*second); (v.Valid == Violation) != test.bad {
			t.Errorf("%s: %s", name, v)
		}
	}
	h := asked("a", [2]int64{10, 41}, [2]int64{42, 70})
	paused := map[string][]Window{"c1": {{12 * second, 41*second - 1}}}
	if v := Unserved(h, []Window{{0, 100 * second}}, paused, 20*second); v.Valid != Violation || !strings.Contains(v.Details[0], "from T+42.0") {
		t.Errorf("asked for in vain after the pause: %s", v)
	}
}

// What a loss cost is what the worst key waited, from when it was asked for.
func TestRecovery(t *testing.T) {
	h := asked("a", [2]int64{1, 2}, [2]int64{12, 19}, [2]int64{30, 31})
	rs := Recoveries(h, []Loss{
		{Name: "crash n1", What: "node", At: 10 * second, Restored: 40 * second},
		{Name: "power-loss region:eu", What: "region", At: 25 * second, Restored: history.Never},
		{Name: "crash n2", What: "node", At: 50 * second},
	}, []string{"a"})
	if rs[0].Served != 7*second || rs[1].Served != second || rs[2].Served != history.Never {
		t.Errorf("%+v", rs)
	}
	v := Recovery(rs[:2])
	if v.Valid != OK || v.Count("slowest after loss of a node (ms)") != 7000 || v.Count("slowest after loss of a region (ms)") != 1000 ||
		!strings.Contains(v.String(), "all copies were restored after 30.0 s") || !strings.Contains(v.String(), "were not restored") {
		t.Error(v)
	}
	if v = Recovery(rs); !strings.Contains(v.Summary, "not served again") {
		t.Error(v)
	}
	if v = Recovery(nil); v.Valid != OK {
		t.Error(v)
	}
}
