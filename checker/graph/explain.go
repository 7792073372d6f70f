package graph

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"simulacrum/checker/history"
)

// tell turns a cycle into an anomaly: every edge in words, with the transactions.
func (a *analysis) tell(c []hop) {
	cy := &Cycle{Name: label(c)}
	x := Anomaly{Cycle: cy}
	var b strings.Builder
	var nodes, reasons strings.Builder
	for _, e := range c {
		cy.Edges = append(cy.Edges, a.explain(e))
	}
	for i, e := range c {
		edge := cy.Edges[i]
		x.Ops = append(x.Ops, edge.From)
		fmt.Fprintf(&nodes, "\n  T%d: %s", edge.From, titleAt(&a.h.Ops[e.from], edge.Key, cy.Edges[(i+len(c)-1)%len(c)].Key))
		fmt.Fprintf(&reasons, "\n  %s → %s  %-8s %s", tn(edge.From), tn(edge.To), edge.Kind, edge.Text)
	}
	if a.lostUpdate(c) {
		cy.Name = lostUpdate
	}
	x.Name = cy.Name
	fmt.Fprintf(&b, "%s: each of %d transactions comes before the next, and the last before the first.", cy.Name, len(c))
	b.WriteString(reasons.String())
	b.WriteString(nodes.String())
	x.Text = b.String()
	if key := cy.Edges[0].Key; len(c) == 2 && key == cy.Edges[1].Key {
		x.Key = key
	}
	a.found = append(a.found, x)
}

func tn(id int) string { return fmt.Sprintf("T%d", id) }

// lostUpdate: two transactions, of which one wrote a key that it had read before
// the other wrote it (P4 of Berenson et al., 1995).
func (a *analysis) lostUpdate(c []hop) bool {
	if len(c) != 2 {
		return false
	}
	for i := range c {
		e, back := a.explain(c[i]), a.explain(c[1-i])
		if e.Kind == RW && (back.Kind == WW || back.Kind == RW) && back.Key == e.Key && a.changes(c[i].from, a.names.ID(e.Key)) {
			return true
		}
	}
	return false
}

func (a *analysis) changes(t, key int32) bool {
	for _, s := range a.stepsOf(t) {
		if s.key == key && s.does.changes() {
			return true
		}
	}
	return false
}

// explain finds the keys and values behind an edge again. Edges are kept as bare
// numbers while there are millions of them.
func (a *analysis) explain(e hop) Edge {
	out := Edge{From: a.id(e.from), To: a.id(e.to), Kind: e.kind, Via: -1}
	from, to := tn(out.From), tn(out.To)
	switch e.kind {
	case WW:
		a.explainWW(e, &out, from, to)
	case WR:
		a.explainWR(e, &out, from, to)
	case RW:
		a.explainRW(e, &out, from, to)
	case Session:
		x := &a.h.Ops[e.from]
		out.Text = fmt.Sprintf("the same session (%s) ran %s, which ended at %s, before it began %s at %s", strings.TrimSpace(x.Client+" "+x.Gateway),
			from, history.Clock(x.Return), to, history.Clock(a.h.Ops[e.to].Call))
	case RealTime:
		key, _ := a.meet(e.from, e.to)
		out.Key = a.keys[key]
		out.Text = fmt.Sprintf("%s was answered at %s, before %s began at %s, and both touch %s", from, history.Clock(a.h.Ops[e.from].Return), to, history.Clock(a.h.Ops[e.to].Call), out.Key)
	}
	return out
}

// writesOf is the writes of a transaction, as numbers in the table.
func (a *analysis) writesOf(t int32) []int32 {
	w := &a.writes
	var out []int32
	for i := sort.Search(len(w.txn), func(i int) bool { return w.txn[i] >= t }); i < len(w.txn) && w.txn[i] == t; i++ {
		out = append(out, int32(i))
	}
	return out
}

