package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"simulacrum/db/codec"
	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// LeaseStatus says what a lease is worth to this replica at a given time.
type LeaseStatus uint8

// The statuses. Only LeaseValid allows anything to be served.
const (
	LeaseNone       LeaseStatus = iota // the range has never had one
	LeaseValid                         // own, in force
	LeaseOther                         // another's, not over yet by our clock
	LeaseStasis                        // own, but so near its end that another's clock may be past it
	LeaseExpired                       // over by our clock, whoever held it
	LeaseRevoked                       // own, given up for a transfer
	LeaseProscribed                    // own, of an earlier incarnation
	LeaseLapsed                        // another's, of an epoch that has expired and must be ended before anybody else has one
	LeaseUnknown                       // another's, of an epoch about which nothing is known here
)

var leaseStatusNames = [...]string{"none", "valid", "another's", "in stasis", "expired", "revoked", "proscribed", "lapsed", "unknown"}

// String names the status.
func (s LeaseStatus) String() string { return leaseStatusNames[s] }

// leaseKeeper is what a replica remembers about leases beside the applied one.
type leaseKeeper struct {
	// revoked is the sequence of the own lease that was given up. It stays so even
	// if the transfer fails, or nobody knows whether it did: the reads that the
	// target may serve begin where this replica's ended.
	revoked int64
	// request is the lease request in flight that all who need the lease wait for.
	request *proposal
	// step is what is being done so that r may have, or keep, a lease of an epoch: see
	// epochStep. Nil: nothing.
	step *env.Promise[struct{}]
}

// LeaseStatus judges the applied lease at time now.
func (r *Replica) LeaseStatus(now hlc.Timestamp) LeaseStatus {
	l := &r.state.Lease
	switch {
	case l.Sequence == 0:
		return LeaseNone
	case l.Epoch > 0:
		return r.epochLeaseStatus(now)
	case !now.LessEq(l.Expiration):
		return LeaseExpired
	case l.Replica.ReplicaID != r.self.ReplicaID:
		return LeaseOther
	case l.Sequence == r.lease.revoked:
		return LeaseRevoked
	case l.ProposedTS.Less(r.cfg.MinProposed):
		return LeaseProscribed
	case !now.Less(l.Expiration.Add(-r.cfg.Clock.MaxOffset())):
		return LeaseStasis
	}
	return LeaseValid
}

// now is the present by the hybrid clock, for judgements that give out no timestamp.
func (r *Replica) now() hlc.Timestamp {
	return r.cfg.Clock.Last().Forward(hlc.Timestamp{Wall: r.cfg.Clock.PhysicalNow()})
}

// HoldsLease reports whether r may serve at this moment.
func (r *Replica) HoldsLease() bool { return r.LeaseStatus(r.now()) == LeaseValid }

// LeaseLapsed reports that nobody has a lease at this moment.
func (r *Replica) LeaseLapsed() bool {
	st := r.LeaseStatus(r.now())
	return st == LeaseNone || st == LeaseExpired
}

// requestLease proposes a lease for r, or joins the request in flight. It returns
// nil if r may not ask: it does not lead, or another's lease is not over, or the next one
// is of an epoch that r's node does not hold.
func (r *Replica) requestLease() *proposal {
	if r.lease.request != nil {
		return r.lease.request
	}
	if r.role != raft.StateLeader {
		// A follower cannot tell whether a newer lease is on its way to it.
		return nil
	}
	now := r.cfg.Clock.Now()
	prev := r.state.Lease
	var next kv.Lease
	switch r.LeaseStatus(now) {
	case LeaseOther, LeaseLapsed, LeaseUnknown:
		return nil
	case LeaseValid, LeaseStasis:
		if prev.Epoch > 0 {
			return nil // heartbeats prolong it
		}
		// The same lease, prolonged: nothing that was promised under it changes.
		next = prev
		next.ProposedTS, next.Expiration = now, now.Add(r.cfg.Tunables.LeaseDuration).Forward(prev.Expiration)
	default:
		var err error
		if next, err = r.leaseFor(r.self, now); err != nil {
			return nil
		}
	}
	c := Command{Kind: KindLease, LeaseSequence: prev.Sequence, Lease: LeaseChange{
		Next: next, PrevSequence: prev.Sequence, PrevProposed: prev.ProposedTS,
	}}
	r.wake(true)
	r.lease.request = r.propose(&c, &proposal{})
	return r.lease.request
}

