package placement

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/kv"
)

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// drawWorld draws a cluster and ranges in any legal state: replicas on different nodes,
// as many as fit in a joint configuration's aftermath, stores of every status.
func drawWorld(t *rapid.T, healthy bool) *world {
	names := []string{"us-east", "us-west", "europe-west", "asia"}[:rapid.IntRange(1, 4).Draw(t, "regions")]
	w := &world{settings: DefaultSettings()}
	w.settings.Ranges.Min = rapid.Int64Range(1, 2).Draw(t, "rangeMin")
	w.settings.Leases.Min = rapid.Int64Range(1, 5).Draw(t, "leaseMin")
	w.stores = regular(names, rapid.IntRange(1, 3).Draw(t, "zones"), rapid.IntRange(1, 3).Draw(t, "nodes"))
	for i := range w.stores {
		s := &w.stores[i]
		if i > 0 && rapid.IntRange(0, 9).Draw(t, "second disk") == 0 { // a disk of the node before
			s.Node, s.Locality = w.stores[i-1].Node, w.stores[i-1].Locality
		}
		if !healthy && rapid.IntRange(0, 3).Draw(t, "ill") == 0 {
			s.Status = rapid.SampledFrom([]Status{Suspect, Draining, Decommissioning, Unavailable, Dead, Decommissioned}).Draw(t, "status")
			s.Throttled = rapid.Bool().Draw(t, "throttled")
		}
		if rapid.IntRange(0, 3).Draw(t, "ssd") == 0 {
			s.Attributes = []string{"ssd"}
		}
		s.Capacity = rapid.SampledFrom([]int64{200, 400, 1000, 0}).Draw(t, "capacity")
	}
	cfgs := drawConfigs(t, names)
	for range rapid.IntRange(1, 14).Draw(t, "ranges") {
		drawRange(t, w, rapid.SampledFrom(cfgs).Draw(t, "config"), names)
	}
	return w
}

func drawConfigs(t *rapid.T, names []string) []*Config {
	base := DefaultConfig()
	five := base
	five.Replicas = 5
	mixed := base
	mixed.Replicas, mixed.Voters = 5, 3
	ssd := base
	ssd.Constraints = []Conjunction{{1, []Constraint{{Value: "ssd"}}}}
	notHere := base
	notHere.Constraints = []Conjunction{{0, []Constraint{{true, RegionKey, names[0]}}}}
	out := []*Config{&base, &five, &mixed, &ssd, &notHere}
	for _, m := range []MultiRegion{{names[0], names, SurviveZone, false}, {names[len(names)-1], names, SurviveRegion, false}, {names[0], names, SurviveZone, true}} {
		if cfg, err := m.Config(base); err == nil {
			out = append(out, &cfg)
		}
	}
	return out
}

