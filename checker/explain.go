package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// explainAll turns what a sweep found into words: one problem for each operation
// at fault, told with the operation that proves it.
func (k *keyHistory) explainAll(o *ordered, s *swept) []problem {
	var out []problem
	for _, r := range s.strays {
		out = append(out, k.explainStray(o, r))
	}
	for _, i := range s.broken {
		out = append(out, k.explainBroken(o, i))
	}
	// One operation at fault can make many others misfit: a read far too stale
	// contradicts every write it missed. The misfit that became evident first
	// speaks for all with the same cause; a write explains better than a read.
	first := map[*keyOp]misfit{}
	var order []*keyOp
	for _, m := range s.misfits {
		best, ok := first[m.cause.by]
		if !ok {
			order = append(order, m.cause.by)
		}
		if !ok || better(m, best) {
			first[m.cause.by] = m
		}
	}
	for _, by := range order {
		out = append(out, k.explainMisfit(o, first[by]))
	}
	return out
}

func better(a, b misfit) bool {
	if a.version != b.version {
		return a.version < b.version
	}
	if a.write != b.write {
		return a.write
	}
	return a.op.end < b.op.end
}

// explainStray: a read found what was never there.
func (k *keyHistory) explainStray(o *ordered, r *keyOp) problem {
	p := problem{when: r.end, key: k.key, ops: []int{r.op.ID}}
	what := k.values.String(r.seen)
	switch r.sees {
	case seesSum:
		what = fmt.Sprint(r.sum)
	case seesNot:
		p.text = fmt.Sprintf("Key %s: %s failed its condition, although the key never held anything but %s.", k.key, r.op, what)
		return p
	}
	for i := range k.ops {
		w := &k.ops[i]
		if w.does == doesSet && w.arg == r.seen && w.maybe {
			p.ops = append(p.ops, w.op.ID)
			p.text = fmt.Sprintf("Key %s: %s found %s. Only an operation of unknown outcome wrote it, and it has no place in the order of versions:\n  %s", k.key, r.op, what, w.op)
			return p
		}
	}
	p.text = fmt.Sprintf("Key %s: %s found %s, which nobody wrote (or whose write certainly failed): a phantom.", k.key, r.op, what)
	return p
}

// explainBroken: an operation that reads and writes found another version than
// the one its write follows.
func (k *keyHistory) explainBroken(o *ordered, i int) problem {
	w, prev := o.versions[i].writer, o.versions[i-1]
	p := problem{when: w.end, key: k.key, ops: []int{w.op.ID}}
	p.text = fmt.Sprintf("Key %s: %s read and wrote at one moment, but by timestamp the version just before its write is %s (%s)", k.key, w.op, k.values.String(prev.value), k.author(prev))
	if prev.writer != nil {
		p.ops = append(p.ops, prev.writer.op.ID)
	}
	switch w.sees {
	case seesSum:
		p.text += fmt.Sprintf(", and it added to %d. An update is lost.", w.sum)
	case seesNot:
		p.text += ", which is what it says it did not find."
	default:
		p.text += fmt.Sprintf(", and it found %s. An update is lost, or the condition was tested against the wrong version.", k.values.String(w.seen))
	}
	return p
}

func (k *keyHistory) author(v version) string {
	if v.writer == nil {
		return "the beginning"
	}
	return "by op " + fmt.Sprint(v.writer.op.ID)
}

// explainMisfit: m.op ended before the earliest moment its version can have, and
// m.cause imposed that moment.
func (k *keyHistory) explainMisfit(o *ordered, m misfit) problem {
	by := m.cause.by
	p := problem{when: max(m.op.end, by.call), key: k.key}
	if by.end != history.Never {
		p.when = max(p.when, by.end)
	}
	value := func(i int) string { return k.values.String(o.versions[i].value) }
	ended, began := history.Clock(m.op.end), history.Clock(by.call)
	switch {
	case m.cause.write && m.cause.version == m.version:
		p.when = m.op.end
		p.ops = []int{m.op.op.ID, by.op.ID}
		p.text = fmt.Sprintf("Key %s: read from the future. A read found %s and had ended at %s, before the write of it began at %s.\n  read:  %s\n  write: %s", k.key, value(m.version), ended, began, m.op.op, by.op)
	case m.cause.write:
		p.ops = []int{by.op.ID, m.op.op.ID}
		p.text = fmt.Sprintf("Key %s: timestamps run against real time. %s of %s had ended at %s. The write of %s began later, at %s, and yet its timestamp puts it before.\n  ended: %s\n  began: %s",
			k.key, title(m), value(m.version), ended, value(m.cause.version), began, m.op.op, by.op)
	default:
		p.ops = []int{by.op.ID, m.op.op.ID}
		p.text = fmt.Sprintf("Key %s: stale read. %s of %s had ended at %s. A read that began later, at %s, still found %s, an older version.\n  newer: %s\n  stale: %s",
			k.key, title(m), value(m.version), ended, began, value(m.cause.version), m.op.op, by.op)
	}
	if w := o.versions[m.version].writer; w != nil && !m.write && w != by {
		p.text += "\n  wrote " + value(m.version) + ": " + w.op.String()
		p.ops = append(p.ops, w.op.ID)
	}
	if w := o.versions[m.cause.version].writer; w != nil && !m.cause.write {
		p.text += "\n  wrote " + value(m.cause.version) + ": " + w.op.String()
		p.ops = append(p.ops, w.op.ID)
	}
	sort.Ints(p.ops[2:])
	return p
}

func title(m misfit) string {
	if m.write {
		return "The write"
	}
	return "A read"
}
