package server

import (
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/db/store"
	"simulacrum/sim/env"
)

// Kinds of messages between stores.
var (
	raftKind = &rpc.Kind{ID: 20, Name: "raft", Class: rpc.Raft,
		Request: func(r *codec.Reader) env.Message { return store.DecodeRaftBatch(r) }}
	snapshotKind = &rpc.Kind{ID: 21, Name: "snapshot", Class: rpc.Default,
		Request:  func(r *codec.Reader) env.Message { return store.DecodeSnapshotChunk(r) },
		Response: func(r *codec.Reader) env.Message { return store.DecodeSnapshotReply(r) }}
	appliedKind = &rpc.Kind{ID: 25, Name: "applied", Class: rpc.Default,
		Request:  func(r *codec.Reader) env.Message { return store.DecodeAppliedRequest(r) },
		Response: func(r *codec.Reader) env.Message { return store.DecodeAppliedReply(r) }}
)

// snapshotTimeout is how long a chunk of a snapshot may take.
const snapshotTimeout = 5 * time.Second

// transport is a Server as the store.Transport of its store.
type transport Server

var _ store.Transport = (*transport)(nil)

// SendRaft implements store.Transport.
func (tr *transport) SendRaft(to kv.NodeID, b *store.RaftBatch) {
	tr.rpc.Send(tr.cfg.Endpoint(to), raftKind, b)
}

// SendSnapshot implements store.Transport.
func (tr *transport) SendSnapshot(t env.Task, to kv.NodeID, c *store.SnapshotChunk) (*store.SnapshotReply, error) {
	m, err := tr.rpc.Call(t, tr.cfg.Endpoint(to), snapshotKind, c, snapshotTimeout)
	if err != nil {
		return nil, err
	}
	return m.(*store.SnapshotReply), nil
}

// AwaitApplied implements store.Transport.
func (tr *transport) AwaitApplied(t env.Task, to kv.NodeID, q *store.AppliedRequest) (*store.AppliedReply, error) {
	m, err := tr.rpc.Call(t, tr.cfg.Endpoint(to), appliedKind, q, store.AppliedLimit)
	if err != nil {
		return nil, err
	}
	return m.(*store.AppliedReply), nil
}

// Live implements store.Transport: a node that answers pings is up. One that does not is
// dialled again, so that its return is noticed when nobody else has anything to say to it.
func (tr *transport) Live(n kv.NodeID) bool {
	if tr.rpc.Healthy(tr.cfg.Endpoint(n)) {
		return true
	}
	tr.rpc.Connect(tr.cfg.Endpoint(n))
	return false
}

func (s *Server) serveTransport() {
	s.rpc.HandleOneway(raftKind, func(_ string, m env.Message) { s.store.HandleRaft(m.(*store.RaftBatch)) })
	s.rpc.Handle(snapshotKind, func(_ env.Task, _ string, m env.Message) env.Message {
		return s.store.HandleSnapshot(m.(*store.SnapshotChunk))
	})
	s.rpc.Handle(appliedKind, func(t env.Task, _ string, m env.Message) env.Message {
		return s.store.HandleApplied(t, m.(*store.AppliedRequest))
	})
}
