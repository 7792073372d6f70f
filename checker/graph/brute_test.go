package graph_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/verify"
)

// brute decides by trying: is there a subset of the transactions of unknown outcome
// and an order of it with all acknowledged ones that explains every read and keeps
// sessions and keyed real time? It follows the definition word for word.
type brute struct {
	h    *history.History
	o    graph.Options
	must [][]bool // must[i][j]: i comes before j
	// versions, when set, is the order in which the store holds each key's values.
	versions map[string][]int64
}

func serializable(h *history.History, o graph.Options) bool {
	b := &brute{h: h, o: o, must: make([][]bool, len(h.Ops))}
	if o.Versions != nil {
		b.versions = map[string][]int64{}
	}
	for _, v := range o.Versions {
		n, _ := v.Value.Int()
		b.versions[v.Key] = append(b.versions[v.Key], n)
	}
	for i := range h.Ops {
		b.must[i] = make([]bool, len(h.Ops))
		for j := range h.Ops {
			b.must[i][j] = i != j && b.precedes(&h.Ops[i], &h.Ops[j])
		}
	}
	return b.extend(nil, make([]bool, len(h.Ops)), map[string][]int64{}, map[string]int{})
}

func (b *brute) precedes(x, y *history.Op) bool {
	if x.Outcome != history.OK || y.Outcome == history.Fail || x.Return >= y.Call || y.Stale {
		return false
	}
	if !x.Stale && x.Client == y.Client && x.Gateway == y.Gateway && !b.o.NoSessions {
		return true
	}
	for _, s := range x.Actions {
		for _, t := range y.Actions {
			tWrites := false
			for _, u := range y.Actions {
				tWrites = tWrites || u.Key == t.Key && u.F.Writes()
			}
			if s.Key != t.Key || !s.F.Writes() && !tWrites || y.Outcome == history.Info && !t.F.Writes() || b.o.SkewExceeded && !tWrites {
				continue
			}
			return true
		}
	}
	return false
}

// extend tries every next transaction. The state of a key is the list of all that
// was written; a register is the last element of it.
func (b *brute) extend(order []int, used []bool, state map[string][]int64, placed map[string]int) bool {
	done := true
	for i := range b.h.Ops {
		if !used[i] && b.h.Ops[i].Outcome == history.OK {
			done = false
		}
	}
	if done {
		for k, vs := range b.versions {
			if placed[k] != len(vs) {
				// What is left must come from transactions of unknown outcome.
				done = false
			}
		}
		if done {
			return true
		}
	}
	for i := range b.h.Ops {
		if used[i] || b.h.Ops[i].Outcome == history.Fail {
			continue
		}
		ok := true
		for _, j := range order {
			ok = ok && !b.must[i][j]
		}
		if !ok {
			continue
		}
		next, where, fits := b.apply(&b.h.Ops[i], state, placed)
		if !fits {
			continue
		}
		used[i] = true
		if b.extend(append(order, i), used, next, where) {
			return true
		}
		used[i] = false
	}
	return false
}

func (b *brute) apply(op *history.Op, state map[string][]int64, placed map[string]int) (map[string][]int64, map[string]int, bool) {
	next, where := map[string][]int64{}, map[string]int{}
	for k, v := range state {
		next[k] = v
	}
	for k, v := range placed {
		where[k] = v
	}
	last := map[string]int64{}
	for _, a := range op.Actions {
		now := next[a.Key]
		switch a.F {
		case history.Append, history.Write:
			n, _ := a.Arg.Int()
			next[a.Key] = append(append([]int64{}, now...), n)
			last[a.Key] = n
		case history.Read:
			if op.Outcome != history.OK || a.Result.IsNone() {
				continue
			}
			if n, ok := a.Result.Int(); ok {
				if len(now) == 0 || now[len(now)-1] != n {
					return nil, nil, false
				}
			} else if a.Result.IsAbsent() {
				if len(now) != 0 {
					return nil, nil, false
				}
			} else if !a.Result.Equal(history.List(now...)) {
				return nil, nil, false
			}
		}
	}
	if b.versions != nil {
		for k, n := range last {
			if vs := b.versions[k]; where[k] >= len(vs) || vs[where[k]] != n {
				return nil, nil, false
			}
			where[k]++
		}
	}
	return next, where, true
}