// leaseFor is a new lease for a replica, which follows the present one and begins at now,
// or above what was served under an epoch that is over. The error says why there is none.
func (r *Replica) leaseFor(to kv.ReplicaDescriptor, now hlc.Timestamp) (kv.Lease, error) {
	next := kv.Lease{Sequence: r.state.Lease.Sequence + 1, Replica: asHolder(to), ProposedTS: now, Start: r.startAfterEpoch(now)}
	if !r.usesEpochs() {
		next.Expiration = now.Add(r.cfg.Tunables.LeaseDuration)
		return next, nil
	}
	var err error
	next.Epoch, err = r.epochFor(to, now)
	return next, err
}

// readsBefore is what may have been read under leases before Next: what its last
// holder says, or, if it says nothing, everything below the start.
func (l *LeaseChange) readsBefore() concurrency.ReadSummary {
	s := l.Reads
	s.Raise(l.Next.Start)
	return s
}

// loadReads is the readsBefore of the lease that a state holds, and what was taken in with
// other ranges since.
func (r *Replica) loadReads(rd storage.Reader) (concurrency.ReadSummary, error) {
	v, ok, err := rd.Get(keys.ReadSummaryKey(r.rangeID))
	if err != nil || !ok {
		return concurrency.ReadSummary{}, err
	}
	in := codec.MakeReader(v)
	s := concurrency.DecodeReadSummary(&in)
	return s, in.Done()
}

// leaseApplied runs when a lease replaced another. reads is what may have been read
// before it.
func (r *Replica) leaseApplied(prev, next kv.Lease, reads concurrency.ReadSummary) {
	if next.Sequence != prev.Sequence {
		r.leaseChanged()
		r.requests.OnLeaseChanged(next.Sequence)
		r.noteReadsBefore(next, reads)
	}
	if next.Replica.ReplicaID == r.self.ReplicaID {
		// All that was served under earlier leases was below the start.
		r.cfg.Clock.Forward(next.Start)
		if next.Sequence == prev.Sequence {
			r.cfg.Env.Probe(probeLeaseExtended)
		} else {
			r.cfg.Env.Probe(probeLeaseAcquired)
			r.freezeIfDeleted()
		}
	}
	if o := r.cfg.Observer; o != nil {
		o.LeaseApplied(r, prev, next)
	}
	r.followLease()
}

// noteReadsBefore keeps the holder of a new lease from writing beneath what was read
// under earlier ones.
func (r *Replica) noteReadsBefore(next kv.Lease, reads concurrency.ReadSummary) {
	if next.Replica.ReplicaID != r.self.ReplicaID {
		r.reads = nil
		return
	}
	if r.reads == nil {
		t := r.cfg.Requests.Tunables
		r.reads = concurrency.NewTimestampCache(t.CachePageBytes, t.CachePages, next.Start)
	}
	r.reads.RaiseLowWater(next.Start)
	r.reads.Apply(reads)
}

// tickLease prolongs the own lease while the range is in use. An idle range lets
// it lapse.
func (r *Replica) tickLease() {
	r.followLease()
	if r.role != raft.StateLeader || r.idle() || r.lease.request != nil {
		return
	}
	now := r.cfg.Clock.Now()
	switch r.LeaseStatus(now) {
	case LeaseValid, LeaseStasis:
		if r.state.Lease.Epoch == 0 && r.state.Lease.Expiration.Less(now.Add(r.cfg.Tunables.LeaseRenewBefore)) {
			r.requestLease()
		}
	}
}

// followLease hands leadership to the holder of a lease that is in force: only
// together can one replica propose what it evaluates, and only a leader prolongs.
func (r *Replica) followLease() {
	if r.role != raft.StateLeader || r.quiesced {
		return
	}
	if r.LeaseStatus(r.now()) != LeaseOther {
		return
	}
	l := &r.state.Lease
	st := r.rn.BasicStatus()
	if st.LeadTransferee == uint64(l.Replica.ReplicaID) {
		return
	}
	// The library would drop all proposals until the target has caught up: wait.
	pr, ok := r.progress(l.Replica.ReplicaID)
	if !ok || pr.IsLearner || !pr.RecentActive || pr.Match < r.lastIndex() {
		return
	}
	r.cfg.Env.Probe(probeLeadershipFollows)
	r.rn.TransferLeader(uint64(l.Replica.ReplicaID))
	r.cfg.Host.Ready(r)
}

