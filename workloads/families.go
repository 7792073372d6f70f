package workloads

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/sim/env"
)

// families are keys in different ranges that one client writes one after the other,
// each in a transaction of its own, while others read them, the last one first:
// whoever sees a key sees those before it, if one gateway wrote them. Without waiting
// for commits that need not hold across gateways, where it is counted.
//
//	s03/seq/000012/0   s08/seq/000012/1   s01/seq/000012/2   ..
type families struct {
	*base
	open []*family
	next int
}

type family struct {
	keys   []string
	writer string // the client
	next   int    // key to write
}

const (
	familyKeys   = 5
	familiesOpen = 40 // that are read, the newest last
)

func newFamilies(b *base) *families { return &families{base: b} }

func (w *families) setup(env.Task, *Client) error { return nil }

// own is the family that a client is to go on with.
func (w *families) own(client string) *family {
	for _, f := range w.open {
		if f.writer == client && f.next < len(f.keys) {
			return f
		}
	}
	w.next++
	f := &family{writer: client}
	for i := range familyKeys {
		f.keys = append(f.keys, fmt.Sprintf("%sseq/%06d/%d", slotPrefix((w.next*5+i*7)%w.Slots), w.next, i))
	}
	if w.open = append(w.open, f); len(w.open) > familiesOpen {
		w.open = slices.Delete(w.open, 0, 1)
	}
	return f
}

// once writes the next key of the client's family, or reads one of the others.
func (w *families) once(t env.Task, c *Client) outcome {
	write := weighted(c.Rand, w.Txn.Read, w.Txn.Write) == 1 || len(w.open) == 0
	p := course{kind: kindReadOnly, vanish: -1}
	var key string
	var keys []string
	if write {
		f := w.own(c.Name())
		key, p.kind = f.keys[f.next], kindReadWrite
		f.next++ // each key is written once, even where nobody knows whether it was
	} else {
		keys = slices.Clone(w.open[c.Rand.IntN(len(w.open))].keys)
		slices.Reverse(keys)
		if c.Rand.IntN(100) < w.Txn.Long {
			p.pause = w.Txn.Pause
		}
	}
	p.o.Name = p.kind
	for i := range keys {
		p.moves = append(p.moves, move{at: i})
	}
	if write {
		p.moves = []move{{kind: moveWrite}}
	}
	return w.follow(t, c, p, func(x *transaction, m move) error {
		if write {
			return x.do(t, putStep(key, w.fresh()))
		}
		return x.do(t, getStep(keys[m.at]))
	}, nil)
}

func (w *families) sweep(int) []step { return nil }

func (w *families) wants() []string {
	return append(wantsOf(w.Txn.Long, kindLong), kindReadWrite, kindReadOnly)
}

func (w *families) check(h *history.History, ctx Context) []checker.Verdict {
	h, versions := restrict(h, "seq"), versionsOf(ctx, "seq")
	keys := keysOf(h, versions)
	place := func(key string) (string, int, bool) {
		parts := strings.Split(key, "/")
		if len(parts) != 4 {
			return "", 0, false
		}
		return parts[2], int(parts[3][0] - '0'), true
	}
	all := []checker.Verdict{txn.Sequential(h, keys, place), txn.CausalReverse(h, keys)}
	return append(all, w.judgeRegisters(h, Context{ctx.Skewed, versions}, keys)...)
}
