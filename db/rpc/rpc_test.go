package rpc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"simulacrum/sim/env"
)

type outcome struct {
	answer string
	err    error
	took   time.Duration
	done   bool
}

// call starts a call in a task of its own.
func (e *testEnv) call(to string, k *Kind, m string, timeout time.Duration) *outcome {
	o := &outcome{}
	start := e.Mono()
	e.Go("call", func(t env.Task) {
		answer, err := e.node.Call(t, to, k, text(m), timeout)
		if err == nil {
			o.answer = string(answer.(text))
		}
		o.err, o.took, o.done = err, e.Mono()-start, true
	})
	return o
}

func (o *outcome) want(t *testing.T, what string, sent bool, cause error) {
	t.Helper()
	var e *Error
	if !o.done || !errors.As(o.err, &e) || e.Sent != sent || MaybeSent(o.err) != sent || !errors.Is(o.err, cause) {
		t.Fatalf("%s: done %v, answer %q, error %v; want sent %v, %v", what, o.done, o.answer, o.err, sent, cause)
	}
}

func TestCall(t *testing.T) {
	w := newWorld(t, 1, nil)
	a, b := w.start("a").serve(), w.start("b").serve()
	o, self := a.call("b", echoKind, "x", time.Second), a.call("a", echoKind, "x", time.Second)
	w.run(time.Second)
	if o.answer != "a:x" || self.answer != "a:x" {
		t.Fatalf("%+v %+v", o, self)
	}
	// Connecting takes a round trip before the one of the call itself.
	if o.took < 4*w.delay || o.took > 4*w.delay+time.Millisecond {
		t.Fatalf("the first call took %s", o.took)
	}
	o = a.call("b", echoKind, "y", time.Second)
	w.run(time.Second)
	if o.answer != "a:y" || o.took > 2*w.delay+time.Millisecond {
		t.Fatalf("%+v", o)
	}
	if rtt, ok := a.node.RTT("b"); !ok || rtt < 2*w.delay || rtt > 2*w.delay+time.Millisecond {
		t.Fatalf("round trip %s %v", rtt, ok)
	}
	if !a.node.Healthy("b") || b.node.Healthy("a") || a.node.Healthy("c") {
		t.Fatal("health")
	}
}

// Two hundred calls at once come back each to its caller, and leave nothing behind.
func TestManyCalls(t *testing.T) {
	w := newWorld(t, 2, nil)
	a, b := w.start("a").serve(), w.start("b").serve()
	for range 3 {
		var all []*outcome
		for i := range 200 {
			all = append(all, a.call("b", echoKind, fmt.Sprintf("%dms", i%50), time.Second))
		}
		w.run(2 * time.Second)
		for i, o := range all {
			if o.answer != fmt.Sprintf("a:%dms", i%50) {
				t.Fatalf("call %d: %+v", i, o)
			}
		}
	}
	if l := b.node.load[echoKind.ID]; l != (load{}) || b.MemoryHeld() != 0 {
		t.Fatalf("left in progress: %+v, %d bytes", l, b.MemoryHeld())
	}
	if len(a.node.calls.slots) > 200 || len(a.node.calls.free) != len(a.node.calls.slots) {
		t.Fatalf("%d calls, %d of them free", len(a.node.calls.slots), len(a.node.calls.free))
	}
}

func TestOneway(t *testing.T) {
	w := newWorld(t, 3, nil)
	a, b := w.start("a"), w.start("b")
	var got []string
	for _, e := range []*testEnv{a, b} {
		e.node.HandleOneway(noteKind, func(from string, m env.Message) {
			got = append(got, from+">"+e.Name()+":"+string(m.(text)))
		})
		e.node.Listen()
	}
	for i := range 4 {
		a.node.Send("b", noteKind, text(fmt.Sprint(i)))
	}
	a.node.Send("c", noteKind, text("nobody"))
	w.run(time.Second)
	a.node.Send("a", noteKind, text("self"))
	if strings.Contains(strings.Join(got, " "), "self") {
		t.Fatal("a message to oneself is no event of its own")
	}
	w.run(time.Second)
	if s := strings.Join(got, " "); s != "a>b:0 a>b:1 a>b:2 a>b:3 a>a:self" {
		t.Fatal(s)
	}
	if a.node.Stats().Dropped != 1 {
		t.Fatalf("%+v", a.node.Stats())
	}
}