// progress is what the leader knows of another replica.
func (r *Replica) progress(id kv.ReplicaID) (tracker.Progress, bool) {
	var p tracker.Progress
	found := false
	r.rn.WithProgress(func(i uint64, _ raft.ProgressType, pr tracker.Progress) {
		if i == uint64(id) {
			p, found = pr, true
		}
	})
	return p, found
}

// lastIndex is the index of the leader's last entry, not yet written ones included.
func (r *Replica) lastIndex() uint64 {
	p, _ := r.progress(r.self.ReplicaID)
	return max(r.log.last.index, p.Match, p.Next-1)
}

// transferable says why the lease should not go to a replica, if so: it would not
// be able to serve at once.
func (r *Replica) transferable(to kv.ReplicaDescriptor) error {
	if to.Type != kv.VoterFull && to.Type != kv.VoterIncoming {
		return fmt.Errorf("%s is not a voter", to)
	}
	if r.role != raft.StateLeader {
		return fmt.Errorf("not the leader, who alone knows how far %s is", to)
	}
	p, ok := r.progress(to.ReplicaID)
	switch {
	case !ok:
		return fmt.Errorf("%s is not in the group", to)
	case p.State != tracker.StateReplicate || p.Match < r.hard.Commit:
		return fmt.Errorf("%s lags: %s at %d, committed is %d", to, p.State, p.Match, r.hard.Commit)
	}
	return nil
}

// TransferLease hands the lease to the range's replica on the target store. When
// it fails, or is ambiguous, the own lease is gone all the same.
func (r *Replica) TransferLease(t env.Task, target kv.StoreID) (kv.Lease, *kv.Error) {
	to, ok := r.state.Desc.Replica(target)
	if !ok {
		return kv.Lease{}, r.errorf(kv.BadRequest, "s%d has no replica", target)
	}
	if err := r.awaitLease(t, hlc.Timestamp{}); err != nil {
		return kv.Lease{}, err
	}
	if to.ReplicaID == r.self.ReplicaID {
		return r.state.Lease, nil
	}
	if err := r.transferable(to); err != nil {
		return kv.Lease{}, r.errorf(kv.NodeUnavailable, "%s", err)
	}
	// Requests in flight drain: what they evaluated is applied, what they read is
	// below the new lease's start. Those that come wait and find the lease gone.
	guard, werr := r.requests.Latches().Acquire(t, r.allKeys())
	if werr != nil {
		return kv.Lease{}, r.errorf(kv.Timeout, "waiting for requests to drain: %s", werr)
	}
	prev := r.state.Lease
	start := r.cfg.Clock.Now()
	err := r.transferable(to)
	if r.LeaseStatus(start) != LeaseValid || err != nil || r.lease.request != nil {
		r.requests.Latches().Release(guard)
		if err != nil {
			return kv.Lease{}, r.errorf(kv.NodeUnavailable, "%s", err)
		}
		return kv.Lease{}, r.errorf(kv.NodeUnavailable, "the lease is %s or being renewed", r.LeaseStatus(start))
	}
	next, err := r.leaseFor(to, start)
	if err != nil {
		r.requests.Latches().Release(guard)
		return kv.Lease{}, r.errorf(kv.NodeUnavailable, "%s", err)
	}
	r.lease.revoked = prev.Sequence
	r.cfg.Env.Probe(probeLeaseRevoked)
	c := Command{Kind: KindLease, LeaseSequence: prev.Sequence, Lease: LeaseChange{
		Next: next, PrevSequence: prev.Sequence, PrevProposed: prev.ProposedTS, Transfer: true,
		Reads: r.readSummary(start),
	}}
	r.wake(true)
	p := r.propose(&c, &proposal{guard: guard})
	why, werr := p.wait(t, "lease transfer")
	if werr != nil {
		return kv.Lease{}, r.errorf(kv.Ambiguous, "lease transfer: %s", werr)
	}
	if why != Applied {
		return kv.Lease{}, r.errorf(kv.NodeUnavailable, "lease transfer rejected: %s", why)
	}
	r.cfg.Env.Probe(probeLeaseTransferred)
	return next, nil
}

