package checker

import (
	"sort"

	"simulacrum/checker/history"
)

// bruteForce decides one key by trying everything: every subset of the operations
// of unknown outcome, every order that respects real time. It knows nothing of
// the sweep or of Porcupine, not even their way to read an operation. With
// byTime, acknowledged writes must come in the order of their timestamps.
func bruteForce(h *history.History, byTime bool) bool {
	var must, may []*history.Op
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case op.Outcome == history.OK, op.Outcome == history.Fail && op.Err == history.ConditionFailed:
			must = append(must, op)
		case op.Outcome == history.Info:
			may = append(may, op)
		}
	}
	for set := 0; set < 1<<len(may); set++ {
		ops := append([]*history.Op{}, must...)
		for i, op := range may {
			if set&(1<<i) != 0 {
				ops = append(ops, op)
			}
		}
		if bruteOrder(ops, make([]bool, len(ops)), len(ops), history.NoKey(), byTime, history.Timestamp{}) {
			return true
		}
	}
	return false
}

func bruteOrder(ops []*history.Op, done []bool, left int, state history.Value, byTime bool, last history.Timestamp) bool {
	if left == 0 {
		return true
	}
	for i, op := range ops {
		if done[i] || !bruteMayBeNext(ops, done, op) {
			continue
		}
		next, writes, ok := bruteApply(state, op)
		if !ok {
			continue
		}
		ts := last
		if byTime && writes && op.Outcome == history.OK {
			if op.TS.Compare(last) < 0 {
				continue
			}
			ts = op.TS
		}
		done[i] = true
		if bruteOrder(ops, done, left-1, next, byTime, ts) {
			return true
		}
		done[i] = false
	}
	return false
}

// bruteMayBeNext: no other operation had already ended when this one was called.
func bruteMayBeNext(ops []*history.Op, done []bool, op *history.Op) bool {
	for j, other := range ops {
		if !done[j] && other != op && other.Outcome != history.Info && other.Return < op.Call {
			return false
		}
	}
	return true
}

func bruteApply(v history.Value, op *history.Op) (history.Value, bool, bool) {
	failed := op.Outcome == history.Fail
	writes := false
	for _, a := range op.Actions {
		switch a.F {
		case history.Read:
			if op.Outcome != history.Info && !a.Result.Equal(v) {
				return v, false, false
			}
		case history.Write:
			v, writes = a.Arg, true
		case history.Delete:
			v, writes = history.NoKey(), true
		case history.CAS:
			if failed {
				if !a.Result.IsNone() {
					return v, false, a.Result.Equal(v)
				}
				return v, false, !a.Expect.Equal(v)
			}
			if !a.Expect.Equal(v) {
				return v, false, false
			}
			v, writes = a.Arg, true
		case history.Increment:
			n, _ := v.Int()
			by, _ := a.Arg.Int()
			v, writes = history.Int(n+by), true
			if op.Outcome == history.OK && !a.Result.Equal(v) {
				return v, false, false
			}
		}
	}
	return v, writes, true
}

// opKind is one kind of operation of the exhaustive test.
type opKind struct {
	name    string
	outcome history.Outcome
	err     string
	actions []history.Action
}

func act(f history.F, arg, expect, result history.Value) history.Action {
	return history.Action{F: f, Key: "x", Arg: arg, Expect: expect, Result: result}
}

func kinds() []opKind {
	none, gone := history.Value{}, history.NoKey()
	one, two := history.Int(1), history.Int(2)
	read := func(v history.Value) history.Action { return act(history.Read, none, none, v) }
	write := func(v history.Value) history.Action { return act(history.Write, v, none, none) }
	cas := func(from, to, got history.Value) history.Action { return act(history.CAS, to, from, got) }
	inc := func(got history.Value) history.Action { return act(history.Increment, one, none, got) }
	del := act(history.Delete, none, none, none)
	ok, fail, info := history.OK, history.Fail, history.Info
	cf := history.ConditionFailed
	return []opKind{
		{"r nothing", ok, "", []history.Action{read(gone)}},
		{"r 1", ok, "", []history.Action{read(one)}},
		{"r 2", ok, "", []history.Action{read(two)}},
		{"w 1", ok, "", []history.Action{write(one)}},
		{"w 2", ok, "", []history.Action{write(two)}},
		{"del", ok, "", []history.Action{del}},
		{"cas 1 2", ok, "", []history.Action{cas(one, two, none)}},
		{"w 1 ?", info, "", []history.Action{write(one)}},
		{"del ?", info, "", []history.Action{del}},
		{"cas 1 2 failed", fail, cf, []history.Action{cas(one, two, none)}},
		{"cas 1 2 found 2", fail, cf, []history.Action{cas(one, two, two)}},
		{"cas nothing 1", ok, "", []history.Action{cas(gone, one, none)}},
		{"cas 1 2 ?", info, "", []history.Action{cas(one, two, none)}},
		{"inc = 1", ok, "", []history.Action{inc(one)}},
		{"inc = 2", ok, "", []history.Action{inc(two)}},
		{"inc ?", info, "", []history.Action{inc(none)}},
		{"r 1, w 2", ok, "", []history.Action{read(one), write(two)}},
		{"w 1, r 1", ok, "", []history.Action{write(one), read(one)}},
	}
}

// intervals lists every way in which n operations can overlap: each result gives
// the call and return of each operation, all moments different.
func intervals(n int) [][][2]int64 {
	var out [][][2]int64
	cur := make([][2]int64, n)
	state := make([]int, n)
	var walk func(t int64)
	walk = func(t int64) {
		if t == int64(2*n) {
			out = append(out, append([][2]int64{}, cur...))
			return
		}
		for i := 0; i < n; i++ {
			switch state[i] {
			case 0:
				state[i], cur[i][0] = 1, t
				walk(t + 1)
				state[i] = 0
			case 1:
				state[i], cur[i][1] = 2, t
				walk(t + 1)
				state[i] = 1
			}
		}
	}
	walk(0)
	return out
}

// small builds a history of given kinds, intervals and timestamp ranks. A rank
// below 0 is no timestamp.
func small(ks []opKind, iv [][2]int64, rank []int) *history.History {
	h := &history.History{}
	for i, k := range ks {
		op := history.Op{Client: string(rune('a' + i)), Call: iv[i][0], Return: iv[i][1], Outcome: k.outcome, Err: k.err, Actions: k.actions}
		if rank[i] >= 0 && k.outcome != history.Info {
			op.TS = history.Timestamp{Wall: int64(rank[i] + 1)}
		}
		h.Ops = append(h.Ops, op)
	}
	sort.SliceStable(h.Ops, func(i, j int) bool { return h.Ops[i].Call < h.Ops[j].Call })
	for i := range h.Ops {
		h.Ops[i].ID = i
	}
	return h
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var out [][]int
	for _, p := range permutations(n - 1) {
		for at := 0; at <= len(p); at++ {
			q := append(append(append([]int{}, p[:at]...), n-1), p[at:]...)
			out = append(out, q)
		}
	}
	return out
}