// What certainly never reached a handler is told from what may have.
func TestSentOrNot(t *testing.T) {
	w := newWorld(t, 4, nil)
	a, b := w.start("a").serve(), w.start("b").serve()
	o := a.call("c", echoKind, "x", time.Second)
	w.run(20 * time.Millisecond)
	o.want(t, "nobody listens", false, env.ErrRefused)
	o = a.call("c", echoKind, "x", time.Second)
	w.run(time.Millisecond)
	var backoff *BackoffError
	if o.want(t, "too early", false, env.ErrRefused); !errors.As(o.err, &backoff) {
		t.Fatal(o.err)
	}

	w.cut["a>b"] = true
	o = a.call("b", echoKind, "x", 300*time.Millisecond)
	w.run(time.Second)
	o.want(t, "the connection never stood", false, env.ErrTimeout)
	w.run(10 * time.Second)
	w.cut["a>b"] = false
	w.run(10 * time.Second)

	if o = a.call("b", echoKind, "x", time.Second); o.done {
		t.Fatal("too soon")
	}
	w.run(time.Second)
	if o.answer != "a:x" {
		t.Fatalf("not healed: %+v", o)
	}
	o = a.call("b", lostKind, "x", time.Second)
	w.run(time.Second)
	o.want(t, "unknown kind", false, ErrUnknownKind)

	o = a.call("b", echoKind, "500ms", 200*time.Millisecond)
	w.run(time.Second)
	o.want(t, "slow", true, env.ErrTimeout)
	o = a.call("b", echoKind, "500ms", time.Second)
	w.run(100 * time.Millisecond)
	w.reset("a", "b")
	w.run(time.Second)
	o.want(t, "reset", true, env.ErrReset)
	if b.node.Stats().Served != 3 {
		t.Fatalf("%+v", b.node.Stats())
	}
	b.node.Handle(lostKind, func(env.Task, string, env.Message) env.Message { return nil })
	o = a.call("b", lostKind, "x", time.Second)
	w.run(time.Second)
	o.want(t, "no answer", true, ErrNoAnswer)
	a.node.Stop()
	o = a.call("b", echoKind, "x", time.Second)
	w.run(time.Second)
	o.want(t, "stopped", false, ErrStopped)
}

// The caller's deadline ends the handler's waits, and a request that is late is not
// handled at all.
func TestDeadlineTravels(t *testing.T) {
	w := newWorld(t, 5, nil)
	a, b := w.start("a").serve(), w.start("b").serve()
	o := a.call("b", echoKind, "x", time.Second)
	w.run(time.Second)
	var ended error
	b.node.Handle(lostKind, func(t env.Task, _ string, _ env.Message) env.Message {
		ended = t.Sleep(time.Hour)
		return text("")
	})
	o = a.call("b", lostKind, "x", 300*time.Millisecond)
	w.run(time.Second)
	o.want(t, "deadline", true, env.ErrTimeout)
	if ended != env.ErrDeadline {
		t.Fatalf("handler: %v", ended)
	}
	served := b.node.Stats().Served
	b.Machine().Pause()
	o = a.call("b", echoKind, "x", 100*time.Millisecond)
	w.s.Schedule(150*time.Millisecond, "resume", b.Machine().Resume)
	w.run(time.Second)
	o.want(t, "paused", true, env.ErrTimeout)
	// The request was unread when its time ran out, but nobody told b: its time runs
	// from when b got it. So it may be handled, though not for longer than that.
	if s := b.node.Stats(); s.Served > served+1 || a.node.Stats().LateReply == 0 {
		t.Fatalf("%+v, caller %+v", s, a.node.Stats())
	}
	// A task whose own deadline is earlier than the timeout.
	var err error
	a.Go("bound", func(t env.Task) {
		t.SetDeadline(a.Mono() + 50*time.Millisecond)
		_, err = a.node.Call(t, "b", echoKind, text("1s"), time.Hour)
	})
	w.run(time.Second)
	if !errors.Is(err, env.ErrDeadline) && !errors.Is(err, env.ErrTimeout) || !MaybeSent(err) {
		t.Fatal(err)
	}
}

