package graph

// condensed is the graph's strongly connected components.
type condensed struct {
	// of numbers each node's component so that along every edge between two
	// components the number rises.
	of []uint32
	// cyclic counts the components of more than one node.
	cyclic int
}

// components finds them by Tarjan's algorithm (1972) in Pearce's form (2016), which
// needs one number for each node, without recursion. Nodes are entered from the
// last: most edges go forward in time, so that little is open at once.
func components(g *csr) *condensed {
	n := len(g.at) - 1
	type frame struct {
		v, edge uint32
		root    bool
	}
	// rank is 0 before a node was met, its index or the least reached while it is
	// open, and its component from n on when it is done.
	rank := make([]uint32, n)
	var calls []frame
	var pending []uint32
	c := &condensed{of: rank}
	index, component := uint32(1), uint32(2*n)
	for start := n - 1; start >= 0; start-- {
		if rank[start] != 0 {
			continue
		}
		calls = append(calls, frame{uint32(start), g.at[start], true})
		rank[start] = index
		index++
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.v
			if f.edge < g.at[v+1] {
				w := g.out[f.edge] >> kindBits
				switch {
				case rank[w] == 0:
					rank[w] = index
					index++
					calls = append(calls, frame{w, g.at[w], true})
					continue // and look at this edge again when w has returned
				case rank[w] < rank[v]:
					rank[v] = rank[w]
					f.root = false
				}
				f.edge++
				continue
			}
			root := f.root
			calls = calls[:len(calls)-1]
			if !root {
				pending = append(pending, v)
				continue
			}
			index--
			size := 1
			for len(pending) > 0 && rank[v] <= rank[pending[len(pending)-1]] {
				w := pending[len(pending)-1]
				pending = pending[:len(pending)-1]
				rank[w] = component
				index--
				size++
			}
			rank[v] = component
			component--
			if size > 1 {
				c.cyclic++
			}
		}
	}
	return c
}

// serialOrder lists the transactions that take part so that every edge leads
// forward: components that all are single, by their numbers.
func (a *analysis) serialOrder(c *condensed) []int {
	total := uint32(len(c.of))
	place := make([]int32, 2*total+1)
	for i := range place {
		place[i] = -1
	}
	for t := range a.in {
		if a.in[t] {
			place[c.of[t]] = int32(t)
		}
	}
	order := make([]int, 0, a.n)
	for _, t := range place {
		if t >= 0 {
			order = append(order, a.id(t))
		}
	}
	return order
}

// members lists the nodes of each cyclic component, the component with the
// earliest transaction first.
func (c *condensed) members() [][]uint32 {
	size := make([]int32, 2*len(c.of)+1)
	for _, k := range c.of {
		size[k]++
	}
	slot := map[uint32]int{}
	var out [][]uint32
	for v, k := range c.of {
		if size[k] < 2 {
			continue
		}
		i, ok := slot[k]
		if !ok {
			i = len(out)
			slot[k] = i
			out = append(out, make([]uint32, 0, size[k]))
		}
		out[i] = append(out[i], uint32(v))
	}
	return out
}
