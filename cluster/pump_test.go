package cluster

import (
	"testing"
	"time"

	"simulacrum/internal/cputime"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// BenchmarkBarePump is the floor that a replicated write is measured against: three
// RawNodes, one proposal at a time, no disk, no network, no state machine.
func BenchmarkBarePump(b *testing.B) {
	b.ReportAllocs()
	p := newPump(b)
	b.ResetTimer()
	p.turn(b, b.N, make([]byte, 200))
}

// TimePump is the processor time that one proposal of the given size takes in the pump.
func TimePump(tb testing.TB, size int) time.Duration {
	const turns = 20_000
	p := newPump(tb)
	payload := make([]byte, size)
	p.turn(tb, turns/10, payload)
	start := cputime.Used()
	p.turn(tb, turns, payload)
	return (cputime.Used() - start) / turns
}

// pump is three RawNodes that hand each other their messages.
type pump struct {
	nodes  [3]*raft.RawNode
	stores [3]*raft.MemoryStorage
	inbox  [3][]pb.Message
}

func newPump(tb testing.TB) *pump {
	p := &pump{}
	for i := range p.nodes {
		p.stores[i] = raft.NewMemoryStorage()
		snap := pb.Snapshot{Metadata: pb.SnapshotMetadata{Index: 1, Term: 1, ConfState: pb.ConfState{Voters: []uint64{1, 2, 3}}}}
		if err := p.stores[i].ApplySnapshot(snap); err != nil {
			tb.Fatal(err)
		}
		n, err := raft.NewRawNode(&raft.Config{ID: uint64(i + 1), ElectionTick: 10, HeartbeatTick: 1, Storage: p.stores[i], MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256, Logger: discard{}})
		if err != nil {
			tb.Fatal(err)
		}
		p.nodes[i] = n
	}
	_ = p.nodes[0].Campaign()
	p.settle()
	return p
}

// settle goes on until nobody has anything to do, and counts what was applied.
func (p *pump) settle() (applied int) {
	for busy := true; busy; {
		busy = false
		for i, n := range p.nodes {
			for _, m := range p.inbox[i] {
				_ = n.Step(m)
			}
			p.inbox[i] = p.inbox[i][:0]
			for n.HasReady() {
				busy = true
				rd := n.Ready()
				_ = p.stores[i].Append(rd.Entries)
				if !raft.IsEmptyHardState(rd.HardState) {
					_ = p.stores[i].SetHardState(rd.HardState)
				}
				for _, m := range rd.Messages {
					p.inbox[m.To-1] = append(p.inbox[m.To-1], m)
				}
				applied += len(rd.CommittedEntries)
				n.Advance(rd)
			}
		}
	}
	return applied
}

// turn replicates n proposals, one at a time.
func (p *pump) turn(tb testing.TB, n int, payload []byte) {
	for i := range n {
		if err := p.nodes[0].Propose(payload); err != nil {
			tb.Fatal(err)
		}
		if p.settle() != 3 {
			tb.Fatal("not applied everywhere")
		}
		if i%1000 == 999 {
			for _, s := range p.stores {
				last, _ := s.LastIndex()
				_ = s.Compact(last - 10)
			}
		}
	}
}

type discard struct{}

func (discard) Debug(...any)            {}
func (discard) Debugf(string, ...any)   {}
func (discard) Error(...any)            {}
func (discard) Errorf(string, ...any)   {}
func (discard) Info(...any)             {}
func (discard) Infof(string, ...any)    {}
func (discard) Warning(...any)          {}
func (discard) Warningf(string, ...any) {}
func (discard) Fatal(v ...any)          { panic(v) }
func (discard) Fatalf(f string, v ...any) {
	panic(f)
}
func (discard) Panic(v ...any) { panic(v) }
func (discard) Panicf(f string, v ...any) {
	panic(f)
}