// Beyond its limits a server refuses at once, and other kinds go on.
func TestOverload(t *testing.T) {
	w := newWorld(t, 6, map[string]int64{"rpc.max_calls": 4})
	a, b := w.start("a"), w.start("b").serve()
	ping := &Kind{ID: 9, Name: "small", Class: System, Request: decodeText, Response: decodeText}
	b.node.Handle(ping, func(env.Task, string, env.Message) env.Message { return text("pong") })
	var all []*outcome
	for range 10 {
		all = append(all, a.call("b", echoKind, "300ms", time.Second))
	}
	w.run(100 * time.Millisecond)
	small := a.call("b", ping, "", time.Second)
	w.run(50 * time.Millisecond)
	if small.answer != "pong" {
		t.Fatalf("%+v", small)
	}
	refused := 0
	for _, o := range all {
		if o.done {
			o.want(t, "refused", false, ErrOverloaded)
			refused++
		}
	}
	w.run(time.Second)
	for _, o := range all {
		if o.err == nil && o.answer != "" {
			refused++
		}
	}
	if refused != 10 || b.node.Stats().Overloaded != 6 {
		t.Fatalf("%d, %+v", refused, b.node.Stats())
	}
}

// A half-open connection is found out by its pings, and calls on it end in doubt.
func TestHalfOpen(t *testing.T) {
	w := newWorld(t, 7, nil)
	a, b := w.start("a"), w.start("b").serve()
	o := a.call("b", echoKind, "x", time.Second)
	w.run(time.Second)
	w.cut["b>a"], w.cut["a>b"] = true, true
	o = a.call("b", echoKind, "y", 0)
	w.run(4 * time.Second)
	o.want(t, "half open", true, ErrPingTimeout)
	if o.took > 3*time.Second+100*time.Millisecond {
		t.Fatalf("found out after %s", o.took)
	}
	if a.node.Healthy("b") || !a.node.Failing("b") {
		t.Fatal("still healthy")
	}
	w.cut["b>a"], w.cut["a>b"] = false, false
	a.node.Connect("b")
	w.run(5 * time.Second)
	a.node.Connect("b")
	w.run(time.Second)
	if !a.node.Healthy("b") || a.node.Failing("b") {
		t.Fatal("not healed")
	}
	_ = b
}

// A restarted peer answers again after the backoff; its old incarnation's calls
// ended in doubt.
func TestRestart(t *testing.T) {
	w := newWorld(t, 8, nil)
	a, b := w.start("a"), w.start("b").serve()
	o := a.call("b", echoKind, "900ms", 2*time.Second)
	w.run(500 * time.Millisecond)
	b.Machine().Kill("test")
	w.reset("a", "b")
	w.run(500 * time.Millisecond)
	o.want(t, "killed", true, env.ErrReset)
	w.start("b").serve()
	w.run(time.Second)
	o = a.call("b", echoKind, "again", time.Second)
	w.run(time.Second)
	if o.answer != "a:again" {
		t.Fatalf("%+v", o)
	}
}

