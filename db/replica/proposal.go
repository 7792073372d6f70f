package replica

import (
	"errors"
	"slices"
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/concurrency"
	"simulacrum/sim/env"
)

// errUnknownOutcome says that a proposal may or may not have applied: the part of
// the log in which it would show was skipped by a snapshot.
var errUnknownOutcome = errors.New("replica: the outcome was skipped by a snapshot")

// errNotLeader says that a lease request was given up with the leadership. It may
// apply nevertheless.
var errNotLeader = errors.New("replica: leadership lost")

// proposal is a command of this replica whose fate is open.
type proposal struct {
	id   CommandID
	kind Kind
	data []byte // encoded command, shared with the log: never changed in place
	// conf has the command proposed as a change of consensus' configuration; nil: it is none.
	conf *raftpb.ConfChangeV2
	// sequence and index are those in data. index changes, with a new copy of data,
	// only when the copies with the old one can no longer apply.
	sequence int64
	index    uint64
	// guard holds the request's latches. They are given back when the fate is
	// known and not before, whether or not anybody still waits: until then the
	// command may take effect, and whoever came between would not see it.
	guard *concurrency.Guard
	// call is the request itself, whose ticket stands for its latches, as guard does,
	// and whose effects beyond the data follow when the command applies. Nil, or guard is.
	call     *call
	proposed int // tick of the last time that it was handed to the library
	// taken is the term in which the library last took it into its own log as the
	// leader; 0: never. While that term lasts the copy is there, and another would
	// only lengthen the log.
	taken   uint64
	outcome env.Promise[Rejection]
}

// proposals are the commands in flight.
//
// A command is proposed any number of times, byte for byte the same, until an
// outcome is seen: lease sequence and lease index let at most one copy apply. Only
// a copy that was seen to be rejected for its index, under a lease that is still
// the current one, is proposed with a new index, for no other copy can apply then.
type proposals struct {
	// pending is in order of identity, which is the order of proposing. A sorted
	// list in place of a map: an idle replica owns none, and what ranges over it
	// does so in a fixed order.
	pending []*proposal
	// assigned is the highest lease index given to a proposal under the current
	// lease; at least the applied one.
	assigned uint64
	// dropped says that the library did not take some of them, since too much was
	// uncommitted. Those that come meanwhile stand in line behind: a large command, for
	// which there is room only when nothing else is under way, would wait for ever.
	dropped bool
}

func (p *proposals) find(id CommandID) int {
	n := sort.Search(len(p.pending), func(i int) bool { return p.pending[i].id >= id })
	if n < len(p.pending) && p.pending[n].id == id {
		return n
	}
	return -1
}

func (p *proposals) remove(i int) {
	copy(p.pending[i:], p.pending[i+1:])
	p.pending[len(p.pending)-1] = nil
	p.pending = p.pending[:len(p.pending)-1]
}

// truncating reports that a truncation of the log is among them.
func (p *proposals) truncating() bool {
	return slices.ContainsFunc(p.pending, func(q *proposal) bool { return q.kind == KindTruncate })
}

// nextIndex assigns a lease index.
func (r *Replica) nextIndex() uint64 {
	p := &r.proposals
	p.assigned = max(p.assigned, r.state.LeaseAppliedIndex) + 1
	return p.assigned
}

// propose makes c a pending proposal, with identity and lease index, and hands it
// to consensus. If r does not lead, that happens when it does. What p holds of the
// request is given back by settle.
func (r *Replica) propose(c *Command, p *proposal) *proposal {
	if r.gone {
		r.settle(p, RejectLeaseSequence, nil) // it is evaluated again, and refused
		return p
	}
	c.ID = r.cfg.NextID
	r.cfg.NextID++
	if c.Kind != KindLease {
		c.MaxLeaseIndex = r.nextIndex()
	}
	p.id, p.kind, p.sequence, p.index = c.ID, c.Kind, c.LeaseSequence, c.MaxLeaseIndex
	p.data = c.Encode(make([]byte, 0, commandHeader+len(c.Batch)+64))
	r.proposals.pending = append(r.proposals.pending, p)
	if r.proposals.dropped && p.kind != KindLease {
		p.proposed = r.ticks
		return p
	}
	r.handOver(p)
	return p
}

// handOver gives p to the library, which takes it only from a leader, and may drop
// it when too much is uncommitted.
func (r *Replica) handOver(p *proposal) {
	p.proposed = r.ticks
	if r.role != raft.StateLeader {
		return
	}
	if r.offer(p) != nil {
		r.proposals.dropped = true
		return
	}
	p.taken = r.rn.BasicStatus().Term
	r.cfg.Host.Ready(r)
}

func (r *Replica) offer(p *proposal) error {
	if p.conf == nil {
		return r.rn.Propose(p.data)
	}
	cc := *p.conf
	cc.Context = p.data
	return r.rn.ProposeConfChange(cc)
}

