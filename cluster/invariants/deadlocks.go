package invariants

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"simulacrum/checker"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim"
)

// waitEdge is one transaction that waits for another.
type waitEdge struct{ pusher, pushee kv.TxnID }

// deadlocks follows which transactions wait for each other in a circle, over all nodes
// at once, as no node can. The database finds such circles by messages and breaks them;
// one that stays is one that it did not find.
type deadlocks struct {
	since map[waitEdge]sim.Time // of edges that were in a circle at every look since
	looks int64
	seen  int64 // circles' edges, summed over looks
	worst time.Duration
	what  waitEdge
	at    sim.Time
}

// LookForDeadlocks takes notice of who waits for whom at this moment. It is for times at
// which all nodes can reach each other.
func (w *Watcher) LookForDeadlocks() {
	d, now := &w.deadlocks, w.cluster.Sim().Now()
	d.looks++
	before := d.since
	d.since = map[waitEdge]sim.Time{}
	for _, e := range circular(w.waits()) {
		d.seen++
		from, known := before[e]
		if !known {
			from = now
		}
		d.since[e] = from
		if lasts := time.Duration(now - from); lasts > d.worst {
			d.worst, d.what, d.at = lasts, e, now
		}
	}
}

// waits lists the pushes that wait at the records of all ranges, in the order of nodes,
// ranges and arrival.
func (w *Watcher) waits() (edges []waitEdge) {
	for _, n := range w.cluster.Nodes() {
		s := n.Server()
		if s == nil {
			continue
		}
		s.Store().VisitReplicas(func(r *replica.Replica) bool {
			r.Requests().Waits().Visit(func(pusher, pushee kv.TxnID) {
				edges = append(edges, waitEdge{pusher, pushee})
			})
			return true
		})
	}
	return edges
}

// circular are the edges from whose end one comes back to their beginning.
func circular(edges []waitEdge) (in []waitEdge) {
	slices.SortFunc(edges, func(a, b waitEdge) int {
		if c := bytes.Compare(a.pusher[:], b.pusher[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.pushee[:], b.pushee[:])
	})
	edges = slices.Compact(edges)
	first := func(id kv.TxnID) int {
		i, _ := slices.BinarySearchFunc(edges, id, func(e waitEdge, id kv.TxnID) int { return bytes.Compare(e.pusher[:], id[:]) })
		return i
	}
	reaches := func(from, to kv.TxnID) bool {
		visited, stack := map[kv.TxnID]bool{from: true}, []kv.TxnID{from}
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if at == to {
				return true
			}
			for i := first(at); i < len(edges) && edges[i].pusher == at; i++ {
				if next := edges[i].pushee; !visited[next] {
					visited[next] = true
					stack = append(stack, next)
				}
			}
		}
		return false
	}
	for _, e := range edges {
		if reaches(e.pushee, e.pusher) {
			in = append(in, e)
		}
	}
	return in
}

// Deadlocks is the verdict: no two transactions wait for each other, directly or not, for
// longer than the bound.
func (w *Watcher) Deadlocks(bound time.Duration) checker.Verdict {
	d := &w.deadlocks
	v := checker.Verdict{Check: "deadlocks", Valid: checker.OK, Counts: []checker.Count{
		{Name: "looks", N: d.looks}, {Name: "waits in a circle", N: d.seen}, {Name: "longest, ms", N: d.worst.Milliseconds()},
	}}
	if d.worst > bound {
		v.Valid = checker.Violation
		v.Summary = fmt.Sprintf("transaction %s waited for %s, and that one for it, for at least %s", kv.FormatTxnID(d.what.pusher), kv.FormatTxnID(d.what.pushee), d.worst)
		v.Details = []string{fmt.Sprintf("seen last at %s; a circle of waiting is to be broken within %s", d.at, bound)}
		return v
	}
	v.Summary = fmt.Sprintf("no circle of waiting was seen for longer than %s", d.worst)
	return v
}
