package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// Counter judges keys that are only incremented and read: every addition counts
// exactly once. A read may show no less than what was acknowledged before it
// began and no more than what was attempted before it ended; additions of unknown
// outcome make the difference. The results of additions are distinct, and rise
// in real time where all amounts are positive. Jepsen's counter checker has the
// idea of the two bounds.
//
// The initial value comes from the options (absent counts as 0). Reads of the
// past are not judged. The check is vacuous for want of a read after the last
// acknowledged addition: only such a final read proves that none was lost.
func Counter(h *history.History, o Options) Verdict {
	c := &counter{}
	keys := o.keysOf(h)
	final, withFinal := 0, 0
	for _, k := range keys {
		n := c.key(k, o.initial(k.key))
		if n >= 0 {
			final++
			if n > 0 {
				withFinal++
			}
		}
	}
	v := Verdict{Check: "counter", Valid: OK}
	v.Counts = []Count{{"keys", int64(final)}, {"keys with a final read", int64(withFinal)}, {"additions acknowledged", int64(c.added)},
		{"additions of unknown outcome", int64(c.open)}, {"reads", int64(c.reads)}}
	v.report(c.problems)
	switch {
	case len(c.problems) > 0:
		v.Valid, v.Summary = Violation, fmt.Sprintf("not exactly once: %s", plural(len(c.problems), "problem"))
	case c.skipped > 0:
		v.Valid, v.Summary = Unknown, plural(c.skipped, "key")+" hold writes other than additions"
	case c.added == 0 || withFinal < final || final == 0:
		v.Valid, v.Summary = Vacuous, fmt.Sprintf("%s acknowledged, %d of %d keys have a final read", plural(c.added, "addition"), withFinal, final)
	default:
		v.Summary = fmt.Sprintf("each of %s counted exactly once, %d more may or may not have", plural(c.added, "addition"), c.open)
	}
	return v
}

type counter struct {
	added, open, reads, skipped int
	problems                    []problem
}

// addition is one increment of one key.
type addition struct {
	o      *keyOp
	by     int64
	result int64
	known  bool
}

// key judges one counter, and returns how many final reads it had, or -1 when it
// is no counter.
func (c *counter) key(k *keyHistory, initial history.Value) int {
	var adds []addition
	var reads []*keyOp
	positive := true
	lastAck := int64(-1 << 63)
	for i := range k.ops {
		o := &k.ops[i]
		a, isAdd := asAddition(k, o)
		switch {
		case isAdd:
			adds = append(adds, a)
			positive = positive && a.by > 0
			if o.maybe {
				c.open++
			} else {
				c.added++
				lastAck = max(lastAck, o.end)
			}
		case o.does != doesNothing:
			c.skipped++
			return -1
		case o.sees == seesValue && !o.maybe && !o.op.Stale:
			reads = append(reads, o)
		}
	}
	if len(adds) == 0 {
		return -1
	}
	c.problems = append(c.problems, k.wrong...)
	start, _ := k.values.number(k.values.id(initial))
	final := c.bounds(k, adds, reads, start, lastAck)
	if positive {
		c.results(k, adds)
	}
	return final
}

// asAddition reads what an operation added: its batch may hold several increments
// of the key, and reads between them, and nothing else.
func asAddition(k *keyHistory, o *keyOp) (addition, bool) {
	for _, a := range o.op.Actions {
		if a.Key == k.key && a.F != history.Increment && a.F != history.Read {
			return addition{}, false
		}
	}
	switch {
	case o.does == doesAdd:
		return addition{o: o, by: o.delta}, true
	case o.does == doesSet:
		n, _ := k.values.number(o.arg)
		from := o.sum
		if o.sees == seesValue {
			from, _ = k.values.number(o.seen)
		}
		return addition{o: o, by: n - from, result: n, known: true}, true
	}
	return addition{}, false
}

