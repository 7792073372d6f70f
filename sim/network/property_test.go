package network_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// machine is a random walk over everything that can be done to three endpoints,
// with the network's promises checked at each delivery:
//
//   - a message arrives at the connection, end and incarnation it was sent to, in
//     order, at most once, and with nothing left out before it;
//   - nothing arrives over a link that is cut;
//   - an end is told of its close once, and nothing afterwards;
//   - when all has healed and time has passed, every connection that is still open
//     at both ends, and was sent to at either, has delivered everything.
type machine struct {
	t     *rapid.T
	sim   *sim.Sim
	net   *network.Network
	hosts []*host
	links map[uint64]*link
	next  uint64
	cuts  map[[2]string]int
	heal  []func()
	fault string // the first broken promise
}

type host struct {
	m        *machine
	machine  *sim.Machine
	loc      network.Location
	proc     *sim.Proc
	ep       *network.Endpoint
	numbered uint64 // incarnations
}

// link is one connection as the test sees it: index 0 is the dialer's end.
type link struct {
	id   uint64
	ends [2]*end
}

// end is the handler of one end.
type end struct {
	m           *machine
	link        *link
	side        int
	host        *host
	incarnation uint64
	conn        env.Conn
	sent, got   uint64 // messages; got counts those from the other end
	closed      bool   // told so, or closed by itself
}

// letter says who sent it: connection, side and number.
type letter struct {
	link, number uint64
	side         byte
	pad          int
}

// Size implements env.Message.
func (l *letter) Size() int { return 17 + l.pad }

// Encode implements env.Message.
func (l *letter) Encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, l.link)
	b = binary.LittleEndian.AppendUint64(b, l.number)
	b = append(b, l.side)
	return append(b, make([]byte, l.pad)...)
}

// Decode implements env.Handler.
func (e *end) Decode(b []byte) (env.Message, error) {
	if len(b) < 17 {
		return nil, fmt.Errorf("%d bytes are no letter", len(b))
	}
	return &letter{link: binary.LittleEndian.Uint64(b), number: binary.LittleEndian.Uint64(b[8:]), side: b[16], pad: len(b) - 17}, nil
}

// Receive implements env.Handler.
func (e *end) Receive(c env.Conn, msg env.Message) {
	l := msg.(*letter)
	if e.link == nil { // the acceptor learns here which connection this is
		e.link = e.m.links[l.link]
		if e.link.ends[1] != nil {
			e.m.broken("connection %d was accepted twice", l.link)
		}
		e.link.ends[1] = e
	}
	from := e.link.ends[1-e.side]
	switch {
	case l.link != e.link.id || int(l.side) != 1-e.side:
		e.m.broken("a letter of %d/%d at %d/%d", l.link, l.side, e.link.id, e.side)
	case l.number != e.got:
		e.m.broken("letter %d when %d was due", l.number, e.got)
	case e.closed:
		e.m.broken("a letter after the close")
	case e.incarnation != e.host.numbered:
		e.m.broken("a letter for incarnation %d at %d", e.incarnation, e.host.numbered)
	case from.host != e.host && e.m.cuts[[2]string{from.host.machine.Name(), e.host.machine.Name()}] > 0:
		e.m.broken("a letter across a cut")
	}
	e.got++
}

// Closed implements env.Handler.
func (e *end) Closed(c env.Conn, err error) {
	if e.closed {
		e.m.broken("closed twice")
	}
	if e.incarnation != e.host.numbered {
		e.m.broken("a dead incarnation was told of a close")
	}
	e.closed = true
}

func (m *machine) broken(format string, args ...any) {
	if m.fault == "" {
		m.fault = m.sim.Now().String() + ": " + fmt.Sprintf(format, args...)
	}
}

func (h *host) boot() {
	h.numbered++
	h.proc = h.machine.Start("walk")
	h.ep = h.m.net.Attach(h.proc, h.loc)
	h.ep.Listen(func(c env.Conn) env.Handler {
		return &end{m: h.m, side: 1, host: h, incarnation: h.numbered, conn: c}
	})
}

func (m *machine) host(t *rapid.T) *host { return rapid.SampledFrom(m.hosts).Draw(t, "host") }

func (m *machine) names(t *rapid.T, label string) []string {
	var names []string
	for i, bits := 0, rapid.IntRange(1, 7).Draw(t, label); i < 3; i++ {
		if bits>>i&1 == 1 {
			names = append(names, m.hosts[i].machine.Name())
		}
	}
	return names
}

