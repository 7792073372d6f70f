package workloads

import (
	"fmt"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/sim/env"
)

// guarded are groups in two ranges each, into which clients insert if they find
// nothing in either: of all who try at about the same time at most one succeeds. What
// each depends on is the absence of keys that it does not name, in two spans:
//
//	s03/g2/000012/0 .. /3   and   s06/g2/000012/0 .. /3
type guarded struct {
	*base
	open []*group
	next int
}

type group struct {
	id     string
	places [2][]string // of each range, sorted
	tries  int
}

const (
	groupPlaces = 4 // in each range
	groupsOpen  = 2 // at a time
	groupTries  = 6 // at a group, before another takes its place
)

func newGuarded(b *base) *guarded {
	w := &guarded{base: b}
	for range groupsOpen {
		w.open = append(w.open, w.begin())
	}
	return w
}

func (w *guarded) begin() *group {
	w.next++
	g := &group{id: fmt.Sprintf("%06d", w.next)}
	for side := range g.places {
		for i := range groupPlaces {
			g.places[side] = append(g.places[side], fmt.Sprintf("%sg2/%s/%d", slotPrefix((w.next*5+side*7)%w.Slots), g.id, side*groupPlaces+i))
		}
	}
	return g
}

func (w *guarded) setup(env.Task, *Client) error { return nil }

// once looks at both ranges of a group and inserts, or only looks.
func (w *guarded) once(t env.Task, c *Client) outcome {
	i := c.Rand.IntN(len(w.open))
	g := w.open[i]
	p := w.draw(c, func(bool, []move) move { return move{} })
	p.moves = []move{{kind: moveScan, at: c.Rand.IntN(2), to: c.Rand.IntN(groupPlaces), delta: c.Rand.Int64N(2)}}
	p.moves[0].lock, p.moves[0].safe = w.lock(c, p.kind != kindReadWrite)
	p.vanish = min(p.vanish, 0)
	if g.tries++; g.tries >= groupTries {
		w.open[i] = w.begin()
	}
	return w.follow(t, c, p, func(x *transaction, m move) error { return w.try(t, x, g, m, p) }, nil)
}

// try scans both sides, and inserts where both are empty.
func (w *guarded) try(t env.Task, x *transaction, g *group, m move, p course) error {
	empty := true
	for _, side := range []int{m.at, 1 - m.at} {
		key, end := spanOf(g.places[side][0][:strings.LastIndexByte(g.places[side][0], '/')])
		if err := x.do(t, m.locked(scanOf(key, end, g.places[side], m.delta == 1))); err != nil {
			return err
		}
		empty = empty && len(x.op.Actions[len(x.op.Actions)-1].Result.Rows()) == 0
		if p.pause > 0 {
			if err := x.pause(t, exponential(x.c.Rand, p.pause)); err != nil {
				return err
			}
		}
	}
	if !empty || p.kind != kindReadWrite {
		return nil
	}
	x.did(moveAdd.String())
	return x.do(t, putStep(g.places[m.at][m.to], w.fresh()))
}

func (w *guarded) sweep(int) []step { return nil }

func (w *guarded) wants() []string {
	x := &w.Txn
	return append(wantsOf(x.Past, kindPast, x.ReadOnly, kindReadOnly, x.Shared, kindShared, x.Exclusive, kindExclusive), kindReadWrite, moveAdd.String())
}

func (w *guarded) check(h *history.History, ctx Context) []checker.Verdict {
	h, versions := restrict(h, "g2"), versionsOf(ctx, "g2")
	keys := keysOf(h, versions)
	all := []checker.Verdict{txn.Predicate(h, keys, func(key string) string { return strings.Split(key, "/")[2] })}
	return append(all, w.judgeRegisters(h, Context{ctx.Skewed, versions}, keys)...)
}
