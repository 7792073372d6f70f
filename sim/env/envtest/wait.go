package envtest

import (
	"simulacrum/sim/env"
)

// waitCases are about Promise, Queue and Semaphore, which stand on Park and Wake.
var waitCases = []testCase{
	{"promise", func(b *bench) {
		b.start("p", func(e env.Env) {
			var p env.Promise[int]
			for range 3 {
				e.Go("test", func(t env.Task) {
					v, err := p.Wait(t, "test", -1)
					b.note("%d %v", v, err)
				})
			}
			e.After(tick, "resolve", func() {
				b.check(!p.Ready(), "ready too soon")
				p.Resolve(7, errTest)
				p.Resolve(8, nil)
				b.check(p.Ready(), "not ready")
			})
		})
		b.expect("7 "+errTest.Error(), "7 "+errTest.Error(), "7 "+errTest.Error())
	}},
	{"promise already resolved", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			var p env.Promise[string]
			_, err := p.Wait(t, "test", tick)
			b.check(err == env.ErrTimeout, "no ErrTimeout")
			p.Resolve("x", nil)
			v, err := p.Wait(t, "test", 0)
			b.check(v == "x" && err == nil, "%q %v", v, err)
		})
	}},
	{"queue", func(b *bench) {
		b.start("p", func(e env.Env) {
			var q env.Queue[int]
			q.Push(1)
			q.Push(2)
			e.Go("test", func(t env.Task) {
				for range 4 {
					v, err := q.Pop(t, "test", -1)
					b.note("%d %v", v, err)
				}
				_, err := q.Pop(t, "test", tick)
				b.note("%v", err)
			})
			e.After(2*tick, "push", func() { q.Push(3); q.Push(4) })
		})
		b.expect("1 <nil>", "2 <nil>", "3 <nil>", "4 <nil>", env.ErrTimeout.Error())
	}},
	{"queue with many takers", func(b *bench) {
		b.start("p", func(e env.Env) {
			var q env.Queue[int]
			sum, left := 0, 10
			for range 10 {
				e.Go("test", func(t env.Task) {
					v, err := q.Pop(t, "test", -1)
					b.check(err == nil, "%v", err)
					sum += v
					if left--; left == 0 {
						b.note("%d", sum)
					}
				})
			}
			e.After(tick, "push", func() {
				for i := range 10 {
					q.Push(i)
				}
			})
		})
		b.expect("45")
	}},
	{"semaphore bounds", func(b *bench) {
		b.start("p", func(e env.Env) {
			s := env.Semaphore{Free: 2}
			inside, most, left := 0, 0, 10
			for range 10 {
				e.Go("test", func(t env.Task) {
					b.check(s.Acquire(t, "test", -1) == nil, "acquire failed")
					inside++
					most = max(most, inside)
					_ = t.Sleep(tick)
					inside--
					s.Release()
					if left--; left == 0 {
						b.note("at most %d, free %d", most, s.Free)
					}
				})
			}
		})
		b.expect("at most 2, free 2")
	}},
	{"semaphore wakes as many as places are given back", func(b *bench) {
		b.start("p", func(e env.Env) {
			var s env.Semaphore
			served := 0
			for range 4 {
				e.Go("test", func(t env.Task) {
					b.check(s.Acquire(t, "test", -1) == nil, "acquire failed")
					served++
				})
			}
			e.After(5*tick, "release", func() { s.Release(); s.Release(); s.Release() })
			poll(e, func() bool { return served == 3 }, func() {
				b.note("%d", served)
				s.Release()
				poll(e, func() bool { return served == 4 }, func() { b.note("%d, free %d", served, s.Free) })
			})
		})
		b.expect("3", "4, free 0")
	}},
	{"semaphore serves in order", func(b *bench) {
		b.start("p", func(e env.Env) {
			var s env.Semaphore
			waiting := 0
			for i := range 4 {
				e.Go("test", func(t env.Task) {
					for waiting < i {
						_ = t.Sleep(tick)
					}
					waiting++ // and nobody runs before this task waits
					b.check(s.Acquire(t, "test", -1) == nil, "acquire failed")
					b.note("%d", i)
					s.Release()
				})
			}
			poll(e, func() bool { return waiting == 4 }, s.Release)
		})
		b.expect("0", "1", "2", "3")
	}},
	{"semaphore lets nobody push in", func(b *bench) {
		b.start("p", func(e env.Env) {
			var s env.Semaphore
			waiting := false
			e.Go("first", func(t env.Task) {
				waiting = true
				b.check(s.Acquire(t, "test", -1) == nil, "acquire failed")
				b.note("first")
				s.Release()
			})
			e.Go("second", func(t env.Task) {
				for !waiting {
					_ = t.Sleep(tick)
				}
				s.Release() // the place is the first task's, though it has not run yet
				b.check(s.Acquire(t, "test", -1) == nil, "acquire failed")
				b.note("second")
			})
		})
		b.expect("first", "second")
	}},
	{"semaphore times out", func(b *bench) {
		b.task(func(e env.Env, t env.Task) {
			var s env.Semaphore
			b.check(s.Acquire(t, "test", tick) == env.ErrTimeout, "no ErrTimeout")
			s.Release()
			b.check(s.Free == 1, "the place went to one who no longer waits")
			b.check(s.Acquire(t, "test", tick) == nil, "acquire failed")
		})
	}},
}