func drawRange(t *rapid.T, w *world, cfg *Config, names []string) {
	var ids, nonVoters []kv.StoreID
	seen := map[kv.NodeID]bool{}
	for _, i := range rapid.Permutation(indices(len(w.stores))).Draw(t, "order") {
		if s := w.stores[i]; !seen[s.Node] {
			seen[s.Node] = true
			ids = append(ids, s.ID)
		}
	}
	voters := rapid.IntRange(1, min(len(ids), cfg.Replicas+1)).Draw(t, "voters")
	if voters < len(ids) {
		nonVoters = ids[voters : voters+rapid.IntRange(0, min(len(ids)-voters, 3)).Draw(t, "nonvoters")]
	}
	r := w.newRange(cfg, ids[:voters], nonVoters, ids[0])
	if rapid.IntRange(0, 4).Draw(t, "unknown lease") == 0 {
		r.Leaseholder = 0
	}
	r.Load = Load{Requests: rapid.Int64Range(0, 400).Draw(t, "requests"), CPU: rapid.Int64Range(0, 1e8).Draw(t, "cpu"), Writes: rapid.Int64Range(0, 400).Draw(t, "writes")}
	r.Size = rapid.Int64Range(0, 60).Draw(t, "size")
	for _, n := range names {
		if rapid.Bool().Draw(t, "origin") {
			r.Origins = append(r.Origins, Origin{Locality{{RegionKey, n}}, rapid.Int64Range(0, 100).Draw(t, "from")})
		}
	}
	if rapid.IntRange(0, 6).Draw(t, "lagging") == 0 {
		r.Behind = []kv.StoreID{rapid.SampledFrom(ids[:voters]).Draw(t, "behind")}
	}
	w.count(r)
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// drawChance is a random source or none.
func drawChance(t *rapid.T) *rand.Rand {
	if rapid.Bool().Draw(t, "chance") {
		return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	}
	return nil
}

// settleWorld carries decisions out until none is left, one range after the other in a
// drawn order, and judges each.
func settleWorld(t *rapid.T, w *world, rng *rand.Rand) {
	w.see()
	limit := 0
	for _, r := range w.ranges {
		limit += 40 * (len(r.Desc.Replicas) + r.Config.Replicas)
	}
	steps := 0
	for moved := true; moved; {
		moved = false
		for _, i := range rapid.Permutation(indices(len(w.ranges))).Draw(t, "turn") {
			r := w.ranges[i]
			d := w.c.Decide(r, rng)
			if d.Action == NoAction {
				continue
			}
			moved = true
			if steps++; steps > limit {
				t.Fatalf("%d decisions for %d ranges, and another: %s", steps, len(w.ranges), d)
			}
			judgeTargets(t, w, r, d)
			before := measure(w, r)
			old := *r
			if err := w.enact(r, d); err != nil {
				t.Fatal(err)
			}
			judgeSafety(t, w, &old, r, d)
			judgeDescent(t, d, before, measure(w, r))
		}
	}
}

// judgeTargets looks at who is given something.
func judgeTargets(t *rapid.T, w *world, r *Range, d Decision) {
	for _, ch := range d.Changes {
		s, _ := w.c.Store(ch.Store)
		if ch.From == None && (s.Status != Live || s.Throttled || s.Capacity > 0 && (s.Used+r.Size)*1000 > s.Capacity*w.settings.FullRepair+s.Capacity) {
			t.Fatalf("%s: the target is %s", d, s.String())
		}
		if ch.From != None && ch.To == Voter && s.Status != Live {
			t.Fatalf("%s: promotes on %s", d, s.String())
		}
	}
	if d.LeaseTo != 0 {
		if s, _ := w.c.Store(d.LeaseTo); slices.Contains(r.Behind, d.LeaseTo) || !s.Status.Answers() || d.Action == TransferLease && s.Status > Suspect {
			t.Fatalf("%s: the lease goes to %s, behind %v", d, s.String(), r.Behind)
		}
	}
	if d.Action == NoAction || d.String() == "" || d.Reason.Cause == InPlace {
		t.Fatalf("%s without a reason", d)
	}
}

// judgeSafety compares descriptors: a node has one replica, and where a live voter
// goes, those who remain include a quorum that is up to date.
func judgeSafety(t *rapid.T, w *world, old, now *Range, d Decision) {
	nodes := map[kv.NodeID]bool{}
	voters, current, copies := 0, 0, 0
	for _, rep := range now.Desc.Replicas {
		if nodes[rep.NodeID] {
			t.Fatalf("%s puts two replicas on n%d: %s", d, rep.NodeID, now.Desc)
		}
		nodes[rep.NodeID] = true
		s, _ := w.c.Store(rep.StoreID)
		fresh := s.Status.Answers() && !slices.Contains(old.Behind, rep.StoreID)
		if rep.Type == kv.VoterFull {
			voters++
			if fresh {
				current++
			}
		}
		if fresh {
			copies++
		}
	}
	for _, rep := range old.Desc.Replicas {
		_, stays := now.Desc.Replica(rep.StoreID)
		if s, _ := w.c.Store(rep.StoreID); !stays && rep.Type == kv.VoterFull && s.Status.Answers() && (current <= voters/2 || copies == 0) {
			t.Fatalf("%s removes a live voter and leaves %d of %d: %s", d, current, voters, now.Desc)
		}
	}
	if a := w.c.Availability(now.Desc); !a.Available {
		t.Fatalf("%s makes the range unavailable: %s", d, a)
	}
}

// level is the state that decisions descend in, as far as one range can change it.
type level struct {
	need      [4]int // voters missing or too many, voters that are to leave, the same of non-voters
	drained   bool
	score     Score
	standing  standing
	imbalance [numDimensions]int64
}

func measure(w *world, r *Range) level {
	v := w.c.view(r)
	l := level{score: v.score(v.staying()), standing: v.standing(v.replicas, r.Leaseholder)}
	wantVoters, wantOthers := v.wanted()
	voters, _ := v.count(Voter, (*replica).current)
	others, _ := v.count(NonVoter, (*replica).current)
	l.need[0], l.need[2] = max(voters-wantVoters, wantVoters-voters), max(others-wantOthers, wantOthers-others)
	_, l.need[1] = v.count(Voter, func(r *replica) bool { return r.status.leaves() })
	_, l.need[3] = v.count(NonVoter, func(r *replica) bool { return r.status.leaves() })
	for _, rep := range v.replicas {
		l.drained = l.drained || rep.id == r.Leaseholder && rep.status == Draining
	}
	for d := range numDimensions {
		l.imbalance[d] = w.c.Imbalance(d)
	}
	return l
}

// judgeDescent fails unless the decision led down: this is why nothing goes round in
// circles, and no decision is undone by the next.
func judgeDescent(t *rapid.T, d Decision, was, is level) {
	if d.Action.Repairs() {
		if slices.Compare(is.need[:], was.need[:]) >= 0 {
			t.Fatalf("%s: from %+v to %+v", d, was, is)
		}
		return
	}
	if was.need != is.need {
		t.Fatalf("%s: from %+v to %+v", d, was, is)
	}
	order := is.score.Compare(was.score)
	if order == 0 && was.drained != is.drained {
		order = -1
		if is.drained {
			order = 1
		}
	} else if order == 0 {
		order = is.standing.compare(was.standing)
	}
	if order == 0 {
		less := false
		for k := range numDimensions {
			if is.imbalance[k] > was.imbalance[k] {
				t.Fatalf("%s: imbalance in %s grows", d, Dimension(k))
			}
			less = less || is.imbalance[k] < was.imbalance[k]
		}
		if less {
			order = -1
		}
	}
	if order >= 0 {
		t.Fatalf("%s leads nowhere: from %+v to %+v", d, was, is)
	}
}

// From any state decisions come to an end, each safe and none for nothing.
func TestDecisionsDescend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		settleWorld(t, w, drawChance(t))
		for _, r := range w.ranges {
			judgeRest(t, w, r)
		}
	})
}