// readsOf is what a transaction read from outside.
func (a *analysis) readsOf(t int32) []readRec {
	i := sort.Search(len(a.reads), func(i int) bool { return a.reads[i].txn >= t })
	j := i
	for j < len(a.reads) && a.reads[j].txn == t {
		j++
	}
	return a.reads[i:j]
}

// ordered tells whether the order of versions is known as one list a key.
func (a *analysis) ordered() bool { return a.order.at != nil }

// explainWW: of all pairs of writes that show the order, the closest.
func (a *analysis) explainWW(e hop, out *Edge, from, to string) {
	w := &a.writes
	if !a.ordered() {
		for _, r := range a.readsOf(e.to) {
			if r.of != noWrite && w.txn[r.of] == e.from {
				if x := a.finalWrite(e.to, r.key); x != noWrite {
					out.Key = a.keys[r.key]
					out.Text = fmt.Sprintf("%s wrote %s to %s after it had read the %s of %s there", to, a.value(x), out.Key, a.value(r.of), from)
					return
				}
			}
		}
		return
	}
	bestX, bestY, gap := int32(noWrite), int32(noWrite), int32(1<<30)
	for _, x := range a.writesOf(e.from) {
		for _, y := range a.writesOf(e.to) {
			if w.key[x] != w.key[y] || w.pos[x] == noWrite {
				continue
			}
			d := w.pos[y] - w.pos[x]
			if w.pos[y] == noWrite {
				d = int32(len(a.order.of(w.key[x]))) - w.pos[x]
			}
			if d > 0 && d < gap {
				bestX, bestY, gap = x, y, d
			}
		}
	}
	if bestX == noWrite {
		return
	}
	k := w.key[bestX]
	out.Key = a.keys[k]
	if v := a.order.shown[k]; v >= 0 {
		out.Via = a.id(v)
	}
	out.Text = fmt.Sprintf("%s %s behind the %s of %s", to, a.name(bestY), a.value(bestX), from)
	if a.order.list != nil && w.pos[bestY] == noWrite {
		out.Text += fmt.Sprintf(", which T%d read as %s without it", out.Via, show(a.order.list[k]))
	} else if out.Via >= 0 {
		out.Text += fmt.Sprintf(", as T%d read: %s", out.Via, show(a.order.list[k]))
	} else {
		out.Text += ", by the order of the stored versions"
	}
}

func (a *analysis) explainWR(e hop, out *Edge, from, to string) {
	w := &a.writes
	for _, r := range a.readsOf(e.to) {
		x := r.of
		if a.order.list != nil {
			// The nearest element that a transaction of this order appended.
			x = noWrite
			for i := r.n - 1; i >= 0; i-- {
				if y := a.order.of(r.key)[i]; y != noWrite && a.in[w.txn[y]] {
					x = y
					break
				}
			}
		}
		if x == noWrite || w.txn[x] != e.from {
			continue
		}
		out.Key = a.keys[r.key]
		out.Text = fmt.Sprintf("%s read %s from %s, which %s %s", to, a.sawOf(r), out.Key, from, a.did(x))
		return
	}
}

func (a *analysis) explainRW(e hop, out *Edge, from, to string) {
	w := &a.writes
	best, gap := readRec{}, int32(1<<30)
	next := int32(noWrite)
	for _, r := range a.readsOf(e.from) {
		for _, y := range a.writesOf(e.to) {
			if w.key[y] != r.key {
				continue
			}
			d := int32(0)
			switch {
			case !a.ordered():
				if r.of != noWrite && !a.readsVersion(e.to, r) || !w.final[y] {
					continue
				}
			case w.pos[y] == noWrite:
				d = int32(len(a.order.of(r.key)))
			default:
				if d = w.pos[y] - r.n; d < 0 {
					continue
				}
			}
			if d < gap {
				best, next, gap = r, y, d
			}
		}
	}
	if next == noWrite {
		return
	}
	out.Key = a.keys[best.key]
	out.Text = fmt.Sprintf("%s %s after %s had read %s there", to, a.name(next), from, a.sawOf(best))
}

