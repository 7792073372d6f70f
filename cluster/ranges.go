package cluster

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/nemesis"
	"simulacrum/sim/env"
)

// asked names what nemesis asked of a range. While somebody is at it, to ask again
// would only form a line.
type asked struct {
	id   kv.RangeID
	kind nemesis.RangeKind
}

// rangeEffect is what came of asking a range for something.
type rangeEffect struct{ done int64 }

// Heal implements nemesis.Effect: what was done is not undone.
func (e *rangeEffect) Heal() {}

// Count implements nemesis.Effect.
func (e *rangeEffect) Count() int64 { return e.done }

// These bound what a range that was asked for something may take over it.
const (
	askLimit  = 2 * time.Second       // shorter than any lease: who holds a lease is not held up for longer
	moveLimit = 20 * time.Second      // whoever moves copies has to carry them first
	askEvery  = 10 * time.Millisecond // how often it is looked at who won an election, or can take a lease
	askTries  = 20                    // to hand a lease to somebody who has caught up
)

// Leases implements nemesis.Target.
func (c *Cluster) Leases(name string) []string {
	var all []string
	if n, ok := c.byName[name].(*Node); ok && n.server != nil {
		n.server.Store().VisitReplicas(func(r *replica.Replica) bool {
			if r.HoldsLease() {
				all = append(all, fmt.Sprintf("r%d", r.RangeID()))
			}
			return true
		})
	}
	return all
}

// Range implements nemesis.Target. The request is carried out by a task of the node
// that can do it, and never inside the event that asked: that may be a probe in the
// middle of that very replica's work.
func (c *Cluster) Range(name string, f nemesis.RangeFault) nemesis.Effect {
	e := &rangeEffect{}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "r"))
	if err != nil {
		panic(fmt.Sprintf("cluster: no range %q", name)) // plans are checked before
	}
	ask := asked{kv.RangeID(n), f.Kind}
	node, do := c.carryOut(ask, f.To)
	if node == nil {
		return e
	}
	p := node.machine.Proc()
	if by := c.asked[ask]; by != nil && by.Alive() {
		return e
	}
	c.asked[ask] = p
	p.Go("nemesis: asks "+name, func(t env.Task) {
		limit := askLimit
		if f.Kind >= nemesis.Unite {
			limit = moveLimit
		}
		t.SetDeadline(p.Mono() + limit)
		if do(t) {
			e.done++
		}
		delete(c.asked, ask)
	})
	return e
}

// carryOut finds the node that can do what is asked, and what it does; nil if nobody
// can at this moment. The function reports whether it was done.
func (c *Cluster) carryOut(ask asked, to string) (*Node, func(t env.Task) bool) {
	holder, leader := c.find(ask.id, (*replica.Replica).HoldsLease), c.find(ask.id, (*replica.Replica).IsLeader)
	switch ask.kind {
	case nemesis.MoveLeader, nemesis.Campaign:
		return c.election(ask, to, leader, holder)
	case nemesis.MoveLease:
		if holder == nil {
			return nil, nil
		}
		r := holder.server.Store().Replica(ask.id)
		others := c.others(r.Desc(), to, holder)
		return holder, func(t env.Task) bool {
			// A replica that is far away is mostly a little behind.
			for tries := 0; tries < askTries; tries++ {
				for _, n := range others {
					if _, err := r.TransferLease(t, kv.StoreID(n.id)); err == nil {
						return true
					}
				}
				if t.Sleep(askEvery) != nil {
					break
				}
			}
			return false
		}
	}
	if holder == nil {
		return nil, nil
	}
	r := holder.server.Store().Replica(ask.id)
	switch ask.kind {
	case nemesis.Divide:
		return holder, func(t env.Task) bool {
			_, err := holder.server.Store().Split(t, r, nil)
			return err == nil
		}
	case nemesis.CutLog:
		return holder, func(t env.Task) bool { return r.TruncateLog(t) == nil }
	}
	if do := c.rearrange(ask, to, holder); do != nil {
		return holder, do
	}
	return nil, nil
}

// election makes the named node lead, or stand for election, or else the next one
// that neither leads nor holds the lease: leader and leaseholder are apart then, until
// one follows the other.
func (c *Cluster) election(ask asked, to string, leader, holder *Node) (*Node, func(t env.Task) bool) {
	if leader == nil {
		return nil, nil
	}
	r := leader.server.Store().Replica(ask.id)
	for _, n := range c.others(r.Desc(), to, leader) {
		if n == holder && to == "" || n.server == nil {
			continue
		}
		next := n.server.Store().Replica(ask.id)
		if next == nil {
			continue // it has not applied the split
		}
		if ask.kind == nemesis.Campaign {
			return n, func(env.Task) bool { return next.TakeOver() }
		}
		return leader, func(t env.Task) bool {
			for ok := r.TransferLeadership(next.Self()); ok && !next.IsLeader(); {
				ok = t.Sleep(askEvery) == nil
			}
			return next.IsLeader()
		}
	}
	return nil, nil
}

// find is the first node whose replica of a range is such, or nil.
func (c *Cluster) find(id kv.RangeID, is func(*replica.Replica) bool) *Node {
	for _, n := range c.nodes {
		if n.server == nil {
			continue
		}
		if r := n.server.Store().Replica(id); r != nil && is(r) {
			return n
		}
	}
	return nil
}

// others lists the nodes with replicas of a range, beginning after the given one;
// only the named one if there is a name.
func (c *Cluster) others(d *kv.RangeDescriptor, name string, than *Node) []*Node {
	var before, after []*Node
	passed := false
	for _, rd := range d.Replicas {
		n := c.NodeOf(rd.NodeID)
		switch {
		case n == nil: // its disk is lost
		case n == than:
			passed = true
		case name != "" && n.Name() != name:
		case passed:
			after = append(after, n)
		default:
			before = append(before, n)
		}
	}
	return append(after, before...)
}
