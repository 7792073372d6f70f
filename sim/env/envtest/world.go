package envtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"simulacrum/sim/env"
)

// World is where processes of the implementation under test live. Its methods are
// called from the test's goroutine.
type World interface {
	// Start begins a new incarnation of the named process, with main as its first
	// callback. Files that an earlier incarnation synced are there.
	Start(name string, main func(e env.Env))
	// Kill ends the living incarnation of the name, as a crash does.
	Kill(name string)
	// Alive reports whether an incarnation of the name lives.
	Alive(name string) bool
	// Wait lets time pass until cond holds, but no longer than limit, and reports
	// whether cond holds. The condition guards what it reads by itself.
	Wait(limit time.Duration, cond func() bool) bool
	// Close ends everything.
	Close()
}

// Factory makes an empty world.
type Factory func(t testing.TB) World

// Run checks an implementation.
func Run(t *testing.T, factory Factory) {
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"task", taskCases}, {"timer", timerCases}, {"wait", waitCases}, {"process", processCases},
		{"network", networkCases}, {"fs", fsCases}, {"death", deathCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					w := factory(t)
					defer w.Close()
					c.run(&bench{T: t, World: w})
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(b *bench)
}

const (
	enough = 20 * time.Second      // limit of what must happen
	tick   = 10 * time.Millisecond // unit of what must not happen too soon
)

// bench is one test's world and the record of what happened in it. Processes of a
// real world run in parallel, hence the lock.
type bench struct {
	*testing.T
	World
	mu    sync.Mutex
	lines []string
}

// note records that something happened.
func (b *bench) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
}

func (b *bench) noted() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}

// expect waits until as many things have happened as want names, allows a few
// ticks for more, and compares.
func (b *bench) expect(want ...string) {
	b.Helper()
	b.Wait(enough, func() bool { return len(b.noted()) >= len(want) })
	b.Wait(5*tick, func() bool { return len(b.noted()) > len(want) })
	if got := b.noted(); !slices.Equal(got, want) {
		b.Fatalf("happened:\n  %q\nwant:\n  %q", got, want)
	}
}

// await waits until the last of the lines is the given one.
func (b *bench) await(line string) {
	b.Helper()
	if !b.Wait(enough, func() bool { return slices.Contains(b.noted(), line) }) {
		b.Fatalf("never happened: %q; only %q", line, b.noted())
	}
}

// start runs main in process p and waits until it has returned.
func (b *bench) start(name string, main func(e env.Env)) {
	b.Helper()
	var mu sync.Mutex
	ended := false
	b.Start(name, func(e env.Env) {
		main(e)
		mu.Lock()
		ended = true
		mu.Unlock()
	})
	if !b.Wait(enough, func() bool { mu.Lock(); defer mu.Unlock(); return ended }) {
		b.Fatalf("main of %s did not return", name)
	}
}

// task runs fn as a task of a process p and records "end" when it returns.
func (b *bench) task(fn func(e env.Env, t env.Task)) {
	b.Helper()
	b.start("p", func(e env.Env) {
		e.Go("test", func(t env.Task) {
			fn(e, t)
			b.note("end")
		})
	})
	b.await("end")
}

// check records a failure; it may be called from any process.
func (b *bench) check(ok bool, format string, args ...any) {
	b.Helper()
	if !ok {
		b.Errorf(format, args...)
	}
}

// poll calls then once cond holds, in callbacks of the process.
func poll(e env.Env, cond func() bool, then func()) {
	if cond() {
		then()
		return
	}
	e.After(tick, "poll", func() { poll(e, cond, then) })
}

var errTest = errors.New("an error of the test's own")

// message is a number and padding. A message whose number is spoilt does not decode.
type message struct {
	n   uint64
	pad int
}

const spoilt = 1<<64 - 1

// Size implements env.Message.
func (m *message) Size() int { return 8 + m.pad }

// Encode implements env.Message.
func (m *message) Encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.n)
	for i := range m.pad {
		b = append(b, byte(m.n)+byte(i))
	}
	return b
}

func decodeMessage(b []byte) (env.Message, error) {
	if len(b) < 8 {
		return nil, errors.New("short message")
	}
	m := &message{n: binary.LittleEndian.Uint64(b), pad: len(b) - 8}
	if m.n == spoilt {
		return nil, errTest
	}
	for i, c := range b[8:] {
		if c != byte(m.n)+byte(i) {
			return nil, errors.New("wrong padding")
		}
	}
	return m, nil
}

// handler is an env.Handler of functions; nil ones do nothing.
type handler struct {
	receive func(c env.Conn, m *message)
	closed  func(c env.Conn, err error)
}

// Decode implements env.Handler.
func (h *handler) Decode(b []byte) (env.Message, error) { return decodeMessage(b) }

// Receive implements env.Handler.
func (h *handler) Receive(c env.Conn, m env.Message) {
	if h.receive != nil {
		h.receive(c, m.(*message))
	}
}

// Closed implements env.Handler.
func (h *handler) Closed(c env.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}