// A peer whose system connection broke, while another stands, is healthy again once the
// backoff is over, though nobody dials it.
func TestSystemConnectionComesBack(t *testing.T) {
	w := newWorld(t, 8, map[string]int64{"rpc.backoff_min": int64(2 * time.Second), "rpc.backoff_max": int64(2 * time.Second)})
	a := w.start("a")
	w.start("b").serve()
	a.call("b", echoKind, "x", time.Second)
	w.run(time.Second)
	a.node.peer("b").links[System].conn.close(ErrPingTimeout)
	if a.node.Healthy("b") {
		t.Fatal("healthy without a system connection")
	}
	for range 5 {
		a.call("b", echoKind, "x", time.Second)
		w.run(time.Second)
	}
	if !a.node.Healthy("b") {
		t.Fatal("not healthy, though it answers")
	}
}

// Unused connections are closed, those in use are not.
func TestIdle(t *testing.T) {
	w := newWorld(t, 9, map[string]int64{"rpc.idle": int64(5 * time.Second)})
	a := w.start("a")
	w.start("b").serve()
	a.call("b", echoKind, "x", time.Second)
	w.run(4 * time.Second)
	if !a.node.Healthy("b") {
		t.Fatal("closed too early")
	}
	w.run(10 * time.Second)
	for _, l := range a.node.peer("b").links {
		if l.conn != nil || l.failures > 0 {
			t.Fatalf("%s is open, or failed", l.class)
		}
	}
	o := a.call("b", echoKind, "x", time.Second)
	w.run(time.Second)
	if o.answer != "a:x" {
		t.Fatalf("%+v", o)
	}
}

// Offsets are measured, readings that are too far ahead break the connection, and a
// node that has strayed from most others finds out.
func TestClocks(t *testing.T) {
	w := newWorld(t, 10, nil)
	var all []*testEnv
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, w.start(name).serve())
	}
	connect := func() {
		for _, e := range all {
			for _, to := range all {
				e.node.Connect(to.Name())
			}
		}
	}
	connect()
	all[1].Machine().Clock().Step(450 * time.Millisecond)
	w.run(5 * time.Second)
	offsets := all[0].node.RemoteOffsets()
	if len(offsets) != 2 || offsets[0].Peer != "b" || offsets[0].Offset < 440*time.Millisecond || offsets[0].Offset > 460*time.Millisecond {
		t.Fatalf("%+v", offsets)
	}
	var stray *StrayError
	if all[0].node.CheckOffsets() != nil || all[2].node.CheckOffsets() != nil || !errors.As(all[1].node.CheckOffsets(), &stray) || stray.Far != 2 {
		t.Fatalf("%v %v %v", all[0].node.CheckOffsets(), all[1].node.CheckOffsets(), all[2].node.CheckOffsets())
	}
	all[0].call("b", echoKind, "x", time.Second)
	w.run(15 * time.Millisecond)
	if now := all[0].clock.Now(); now.Wall < all[0].Wall()+int64(400*time.Millisecond) {
		t.Fatal("the clock was not ratcheted")
	}
	all[1].Machine().Clock().Step(5 * time.Second)
	w.run(5 * time.Second)
	if all[0].node.Stats().ClockRefused == 0 || all[0].node.Healthy("b") {
		t.Fatalf("%+v", all[0].node.Stats())
	}
	// Too far ahead to be talked to, it must still find out.
	connect()
	w.run(2 * time.Second)
	if all[0].node.CheckOffsets() != nil || !errors.As(all[1].node.CheckOffsets(), &stray) || stray.Far != 2 || stray.Offsets[0].Offset > -5*time.Second {
		t.Fatalf("%v %v", all[0].node.CheckOffsets(), all[1].node.CheckOffsets())
	}
	if off := all[0].clock.Last().Wall - all[0].Wall(); off > int64(500*time.Millisecond) {
		t.Fatalf("clock dragged along by %s", time.Duration(off))
	}
	o := all[1].call("a", echoKind, "x", time.Second)
	w.run(2 * time.Second)
	if o.err == nil || all[0].node.Stats().Served != 0 {
		t.Fatalf("a call from a node with a wild clock was handled: %+v", o)
	}
	// As far behind: it refuses the others, and finds out as well.
	all[1].Machine().Clock().Step(-10 * time.Second)
	w.run(15 * time.Second)
	connect()
	w.run(2 * time.Second)
	if all[0].node.CheckOffsets() != nil || !errors.As(all[1].node.CheckOffsets(), &stray) || stray.Offsets[0].Offset < 4*time.Second {
		t.Fatalf("%v %v", all[0].node.CheckOffsets(), all[1].node.CheckOffsets())
	}
}

