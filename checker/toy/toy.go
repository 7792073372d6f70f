// Package toy is a multi-version store of a page, with skewed clocks, that makes
// histories for the tests of checkers. It keeps the rules of the database that the
// checkers are for, each in its barest form: a transaction happens at one true
// moment, at a timestamp from its gateway's clock; a write goes above every read
// and version of its key; a read moves up to a version that is too close above it
// to be certainly later; gateways' clocks never fall behind what they served.
//
// Its histories are legal by construction, whatever the skew below the bound, and
// show what is hard to judge: unknown outcomes, failures, reads of the past, real
// time across keys reversed. A Defect removes one rule, and then they are not.
package toy

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Defect is a rule that the store breaks.
type Defect string

// The rules that can be broken. Not every run of a defective store shows it.
const (
	NoDefect         Defect = ""
	NoReadCache      Defect = "writes go below reads"
	NoUncertainty    Defect = "reads do not move up"
	EarlyRead        Defect = "reads happen at an older timestamp than writes"
	DirtyRead        Defect = "failed writes stay"
	Intermediate     Defect = "the first of two writes is seen alone"
	AppliedTwice     Defect = "a write is applied a second time, later"
	LostWrite        Defect = "an acknowledged write is not applied"
	ForgetsOwnWrites Defect = "reads miss the transaction's own writes"
)

// Defects lists them all.
func Defects() []Defect {
	return []Defect{NoReadCache, NoUncertainty, EarlyRead, DirtyRead, Intermediate, AppliedTwice, LostWrite, ForgetsOwnWrites}
}

// Config is what a run is like.
type Config struct {
	Seed                uint64
	Txns, Clients, Keys int
	Gateways            int
	Actions             int   // at most, in a transaction
	MaxOffset           int64 // the bound that the store believes
	Skew                int64 // how far apart clocks really are
	Infos, Fails, Stale int   // of 100
	Registers           bool  // writes and reads of integers; else lists
	PerKey              int   // after so many writes a key gives way to a new one; 0 for never
	Defect              Defect
}

// Run is a history with what the store applied.
type Run struct {
	History  *history.History
	Versions []checker.Version
	Keys     []string
}

type version struct {
	ts   int64
	list []int64
}

type key struct {
	name     string
	versions []version
	lastRead int64
	written  int
}

type store struct {
	c      Config
	r      *rand.Rand
	keys   []*key
	live   []*key
	clocks []int64 // offset of each gateway
	served []int64 // highest timestamp that each gateway knows
	out    Run
	next   int64
}

// Make runs the store.
func Make(c Config) Run {
	s := &store{c: c, r: rand.New(rand.NewPCG(c.Seed, 99))}
	for i := 0; i < c.Gateways; i++ {
		s.clocks = append(s.clocks, 1_000_000+s.r.Int64N(c.Skew+1))
		s.served = append(s.served, 0)
	}
	for i := 0; i < c.Keys; i++ {
		s.live = append(s.live, s.fresh())
	}
	h := &history.History{Ops: make([]history.Op, c.Txns)}
	moments := s.plan(h)
	order := make([]int, len(h.Ops))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return moments[order[a]] < moments[order[b]] })
	for _, i := range order {
		s.execute(&h.Ops[i], moments[i])
	}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Outcome != history.OK {
			op.TS = history.Timestamp{}
			for j := range op.Actions {
				op.Actions[j].Result = history.Value{}
			}
		}
	}
	s.out.History = h
	for _, k := range s.keys {
		s.out.Keys = append(s.out.Keys, k.name)
		for _, v := range k.versions {
			value := history.List(v.list...)
			if c.Registers {
				value = history.Int(v.list[0])
			}
			s.out.Versions = append(s.out.Versions, checker.Version{Key: k.name, TS: history.Timestamp{Wall: v.ts}, Value: value})
		}
	}
	return s.out
}

func (s *store) fresh() *key {
	k := &key{name: fmt.Sprintf("k%02d", len(s.keys))}
	s.keys = append(s.keys, k)
	return k
}

// plan gives each transaction its interval, its true moment and its outcome.
func (s *store) plan(h *history.History) []int64 {
	moments := make([]int64, len(h.Ops))
	free := make([]int64, s.c.Clients)
	for i := range h.Ops {
		op := &h.Ops[i]
		client := i % s.c.Clients
		op.Call = free[client] + s.r.Int64N(30)
		op.Return = op.Call + 1 + s.r.Int64N(120)
		free[client] = op.Return + 1
		g := s.r.IntN(s.c.Gateways)
		op.Client, op.Gateway, op.Outcome = fmt.Sprint("c", client), fmt.Sprint("n", g), history.OK
		moments[i] = op.Call + s.r.Int64N(op.Return-op.Call+1)
		switch x := s.r.IntN(100); {
		case x < s.c.Infos:
			op.Outcome, op.Return, op.Err = history.Info, history.Never, "timeout"
			moments[i] = op.Call + s.r.Int64N(600)
			if s.r.IntN(2) == 0 {
				moments[i] = history.Never
			}
		case x < s.c.Infos+s.c.Fails:
			op.Outcome, op.Err = history.Fail, "aborted"
		case x < s.c.Infos+s.c.Fails+s.c.Stale:
			op.Stale = true
		}
	}
	perm := make([]int, len(h.Ops))
	for i := range perm {
		perm[i] = i
	}
	sort.SliceStable(perm, func(a, b int) bool { return h.Ops[perm[a]].Call < h.Ops[perm[b]].Call })
	ops, at := make([]history.Op, len(perm)), make([]int64, len(perm))
	for i, p := range perm {
		ops[i], at[i] = h.Ops[p], moments[p]
		ops[i].ID = i
	}
	h.Ops = ops
	return at
}

