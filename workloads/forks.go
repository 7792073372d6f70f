package workloads

import (
	"fmt"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/sim/env"
)

// forks are small groups of keys in different ranges, each written once and alone,
// while others read the whole group: who saw x before y, and who y before x?
//
//	s03/fork/000012/0   s08/fork/000012/1   s01/fork/000012/2
//
// Half of the writers write a key of their own beside it, first and in another range, as
// one does who keeps a journal. Nobody reads it, but such a commit is one of two ranges:
// for a while it is acknowledged, and the record that says so is not where the key is.
type forks struct {
	*base
	open []*fork // groups that are written and read now
	next int
}

type fork struct {
	keys    []string
	written int
	reads   int
}

const (
	forkKeys  = 3 // of a group
	forkOpen  = 4 // groups at a time
	forkReads = 8 // of a group, before another takes its place
)

func newForks(b *base) *forks {
	f := &forks{base: b}
	for range forkOpen {
		f.open = append(f.open, f.begin())
	}
	return f
}

func (f *forks) begin() *fork {
	f.next++
	g := &fork{}
	for i := range forkKeys {
		g.keys = append(g.keys, fmt.Sprintf("%sfork/%06d/%d", slotPrefix((f.next*5+i*7)%f.Slots), f.next, i))
	}
	return g
}

func (f *forks) setup(env.Task, *Client) error { return nil }

// once writes the next key of a group, or reads a group.
func (f *forks) once(t env.Task, c *Client) outcome {
	i := c.Rand.IntN(len(f.open))
	g := f.open[i]
	p := f.draw(c, func(bool, []move) move { return move{kind: moveRead} })
	p.moves = p.moves[:1]
	p.vanish = min(p.vanish, 0)
	if write := g.written < len(g.keys) && weighted(c.Rand, f.Txn.Read, f.Txn.Write) == 1; write {
		p.kind, p.o.At, p.pause = kindReadWrite, Timestamp{}, 0
		p.moves[0] = move{kind: moveWrite, at: g.written, delta: c.Rand.Int64N(2)}
		g.written++
	} else {
		if p.kind != kindPast {
			p.kind = kindReadOnly
		}
		g.reads++
	}
	p.o.Name = p.kind
	if g.written == len(g.keys) && g.reads >= forkReads {
		f.open[i] = f.begin()
	}
	return f.follow(t, c, p, func(x *transaction, m move) error {
		switch {
		case m.kind == moveWrite && m.delta == 1:
			return x.do(t, putStep(f.journal(c, g.keys[m.at]), f.fresh()), putStep(g.keys[m.at], f.fresh()))
		case m.kind == moveWrite:
			return x.do(t, putStep(g.keys[m.at], f.fresh()))
		}
		return f.read(t, x, g, p)
	}, nil)
}

// journal is a key of the client's own, in the range after that of another key.
func (f *forks) journal(c *Client, key string) string {
	for slot := range f.Slots {
		if strings.HasPrefix(key, slotPrefix(slot)) {
			return slotPrefix((slot+1)%f.Slots) + "journal/" + c.Name()
		}
	}
	panic("workloads: a key in no slot: " + key)
}

// read reads a group in some order, at leisure if it is a long transaction.
func (f *forks) read(t env.Task, x *transaction, g *fork, p course) error {
	for n, i := range x.c.Rand.Perm(len(g.keys)) {
		if n > 0 && p.pause > 0 {
			if err := x.pause(t, exponential(x.c.Rand, p.pause)); err != nil {
				return err
			}
		}
		if err := x.do(t, getStep(g.keys[i])); err != nil {
			return err
		}
	}
	return nil
}

func (f *forks) sweep(int) []step { return nil }

func (f *forks) wants() []string {
	return append(wantsOf(f.Txn.Past, kindPast), kindReadWrite, kindReadOnly)
}

func (f *forks) check(h *history.History, ctx Context) []checker.Verdict {
	h, versions := restrict(h, "fork"), versionsOf(ctx, "fork")
	keys := keysOf(h, versions)
	all := []checker.Verdict{txn.LongFork(h, keys)}
	return append(all, f.judgeRegisters(h, Context{ctx.Skewed, versions}, keys)...)
}
