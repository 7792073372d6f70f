package envtest

import (
	"simulacrum/sim/env"
)

var testKnob = env.Knob{Name: "envtest.knob", Default: 42, Min: 1, Max: 100, Doc: "a number"}

var processCases = []testCase{
	{"name", func(b *bench) {
		b.start("n7", func(e env.Env) { b.note("%s", e.Name()) })
		b.expect("n7")
	}},
	{"same name, same stream", func(b *bench) {
		b.start("p", func(e env.Env) {
			one, again, other := e.Rand("a"), e.Rand("a"), e.Rand("b")
			x, y, z := one.Uint64(), again.Uint64(), other.Uint64()
			b.check(x != y, "the stream began anew")
			b.check(x != z, "two names gave one stream")
			b.note("%d", x)
		})
		b.start("q", func(e env.Env) { b.note("%d", e.Rand("a").Uint64()) })
		if l := b.noted(); len(l) != 2 || l[0] == l[1] {
			b.Errorf("two processes drew the same from streams of one name: %v", l)
		}
	}},
	{"mono never goes back", func(b *bench) {
		var last int64
		for range 3 {
			b.start("p", func(e env.Env) {
				for range 100 {
					now := int64(e.Mono())
					b.check(now >= last, "back by %d", last-now)
					b.check(now > 0, "not above zero")
					last = now
				}
				b.check(e.Wall() > 0, "wall before 1970")
			})
			b.Kill("p")
		}
	}},
	{"knob has its default", func(b *bench) {
		b.start("p", func(e env.Env) { b.note("%d", e.Knob(&testKnob)) })
		b.expect("42")
	}},
	{"accounting has no effect within limits", func(b *bench) {
		b.start("p", func(e env.Env) {
			for c := env.Class(0); c < env.NumClasses; c++ {
				e.Charge(c, 1)
			}
			e.Memory(1000)
			e.Memory(-1000)
			e.Probe("envtest: a probe")
			e.Log("a line with %d argument", 1)
			e.After(tick, "later", func() { b.note("lives") })
		})
		b.expect("lives")
	}},
}