// shapesOf lists the transactions of up to most actions; results come later.
func shapesOf(most int, writes history.F, keys ...string) [][]history.Action {
	var single []history.Action
	for _, k := range keys {
		single = append(single, history.Action{F: history.Read, Key: k}, history.Action{F: writes, Key: k})
	}
	all := [][]history.Action{}
	last := [][]history.Action{nil}
	for n := 1; n <= most; n++ {
		var longer [][]history.Action
		for _, s := range last {
			for _, a := range single {
				longer = append(longer, append(append([]history.Action{}, s...), a))
			}
		}
		all = append(all, longer...)
		last = longer
	}
	return all
}

// arrange gives all ordered selections of the elements: what a list could read.
func arrange(elems []int64) []history.Value {
	out := []history.Value{history.List()}
	var grow func(prefix []int64)
	grow = func(prefix []int64) {
		for _, e := range elems {
			taken := false
			for _, p := range prefix {
				taken = taken || p == e
			}
			if !taken {
				p := append(append([]int64{}, prefix...), e)
				out = append(out, history.List(p...))
				grow(p)
			}
		}
	}
	grow(nil)
	return out
}

// histories calls each with every history of these transactions: every read with
// every result that it could have.
func histories(txns [][]history.Action, each func(*history.History)) {
	h := &history.History{}
	elems := map[string][]int64{}
	next := int64(1)
	var reads []*history.Action
	isList := false
	for i, t := range txns {
		h.Ops = append(h.Ops, history.Op{ID: i, Client: fmt.Sprint("c", i), Call: 0, Return: 100, Outcome: history.OK, Actions: append([]history.Action{}, t...)})
		for j := range h.Ops[i].Actions {
			a := &h.Ops[i].Actions[j]
			if a.F == history.Read {
				reads = append(reads, a)
				continue
			}
			isList = isList || a.F == history.Append
			a.Arg = history.Int(next)
			elems[a.Key] = append(elems[a.Key], next)
			next++
		}
	}
	candidates := make([][]history.Value, len(reads))
	for i, r := range reads {
		if isList {
			candidates[i] = arrange(elems[r.Key])
			continue
		}
		candidates[i] = []history.Value{history.NoKey()}
		for _, e := range elems[r.Key] {
			candidates[i] = append(candidates[i], history.Int(e))
		}
	}
	var fill func(i int)
	fill = func(i int) {
		if i == len(reads) {
			each(h)
			return
		}
		for _, c := range candidates[i] {
			reads[i].Result = c
			fill(i + 1)
		}
	}
	fill(0)
}

// compare judges one history by both means. Where the inference is complete they
// must agree; else only what is flagged must be wrong. All evidence is verified.
func compare(t *testing.T, h *history.History, o graph.Options, check func(*history.History, graph.Options) graph.Result, complete bool) bool {
	t.Helper()
	r := check(h, o)
	want := serializable(h, o)
	flagged := r.Verdict.Valid == checker.Violation
	if flagged == want && (flagged || complete) {
		t.Fatalf("brute force says serializable=%v, the graph says %s\n%s", want, r.Verdict, print(h))
	}
	if r.Verdict.Valid == checker.Unknown {
		t.Fatalf("undecided: %s\n%s", r.Verdict, print(h))
	}
	if r.Order != nil {
		if err := verify.Order(h, r.Order, o); err != nil {
			t.Fatalf("the certificate %v is wrong: %v\n%s", r.Order, err, print(h))
		}
	} else if r.Verdict.Valid == checker.OK && complete {
		t.Fatalf("no certificate\n%s", print(h))
	}
	for _, a := range r.Anomalies {
		if a.Cycle == nil {
			continue
		}
		if err := verify.Cycle(h, a.Cycle, o); err != nil {
			t.Fatalf("cycle not confirmed: %v\n%s\n%s", err, a.Text, print(h))
		}
	}
	return flagged
}

func print(h *history.History) string {
	var b strings.Builder
	for i := range h.Ops {
		b.WriteString(h.Ops[i].String() + "\n")
	}
	return b.String()
}

