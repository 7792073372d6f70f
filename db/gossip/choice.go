package gossip

import (
	"errors"
	"time"

	"simulacrum/sim/env"
)

// errFull is why a peering with a node that has enough callers ends.
var errFull = errors.New("gossip: peer has too many callers")

// candidate is an address that could become a peer.
type candidate struct {
	address string
	hops    int32 // of its descriptor; 0: not known
}

// manage keeps the number of peers up, exchanges one for another now and then, and
// renews the node's own descriptor.
func (g *Gossip) manage(t env.Task) {
	for !g.stopped {
		now := g.e.Mono()
		if now >= g.renewAt {
			g.publishSelf()
		}
		g.fill(now)
		g.watchSentinel(now)
		if now >= g.rotateAt {
			g.rotateAt = now + g.between(g.rotate/2, g.rotate)
			g.rotatePeer(now)
		}
		next := min(g.renewAt, g.rotateAt, now+g.interval)
		if err := t.Park("gossip: peers", max(next-now, g.pace)); err != nil && err != env.ErrTimeout {
			return
		}
		// Whoever woke the task did so because a peer was lost. One that is lost at once
		// must not keep the task busy.
		if left := now + g.pace - g.e.Mono(); left > 0 {
			if t.Sleep(left) != nil {
				return
			}
		}
	}
}

// watchSentinel has a node that was part of the cluster and has lost sight of it look
// for others soon.
func (g *Gossip) watchSentinel(now time.Duration) {
	x, ok := g.infos.get(SentinelKey)
	lost := ok && x.expired(g.now())
	if lost && !g.cutOff {
		g.e.Probe(ProbeCutOff)
	}
	if g.cutOff = lost; lost {
		g.rotateAt = min(g.rotateAt, now+g.interval)
	}
}

// fill chooses peers for all places that are free, as far as there is anybody to choose.
func (g *Gossip) fill(now time.Duration) {
	for len(g.peers) < g.fanout {
		c, ok := g.choose(now)
		if !ok {
			return
		}
		g.begin(c)
	}
}

// begin takes an address as a peer.
func (g *Gossip) begin(c candidate) *peering {
	p := &peering{g: g, address: c.address, known: g.known[c.address]}
	if p.known == nil {
		p.known = &acquaintance{}
		g.known[c.address] = p.known
	}
	g.peers = append(g.peers, p)
	p.task = g.e.Go("gossip: exchange", p.run)
	return p
}

// giveUp is called when an exchange failed, or the peer does not want any more.
func (g *Gossip) giveUp(p *peering, why error) {
	if why != errFull {
		g.stats.Failed++
		g.e.Probe(ProbeGivenUp)
	}
	p.known.retryAt = g.e.Mono() + g.between(g.retry/2, g.retry)
	g.drop(p)
	g.manager.Wake()
}

func (g *Gossip) drop(p *peering) {
	for i, q := range g.peers {
		if q == p {
			g.peers = append(g.peers[:i], g.peers[i+1:]...)
			return
		}
	}
}

// rotatePeer gives up the peer that told least, if there is another to take its place.
func (g *Gossip) rotatePeer(now time.Duration) {
	if len(g.peers) < g.fanout {
		return // one will be chosen for the free place as soon as there is one to choose
	}
	c, ok := g.choose(now)
	if !ok {
		return
	}
	least := g.peers[0]
	for _, p := range g.peers[1:] {
		if p.fresh < least.fresh {
			least = p
		}
	}
	for _, p := range g.peers {
		p.fresh = 0
	}
	g.e.Probe(ProbeRotated)
	least.end()
	g.drop(least)
	g.begin(c)
}

// choose draws a candidate: the one from whom infos come over the most hands, if they
// are too many, and otherwise any.
func (g *Gossip) choose(now time.Duration) (candidate, bool) {
	all := g.candidates(now)
	if len(all) == 0 {
		return candidate{}, false
	}
	far := all[0]
	for _, c := range all[1:] {
		if c.hops > far.hops {
			far = c
		}
	}
	if far.hops > g.maxHops {
		g.e.Probe(ProbeFar)
		return far, true
	}
	return all[g.rand.IntN(len(all))], true
}

// candidates are the addresses that could be chosen now: those of nodes that are known,
// and those to begin with. Nodes whose descriptors have expired are among them: after a
// cut that lasted that long, they are the other part.
func (g *Gossip) candidates(now time.Duration) []candidate {
	var all []candidate
	taken := map[string]bool{g.self.Address: true}
	for _, p := range g.peers {
		taken[p.address] = true
	}
	add := func(c candidate) {
		if k := g.known[c.address]; !taken[c.address] && (k == nil || now >= k.retryAt) {
			taken[c.address] = true
			all = append(all, c)
		}
	}
	g.infos.visit(NodePrefix, func(x *Info) bool {
		if d, ok := g.decodeNode(*x); ok {
			add(candidate{d.Address, x.Hops})
		}
		return true
	})
	for _, a := range g.cfg.Bootstrap {
		add(candidate{address: a})
	}
	return all
}
