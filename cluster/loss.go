package cluster

import (
	"fmt"
	"slices"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
)

// No database keeps a range of which the disks of most voters are lost before it could make
// new copies, and how soon it can depends on what else goes wrong, and on where copies have
// been moved meanwhile. A plan cannot know that. So each disk is asked for when it is to be
// lost, as an experimenter would look before he pulls it out, and is spared if a range would
// go with it (scenarios/found/lost-in-turn).

// bereaves names a range that would never have a quorum again without the node's disk, or
// is "". A replica is counted where its disk is, whether its node is up or down. Who is at
// the head of the range, and who decides that by an older descriptor, is not known from
// outside: so all who could be must find a majority.
func (c *Cluster) bereaves(n *Node) string {
	for _, d := range c.newest() {
		for _, rd := range d.Replicas {
			if rd.Type == kv.Learner || rd.Type == kv.NonVoter {
				continue
			}
			if own := c.copyOf(d.RangeID, rd, n); own != nil && !c.decides(own, n) || !c.decides(d, n) {
				return fmt.Sprintf("r%d", d.RangeID)
			}
		}
	}
	return ""
}

// newest are the descriptors of all ranges, as far as anybody has applied them. One that
// somebody has not heard the end of is overlapped by one of a higher generation.
func (c *Cluster) newest() []*kv.RangeDescriptor {
	var all []*kv.RangeDescriptor
	for _, n := range c.nodes {
		for _, h := range n.copies() {
			all = append(all, h.desc)
		}
	}
	var out []*kv.RangeDescriptor
	for _, d := range all {
		if !slices.ContainsFunc(all, func(o *kv.RangeDescriptor) bool { return o.Generation > d.Generation && o.Span().Overlaps(d.Span()) }) &&
			!slices.ContainsFunc(out, func(o *kv.RangeDescriptor) bool { return o.RangeID == d.RangeID }) {
			out = append(out, d)
		}
	}
	return out
}

// decides reports that in each half of the range's configuration a majority of voters would
// be left without the node's disk.
func (c *Cluster) decides(d *kv.RangeDescriptor, without *Node) bool {
	for _, half := range [][2]kv.ReplicaType{{kv.VoterOutgoing, kv.VoterDemoting}, {kv.VoterIncoming, kv.VoterIncoming}} {
		voters, left := 0, 0
		for _, rd := range d.Replicas {
			if rd.Type != kv.VoterFull && rd.Type != half[0] && rd.Type != half[1] {
				continue
			}
			voters++
			if c.copyOf(d.RangeID, rd, without) != nil {
				left++
			}
		}
		if left <= voters/2 {
			return false
		}
	}
	return true
}

// copyOf is the descriptor as a replica has applied it, nil if it is not there: its disk is
// lost, it is on the node that is left out, or it has yet to come.
func (c *Cluster) copyOf(id kv.RangeID, rd kv.ReplicaDescriptor, without *Node) *kv.RangeDescriptor {
	n := c.NodeOf(rd.NodeID)
	if n == nil || n == without {
		return nil
	}
	for _, h := range n.copies() {
		if h.desc.RangeID == id && h.id == rd.ReplicaID {
			return h.desc
		}
	}
	return nil
}

// held is a replica that a node has.
type held struct {
	id   kv.ReplicaID
	desc *kv.RangeDescriptor // as it has applied it
}

// copies are the replicas on the node's disk. While it is down it has those that it had.
func (n *Node) copies() []held {
	if n.server == nil {
		return n.kept
	}
	var all []held
	n.server.Store().VisitReplicas(func(r *replica.Replica) bool {
		all = append(all, held{r.Self().ReplicaID, r.Desc()})
		return true
	})
	return all
}
