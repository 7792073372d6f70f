package graph

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"simulacrum/checker/history"
)

// The edges of time, of which most are left out, reach exactly what all pairs
// together reach: few writers and many readers, unknown outcomes, reads of the
// past, clocks within bounds and not.
func TestTimeEdgesReachWhatAllPairsReach(t *testing.T) {
	gathered := 0
	for seed := uint64(1); seed <= 200; seed++ {
		r := rand.New(rand.NewPCG(seed, 8))
		h := &history.History{}
		const n = 130
		writers := 2 + r.IntN(30)
		for i := range n {
			op := history.Op{ID: i, Client: fmt.Sprint("c", r.IntN(20)), Call: int64(i) * 10, Outcome: history.OK}
			op.Return = op.Call + r.Int64N(200)
			for j := 1 + r.IntN(2); j > 0; j-- {
				a := history.Action{F: history.Read, Key: fmt.Sprint("k", r.IntN(2)), Result: history.List()}
				if r.IntN(100) < writers {
					a = history.Action{F: history.Append, Key: a.Key, Arg: history.Int(int64(10*i + j))}
				}
				op.Actions = append(op.Actions, a)
			}
			switch r.IntN(8) {
			case 0:
				op.Outcome = history.Info
			case 1:
				op.Stale = op.Actions[0].F == history.Read && len(op.Actions) == 1
			}
			h.Ops = append(h.Ops, op)
		}
		o := Options{SkewExceeded: seed%3 == 0, NoSessions: seed%2 == 0}
		a := newAnalysis(h, &o, "list-append")
		a.internLists()
		for i := range a.in {
			a.in[i] = true
		}
		a.timeEdges()
		got := closure(a.edges.build(a.n + a.aux))
		gathered += a.aux
		var all edgeList
		for i := int32(0); i < n; i++ {
			for j := int32(0); j < n; j++ {
				if _, ok := a.joined(i, j); ok && i != j {
					all.add(i, j, RealTime)
				}
			}
		}
		want := closure(all.build(n))
		for i := range n {
			for j := range n {
				if got[i][j] != want[i][j] {
					t.Fatalf("seed %d: from %d to %d: reached %v, by all pairs %v\n%s\n%s", seed, i, j, got[i][j], want[i][j], h.Ops[i].String(), h.Ops[j].String())
				}
			}
		}
	}
	if gathered == 0 {
		t.Error("no auxiliary node stood for many readers")
	}
}

// closure is what each node reaches.
func closure(g *csr) [][]bool {
	n := len(g.at) - 1
	out := make([][]bool, n)
	for v := range out {
		out[v] = make([]bool, n)
		todo := []uint32{uint32(v)}
		for len(todo) > 0 {
			u := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, e := range g.of(u) {
				if w := e >> kindBits; !out[v][w] {
					out[v][w] = true
					todo = append(todo, w)
				}
			}
		}
	}
	return out
}

// Components are those of the definition: two nodes are in one when each reaches
// the other, and component numbers rise along edges.
func TestComponents(t *testing.T) {
	for seed := uint64(1); seed <= 2000; seed++ {
		r := rand.New(rand.NewPCG(seed, 9))
		n := 1 + r.IntN(12)
		var l edgeList
		for m := r.IntN(3 * n); m > 0; m-- {
			l.add(int32(r.IntN(n)), int32(r.IntN(n)), WW)
		}
		g := l.build(n)
		reach, c := closure(g), components(g)
		cyclic := map[uint32]bool{}
		for v := range n {
			for w := range n {
				if same := v == w || reach[v][w] && reach[w][v]; same != (c.of[v] == c.of[w]) {
					t.Fatalf("seed %d: nodes %d and %d: together %v, components %v", seed, v, w, same, c.of)
				}
				if reach[v][w] && c.of[v] > c.of[w] {
					t.Fatalf("seed %d: an edge leads down from %d to %d", seed, v, w)
				}
				if v != w && c.of[v] == c.of[w] {
					cyclic[c.of[v]] = true
				}
			}
		}
		if len(cyclic) != c.cyclic || len(c.members()) != c.cyclic {
			t.Fatalf("seed %d: %d cyclic components counted, %d are", seed, c.cyclic, len(cyclic))
		}
	}
}
