package cluster

import (
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// BenchmarkBarePump is the floor that a replicated write is measured against: three
// RawNodes, one proposal at a time, no disk, no network, no state machine.
func BenchmarkBarePump(b *testing.B) {
	b.ReportAllocs()
	var nodes [3]*raft.RawNode
	var stores [3]*raft.MemoryStorage
	for i := range nodes {
		stores[i] = raft.NewMemoryStorage()
		snap := pb.Snapshot{Metadata: pb.SnapshotMetadata{Index: 1, Term: 1, ConfState: pb.ConfState{Voters: []uint64{1, 2, 3}}}}
		if err := stores[i].ApplySnapshot(snap); err != nil {
			b.Fatal(err)
		}
		n, err := raft.NewRawNode(&raft.Config{ID: uint64(i + 1), ElectionTick: 10, HeartbeatTick: 1, Storage: stores[i], MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256, Logger: discard{}})
		if err != nil {
			b.Fatal(err)
		}
		nodes[i] = n
	}
	var inbox [3][]pb.Message
	pump := func() (applied int) {
		for busy := true; busy; {
			busy = false
			for i, n := range nodes {
				for _, m := range inbox[i] {
					_ = n.Step(m)
				}
				inbox[i] = inbox[i][:0]
				for n.HasReady() {
					busy = true
					rd := n.Ready()
					_ = stores[i].Append(rd.Entries)
					if !raft.IsEmptyHardState(rd.HardState) {
						_ = stores[i].SetHardState(rd.HardState)
					}
					for _, m := range rd.Messages {
						inbox[m.To-1] = append(inbox[m.To-1], m)
					}
					applied += len(rd.CommittedEntries)
					n.Advance(rd)
				}
			}
		}
		return applied
	}
	_ = nodes[0].Campaign()
	pump()
	payload := make([]byte, 200)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := nodes[0].Propose(payload); err != nil {
			b.Fatal(err)
		}
		if pump() != 3 {
			b.Fatal("not applied everywhere")
		}
		if i%1000 == 999 {
			for _, s := range stores {
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
