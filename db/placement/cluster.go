package placement

import (
	"slices"
	"time"

	"simulacrum/db/kv"
)

// RoundTrip is how long a message and its answer take between two places, either way:
// between everything that has the tiers of A and everything that has those of B.
type RoundTrip struct {
	A, B Locality
	Time time.Duration
}

// Cluster is what one observer knows of all stores: the state that decisions about
// ranges have in common. It is made once for many decisions, belongs to one caller, and
// changes only by Apply.
type Cluster struct {
	Settings Settings
	stores   []Store   // by ID
	places   []place   // of each store
	shared   [][]uint8 // [a][b]: leading tiers that two localities have in common
	trips    []RoundTrip
	nodes    int // that count for the replicas which are possible
	balance  balance
	conform  map[*Config]*conformance
}

// place is a store's locality by number: stores with the same one share it.
type place struct{ locality, tiers int }

// NewCluster makes the state from what is known. Later statements about a store of the
// same ID are ignored. Where no round trip is known, it is guessed by the number of
// tiers that two places share.
func NewCluster(settings Settings, stores []Store, trips []RoundTrip) *Cluster {
	c := &Cluster{Settings: settings, stores: slices.Clone(stores), trips: trips, conform: map[*Config]*conformance{}}
	slices.SortStableFunc(c.stores, func(a, b Store) int { return int(a.ID) - int(b.ID) })
	c.stores = slices.CompactFunc(c.stores, func(a, b Store) bool { return a.ID == b.ID })
	c.place()
	nodes := make([]kv.NodeID, 0, len(c.stores))
	for i := range c.stores {
		if s := &c.stores[i]; s.Status != Decommissioning && s.Status != Decommissioned {
			nodes = append(nodes, s.Node)
		}
	}
	slices.Sort(nodes)
	c.nodes = len(slices.Compact(nodes))
	c.balance.init(c)
	return c
}

// place numbers the different localities and compares each pair of them once, since
// decisions compare stores in pairs, and there are fewer places than stores.
func (c *Cluster) place() {
	byText := map[string]int{}
	var all []Locality
	c.places = make([]place, len(c.stores))
	for i := range c.stores {
		l := c.stores[i].Locality
		text := l.String()
		n, ok := byText[text]
		if !ok {
			n = len(all)
			byText[text] = n
			all = append(all, l)
		}
		c.places[i] = place{n, len(l)}
	}
	c.shared = make([][]uint8, len(all))
	for i, a := range all {
		c.shared[i] = make([]uint8, len(all))
		for j, b := range all {
			c.shared[i][j] = uint8(a.shared(b))
		}
	}
}

// Stores are the stores, by ID, as they were stated, with what Apply changed.
func (c *Cluster) Stores() []Store {
	out := slices.Clone(c.stores)
	for i := range out {
		c.balance.held[i].fill(&out[i])
	}
	return out
}

// find is the index of a store, or -1.
func (c *Cluster) find(id kv.StoreID) int {
	i, ok := slices.BinarySearchFunc(c.stores, id, func(s Store, id kv.StoreID) int { return int(s.ID) - int(id) })
	if !ok {
		return -1
	}
	return i
}

// Store is what is known of a store.
func (c *Cluster) Store(id kv.StoreID) (Store, bool) {
	i := c.find(id)
	if i < 0 {
		return Store{}, false
	}
	s := c.stores[i]
	c.balance.held[i].fill(&s)
	return s, true
}

// diversity is the diversity of two stores by index.
func (c *Cluster) diversity(a, b int) int64 {
	pa, pb := c.places[a], c.places[b]
	return apart(int(c.shared[pa.locality][pb.locality]), pa.tiers, pb.tiers, c.stores[a].Node == c.stores[b].Node, a == b)
}

// The guesses of round trips between places that share no tier, one, or more.
const (
	guessRegions = 60 * time.Millisecond
	guessZones   = time.Millisecond
	guessNear    = 200 * time.Microsecond
)

// roundTrip is the time between two places: of the statements that match the one
// with the most tiers, else a guess.
func (c *Cluster) roundTrip(from, to Locality) time.Duration {
	best, found := -1, time.Duration(0)
	for i := range c.trips {
		t := &c.trips[i]
		if n := len(t.A) + len(t.B); n > best && (from.has(t.A) && to.has(t.B) || from.has(t.B) && to.has(t.A)) {
			best, found = n, t.Time
		}
	}
	if best >= 0 {
		return found
	}
	switch from.shared(to) {
	case 0:
		return guessRegions
	case 1:
		return guessZones
	}
	return guessNear
}

// conformance is which conjunctions of a config each store satisfies, as bits: those
// on all replicas first, then those on voters.
type conformance struct {
	bits       []uint64 // by store
	all, voter rules
}

// rules are conjunctions, and which bits they have.
type rules struct {
	list   []Conjunction
	shift  int
	strict bool // each replica has to satisfy one of them, since they speak of all
}

func (c *Cluster) conformance(cfg *Config) *conformance {
	if f := c.conform[cfg]; f != nil {
		return f
	}
	f := &conformance{bits: make([]uint64, len(c.stores)),
		all:   rules{list: cfg.Constraints, strict: len(cfg.Constraints) > 0 && total(cfg.Constraints) == cfg.Replicas},
		voter: rules{list: cfg.VoterConstraints, shift: len(cfg.Constraints), strict: len(cfg.VoterConstraints) > 0 && total(cfg.VoterConstraints) == cfg.NumVoters()},
	}
	for i := range c.stores {
		for n, j := range slices.Concat(f.all.list, f.voter.list) {
			if j.Holds(&c.stores[i]) {
				f.bits[i] |= 1 << n
			}
		}
	}
	c.conform[cfg] = f
	return f
}

// admits reports that a store with the given bits may have a replica at all.
func (r *rules) admits(bits uint64) bool {
	some := !r.strict
	for n, j := range r.list {
		holds := bits>>(r.shift+n)&1 == 1
		if j.Replicas == 0 && !holds {
			return false
		}
		some = some || holds
	}
	return some
}

// violations counts what is missing, and what may not be: for each conjunction the
// replicas that it lacks, and each replica that is not admitted.
func (r *rules) violations(bits []uint64) int {
	n := 0
	if len(r.list) == 0 {
		return 0
	}
	for k, j := range r.list {
		have := 0
		for _, b := range bits {
			have += int(b >> (r.shift + k) & 1)
		}
		n += max(0, j.Replicas-have)
	}
	for _, b := range bits {
		if !r.admits(b) {
			n++
		}
	}
	return n
}