// disturb draws outcomes, times, clients and reads of the past.
func disturb(r *rand.Rand, h *history.History) *history.History {
	out := &history.History{Ops: append([]history.Op{}, h.Ops...)}
	for i := range out.Ops {
		op := &out.Ops[i]
		op.Call = r.Int64N(6)
		op.Return = op.Call + r.Int64N(4)
		op.Client = fmt.Sprint("c", r.IntN(4)*len(h.Ops)+i)
		if r.IntN(3) == 0 {
			op.Client = "c"
		}
		writes := false
		for _, a := range op.Actions {
			writes = writes || a.F.Writes()
		}
		switch x := r.IntN(8); {
		case x == 0:
			op.Outcome, op.Return = history.Info, history.Never
		case x == 1:
			op.Outcome = history.Fail
		case x == 2 && !writes:
			op.Stale = true
		}
	}
	return out
}

func exhaustive(t *testing.T, most int, writes history.F, check func(*history.History, graph.Options) graph.Result, complete bool) {
	r := rand.New(rand.NewPCG(1, 2))
	n, bad := 0, 0
	judge := func(h *history.History) {
		for _, x := range []*history.History{h, disturb(r, h)} {
			o := graph.Options{SkewExceeded: r.IntN(8) == 0}
			n++
			if compare(t, x, o, check, complete) {
				bad++
			}
		}
	}
	all := shapesOf(2, writes, "x", "y")
	for i := range all {
		for j := i; j < len(all); j++ {
			histories([][]history.Action{all[i], all[j]}, judge)
			if most < 3 {
				continue
			}
			for k := j; k < len(all); k++ {
				histories([][]history.Action{all[i], all[j], all[k]}, judge)
			}
		}
	}
	t.Logf("%d histories, %d of them wrong", n, bad)
}

// Every history of up to three transactions of up to two actions over two lists,
// each also once with drawn outcomes, times and sessions: flagged exactly when no
// serial order explains it.
func TestEveryListHistory(t *testing.T) {
	exhaustive(t, depth(), history.Append, graph.ListAppend, true)
}

func depth() int {
	if testing.Short() {
		return 2
	}
	return 3
}

// Every history of registers of that size: what is flagged has no serial order.
func TestEveryRegisterHistory(t *testing.T) {
	exhaustive(t, depth(), history.Write, graph.Registers, false)
}

// With the stored versions given, registers are decided completely as well:
// whatever order of the versions is claimed, right or wrong or with one missing.
func TestEveryRegisterHistoryWithVersions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	n, bad := 0, 0
	judge := func(h *history.History) {
		for _, x := range []*history.History{h, disturb(r, h)} {
			for range 2 {
				n++
				if compare(t, x, graph.Options{Versions: drawVersions(r, x)}, graph.Registers, true) {
					bad++
				}
			}
		}
	}
	all := shapesOf(2, history.Write, "x", "y")
	for i := range all {
		for j := i; j < len(all); j++ {
			for k := j; k < len(all) && (k == j || !testing.Short()); k++ {
				histories([][]history.Action{all[i], all[j], all[k]}, judge)
			}
		}
	}
	t.Logf("%d histories, %d of them wrong", n, bad)
}

// drawVersions claims some order of the last writes of each transaction.
func drawVersions(r *rand.Rand, h *history.History) []checker.Version {
	out := []checker.Version{}
	for _, i := range r.Perm(len(h.Ops)) {
		op := &h.Ops[i]
		if op.Outcome == history.Fail && r.IntN(10) > 0 || op.Outcome == history.Info && r.IntN(2) == 0 || r.IntN(20) == 0 {
			continue
		}
		last := map[string]history.Value{}
		for _, a := range op.Actions {
			if a.F == history.Write {
				last[a.Key] = a.Arg
			}
		}
		for _, k := range []string{"x", "y"} {
			if v, ok := last[k]; ok {
				out = append(out, checker.Version{Key: k, TS: history.Timestamp{Wall: int64(len(out) + 1)}, Value: v})
			}
		}
	}
	return out
}

