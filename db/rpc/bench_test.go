package rpc

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

type simEnv struct {
	*sim.Proc
	*network.Endpoint
}

func (simEnv) FS() vfs.FS { return nil }

// blob is a message of many bytes.
type blob []byte

func (m blob) Size() int              { return codec.SizeBytes(m) }
func (m blob) Encode(b []byte) []byte { return codec.AppendBytes(b, m) }

// BenchmarkCall is one call and its answer between two nodes of a simulation, all
// events of the kernel and the network included.
func BenchmarkCall(b *testing.B) {
	for _, c := range []struct {
		name   string
		size   int
		decode bool
	}{{"16B", 16, false}, {"16B-decoded", 16, true}, {"256KiB", 256 << 10, false}} {
		b.Run(c.name, func(b *testing.B) {
			s := sim.New(sim.Config{Seed: 1})
			defer s.Close()
			net := network.New(s, network.Config{Decode: c.decode})
			start := func(name string) (simEnv, *Node) {
				p := s.Machine(name, sim.MachineConfig{Cores: 8, Memory: 1 << 40}).Start("bench")
				e := simEnv{p, net.Attach(p, network.Location{Region: "r", Zone: "z"})}
				return e, New(e, hlc.NewClock(e, 500*time.Millisecond))
			}
			k := &Kind{ID: 1, Name: "blob", Class: Default,
				Request:  func(r *codec.Reader) env.Message { return blob(r.Bytes()) },
				Response: func(r *codec.Reader) env.Message { return blob(r.Bytes()) }}
			ae, an := start("a")
			_, bn := start("b")
			bn.Handle(k, func(_ env.Task, _ string, m env.Message) env.Message { return m.(blob)[:0:0] })
			bn.Listen()
			m := make(blob, c.size)
			left := b.N
			b.ReportAllocs()
			b.ResetTimer()
			for range 4 {
				ae.Go("caller", func(t env.Task) {
					for left > 0 {
						left--
						if _, err := an.Call(t, "b", k, m, time.Second); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			for left > 0 && s.Step() {
			}
		})
	}
}
