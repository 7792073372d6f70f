package placement

import (
	"fmt"
	"slices"
)

// Goal is the greatest failure domain whose loss must leave a range available.
type Goal uint8

// The goals.
const (
	SurviveZone   Goal = iota // one zone: voters in the zones of one region
	SurviveRegion             // one region: voters in at least three, none with a majority
)

// String is the goal's name.
func (g Goal) String() string {
	return [...]string{"zone", "region"}[g]
}

// The keys of the tiers that goals speak of.
const (
	RegionKey = "region"
	ZoneKey   = "zone"
)

// MultiRegion is a wish in terms of regions, as a database or table states it.
type MultiRegion struct {
	Home       string   // where leaseholders and, unless a region must be survived, all voters are
	Regions    []string // of the database, Home among them
	Goal       Goal
	Restricted bool // nothing of the range may rest outside Home: domiciling
}

// Config expresses the wish in numbers of replicas and constraints; what does not
// depend on it is taken from base.
//
// To survive a zone three voters are in the home region, where diversity spreads them
// over zones, and each other region has a non-voter for local reads of the past. To
// survive a region five voters are spread over at least three regions: two at home, so
// that a failure of one node does not move the lease abroad, and by diversity at most
// two anywhere else.
func (m MultiRegion) Config(base Config) (Config, error) {
	if !slices.Contains(m.Regions, m.Home) {
		return base, fmt.Errorf("home region %q is not among the regions %q; add it, or choose another home", m.Home, m.Regions)
	}
	for i, r := range m.Regions {
		if !isWord(r) || slices.Contains(m.Regions[:i], r) {
			return base, fmt.Errorf("regions %q: %q is no name, or stands twice", m.Regions, r)
		}
	}
	c, home := base, m.in(m.Home)
	c.LeasePreferences = [][]Constraint{home}
	switch {
	case m.Goal == SurviveRegion && m.Restricted:
		return base, fmt.Errorf("what must rest in %s alone cannot survive its loss; choose the survival goal zone, or lift the restriction", m.Home)
	case m.Goal == SurviveRegion && len(m.Regions) < 3:
		return base, fmt.Errorf("surviving a region takes voters in three regions, there are %d; add regions, or choose the survival goal zone", len(m.Regions))
	case m.Goal == SurviveRegion:
		c.Voters = 5
		c.Replicas = max(c.Voters, len(m.Regions)+1) // one in each region, and the second at home
		c.Constraints = m.each()
		c.VoterConstraints = []Conjunction{{Replicas: 2, Constraints: home}}
	case m.Restricted:
		c.Voters, c.Replicas = 3, 3
		c.Constraints = []Conjunction{{Constraints: home}}
		c.VoterConstraints = nil
	default:
		c.Voters, c.Replicas = 3, 3+len(m.Regions)-1
		c.Constraints = m.each()
		c.VoterConstraints = []Conjunction{{Constraints: home}}
	}
	return c, c.Validate()
}

func (m MultiRegion) in(region string) []Constraint {
	return []Constraint{{Key: RegionKey, Value: region}}
}

// each asks for a replica in every region.
func (m MultiRegion) each() []Conjunction {
	out := make([]Conjunction, len(m.Regions))
	for i, r := range m.Regions {
		out[i] = Conjunction{Replicas: 1, Constraints: m.in(r)}
	}
	return out
}
