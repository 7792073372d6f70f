package replica

import (
	"errors"
	"fmt"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/liveness"
	"simulacrum/sim/env"
)

// A lease of an epoch lasts as long as the liveness of the holder's node keeps the epoch
// up. One heartbeat of a node prolongs all its leases, and an idle range costs nothing:
//
//	status of the applied lease                   next step, of the leader alone
//	another's, its record has not expired     ->  none: redirect
//	another's, nothing is known of the epoch  ->  read the record
//	another's, its record has expired         ->  end the epoch: a put that fails if the
//	                                              record has moved
//	over, revoked, proscribed, or none        ->  propose a lease of the own epoch, which
//	                                              begins above the record that ended the
//	                                              last one
//	own, in stasis or too short               ->  a heartbeat, of the holder, leader or not
//
// Two holders never serve at one moment: the first stops a maximum clock offset before his
// expiration by his own clock, and the second cannot have seen the epoch ended before the
// expiration has passed by the clock of whoever ended it. What liveness needs to be
// written, the index and the records themselves, has leases that end by themselves: who
// could end the epoch of whoever holds the records?

// Epochs is what a replica asks of its node's liveness, which see.
type Epochs interface {
	Epoch(n kv.NodeID, epoch int64, now hlc.Timestamp) (liveness.EpochStatus, liveness.Seen)
	HoldsEpoch(epoch int64, now hlc.Timestamp) bool
	Self() (epoch int64, expiration hlc.Timestamp)
	Record(n kv.NodeID) liveness.Seen
	Heartbeat(t env.Task) error
	IncrementEpoch(t env.Task, seen liveness.Seen) (liveness.Seen, error)
	Read(t env.Task, n kv.NodeID) (liveness.Seen, error)
}

var _ Epochs = (*liveness.Liveness)(nil)

// usesEpochs reports that the next lease of the range is one of an epoch.
func (r *Replica) usesEpochs() bool {
	return r.cfg.Tunables.EpochLeases && r.cfg.Epochs != nil && !r.state.Desc.StartKey.Less(keys.NodeLivenessSpan().EndKey)
}

// epochLeaseStatus is LeaseStatus of a lease of an epoch.
func (r *Replica) epochLeaseStatus(now hlc.Timestamp) LeaseStatus {
	l := &r.state.Lease
	own := l.Replica.ReplicaID == r.self.ReplicaID
	epoch, _ := r.cfg.Epochs.Epoch(l.Replica.NodeID, l.Epoch, now)
	switch {
	case epoch == liveness.EpochOver:
		return LeaseExpired
	case own && l.Sequence == r.lease.revoked:
		return LeaseRevoked
	case own && l.ProposedTS.Less(r.cfg.MinProposed):
		return LeaseProscribed
	case own && epoch == liveness.EpochHeld:
		return LeaseValid
	case own:
		return LeaseStasis
	case l.Replica.NodeID == r.cfg.NodeID:
		// Of a replica that was here before this one. It is gone, and all that it served
		// was below the present reading of the clock.
		return LeaseExpired
	case epoch == liveness.EpochHeld:
		return LeaseOther
	case epoch == liveness.EpochExpired:
		return LeaseLapsed
	}
	return LeaseUnknown
}

// startAfterEpoch is where a lease may begin that follows the present one: at now, but
// above the record that shows that the present one's epoch is over.
func (r *Replica) startAfterEpoch(now hlc.Timestamp) hlc.Timestamp {
	l := &r.state.Lease
	if l.Epoch == 0 {
		return now
	}
	if seen := r.cfg.Epochs.Record(l.Replica.NodeID); seen.Epoch > l.Epoch {
		return now.Forward(seen.Version.Next())
	}
	return now
}

// epochFor is the epoch by which a replica could hold a lease from now on.
func (r *Replica) epochFor(to kv.ReplicaDescriptor, now hlc.Timestamp) (int64, error) {
	if to.NodeID == r.cfg.NodeID {
		if epoch, _ := r.cfg.Epochs.Self(); r.cfg.Epochs.HoldsEpoch(epoch, now) {
			return epoch, nil
		}
		return 0, errors.New("the node holds no epoch")
	}
	switch seen := r.cfg.Epochs.Record(to.NodeID); {
	case !seen.Exists() || seen.Epoch == 0 || seen.Expired(now) || seen.Membership == liveness.Decommissioned:
		return 0, fmt.Errorf("n%d is not live", to.NodeID)
	case seen.Draining:
		return 0, fmt.Errorf("n%d is draining", to.NodeID)
	default:
		return seen.Epoch, nil
	}
}

// epochStepLimit bounds one step. Those who wait for it may give up sooner, and those who
// come later want it all the same.
const epochStepLimit = 5 * time.Second

// epochStep takes the next step towards a lease of an epoch, or joins the one that is being
// taken, and returns when it is.
func (r *Replica) epochStep(t env.Task) error {
	p := r.lease.step
	if p == nil {
		p = &env.Promise[struct{}]{}
		r.lease.step = p
		r.cfg.Env.Go("lease: epoch", func(t env.Task) {
			t.SetDeadline(r.cfg.Env.Mono() + epochStepLimit)
			err := r.takeEpochStep(t)
			r.lease.step = nil
			p.Resolve(struct{}{}, err)
		})
	}
	_, err := p.Wait(t, "lease: epoch", -1)
	return err
}

func (r *Replica) takeEpochStep(t env.Task) error {
	epochs, now := r.cfg.Epochs, r.cfg.Clock.Now()
	holder := r.state.Lease.Replica.NodeID
	switch r.LeaseStatus(now) {
	case LeaseOther:
		return nil // since the step was asked for
	case LeaseValid, LeaseStasis:
		return epochs.Heartbeat(t)
	case LeaseUnknown:
		seen, err := epochs.Read(t, holder)
		if err == nil && seen.Epoch < r.state.Lease.Epoch {
			err = fmt.Errorf("replica: r%d: %s, and the record is %s", r.rangeID, r.state.Lease, &seen.Record)
		}
		return err
	case LeaseLapsed:
		_, seen := epochs.Epoch(holder, r.state.Lease.Epoch, now)
		r.cfg.Env.Probe(probeEpochEnding)
		if _, err := epochs.IncrementEpoch(t, seen); err != nil && err != liveness.ErrStillLive {
			return err
		}
		r.cfg.Env.Probe(probeEpochEnded)
		return nil
	}
	if epoch, _ := epochs.Self(); !epochs.HoldsEpoch(epoch, now) {
		return epochs.Heartbeat(t)
	}
	p := r.requestLease()
	if p == nil {
		return errNotLeading
	}
	_, err := p.wait(t, "lease request")
	return err
}
