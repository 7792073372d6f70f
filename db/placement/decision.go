package placement

import (
	"fmt"
	"strings"

	"simulacrum/db/kv"
)

// Action is what to do about a range, in order of urgency, the most urgent first.
type Action uint8

// The actions. Those up to RemoveNonVoter repair; of the ranges that need one, a queue
// takes the one with the smallest Action first.
const (
	LeaveJoint    Action = iota // end the joint configuration that somebody left behind
	RemoveLearner               // that somebody left behind
	ReplaceDeadVoter
	AddVoter
	ReplaceDecommissioningVoter
	RemoveDeadVoter
	RemoveDecommissioningVoter
	RemoveVoter // there are more than wanted
	ReplaceDeadNonVoter
	AddNonVoter
	ReplaceDecommissioningNonVoter
	RemoveDeadNonVoter
	RemoveDecommissioningNonVoter
	RemoveNonVoter
	TransferLease
	Rebalance
	Split
	Merge
	NoAction
)

// String is the action in words.
func (a Action) String() string {
	return [...]string{"leave joint configuration", "remove learner", "replace dead voter", "add voter", "replace decommissioning voter",
		"remove dead voter", "remove decommissioning voter", "remove voter", "replace dead non-voter", "add non-voter",
		"replace decommissioning non-voter", "remove dead non-voter", "remove decommissioning non-voter", "remove non-voter",
		"transfer lease", "rebalance", "split", "merge", "nothing"}[a]
}

// Repairs reports that the range has replicas where, or as many as, it should not.
func (a Action) Repairs() bool { return a <= RemoveNonVoter }

// Change gives a store's replica another role; from or to None it is added or removed.
type Change struct {
	Store    kv.StoreID
	Node     kv.NodeID
	From, To Role
}

// String prints +s4 voter, -s1 voter, or s2 non-voter -> voter.
func (c Change) String() string {
	switch {
	case c.From == None:
		return fmt.Sprintf("+s%d %s", c.Store, c.To)
	case c.To == None:
		return fmt.Sprintf("-s%d %s", c.Store, c.From)
	}
	return fmt.Sprintf("s%d %s -> %s", c.Store, c.From, c.To)
}

// Cause says why a decision was made.
type Cause uint8

// The causes.
const (
	InPlace         Cause = iota // nothing to do
	NoQuorum                     // fewer voters answer than a quorum; only their return helps
	NoTarget                     // a replica is needed, and no store can take it
	QuorumAtRisk                 // removing a voter would leave fewer than a quorum that is up to date
	NoLeaseTarget                // the lease should move, and no voter can take it
	JointLeft                    // a joint configuration is in force
	LearnerLeft                  // a learner is in the descriptor
	StoreGone                    // dead or decommissioned
	StoreLeaves                  // decommissioning
	TooFew                       // replicas
	TooMany                      // replicas
	Constrained                  // constraints are violated less
	Diverse                      // replicas are farther apart
	Uneven                       // a store has too much of a dimension, or too little
	Drains                       // the leaseholder's node
	Preferred                    // by the lease preferences
	FollowsRequests              // nearer to where requests come from
	TooLarge                     // above the maximum size
	TooBusy                      // above the requests that one range should serve
	TooSmall                     // below the minimum size, as is the neighbour
	Misaligned                   // replicas are elsewhere than the left neighbour's
	Unmergeable                  // too small, but the merge is impossible for now
	ReplicaSilent                // so nothing is moved without need
)

// String is the cause in words.
func (c Cause) String() string {
	return [...]string{"in place", "no quorum", "no store can take it", "the quorum would be at risk", "no voter can take the lease",
		"a joint configuration is in force", "a learner was left behind", "the store is gone", "the store is being decommissioned",
		"too few replicas", "too many replicas", "violated constraints", "diversity", "load or space", "the node drains",
		"lease preference", "nearer to the requests", "too large", "too many requests", "too small",
		"replicas elsewhere than the left neighbour's", "cannot merge for now", "a replica is silent"}[c]
}

