package envtest

import (
	"errors"
	"runtime"
	"time"

	"simulacrum/sim/env"
)

var taskCases = []testCase{
	{"a task begins as an event of its own", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("test", func(env.Task) { b.note("task") })
			b.note("main")
		})
		b.expect("main", "task")
	}},
	{"one at a time", oneAtATime},
	{"park until wake", func(b *bench) {
		b.start("p", func(e env.Env) {
			task := e.Go("test", func(t env.Task) {
				b.note("parks")
				err := t.Park("test", -1)
				b.note("woken %v", err)
			})
			e.After(5*tick, "wake", func() { b.note("wakes"); task.Wake(); b.note("goes on") })
		})
		b.expect("parks", "wakes", "goes on", "woken <nil>")
	}},
	{"a wake while running is kept", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			t.Wake()
			b.check(t.Park("test", -1) == nil, "the permit was lost")
			b.check(t.Park("test", tick) == env.ErrTimeout, "the permit was used twice")
		})
	}},
	{"a wake before the task has begun is kept", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("test", func(t env.Task) { b.note("%v", t.Park("test", -1)) }).Wake()
		})
		b.expect("<nil>")
	}},
	{"park times out", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			before := e.Mono()
			b.check(t.Park("test", 3*tick) == env.ErrTimeout, "no ErrTimeout")
			b.check(e.Mono()-before >= 3*tick, "too soon: %v", e.Mono()-before)
			b.check(t.Park("test", 0) == env.ErrTimeout, "no ErrTimeout of a park for no time")
		})
	}},
	{"sleep lasts", func(b *bench) {
		b.start("p", func(e env.Env) {
			t := e.Go("test", func(t env.Task) {
				before := e.Mono()
				b.check(t.Sleep(5*tick) == nil, "sleep failed")
				b.check(e.Mono()-before >= 5*tick, "a wake cut the sleep short: %v", e.Mono()-before)
				b.note("end")
			})
			e.After(tick, "wake", t.Wake)
		})
		b.expect("end")
	}},
	{"cancel ends this wait and all later ones", func(b *bench) {
		b.start("p", func(e env.Env) {
			task := e.Go("test", func(t env.Task) {
				b.note("%v", t.Park("test", -1))
				b.note("%v", t.Sleep(time.Hour))
				b.note("%v", t.Park("test", time.Hour))
				b.check(errors.Is(t.Err(), errTest), "Err is %v", t.Err())
			})
			e.After(tick, "cancel", func() { task.Cancel(errTest) })
		})
		b.expect(errTest.Error(), errTest.Error(), errTest.Error())
	}},
	{"cancel before the first wait", func(b *bench) {
		b.start("p", func(e env.Env) {
			e.Go("test", func(t env.Task) { b.note("%v", t.Park("test", -1)) }).Cancel(errTest)
		})
		b.expect(errTest.Error())
	}},
	{"cancel ends a sleep", func(b *bench) {
		b.start("p", func(e env.Env) {
			task := e.Go("test", func(t env.Task) { b.note("%v", t.Sleep(time.Hour)) })
			e.After(tick, "cancel", func() { task.Cancel(errTest) })
		})
		b.expect(errTest.Error())
	}},
	{"deadline", deadline},
	{"done", func(b *bench) {
		b.start("p", func(e env.Env) {
			task := e.Go("test", func(t env.Task) { _ = t.Park("test", -1) })
			e.After(tick, "check", func() {
				b.note("%v", task.Done())
				task.Wake()
				poll(e, task.Done, func() { b.note("%v", task.Done()) })
			})
		})
		b.expect("false", "true")
	}},
	{"current", func(b *bench) {
		b.start("p", func(e env.Env) {
			b.check(e.Current() == nil, "a callback has a current task")
			var first env.Task
			first = e.Go("test", func(t env.Task) {
				b.check(e.Current() == t && t == first, "current is another task")
				_ = t.Park("test", -1)
				b.check(e.Current() == t, "current is another task after a park")
				b.note("end")
			})
			e.Go("other", func(t env.Task) {
				b.check(e.Current() == t, "current is another task")
				first.Wake()
				b.check(e.Current() == t, "a wake changed the current task")
			})
		})
		b.expect("end")
	}},
	{"yield waits for nothing", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			t.Wake()
			t.Yield("test: a seam")
			b.check(t.Park("test", -1) == nil, "yield used the permit")
		})
	}},
}

// oneAtATime has tasks and timers run over each other, if they can.
func oneAtATime(b *bench) {
	const tasks, rounds = 8, 20
	b.start("p", func(e env.Env) {
		inside, left := false, tasks*2
		section := func() {
			b.check(!inside, "two run at once")
			inside = true
			for range 10 {
				runtime.Gosched()
			}
			inside = false
		}
		finish := func() {
			if left--; left == 0 {
				b.note("end")
			}
		}
		for range tasks {
			e.Go("test", func(t env.Task) {
				for range rounds {
					section()
					_ = t.Sleep(tick / 10)
				}
				finish()
			})
			n := 0
			var again func()
			again = func() {
				section()
				if n++; n < rounds {
					e.After(tick/10, "again", again)
				} else {
					finish()
				}
			}
			again()
		}
	})
	b.expect("end")
}

func deadline(b *bench) {
	b.task(func(e env.Env, t env.Task) {
		at := e.Mono() + 3*tick
		b.check(t.SetDeadline(at) == 0, "there was a deadline before")
		b.check(t.Err() == nil, "past it too soon")
		b.check(t.Park("test", -1) == env.ErrDeadline, "park: no ErrDeadline")
		b.check(e.Mono() >= at, "too soon")
		b.check(t.Sleep(time.Hour) == env.ErrDeadline, "sleep: no ErrDeadline")
		b.check(t.Park("test", time.Hour) == env.ErrDeadline, "park with a limit: no ErrDeadline")
		b.check(t.Err() == env.ErrDeadline, "Err is %v", t.Err())
		b.check(t.SetDeadline(0) == at, "the deadline before is another")
		b.check(t.Err() == nil, "a lifted deadline still holds")
		b.check(t.Park("test", tick) == env.ErrTimeout, "a lifted deadline ended the wait")
		t.SetDeadline(e.Mono() + time.Hour)
		b.check(t.Park("test", tick) == env.ErrTimeout, "a far deadline ended the wait")
		t.SetDeadline(e.Mono() + 3*tick)
		b.check(t.Sleep(time.Hour) == env.ErrDeadline, "a sleep outlasts the deadline")
	})
}
