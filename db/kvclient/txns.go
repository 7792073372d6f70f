package kvclient

import (
	"encoding/binary"
	"math/rand/v2"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Txns is a kv.TxnStarter: it begins transactions that are coordinated in this
// process. See the package comment.
type Txns struct {
	p       env.Process
	clock   *hlc.Clock
	below   kv.Sender
	gateway kv.NodeID
	set     txnSettings
	rand    *rand.Rand
	metrics TxnMetrics
	hearts  hearts
}

// NewTxns returns a starter of transactions that send their batches to below, a
// Router as a rule. clock is that of the gateway, which is this process.
func NewTxns(p env.Process, clock *hlc.Clock, below kv.Sender, gateway kv.NodeID) *Txns {
	s := &Txns{p: p, clock: clock, below: below, gateway: gateway, set: readTxnSettings(p), rand: p.Rand("kvclient.txn")}
	s.hearts = hearts{p: p, period: s.set.heartbeat}
	return s
}

// Metrics are the counts so far.
func (s *Txns) Metrics() TxnMetrics { return s.metrics }

// Begin implements kv.TxnStarter. Nothing is sent yet.
func (s *Txns) Begin(_ env.Task, o kv.TxnOptions) (kv.TxnSender, *kv.Error) {
	if o.Priority < 0 {
		return nil, kv.Errorf(kv.BadRequest, "priority %d", o.Priority)
	}
	s.metrics.Begun++
	return s.newCoordinator(o), nil
}

// begin makes a transaction of the present.
func (s *Txns) begin(name string, priority int32, commitWait bool) *kv.Txn {
	now := s.clock.Now()
	if priority == 0 {
		priority = 1 + s.rand.Int32N(kv.MaxPriority-1)
	}
	txn := kv.NewTxn(s.newID(now), name, priority, now, now.Add(s.clock.MaxOffset()))
	txn.CommitWait = commitWait || s.set.commitWait
	return txn
}

// newID is unique: no clock gives a reading twice, neither before nor after a restart,
// and nodes differ.
func (s *Txns) newID(now hlc.Timestamp) (id kv.TxnID) {
	binary.BigEndian.PutUint32(id[:], s.rand.Uint32())
	binary.BigEndian.PutUint16(id[4:], uint16(s.gateway))
	binary.BigEndian.PutUint16(id[6:], uint16(now.Logical))
	binary.BigEndian.PutUint64(id[8:], uint64(now.Wall))
	return id
}
