package network_test

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// BenchmarkPingPong is one message there and one back, in ns for both.
func BenchmarkPingPong(b *testing.B) {
	for _, decode := range []bool{false, true} {
		b.Run(fmt.Sprintf("decode=%v", decode), func(b *testing.B) {
			r := newRig(b, 1, network.Config{Decode: decode})
			x, y := r.add("a", here), r.add("b", there)
			left := 0
			m := &number{pad: 100}
			x.onGet = func(c env.Conn, n uint64) {
				x.got, x.gotAt = x.got[:0], x.gotAt[:0]
				if left--; left > 0 {
					_ = c.Send(m)
				}
			}
			y.onGet = func(c env.Conn, n uint64) {
				y.got, y.gotAt = y.got[:0], y.gotAt[:0]
				_ = c.Send(m)
			}
			var c env.Conn
			x.do(func() { c = x.dial("b") })
			r.run(time.Second)
			round := func(n int) {
				left = n
				x.send(c, 0)
				for left > 0 && r.sim.Step() {
				}
			}
			round(100)
			b.ReportAllocs()
			b.ResetTimer()
			round(b.N)
		})
	}
}

// BenchmarkManyLinks is one message on each of 8,010 links at a time, a tenth of
// which are degraded.
func BenchmarkManyLinks(b *testing.B) {
	r := newRig(b, 1, network.Config{})
	var peers []*peer
	var conns []env.Conn
	var names []string
	for i := range 90 {
		names = append(names, fmt.Sprintf("n%d", i))
		p := r.add(names[i], []network.Location{here, there, far}[i%3])
		p.onGet = func(env.Conn, uint64) { p.got, p.gotAt = p.got[:0], p.gotAt[:0] }
		peers = append(peers, p)
	}
	for _, p := range peers {
		for _, to := range names {
			if p.machine.Name() != to {
				p.do(func() { conns = append(conns, p.dial(to)) })
			}
		}
	}
	r.run(10 * time.Second)
	r.net.Degrade(names[:9], names, network.LinkFault{Delay: time.Millisecond, Loss: 1000})
	m := &number{pad: 100}
	send := func(n int) {
		for i := range n {
			_ = conns[i%len(conns)].Send(m)
			if i%len(conns) == len(conns)-1 {
				r.run(2 * time.Second)
			}
		}
		r.run(10 * time.Second)
	}
	send(len(conns))
	b.ReportAllocs()
	b.ResetTimer()
	send(b.N)
}

// A message there and back allocates nothing in the network, decoded or not; what
// the receiver decodes into is its own.
func TestHotPathAllocatesNothing(t *testing.T) {
	for _, decode := range []bool{false, true} {
		r := newRig(t, 1, network.Config{Decode: decode})
		x, y := r.add("a", here), r.add("b", there)
		m := &number{pad: 100}
		answers := 0
		forget := func(p *peer) { p.got, p.gotAt = p.got[:0], p.gotAt[:0] }
		x.onGet = func(c env.Conn, _ uint64) { forget(x); answers++; _ = c.Send(m) }
		y.onGet = func(c env.Conn, _ uint64) { forget(y); _ = c.Send(m) }
		var c env.Conn
		x.do(func() { c = x.dial("b") })
		r.run(time.Second)
		x.send(c, 0)
		rounds := func(n int) {
			for until := answers + n; answers < until && r.sim.Step(); {
			}
		}
		rounds(5000)
		allowed := 0.0
		if decode {
			allowed = 2 * 100 // the copies that Decode makes
		}
		if n := testing.AllocsPerRun(20, func() { rounds(100) }); n > allowed {
			t.Errorf("decode=%v: %v allocations in 100 messages there and back", decode, n)
		}
	}
}
