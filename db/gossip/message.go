package gossip

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Kind is the kind of call by which peers exchange infos. It goes with the small things
// that must get through: infos are few, and a node that is busy is not a node that is
// dead.
var Kind = &rpc.Kind{ID: 22, Name: "gossip", Class: rpc.System,
	Request:  func(r *codec.Reader) env.Message { return decodeRequest(r) },
	Response: func(r *codec.Reader) env.Message { return decodeResponse(r) }}

// ClusterID tells clusters apart that can reach each other by mistake.
type ClusterID uint64

// batch is a number of changes: those after what the receiver has, up to number UpTo of
// this incarnation of the sender.
type batch struct {
	teller
	UpTo  uint64
	Infos []Info
}

func (p *batch) size() int {
	n := codec.SizeVarint(int64(p.node)) + codec.SizeVarint(p.incarnation) + codec.SizeUvarint(p.UpTo) + codec.SizeUvarint(uint64(len(p.Infos)))
	for i := range p.Infos {
		n += p.Infos[i].Size()
	}
	return n
}

func (p *batch) encode(b []byte) []byte {
	b = codec.AppendVarint(codec.AppendVarint(b, int64(p.node)), p.incarnation)
	b = codec.AppendUvarint(codec.AppendUvarint(b, p.UpTo), uint64(len(p.Infos)))
	for i := range p.Infos {
		b = p.Infos[i].Encode(b)
	}
	return b
}

func decodeBatch(r *codec.Reader) batch {
	p := batch{teller: teller{kv.NodeID(r.Int32()), r.Varint()}, UpTo: r.Uvarint()}
	if n := r.Count(-1, minInfoSize); n > 0 {
		p.Infos = make([]Info, n)
		for i := range p.Infos {
			p.Infos[i] = decodeInfo(r)
		}
	}
	return p
}

// request begins an exchange.
type request struct {
	Cluster ClusterID
	batch
	// The caller has the callee's infos up to number Have, if the callee is still that
	// incarnation. Otherwise it has none.
	Have            uint64
	HaveIncarnation int64
}

// Size implements env.Message.
func (q *request) Size() int {
	return codec.SizeFixed64 + q.size() + codec.SizeUvarint(q.Have) + codec.SizeVarint(q.HaveIncarnation)
}

// Encode implements env.Message.
func (q *request) Encode(b []byte) []byte {
	b = q.encode(codec.AppendFixed64(b, uint64(q.Cluster)))
	return codec.AppendVarint(codec.AppendUvarint(b, q.Have), q.HaveIncarnation)
}

func decodeRequest(r *codec.Reader) *request {
	return &request{Cluster: ClusterID(r.Fixed64()), batch: decodeBatch(r), Have: r.Uvarint(), HaveIncarnation: r.Varint()}
}

// String prints the request for traces.
func (q *request) String() string {
	return fmt.Sprintf("gossip of n%d: %d infos up to %d, has up to %d", q.node, len(q.Infos), q.UpTo, q.Have)
}

// verdict is what the callee thinks of the exchange.
type verdict uint8

const (
	accepted verdict = iota
	full             // it took the infos and gives its own, and wants no further exchange
	alien            // it belongs to another cluster, and took and gives nothing
	numVerdicts
)

// response ends an exchange.
type response struct {
	Verdict verdict
	batch
}

// Size implements env.Message.
func (p *response) Size() int { return codec.SizeByte + p.size() }

// Encode implements env.Message.
func (p *response) Encode(b []byte) []byte { return p.encode(append(b, byte(p.Verdict))) }

func decodeResponse(r *codec.Reader) *response {
	p := &response{Verdict: verdict(r.Byte())}
	if p.Verdict >= numVerdicts {
		r.Failf("gossip: unknown verdict %d", p.Verdict)
	}
	p.batch = decodeBatch(r)
	return p
}
