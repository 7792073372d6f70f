package txn

import (
	"fmt"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// keep bounds how many contradictions are told.
const keep = 256

func (w *witness) wrongAt(at int64, key int32, text string, ops ...int) {
	if w.wrong++; w.wrong <= keep {
		w.found = append(w.found, checker.Finding{When: at, Key: w.names.Name(key), Text: text, Ops: ops})
	}
}

// run replays one transaction. Its reads see its own writes.
func (w *witness) run(t, group int32) {
	op := &w.h.Ops[t]
	w.order = append(w.order, op.ID)
	for i := range op.Actions {
		a := &op.Actions[i]
		switch a.F {
		case history.Read:
			w.see(op, w.key(a.Key), a.Result)
		case history.Scan:
			w.scan(op, a)
		case history.CAS:
			k := w.key(a.Key)
			w.see(op, k, a.Expect)
			w.write(op, t, k, group, a)
		case history.Write, history.Delete, history.Append:
			w.write(op, t, w.key(a.Key), group, a)
		default:
			if w.strange == "" {
				w.strange = fmt.Sprintf("operation %d does %s, which is neither of lists nor of registers", op.ID, a)
			}
		}
	}
}

func (w *witness) scan(op *history.Op, a *history.Action) {
	if a.Result.IsNone() || op.Outcome != history.OK {
		return
	}
	found := map[int32]history.Value{}
	if rows := a.Arg.Rows(); rows != nil {
		for _, r := range rows {
			found[w.key(r.Key)] = history.NoKey()
		}
	} else {
		for _, k := range w.all() {
			found[k] = history.NoKey()
		}
	}
	for _, r := range a.Result.Rows() {
		found[w.key(r.Key)] = r.Value
	}
	keys := make([]int32, 0, len(found))
	for k := range found {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		w.see(op, k, found[k])
	}
}

// see judges one read.
func (w *witness) see(op *history.Op, k int32, found history.Value) {
	if found.IsNone() || op.Outcome != history.OK {
		return
	}
	w.reads++
	if w.cells[k].shows(found) {
		return
	}
	if w.cells[k].unsure {
		w.happenLate(k, found, op)
		if w.cells[k].shows(found) {
			return
		}
		// The reads that follow are judged against what was seen.
		w.open++
		w.cells[k].set(found)
		return
	}
	w.wrongAt(op.Return, k, fmt.Sprintf("Key %s: %s was there at the timestamp of this transaction, and it found %s.\n  %s", w.names.Name(k), brief(w.cells[k].value()), brief(found), title(op)), op.ID)
}

// happenLate replays, just before they are seen, the transactions without a
// timestamp of which a read shows a write.
func (w *witness) happenLate(k int32, found history.Value, by *history.Op) {
	values := found.List()
	if n, ok := found.Int(); ok {
		values = []int64{n}
	} else if have := len(w.cells[k].list); have < len(values) {
		values = values[have:]
	}
	for _, n := range values {
		t, ok := w.late[pair{k, n}]
		if !ok || w.applied[t] || &w.h.Ops[t] == by {
			continue
		}
		w.applied[t] = true
		reads := w.reads
		w.run(t, -2)
		w.reads = reads
	}
}

func (w *witness) write(op *history.Op, t, k, group int32, a *history.Action) {
	c := &w.cells[k]
	if c.group == group && c.writer != t && group >= 0 {
		other := &w.h.Ops[c.writer]
		w.wrongAt(max(op.Call, other.Call), k, fmt.Sprintf("Key %s: two transactions wrote it at one timestamp.\n  %s\n  %s", w.names.Name(k), title(other), title(op)), other.ID, op.ID)
	}
	c.writer, c.group = t, group
	w.writes++
	switch a.F {
	case history.Append:
		c.kind = history.ListKind
		if c.list == nil {
			c.list = make([]int64, 0, 16) // most keys get more than one element
		}
		if n, ok := a.Arg.Int(); ok {
			c.list = append(c.list, n)
		}
		c.list = append(c.list, a.Arg.List()...)
	case history.Delete:
		c.kind, c.list = history.Absent, nil
	default:
		if n, ok := a.Arg.Int(); ok {
			c.kind, c.n = history.IntKind, n
		} else {
			c.set(a.Arg)
		}
	}
}

// compare holds what was replayed at one timestamp against what the store applied
// there.
func (w *witness) compare(group []moment, id int32) {
	ts := history.Timestamp{Wall: group[0].wall, Logical: group[0].logical}
	for ; w.next < len(w.stored); w.next++ {
		s := &w.o.Versions[w.stored[w.next]]
		order := s.TS.Compare(ts)
		if order > 0 {
			break
		}
		k := w.key(s.Key)
		if order < 0 || w.cells[k].group != id {
			w.foreign(s)
			continue
		}
		w.compared++
		if c := &w.cells[k]; !c.shows(s.Value) {
			writer := &w.h.Ops[c.writer]
			w.wrongAt(s.TS.Wall, k, fmt.Sprintf("Key %s: the store applied %s at %s, where the transactions up to then make %s.\n  %s", s.Key, brief(s.Value), s.TS, brief(c.value()), title(writer)), writer.ID)
		}
		w.cells[k].matched = id + 1
	}
	for _, m := range group {
		op := &w.h.Ops[m.txn]
		for i := range op.Actions {
			a := &op.Actions[i]
			if k := w.key(a.Key); a.F.Writes() && w.cells[k].matched != id+1 {
				w.cells[k].matched = id + 1
				w.wrongAt(op.Call, k, fmt.Sprintf("Key %s: this transaction wrote it, and the store applied no version of it at %s.\n  %s", a.Key, ts, title(op)), op.ID)
			}
		}
	}
}

// foreign is a stored version at a timestamp at which no transaction wrote the key.
func (w *witness) foreign(s *checker.Version) {
	k := w.key(s.Key)
	w.wrongAt(s.TS.Wall, k, fmt.Sprintf("Key %s: the store applied %s at %s, and no transaction that may have happened wrote the key at that timestamp.", s.Key, brief(s.Value), s.TS))
}

func brief(v history.Value) string {
	if l := v.List(); len(l) > 24 {
		return fmt.Sprintf("a list of %d that ends in %s", len(l), history.List(l[len(l)-16:]...))
	}
	return v.String()
}

// title prints a transaction without more of its lists than a person can take in.
func title(op *history.Op) string {
	short := *op
	short.Actions = slices.Clone(op.Actions)
	for i := range short.Actions {
		if l := short.Actions[i].Result.List(); len(l) > 24 {
			short.Actions[i].Result = history.List(l[len(l)-16:]...)
		}
	}
	return short.String()
}

// moment is when a transaction happened.
type moment struct {
	wall    int64
	logical int32
	txn     int32
}

func (m moment) same(o moment) bool { return m.wall == o.wall && m.logical == o.logical }

func (m moment) before(o moment) bool {
	return m.wall < o.wall || m.wall == o.wall && m.logical < o.logical
}

// sortMoments sorts by timestamp, and at one timestamp keeps the order. Operations
// are called nearly in the order of their timestamps, so that each has a few places
// to go; where that does not hold they are sorted digit by digit.
func sortMoments(ms []moment) {
	const places = 32 // on average, beyond which digits are faster
	for i, budget := 1, places*len(ms); i < len(ms); i++ {
		m, j := ms[i], i
		for j > 0 && m.before(ms[j-1]) {
			ms[j] = ms[j-1]
			j--
		}
		ms[j] = m
		if budget -= i - j; budget < 0 {
			sortDigits(ms)
			return
		}
	}
}

// sortDigits sorts moments digit by digit from the least: a million take a tenth of
// what comparing them does.
func sortDigits(ms []moment) {
	const bits = 16
	spare := make([]moment, len(ms))
	count := make([]int32, 1<<bits+1)
	from, to := ms, spare
	pass := func(digit func(moment) uint16) {
		clear(count)
		for i := range from {
			count[int(digit(from[i]))+1]++
		}
		for d := 1; d < len(count); d++ {
			if count[d] == int32(len(ms)) {
				return // all have the same digit
			}
			count[d] += count[d-1]
		}
		for i := range from {
			d := digit(from[i])
			to[count[d]] = from[i]
			count[d]++
		}
		from, to = to, from
	}
	least := ms[0].wall
	for i := range ms {
		least = min(least, ms[i].wall)
	}
	for shift := 0; shift < 32; shift += bits {
		// Flipping the sign bit makes negative logical parts sort first.
		pass(func(m moment) uint16 { return uint16((uint32(m.logical) ^ 1<<31) >> shift) })
	}
	for shift := 0; shift < 64; shift += bits {
		pass(func(m moment) uint16 { return uint16(uint64(m.wall-least) >> shift) })
	}
	if &from[0] != &ms[0] {
		copy(ms, from)
	}
}