// bounds compares every read with what must and what may have been added.
func (c *counter) bounds(k *keyHistory, adds []addition, reads []*keyOp, start, lastAck int64) (final int) {
	byCall := append([]addition{}, adds...)
	sort.SliceStable(byCall, func(i, j int) bool { return byCall[i].o.call < byCall[j].o.call })
	byEnd := append([]addition{}, adds...)
	sort.SliceStable(byEnd, func(i, j int) bool { return byEnd[i].o.end < byEnd[j].o.end })
	c.reads += len(reads)
	// Two running sums, one along the calls of reads and one along their ends:
	// low and high are moved by every addition according to its sign.
	type point struct{ low, high int64 }
	at := make(map[*keyOp]*point, len(reads))
	for _, r := range reads {
		at[r] = &point{start, start}
	}
	sort.SliceStable(reads, func(i, j int) bool { return reads[i].call < reads[j].call })
	i := 0
	var certain point
	for _, r := range reads {
		for ; i < len(byEnd) && byEnd[i].o.end < r.call; i++ {
			// Certain from here on: it moves both bounds; until then it moved one.
			certain.low += max(byEnd[i].by, 0)
			certain.high += min(byEnd[i].by, 0)
		}
		at[r].low += certain.low
		at[r].high += certain.high
		if r.call > lastAck {
			final++
		}
	}
	byRet := append([]*keyOp{}, reads...)
	sort.SliceStable(byRet, func(i, j int) bool { return byRet[i].end < byRet[j].end })
	i = 0
	var possible point
	for _, r := range byRet {
		for ; i < len(byCall) && byCall[i].o.call <= r.end; i++ {
			possible.high += max(byCall[i].by, 0)
			possible.low += min(byCall[i].by, 0)
		}
		at[r].low += possible.low
		at[r].high += possible.high
	}
	for _, r := range reads {
		n, isInt := k.values.number(r.seen)
		p := at[r]
		text := ""
		switch {
		case !isInt:
			text = "no number"
		case n < p.low:
			text = fmt.Sprintf("less than %d, which the additions acknowledged before it began make: an acknowledged addition is lost", p.low)
		case n > p.high:
			text = fmt.Sprintf("more than %d, which all additions attempted before it ended make: an addition was counted twice", p.high)
		default:
			continue
		}
		c.problems = append(c.problems, problem{when: r.end, key: k.key, ops: []int{r.op.ID},
			text: fmt.Sprintf("Key %s: %s found %s, %s.", k.key, r.op, k.values.String(r.seen), text)})
	}
	return final
}

// results judges what additions returned: all different, and rising from one
// that ended to one that began later.
func (c *counter) results(k *keyHistory, adds []addition) {
	var known []addition
	for _, a := range adds {
		if a.known && !a.o.maybe {
			known = append(known, a)
		}
	}
	by := map[int64]*keyOp{}
	for _, a := range known {
		if o := by[a.result]; o != nil {
			c.problems = append(c.problems, problem{when: a.o.end, key: k.key, ops: []int{o.op.ID, a.o.op.ID},
				text: fmt.Sprintf("Key %s: two additions returned %d, so that one is lost.\n  %s\n  %s", k.key, a.result, o.op, a.o.op)})
		}
		by[a.result] = a.o
	}
	byEnd := append([]addition{}, known...)
	sort.SliceStable(byEnd, func(i, j int) bool { return byEnd[i].o.end < byEnd[j].o.end })
	sort.SliceStable(known, func(i, j int) bool { return known[i].o.call < known[j].o.call })
	var top *addition
	i := 0
	for _, a := range known {
		for ; i < len(byEnd) && byEnd[i].o.end < a.o.call; i++ {
			if top == nil || byEnd[i].result > top.result {
				top = &byEnd[i]
			}
		}
		if top != nil && a.result < top.result {
			c.problems = append(c.problems, problem{when: a.o.end, key: k.key, ops: []int{top.o.op.ID, a.o.op.ID},
				text: fmt.Sprintf("Key %s: an addition returned %d after another had already returned %d.\n  %s\n  %s", k.key, a.result, top.result, top.o.op, a.o.op)})
		}
	}
}
