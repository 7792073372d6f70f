package nemesis

import (
	"math/rand/v2"
	"slices"
)

// maxSpread bounds the combinations that Spread looks at.
const maxSpread = 20_000

// Spread lists the sets of n nodes that a placement may give a range which
// spreads copies over as many regions, then zones, as there are. It lists all of
// them while there are few, and beyond that a thousand, always the same.
func Spread(topo Topology, n int) [][]string {
	n = min(n, len(topo.Nodes))
	if n <= 0 {
		return nil
	}
	s := &spread{nodes: topo.Nodes, n: n, best: -1}
	if combinations(len(topo.Nodes), n) <= maxSpread {
		s.all(0, nil)
	} else {
		s.sample(1000)
	}
	return s.sets
}

// combinations is how many sets of k of n there are, or more than maxSpread.
func combinations(n, k int) int {
	c := 1
	for i := range k {
		c = c * (n - i) / (i + 1)
		if c > maxSpread {
			return c
		}
	}
	return c
}

// spread collects the sets with the best score.
type spread struct {
	nodes []Place
	n     int
	best  int
	sets  [][]string
}

// all tries every set.
func (s *spread) all(from int, chosen []Place) {
	if len(chosen) == s.n {
		s.offer(chosen)
		return
	}
	for i := from; i < len(s.nodes); i++ {
		s.all(i+1, append(chosen[:len(chosen):len(chosen)], s.nodes[i]))
	}
}

// sample builds sets by taking, in an order drawn from a fixed stream, whoever
// adds a region, then whoever adds a zone, then anybody.
func (s *spread) sample(count int) {
	rng := rand.New(rand.NewPCG(1, 1))
	order := slices.Clone(s.nodes)
	for range count {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var chosen []Place
		for _, fits := range []func(a, b Place) bool{
			func(a, b Place) bool { return a.Region != b.Region },
			func(a, b Place) bool { return a.Region != b.Region || a.Zone != b.Zone },
			func(a, b Place) bool { return a.Name != b.Name },
		} {
			for _, p := range order {
				clash := slices.ContainsFunc(chosen, func(q Place) bool { return !fits(p, q) })
				if !clash && len(chosen) < s.n {
					chosen = append(chosen, p)
				}
			}
		}
		s.offer(chosen)
	}
}

// offer keeps a set if none kept is better, and drops those that are worse. A set
// is the better the more of its pairs lie in different regions, then in different
// zones.
func (s *spread) offer(set []Place) {
	var names []string
	score := 0
	for i, p := range set {
		names = append(names, p.Name)
		for _, q := range set[:i] {
			switch {
			case p.Region != q.Region:
				score += 1001
			case p.Zone != q.Zone:
				score++
			}
		}
	}
	if score > s.best {
		s.best, s.sets = score, nil
	}
	if score == s.best {
		s.sets = append(s.sets, names)
	}
}
