package placement

import (
	"cmp"
	"fmt"

	"simulacrum/db/kv"
)

// Origin is where requests of a range come from.
type Origin struct {
	Locality Locality // of the gateways
	Requests int64    // a second
}

// Range is one range, as its leaseholder knows it.
type Range struct {
	Desc        *kv.RangeDescriptor
	Config      *Config
	Leaseholder kv.StoreID // 0 if nobody is known to hold the lease
	Size        int64      // bytes of one replica
	Load        Load
	Origins     []Origin     // of the requests, in any order; may be missing
	Behind      []kv.StoreID // whose logs the Raft leader does not know to be up to date
}

// Role is what a replica on a store is meant to be.
type Role uint8

// The roles.
const (
	None Role = iota
	Voter
	NonVoter
	LearnerRole // on the way to something else, or left over
)

// String is the role's name.
func (r Role) String() string {
	return [...]string{"none", "voter", "non-voter", "learner"}[r]
}

func roleOf(t kv.ReplicaType) Role {
	switch t {
	case kv.NonVoter:
		return NonVoter
	case kv.Learner:
		return LearnerRole
	}
	return Voter
}

// replica is one replica of the range, with what is known of its store.
type replica struct {
	id     kv.StoreID
	node   kv.NodeID
	store  int // index, or -1 if the store is not known
	role   Role
	status Status
	behind bool
}

// current reports that the replica takes part in consensus and is up to date.
func (r *replica) current() bool { return r.status.Answers() && !r.behind }

// Score is how good a placement is, apart from load.
type Score struct {
	VoterViolations int // of voter constraints: replicas missing for them, and not admitted by them
	Violations      int // of constraints on all replicas
	// Diversity over all pairs of voters, and of all replicas, in DiversityUnits.
	VoterDiversity, Diversity int64

	Voters, Replicas int // that were compared
}

// Compare is negative if s is better than t: fewer violations, then more diversity.
// Voters come first, since their constraints are what availability and domiciling of
// writes rest on; what they cost the others is then repaired by moving non-voters.
func (s Score) Compare(t Score) int {
	return cmp.Or(cmp.Compare(s.VoterViolations, t.VoterViolations), cmp.Compare(s.Violations, t.Violations),
		cmp.Compare(t.VoterDiversity, s.VoterDiversity), cmp.Compare(t.Diversity, s.Diversity))
}

// String prints the violations, and diversity as a mean of pairs between 0 and 1.
func (s Score) String() string {
	out := "diversity " + meanDiversity(s.VoterDiversity, s.Voters)
	if s.Replicas > s.Voters {
		out += " (all " + meanDiversity(s.Diversity, s.Replicas) + ")"
	}
	if n := s.VoterViolations + s.Violations; n > 0 {
		out += fmt.Sprintf(", %d violated", n)
	}
	return out
}

func meanDiversity(sum int64, replicas int) string {
	pairs := int64(replicas * (replicas - 1) / 2)
	if pairs == 0 {
		return "-"
	}
	hundredths := (sum*100/DiversityUnit + pairs/2) / pairs
	return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
}

// view is a range seen against the cluster: what all steps of a decision look at.
type view struct {
	c        *Cluster
	r        *Range
	f        *conformance
	replicas []replica
}

func (c *Cluster) view(r *Range) *view {
	v := &view{c: c, r: r, f: c.conformance(r.Config), replicas: make([]replica, len(r.Desc.Replicas))}
	for i, d := range r.Desc.Replicas {
		rep := replica{id: d.StoreID, node: d.NodeID, store: c.find(d.StoreID), role: roleOf(d.Type), status: Unavailable}
		if rep.store >= 0 {
			rep.status = c.stores[rep.store].Status
		}
		for _, b := range r.Behind {
			rep.behind = rep.behind || b == d.StoreID
		}
		v.replicas[i] = rep
	}
	return v
}

// bits are the conjunctions that a replica satisfies. Of a store that is not known
// nothing is.
func (v *view) bits(r *replica) uint64 {
	if r.store < 0 {
		return 0
	}
	return v.f.bits[r.store]
}

// violations counts what the set violates.
func (v *view) violations(set []replica) (voter, all int) {
	if len(v.f.all.list)+len(v.f.voter.list) == 0 {
		return 0, 0
	}
	var room [2 * maxReplicas]uint64
	voters, others := room[:0:maxReplicas], room[maxReplicas:maxReplicas]
	for i := range set {
		if set[i].role == Voter {
			voters = append(voters, v.bits(&set[i]))
		} else {
			others = append(others, v.bits(&set[i]))
		}
	}
	voter = v.f.voter.violations(voters)
	return voter, v.f.all.violations(append(voters, others...))
}

// apart is the diversity of two replicas; a store that is not known adds none.
func (v *view) apart(a, b *replica) int64 {
	if a.store < 0 || b.store < 0 {
		return 0
	}
	return v.c.diversity(a.store, b.store)
}

// score judges a set of replicas.
func (v *view) score(set []replica) Score {
	s := Score{Replicas: len(set)}
	s.VoterViolations, s.Violations = v.violations(set)
	for i := range set {
		voter := set[i].role == Voter
		if voter {
			s.Voters++
		}
		for k := range i {
			d := v.apart(&set[i], &set[k])
			s.Diversity += d
			if voter && set[k].role == Voter {
				s.VoterDiversity += d
			}
		}
	}
	return s
}

// Score judges the placement that the range has: of the replicas that need not leave
// their stores.
func (c *Cluster) Score(r *Range) Score {
	v := c.view(r)
	return v.score(v.staying())
}

// staying are the replicas that are not on their way out: learners, and those whose
// stores are dead, decommissioned or being so, do not count for what is wanted.
func (v *view) staying() []replica {
	out := make([]replica, 0, len(v.replicas)+1)
	for _, r := range v.replicas {
		if r.role != LearnerRole && !r.status.leaves() {
			out = append(out, r)
		}
	}
	return out
}

// count is how many replicas have a role, and how many of them are as asked.
func (v *view) count(role Role, is func(*replica) bool) (all, some int) {
	for i := range v.replicas {
		if r := &v.replicas[i]; r.role == role {
			all++
			if is(r) {
				some++
			}
		}
	}
	return all, some
}

// wanted is how many voters and non-voters there should be: what the config says, or
// fewer where there are fewer nodes. An even number of voters survives no more
// failures than the odd one below it. Where nodes go one by one a range keeps trying for
// three voters, rather than to end with one.
func (v *view) wanted() (voters, nonVoters int) {
	cfg := v.r.Config
	voters = min(cfg.NumVoters(), v.c.nodes)
	if voters < cfg.NumVoters() && voters%2 == 0 {
		voters--
	}
	voters = max(voters, min(cfg.NumVoters(), 3))
	return voters, max(0, min(cfg.NumNonVoters(), v.c.nodes-voters))
}
