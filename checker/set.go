package checker

import (
	"fmt"
	"sort"

	"simulacrum/checker/history"
)

// SetDurable judges sets: elements are added (Add with an integer, each element
// once in a run) and the whole is read (a list). Every element acknowledged
// before a final read began must be in it; nothing may be in any read that nobody
// tried to add before the read ended, or whose addition certainly failed; nothing
// may be in it twice. The final read is the last, and began after the last acknowledged
// addition; without one there is nothing to say about durability. Elements that
// an earlier read missed and a later one found are counted as stale and not
// failed, in the manner of Jepsen's set-full.
func SetDurable(h *history.History, o Options) Verdict {
	s := &sets{byKey: map[string]*setHistory{}}
	want := map[string]bool{}
	for _, k := range o.Keys {
		want[k] = true
	}
	for i := range h.Ops {
		for j := range h.Ops[i].Actions {
			a := &h.Ops[i].Actions[j]
			if o.Keys == nil || want[a.Key] {
				s.action(&h.Ops[i], a)
			}
		}
	}
	sort.Slice(s.keys, func(i, j int) bool { return s.keys[i].key < s.keys[j].key })
	finals := 0
	for _, k := range s.keys {
		if s.judge(k) {
			finals++
		}
	}
	v := Verdict{Check: "set", Valid: OK}
	v.Counts = []Count{{"sets", int64(len(s.keys))}, {"sets with a final read", int64(finals)}, {"acknowledged", int64(s.acked)}, {"unknown outcome", int64(s.unknown)},
		{"unknown outcome, present at the end", int64(s.recovered)}, {"lost", int64(s.lost)}, {"stale sightings", int64(s.stale)}, {"reads", int64(s.reads)}}
	v.report(s.problems)
	switch {
	case len(s.problems) > 0:
		v.Valid = Violation
		v.Summary = fmt.Sprintf("%s: %d acknowledged elements lost of %d", plural(len(s.problems), "problem"), s.lost, s.acked)
	case finals < len(s.keys) || len(s.keys) == 0 || s.acked == 0:
		v.Valid = Vacuous
		v.Summary = fmt.Sprintf("%s acknowledged, %d of %d sets have a final read", plural(s.acked, "element"), finals, len(s.keys))
	default:
		v.Summary = fmt.Sprintf("all %d acknowledged elements are in the final read, and nothing else but %d of unknown outcome", s.acked, s.recovered)
	}
	return v
}

type sets struct {
	byKey                                         map[string]*setHistory
	keys                                          []*setHistory
	acked, unknown, recovered, lost, stale, reads int
	problems                                      []problem
}

// setHistory is the life of one set.
type setHistory struct {
	key     string
	adds    []setAdd
	byValue map[int64]int
	reads   []setRead
	lastAck int64
}

type setAdd struct {
	op *history.Op
	n  int64
}

type setRead struct {
	op    *history.Op
	elems []int64
}

func (s *sets) key(name string) *setHistory {
	k := s.byKey[name]
	if k == nil {
		k = &setHistory{key: name, byValue: map[int64]int{}, lastAck: -1 << 63}
		s.byKey[name] = k
		s.keys = append(s.keys, k)
	}
	return k
}

func (s *sets) action(op *history.Op, a *history.Action) {
	switch a.F {
	case history.Add:
		n, ok := a.Arg.Int()
		if !ok {
			return
		}
		k := s.key(a.Key)
		if i, twice := k.byValue[n]; twice {
			// A client may try again what certainly failed.
			if k.adds[i].op.Outcome != history.Fail {
				s.problems = append(s.problems, problem{when: op.Call, key: a.Key, ops: []int{k.adds[i].op.ID, op.ID},
					text: fmt.Sprintf("Set %s: element %d was added twice by the workload, which must not do so: nothing could be concluded.", a.Key, n)})
			}
			k.adds[i].op = op
		} else {
			k.byValue[n] = len(k.adds)
			k.adds = append(k.adds, setAdd{op, n})
		}
		switch op.Outcome {
		case history.OK:
			k.lastAck = max(k.lastAck, op.Return)
		}
	case history.Read:
		if op.Outcome != history.OK || op.Stale || a.Result.IsNone() {
			return
		}
		k := s.key(a.Key)
		k.reads = append(k.reads, setRead{op, a.Result.List()})
		s.reads++
	}
}

