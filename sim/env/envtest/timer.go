package envtest

import (
	"time"

	"simulacrum/sim/env"
)

var timerCases = []testCase{
	{"in order of time", func(b *bench) {
		b.start("p", func(e env.Env) {
			for _, n := range []int{3, 1, 4, 0, 2} {
				e.After(time.Duration(n)*5*tick, "timer", func() { b.note("%d", n) })
			}
		})
		b.expect("0", "1", "2", "3", "4")
	}},
	{"not too soon", func(b *bench) {
		b.start("p", func(e env.Env) {
			at := e.Mono() + 3*tick
			e.After(3*tick, "timer", func() {
				b.check(e.Mono() >= at, "%v too soon", at-e.Mono())
				b.note("end")
			})
		})
		b.expect("end")
	}},
	{"no time is an event of its own", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.After(0, "timer", func() { b.note("timer") })
			e.After(-time.Second, "timer", func() { b.note("timer") })
			b.note("main")
		})
		b.expect("main", "timer", "timer")
	}},
	{"stop", func(b *bench) {
		b.start("p", func(e env.Env) {
			t := e.After(2*tick, "timer", func() { b.note("stopped timer") })
			b.check(e.Stop(t), "was not to come")
			b.check(!e.Stop(t), "stopped twice")
			b.check(!e.Stop(0), "stopped no timer")
			var fired env.Timer
			fired = e.After(tick, "timer", func() {
				b.check(!e.Stop(fired), "stopped while it fires")
				b.note("timer")
			})
			e.After(5*tick, "timer", func() {
				b.check(!e.Stop(fired), "stopped after it fired")
				b.note("end")
			})
		})
		b.expect("timer", "end")
	}},
	{"stop a timer that is due", func(b *bench) {
		b.start("p", func(e env.Env) {
			var first, second env.Timer
			first = e.After(tick, "timer", func() { b.check(e.Stop(second), "first: second was due"); b.note("one") })
			second = e.After(tick, "timer", func() { b.check(e.Stop(first), "second: first was due"); b.note("one") })
		})
		b.expect("one")
	}},
}
