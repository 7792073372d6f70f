package workloads

import (
	"fmt"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// ledger is transactions of every operation that there is, on registers of all
// ranges; with weights for them, on sets and counters as well, where an element or
// an increment that was rolled back must not count. Every value is written at most
// once. A delete leaves no value to know it by, so a transaction that deletes writes a
// value somewhere too: then the store tells of each whether it happened.
type ledger struct {
	*base
	keys     []string // the registers, sorted
	counters []string
	elements int64 // the last element that was given out
}

func newLedger(b *base) *ledger {
	l := &ledger{base: b}
	for i := range b.Keys {
		l.keys = append(l.keys, registerKey(b.Slots, i))
	}
	// Hot are the first ones as they were numbered, which lie in different ranges.
	for i := range b.Counters {
		l.counters = append(l.counters, counterKey(b.Slots, i))
	}
	return l
}

// sorted are the registers in the order of the key space.
func (l *ledger) sorted() []string {
	all := slices.Clone(l.keys)
	slices.Sort(all)
	return all
}

func (l *ledger) setup(env.Task, *Client) error { return nil }

// once does one transaction, or one operation outside of any.
func (l *ledger) once(t env.Task, c *Client) outcome {
	if c.Rand.IntN(100) < l.Txn.Alone {
		return l.alone(t, c)
	}
	p := l.draw(c, func(readOnly bool, before []move) move { return l.next(c, readOnly, before) })
	sorted := l.sorted()
	return l.follow(t, c, p,
		func(x *transaction, m move) error { return l.exec(t, x, m, sorted) },
		func(x *transaction) error { return l.mark(t, x) })
}

// alone does an operation outside of transactions, with which they must get along.
func (l *ledger) alone(t env.Task, c *Client) outcome {
	key := l.keys[hotOr(c.Rand, len(l.keys), l.Hot, l.HotPercent)]
	s := getStep(key)
	if c.Rand.IntN(2) == 0 {
		s = putStep(key, l.fresh())
	}
	o := l.do(t, c, history.Timestamp{}, s)
	if o.ok() {
		l.did(kindAlone)
	}
	return o
}

// ofOneKey reports that moves of the kind are of the register at their place.
func ofOneKey(k moveKind) bool { return k <= moveDelete }

// next draws a move that comes after others.
func (l *ledger) next(c *Client, readOnly bool, before []move) move {
	x, r := &l.Txn, c.Rand
	m := move{at: hotOr(r, len(l.keys), l.Hot, l.HotPercent)}
	if readOnly {
		m.kind = []moveKind{moveRead, moveScan, moveReverse, moveLimited}[weighted(r, x.Read, x.Scan, x.Reverse, x.Limited)]
	} else {
		m.kind = moveKind(weighted(r, x.Read, x.Write, x.CAS, x.InitPut, x.Delete, x.DeleteRange, x.Scan, x.Reverse, x.Limited, x.Add, x.Increment))
	}
	if ofOneKey(m.kind) {
		if at := l.again(c, before, ofOneKey); at >= 0 {
			m.at = at
		}
	}
	switch m.kind {
	case moveRead:
		m.lock, m.safe = l.lock(c, readOnly)
	case moveScan, moveReverse, moveLimited:
		m.lock, m.safe = l.lock(c, readOnly)
		m.at, m.to = 0, len(l.keys)-1 // all of them, through all ranges
		if r.IntN(3) > 0 || m.lock != NoLock {
			m.at = r.IntN(len(l.keys))
			m.to = min(len(l.keys)-1, m.at+r.IntN(6))
		}
		m.delta = 1 + r.Int64N(4)
	case moveDeleteRange:
		m.to = 1 + r.IntN(3)
	case moveAdd:
		m.at = r.IntN(l.Slots)
	case moveIncrement:
		m.at, m.delta = hotOr(r, len(l.counters), l.Hot, l.HotPercent), 1+r.Int64N(9)
	}
	return m
}

// exec does a move.
func (l *ledger) exec(t env.Task, x *transaction, m move, sorted []string) error {
	switch m.kind {
	case moveRead:
		return x.do(t, m.locked(getStep(l.keys[m.at])))
	case moveWrite:
		return x.do(t, putStep(l.keys[m.at], l.fresh()))
	case moveCAS:
		return l.cas(t, x, l.keys[m.at])
	case moveInitPut:
		s := casStep(l.keys[m.at], history.NoKey(), l.fresh())
		s.op.Kind = InitPut
		return x.do(t, s)
	case moveDelete:
		return x.do(t, deleteStep(l.keys[m.at]))
	case moveDeleteRange:
		return l.deleteRange(t, x, l.neighbours(m.at, m.to))
	case moveScan, moveReverse:
		return x.do(t, m.locked(scanStep(sorted[m.at:m.to+1], m.kind == moveReverse)))
	case moveLimited:
		s := m.locked(scanStep(sorted[m.at:m.to+1], m.at%2 == 0))
		s.op.Limit = m.delta
		return x.do(t, s)
	case moveAdd:
		l.elements++
		return x.do(t, addStep(m.at, l.elements))
	}
	return x.do(t, incrementStep(l.counters[m.at], m.delta))
}

// cas replaces what the transaction finds: it reads first, if it has not yet.
func (l *ledger) cas(t env.Task, x *transaction, key string) error {
	if _, ok := x.known[key]; !ok {
		if err := x.do(t, getStep(key)); err != nil {
			return err
		}
	}
	return x.do(t, casStep(key, x.known[key], l.fresh()))
}

// neighbours are up to n registers from the i-th on that have no keys of other parts
// between them: those of its slot.
func (l *ledger) neighbours(i, n int) []string {
	keys := []string{l.keys[i]}
	for i += l.Slots; i < len(l.keys) && len(keys) < n; i += l.Slots {
		keys = append(keys, l.keys[i])
	}
	return keys
}

// deleteRange looks what there is, then removes it: as many as it saw.
func (l *ledger) deleteRange(t env.Task, x *transaction, keys []string) error {
	if err := x.do(t, scanStep(keys, false)); err != nil {
		return err
	}
	var there []history.Action
	for _, r := range x.op.Actions[len(x.op.Actions)-1].Result.Rows() {
		there = append(there, history.Action{F: history.Delete, Key: r.Key})
	}
	x.op.Actions = append(x.op.Actions, there...)
	res, err := x.tx.Do(t, Op{Kind: DeleteRange, Key: []byte(keys[0]), End: []byte(keys[len(keys)-1] + "\x00")})
	if err != nil {
		return err
	}
	if len(res) != 1 || res[0].Int != int64(len(there)) {
		x.wrong = append(x.wrong, fmt.Sprintf("a scan of %s to %s found %d keys, and their removal removed %v", keys[0], keys[len(keys)-1], len(there), res))
	}
	for i := range there {
		x.hold(&there[i])
	}
	return nil
}

// mark writes a value, if the transaction deletes and leaves none.
func (l *ledger) mark(t env.Task, x *transaction) error {
	deletes, last := false, map[string]history.F{}
	for _, a := range x.op.Actions {
		deletes = deletes || a.F == history.Delete
		if a.F.Writes() && partOf(a.Key) == "reg" {
			last[a.Key] = a.F
		}
	}
	free := l.keys[0]
	for _, key := range l.keys {
		switch f := last[key]; f {
		case history.Write, history.CAS:
			return nil
		case history.Delete:
		default:
			free = key
		}
	}
	if !deletes {
		return nil
	}
	return x.do(t, putStep(free, l.fresh()))
}

// casStep writes a value where another, or nothing, is expected.
func casStep(key string, expect history.Value, n int64) step {
	op := Op{Kind: CPut, Key: []byte(key), Value: EncodeInt(n)}
	if old, ok := expect.Int(); ok {
		op.Expect = EncodeInt(old)
	} else {
		expect = history.NoKey()
	}
	return step{op, history.Action{F: history.CAS, Key: key, Arg: history.Int(n), Expect: expect}, nil}
}

// sweep reads a slot's registers, and its set and counters.
func (l *ledger) sweep(slot int) []step {
	var steps []step
	for i := slot; i < len(l.keys); i += l.Slots {
		steps = append(steps, getStep(l.keys[i]))
	}
	if l.Txn.Add > 0 {
		steps = append(steps, setStep(slot))
	}
	if l.Txn.Increment > 0 {
		for i := slot; i < len(l.counters); i += l.Slots {
			steps = append(steps, getStep(l.counters[i]))
		}
	}
	return steps
}

func (l *ledger) wants() []string {
	x := &l.Txn
	all := wantsOf(1, kindReadWrite, 1, kindAtOnce, x.ReadOnly, kindReadOnly, x.Past, kindPast, x.Long, kindLong, x.Nested, kindUndone, x.Nested, moveNested.String(),
		x.Alone, kindAlone, x.Low, kindLow, x.High, kindHigh, x.Shared, kindShared, x.Exclusive, kindExclusive)
	for k, weight := range []int{x.Read, x.Write, x.CAS, x.InitPut, x.Delete, x.DeleteRange, x.Scan, x.Reverse, x.Limited, x.Add, x.Increment} {
		if weight > 0 {
			all = append(all, moveKind(k).String())
		}
	}
	return all
}

func (l *ledger) check(h *history.History, ctx Context) []checker.Verdict {
	all := l.judgeRegisters(restrict(h, "reg"), Context{ctx.Skewed, versionsOf(ctx, "reg")}, l.sorted())
	if l.Txn.Add > 0 {
		o := checker.Options{}
		for slot := range l.Slots {
			o.Keys = append(o.Keys, setName(slot))
		}
		all = append(all, checker.SetDurable(h, o))
	}
	if l.Txn.Increment > 0 {
		if ctx.Skewed {
			h = withoutReadsBeforeTheEnd(h, l.counters)
		}
		all = append(all, checker.Counter(restrict(h, "ctr"), checker.Options{Keys: slices.Sorted(slices.Values(l.counters))}))
	}
	return all
}
