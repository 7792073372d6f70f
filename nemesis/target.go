package nemesis

import (
	"time"

	"simulacrum/sim/env"
)

// Target is the system that faults act upon. Package cluster satisfies it. Names
// are those of endpoints, such as "n3" for a node and "c12" for a client. Calls
// are made from world callbacks, and from inside OnProbe; none of them waits.
//
// Calls that change nothing say so (false, 0): that is how a run learns that a
// fault did nothing.
type Target interface {
	// Topology lists nodes and clients, in a fixed order.
	Topology() Topology

	// Alive reports whether an incarnation of the endpoint is running, paused ones
	// included.
	Alive(name string) bool
	// Crash kills the process at this instant. What it had written and not synced
	// survives in the page cache. Clients may be crashed as well.
	Crash(name string) bool
	// PowerLoss kills the processes and drops a drawn part of what their disks had
	// not synced, all at this instant. It returns how many were alive.
	PowerLoss(nodes []string) int
	// Stop asks the process to end in order; it dies when it is done.
	Stop(name string) bool
	// Drain asks a node to get rid of what it serves, tell the others that it will be
	// gone for a while, and then to end in order.
	Drain(name string) bool
	// Start boots a new incarnation on what is left of the disk. It does nothing,
	// and returns false, when one lives, and for who has not joined or has left for good.
	Start(name string) bool

	// Pause freezes the process: its clocks go on, its events wait in line.
	Pause(name string) bool
	// Resume ends a pause.
	Resume(name string) bool
	// SetSpeed makes all work of the endpoint take factor times as long; 1 is normal.
	SetSpeed(name string, factor int64)

	// ClockOffset is the endpoint's wall clock less true time.
	ClockOffset(name string) time.Duration
	// StepClock makes the wall clock jump, forward or back. Mono does not jump.
	StepClock(name string, by time.Duration)
	// DriftClock makes both clocks run fast by ppm millionths (slow if negative).
	// Healing restores the rate and leaves the offset that came of it.
	DriftClock(name string, ppm int64) Effect
	// FreezeClock stops the wall clock. Healing lets it go on from where it stood. Of
	// these two at most one is in force at an endpoint at a time.
	FreezeClock(name string) Effect

	// Cut stops whatever endpoints of from send to endpoints of to. Nothing is said
	// about the other direction. Its count is the frames it kept back.
	Cut(from, to []string, mode CutMode) Effect
	// Degrade worsens every link from an endpoint of from to one of to. Its count
	// is the frames that it touched.
	Degrade(from, to []string, f LinkFault) Effect
	// Reset breaks every connection between an endpoint of a and one of b, and
	// returns how many there were.
	Reset(a, b []string) int64

	// Disk makes the node's disk misbehave. Its count is the operations it touched.
	Disk(node string, f DiskFault) Effect

	// Join makes a spare part of the system: from now on it can be started. It returns
	// false for who is part of it already.
	Join(name string) bool
	// LoseDisk is a loss of power after which nothing of the disk is left. What is
	// started there later is a new node on an empty disk. The disk is spared if the node has
	// not joined, or has left, or if data would be lost that no system could keep: the
	// answer says why, and is "" if the disk is lost.
	LoseDisk(name string) (spared string)
	// Decommission has everything that the node holds moved to others, however long
	// that takes, and then ends it for good. Its count is 1 once it has ended.
	Decommission(name string) Effect

	// Replicas lists the ranges of which the node holds a copy at this moment.
	Replicas(node string) []string
	// Leases lists the ranges of which the node holds the lease at this moment.
	Leases(node string) []string
	// Range asks something of a range. It may be refused, at once or later: the
	// effect's count is 1 once it was done, and there is nothing to heal.
	Range(name string, f RangeFault) Effect

	// OnProbe has fn called whenever any endpoint reaches a probe, inside the event
	// that reached it. fn may crash that very process: then the probe does not
	// return. It is called once a run.
	OnProbe(fn func(name string, p env.Probe))
}

// Effect is the handle of a fault in force.
type Effect interface {
	// Heal ends it. A second call does nothing.
	Heal()
	// Count is how often it made a difference so far. It stays readable after Heal.
	Count() int64
}

// Place is an endpoint and where it stands.
type Place struct {
	Name, Region, Zone string
}

// Topology is who is there. The order is fixed by whoever made it.
type Topology struct {
	Nodes, Clients []Place
	// Spares are nodes that are not there at the beginning, and may join.
	Spares []Place
	// Ranges is how many ranges there are at the beginning: r1, r2 and so on.
	Ranges int
}

// CutMode says what becomes of the messages that a cut keeps back.
type CutMode uint8

// The modes of a cut.
const (
	Drop CutMode = iota // lost
	Hold                // delivered when the cut heals
)

// LinkFault is what happens to frames of a degraded link. Zero fields change
// nothing. Rates are in millionths.
type LinkFault struct {
	Loss, Duplicate, Reorder, Corrupt int64         // share of frames, ppm
	Delay, Jitter                     time.Duration // added to each frame: fixed, and drawn from 0 to Jitter
	Bandwidth                         int64         // bytes a second; 0: no cap
}

// DiskKind is a way in which a disk misbehaves.
type DiskKind uint8

// The kinds of disk faults.
const (
	DiskSlow       DiskKind = iota // every operation takes Factor times as long
	DiskStall                      // nothing completes until healed
	DiskFull                       // writes that need space fail
	DiskWriteError                 // a write fails, at Rate
	DiskSyncError                  // a sync fails, at Rate; what it covered may be lost
)

// DiskFault is a DiskKind with its parameters.
type DiskFault struct {
	Kind   DiskKind
	Factor int64 // of DiskSlow, at least 2
	Rate   int64 // of the errors, ppm
}

// RangeKind is what can be asked of a range.
type RangeKind uint8

// The kinds of requests.
const (
	MoveLease  RangeKind = iota // the holder gives its lease to another replica
	MoveLeader                  // the leader hands over to another replica, which it lets catch up
	Campaign                    // another replica stands for election at once, and may lose it
	CutLog                      // the log is truncated as far as may be, whoever lags
	Divide                      // the range is divided where it is most even
	Unite                       // the range is merged with its neighbour to the right
	MoveCopy                    // a copy goes to a node that has none
	Scatter                     // all copies but one go elsewhere, and the lease with them
)

// RangeFault is a RangeKind with its parameters.
type RangeFault struct {
	Kind RangeKind
	// To is the node that takes over, of MoveCopy the one that gets the copy. "": the next
	// in turn, which for MoveLeader and Campaign is never the node that holds the lease.
	To string
}
