package network_test

import (
	"testing"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// pair is a connection from a to b that stands, between two zones.
func pair(t *testing.T, cfg network.Config) (r *rig, a, b *peer, c env.Conn) {
	return pairAt(t, cfg, there)
}

func pairAt(t *testing.T, cfg network.Config, at network.Location) (r *rig, a, b *peer, c env.Conn) {
	r = newRig(t, 7, cfg)
	a, b = r.add("a", here), r.add("b", at)
	a.do(func() { c = a.dial("b") })
	r.run(2 * time.Second)
	if len(b.accepted) != 1 {
		t.Fatal("the connection does not stand")
	}
	return r, a, b, c
}

func (p *peer) send(c env.Conn, numbers ...uint64) {
	p.do(func() {
		for _, n := range numbers {
			_ = c.Send(&number{n: n})
		}
	})
}

func TestLatency(t *testing.T) {
	for _, c := range []struct {
		to     network.Location
		lo, hi time.Duration // of one way; hi without the rare long tail
	}{
		{here, 50 * time.Microsecond, 70 * time.Microsecond},
		{there, 500 * time.Microsecond, time.Millisecond},
		{far, 32 * time.Millisecond, 46 * time.Millisecond},
	} {
		r, a, b, conn := pairAt(t, network.Config{}, c.to)
		var sent []sim.Time
		for i := range 1000 {
			a.proc.Schedule(time.Duration(i)*100*time.Millisecond, "send", func() {
				sent = append(sent, r.sim.Now())
				_ = conn.Send(&number{n: uint64(i)})
			})
		}
		r.run(200 * time.Second)
		slow := 0
		for i, at := range b.gotAt {
			d := at.Sub(sent[i])
			if d < c.lo || d > 4*c.hi {
				t.Errorf("to %v: %v", c.to, d)
			}
			if d > c.hi {
				slow++
			}
		}
		if len(b.gotAt) != 1000 || slow > 10 {
			t.Errorf("to %v: %d delivered, %d of them slow", c.to, len(b.gotAt), slow)
		}
	}
}

func TestBandwidth(t *testing.T) {
	r, a, b, c := pair(t, network.Config{Bandwidth: 1_000_000})
	begun := r.sim.Now()
	a.do(func() {
		_ = c.Send(&number{n: 1, pad: 1_000_000})
		_ = c.Send(&number{n: 2})
	})
	r.run(5 * time.Second)
	b.wantGot(1, 2)
	if d := b.gotAt[1].Sub(begun); d < time.Second || d > 1100*time.Millisecond {
		t.Errorf("a message behind a megabyte took %v at a megabyte a second", d)
	}

	f := r.net.Degrade([]string{"a"}, []string{"b"}, network.LinkFault{Bandwidth: 100_000})
	begun = r.sim.Now()
	a.do(func() { _ = c.Send(&number{n: 3, pad: 100_000}) })
	r.run(5 * time.Second)
	if d := b.gotAt[2].Sub(begun); d < time.Second || f.Count() != 1 {
		t.Errorf("capped: %v, count %d", d, f.Count())
	}
}

func TestDegrade(t *testing.T) {
	for name, f := range map[string]network.LinkFault{
		"loss":      {Loss: 200_000},
		"duplicate": {Duplicate: 200_000},
		"reorder":   {Reorder: 200_000},
		"delay":     {Delay: 20 * time.Millisecond, Jitter: 30 * time.Millisecond},
	} {
		r, a, b, c := pair(t, network.Config{})
		e := r.net.Degrade([]string{"a"}, []string{"b"}, f)
		var want []uint64
		for i := range uint64(200) {
			want = append(want, i)
			a.proc.Schedule(time.Duration(i)*time.Millisecond, "send", func() { _ = c.Send(&number{n: i}) })
		}
		r.run(60 * time.Second)
		b.wantGot(want...)
		if e.Count() == 0 {
			t.Errorf("%s touched nothing", name)
		}
		e.Heal()
		before := e.Count()
		a.send(c, 1, 2, 3)
		r.run(time.Second)
		if e.Count() != before {
			t.Errorf("%s goes on after it healed", name)
		}
		s := r.net.Stats()
		if name == "loss" && s.Retransmitted == 0 || name == "duplicate" && s.Duplicated == 0 {
			t.Errorf("%s: %+v", name, s.Totals)
		}
	}
}

func TestCorruption(t *testing.T) {
	for _, decode := range []bool{false, true} {
		r, a, b, c := pair(t, network.Config{Decode: decode})
		e := r.net.Degrade([]string{"a"}, []string{"b"}, network.LinkFault{Corrupt: 1_000_000})
		a.send(c, 1, 2)
		r.run(time.Second)
		b.wantGot()
		b.wantClosed(env.ErrCorrupt)
		a.wantClosed(env.ErrReset)
		if e.Count() == 0 || r.net.Stats().Corrupted != 1 {
			t.Errorf("decode %v: count %d, stats %+v", decode, e.Count(), r.net.Stats().Totals)
		}
	}
}

func TestEveryBitIsCaught(t *testing.T) {
	// Flips are drawn; many connections see many of them.
	r := newRig(t, 3, network.Config{Decode: true})
	a, b := r.add("a", here), r.add("b", there)
	r.run(time.Second)
	for range 300 {
		var c env.Conn
		a.do(func() { c = a.dial("b") })
		r.run(time.Second)
		e := r.net.Degrade([]string{"a"}, []string{"b"}, network.LinkFault{Corrupt: 1_000_000})
		a.send(c, 1)
		r.run(time.Second)
		e.Heal()
	}
	b.wantGot()
	if len(b.closed) != 300 || len(a.closed) != 300 {
		t.Errorf("%d and %d closed", len(b.closed), len(a.closed))
	}
}

func TestCutThatDropsAndHealsInTime(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	a.send(c, 1) // on its way when the cut begins
	r.run(100 * time.Microsecond)
	e := r.net.Cut([]string{"a"}, []string{"b"}, network.Drop)
	a.send(c, 2, 3)
	r.run(10 * time.Second)
	b.wantGot()
	e.Heal()
	e.Heal()
	r.run(10 * time.Second)
	b.wantGot(1, 2, 3)
	a.wantClosed()
	if e.Count() < 3 {
		t.Errorf("count %d", e.Count())
	}
}

func TestCutThatDropsTooLong(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	e := r.net.Cut([]string{"a"}, []string{"b"}, network.Drop)
	a.send(c, 1)
	r.run(20 * time.Second)
	a.wantClosed(env.ErrUnreachable)
	e.Heal()
	r.run(20 * time.Second)
	b.wantGot()
	b.wantClosed() // half open
	b.send(b.accepted[0], 2)
	r.run(time.Second)
	a.wantGot()
	b.wantClosed(env.ErrReset)
}

func TestCutOfAcknowledgements(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	e := r.net.Cut([]string{"b"}, []string{"a"}, network.Drop)
	a.send(c, 1)
	r.run(5 * time.Second)
	b.wantGot(1)
	e.Heal()
	r.run(20 * time.Second)
	a.wantClosed()
	r.net.Cut([]string{"b"}, []string{"a"}, network.Drop)
	a.send(c, 2)
	r.run(20 * time.Second)
	b.wantGot(1, 2)
	a.wantClosed(env.ErrUnreachable)
}

func TestCutThatHolds(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	e := r.net.Cut([]string{"a"}, []string{"b"}, network.Hold)
	a.send(c, 1, 2, 3)
	b.send(b.accepted[0], 9)
	r.run(5 * time.Minute)
	b.wantGot()
	a.wantGot(9)
	e.Heal()
	r.run(10 * time.Millisecond)
	b.wantGot(1, 2, 3)
	a.wantClosed()
}

func TestHeldMessagesOfTheDead(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	e := r.net.Cut([]string{"a"}, []string{"b"}, network.Hold)
	a.send(c, 1, 2)
	r.run(time.Second)
	a.machine.Kill("test")
	r.run(time.Second)
	b.wantClosed()
	e.Heal()
	r.run(time.Second)
	// The reset may overtake what it follows, and then that is lost.
	b.wantClosed(env.ErrReset)
}

func TestHeldForTheDead(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	e := r.net.Cut(both, both, network.Hold)
	a.send(c, 1, 2)
	a.do(func() { _ = a.dial("b").Send(&number{n: 7}) })
	r.run(time.Second)
	b.machine.Kill("test")
	r.run(time.Second)
	b.boot()
	b.do(func() {})
	r.run(time.Second)
	a.wantClosed()
	e.Heal()
	r.run(10 * time.Second)
	b.wantGot(7) // the dial reached the next incarnation, the old connection did not
	a.wantClosed(env.ErrReset)
}

func TestDialInACut(t *testing.T) {
	r := newRig(t, 1, network.Config{})
	a, b := r.add("a", here), r.add("b", there)
	e := r.net.Cut([]string{"a"}, []string{"b"}, network.Drop)
	a.do(func() { _ = a.dial("b").Send(&number{n: 1}) })
	r.run(2 * time.Second)
	e.Heal()
	r.run(5 * time.Second)
	b.wantGot(1)
	e = r.net.Cut([]string{"b"}, []string{"a"}, network.Drop)
	a.do(func() { _ = a.dial("b").Send(&number{n: 2}) })
	r.run(10 * time.Second)
	a.wantClosed(env.ErrUnreachable)
	e.Heal()
	r.run(20 * time.Second)
	b.wantGot(1)
	b.wantClosed(env.ErrReset) // it had accepted, and its answer found nobody
	if s := r.net.Stats(); s.Unreachable != 1 || s.Dials != 2 {
		t.Errorf("%+v", s.Totals)
	}
}

func TestReset(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	a.send(c, 1, 2)
	b.send(b.accepted[0], 3)
	r.run(10 * time.Microsecond)
	if n := r.net.Reset(both, both); n != 1 {
		t.Errorf("%d connections reset", n)
	}
	r.run(time.Second)
	a.wantGot()
	b.wantGot()
	a.wantClosed(env.ErrReset)
	b.wantClosed(env.ErrReset)
	if err := c.Send(&number{}); err != env.ErrClosed {
		t.Error(err)
	}
	if n := r.net.Reset(both, both); n != 0 {
		t.Errorf("%d connections reset", n)
	}
}

func TestCrashSaysSoUnlessCut(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	e := r.net.Cut([]string{"b"}, []string{"a"}, network.Drop)
	b.machine.Kill("test")
	r.run(time.Minute)
	a.wantClosed()
	e.Heal()
	r.run(time.Minute)
	a.wantClosed() // the reset is lost: half open, until it sends
	a.send(c, 1)
	r.run(time.Second)
	a.wantClosed(env.ErrReset)
}

func TestPowerLossIsSilent(t *testing.T) {
	for _, back := range []bool{false, true} {
		r, a, b, c := pair(t, network.Config{})
		a.send(c, 1)
		r.run(time.Microsecond)
		r.net.PowerOff("b")
		b.machine.Kill("power")
		r.run(5 * time.Second)
		a.wantClosed()
		if back {
			b.boot()
			r.run(5 * time.Second)
			a.wantClosed(env.ErrReset)
			b.wantGot()
			continue
		}
		a.do(func() { a.dial("b") })
		r.run(20 * time.Second)
		a.wantClosed(env.ErrUnreachable, env.ErrUnreachable)
	}
}

func TestIdleAfterPowerLoss(t *testing.T) {
	r, a, b, c := pair(t, network.Config{})
	r.net.PowerOff("b")
	b.machine.Kill("power")
	r.run(time.Hour)
	a.wantClosed()
	b.boot()
	a.send(c, 1)
	r.run(time.Second)
	a.wantClosed(env.ErrReset)
	b.wantGot()
}

func TestBacklogIsMemory(t *testing.T) {
	s := sim.New(sim.Config{Seed: 1})
	t.Cleanup(s.Close)
	r := &rig{t: t, sim: s, net: network.New(s, network.Config{Window: 1 << 20}), nodes: map[string]*peer{}}
	a := r.add("a", here)
	m := s.Machine("b", sim.MachineConfig{Memory: 512 << 10})
	b := &peer{rig: r, machine: m, loc: there}
	b.boot()
	var c env.Conn
	a.do(func() { c = a.dial("b") })
	r.run(time.Second)
	m.Pause()
	a.do(func() {
		for i := range uint64(40) {
			_ = c.Send(&number{n: i, pad: 100 << 10})
		}
	})
	r.run(10 * time.Second)
	if held := a.proc.MemoryHeld(); held < 2<<20 || held > 4<<20 {
		t.Errorf("the sender holds %d bytes", held)
	}
	m.Resume()
	r.run(10 * time.Second)
	if b.proc.Alive() || len(b.got) != 0 {
		t.Errorf("a backlog of a megabyte fits into half of one; got %v", b.got)
	}
	a.wantClosed(env.ErrReset)
	if held := a.proc.MemoryHeld(); held != 0 {
		t.Errorf("the sender holds %d bytes for nobody", held)
	}
}

func TestWindowReopens(t *testing.T) {
	r, a, b, c := pair(t, network.Config{Window: 1000})
	var want []uint64
	for i := range uint64(100) {
		want = append(want, i)
	}
	a.send(c, want...)
	r.run(100 * time.Microsecond)
	a.do(func() { _ = c.Send(&number{n: 100, pad: 5000}) }) // larger than the window
	r.run(time.Minute)
	b.wantGot(append(want, 100)...)
	if a.proc.MemoryHeld() != 0 || b.proc.MemoryHeld() != 0 {
		t.Errorf("%d and %d bytes are held", a.proc.MemoryHeld(), b.proc.MemoryHeld())
	}
}

func TestStats(t *testing.T) {
	r, a, b, c := pairAt(t, network.Config{}, far)
	a.send(c, 1, 2)
	r.run(time.Second)
	e := r.net.Cut([]string{"a"}, []string{"b"}, network.Drop)
	a.send(c, 3)
	r.run(time.Minute)
	e.Heal()
	s := r.net.Stats()
	want := network.Traffic{Sent: 3, SentBytes: 48, Delivered: 2, DeliveredBytes: 32, Dropped: 1, DroppedBytes: 16}
	if len(s.Labels) != 1 || s.Labels[0].Label != "number" || s.Labels[0].Traffic != want {
		t.Errorf("labels: %+v", s.Labels)
	}
	found := false
	for _, p := range s.Regions {
		if p.From == here.Region && p.To == far.Region {
			found = p.Traffic == want
		}
	}
	if !found {
		t.Errorf("regions: %+v", s.Regions)
	}
	_ = b
}
