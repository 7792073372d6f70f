package placement

import (
	"time"

	"simulacrum/sim/env"
)

// The tunables of this room. Shares are in thousandths, since decisions are made in
// whole numbers, which every processor rounds alike.
var (
	knobDeadAfter     = env.Knob{Name: "store.dead.after", Default: int64(5 * time.Minute), Min: int64(5 * time.Second), Max: int64(time.Hour), Doc: "silence after which a store's replicas are replaced, ns"}
	knobSuspectFor    = env.Knob{Name: "store.suspect.for", Default: int64(30 * time.Second), Min: 0, Max: int64(5 * time.Minute), Doc: "how long a store that was silent is given nothing new, ns"}
	knobFullRepair    = env.Knob{Name: "placement.full.repair", Default: 950, Min: 500, Max: 990, Doc: "fullness above which a store gets no replica at all, thousandths"}
	knobFullRebalance = env.Knob{Name: "placement.full.rebalance", Default: 925, Min: 400, Max: 980, Doc: "fullness above which a store sheds replicas, thousandths"}
	knobRangeBand     = env.Knob{Name: "placement.band.ranges", Default: 50, Min: 10, Max: 500, Doc: "how far a store's replicas may be from the mean, thousandths"}
	knobRangeMin      = env.Knob{Name: "placement.band.ranges.min", Default: 2, Min: 1, Max: 50, Doc: "how many replicas that is at least"}
	knobLeaseBand     = env.Knob{Name: "placement.band.leases", Default: 50, Min: 10, Max: 500, Doc: "how far a store's leases may be from the mean, thousandths"}
	knobLeaseMin      = env.Knob{Name: "placement.band.leases.min", Default: 5, Min: 1, Max: 50, Doc: "how many leases that is at least"}
	knobLoadBand      = env.Knob{Name: "placement.band.load", Default: 100, Min: 20, Max: 1000, Doc: "how far a store's requests, CPU and writes may be from the mean, thousandths"}
	knobRequestsMin   = env.Knob{Name: "placement.band.requests.min", Default: 100, Min: 1, Max: 10_000, Doc: "how many requests a second that is at least"}
	knobCPUMin        = env.Knob{Name: "placement.band.cpu.min", Default: int64(50 * time.Millisecond), Min: int64(time.Millisecond), Max: int64(time.Second), Doc: "how much CPU a second that is at least, ns"}
	knobWritesMin     = env.Knob{Name: "placement.band.writes.min", Default: 100, Min: 1, Max: 10_000, Doc: "how many keys written a second that is at least"}
	knobFollowMin     = env.Knob{Name: "placement.follow.min", Default: 10, Min: 1, Max: 10_000, Doc: "requests a second of a range below which its lease does not follow them"}
	knobFollowBand    = env.Knob{Name: "placement.follow.band", Default: 100, Min: 10, Max: 1000, Doc: "how much farther from the requests than the best replica counts as near, thousandths"}
	knobFollowSlack   = env.Knob{Name: "placement.follow.slack", Default: int64(5 * time.Millisecond), Min: 0, Max: int64(100 * time.Millisecond), Doc: "and how much in round trip a request, ns"}
	knobSplitRequests = env.Knob{Name: "range.split.requests", Default: 2500, Min: 50, Max: 100_000, Doc: "requests a second above which a range splits"}
)

// Knobs lists the tunables of this room.
func Knobs() []*env.Knob {
	return []*env.Knob{&knobDeadAfter, &knobSuspectFor, &knobFullRepair, &knobFullRebalance, &knobRangeBand, &knobRangeMin,
		&knobLeaseBand, &knobLeaseMin, &knobLoadBand, &knobRequestsMin, &knobCPUMin, &knobWritesMin, &knobFollowMin,
		&knobFollowBand, &knobFollowSlack, &knobSplitRequests}
}

// Band is how far from the mean a store may be before something is moved: a share of
// the mean in thousandths, and not less than Min.
type Band struct{ Share, Min int64 }

// Settings are the values in force, read once for a store.
type Settings struct {
	DeadAfter, SuspectFor     time.Duration
	FullRepair, FullRebalance int64 // fullness of a disk, thousandths

	Ranges, Leases, Requests, CPU, Writes Band

	FollowMin   int64 // requests a second below which a lease does not follow them
	FollowBand  int64 // thousandths
	FollowSlack time.Duration

	SplitRequests int64 // requests a second of one range
}

// ReadSettings reads the values in force.
func ReadSettings(p env.Process) Settings {
	load := p.Knob(&knobLoadBand)
	return Settings{
		DeadAfter:     env.Duration(p, &knobDeadAfter),
		SuspectFor:    env.Duration(p, &knobSuspectFor),
		FullRepair:    p.Knob(&knobFullRepair),
		FullRebalance: p.Knob(&knobFullRebalance),
		Ranges:        Band{p.Knob(&knobRangeBand), p.Knob(&knobRangeMin)},
		Leases:        Band{p.Knob(&knobLeaseBand), p.Knob(&knobLeaseMin)},
		Requests:      Band{load, p.Knob(&knobRequestsMin)},
		CPU:           Band{load, p.Knob(&knobCPUMin)},
		Writes:        Band{load, p.Knob(&knobWritesMin)},
		FollowMin:     p.Knob(&knobFollowMin),
		FollowBand:    p.Knob(&knobFollowBand),
		FollowSlack:   env.Duration(p, &knobFollowSlack),
		SplitRequests: p.Knob(&knobSplitRequests),
	}
}

// DefaultSettings are the values that production uses.
func DefaultSettings() Settings { return ReadSettings(defaults{}) }

// defaults is a process that was told nothing.
type defaults struct{ env.Process }

func (defaults) Knob(k *env.Knob) int64 { return k.Default }