// Exclusion says why a store could not be a target.
type Exclusion uint8

// The exclusions, the first that applies.
const (
	NotExcluded Exclusion = iota
	NotLive
	HasReplica // the node has one
	Violates   // constraints that each replica must satisfy
	IsThrottled
	NearlyFull
	numExclusions
)

// String is the exclusion in words.
func (e Exclusion) String() string {
	return [...]string{"", "not live", "on a node with a replica", "violating constraints", "throttled", "nearly full"}[e]
}

// Reason is why, with the facts.
type Reason struct {
	Cause Cause

	Voters, Current, Quorum int // in force, up to date among these, and needed
	Wanted                  int // replicas of the role in question

	Before, After Score // of a change of replicas

	// Of a decision for load: the dimension, and how much its source and target have.
	Dimension      Dimension
	Source, Target int64
	Mean           int64

	// Of a transfer: mean round trip of a request, and the place in the preferences.
	BeforeNanos, AfterNanos int64
	BeforeRank, AfterRank   int

	// Of a split or merge: the size or requests in question, and the limit.
	Amount, Limit int64

	Excluded [numExclusions]int // stores by the reason why they were no target
}

// Decision is what to do about a range, and why.
type Decision struct {
	Range  kv.RangeID
	Action Action
	// Changes are to be made as one: with more than one voter among them, by joint
	// consensus, the additions first.
	Changes []Change
	// LeaseTo is who must hold the lease before the changes end, since the leaseholder
	// is to leave: a voter that stays, or one that comes in. Of a transfer, the target.
	LeaseTo kv.StoreID
	Reason  Reason
}

// String prints the decision with its reason on one line.
func (d Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "r%d: %s", d.Range, d.Action)
	for i, c := range d.Changes {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s", c)
	}
	switch {
	case d.Action == TransferLease:
		fmt.Fprintf(&b, " to s%d", d.LeaseTo)
	case d.LeaseTo != 0:
		fmt.Fprintf(&b, ", lease to s%d", d.LeaseTo)
	}
	fmt.Fprintf(&b, " (%s)", d.Reason.text(d.Action))
	return b.String()
}

func (r *Reason) text(a Action) string {
	parts := []string{r.Cause.String()}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch r.Cause {
	case NoQuorum:
		add("%d of %d voters answer, a quorum is %d", r.Current, r.Voters, r.Quorum)
	case NoLeaseTarget:
		add("the others are draining, silent or behind")
	case QuorumAtRisk:
		add("%d of %d voters are up to date, a quorum is %d", r.Current, r.Voters, r.Quorum)
	case TooFew, TooMany:
		add("%d wanted", r.Wanted)
	case Uneven:
		if r.Dimension == Bytes {
			add("%s %d on a disk nearly full against %d", r.Dimension, r.Source, r.Target)
			break
		}
		add("%s %d against %d, mean %d", r.Dimension, r.Source, r.Target, r.Mean)
	case Preferred:
		add("preference %d instead of %d", r.AfterRank+1, r.BeforeRank+1)
	case FollowsRequests:
		add("%s a request instead of %s", millis(r.AfterNanos), millis(r.BeforeNanos))
	case TooLarge, TooBusy, TooSmall:
		add("%d, limit %d", r.Amount, r.Limit)
	case NoTarget:
		for e := NotLive; e < numExclusions; e++ {
			if n := r.Excluded[e]; n > 0 {
				add("%d %s", n, e)
			}
		}
	}
	if len(parts) > 0 && r.After != (Score{}) && (a.Repairs() || a == Rebalance) {
		if r.Before.String() == r.After.String() || r.Before == (Score{}) {
			add("%s", r.After)
		} else {
			add("%s -> %s", r.Before, r.After)
		}
	}
	return strings.Join(parts, "; ")
}

func millis(nanos int64) string {
	return fmt.Sprintf("%d.%d ms", nanos/1_000_000, nanos/100_000%10)
}
