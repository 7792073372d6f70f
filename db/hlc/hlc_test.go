package hlc

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/codec"
	"simulacrum/sim/env"
)

// wallClock is an env.Process of which only the wall clock works.
type wallClock struct {
	env.Process
	now int64
}

func (w *wallClock) Wall() int64 { return w.now }

// sleeper is a task whose sleep lets the wall clock advance.
type sleeper struct {
	env.Task
	slept func(d time.Duration) error
}

func (s *sleeper) Sleep(d time.Duration) error { return s.slept(d) }

func anyTimestamp() *rapid.Generator[Timestamp] {
	return rapid.Custom(func(t *rapid.T) Timestamp {
		return Timestamp{
			Wall:    rapid.OneOf(rapid.Int64Min(0), rapid.Int64Range(0, 3), rapid.SampledFrom([]int64{math.MaxInt64, 1e9})).Draw(t, "wall"),
			Logical: rapid.OneOf(rapid.Int32Min(0), rapid.Int32Range(0, 3), rapid.Just(int32(math.MaxInt32))).Draw(t, "logical"),
		}
	})
}

func TestTimestampOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyTimestamp().Draw(t, "a"), anyTimestamp().Draw(t, "b")
		if a.Compare(b) != -b.Compare(a) || a.Less(b) != (a.Compare(b) < 0) || a.LessEq(b) == b.Less(a) {
			t.Fatal("order is not an order")
		}
		if n := a.Next(); a != Max && (!a.Less(n) || a.Less(b) && b.Less(n)) {
			t.Fatalf("%s is not next after %s", n, a)
		}
		if a != Max && a.Next().Prev() != a {
			t.Fatalf("Prev of Next of %s is %s", a, a.Next().Prev())
		}
		if !a.IsEmpty() && a.Prev().Next() != a {
			t.Fatalf("Next of Prev of %s is %s", a, a.Prev().Next())
		}
		if f, k := a.Forward(b), a.Backward(b); f.Less(k) || f != a && f != b || k != a && k != b {
			t.Fatal("Forward and Backward")
		}
		d := time.Duration(rapid.Int64Min(math.MinInt64+1).Draw(t, "d"))
		if s := a.Add(d); d > 0 && s.Less(a) || d < 0 && a.Less(s) {
			t.Fatalf("%s + %d = %s", a, d, s)
		}
	})
}

func TestTimestampText(t *testing.T) {
	if s := (Timestamp{1e9 + 2, 3}).String(); s != "1.000000002,3" {
		t.Fatal(s)
	}
	rapid.Check(t, func(t *rapid.T) {
		ts := Timestamp{rapid.Int64().Draw(t, "wall"), rapid.Int32Min(0).Draw(t, "logical")}
		if got, err := Parse(ts.String()); err != nil || got != ts {
			t.Fatalf("%s parses as %s, %v", ts, got, err)
		}
		b := ts.Encode(nil)
		r := codec.NewReader(b)
		if got := Decode(r); got != ts || r.Done() != nil || len(b) != ts.Size() {
			t.Fatalf("%s decodes as %s", ts, got)
		}
	})
	for in, want := range map[string]Timestamp{"2": {2e9, 0}, "0.5": {5e8, 0}, "1,2": {1e9, 2}} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("%q parses as %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ".", "1.", "x", "1,", "1,-2", "1.0000000001", "99999999999", "1,99999999999", "--1"} {
		if got, err := Parse(in); err == nil {
			t.Errorf("%q parses as %s", in, got)
		}
	}
}

// However the wall clock steps or stands still, Now rises above all that was
// given out and taken in, and a reading is refused exactly when it is too far
// ahead of the wall clock.
func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &wallClock{now: rapid.Int64Range(0, 1e12).Draw(t, "start")}
		const maxOffset = 500 * time.Millisecond
		c := NewClock(w, maxOffset)
		var last Timestamp
		above := func(ts Timestamp) {
			if !last.Less(ts) {
				t.Fatalf("%s is not above %s", ts, last)
			}
			last = ts
		}
		t.Repeat(map[string]func(*rapid.T){
			"advance": func(t *rapid.T) { w.now += rapid.Int64Range(1, 1e9).Draw(t, "d") },
			"back":    func(t *rapid.T) { w.now = max(0, w.now-rapid.Int64Range(1, 1e10).Draw(t, "d")) },
			"now":     func(t *rapid.T) { above(c.Now()) },
			"frozen": func(t *rapid.T) {
				for range 3 {
					above(c.Now())
				}
			},
			"update": func(t *rapid.T) {
				ahead := rapid.OneOf(rapid.Int64Range(-2e9, 2e9), rapid.SampledFrom([]int64{int64(maxOffset), int64(maxOffset) + 1})).Draw(t, "ahead")
				ts := Timestamp{w.now + ahead, rapid.Int32Min(0).Draw(t, "logical")}
				err := c.Update(ts)
				var far *TooFarAheadError
				if refused := errors.As(err, &far); refused != (ahead > int64(maxOffset) && last.Less(ts)) {
					t.Fatalf("reading %s at wall %d with last %s: %v", ts, w.now, last, err)
				} else if !refused {
					last = last.Forward(ts)
				}
			},
			"forward": func(t *rapid.T) {
				ts := Timestamp{w.now + rapid.Int64Range(-1e9, 1e11).Draw(t, "ahead"), 7}
				c.Forward(ts)
				last = last.Forward(ts)
			},
			"": func(t *rapid.T) {
				if c.Last() != last {
					t.Fatalf("last is %s, want %s", c.Last(), last)
				}
				if c.PhysicalNow() != w.now {
					t.Fatal("PhysicalNow is not the wall clock")
				}
			},
		})
	})
}

// A reading at the end of time does not overflow its way in.
func TestClockRefusesTheEndOfTime(t *testing.T) {
	c := NewClock(&wallClock{now: 0}, time.Second)
	if c.Update(Max) == nil || c.Update(Timestamp{Wall: math.MaxInt64}) == nil {
		t.Fatal("taken in")
	}
	if c.Update(Timestamp{Wall: -5}) != nil {
		t.Fatal("an old reading is no reason to object")
	}
}

// After a restart with the wall clock set back, the wait lasts until it is past
// all that any clock of the cluster can have read.
func TestRestartWait(t *testing.T) {
	w := &wallClock{now: 1e12}
	c := NewClock(w, 500*time.Millisecond)
	task := &sleeper{}
	steps := 0
	task.slept = func(d time.Duration) error {
		steps++
		switch {
		case steps == 1:
			w.now -= int64(200 * time.Millisecond) // a step back during the wait
		case steps < 4:
			// frozen
		default:
			w.now += int64(d)
		}
		return nil
	}
	if err := c.RestartWait(task, Timestamp{}); err != nil {
		t.Fatal(err)
	}
	if w.now < 1e12+int64(500*time.Millisecond) {
		t.Fatalf("waited until %d only", w.now)
	}
	bound := Timestamp{w.now + 1e6, 4}
	if err := c.RestartWait(task, bound); err != nil {
		t.Fatal(err)
	}
	if now := c.Now(); !bound.Less(now) {
		t.Fatalf("%s is not above the bound %s", now, bound)
	}
	task.slept = func(time.Duration) error { return env.ErrCanceled }
	if err := c.WaitUntil(task, Timestamp{Wall: w.now + 5}); err != env.ErrCanceled {
		t.Fatal(err)
	}
}
