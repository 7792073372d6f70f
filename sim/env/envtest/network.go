package envtest

import (
	"errors"

	"simulacrum/sim/env"
)

var networkCases = []testCase{
	{"order within a connection, both ways", func(b *bench) {
		const count = 200
		echo(b, "b")
		b.start("a", func(e env.Env) {
			next := uint64(0)
			c := e.Dial("b", &handler{receive: func(c env.Conn, m *message) {
				b.check(m.n == next, "answer %d came when %d was next", m.n, next)
				b.check(m.pad == int(m.n), "message %d has %d bytes of padding", m.n, m.pad)
				if next++; next == count {
					b.note("end")
				}
			}})
			b.check(c.Peer() == "b", "peer is %q", c.Peer())
			for i := range uint64(count) {
				b.check(c.Send(&message{n: i, pad: int(i)}) == nil, "send failed")
			}
		})
		b.expect("end")
	}},
	{"the acceptor may speak first", func(b *bench) {
		b.start("b", func(e env.Env) {
			e.Listen(func(c env.Conn) env.Handler {
				b.check(c.Peer() == "a", "peer is %q", c.Peer())
				_ = c.Send(&message{n: 1})
				e.After(tick, "more", func() { _ = c.Send(&message{n: 2}) })
				return &handler{}
			})
		})
		b.start("a", func(e env.Env) {
			e.Dial("b", &handler{receive: func(c env.Conn, m *message) { b.note("%d", m.n) }})
		})
		b.expect("1", "2")
	}},
	{"to itself", func(b *bench) {
		b.start("a", func(e env.Env) {
			e.Listen(func(c env.Conn) env.Handler {
				return &handler{receive: func(c env.Conn, m *message) { _ = c.Send(m) }}
			})
			c := e.Dial("a", &handler{receive: func(c env.Conn, m *message) { b.note("%d", m.n) }})
			_ = c.Send(&message{n: 5})
			b.note("main")
		})
		b.expect("main", "5")
	}},
	{"refused by nil", func(b *bench) {
		b.start("b", func(e env.Env) { e.Listen(func(env.Conn) env.Handler { return nil }) })
		b.start("a", func(e env.Env) { dialAndNote(b, e, "b", env.ErrRefused) })
		b.expect("gone")
	}},
	{"refused by one who does not listen", func(b *bench) {
		b.start("b", func(env.Env) {})
		b.start("a", func(e env.Env) { dialAndNote(b, e, "b", env.ErrRefused) })
		b.expect("gone")
	}},
	{"nobody there", func(b *bench) {
		b.start("a", func(e env.Env) { dialAndNote(b, e, "b", env.ErrRefused, env.ErrUnreachable) })
		b.expect("gone")
	}},
	{"close by peer", closeByPeer},
	{"own close is silent", func(b *bench) {
		echo(b, "b")
		b.start("a", func(e env.Env) {
			c := e.Dial("b", &handler{
				receive: func(c env.Conn, m *message) {
					b.note("%d", m.n)
					c.Close()
					c.Close()
					b.check(c.Send(&message{}) == env.ErrClosed, "sent after close")
				},
				closed: func(env.Conn, error) { b.note("closed") },
			})
			for i := range uint64(10) {
				_ = c.Send(&message{n: i})
			}
		})
		b.expect("0")
	}},
	{"close before it stands", func(b *bench) {
		echo(b, "b")
		b.start("a", func(e env.Env) {
			c := e.Dial("b", &handler{closed: func(env.Conn, error) { b.note("closed") }})
			c.Close()
			b.check(c.Send(&message{}) == env.ErrClosed, "sent after close")
		})
		b.expect()
	}},
	{"peer dies", func(b *bench) {
		echo(b, "b")
		b.start("a", func(e env.Env) {
			c := e.Dial("b", &handler{
				receive: func(env.Conn, *message) { b.note("stands") },
				closed: func(c env.Conn, err error) {
					b.check(errors.Is(err, env.ErrReset), "closed by %v", err)
					b.check(c.Send(&message{}) == env.ErrClosed, "sent after close")
					b.note("closed")
				},
			})
			_ = c.Send(&message{})
		})
		b.await("stands")
		b.Kill("b")
		b.expect("stands", "closed")
	}},
	{"a new incarnation is reached anew", func(b *bench) {
		echo(b, "b")
		var dial func()
		b.start("a", func(e env.Env) {
			dial = func() {
				c := e.Dial("b", &handler{
					receive: func(_ env.Conn, m *message) { b.note("%d", m.n) },
					closed:  func(env.Conn, error) { b.note("closed") },
				})
				_ = c.Send(&message{n: 1})
			}
			dial()
		})
		b.await("1")
		b.Kill("b")
		b.await("closed")
		echo(b, "b")
		b.start("c", func(e env.Env) {
			c := e.Dial("b", &handler{receive: func(_ env.Conn, m *message) { b.note("%d", m.n) }})
			_ = c.Send(&message{n: 2})
		})
		b.expect("1", "closed", "2")
	}},
	{"large frames", func(b *bench) {
		const size = 3 << 20
		echo(b, "b")
		b.start("a", func(e env.Env) {
			c := e.Dial("b", &handler{receive: func(_ env.Conn, m *message) { b.note("%d %d", m.n, m.pad) }})
			_ = c.Send(&message{n: 1, pad: size})
			_ = c.Send(&message{n: 2, pad: 0})
		})
		b.expect("1 3145728", "2 0")
	}},
	{"too large", func(b *bench) {
		echo(b, "b")
		b.start("a", func(e env.Env) {
			c := e.Dial("b", &handler{receive: func(_ env.Conn, m *message) { b.note("%d", m.n) }})
			b.check(c.Send(huge{}) == env.ErrTooLarge, "a frame beyond the limit was sent")
			_ = c.Send(&message{n: 2})
		})
		b.expect("2")
	}},
	{"what does not decode breaks the connection", func(b *bench) {
		b.start("b", func(e env.Env) {
			e.Listen(func(env.Conn) env.Handler {
				return &handler{
					receive: func(_ env.Conn, m *message) { b.note("%d", m.n) },
					closed: func(c env.Conn, err error) {
						b.check(errors.Is(err, errTest), "closed by %v", err)
						b.note("closed")
					},
				}
			})
		})
		b.start("a", func(e env.Env) {
			c := e.Dial("b", &handler{closed: func(_ env.Conn, err error) {
				e.After(5*tick, "note", func() { b.note("told: %v", errors.Is(err, env.ErrReset)) })
			}})
			for _, n := range []uint64{1, spoilt, 3} {
				_ = c.Send(&message{n: n})
			}
		})
		b.expect("1", "closed", "told: true")
	}},
	{"many connections of one pair", func(b *bench) {
		echo(b, "b")
		b.start("a", func(e env.Env) {
			left := 20
			for i := range uint64(20) {
				next := i * 100
				c := e.Dial("b", &handler{receive: func(_ env.Conn, m *message) {
					b.check(m.n == next, "%d came when %d was next", m.n, next)
					if next++; next == i*100+10 {
						if left--; left == 0 {
							b.note("end")
						}
					}
				}})
				for k := range uint64(10) {
					_ = c.Send(&message{n: i*100 + k})
				}
			}
		})
		b.expect("end")
	}},
}

