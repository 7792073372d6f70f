package store

import "simulacrum/db/gossip"

// Capacity is what the store tells others of itself: how much it holds and, if it counts
// that, what it has done of late. It looks at every replica.
func (s *Store) Capacity() gossip.StoreCapacity {
	c := gossip.StoreCapacity{Ranges: int64(len(s.replicas))}
	m := s.cfg.Engine.Metrics()
	for n := range m.Levels {
		c.Used += m.Levels[n].Bytes
	}
	c.Used += m.MemtableBytes + m.LogBytes
	for _, r := range s.replicas {
		c.LogicalBytes += r.State().Stats.LiveBytes
		load := r.Load()
		c.Load.Writes += load.Writes
		if !r.HoldsLease() {
			continue
		}
		c.Leases++
		c.Load.Requests += load.Requests
		c.Load.CPU += load.CPU
	}
	return c
}
