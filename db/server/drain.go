package server

import (
	"time"

	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// What a node that is to be stopped takes over it at most.
const (
	announceLimit = time.Second     // to tell the others
	sessionLimit  = 3 * time.Second // to let sessions end
	leaseLimit    = 3 * time.Second // to hand its leases over
	leasePause    = 50 * time.Millisecond
)

// Drain makes the node one that can be stopped without anybody noticing: it tells the
// others that it wants no leases, takes no new work from clients, lets their sessions end,
// and hands its leases over. Whatever of this does not succeed in a bounded time is left
// undone. There is no way back but a restart.
func (s *Server) Drain(t env.Task) {
	s.stopping = true
	s.gossip.SetDraining(true)
	t.SetDeadline(s.env.Mono() + announceLimit)
	if err := s.liveness.SetDraining(t, true); err != nil {
		s.env.Log("server: the others are told of the drain by gossip alone: %v", err)
	}
	t.SetDeadline(s.env.Mono() + sessionLimit)
	s.sessions.Drain(t)
	t.SetDeadline(s.env.Mono() + leaseLimit)
	for s.handOver(t) > 0 && t.Sleep(leasePause) == nil {
	}
	t.SetDeadline(0)
}

// handOver gives each lease that the node holds to the first other replica that can take
// it, and returns how many leases are left. One that nobody takes at this moment, mostly
// because all are a little behind, may be taken at the next.
func (s *Server) handOver(t env.Task) (left int) {
	s.store.VisitReplicas(func(r *replica.Replica) bool {
		if r.HoldsLease() && !s.handOverOne(t, r) {
			left++
		}
		return t.Err() == nil
	})
	return left
}

func (s *Server) handOverOne(t env.Task, r *replica.Replica) bool {
	for _, d := range r.Desc().Replicas {
		if d.NodeID == s.cfg.NodeID || !(*transport)(s).Live(d.NodeID) || s.liveness.Record(d.NodeID).Draining {
			continue
		}
		if _, err := r.TransferLease(t, d.StoreID); err == nil {
			return true
		}
		if t.Err() != nil {
			return false
		}
	}
	return false
}

// Stop ends the node in order: it drains, and closes the engine. It takes a bounded time.
// Whoever calls it after the first waits for the first.
func (s *Server) Stop(t env.Task) {
	if s.ended != nil {
		_, _ = s.ended.Wait(t, "server: stop", -1)
		return
	}
	s.ended = &env.Promise[struct{}]{}
	s.Drain(t)
	s.liveness.Stop()
	s.gossip.Stop()
	s.rpc.Stop()
	s.store.Stop()
	if err := s.engine.Close(t); err != nil {
		s.env.Log("closing the engine: %v", err)
	}
	s.ended.Resolve(struct{}{}, nil)
}
