package kvclient

import (
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Kinds of calls that carry batches. StoreKind goes from a gateway to a node that
// has a replica, GatewayKind from a client to a gateway.
var (
	StoreKind = &rpc.Kind{ID: 10, Name: "batch", Class: rpc.Default,
		Request: decodeRequest, Response: decodeResponse}
	GatewayKind = &rpc.Kind{ID: 11, Name: "batch via gateway", Class: rpc.Default,
		Request: decodeRequest, Response: decodeResponse}
)

func decodeRequest(r *codec.Reader) env.Message  { return kv.DecodeBatchRequest(r) }
func decodeResponse(r *codec.Reader) env.Message { return kv.DecodeBatchResponse(r) }

// ServeStore has s answer the batches that gateways send to this node.
func ServeStore(p env.Process, n *rpc.Node, s kv.Sender) { n.Handle(StoreKind, serve(p, s)) }

// ServeGateway has s answer the batches that clients send to this node.
func ServeGateway(p env.Process, n *rpc.Node, s kv.Sender) { n.Handle(GatewayKind, serve(p, s)) }

// serve binds the task by the batch's own deadline, which is a little earlier than
// the call's, so that the answer still arrives.
func serve(p env.Process, s kv.Sender) rpc.Handler {
	return func(t env.Task, _ string, m env.Message) env.Message {
		ba := m.(*kv.BatchRequest)
		if err := ba.Validate(); err != nil {
			return kv.ErrorResponse(err)
		}
		if ba.Deadline > 0 {
			t.SetDeadline(deadlineOf(p, t, ba.Deadline))
		}
		return s.Send(t, ba)
	}
}

// answerIn is the part of the time left that whoever is asked gets.
func answerIn(left time.Duration) time.Duration { return left - left/16 }

// Transport takes batches to the stores of nodes.
type Transport interface {
	// Send delivers ba to the node's store, and waits for the answer at most for
	// timeout. The error is an *rpc.Error, or counts as one that says Sent.
	Send(t env.Task, to kv.NodeID, ba *kv.BatchRequest, timeout time.Duration) (*kv.BatchResponse, error)
	// Distance orders nodes: those of a lower one are asked first. It is a time for
	// nodes that are known to answer.
	Distance(to kv.NodeID) time.Duration
}

// Distances of nodes that are not known to answer.
const (
	distanceUnknown = time.Hour
	distanceFailing = 2 * time.Hour
)

// rpcTransport is a Transport over calls, and by direct call to the own store.
type rpcTransport struct {
	p     env.Process
	node  *rpc.Node
	self  kv.NodeID
	local kv.Sender
	name  func(kv.NodeID) string
}

// NewTransport returns a Transport for the node self. name gives the endpoint of a
// node, "" if it is not known. local is the own store.
func NewTransport(p env.Process, n *rpc.Node, self kv.NodeID, local kv.Sender, name func(kv.NodeID) string) Transport {
	return &rpcTransport{p: p, node: n, self: self, local: local, name: name}
}

// Send implements Transport.
func (tr *rpcTransport) Send(t env.Task, to kv.NodeID, ba *kv.BatchRequest, timeout time.Duration) (*kv.BatchResponse, error) {
	if to == tr.self {
		// No message, but the work of handing over is charged as if there were one.
		tr.p.Charge(env.ClassMessage, 1)
		previous := t.SetDeadline(0)
		t.SetDeadline(previous)
		if at := tr.p.Mono() + timeout; previous == 0 || at < previous {
			t.SetDeadline(at)
		}
		br := tr.local.Send(t, ba)
		t.SetDeadline(previous)
		return br, nil
	}
	name := tr.name(to)
	if name == "" {
		return nil, &rpc.Error{Peer: "unknown node", Cause: env.ErrRefused}
	}
	m, err := tr.node.Call(t, name, StoreKind, ba, timeout)
	if err != nil {
		return nil, err
	}
	return m.(*kv.BatchResponse), nil
}

// Distance implements Transport.
func (tr *rpcTransport) Distance(to kv.NodeID) time.Duration {
	if to == tr.self {
		return -1
	}
	name := tr.name(to)
	if name == "" || tr.node.Failing(name) {
		return distanceFailing
	}
	if rtt, ok := tr.node.RTT(name); ok {
		return rtt
	}
	return distanceUnknown
}
