package kvclient

import (
	"math/rand/v2"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Remote is a kv.Sender for clients outside the cluster: it sends batches to a
// gateway node, and to another of its list when that one does not answer. See the
// package comment for what its errors mean.
type Remote struct {
	p        env.Process
	node     *rpc.Node
	gateways *Gateways
	set      settings
	rand     *rand.Rand
}

// NewRemote returns a Remote that begins with the first of the gateways.
func NewRemote(p env.Process, n *rpc.Node, gateways []string) *Remote {
	return &Remote{p: p, node: n, gateways: NewGateways(p, gateways), set: readSettings(p), rand: p.Rand("kvclient.backoff")}
}

// Gateway is the endpoint that the next batch goes to first.
func (r *Remote) Gateway() string { return r.gateways.Current() }

// Gateways is the choice, for whoever else sends on behalf of the same client.
func (r *Remote) Gateways() *Gateways { return r.gateways }

// Send implements kv.Sender.
func (r *Remote) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if err := ba.Validate(); err != nil {
		return kv.ErrorResponse(err)
	}
	deadline := r.set.deadline(r.p, t, ba.Deadline)
	safe := ba.Repeatable()
	pause := r.set.backoff(r.rand)
	var last *kv.Error
	timeout := func(err error) *kv.BatchResponse {
		e := kv.Errorf(kv.Timeout, "%v", err)
		e.Cause = last
		return kv.ErrorResponse(e)
	}
	for tries := 1; ; tries++ {
		left := deadline - r.p.Mono()
		if left <= 0 {
			return timeout(env.ErrDeadline)
		}
		gateway := r.Gateway()
		br, err := r.attempt(t, gateway, ba, left, safe)
		switch {
		case err == nil && (br.Err == nil || br.Err.Kind != kv.NodeUnavailable):
			return br
		case err == nil:
			last = br.Err
		case rpc.MaybeSent(err) && !safe:
			// The batch may be executed, now or later. Another attempt could execute it
			// twice, and nothing that it answers would tell what became of this one.
			r.p.Probe(ProbeAmbiguous)
			r.gateways.Leave(gateway)
			return kv.ErrorResponse(kv.AmbiguousError(kv.Errorf(kv.NodeUnavailable, "%v", err), "no answer from gateway %s", gateway))
		default:
			last = kv.Errorf(kv.NodeUnavailable, "%v", err)
		}
		if err := t.Err(); err != nil {
			return timeout(err)
		}
		r.gateways.Leave(gateway)
		if tries%r.gateways.Len() == 0 {
			if err := pause.pause(t, r.p, deadline); err != nil {
				return timeout(err)
			}
		}
	}
}

func (r *Remote) attempt(t env.Task, gateway string, ba *kv.BatchRequest, left time.Duration, safe bool) (*kv.BatchResponse, error) {
	if safe && ba.Txn == nil && r.gateways.Len() > 1 {
		left = min(left, 2*r.set.readAttempt)
	}
	sent := *ba
	sent.Deadline = max(answerIn(left), 1)
	m, err := r.node.Call(t, gateway, GatewayKind, &sent, left)
	if err != nil {
		return nil, err
	}
	br := m.(*kv.BatchResponse)
	if br.Err == nil {
		if err := kv.CheckResponse(ba, br); err != nil {
			return nil, err
		}
	}
	return br, nil
}