// Drawn histories of four transactions of up to three actions, most of them nearly
// right: the results of a serial execution with a read or two replaced.
func TestDrawnHistoriesOfFour(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 3_000
	}
	for _, c := range []struct {
		writes   history.F
		check    func(*history.History, graph.Options) graph.Result
		complete bool
	}{{history.Append, graph.ListAppend, true}, {history.Write, graph.Registers, false}} {
		r := rand.New(rand.NewPCG(5, 6))
		shapes := shapesOf(3, c.writes, "x", "y")
		bad := 0
		for range n {
			h := drawSerial(r, shapes, c.writes)
			h = disturb(r, h)
			if compare(t, h, graph.Options{SkewExceeded: r.IntN(5) == 0, NoSessions: r.IntN(5) == 0, CausalReverse: r.IntN(5) == 0}, c.check, c.complete) {
				bad++
			}
		}
		t.Logf("%d histories of %v, %d of them wrong", n, c.writes, bad)
		if bad < n/10 || bad > n*9/10 {
			t.Errorf("%d of %d are wrong: the draw is one-sided", bad, n)
		}
	}
}

func drawSerial(r *rand.Rand, shapes [][]history.Action, writes history.F) *history.History {
	h := &history.History{}
	state := map[string][]int64{}
	var reads []*history.Action
	for i := range 4 {
		op := history.Op{ID: i, Client: fmt.Sprint("c", i), Return: 100, Outcome: history.OK, Actions: append([]history.Action{}, shapes[r.IntN(len(shapes))]...)}
		for j := range op.Actions {
			a := &op.Actions[j]
			now := state[a.Key]
			switch {
			case a.F == writes:
				a.Arg = history.Int(int64(10*i + j + 1))
				state[a.Key] = append(append([]int64{}, now...), int64(10*i+j+1))
			case writes == history.Append:
				a.Result = history.List(now...)
				reads = append(reads, a)
			case len(now) == 0:
				a.Result = history.NoKey()
				reads = append(reads, a)
			default:
				a.Result = history.Int(now[len(now)-1])
				reads = append(reads, a)
			}
		}
		h.Ops = append(h.Ops, op)
	}
	for n := r.IntN(3); n > 0 && len(reads) > 0; n-- {
		a := reads[r.IntN(len(reads))]
		if writes == history.Append {
			all := arrange(state[a.Key])
			if a.Result = all[r.IntN(len(all))]; r.IntN(2) == 0 {
				a.Result = history.List(state[a.Key][:r.IntN(len(state[a.Key])+1)]...)
			}
		} else if vs := state[a.Key]; len(vs) > 0 {
			a.Result = history.Int(vs[r.IntN(len(vs))])
		}
	}
	return h
}

// Every outcome, interval and division into sessions of the smallest histories:
// two transactions of up to two actions, three of one.
func TestEveryOutcomeAndTime(t *testing.T) {
	spans := [][2]int64{{0, 9}, {0, 3}, {4, 6}, {7, 9}}
	n, bad := 0, 0
	vary := func(h *history.History, spans [][2]int64) {
		k := len(h.Ops)
		choices := 5 * len(spans)
		total := 1
		for range k {
			total *= choices
		}
		for code := range total {
			x := &history.History{Ops: append([]history.Op{}, h.Ops...)}
			rest, legal := code, true
			for i := range x.Ops {
				op := &x.Ops[i]
				c := rest % choices
				rest /= choices
				op.Call, op.Return = spans[c/5][0], spans[c/5][1]
				writes := false
				for _, a := range op.Actions {
					writes = writes || a.F.Writes()
				}
				switch c % 5 {
				case 1:
					op.Outcome, op.Return = history.Info, history.Never
				case 2:
					op.Outcome = history.Fail
				case 3:
					op.Stale = true
					legal = legal && !writes
				case 4:
					op.Client = "c"
				}
			}
			if legal {
				n++
				if compare(t, x, graph.Options{}, graph.ListAppend, true) {
					bad++
				}
			}
		}
	}
	two, one := shapesOf(2, history.Append, "x", "y"), shapesOf(1, history.Append, "x", "y")
	for i := range two {
		for j := i; j < len(two); j++ {
			histories([][]history.Action{two[i], two[j]}, func(h *history.History) { vary(h, spans[1:3]) })
		}
	}
	if !testing.Short() {
		for i := range one {
			for j := i; j < len(one); j++ {
				for k := j; k < len(one); k++ {
					histories([][]history.Action{one[i], one[j], one[k]}, func(h *history.History) { vary(h, spans) })
				}
			}
		}
	}
	t.Logf("%d histories, %d of them wrong", n, bad)
}
