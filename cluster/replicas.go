package cluster

import (
	"simulacrum/db/kv"
	"simulacrum/nemesis"
	"simulacrum/sim/env"
)

// rearrange is what is done to a range whose lease the holder has: merged with its
// neighbour, or copies of it moved. All of it is asked for by the same requests as the
// database's own queues use, and may be refused as those are.
func (c *Cluster) rearrange(ask asked, to string, holder *Node) func(t env.Task) bool {
	d := holder.server.Store().Replica(ask.id).Desc()
	if ask.kind == nemesis.Unite {
		return holder.request(ask.id, &kv.AdminMergeRequest{Key: d.StartKey})
	}
	q := &kv.AdminChangeReplicasRequest{Key: d.StartKey, Generation: d.Generation}
	switch {
	case len(d.Replicas) == 0 || d.Joint():
		return nil
	case ask.kind == nemesis.MoveCopy:
		next := c.elsewhere(d, to, 1)
		if len(next) == 0 {
			return nil
		}
		// The one that leaves is the first in turn that does not serve the range.
		for _, rd := range d.Replicas {
			if rd.NodeID != holder.id {
				q.Changes = append(change(next[0], kv.RoleVoter), kv.ReplicaChange{NodeID: rd.NodeID, StoreID: rd.StoreID})
				break
			}
		}
	default:
		next := c.elsewhere(d, "", len(d.Replicas)-1)
		if len(next) == 0 {
			return nil
		}
		// The holder leaves as well; of those that stay there is one, for as many nodes as
		// there are.
		leave := append(c.others(d, "", holder), holder)
		for i, n := range next {
			q.Changes = append(q.Changes, change(n, kv.RoleVoter)...)
			q.Changes = append(q.Changes, change(leave[len(leave)-1-i], kv.RoleNone)...)
		}
		q.LeaseTo = kv.StoreID(next[0].id)
	}
	if len(q.Changes) == 0 {
		return nil
	}
	return holder.request(ask.id, q)
}

// change is one replica change, as a list.
func change(n *Node, to kv.ReplicaRole) []kv.ReplicaChange {
	return []kv.ReplicaChange{{NodeID: n.id, StoreID: kv.StoreID(n.id), To: to}}
}

// elsewhere lists up to so many living nodes without a copy of the range, the named one
// alone if there is a name. The search begins after the range's last copy, so that
// requests one after another go round the cluster.
func (c *Cluster) elsewhere(d *kv.RangeDescriptor, name string, count int) []*Node {
	first := 0
	for i, n := range c.nodes {
		if n.id == d.Replicas[len(d.Replicas)-1].NodeID {
			first = i + 1
		}
	}
	var all []*Node
	for i := range c.nodes {
		n := c.nodes[(first+i)%len(c.nodes)]
		if _, has := d.Replica(kv.StoreID(n.id)); has || !n.Joined() || n.server == nil || name != "" && n.Name() != name || len(all) == count {
			continue
		}
		all = append(all, n)
	}
	return all
}

// request sends one request to the node's own replica of a range, and reports whether it
// was carried out.
func (n *Node) request(id kv.RangeID, q kv.Request) func(t env.Task) bool {
	s := n.server
	return func(t env.Task) bool {
		res := s.Store().Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: id, Gateway: n.id}, Requests: []kv.Request{q}})
		if res.Err != nil {
			n.machine.Proc().Log("nemesis: %v: %v", q, res.Err)
		}
		return res.Err == nil
	}
}