// judge judges one set and reports whether it had a final read.
func (s *sets) judge(k *setHistory) bool {
	for _, a := range k.adds {
		switch a.op.Outcome {
		case history.OK:
			s.acked++
		case history.Info:
			s.unknown++
		}
	}
	sort.SliceStable(k.reads, func(i, j int) bool { return k.reads[i].op.Call < k.reads[j].op.Call })
	final := false
	var missed map[int64]bool
	everMissed := map[int64]int{}
	for i, r := range k.reads {
		in := s.content(k, r)
		missed = map[int64]bool{}
		for _, a := range k.adds {
			if a.op.Outcome == history.OK && a.op.Return < r.op.Call && !in[a.n] {
				missed[a.n] = true
				everMissed[a.n]++
			}
		}
		if i < len(k.reads)-1 || r.op.Call <= k.lastAck {
			continue
		}
		final = true
		for _, a := range k.adds {
			if a.op.Outcome == history.Info && in[a.n] {
				s.recovered++
			}
		}
		s.reportLost(k, r, missed)
	}
	for _, a := range k.adds {
		if !missed[a.n] {
			s.stale += everMissed[a.n]
		}
	}
	return final
}

// reportLost tells of acknowledged elements that a final read lacks.
func (s *sets) reportLost(k *setHistory, r setRead, missed map[int64]bool) {
	if len(missed) == 0 {
		return
	}
	var lost []setAdd
	for _, a := range k.adds {
		if missed[a.n] {
			lost = append(lost, a)
		}
	}
	s.lost += len(lost)
	p := problem{when: r.op.Return, key: k.key, ops: []int{r.op.ID}}
	p.text = fmt.Sprintf("Set %s: op %d of %s [%s … %s], a final read of %d elements, lacks %d that were acknowledged before it began. First of them:", k.key, r.op.ID, r.op.Client,
		history.Clock(r.op.Call), history.Clock(r.op.Return), len(r.elems), len(lost))
	for i, a := range lost {
		if i == 3 {
			break
		}
		p.text += "\n  " + a.op.String()
		p.ops = append(p.ops, a.op.ID)
	}
	s.problems = append(s.problems, p)
}

// content is what a read found; phantoms and repetitions are reported.
func (s *sets) content(k *setHistory, r setRead) map[int64]bool {
	in := make(map[int64]bool, len(r.elems))
	wrong := func(n int64, why string, ops ...int) {
		s.problems = append(s.problems, problem{when: r.op.Return, key: k.key, ops: append([]int{r.op.ID}, ops...),
			text: fmt.Sprintf("Set %s: op %d of %s [%s … %s] found the element %d, %s.", k.key, r.op.ID, r.op.Client, history.Clock(r.op.Call), history.Clock(r.op.Return), n, why)})
	}
	for _, n := range r.elems {
		if in[n] {
			wrong(n, "twice")
			continue
		}
		in[n] = true
		i, ok := k.byValue[n]
		switch {
		case !ok:
			wrong(n, "which nobody added")
		case k.adds[i].op.Outcome == history.Fail:
			wrong(n, fmt.Sprintf("whose addition (op %d) certainly failed", k.adds[i].op.ID), k.adds[i].op.ID)
		case k.adds[i].op.Call > r.op.Return:
			wrong(n, fmt.Sprintf("which op %d began to add only later", k.adds[i].op.ID), k.adds[i].op.ID)
		}
	}
	return in
}