func TestOffsetCheckCanBeOff(t *testing.T) {
	w := newWorld(t, 11, map[string]int64{"rpc.offset_check": 0})
	a := w.start("a").serve()
	w.start("b").serve()
	a.node.Connect("b")
	a.Machine().Clock().Step(-450 * time.Millisecond)
	w.run(2 * time.Second)
	if len(a.node.RemoteOffsets()) != 1 || a.node.CheckOffsets() != nil {
		t.Fatalf("%+v %v", a.node.RemoteOffsets(), a.node.CheckOffsets())
	}
}

// Any bytes at all are decoded or refused.
func FuzzDecodeFrame(f *testing.F) {
	n := &Node{}
	n.register(echoKind)
	n.register(noteKind)
	for typ := frameRequest; typ <= framePong; typ++ {
		f.Add((&frame{typ: typ, kind: 1, code: 1, id: 5, timeout: 6, wall: 7, payload: text("x")}).Encode(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := n.decode(b)
		if err != nil {
			return
		}
		if fr := m.(*frame); fr.payload == nil && (fr.typ == frameRequest || fr.typ == frameOneway) {
			return
		} else if got := fr.Encode(nil); string(got) != string(b) || fr.Size() != len(b) {
			t.Fatalf("%x decodes and encodes as %x", b, got)
		}
	})
}

// The same seed gives the same run.
func TestDeterministic(t *testing.T) {
	run := func() uint64 {
		w := newWorld(t, 12, nil)
		a := w.start("a").serve()
		w.start("b").serve()
		for i := range 20 {
			a.call("b", echoKind, fmt.Sprintf("%dms", i), time.Second)
		}
		w.s.Schedule(10*time.Millisecond, "reset", func() { w.reset("a", "b") })
		w.run(3 * time.Second)
		return w.s.Hash()
	}
	if a, b := run(), run(); a != b {
		t.Fatalf("%x and %x", a, b)
	}
}

// Bytes in progress are bounded, but a single large request gets through; and what
// waits for a connection is bounded too.
func TestBounds(t *testing.T) {
	w := newWorld(t, 13, map[string]int64{"rpc.max_bytes": 1 << 20, "rpc.max_held": 2})
	a, b := w.start("a"), w.start("b").serve()
	large := strings.Repeat("x", 2<<20)
	o := a.call("b", echoKind, large, time.Second)
	w.run(time.Second)
	if len(o.answer) != len(large)+2 {
		t.Fatalf("%d bytes, %v", len(o.answer), o.err)
	}
	slow := a.call("b", echoKind, "100ms", time.Second)
	w.run(20 * time.Millisecond)
	second := a.call("b", echoKind, large, time.Second)
	w.run(time.Second)
	if slow.err != nil {
		t.Fatal(slow.err)
	}
	second.want(t, "beyond the bytes", false, ErrOverloaded)

	w.reset("a", "b")
	w.run(time.Second)
	var all []*outcome
	for range 4 {
		all = append(all, a.call("b", echoKind, "x", time.Second))
	}
	w.run(time.Second)
	full := 0
	for _, o := range all {
		if o.err != nil {
			o.want(t, "held", false, ErrQueueFull)
			full++
		}
	}
	if full != 2 || b.MemoryHeld() != 0 {
		t.Fatalf("%d refused, %d bytes", full, b.MemoryHeld())
	}
}
