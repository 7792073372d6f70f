package network_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// rig is a simulation with endpoints that record what reaches them.
type rig struct {
	t     testing.TB
	sim   *sim.Sim
	net   *network.Network
	nodes map[string]*peer
}

// peer is one name and its latest incarnation.
type peer struct {
	rig      *rig
	machine  *sim.Machine
	loc      network.Location
	proc     *sim.Proc
	ep       *network.Endpoint
	got      []uint64
	gotAt    []sim.Time
	closed   []error
	accepted []env.Conn
	onGet    func(c env.Conn, n uint64)
}

func newRig(t testing.TB, seed uint64, cfg network.Config) *rig {
	s := sim.New(sim.Config{Seed: seed})
	t.Cleanup(s.Close)
	return &rig{t: t, sim: s, net: network.New(s, cfg), nodes: map[string]*peer{}}
}

// add makes an endpoint that listens. CPU time costs nothing unless asked for.
func (r *rig) add(name string, loc network.Location) *peer {
	m := r.sim.Machine(name, sim.MachineConfig{Region: loc.Region, Zone: loc.Zone, Prices: &sim.Prices{}})
	p := &peer{rig: r, machine: m, loc: loc}
	r.nodes[name] = p
	p.boot()
	return p
}

func (p *peer) boot() {
	p.proc = p.machine.Start("test")
	p.ep = p.rig.net.Attach(p.proc, p.loc)
	p.ep.Listen(func(c env.Conn) env.Handler {
		p.accepted = append(p.accepted, c)
		return p
	})
}

// do runs fn as an event of the process.
func (p *peer) do(fn func()) { p.proc.Schedule(0, "do", fn) }

// dial opens a connection now, whose events are recorded here.
func (p *peer) dial(to string) env.Conn { return p.ep.Dial(to, p) }

// Decode implements env.Handler.
func (p *peer) Decode(b []byte) (env.Message, error) {
	if len(b) < 8 {
		return nil, errors.New("short")
	}
	return &number{n: binary.LittleEndian.Uint64(b), pad: len(b) - 8}, nil
}

// Receive implements env.Handler.
func (p *peer) Receive(c env.Conn, m env.Message) {
	n := m.(*number).n
	p.got = append(p.got, n)
	p.gotAt = append(p.gotAt, p.rig.sim.Now())
	if p.onGet != nil {
		p.onGet(c, n)
	}
}

// Closed implements env.Handler.
func (p *peer) Closed(c env.Conn, err error) { p.closed = append(p.closed, err) }

func (r *rig) run(d time.Duration) {
	r.sim.RunUntil(r.sim.Now().Add(d))
	for _, f := range r.sim.Findings() {
		r.t.Fatalf("finding: %s\n%s", f.String(), f.Stack)
	}
}

func (p *peer) wantGot(want ...uint64) {
	p.rig.t.Helper()
	if fmt.Sprint(p.got) != fmt.Sprint(want) {
		p.rig.t.Fatalf("%s got %v, want %v", p.machine.Name(), p.got, want)
	}
}

func (p *peer) wantClosed(want ...error) {
	p.rig.t.Helper()
	ok := len(p.closed) == len(want)
	for i := range want {
		ok = ok && errors.Is(p.closed[i], want[i])
	}
	if !ok {
		p.rig.t.Fatalf("%s was told %v, want %v", p.machine.Name(), p.closed, want)
	}
}

// number is a message.
type number struct {
	n   uint64
	pad int
}

// Size implements env.Message.
func (m *number) Size() int { return 8 + m.pad }

// Encode implements env.Message.
func (m *number) Encode(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(b, m.n), make([]byte, m.pad)...)
}

// Label implements network.Labeled.
func (m *number) Label() string { return "number" }

var (
	here  = network.Location{Region: "us-east1", Zone: "a"}
	there = network.Location{Region: "us-east1", Zone: "b"}
	far   = network.Location{Region: "europe-west1", Zone: "a"}
)

var both = []string{"a", "b"}
