package workloads

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/sim/env"
)

// rising are transactions that look for the greatest value in every range and write a
// greater one into some range: the order of their timestamps is the order of values.
// In the history all are writes and reads of one register, which holds the maximum:
//
//	s00/max/00000000001048613   s02/max/00000000002097190   ..
//
// Below the count of steps a value has a number of its own, so that two who saw the
// same maximum do not write the same.
type rising struct{ *base }

const (
	risingBits = 20
	risingKey  = "all/max"
)

func newRising(b *base) *rising { return &rising{b} }

// ranges are how many slots hold values: each read looks at all of them.
func (w *rising) ranges() int { return min(w.Slots, 4) }

func maxName(slot int) string { return slotPrefix(slot) + "max" }

func (w *rising) setup(env.Task, *Client) error { return nil }

// once finds the maximum, and goes beyond it unless the transaction only reads.
func (w *rising) once(t env.Task, c *Client) outcome {
	p := w.draw(c, func(bool, []move) move { return move{} })
	p.moves = []move{{kind: moveLimited, at: c.Rand.IntN(w.ranges())}}
	p.vanish = min(p.vanish, 0)
	return w.follow(t, c, p, func(x *transaction, m move) error {
		top, err := w.top(t, x, p)
		if err != nil || p.kind != kindReadWrite {
			return err
		}
		n := (top>>risingBits+1)<<risingBits | w.fresh()&(1<<risingBits-1)
		s := putStep(fmt.Sprintf("%s/%017d", maxName(m.at), n), n)
		s.action.Key = risingKey
		x.did(moveWrite.String())
		return x.do(t, s)
	}, nil)
}

// top reads the last key of each range, and records the greatest.
func (w *rising) top(t env.Task, x *transaction, p course) (int64, error) {
	top := int64(0)
	for i, slot := range x.c.Rand.Perm(w.ranges()) {
		if i > 0 && p.pause > 0 {
			if err := x.pause(t, exponential(x.c.Rand, p.pause)); err != nil {
				return 0, err
			}
		}
		key, end := spanOf(maxName(slot))
		res, err := x.tx.Do(t, Op{Kind: ReverseScan, Key: key, End: end, Limit: 1})
		if err != nil {
			return 0, err
		}
		if len(res) != 1 || len(res[0].Rows) > 1 {
			return 0, fmt.Errorf("a scan with limit 1 was answered by %v", res)
		}
		if _, err := rowsOf(res[0].Rows, key, end, true); err != nil {
			x.wrong = append(x.wrong, err.Error())
		}
		for _, row := range res[0].Rows {
			n, err := element(row.Key)
			if v, bad := Decode(row.Value); err != nil || bad != nil || !v.Equal(history.Int(n)) {
				x.wrong = append(x.wrong, fmt.Sprintf("%s holds %q", row.Key, row.Value))
			}
			top = max(top, n)
		}
	}
	a := history.Action{F: history.Read, Key: risingKey, Result: history.Int(top)}
	if top == 0 {
		a.Result = history.NoKey()
	}
	x.op.Actions = append(x.op.Actions, a)
	return top, nil
}

func (w *rising) sweep(int) []step { return nil }

func (w *rising) wants() []string {
	return append(wantsOf(w.Txn.Past, kindPast, w.Txn.ReadOnly, kindReadOnly, w.Txn.Long, kindLong), kindReadWrite, moveWrite.String())
}

func (w *rising) check(h *history.History, ctx Context) []checker.Verdict {
	h = restrict(h, "max")
	all := []checker.Verdict{txn.Monotonic(h)}
	return append(all, w.judgeRegisters(h, Context{ctx.Skewed, w.maxima(ctx)}, []string{risingKey})...)
}

// maxima are the versions of the register that the keys make up. Those that are below
// another of an earlier timestamp are kept as they are: the checks will say so.
func (w *rising) maxima(ctx Context) []checker.Version {
	versions := versionsOf(ctx, "max")
	for i := range versions {
		n, _ := strconv.ParseInt(versions[i].Key[strings.LastIndexByte(versions[i].Key, '/')+1:], 10, 64)
		versions[i].Key, versions[i].Value = risingKey, history.Int(n)
	}
	slices.SortStableFunc(versions, func(a, b checker.Version) int { return a.TS.Compare(b.TS) })
	return versions
}