// huge claims to be larger than any frame.
type huge struct{}

// Size implements env.Message.
func (huge) Size() int { return env.MaxFrame + 1 }

// Encode implements env.Message.
func (huge) Encode(b []byte) []byte { panic("a message that is too large was encoded") }

// echo starts a process that returns every message.
func echo(b *bench, name string) {
	b.Helper()
	b.start(name, func(e env.Env) {
		e.Listen(func(env.Conn) env.Handler {
			return &handler{receive: func(c env.Conn, m *message) { _ = c.Send(m) }}
		})
	})
}

// dialAndNote dials in vain.
func dialAndNote(b *bench, e env.Env, peer string, want ...error) {
	c := e.Dial(peer, &handler{closed: func(c env.Conn, err error) {
		ok := false
		for _, w := range want {
			ok = ok || errors.Is(err, w)
		}
		b.check(ok, "closed by %v", err)
		b.check(c.Send(&message{}) == env.ErrClosed, "sent after close")
		b.note("gone")
	}})
	b.check(c.Send(&message{}) == nil, "send before the connection stands failed")
}

// closeByPeer checks that what was sent before the close comes first.
func closeByPeer(b *bench) {
	b.start("b", func(e env.Env) {
		e.Listen(func(env.Conn) env.Handler {
			return &handler{receive: func(c env.Conn, m *message) {
				for i := range uint64(3) {
					_ = c.Send(&message{n: i})
				}
				c.Close()
			}}
		})
	})
	b.start("a", func(e env.Env) {
		c := e.Dial("b", &handler{
			receive: func(_ env.Conn, m *message) { b.note("%d", m.n) },
			closed: func(c env.Conn, err error) {
				b.check(errors.Is(err, env.ErrClosed), "closed by %v", err)
				b.note("closed")
			},
		})
		_ = c.Send(&message{})
	})
	b.expect("0", "1", "2", "closed")
}