// readsVersion tells whether a transaction read the same version.
func (a *analysis) readsVersion(t int32, r readRec) bool {
	for _, s := range a.readsOf(t) {
		if s.key == r.key && s.of == r.of {
			return true
		}
	}
	return false
}

// meet is a key that both transactions touch and one of them writes, as real time
// counts: of an unknown outcome only writes do, and after clocks left their bounds
// no read follows a write.
func (a *analysis) meet(t, u int32) (int32, bool) {
	for _, x := range a.stepsOf(t) {
		for _, y := range a.stepsOf(u) {
			if x.key != y.key || !x.does.changes() && !y.does.changes() {
				continue
			}
			if !y.does.changes() && (a.h.Ops[u].Outcome == history.Info || a.o.SkewExceeded && !a.changes(u, y.key)) {
				continue
			}
			return x.key, true
		}
	}
	return 0, false
}

func (a *analysis) value(x int32) string {
	if a.writes.deletes[x] {
		return "delete"
	}
	return fmt.Sprint(a.writes.value[x])
}

// sawOf prints what was read from outside.
func (a *analysis) sawOf(r readRec) string {
	if a.lists != nil {
		return show(a.lists[r.of][:r.n])
	}
	if r.of == noWrite {
		return "the initial value"
	}
	return a.value(r.of)
}

func (a *analysis) did(x int32) string {
	if a.check == "list-append" {
		return "appended (" + a.value(x) + ")"
	}
	return "wrote"
}

// nameAppend and nameWrite say what a write did: "appended 5 to x".
func (a *analysis) nameAppend(x int32) string {
	return fmt.Sprintf("appended %d to %s", a.writes.value[x], a.keys[a.writes.key[x]])
}

func (a *analysis) nameWrite(x int32) string {
	if a.writes.deletes[x] {
		return "deleted " + a.keys[a.writes.key[x]]
	}
	return fmt.Sprintf("wrote %d to %s", a.writes.value[x], a.keys[a.writes.key[x]])
}

// show prints a list, and of a long one its ends.
func show(list []int64) string {
	if len(list) <= 24 {
		return history.List(list...).String()
	}
	head, tail := history.List(list[:4]...).String(), history.List(list[len(list)-16:]...).String()
	return fmt.Sprintf("%s … %d more … %s", strings.TrimSuffix(head, "]"), len(list)-20, strings.TrimPrefix(tail, "["))
}

// title prints a transaction on one line that a person can take in.
func title(op *history.Op) string {
	const most = 600
	s := op.String()
	if len(s) <= most {
		return s
	}
	short := *op
	short.Actions = make([]history.Action, len(op.Actions))
	for i, x := range op.Actions {
		short.Actions[i] = x
		if l := x.Result.List(); len(l) > 24 {
			short.Actions[i].Result = history.List(l[len(l)-16:]...)
		}
	}
	s = strings.ToValidUTF8(short.String(), "")
	if len(s) > 2*most {
		s = strings.ToValidUTF8(s[:2*most], "") + " …"
	}
	return s
}

// titleAt prints of a long transaction only what it did at some keys: what a cycle
// turns on must not be lost among the rest.
func titleAt(op *history.Op, keys ...string) string {
	const many = 4 // actions that a reader takes in at once
	if len(op.Actions) <= many {
		return title(op)
	}
	short := *op
	short.Actions = nil
	for _, x := range op.Actions {
		if x.F == history.Scan || slices.Contains(keys, x.Key) {
			short.Actions = append(short.Actions, x)
		}
	}
	left := len(op.Actions) - len(short.Actions)
	if left == 0 || len(short.Actions) == 0 {
		return title(op)
	}
	return fmt.Sprintf("%s (and %d more actions)", title(&short), left)
}
