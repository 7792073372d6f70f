package server

import (
	"fmt"
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
	checksumKind = &rpc.Kind{ID: 26, Name: "checksum", Class: rpc.Default,
		Request:  func(r *codec.Reader) env.Message { return store.DecodeChecksumRequest(r) },
		Response: func(r *codec.Reader) env.Message { return store.DecodeChecksumReply(r) }}
)

// snapshotTimeout is how long a chunk of a snapshot may take.
const snapshotTimeout = 5 * time.Second

// transport is a Server as the store.Transport of its store.
type transport Server

var _ store.Transport = (*transport)(nil)

// SendRaft implements store.Transport. What is for a node of which nothing has been heard
// yet is lost, like anything on its way.
func (tr *transport) SendRaft(to kv.NodeID, b *store.RaftBatch) {
	if address := tr.peers.address(to); address != "" {
		tr.rpc.Send(address, raftKind, b)
	}
}

// SendSnapshot implements store.Transport.
func (tr *transport) SendSnapshot(t env.Task, to kv.NodeID, c *store.SnapshotChunk) (*store.SnapshotReply, error) {
	m, err := tr.call(t, to, snapshotKind, c, snapshotTimeout)
	if err != nil {
		return nil, err
	}
	return m.(*store.SnapshotReply), nil
}

// AwaitApplied implements store.Transport.
func (tr *transport) AwaitApplied(t env.Task, to kv.NodeID, q *store.AppliedRequest) (*store.AppliedReply, error) {
	m, err := tr.call(t, to, appliedKind, q, store.AppliedLimit)
	if err != nil {
		return nil, err
	}
	return m.(*store.AppliedReply), nil
}

// CollectChecksum implements store.Transport.
func (tr *transport) CollectChecksum(t env.Task, to kv.NodeID, q *store.ChecksumRequest) (*store.ChecksumReply, error) {
	m, err := tr.call(t, to, checksumKind, q, store.ChecksumLimit)
	if err != nil {
		return nil, err
	}
	return m.(*store.ChecksumReply), nil
}

// call calls a node. One of which nothing has been heard yet cannot be reached.
func (tr *transport) call(t env.Task, to kv.NodeID, k *rpc.Kind, m env.Message, timeout time.Duration) (env.Message, error) {
	address := tr.peers.address(to)
	if address == "" {
		return nil, &rpc.Error{Peer: fmt.Sprintf("n%d, of which nothing is known,", to), Cause: env.ErrRefused}
	}
	return tr.rpc.Call(t, address, k, m, timeout)
}

// Live implements store.Transport. A node that answers pings is up, whatever its record
// says: the range of the records may be unavailable. One that could not be reached is down,
// long before its record expires; it is dialled again, so that its return is noticed when
// nobody else has anything to say to it. Of one to which there is no connection, because
// there was nothing to say, the record tells.
func (tr *transport) Live(n kv.NodeID) bool {
	address := tr.peers.address(n)
	switch {
	case address == "":
		return false
	case tr.rpc.Healthy(address):
		return true
	case !tr.rpc.Failing(address) && tr.liveness.IsLive(n, (*Server)(tr).now()):
		return true
	}
	tr.rpc.Connect(address)
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
	s.rpc.Handle(checksumKind, func(t env.Task, _ string, m env.Message) env.Message {
		return s.store.HandleChecksum(t, m.(*store.ChecksumRequest))
	})
}
