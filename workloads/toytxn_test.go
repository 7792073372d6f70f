package workloads

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// toyTxn is a transaction of the store: it reads a snapshot, keeps its writes to
// itself, and commits if nothing that it has read was written since. It is strictly
// serializable, unless the store's defect says otherwise.
type toyTxn struct {
	e     *endpoint
	snap  Timestamp
	past  bool
	reads []toySpan
	log   []toyWrite
}

type toySpan struct {
	key, end string // end "": the key alone
}

type toyWrite struct {
	key   string
	value []byte
}

func (s *store) tick() Timestamp {
	ts := Timestamp{Wall: int64(s.s.Now())}
	if !s.last.Less(ts) {
		ts = Timestamp{s.last.Wall, s.last.Logical + 1}
	}
	s.last = ts
	return ts
}

// Txn implements Txns.
func (e *endpoint) Txn(t env.Task, o TxnOptions, fn func(Tx) error) (TxnResult, error) {
	for attempt := 1; ; attempt++ {
		x := &toyTxn{e: e, snap: o.At, past: o.At != (Timestamp{})}
		if !x.past || e.defect == "the past is now" {
			x.snap = e.tick()
		}
		if e.defect == "stale snapshots" && !x.past {
			x.snap.Wall -= int64(300 * time.Millisecond)
		}
		if err := fn(x); err != nil {
			e.drop(x)
			return TxnResult{}, fmt.Errorf("%w: %w", ErrFailed, err)
		}
		trouble := e.rng.IntN(100)
		if err := t.Sleep(time.Duration(1+e.rng.IntN(10)) * time.Millisecond); err != nil || trouble == 0 {
			e.drop(x)
			return TxnResult{}, fmt.Errorf("timed out: %w", ErrAmbiguous)
		}
		if !x.valid() {
			e.drop(x)
			continue
		}
		ts := x.snap
		if len(x.log) > 0 {
			ts = e.tick()
			x.apply(ts)
		}
		if x.past {
			ts = o.At
		}
		if trouble == 1 {
			return TxnResult{}, fmt.Errorf("timed out: %w", ErrAmbiguous)
		}
		return TxnResult{Commit: ts, Attempts: attempt, Gateway: "n1/1"}, nil
	}
}

func (s *store) drop(x *toyTxn) {
	for _, w := range x.log {
		delete(s.dirty, w.key)
	}
}

// valid reports whether nothing was written since the snapshot of what the
// transaction depends on.
func (x *toyTxn) valid() bool {
	s := x.e.store
	if len(x.log) == 0 || s.defect == "no validation" {
		return true
	}
	changed := func(key string) bool {
		list := s.versions[key]
		return len(list) > 0 && x.snap.Less(list[len(list)-1].ts)
	}
	if s.defect == "snapshot isolation" {
		return !slices.ContainsFunc(x.log, func(w toyWrite) bool { return changed(w.key) })
	}
	for key := range s.versions { // whichever comes first, the answer is the same
		for _, r := range x.reads {
			if r.end == "" && key != r.key || r.end != "" && (key < r.key || key >= r.end || s.defect == "phantoms") {
				continue
			}
			if changed(key) {
				return false
			}
		}
	}
	return true
}

func (x *toyTxn) apply(ts Timestamp) {
	s := x.e.store
	final := map[string][]byte{}
	var order []string
	for _, w := range x.log {
		if _, ok := final[w.key]; !ok {
			order = append(order, w.key)
		}
		final[w.key] = w.value
	}
	for i, key := range order {
		s.writes++
		if s.defect == "lost writes" && s.writes%100 == 0 || s.defect == "torn commits" && i > 0 && s.writes%50 == 0 {
			continue
		}
		s.versions[key] = append(s.versions[key], version{ts, final[key]})
	}
	s.drop(x)
}

func (x *toyTxn) get(key string) []byte {
	s := x.e.store
	for i := len(x.log) - 1; i >= 0 && s.defect != "own writes are missed"; i-- {
		if x.log[i].key == key {
			return x.log[i].value
		}
	}
	if v, ok := s.dirty[key]; ok && s.defect == "dirty reads" {
		return v
	}
	return s.at([]byte(key), x.snap)
}

