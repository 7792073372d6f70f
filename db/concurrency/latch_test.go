package concurrency

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/keys"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// request is one guard of the naive model: all claims of all guards in one list.
type request struct {
	n       int
	latches []Latch
	guard   *Guard
	held    bool // the model says so
	got     bool // the manager says so
	gone    bool // gave up or released
	task    env.Task
}

func conflict(a, b *request) bool {
	for _, x := range a.latches {
		for _, y := range b.latches {
			if (x.Access == Write || y.Access == Write) && overlapsNaive(x.Span, y.Span) {
				return true
			}
		}
	}
	return false
}

// overlapsNaive tries all keys that the test uses.
func overlapsNaive(a, b keys.Span) bool {
	for c := byte('a'); c <= 'h'; c++ {
		k := keys.Key{c}
		if a.ContainsKey(k) && b.ContainsKey(k) {
			return true
		}
	}
	return false
}

func drawLatches(t *rapid.T) []Latch {
	n := rapid.IntRange(1, 4).Draw(t, "latches")
	var ls []Latch
	for i := 0; i < n; i++ {
		lo := rapid.IntRange(0, 7).Draw(t, "lo")
		l := Latch{Span: keys.Span{Key: keys.Key{'a' + byte(lo)}}, Access: Access(rapid.IntRange(0, 1).Draw(t, "access"))}
		if rapid.IntRange(0, 2).Draw(t, "ranged") == 0 {
			l.Span.EndKey = keys.Key{'a' + byte(rapid.IntRange(lo+1, 8).Draw(t, "hi"))}
		}
		ls = append(ls, l)
	}
	return ls
}

// A guard holds its claims exactly when no earlier, unreleased guard conflicts with
// it, whatever is acquired, released and given up, in any order.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sim.New(sim.Config{Seed: 1})
		defer s.Close()
		var m Manager
		var all []*request
		open := func() (live []*request) {
			for _, r := range all {
				if !r.gone {
					live = append(live, r)
				}
			}
			return live
		}
		check := func() {
			s.RunUntil(s.Now() + sim.Time(time.Millisecond))
			live := open()
			for i, r := range live {
				r.held = true
				for _, o := range live[:i] {
					if conflict(o, r) {
						r.held = false
					}
				}
				if r.held != r.got {
					t.Fatalf("request %d: held %t, must be %t\n%s", r.n, r.got, r.held, &m)
				}
			}
			if m.Len() != len(live) {
				t.Fatalf("%d guards, must be %d", m.Len(), len(live))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				r := &request{n: len(all), latches: drawLatches(t)}
				all = append(all, r)
				r.task = s.Go("request", func(task env.Task) {
					g, err := m.Acquire(task, r.latches)
					r.guard, r.got = g, err == nil
				})
				check()
			},
			"release": func(t *rapid.T) {
				for _, r := range open() {
					if r.got && rapid.Bool().Draw(t, "this") {
						m.Release(r.guard)
						r.gone = true
						check()
						return
					}
				}
			},
			"give up": func(t *rapid.T) {
				for _, r := range open() {
					if !r.got && rapid.Bool().Draw(t, "this") {
						r.task.Cancel(env.ErrCanceled)
						r.gone = true
						check()
						return
					}
				}
			},
		})
		for _, f := range s.Findings() {
			t.Fatal(f.String())
		}
	})
}

// The printer shows who holds what and who waits, in order of arrival.
func TestString(t *testing.T) {
	var m Manager
	m.enter([]Latch{{Span: keys.Span{Key: keys.Key("\x06b")}, Access: Write}})
	m.enter([]Latch{{Span: keys.Span{Key: keys.Key("\x06a"), EndKey: keys.Key("\x06e")}}})
	got := fmt.Sprint(&m)
	want := "#1 w" + keys.Key("\x06b").String() + "\n#2 r" + keys.Span{Key: keys.Key("\x06a"), EndKey: keys.Key("\x06e")}.String() + " waits for 1\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkPoint(b *testing.B) {
	var m Manager
	ls := []Latch{{Span: keys.Span{Key: keys.Key("key")}, Access: Write}}
	b.ReportAllocs()
	for b.Loop() {
		g, err := m.Acquire(nil, ls)
		if err != nil {
			b.Fatal(err)
		}
		m.Release(g)
	}
}
