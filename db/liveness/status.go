package liveness

import (
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
)

// View is what placement has to know of a node at time now, as far as it is known here.
func (l *Liveness) View(n kv.NodeID, now hlc.Timestamp) (v placement.Liveness, known bool) {
	e := l.cache[n]
	if e == nil {
		return v, false
	}
	v = placement.Liveness{Back: -1, Draining: e.Draining,
		Decommissioning: e.Membership == Decommissioning, Decommissioned: e.Membership == Decommissioned}
	if e.Expired(now) {
		v.Silent = max(time.Duration(now.Wall-e.Expiration.Wall), 1)
	}
	if !e.back.IsEmpty() {
		v.Back = max(time.Duration(now.Wall-e.back.Wall), 0)
	}
	return v, true
}

// Status judges a node at time now, by what is known of it here.
func (l *Liveness) Status(n kv.NodeID, now hlc.Timestamp) (s placement.Status, known bool) {
	v, known := l.View(n, now)
	return l.settings.Status(v), known
}

// IsLive reports that a node's record has not expired at time now, by what is known
// here, and that the node is a member. It may hold leases and vote.
func (l *Liveness) IsLive(n kv.NodeID, now hlc.Timestamp) bool {
	e := l.cache[n]
	return e != nil && !e.Expired(now) && e.Membership != Decommissioned
}

// EpochStatus says what an epoch is worth, to whoever looks at a lease of it.
type EpochStatus uint8

// The statuses.
const (
	EpochUnknown EpochStatus = iota // nothing is known, or only what is older: Read the record
	EpochHeld                       // it may be in use: by this node, which may use it, or by another
	EpochStasis                     // own, and so near its end, or past it, that it may not be used: Heartbeat
	EpochExpired                    // another's, and its record has expired by our clock: IncrementEpoch ends it
	EpochOver                       // a higher epoch is known: nobody ever uses this one again
)

var epochStatusNames = [...]string{"unknown", "held", "in stasis", "expired", "over"}

// String is the status's name.
func (s EpochStatus) String() string { return epochStatusNames[s] }

// Epoch judges the epoch of a lease that a node holds, at time now, and gives the record
// by which it is judged.
func (l *Liveness) Epoch(n kv.NodeID, epoch int64, now hlc.Timestamp) (EpochStatus, Seen) {
	seen := l.Record(n)
	switch {
	case seen.Epoch > epoch:
		return EpochOver, seen
	case seen.Epoch < epoch:
		return EpochUnknown, seen
	case n == l.self && l.HoldsEpoch(epoch, now):
		return EpochHeld, seen
	case n == l.self:
		return EpochStasis, seen
	case seen.Expired(now):
		return EpochExpired, seen
	}
	return EpochHeld, seen
}

// HoldsEpoch reports that this node may serve under leases of the epoch at time now,
// which is a reading of its own clock: its last heartbeat confirmed the epoch, and lasts
// for more than the maximum clock offset.
func (l *Liveness) HoldsEpoch(epoch int64, now hlc.Timestamp) bool {
	return epoch > 0 && epoch == l.held.epoch && now.Less(l.held.expiration.Add(-l.clock.MaxOffset()))
}

// Self is the epoch that this incarnation of the node holds, and when that expires. The
// epoch may be used until the maximum clock offset before. 0: it holds none.
func (l *Liveness) Self() (epoch int64, expiration hlc.Timestamp) {
	return l.held.epoch, l.held.expiration
}

// Record is the newest record of a node that is known here; the zero Seen if none is.
func (l *Liveness) Record(n kv.NodeID) Seen {
	if e := l.cache[n]; e != nil {
		return e.Seen
	}
	return Seen{}
}

// Records are the newest records that are known here, in the order of the nodes.
func (l *Liveness) Records() []Seen {
	all := make([]Seen, len(l.nodes))
	for i, n := range l.nodes {
		all[i] = l.cache[n].Seen
	}
	return all
}

// entry is what is known about a node.
type entry struct {
	Seen
	back hlc.Timestamp // when it was last seen to be live again; empty: it was not away
}

// learn takes in a record that somebody has seen in the database, if it is newer than
// what is known.
func (l *Liveness) learn(s Seen) {
	now := l.now()
	e := l.cache[s.NodeID]
	if e == nil {
		e = &entry{}
		l.cache[s.NodeID] = e
		l.insert(s.NodeID)
	}
	if s.Revision <= e.Revision {
		return
	}
	before := e.Seen
	e.Seen = s
	wasLive := before.Exists() && !before.Expired(now)
	isLive := !s.Expired(now)
	if before.Exists() && isLive && !before.Draining && (!wasLive || s.Epoch > before.Epoch) {
		l.e.Probe(ProbeSuspect)
		e.back = now
	}
	if s.NodeID == l.self && s.Epoch > l.held.epoch && l.held.epoch > 0 {
		l.e.Probe(ProbeEpochLost)
		l.held = holding{}
	}
	l.publish(s)
	if isLive && !wasLive {
		for _, f := range l.onLive {
			f(s.NodeID)
		}
	}
}

func (l *Liveness) insert(n kv.NodeID) {
	i := 0
	for i < len(l.nodes) && l.nodes[i] < n {
		i++
	}
	l.nodes = append(l.nodes, 0)
	copy(l.nodes[i+1:], l.nodes[i:])
	l.nodes[i] = n
}