func (x *toyTxn) put(key, value []byte) {
	x.log = append(x.log, toyWrite{string(key), value})
	x.e.dirty[string(key)] = value
}

// Do implements Tx.
func (x *toyTxn) Do(t env.Task, ops ...Op) ([]OpResult, error) {
	if err := t.Sleep(time.Duration(1+x.e.rng.IntN(8)) * time.Millisecond); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFailed, err)
	}
	var out []OpResult
	for i, op := range ops {
		r, actual := x.one(op)
		if actual != nil {
			return nil, &ConditionError{Index: i, Actual: *actual}
		}
		out = append(out, r)
	}
	return out, nil
}

// Commit implements Tx: the toy commits when fn has returned.
func (x *toyTxn) Commit(t env.Task, ops ...Op) ([]OpResult, error) { return x.Do(t, ops...) }

// one does an operation; not nil is what a condition met.
func (x *toyTxn) one(op Op) (r OpResult, actual *[]byte) {
	if len(op.End) > 0 {
		x.reads = append(x.reads, toySpan{string(op.Key), string(op.End)})
		for _, key := range x.keys(op) {
			r.Rows = append(r.Rows, Row{[]byte(key), x.get(key)})
		}
		if op.Limit > 0 && int64(len(r.Rows)) > op.Limit && x.e.defect != "limits are ignored" {
			r.Rows, r.More = r.Rows[:op.Limit], true
		}
		if op.Kind == DeleteRange {
			for _, row := range r.Rows {
				x.put(row.Key, nil)
			}
			r = OpResult{Int: int64(len(r.Rows))}
		}
		return r, nil
	}
	if op.Kind != Put && op.Kind != Delete {
		x.reads = append(x.reads, toySpan{key: string(op.Key)})
	}
	have := x.get(string(op.Key))
	switch op.Kind {
	case Get:
		r.Value = have
	case Put:
		x.put(op.Key, op.Value)
	case Delete:
		x.put(op.Key, nil)
	case CPut, InitPut:
		if !bytes.Equal(have, op.Expect) && !(op.Kind == InitPut && (have == nil || bytes.Equal(have, op.Value))) {
			return r, &have
		}
		x.put(op.Key, op.Value)
	case Increment:
		old, _ := Decode(have)
		n, _ := old.Int()
		r.Int = n + op.Delta
		x.put(op.Key, EncodeInt(r.Int))
	}
	return r, nil
}

// keys are those of a span that are there, in the order asked for.
func (x *toyTxn) keys(op Op) []string {
	var all []string
	for key := range x.e.versions {
		all = append(all, key)
	}
	for _, w := range x.log {
		if x.e.versions[w.key] == nil {
			all = append(all, w.key)
		}
	}
	sort.Strings(all)
	all = slices.DeleteFunc(slices.Compact(all), func(k string) bool { return k < string(op.Key) || k >= string(op.End) || x.get(k) == nil })
	if op.Kind == ReverseScan {
		slices.Reverse(all)
	}
	return all
}

// Savepoint implements Tx.
func (x *toyTxn) Savepoint(env.Task) (Savepoint, error) { return len(x.log), nil }

// RollbackTo implements Tx.
func (x *toyTxn) RollbackTo(_ env.Task, s Savepoint) error {
	if x.e.defect != "rollbacks are ignored" {
		x.log = x.log[:s.(int)]
	}
	return nil
}

// applied lists all versions, as the watcher of a cluster does.
func (s *store) applied() []checker.Version {
	var keys []string
	for k := range s.versions {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var out []checker.Version
	for _, k := range keys {
		for _, v := range s.versions[k] {
			value, err := Decode(v.value)
			if err != nil {
				panic(err)
			}
			out = append(out, checker.Version{Key: k, TS: history.Timestamp(v.ts), Value: value})
		}
	}
	return out
}