// In a cluster of live stores ranges come to rest with the replicas that are wanted.
func TestHealthyClusterSatisfied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		for i := range w.stores {
			w.stores[i].Capacity = 0
		}
		for _, r := range w.ranges {
			r.Behind = nil
		}
		settleWorld(t, w, drawChance(t))
		for _, r := range w.ranges {
			judgeRest(t, w, r)
			v := w.c.view(r)
			if d := w.c.Repair(r, nil); d.Reason.Cause != InPlace {
				for i := range w.stores {
					s := &w.stores[i]
					if _, has := onNode(r.Desc, s.Node); !has && admitted(r.Config, s, kv.VoterFull) && admitted(r.Config, s, kv.NonVoter) {
						t.Fatalf("at rest with %s, but %s could take it", d, s.String())
					}
				}
			}
			if got := naiveViolations(w, r); got > 0 && feasible(w, r, v) {
				t.Fatalf("%s violates %d of %s", placement(r), got, r.Config)
			}
		}
	})
}

// feasible reports that each region which a config names has the nodes that it takes.
// The configs drawn ask for regions that are disjoint, or for little else.
func feasible(w *world, r *Range, v *view) bool {
	voters, others := v.wanted()
	if voters < r.Config.NumVoters() || others < r.Config.NumNonVoters() {
		return false
	}
	for _, j := range slices.Concat(r.Config.Constraints, r.Config.VoterConstraints) {
		n := j.Replicas
		if n == 0 {
			n = voters
		}
		nodes := map[kv.NodeID]bool{}
		for i := range w.stores {
			if j.Holds(&w.stores[i]) {
				nodes[w.stores[i].Node] = true
			}
		}
		if len(nodes) < n {
			return false
		}
	}
	return true
}

// judgeRest looks at a range for which nothing is decided: by counting anew, without
// the code under test, no single move of a voter to a store that may take it makes it
// better.
func judgeRest(t *rapid.T, w *world, r *Range) {
	v := w.c.view(r)
	if _, busy := v.unsettled(); busy {
		return
	}
	if voters, up := v.count(Voter, func(r *replica) bool { return r.status.Answers() }); up < voters || len(r.Behind) > 0 {
		return // nothing is moved without need
	}
	for _, rep := range v.replicas {
		if rep.status.leaves() || rep.status == Unavailable {
			return // of those that stay too few are known to the naive count
		}
	}
	now := naiveKey(w, r, r.Desc)
	for _, rep := range r.Desc.Replicas {
		if !w.store(rep.StoreID).Status.Answers() {
			continue
		}
		for i := range w.stores {
			s := &w.stores[i]
			held, has := onNode(r.Desc, s.Node)
			swap := has && held.StoreID == s.ID && held.Type == kv.NonVoter && rep.Type == kv.VoterFull
			lateral := has && held.StoreID == rep.StoreID && s.ID != rep.StoreID
			figures, _ := w.c.Store(s.ID)
			full := s.Capacity > 0 && (figures.Used+r.Size)*1000/s.Capacity > w.settings.FullRebalance
			if s.Status != Live || has && !swap && !lateral || !swap && (s.Throttled || full) || !admitted(r.Config, s, rep.Type) {
				continue
			}
			other := *r.Desc
			other.Replicas = slices.Clone(r.Desc.Replicas)
			for k := range other.Replicas {
				o := &other.Replicas[k]
				if swap && o.StoreID == s.ID {
					o.StoreID, o.NodeID = rep.StoreID, rep.NodeID
				} else if o.StoreID == rep.StoreID && o.ReplicaID == rep.ReplicaID {
					o.StoreID, o.NodeID = s.ID, s.Node
				}
			}
			if then := naiveKey(w, r, &other); slices.Compare(then, now) < 0 {
				t.Fatalf("%s is at rest with %v, but with s%d in place of s%d it would be %v", placement(r), now, s.ID, rep.StoreID, then)
			}
		}
	}
}