// readSummary is what the holder of a lease that begins at start has to know of what
// was read before.
func (r *Replica) readSummary(start hlc.Timestamp) concurrency.ReadSummary {
	user := r.state.Desc.Span()
	s := r.reads.Summary(user, r.cfg.Requests.Tunables.SummaryBytes)
	s.Raise(start)
	return s
}

// leaseCovers reports that what happens at ts, under the own lease, is out of the reach
// of whoever has the next one.
func (r *Replica) leaseCovers(ts hlc.Timestamp) bool {
	if l := &r.state.Lease; l.Epoch > 0 {
		return r.cfg.Epochs.HoldsEpoch(l.Epoch, ts)
	}
	return ts.Less(r.state.Lease.Expiration.Add(-r.cfg.Clock.MaxOffset()))
}

// awaitLease returns nil when r holds a valid lease that covers ts, acquiring or
// prolonging one if that is up to r. The error redirects.
func (r *Replica) awaitLease(t env.Task, ts hlc.Timestamp) *kv.Error {
	r.lastUse = r.ticks
	for attempt := 0; attempt < maxLeaseAttempts; attempt++ {
		now := r.cfg.Clock.Now()
		status := r.LeaseStatus(now)
		switch status {
		case LeaseValid:
			if r.leaseCovers(ts) {
				return nil
			}
			r.cfg.Env.Probe(probeLeaseTooShort)
		case LeaseOther:
			r.wake(true) // so that renewal and leadership are looked after
			return r.notLeaseholder()
		case LeaseStasis:
			r.cfg.Env.Probe(probeLeaseStasis)
		case LeaseProscribed:
			r.cfg.Env.Probe(probeLeaseProscribed)
		}
		if err := r.bringLease(t, status); err != nil {
			if t.Err() != nil {
				return r.errorf(kv.Timeout, "waiting for a lease: %s", err)
			}
			return r.notLeaseholder()
		}
	}
	return r.notLeaseholder()
}

// bringLease takes the next step towards a lease, if it is up to r, and waits until it is
// taken.
func (r *Replica) bringLease(t env.Task, status LeaseStatus) error {
	prolong := status == LeaseValid || status == LeaseStasis
	if r.state.Lease.Epoch > 0 || r.usesEpochs() && !prolong {
		// Whoever holds a lease keeps its epoch up, whether or not it leads.
		if !prolong && r.role != raft.StateLeader {
			r.wake(true)
			return errNotLeading
		}
		return r.epochStep(t)
	}
	p := r.requestLease()
	if p == nil {
		r.wake(true)
		return errNotLeading
	}
	_, err := p.wait(t, "lease request")
	return err
}

var errNotLeading = errors.New("not the leader, who alone may ask for a lease")

// maxLeaseAttempts bounds how often one request asks for a lease that others
// take from it, or that is over when it comes. The first lease of an epoch takes four
// steps: to read another's record and end his epoch, to have one of its own, and to ask.
const maxLeaseAttempts = 6

// notLeaseholder redirects to the holder of a lease in force, else to the leader,
// who alone may take one. That guess is a lease of sequence 0.
func (r *Replica) notLeaseholder() *kv.Error {
	err := r.errorf(kv.NotLeaseholder, "%s", r.self)
	err.Descs = []*kv.RangeDescriptor{r.state.Desc}
	if r.LeaseStatus(r.now()) == LeaseOther {
		l := r.state.Lease
		err.Lease = &l
		return err
	}
	if d, ok := r.state.Desc.ReplicaByID(r.leader); ok && d.ReplicaID != r.self.ReplicaID {
		err.Lease = &kv.Lease{Replica: d}
	}
	return err
}

func (r *Replica) errorf(kind kv.ErrorKind, format string, args ...any) *kv.Error {
	e := kv.Errorf(kind, format, args...)
	e.RangeID = r.rangeID
	return e
}
