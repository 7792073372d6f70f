package envtest

import (
	"time"

	"simulacrum/sim/env"
)

var deathCases = []testCase{
	{"tasks and timers end", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("sleeper", func(t env.Task) { _ = t.Sleep(40 * tick); b.note("slept") })
			e.Go("parker", func(t env.Task) { _ = t.Park("test", -1); b.note("unparked") })
			e.After(40*tick, "timer", func() { b.note("fired") })
		})
		b.check(b.Alive("p"), "not alive")
		b.Kill("p")
		b.check(!b.Alive("p"), "alive")
		b.Wait(60*tick, func() bool { return false })
		b.expect()
	}},
	{"unwound tasks run their deferred calls, without effect", unwound},
	{"a running task of a killed process says no more", func(b *bench) {
		// The process is killed between two sends that nothing separates but a wait.
		b.start("q", func(e env.Env) {
			e.Listen(func(env.Conn) env.Handler {
				return &handler{receive: func(_ env.Conn, m *message) { b.note("%d", m.n) }}
			})
		})
		b.start("p", func(e env.Env) {
			c := e.Dial("q", &handler{})
			e.Go("test", func(t env.Task) {
				_ = c.Send(&message{n: 1})
				_ = t.Sleep(time.Hour)
				_ = c.Send(&message{n: 2})
			})
		})
		b.await("1")
		b.Kill("p")
		b.expect("1")
	}},
	{"fatal does not return, in a task", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("test", func(t env.Task) {
				b.note("before")
				e.Fatal(errTest)
				b.note("after")
			})
			e.After(100*tick, "timer", func() { b.note("timer") })
		})
		b.await("before")
		b.check(b.Wait(enough, func() bool { return !b.Alive("p") }), "it lives on")
		b.expect("before")
	}},
	{"fatal does not return, in a callback", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("test", func(t env.Task) { _ = t.Sleep(100 * tick); b.note("task") })
			e.After(tick, "timer", func() {
				b.note("before")
				e.Fatal(errTest)
				b.note("after")
			})
		})
		b.await("before")
		b.check(b.Wait(enough, func() bool { return !b.Alive("p") }), "it lives on")
		b.expect("before")
	}},
	{"fatal breaks connections", func(b *bench) {
		b.start("q", func(e env.Env) {
			e.Listen(func(c env.Conn) env.Handler {
				return &handler{receive: func(env.Conn, *message) { e.Fatal(errTest) }}
			})
		})
		b.start("p", func(e env.Env) {
			c := e.Dial("q", &handler{closed: func(env.Conn, error) { b.note("closed") }})
			_ = c.Send(&message{})
		})
		b.expect("closed")
	}},
	{"a new incarnation starts clean", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("old", func(t env.Task) {
				for {
					_ = t.Sleep(tick)
					b.note("old")
				}
			})
		})
		b.await("old")
		b.Kill("p")
		b.mu.Lock()
		b.lines = nil
		b.mu.Unlock()
		b.start("p", func(e env.Env) {
			e.Go("new", func(t env.Task) { _ = t.Sleep(10 * tick); b.note("new") })
		})
		b.expect("new")
	}},
}

// unwound lets a deferred call of a dying task try everything.
func unwound(b *bench) {
	b.start("q", func(e env.Env) {
		e.Listen(func(env.Conn) env.Handler {
			return &handler{receive: func(_ env.Conn, m *message) { b.note("received %d", m.n) }}
		})
	})
	b.start("p", func(e env.Env) {
		c := e.Dial("q", &handler{closed: func(env.Conn, error) { b.note("told of the close") }})
		_ = c.Send(&message{n: 1})
		e.Go("test", func(t env.Task) {
			defer func() {
				_ = c.Send(&message{n: 2})
				c.Close()
				e.After(0, "timer", func() { b.note("fired") })
				e.Go("task", func(env.Task) { b.note("began") })
				e.Dial("q", &handler{closed: func(env.Conn, error) { b.note("dialled") }})
				_, err := e.FS().Create("f", category)
				b.check(err != nil, "a dead process created a file")
				b.note("unwound")
				_ = t.Sleep(tick) // does not return
				b.note("waited after death")
			}()
			_ = t.Park("test", -1)
			b.note("unparked")
		})
	})
	b.await("received 1")
	b.Kill("p")
	b.expect("received 1", "unwound")
}
