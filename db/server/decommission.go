package server

import (
	"fmt"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/liveness"
	"simulacrum/sim/env"
)

// replicaCheckEvery is how often it is looked at whether a node that is to leave still has
// replicas.
const replicaCheckEvery = time.Second

// Decommission has another node leave the cluster for good: it is given nothing any more,
// the others take its replicas over, and when it has none it is a member no longer. Then
// Decommission returns nil. It waits as long as the task may; if it is given up, or this
// node dies, the node stays decommissioning, and any node can be asked to go on.
func (s *Server) Decommission(t env.Task, n kv.NodeID) error {
	seen, err := s.liveness.Read(t, n)
	if err != nil || seen.Membership == liveness.Decommissioned {
		return err
	}
	if _, err := s.liveness.SetMembership(t, n, liveness.Decommissioning); err != nil {
		return err
	}
	for {
		left, err := s.replicasOf(t, n)
		if err != nil {
			return err
		}
		if left == 0 {
			break
		}
		if err := t.Sleep(replicaCheckEvery); err != nil {
			return fmt.Errorf("server: n%d has %d replicas still: %w", n, left, err)
		}
	}
	_, err = s.liveness.SetMembership(t, n, liveness.Decommissioned)
	return err
}

// Recommission has a node that is decommissioning stay. The error is a
// *liveness.TransitionError if it is too late.
func (s *Server) Recommission(t env.Task, n kv.NodeID) error {
	_, err := s.liveness.SetMembership(t, n, liveness.Active)
	return err
}

// replicasOf counts the replicas that a node has, by the index of all ranges. One that
// holds a part of the index may be counted twice.
func (s *Server) replicasOf(t env.Task, n kv.NodeID) (count int, err error) {
	rows, err := s.db.Scan(t, keys.Meta1, keys.Meta2End, 0)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		d, err := kv.ParseDescriptor(row.Value)
		if err != nil {
			return 0, fmt.Errorf("server: %s: %w", row.Key, err)
		}
		for _, r := range d.Replicas {
			if r.NodeID == n {
				count++
			}
		}
	}
	return count, nil
}

// decommissioned ends a node that is no member of the cluster any more: nobody counts on
// it, and what it holds may be out of date.
func (s *Server) decommissioned() {
	s.env.Probe(probeDecommissioned)
	s.env.Go("server: decommissioned", func(t env.Task) {
		s.Stop(t)
		if f := s.cfg.Decommissioned; f != nil {
			f()
		}
	})
}