func (m *machine) dial(t *rapid.T) {
	a, b := m.host(t), m.host(t)
	if !a.proc.Alive() {
		return
	}
	m.next++
	l := &link{id: m.next}
	m.links[l.id] = l
	e := &end{m: m, link: l, host: a, incarnation: a.numbered}
	l.ends[0] = e
	a.proc.Schedule(0, "dial", func() {
		e.conn = a.ep.Dial(b.machine.Name(), e)
		m.write(e, 3, 0)
	})
}

func (m *machine) write(e *end, count, pad int) {
	for range count {
		if e.conn.Send(&letter{link: e.link.id, number: e.sent, side: byte(e.side), pad: pad}) != nil {
			return
		}
		e.sent++
	}
}

// some is an end of a connection that its process still has.
func (m *machine) some(t *rapid.T) *end {
	if m.next == 0 {
		return nil
	}
	l := m.links[rapid.Uint64Range(1, m.next).Draw(t, "connection")]
	e := l.ends[rapid.IntRange(0, 1).Draw(t, "side")]
	if e == nil || e.conn == nil || e.incarnation != e.host.numbered || !e.host.proc.Alive() {
		return nil
	}
	return e
}

func (m *machine) cut(t *rapid.T) {
	from, to := m.names(t, "from"), m.names(t, "to")
	mode := rapid.SampledFrom([]network.Mode{network.Drop, network.Hold}).Draw(t, "mode")
	e := m.net.Cut(from, to, mode)
	m.count(from, to, 1)
	m.heal = append(m.heal, func() { e.Heal(); m.count(from, to, -1) })
}

func (m *machine) count(from, to []string, d int) {
	for _, f := range from {
		for _, t := range to {
			m.cuts[[2]string{f, t}] += d
		}
	}
}

func (m *machine) degrade(t *rapid.T) {
	ppm := func(label string) int64 {
		return rapid.SampledFrom([]int64{0, 0, 10_000, 300_000}).Draw(t, label)
	}
	e := m.net.Degrade(m.names(t, "from"), m.names(t, "to"), network.LinkFault{
		Loss: ppm("loss"), Duplicate: ppm("duplicate"), Reorder: ppm("reorder"), Corrupt: ppm("corrupt") / 10,
		Delay:     rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond}).Draw(t, "delay"),
		Jitter:    rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond}).Draw(t, "jitter"),
		Bandwidth: rapid.SampledFrom([]int64{0, 20_000}).Draw(t, "bandwidth"),
	})
	m.heal = append(m.heal, e.Heal)
}

func (m *machine) healOne(t *rapid.T) {
	if len(m.heal) > 0 {
		i := rapid.IntRange(0, len(m.heal)-1).Draw(t, "fault")
		m.heal[i]()
		m.heal = append(m.heal[:i], m.heal[i+1:]...)
	}
}

func (m *machine) killOrBoot(t *rapid.T) {
	h := m.host(t)
	switch {
	case !h.proc.Alive():
		h.boot()
	case rapid.Bool().Draw(t, "power"):
		m.net.PowerOff(h.machine.Name())
		h.machine.Kill("power")
	default:
		h.machine.Kill("crash")
	}
}

// wait lets time pass: none, or up to longer than every time-out.
func (m *machine) wait(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{0, 100 * time.Microsecond, 2 * time.Millisecond, 50 * time.Millisecond, time.Second, 6 * time.Second, 20 * time.Second}).Draw(t, "time")
	m.run(d)
}

func (m *machine) run(d time.Duration) {
	m.sim.RunUntil(m.sim.Now().Add(d))
	for _, f := range m.sim.Findings() {
		m.t.Fatalf("finding: %s\n%s", f.String(), f.Stack)
	}
}

func newMachine(t *rapid.T, seed uint64, cfg network.Config) *machine {
	s := sim.New(sim.Config{Seed: seed})
	m := &machine{t: t, sim: s, net: network.New(s, cfg), links: map[uint64]*link{}, cuts: map[[2]string]int{}}
	for i, loc := range []network.Location{here, there, far} {
		name := string(rune('a' + i))
		h := &host{m: m, loc: loc, machine: s.Machine(name, sim.MachineConfig{})}
		m.hosts = append(m.hosts, h)
		h.boot()
	}
	return m
}

func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := network.Config{
			Decode: rapid.Bool().Draw(t, "decode"),
			Window: rapid.SampledFrom([]int64{0, 200}).Draw(t, "window"),
		}
		m := newMachine(t, rapid.Uint64().Draw(t, "seed"), cfg)
		defer m.sim.Close()
		write := func(t *rapid.T) {
			if e := m.some(t); e != nil {
				n, pad := rapid.IntRange(1, 5).Draw(t, "letters"), rapid.SampledFrom([]int{0, 0, 1000}).Draw(t, "pad")
				e.host.proc.Schedule(0, "write", func() { m.write(e, n, pad) })
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"":       func(t *rapid.T) { m.check(t) },
			"dial":   m.dial,
			"write":  write,
			"write2": write,
			"close": func(t *rapid.T) {
				if e := m.some(t); e != nil {
					e.host.proc.Schedule(0, "close", func() { e.conn.Close(); e.closed = true })
				}
			},
			"cut": m.cut, "degrade": m.degrade, "heal": m.healOne, "kill or boot": m.killOrBoot,
			"reset": func(t *rapid.T) { m.net.Reset(m.names(t, "a"), m.names(t, "b")) },
			"wait":  m.wait, "wait2": m.wait, "wait3": m.wait,
		})
		m.settle(t)
	})
}