// action draws what a transaction does next.
func (s *store) action(op *history.Op) (*key, history.Action) {
	slot := s.r.IntN(len(s.live))
	k := s.live[slot]
	a := history.Action{F: history.Read, Key: k.name}
	if !op.Stale && s.r.IntN(2) == 0 {
		s.next++
		a.F, a.Arg = history.Append, history.Int(s.next)
		if s.c.Registers {
			a.F = history.Write
		}
		if k.written++; s.c.PerKey > 0 && k.written >= s.c.PerKey {
			s.live[slot] = s.fresh()
		}
	}
	return k, a
}

// execute runs a transaction at its moment.
func (s *store) execute(op *history.Op, at int64) {
	var touched []*key
	for i := 1 + s.r.IntN(s.c.Actions); i > 0; i-- {
		k, a := s.action(op)
		op.Actions = append(op.Actions, a)
		touched = append(touched, k)
	}
	if at == history.Never {
		return
	}
	g := 0
	if n, err := strconv.Atoi(strings.TrimPrefix(op.Gateway, "n")); err == nil {
		g = n
	}
	ts := max(at+s.clocks[g], s.served[g])
	if op.Stale {
		ts = max(1, ts-s.r.Int64N(400))
	}
	readTS := ts
	ts = s.settle(op, touched, ts)
	if s.c.Defect != EarlyRead || op.Stale {
		readTS = ts
	}
	own := map[*key][]int64{}
	for i := range op.Actions {
		a, k := &op.Actions[i], touched[i]
		if a.F != history.Read {
			n, _ := a.Arg.Int()
			own[k] = append(own[k], n)
			continue
		}
		if s.c.Defect != NoReadCache {
			k.lastRead = max(k.lastRead, readTS)
		}
		mine := own[k]
		if s.c.Defect == ForgetsOwnWrites && s.r.IntN(4) == 0 {
			mine = nil
		}
		a.Result = s.read(k, readTS, mine)
	}
	op.TS = history.Timestamp{Wall: ts}
	if !op.Stale {
		s.served[g] = max(s.served[g], ts)
	}
	if op.Outcome == history.Fail && (s.c.Defect != DirtyRead || s.r.IntN(3) > 0) {
		return
	}
	s.apply(op, touched, own, ts)
}

// settle finds the timestamp at which everything that the transaction does is
// allowed.
func (s *store) settle(op *history.Op, touched []*key, ts int64) int64 {
	limit := ts + s.c.MaxOffset
	for again := true; again && !op.Stale; {
		again = false
		for i, a := range op.Actions {
			k := touched[i]
			if a.F != history.Read {
				floor := k.lastRead
				if n := len(k.versions); n > 0 {
					floor = max(floor, k.versions[n-1].ts)
				}
				if ts <= floor {
					ts, again = floor+1, true
				}
				continue
			}
			for _, v := range k.versions {
				if s.c.Defect != NoUncertainty && v.ts > ts && v.ts <= limit {
					ts, again = v.ts, true
				}
			}
		}
	}
	return ts
}

func (s *store) read(k *key, ts int64, own []int64) history.Value {
	i := sort.Search(len(k.versions), func(i int) bool { return k.versions[i].ts > ts })
	if s.c.Registers {
		switch {
		case len(own) > 0:
			return history.Int(own[len(own)-1])
		case i == 0:
			return history.NoKey()
		}
		return history.Int(k.versions[i-1].list[0])
	}
	var list []int64
	if i > 0 {
		list = append(list, k.versions[i-1].list...)
	}
	return history.List(append(list, own...)...)
}

// apply leaves the versions of a transaction in the store.
func (s *store) apply(op *history.Op, touched []*key, own map[*key][]int64, ts int64) {
	for i, a := range op.Actions {
		k := touched[i]
		mine := own[k]
		if a.F == history.Read || mine == nil {
			continue
		}
		delete(own, k)
		if s.c.Defect == LostWrite && s.r.IntN(20) == 0 {
			continue
		}
		var last []int64
		if n := len(k.versions); n > 0 && !s.c.Registers {
			last = k.versions[n-1].list
		}
		put := func(at int64, elems ...int64) {
			if s.c.Registers {
				elems = elems[len(elems)-1:]
			}
			list := append(append([]int64{}, last...), elems...)
			k.versions = append(k.versions, version{at, list})
			if !s.c.Registers {
				last = list
			}
		}
		if s.c.Defect == Intermediate && len(mine) > 1 {
			put(ts, mine[0])
			put(ts+60, mine[1:]...)
			continue
		}
		put(ts, mine...)
		if s.c.Defect == AppliedTwice && s.r.IntN(20) == 0 {
			put(ts+1, mine...)
		}
	}
}