func onNode(desc *kv.RangeDescriptor, n kv.NodeID) (kv.ReplicaDescriptor, bool) {
	for _, r := range desc.Replicas {
		if r.NodeID == n {
			return r, true
		}
	}
	return kv.ReplicaDescriptor{}, false
}

// naiveKey is a score, smaller is better.
func naiveKey(w *world, r *Range, desc *kv.RangeDescriptor) []int64 {
	copied := *r
	copied.Desc = desc
	voterDiversity, diversity := int64(0), int64(0)
	for i, a := range desc.Replicas {
		for _, b := range desc.Replicas[:i] {
			d := naiveDiversity(w.store(a.StoreID), w.store(b.StoreID))
			diversity += d
			if a.Type == kv.VoterFull && b.Type == kv.VoterFull {
				voterDiversity += d
			}
		}
	}
	voters := violated(w, r.Config.VoterConstraints, r.Config.NumVoters(), desc, true)
	return []int64{int64(voters), int64(naiveViolations(w, &copied) - voters), -voterDiversity, -diversity}
}

func (w *world) store(id kv.StoreID) *Store {
	for i := range w.stores {
		if w.stores[i].ID == id {
			return &w.stores[i]
		}
	}
	return nil
}

// naiveDiversity writes node and disk as tiers and counts.
func naiveDiversity(a, b *Store) int64 {
	ta := append(slices.Clone(a.Locality), Tier{"node", fmt.Sprint(a.Node)}, Tier{"disk", fmt.Sprint(a.ID)})
	tb := append(slices.Clone(b.Locality), Tier{"node", fmt.Sprint(b.Node)}, Tier{"disk", fmt.Sprint(b.ID)})
	n := 0
	for n < min(len(ta), len(tb)) && ta[n] == tb[n] {
		n++
	}
	all := max(len(ta), len(tb))
	return int64(DiversityUnit * (all - n) / all)
}

func naiveViolations(w *world, r *Range) int {
	return violated(w, r.Config.Constraints, r.Config.Replicas, r.Desc, false) +
		violated(w, r.Config.VoterConstraints, r.Config.NumVoters(), r.Desc, true)
}

func violated(w *world, js []Conjunction, want int, desc *kv.RangeDescriptor, voters bool) int {
	n, sum := 0, 0
	for _, j := range js {
		have := 0
		for _, rep := range desc.Replicas {
			if voters && rep.Type != kv.VoterFull {
				continue
			}
			if j.Holds(w.store(rep.StoreID)) {
				have++
			} else if j.Replicas == 0 {
				n++
			}
		}
		n += max(0, j.Replicas-have)
		sum += j.Replicas
	}
	if sum == want && len(js) > 0 {
		for _, rep := range desc.Replicas {
			if (!voters || rep.Type == kv.VoterFull) && !slices.ContainsFunc(js, func(j Conjunction) bool { return j.Holds(w.store(rep.StoreID)) }) {
				n++
			}
		}
	}
	return n
}

// admitted reports that a store may have a replica of the type at all.
func admitted(cfg *Config, s *Store, typ kv.ReplicaType) bool {
	ok := func(js []Conjunction, want int) bool {
		sum, some := 0, false
		for _, j := range js {
			if j.Replicas == 0 && !j.Holds(s) {
				return false
			}
			some = some || j.Holds(s)
			sum += j.Replicas
		}
		return len(js) == 0 || sum < want || some
	}
	return ok(cfg.Constraints, cfg.Replicas) && (typ != kv.VoterFull || ok(cfg.VoterConstraints, cfg.NumVoters()))
}

// The order of stores and of the caller's lists has no influence.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		want := make([]string, len(w.ranges))
		for i, r := range w.ranges {
			want[i] = NewCluster(w.settings, w.stores, nil).Decide(r, nil).String()
		}
		shuffled := make([]Store, len(w.stores))
		for i, k := range rapid.Permutation(indices(len(w.stores))).Draw(t, "order") {
			shuffled[i] = w.stores[k]
		}
		c := NewCluster(w.settings, shuffled, nil)
		for i, r := range w.ranges {
			slices.SortFunc(r.Origins, func(a, b Origin) int { return cmp.Compare(a.Requests, b.Requests) })
			if got := c.Decide(r, nil).String(); got != want[i] {
				t.Fatalf("%s, in another order %s", want[i], got)
			}
		}
	})
}