func (m *machine) check(t *rapid.T) {
	if m.fault != "" {
		t.Fatal(m.fault)
	}
}

// settle heals everything and looks at what is left.
func (m *machine) settle(t *rapid.T) {
	for len(m.heal) > 0 {
		m.heal[0]()
		m.heal = m.heal[1:]
	}
	for _, h := range m.hosts {
		if !h.proc.Alive() {
			h.boot()
		}
	}
	m.run(time.Minute)
	// A letter each way finds out who is half open.
	for id := uint64(1); id <= m.next; id++ {
		for _, e := range m.links[id].ends {
			if e != nil && e.conn != nil && !e.closed && e.incarnation == e.host.numbered {
				e.host.proc.Schedule(0, "write", func() { m.write(e, 1, 0) })
			}
		}
	}
	m.run(time.Minute)
	m.check(t)
	for id := uint64(1); id <= m.next; id++ {
		l := m.links[id]
		a, b := l.ends[0], l.ends[1]
		aOpen := a != nil && !a.closed && a.incarnation == a.host.numbered
		bOpen := b != nil && !b.closed && b.incarnation == b.host.numbered
		if aOpen != bOpen {
			t.Fatalf("connection %d is half open, though both ends have sent: %+v %+v", id, a, b)
		}
		if aOpen && (a.got != b.sent || b.got != a.sent) {
			t.Fatalf("connection %d: sent %d and %d, delivered %d and %d", id, a.sent, b.sent, b.got, a.got)
		}
	}
	for _, h := range m.hosts {
		if held := h.proc.MemoryHeld(); held != 0 {
			t.Fatalf("%s holds %d bytes when all is quiet", h.machine.Name(), held)
		}
	}
	for _, l := range m.net.Stats().Labels {
		if l.Sent != l.Delivered+l.Dropped {
			t.Fatalf("%d sent, %d delivered, %d dropped", l.Sent, l.Delivered, l.Dropped)
		}
	}
}

// walk is a fixed mixture of faults and traffic.
func walk(seed uint64, decode bool) (hash uint64, stats network.Stats) {
	s := sim.New(sim.Config{Seed: seed})
	defer s.Close()
	r := &rig{sim: s, net: network.New(s, network.Config{Decode: decode}), nodes: map[string]*peer{}}
	names := []string{"a", "b", "c", "d"}
	for i, name := range names {
		p := r.add(name, []network.Location{here, there, far, here}[i])
		p.onGet = func(c env.Conn, n uint64) {
			if n > 0 {
				_ = c.Send(&number{n: n - 1})
			}
		}
	}
	for i := range 40 {
		p := r.nodes[names[i%4]]
		p.proc.Schedule(time.Duration(i)*50*time.Millisecond, "dial", func() {
			_ = p.dial(names[(i+1+i/4)%4]).Send(&number{n: 50})
		})
	}
	e := r.net.Degrade(names, names, network.LinkFault{Loss: 50_000, Duplicate: 50_000, Reorder: 50_000, Corrupt: 2_000, Jitter: time.Millisecond})
	s.RunUntil(s.Now().Add(time.Second))
	c := r.net.Cut(names[:2], names[2:], network.Drop)
	s.RunUntil(s.Now().Add(3 * time.Second))
	r.nodes["b"].machine.Kill("test")
	c.Heal()
	e.Heal()
	s.RunUntil(s.Now().Add(time.Minute))
	return s.Hash(), r.net.Stats()
}

func TestSameSeedSameRun(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(5) {
		h1, s1 := walk(seed, true)
		h2, s2 := walk(seed, true)
		if h1 != h2 || fmt.Sprint(s1) != fmt.Sprint(s2) {
			t.Errorf("seed %d: two runs differ:\n%+v\n%+v", seed, s1, s2)
		}
		if seen[h1] {
			t.Errorf("seed %d runs like another", seed)
		}
		seen[h1] = true
		if _, direct := walk(seed, false); fmt.Sprint(direct) != fmt.Sprint(s1) {
			t.Errorf("seed %d: decoding changes the run:\n%+v\n%+v", seed, s1, direct)
		}
	}
}