// proposeDropped hands over what was dropped, now that something has applied and there
// may be room. To leave it to the ticks would let a range that is asked for much do
// hardly anything (scenarios/found/no-room).
func (r *Replica) proposeDropped() {
	if !r.proposals.dropped {
		return
	}
	r.proposals.dropped = false
	if r.role != raft.StateLeader {
		return // whoever becomes the leader proposes all
	}
	term := r.rn.BasicStatus().Term
	for _, p := range r.proposals.pending {
		if p.taken != term {
			r.cfg.Env.Probe(probeReproposed)
			r.handOver(p)
		}
		if r.proposals.dropped {
			return // in order: those behind it wait
		}
	}
}

// proposeAgain hands over all that is pending, when r has become the leader.
func (r *Replica) proposeAgain() {
	r.proposals.dropped = false
	for _, p := range r.proposals.pending {
		r.cfg.Env.Probe(probeReproposed)
		r.handOver(p)
	}
}

// tickProposals hands over again what has had no outcome for long. The first copy
// may be lost with an old leader's tail, or dropped by the library. What stands in
// the own log of this term is left alone however long it takes: on a slow link,
// copies of copies would keep the log from ever being replicated (default seed
// 2009).
func (r *Replica) tickProposals() {
	if len(r.proposals.pending) == 0 {
		return
	}
	term := r.rn.BasicStatus().Term
	for _, p := range r.proposals.pending {
		if p.taken != term && r.ticks-p.proposed >= r.cfg.Tunables.ReproposeTicks {
			r.cfg.Env.Probe(probeReproposed)
			r.handOver(p)
		}
	}
}

// lostLeadership gives up the lease requests, which nobody else will propose.
// Ordinary commands stay: they belong to the lease, which is still held.
func (r *Replica) lostLeadership() {
	for i := 0; i < len(r.proposals.pending); {
		if p := r.proposals.pending[i]; p.kind == KindLease {
			r.proposals.remove(i)
			r.settle(p, 0, errNotLeader)
			continue
		}
		i++
	}
}

// settle lets the effects follow, gives the latches back and tells whoever waits, in
// this order: nobody is let in before what the command did is known. p is not pending
// any more.
func (r *Replica) settle(p *proposal, why Rejection, err error) {
	if p == r.lease.request {
		r.lease.request = nil
	}
	switch {
	case p.guard != nil:
		r.requests.Latches().Release(p.guard)
		p.guard = nil
	case p.call != nil:
		if err == nil && why == Applied {
			p.call.effects.follow(r)
		}
		p.call.finish()
		p.call = nil
	}
	p.outcome.Resolve(why, err)
}

// decided takes in the outcome of one copy of a command.
func (r *Replica) decided(c *Command, why Rejection) {
	i := r.proposals.find(c.ID)
	if i < 0 {
		return
	}
	p := r.proposals.pending[i]
	if c.MaxLeaseIndex != p.index {
		// An old copy, of an index that was given up because it could not apply.
		if why == Applied {
			panic("replica: a command applied after it was proposed with a new lease index")
		}
		return
	}
	if why == RejectLeaseIndex && p.sequence == r.state.Lease.Sequence {
		// This very index can never apply again: others went past it. No copy with
		// it has applied, or p would not be pending.
		r.cfg.Env.Probe(probeNewLeaseIndex)
		p.index = r.nextIndex()
		p.data, p.taken = withLeaseIndex(p.data, p.index), 0
		r.handOver(p)
		return
	}
	r.proposals.remove(i)
	r.settle(p, why, nil)
}

// leaseChanged settles what was proposed under another lease: from here on in the
// log, no copy of it can apply, and up to here none has.
func (r *Replica) leaseChanged() {
	r.proposals.assigned = r.state.LeaseAppliedIndex
	for i := 0; i < len(r.proposals.pending); {
		p := r.proposals.pending[i]
		if p.kind != KindLease && p.sequence != r.state.Lease.Sequence {
			r.proposals.remove(i)
			r.settle(p, RejectLeaseSequence, nil)
			continue
		}
		i++
	}
}

// skipped settles what may have applied unseen when a snapshot replaced the state.
// Records of transactions may have become final in it, and must not be created
// again: everything up to now counts as read.
func (r *Replica) skipped() {
	if r.reads != nil && len(r.proposals.pending) > 0 {
		r.reads.RaiseLowWater(r.cfg.Clock.Now())
	}
	for i := 0; i < len(r.proposals.pending); {
		p := r.proposals.pending[i]
		if p.kind == KindLease || p.sequence != r.state.Lease.Sequence || p.index <= r.state.LeaseAppliedIndex {
			r.proposals.remove(i)
			r.settle(p, 0, errUnknownOutcome)
			continue
		}
		i++
	}
	r.proposals.assigned = max(r.proposals.assigned, r.state.LeaseAppliedIndex)
}

// wait returns the outcome. An error says that it is not known: the wait was ended
// before it was, or it cannot be found out.
func (p *proposal) wait(t env.Task, label string) (Rejection, error) {
	why, err := p.outcome.Wait(t, label, -1)
	if err != nil && p.outcome.Ready() {
		return p.outcome.Value() // it came at the moment of the deadline
	}
	return why, err
}
