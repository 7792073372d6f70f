package graph_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
)

// broken is a history of a database that is wrong in every transaction.
func broken(n, keys int, each func(r *rand.Rand, i int, lists [][]int64) []history.Action) *history.History {
	r := rand.New(rand.NewPCG(1, 3))
	h := &history.History{}
	lists := make([][]int64, keys)
	for i := 0; i < n; i++ {
		op := history.Op{ID: i, Client: fmt.Sprint("c", i%30), Gateway: "n1", Call: int64(i) * 10, Return: int64(i)*10 + r.Int64N(300), Outcome: history.OK, Actions: each(r, i, lists)}
		if r.IntN(10) == 0 {
			op.Outcome, op.Return = history.Info, history.Never
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

// A verdict comes in good time however much is wrong: no square of readers and
// writers, no search of a huge component without end, no memory full of findings.
func TestBrokenThroughAndThrough(t *testing.T) {
	const n = 60_000
	key := func(k int) string { return fmt.Sprint("k", k) }
	add := func(k, i int) history.Action {
		return history.Action{F: history.Append, Key: key(k), Arg: history.Int(int64(i))}
	}
	see := func(k int, list []int64) history.Action {
		return history.Action{F: history.Read, Key: key(k), Result: history.List(list...)}
	}
	for _, c := range []struct {
		name string
		keys int
		each func(r *rand.Rand, i int, lists [][]int64) []history.Action
		want checker.Valid
	}{
		{"reads find nothing, ever", 1, func(r *rand.Rand, i int, _ [][]int64) []history.Action {
			return []history.Action{see(0, nil), add(0, i)}
		}, checker.Violation},
		{"blind writes to one key", 1, func(r *rand.Rand, i int, _ [][]int64) []history.Action {
			return []history.Action{add(0, i)}
		}, checker.Vacuous},
		{"reads of one key that nobody writes in time", 1, func(r *rand.Rand, i int, _ [][]int64) []history.Action {
			if i == n-1 {
				return []history.Action{add(0, i)}
			}
			return []history.Action{see(0, nil)}
		}, checker.OK},
		{"reads of any old state", 500, func(r *rand.Rand, i int, lists [][]int64) []history.Action {
			var out []history.Action
			for range 3 {
				k := r.IntN(len(lists))
				if r.IntN(2) == 0 {
					out = append(out, see(k, lists[k][:r.IntN(len(lists[k])+1)]))
					continue
				}
				lists[k] = append(lists[k], int64(4*i+len(out)))
				out = append(out, add(k, 4*i+len(out)))
			}
			return out
		}, checker.Violation},
		{"reads of nonsense", 20, func(r *rand.Rand, i int, _ [][]int64) []history.Action {
			return []history.Action{add(i%20, i), see((i+1)%20, []int64{r.Int64N(n), r.Int64N(n), r.Int64N(n)})}
		}, checker.Violation},
	} {
		h := broken(n, c.keys, c.each)
		began := time.Now()
		r := graph.ListAppend(h, graph.Options{})
		t.Logf("%-45s %5d ms: %s", c.name, time.Since(began).Milliseconds(), r.Verdict.Summary)
		if r.Verdict.Valid != c.want {
			t.Errorf("%s: %s", c.name, r.Verdict)
		}
		if len(r.Anomalies) > 2000 {
			t.Errorf("%s: %d anomalies kept", c.name, len(r.Anomalies))
		}
	}
}
