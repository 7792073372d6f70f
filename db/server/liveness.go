package server

import (
	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/liveness"
)

// startLiveness begins the node's heartbeats. It does not wait for the first: the ranges
// that hold the records may need this node.
func (s *Server) startLiveness() {
	s.liveness = liveness.New(liveness.Config{
		Env: s.env, Clock: s.clock, DB: s.db, NodeID: s.cfg.NodeID, Gossip: s.gossip, Decommissioned: s.decommissioned,
	})
	s.store.SetEpochs(s.liveness)
	s.liveness.Start()
}

// now is the present by the hybrid clock, for judgements that give out no timestamp.
func (s *Server) now() hlc.Timestamp {
	return s.clock.Last().Forward(hlc.Timestamp{Wall: s.clock.PhysicalNow()})
}

// Gossip is what the node knows of others by hearsay.
func (s *Server) Gossip() *gossip.Gossip { return s.gossip }

// Liveness is the node's part in the question who is alive.
func (s *Server) Liveness() *liveness.Liveness { return s.liveness }
