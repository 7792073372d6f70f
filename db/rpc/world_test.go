package rpc

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// world is a network of one fixed latency on the kernel, which delivers what was
// encoded and decoded. It knows two faults: cut, under which messages vanish and
// nobody is told, and reset.
type world struct {
	t     *testing.T
	s     *sim.Sim
	delay time.Duration
	nodes map[string]*testEnv
	cut   map[string]bool // "from>to"
	ends  []*end
	drops int
}

func newWorld(t *testing.T, seed uint64, knobs map[string]int64) *world {
	s := sim.New(sim.Config{Seed: seed, Epoch: 1e18, Knobs: knobs})
	t.Cleanup(s.Close)
	return &world{t: t, s: s, delay: 5 * time.Millisecond, nodes: map[string]*testEnv{}, cut: map[string]bool{}}
}

// testEnv is one incarnation in a world.
type testEnv struct {
	*sim.Proc
	w      *world
	accept func(env.Conn) env.Handler
	node   *Node
	clock  *hlc.Clock
}

func (e *testEnv) FS() vfs.FS                               { return nil }
func (e *testEnv) Listen(accept func(env.Conn) env.Handler) { e.accept = accept }

// start makes a machine, or a new incarnation on one that was killed.
func (w *world) start(name string) *testEnv {
	var m *sim.Machine
	if old := w.nodes[name]; old != nil {
		m = old.Machine()
	} else {
		m = w.s.Machine(name, sim.MachineConfig{Cores: 4, Memory: 1 << 40})
	}
	e := &testEnv{Proc: m.Start("test"), w: w}
	w.nodes[name] = e
	e.clock = hlc.NewClock(e, 500*time.Millisecond)
	e.node = New(e, e.clock)
	return e
}

// end is one end of a connection.
type end struct {
	w      *world
	from   *testEnv
	to     string
	peer   *end
	h      env.Handler
	last   sim.Time // of arrival, so that order is kept
	closed bool
	silent bool // a message was lost: nothing arrives any more
}

func (c *end) Peer() string { return c.to }

func (c *end) schedule(at *testEnv, label string, fn func()) {
	t := max(c.w.s.Now()+sim.Time(c.w.delay), c.last+1)
	c.last = t
	at.Schedule(time.Duration(t-c.w.s.Now()), label, fn)
}

func (e *testEnv) Dial(peer string, h env.Handler) env.Conn {
	w := e.w
	c := &end{w: w, from: e, to: peer, h: h}
	c.peer = &end{w: w, from: w.nodes[peer], to: e.Name(), peer: c}
	w.ends = append(w.ends, c)
	target := w.nodes[peer]
	refuse := func() {
		e.Schedule(w.delay, "refused", func() { c.fail(env.ErrRefused) })
	}
	if w.cut[e.Name()+">"+peer] {
		c.silent = true
		return c
	}
	if target == nil || !target.Alive() {
		refuse()
		return c
	}
	c.schedule(target, "accept", func() {
		if target.accept == nil {
			refuse()
			return
		}
		if c.peer.h = target.accept(c.peer); c.peer.h == nil {
			refuse()
		}
	})
	return c
}

func (c *end) fail(err error) {
	if !c.closed {
		c.closed = true
		c.h.Closed(c, err)
	}
}

func (c *end) Send(m env.Message) error {
	if c.closed {
		return env.ErrClosed
	}
	b := env.AppendFrame(nil, m)
	if len(b) != m.Size()+env.FrameOverhead {
		c.w.t.Errorf("a message of %d bytes announced %d", len(b)-env.FrameOverhead, m.Size())
	}
	if c.silent || c.w.cut[c.from.Name()+">"+c.to] {
		c.silent = true
		c.w.drops++
		return nil
	}
	to := c.w.nodes[c.to]
	if to == nil {
		return nil
	}
	c.schedule(to, "deliver", func() {
		if c.peer.closed || c.peer.h == nil {
			return
		}
		body, _, err := env.ParseFrame(b)
		if err != nil {
			c.w.t.Error(err)
		}
		got, err := c.peer.h.Decode(body)
		if err != nil {
			c.w.t.Error(err)
			return
		}
		c.peer.h.Receive(c.peer, got)
	})
	return nil
}

func (c *end) Close() {
	if c.closed {
		return
	}
	c.closed = true
	if to := c.w.nodes[c.to]; to != nil && !c.silent && c.peer.h != nil {
		c.schedule(to, "closed", func() { c.peer.fail(env.ErrClosed) })
	}
}

// reset breaks every connection between two nodes.
func (w *world) reset(a, b string) {
	for _, c := range w.ends {
		if c.closed || !(c.from.Name() == a && c.to == b || c.from.Name() == b && c.to == a) {
			continue
		}
		for _, x := range []*end{c, c.peer} {
			if x.h != nil {
				x.from.Schedule(0, "reset", func() { x.fail(env.ErrReset) })
			}
		}
	}
}

func (w *world) run(d time.Duration) {
	w.s.RunUntil(w.s.Now() + sim.Time(d))
	for _, f := range w.s.Findings() {
		w.t.Fatalf("finding: %s", f.String())
	}
}

// text is a message that is a string.
type text string

func (m text) Size() int              { return codec.SizeString(string(m)) }
func (m text) Encode(b []byte) []byte { return codec.AppendString(b, string(m)) }

func decodeText(r *codec.Reader) env.Message { return text(r.String()) }

var (
	echoKind = &Kind{ID: 1, Name: "echo", Class: Default, Request: decodeText, Response: decodeText}
	noteKind = &Kind{ID: 2, Name: "note", Class: Raft, Request: decodeText}
	lostKind = &Kind{ID: 3, Name: "lost", Class: Default, Request: decodeText, Response: decodeText}
)

// serve has a node listen, and answer echo after a while, which the request says
// as a duration before a blank.
func (e *testEnv) serve() *testEnv {
	e.node.Handle(echoKind, func(t env.Task, from string, m env.Message) env.Message {
		if d, err := time.ParseDuration(string(m.(text))); err == nil {
			if err := t.Sleep(d); err != nil {
				return text(err.Error())
			}
		}
		return text(from + ":" + string(m.(text)))
	})
	e.node.Listen()
	return e
}
