package gossip

import (
	"fmt"
	"time"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// peering is an exchange that this node keeps up with a peer of its choice.
type peering struct {
	g       *Gossip
	address string
	known   *acquaintance
	task    env.Task
	lastAt  time.Duration // when the last exchange began; by Mono
	waiting bool          // for news or the next interval
	over    bool
	stood   bool // an exchange succeeded
	fresh   int  // what it told this node that was news, since peers were last rotated
}

// acquaintance is what is remembered about an address, also while it is no peer: to
// tell everything again to each peer that comes back would be a waste.
type acquaintance struct {
	teller         // the peer's memory that the numbers are about; zero: not known yet
	told    uint64 // own infos are known to it up to this number
	have    uint64 // its infos are known here up to this number
	retryAt time.Duration
}

// String prints the peering for people.
func (p *peering) String() string {
	return fmt.Sprintf("n%d at %s, told up to %d, heard up to %d", p.known.node, p.address, p.known.told, p.known.have)
}

// notify is called when there may be news for the peer.
func (p *peering) notify() {
	if p.waiting {
		p.waiting = false
		p.task.Wake()
	}
}

func (p *peering) end() {
	p.over = true
	p.task.Cancel(env.ErrCanceled)
}

// run keeps the exchange up until it fails, or the peer is given up.
func (p *peering) run(t env.Task) {
	for !p.over {
		if err := p.exchange(t); err != nil {
			if !p.over {
				p.g.giveUp(p, err)
			}
			return
		}
		p.await(t)
	}
}

// await returns when the next exchange is due.
func (p *peering) await(t env.Task) {
	g := p.g
	calm := p.lastAt + g.between(g.interval*3/4, g.interval)
	for t.Err() == nil {
		due := calm
		if g.infos.hasNews(p.known.told, p.known.teller) {
			due = min(calm, p.lastAt+g.pace)
		}
		left := due - g.e.Mono()
		if left <= 0 {
			return
		}
		p.waiting = due == calm
		t.Park("gossip: news", left)
		p.waiting = false
	}
}

// exchange tells the peer what is new here, and learns what is new there. What is told
// counts as told only when the peer has answered.
func (p *peering) exchange(t env.Task) error {
	g, k := p.g, p.known
	p.lastAt = g.e.Mono()
	news, upTo := g.infos.news(k.told, k.teller, g.maxBytes)
	q := &request{
		Cluster: g.cfg.Cluster, Have: k.have, HaveIncarnation: k.incarnation,
		batch: batch{teller: g.me(), UpTo: upTo, Infos: news},
	}
	if upTo < g.infos.seq {
		g.e.Probe(ProbeDivided)
	}
	g.stats.Exchanges++
	g.sent(len(news), q.Size())
	m, err := g.rpc.Call(t, p.address, Kind, q, g.timeout)
	if err != nil {
		return err
	}
	answer := m.(*response)
	if answer.Verdict == alien {
		g.e.Probe(ProbeAlien)
		return fmt.Errorf("%s belongs to another cluster", p.address)
	}
	p.stood = true
	if k.teller != answer.teller {
		// Whoever knew what it was told before, this one knows only what this exchange
		// said, and that left out what was thought to be known.
		if k.teller != (teller{}) {
			g.e.Probe(ProbeReborn)
		}
		first := k.teller == teller{}
		if *k = (acquaintance{teller: answer.teller}); first {
			k.told = upTo
		}
	} else {
		k.told = max(k.told, upTo)
	}
	k.have = max(k.have, answer.UpTo)
	p.fresh += g.take(answer.teller, answer.Infos)
	if answer.Verdict == full {
		g.e.Probe(ProbeFull)
		return errFull
	}
	return nil
}

// me is this node as one who tells.
func (g *Gossip) me() teller { return teller{g.self.NodeID, g.self.Incarnation} }

func (g *Gossip) sent(infos, bytes int) {
	g.stats.InfosSent += int64(infos)
	g.stats.BytesSent += int64(bytes)
}

// caller is a node that chose this one as its peer.
type caller struct {
	node   kv.NodeID
	seenAt time.Duration
}

// serve answers an exchange that another node began.
func (g *Gossip) serve(_ env.Task, from string, m env.Message) env.Message {
	q := m.(*request)
	if q.Cluster != g.cfg.Cluster {
		g.e.Probe(ProbeAlien)
		return &response{Verdict: alien, batch: batch{teller: g.me()}}
	}
	g.stats.Served++
	have := q.Have
	if q.HaveIncarnation != g.self.Incarnation {
		have = 0
	}
	g.take(q.teller, q.Infos)
	g.noteCaller(from, q, have)
	news, upTo := g.infos.news(have, q.teller, g.maxBytes)
	p := &response{batch: batch{teller: g.me(), UpTo: upTo, Infos: news}}
	if upTo < g.infos.seq {
		g.e.Probe(ProbeDivided)
	}
	if !g.admit(q.node) {
		p.Verdict = full
	}
	g.sent(len(news), p.Size())
	return p
}

// noteCaller remembers what the two know of each other, for when this node calls that
// one: it would otherwise tell everything a second time, the other way round. The caller
// told all up to q.UpTo: it began where this node had said that it was.
func (g *Gossip) noteCaller(from string, q *request, have uint64) {
	if q.HaveIncarnation != 0 && q.HaveIncarnation != g.self.Incarnation {
		return // it left out what it had told an earlier incarnation
	}
	k := g.known[from]
	if k == nil {
		k = &acquaintance{}
		g.known[from] = k
	}
	if k.teller != q.teller {
		if k.teller != (teller{}) {
			g.e.Probe(ProbeReborn)
		}
		*k = acquaintance{teller: q.teller, retryAt: k.retryAt}
	}
	k.told, k.have = max(k.told, have), max(k.have, q.UpTo)
}

// admit reports whether a caller may go on calling: those who did lately may, and
// others as long as there is room.
func (g *Gossip) admit(from kv.NodeID) bool {
	now := g.e.Mono()
	kept := g.incoming[:0]
	admitted := false
	for _, c := range g.incoming {
		if c.node == from {
			c.seenAt, admitted = now, true
		}
		if now-c.seenAt <= 3*g.interval {
			kept = append(kept, c)
		}
	}
	if !admitted && len(kept) < g.incomingMax {
		kept = append(kept, caller{from, now})
		admitted = true
	}
	g.incoming = kept
	return admitted
}
