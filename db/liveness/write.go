package liveness

import (
	"errors"
	"fmt"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Reasons for a write not to be made. Other errors of this room come from the database;
// then it is not known that the write was made, and it was or will be at most once.
var (
	// ErrDecommissioned: the node is no member of the cluster, and never will be.
	ErrDecommissioned = errors.New("liveness: node is decommissioned")
	// ErrStillLive: the node's record has not expired, so that its epoch is not over.
	ErrStillLive = errors.New("liveness: node is live")
	// ErrOwnEpoch: a node does not end its own epoch but by a heartbeat at its start.
	ErrOwnEpoch = errors.New("liveness: a node's own epoch is not for it to end")
	// ErrNoRecord: there is no record of the node.
	ErrNoRecord = errors.New("liveness: node has no record")
)

// errMoved says that the record was not, or may not have been, as it had been seen.
var errMoved = errors.New("liveness: record has moved")

// write puts next in the place of seen. With errMoved it returns the record that is
// there. It returns nil only if next certainly is, or was, in the database.
func (l *Liveness) write(t env.Task, seen Seen, next Record) (Seen, error) {
	next.Revision = seen.Revision + 1
	key := keys.NodeLivenessKey(next.NodeID)
	var version hlc.Timestamp
	var err error
	if seen.Exists() {
		version, err = l.db.CPut(t, key, next.Encode(nil), seen.Encode(nil))
	} else {
		version, err = l.db.CPutAbsent(t, key, next.Encode(nil))
	}
	if err == nil {
		got := Seen{Record: next, Version: version}
		l.learn(got)
		return got, nil
	}
	switch e := kv.AsError(err); e.Kind {
	case kv.ConditionFailed:
		if e.Actual == nil {
			return Seen{}, fmt.Errorf("%w any more: revision %d of n%d has vanished", ErrNoRecord, seen.Revision, next.NodeID)
		}
		got, err := l.decode(next.NodeID, e.Actual.Value, e.Actual.Timestamp)
		if err != nil {
			return Seen{}, err
		}
		return got, errMoved
	case kv.Ambiguous:
		return l.lookUp(t, next, err)
	}
	return Seen{}, err
}

// lookUp finds out what became of a write whose result is ambiguous. If the record is
// still the old one, the write may yet come; but whoever writes over the old record now
// either comes before it, and makes it void, or finds it.
func (l *Liveness) lookUp(t env.Task, next Record, why error) (Seen, error) {
	l.e.Probe(ProbeAmbiguous)
	got, err := l.Read(t, next.NodeID)
	switch {
	case err != nil:
		return Seen{}, fmt.Errorf("%w; not to be found out: %w", why, err)
	case got.Record == next:
		return got, nil
	}
	return got, errMoved
}

func (l *Liveness) decode(n kv.NodeID, value []byte, version hlc.Timestamp) (Seen, error) {
	r, err := DecodeRecord(value)
	if err == nil && r.NodeID != n {
		err = fmt.Errorf("liveness: record of n%d in the place of n%d's", r.NodeID, n)
	}
	if err != nil {
		return Seen{}, err
	}
	s := Seen{Record: r, Version: version}
	l.learn(s)
	return s, nil
}

// Read reads a node's record. If there is none, it returns the zero Seen.
func (l *Liveness) Read(t env.Task, n kv.NodeID) (Seen, error) {
	v, err := l.db.Get(t, keys.NodeLivenessKey(n))
	if err != nil || !v.Exists {
		return Seen{}, err
	}
	return l.decode(n, v.Bytes, v.Timestamp)
}

// ReadAll reads the records of all nodes into the cache.
func (l *Liveness) ReadAll(t env.Task) error {
	span := keys.NodeLivenessSpan()
	rows, err := l.db.Scan(t, span.Key, span.EndKey, 0)
	if err != nil {
		return err
	}
	for _, row := range rows {
		n, ok := keys.DecodeNodeLivenessKey(row.Key)
		if !ok {
			return fmt.Errorf("liveness: %s is no record's key", row.Key)
		}
		if _, err := l.decode(n, row.Value, row.Timestamp); err != nil {
			return err
		}
	}
	return nil
}

// update changes a node's record by conditional puts, until one succeeds, or change says
// that nothing is to be done. change is given the newest record, and returns done to end
// without a write.
func (l *Liveness) update(t env.Task, seen Seen, change func(Seen) (next Record, done bool, err error)) (Seen, error) {
	for {
		next, done, err := change(seen)
		if done || err != nil {
			return seen, err
		}
		got, err := l.write(t, seen, next)
		if err != errMoved {
			return got, err
		}
		if err := t.Err(); err != nil {
			return got, err
		}
		seen = got
	}
}

// known is the newest record that is known here or, if there is none, that is in the
// database.
func (l *Liveness) known(t env.Task, n kv.NodeID) (Seen, error) {
	if seen := l.Record(n); seen.Exists() {
		return seen, nil
	}
	return l.Read(t, n)
}

// Heartbeat prolongs this node's record. The first of an incarnation makes a new epoch,
// so that no lease of an earlier one is taken for its own. When it returns nil, the node
// holds the epoch and the expiration that Self gives. Of those who call it at once, all
// but the first wait for the first.
func (l *Liveness) Heartbeat(t env.Task) error {
	before := l.beats
	if err := l.turn.Acquire(t, "liveness: heartbeat", -1); err != nil {
		return err
	}
	var err error
	if l.beats == before {
		err = l.beat(t)
	}
	l.turn.Release()
	return err
}

func (l *Liveness) beat(t env.Task) error {
	seen, err := l.known(t, l.self)
	if err != nil {
		return err
	}
	for {
		got, err := l.update(t, seen, l.prolonged)
		if err != nil {
			return err
		}
		// The answer may have been so long under way that the epoch is over.
		if newest := l.Record(l.self); newest.Epoch > got.Epoch {
			seen = newest
			continue
		}
		l.held = holding{got.Epoch, got.Expiration}
		l.beats++
		return nil
	}
}

// prolonged is what a heartbeat makes of the node's record.
func (l *Liveness) prolonged(seen Seen) (Record, bool, error) {
	if seen.Membership == Decommissioned {
		l.e.Probe(ProbeDecommissioned)
		l.held = holding{}
		return Record{}, false, ErrDecommissioned
	}
	now := l.now()
	next := seen.Record
	next.NodeID = l.self
	if l.beats == 0 {
		next.Epoch++
		next.Draining = false
	} else if seen.Expired(now) {
		l.e.Probe(ProbeLapsed)
	}
	next.Expiration = seen.Expiration.Forward(now.Add(l.expiry))
	return next, false, nil
}

// IncrementEpoch ends the epoch of another node whose record, as it was seen, has
// expired by this node's clock. It returns the record that shows that the epoch is over,
// whoever ended it: a lease that follows one of the old epoch begins above that record's
// Version. With ErrStillLive it returns the record by which the node is live.
func (l *Liveness) IncrementEpoch(t env.Task, seen Seen) (Seen, error) {
	switch {
	case seen.NodeID == l.self:
		return seen, ErrOwnEpoch
	case !seen.Exists():
		return seen, ErrNoRecord
	}
	// All ranges of a dead node are missed at once: one put serves them all.
	for {
		p := l.increments[seen.NodeID]
		if p == nil {
			break
		}
		if _, err := p.Wait(t, "liveness: epoch", -1); err != nil && t.Err() != nil {
			return seen, err
		}
		if newest := l.Record(seen.NodeID); newest.Epoch > seen.Epoch {
			return newest, nil
		}
	}
	p := &env.Promise[Seen]{}
	l.increments[seen.NodeID] = p
	got, err := l.increment(t, seen)
	delete(l.increments, seen.NodeID)
	p.Resolve(got, err)
	return got, err
}

func (l *Liveness) increment(t env.Task, named Seen) (Seen, error) {
	tried := false
	got, err := l.update(t, named, func(seen Seen) (Record, bool, error) {
		next := seen.Record
		next.Epoch++
		switch {
		case seen.Epoch > named.Epoch:
			l.e.Probe(ProbeEpochRaceLost)
			return next, true, nil
		case !seen.Expired(l.now()):
			if tried {
				l.e.Probe(ProbeCameBack)
			}
			return next, false, ErrStillLive
		}
		tried = true
		return next, false, nil
	})
	if err == nil {
		l.e.Probe(ProbeEpochRaised)
	}
	return got, err
}

// SetDraining changes what this node's record says about that.
func (l *Liveness) SetDraining(t env.Task, draining bool) error {
	if err := l.turn.Acquire(t, "liveness: draining", -1); err != nil {
		return err
	}
	seen, err := l.known(t, l.self)
	if err == nil && !seen.Exists() {
		err = ErrNoRecord
	}
	if err == nil {
		_, err = l.update(t, seen, func(seen Seen) (Record, bool, error) {
			next := seen.Record
			next.Draining = draining
			return next, seen.Draining == draining, nil
		})
	}
	l.turn.Release()
	return err
}

// TransitionError says that a node may not go from one membership to another.
type TransitionError struct {
	NodeID   kv.NodeID
	From, To Membership
}

// Error implements error.
func (e *TransitionError) Error() string {
	s := fmt.Sprintf("liveness: n%d is %s, and cannot become %s", e.NodeID, e.From, e.To)
	switch {
	case e.From == Decommissioned:
		return s + ": start it with an empty disk, as a new node"
	case e.To == Decommissioned:
		return s + ": have it decommissioning first, until it has no replicas"
	}
	return s
}

// SetMembership changes any node's membership. What it is already it may become again.
func (l *Liveness) SetMembership(t env.Task, n kv.NodeID, to Membership) (Seen, error) {
	seen, err := l.Read(t, n)
	if err != nil {
		return seen, err
	}
	if !seen.Exists() {
		return seen, ErrNoRecord
	}
	return l.update(t, seen, func(seen Seen) (Record, bool, error) {
		next := seen.Record
		next.Membership = to
		if seen.Membership == to {
			return next, true, nil
		}
		if !seen.Membership.mayBecome(to) {
			return next, false, &TransitionError{n, seen.Membership, to}
		}
		return next, false, nil
	})
}

// HeartbeatEvery is the time between two heartbeats of a node.
func (l *Liveness) HeartbeatEvery() time.Duration { return l.every }
