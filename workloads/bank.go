package workloads

import (
	"fmt"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
	"simulacrum/sim/env"
)

// bank is accounts between which clients transfer; all of them together always hold
// the same. An account that becomes empty is closed, mostly, and opened again by the
// next transfer to it. A balance is stored with a number of its own, so that every
// version of an account can be told from every other, and transfers can be judged as
// transactions of registers too:
//
//	s00/acct/003   1234 << balanceBits | balance
type bank struct {
	*base
	accounts []string // as they are drawn
	first    map[int]bool
}

const (
	balanceBits    = 24
	balanceMask    = 1<<balanceBits - 1
	initialBalance = 100
)

// Kinds of what is done to a bank.
const (
	kindTransfer = "transfer"
	kindClosed   = "account closed"
	kindWhole    = "read of all accounts by a scan"
	kindSingly   = "read of all accounts one by one"
	kindPastSum  = "read of all accounts in the past"
)

func newBank(b *base) *bank {
	w := &bank{base: b, first: map[int]bool{}}
	for i := range b.Keys {
		w.accounts = append(w.accounts, fmt.Sprintf("%sacct/%03d", slotPrefix(i%b.Slots), i))
	}
	return w
}

func (w *bank) sorted() []string { return slices.Sorted(slices.Values(w.accounts)) }

// put writes a balance under a fresh number.
func (w *bank) put(account string, balance int64) step {
	return putStep(account, w.fresh()<<balanceBits|balance)
}

func balanceOf(v history.Value) int64 {
	n, _ := v.Int()
	return n & balanceMask
}

// setup opens all accounts, unless an attempt of which nothing was heard has.
func (w *bank) setup(t env.Task, c *Client) error {
	o := w.transact(t, c, TxnOptions{Name: "open the bank"}, func(x *transaction) error {
		w.first[x.op.ID] = true
		if err := x.do(t, scanStep(w.sorted(), false)); err != nil {
			return err
		}
		if len(x.op.Actions[0].Result.Rows()) > 0 {
			return nil
		}
		var steps []step
		for _, account := range w.accounts {
			steps = append(steps, w.put(account, initialBalance))
		}
		return x.do(t, steps...)
	})
	return o.err
}

// once transfers, or reads everything.
func (w *bank) once(t env.Task, c *Client) outcome {
	p := w.draw(c, func(bool, []move) move { return move{} })
	if p.kind == kindReadWrite {
		p.moves = []move{w.transfer(c), w.transfer(c)}[:1+c.Rand.IntN(2)]
		p.vanish = min(p.vanish, len(p.moves)-1)
	} else {
		p.moves = []move{{kind: []moveKind{moveScan, moveReverse, moveRead}[c.Rand.IntN(3)]}}
		if p.kind == kindReadOnly && w.done[kindSingly] == 0 && c.Rand.IntN(2) == 0 {
			p.moves[0].kind = moveRead
		}
		p.vanish = -1
	}
	return w.follow(t, c, p, func(x *transaction, m move) error {
		if p.kind == kindReadWrite {
			return w.move(t, x, m, p)
		}
		return w.read(t, x, m.kind)
	}, nil)
}

// transfer draws two accounts and an amount.
func (w *bank) transfer(c *Client) move {
	m := move{kind: moveWrite, delta: 1 + c.Rand.Int64N(2*initialBalance/3)}
	m.at = hotOr(c.Rand, len(w.accounts), w.Hot, w.HotPercent)
	for m.to = m.at; m.to == m.at; {
		m.to = c.Rand.IntN(len(w.accounts))
	}
	m.lock, m.safe = w.lock(c, false)
	m.undone = c.Rand.IntN(4) > 0 // an empty account is closed
	return m
}

// move makes a transfer of what the account has, at most.
func (w *bank) move(t env.Task, x *transaction, m move, p course) error {
	from, to := w.accounts[m.at], w.accounts[m.to]
	if err := x.do(t, m.locked(getStep(from)), m.locked(getStep(to))); err != nil {
		return err
	}
	have, there := balanceOf(x.known[from]), balanceOf(x.known[to])
	amount := min(m.delta, have)
	if amount == 0 {
		return nil
	}
	if p.pause > 0 {
		if err := x.pause(t, exponential(x.c.Rand, p.pause)); err != nil {
			return err
		}
	}
	take := w.put(from, have-amount)
	if have == amount && m.undone {
		take = deleteStep(from)
		x.did(kindClosed)
	}
	x.did(kindTransfer)
	return x.do(t, take, w.put(to, there+amount))
}

// read reads all accounts, in a scan or one after the other.
func (w *bank) read(t env.Task, x *transaction, kind moveKind) error {
	switch {
	case x.op.Stale:
		x.did(kindPastSum)
	case kind == moveRead:
		x.did(kindSingly)
	default:
		x.did(kindWhole)
	}
	if kind != moveRead {
		return x.do(t, scanStep(w.sorted(), kind == moveReverse))
	}
	for _, i := range x.c.Rand.Perm(len(w.accounts)) {
		if err := x.do(t, getStep(w.accounts[i])); err != nil {
			return err
		}
	}
	return nil
}

// sweep reads the accounts of a slot.
func (w *bank) sweep(slot int) []step {
	var steps []step
	for i := slot; i < len(w.accounts); i += w.Slots {
		steps = append(steps, getStep(w.accounts[i]))
	}
	return steps
}

func (w *bank) wants() []string {
	return append(wantsOf(w.Txn.Low, kindLow, w.Txn.High, kindHigh, w.Txn.Past, kindPast, w.Txn.Past, kindPastSum, w.Txn.ReadOnly, kindWhole, w.Txn.ReadOnly, kindSingly, w.Txn.Shared, kindShared, w.Txn.Exclusive, kindExclusive), kindTransfer, kindAtOnce, kindClosed)
}

func (w *bank) check(h *history.History, ctx Context) []checker.Verdict {
	h = restrict(h, "acct")
	o := txn.BankOptions{Accounts: w.sorted(), Total: initialBalance * int64(len(w.accounts))}
	all := []checker.Verdict{txn.Bank(w.balances(h), o)}
	return append(all, w.judgeRegisters(h, Context{ctx.Skewed, versionsOf(ctx, "acct")}, w.sorted())...)
}

// balances is the history as bankers see it: the balance without its number, and 0
// for an account that is closed. What the bank's opening found before it is left out.
func (w *bank) balances(h *history.History) *history.History {
	out := &history.History{}
	balance := func(v history.Value) history.Value {
		if v.IsNone() {
			return v
		}
		return history.Int(balanceOf(v))
	}
	for i := range h.Ops {
		op := h.Ops[i]
		if w.first[op.ID] {
			continue
		}
		op.Actions = slices.Clone(op.Actions)
		for j := range op.Actions {
			a := &op.Actions[j]
			if a.F != history.Scan {
				a.Arg, a.Result = balance(a.Arg), balance(a.Result)
			} else if !a.Result.IsNone() {
				a.Result = balancesOf(a, balance)
			}
		}
		out.Ops = append(out.Ops, op)
	}
	return out
}

func balancesOf(a *history.Action, balance func(history.Value) history.Value) history.Value {
	found := a.Result.Rows()
	var rows []history.Row
	for _, covered := range a.Arg.Rows() {
		v := history.NoKey()
		if i := slices.IndexFunc(found, func(r history.Row) bool { return r.Key == covered.Key }); i >= 0 {
			v = found[i].Value
		}
		rows = append(rows, history.Row{Key: covered.Key, Value: balance(v)})
	}
	return history.Rows(rows...)
}
