package workloads

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// lists are read, and appended to at the end. Every other list is one value, which
// an append reads and replaces; the rest have a row for each element, which an append
// puts behind the last one it finds, so that what it depends on is an absence:
//
//	s00/list/000012        [7 12 31]
//	s01/list/000013/0000   9
//	s01/list/000013/0001   11
//
// Values show what was there before them, and so the order of all versions.
type lists struct {
	*base
	live  []*list // those that are appended to now, one for each of Keys
	named int     // lists so far
}

type list struct {
	name    string
	place   int // among those that are live
	rows    bool
	appends int // asked for so far
}

func newLists(b *base) *lists {
	l := &lists{base: b}
	for i := range b.Keys {
		l.live = append(l.live, l.begin(i))
	}
	return l
}

// begin names a new list in the place of the i-th.
func (l *lists) begin(i int) *list {
	l.named++
	return &list{name: fmt.Sprintf("%slist/%06d", slotPrefix(i%l.Slots), l.named), place: i, rows: i/l.Slots%2 == i%2}
}

func (l *lists) setup(env.Task, *Client) error { return nil }

// once does one transaction.
func (l *lists) once(t env.Task, c *Client) outcome {
	var chosen []*list
	p := l.draw(c, func(readOnly bool, before []move) move {
		i := hotOr(c.Rand, len(l.live), l.Hot, l.HotPercent)
		if at := l.again(c, before, func(k moveKind) bool { return k != moveNested }); at >= 0 {
			i = chosen[at].place
		}
		m := move{at: len(chosen)}
		m.lock, m.safe = l.lock(c, readOnly)
		if !readOnly && weighted(c.Rand, l.Txn.Read, l.Txn.Write) == 1 {
			m.kind = moveWrite
			if l.live[i].appends++; l.live[i].appends > l.Txn.PerKey {
				l.live[i] = l.begin(i)
			}
		}
		m.delta = c.Rand.Int64N(2)
		chosen = append(chosen, l.live[i])
		return m
	})
	return l.follow(t, c, p, func(x *transaction, m move) error { return l.exec(t, x, m, chosen[m.at]) }, nil)
}

// exec reads a list, and appends to it if it is to.
func (l *lists) exec(t env.Task, x *transaction, m move, on *list) error {
	if _, known := x.known[on.name]; !known || m.kind == moveRead {
		if err := x.do(t, m.locked(on.read(m.delta == 1))); err != nil {
			return err
		}
	}
	if m.kind == moveRead {
		return nil
	}
	n, old := l.fresh(), x.known[on.name].List()
	s := step{Op{Kind: Put, Key: []byte(on.name), Value: EncodeList(append(slices.Clone(old), n))},
		history.Action{F: history.Append, Key: on.name, Arg: history.Int(n)}, nil}
	if on.rows {
		s.op.Key, s.op.Value = []byte(fmt.Sprintf("%s/%04d", on.name, len(old))), EncodeInt(n)
	}
	return x.do(t, s)
}

// read reads a list; one of rows in either direction.
func (on *list) read(reverse bool) step {
	if !on.rows {
		return step{Op{Kind: Get, Key: []byte(on.name)}, history.Action{F: history.Read, Key: on.name}, func(res OpResult) (history.Value, error) {
			v, err := Decode(res.Value)
			if n, ok := v.Int(); ok && err == nil {
				err = fmt.Errorf("list %s holds %d and no list", on.name, n)
			}
			return v, err
		}}
	}
	key, end := spanOf(on.name)
	kind := Scan
	if reverse {
		kind = ReverseScan
	}
	return step{Op{Kind: kind, Key: key, End: end}, history.Action{F: history.Read, Key: on.name}, func(res OpResult) (history.Value, error) {
		rows, odd := rowsOf(res.Rows, key, end, reverse)
		all := make([]int64, 0, len(rows))
		for i, row := range rows {
			v, err := Decode(row.Value)
			n, ok := v.Int()
			place, bad := element(row.Key)
			switch {
			case err != nil:
				odd = err
			case !ok:
				odd = fmt.Errorf("%s holds %s and no number", row.Key, v)
			case bad != nil || place != int64(i):
				odd = fmt.Errorf("list %s has no element %d and goes on with %s", on.name, i, row.Key)
			}
			all = append(all, n)
		}
		return history.List(all...), odd
	}}
}

// sweep reads the live lists of a slot.
func (l *lists) sweep(slot int) []step {
	var steps []step
	for i := slot; i < len(l.live); i += l.Slots {
		steps = append(steps, l.live[i].read(false))
	}
	return steps
}

func (l *lists) wants() []string {
	x := &l.Txn
	return append(wantsOf(x.ReadOnly, kindReadOnly, x.Past, kindPast, x.Long, kindLong, x.Low, kindLow, x.High, kindHigh, x.Nested, kindUndone, x.Nested, moveNested.String(), x.Shared, kindShared, x.Exclusive, kindExclusive),
		kindReadWrite, kindAtOnce, moveRead.String(), moveWrite.String())
}

func (l *lists) check(h *history.History, ctx Context) []checker.Verdict {
	versions := versionsOf(ctx, "list")
	if versions != nil {
		versions = wholeLists(versions)
	}
	h = restrict(h, "list")
	return l.judgeLists(h, Context{ctx.Skewed, versions}, keysOf(h, nil))
}

// wholeLists turns the versions of rows into versions of their lists: what the list
// was once everything up to a timestamp had been applied.
func wholeLists(versions []checker.Version) []checker.Version {
	var out []checker.Version
	rows := map[string][]checker.Version{}
	var names []string
	for _, v := range versions {
		if strings.Count(v.Key, "/") < 3 {
			out = append(out, v)
			continue
		}
		name := v.Key[:strings.LastIndexByte(v.Key, '/')]
		if rows[name] == nil {
			names = append(names, name)
		}
		rows[name] = append(rows[name], v)
	}
	for _, name := range names {
		all := rows[name]
		slices.SortStableFunc(all, func(a, b checker.Version) int {
			return cmp.Or(a.TS.Compare(b.TS), cmp.Compare(a.Key, b.Key))
		})
		var places, list []int64
		for i, v := range all {
			place, _ := strconv.ParseInt(v.Key[len(name)+1:], 10, 64)
			n, _ := v.Value.Int()
			at, found := slices.BinarySearch(places, place)
			if !found {
				places, list = slices.Insert(places, at, place), slices.Insert(list, at, n)
			}
			list[at] = n
			if i+1 == len(all) || all[i+1].TS != v.TS {
				out = append(out, checker.Version{Key: name, TS: v.TS, Value: history.List(slices.Clone(list)...)})
			}
		}
	}
	return out
}
