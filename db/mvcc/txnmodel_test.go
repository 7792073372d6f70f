package mvcc

import (
	"bytes"
	"cmp"
	"slices"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
)

// txnModel is what section 2 of the design says, over maps: it keeps every write of an
// intent's epoch, never encodes anything, and knows nothing of how mvcc works.
type txnModel map[string]*mKey

type mKey struct {
	versions []Value // committed, newest first
	intent   *mIntent
	locks    []mLock
}

type mIntent struct {
	id     byte
	epoch  int32
	ts     hlc.Timestamp
	local  hlc.Timestamp
	writes []mWrite // ascending by seq
}

type mWrite struct {
	seq    int32
	exists bool
	bytes  []byte
}

type mLock struct {
	id         byte
	epoch, seq int32
	strength   kv.LockStrength
}

// outcome is how an operation ended, in words: "ok", or which error.
type outcome struct {
	what string
	ts   hlc.Timestamp // tooOld: of the newest version; uncertain: of the value
}

func (m txnModel) key(k string) *mKey {
	if m[k] == nil {
		m[k] = &mKey{}
	}
	return m[k]
}

func (m txnModel) names() (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (k *mKey) newest() Value {
	if len(k.versions) > 0 {
		return k.versions[0]
	}
	return Value{}
}

// last is the last write at or below seq that was not rolled back.
func (in *mIntent) last(seq int32, ignored []kv.SeqRange) (mWrite, bool) {
	for _, w := range slices.Backward(in.writes) {
		rolledBack := slices.ContainsFunc(ignored, func(r kv.SeqRange) bool { return r.Start <= w.seq && w.seq <= r.End })
		if w.seq <= seq && !rolledBack {
			return w, true
		}
	}
	return mWrite{}, false
}

func idOf(t *kv.Txn) byte {
	if t == nil {
		return 0
	}
	return t.ID[0]
}

// blocked tells whether others' locks stop somebody who wants the given strength, up
// to the given timestamp.
func (k *mKey) blocked(id byte, s kv.LockStrength, limit hlc.Timestamp) bool {
	if in := k.intent; in != nil && in.id != id && (s != kv.LockNone || !limit.Less(in.ts)) {
		return true
	}
	return slices.ContainsFunc(k.locks, func(l mLock) bool {
		both := s == kv.LockShared && l.strength == kv.LockShared
		return l.id != id && s != kv.LockNone && !both
	})
}

// inTheWay counts the locks of others that keep somebody from the given strength.
func (k *mKey) inTheWay(id byte, s kv.LockStrength) (n int) {
	if k.intent != nil && k.intent.id != id {
		n++
	}
	for _, l := range k.locks {
		if l.id != id && (s == kv.LockExclusive || s == kv.LockIntent || s == kv.LockShared && l.strength == kv.LockExclusive) {
			n++
		}
	}
	return n
}

func (k *mKey) read(ts hlc.Timestamp, o ReadOptions) (Value, outcome) {
	limit := ts.Forward(o.Uncertainty.GlobalLimit)
	if o.FailOnMoreRecent {
		limit = hlc.Max
	}
	if k.blocked(idOf(o.Txn), o.Lock, limit) {
		return Value{}, outcome{what: "locked"}
	}
	if in := k.intent; in != nil && in.id == idOf(o.Txn) {
		if in.epoch > o.Txn.Epoch {
			return Value{}, outcome{what: "stale"}
		}
		if w, ok := in.last(o.Txn.Sequence, o.Txn.IgnoredSeqs); ok && in.epoch == o.Txn.Epoch {
			return Value{Bytes: w.bytes, Exists: w.exists, Timestamp: in.ts, Local: in.local}, outcome{what: "ok"}
		}
	}
	for _, v := range k.versions {
		if v.Timestamp.LessEq(ts) {
			return v, outcome{what: "ok"}
		}
		if o.FailOnMoreRecent {
			return Value{}, outcome{"too old", v.Timestamp}
		}
		u := o.Uncertainty
		local := u.LocalLimit
		if local.IsEmpty() {
			local = hlc.Max
		}
		if v.Timestamp.LessEq(u.GlobalLimit) && v.Local.LessEq(local) {
			return Value{}, outcome{"uncertain", v.Timestamp}
		}
	}
	return Value{}, outcome{what: "ok"}
}

// operation is a write: what it wants to do to the value that it finds.
type operation struct {
	kind     string // put, delete, cput, initput, increment
	key      string
	value    []byte
	expected []byte
	exists   bool // cput: the key must have the expected value
	by       int64
	seq      int32 // of a transaction's write
	epoch    int32
	late     bool // sent before its transaction rolled anything back
}

func (op *operation) reads() bool { return op.kind != "put" }

// after is the value that the operation leaves; ok is false if it fails.
func (op *operation) after(prior Value) (exists bool, b []byte, ok bool) {
	switch op.kind {
	case "delete":
		return false, nil, true
	case "cput":
		ok = prior.Exists == op.exists && (!op.exists || bytes.Equal(prior.Bytes, op.expected))
		return true, op.value, ok
	case "initput":
		return true, op.value, !prior.Exists || bytes.Equal(prior.Bytes, op.value)
	case "increment":
		var n int64
		if prior.Exists {
			if len(prior.Bytes) != 8 {
				return false, nil, false
			}
			for _, c := range prior.Bytes {
				n = n<<8 | int64(c)
			}
		}
		return true, EncodeInt(n + op.by), true
	}
	return true, op.value, true
}

// write does op for t, or for nobody, at ts. local is the leaseholder's clock.
func (k *mKey) write(t *kv.Txn, ts, local hlc.Timestamp, op *operation) outcome {
	id := idOf(t)
	if k.blocked(id, kv.LockExclusive, hlc.Max) {
		return outcome{what: "locked"}
	}
	if t == nil {
		if local.IsEmpty() {
			local = ts
		}
		if n := k.newest(); !n.Timestamp.IsEmpty() && ts.LessEq(n.Timestamp) {
			return outcome{"too old", n.Timestamp}
		}
		exists, b, ok := op.after(k.newest())
		if !ok {
			return outcome{what: "failed"}
		}
		k.versions = slices.Insert(k.versions, 0, Value{Bytes: b, Exists: exists, Timestamp: ts, Local: local})
		return outcome{what: "ok"}
	}
	if k.highest(id) > t.Epoch {
		return outcome{what: "stale"}
	}
	in := k.intent
	prior, own := k.newest(), false
	at := t.WriteTS
	if in != nil {
		at = at.Forward(in.ts)
		if in.epoch < t.Epoch {
			in = nil
		}
	}
	if in != nil {
		if w, ok := in.last(t.Sequence-1, t.IgnoredSeqs); ok {
			prior, own = Value{Bytes: w.bytes, Exists: w.exists, Timestamp: in.ts}, true
		}
		if t.Sequence <= in.writes[len(in.writes)-1].seq {
			w, ok := in.last(t.Sequence, t.IgnoredSeqs)
			exists, b, fits := op.after(prior)
			if !ok || w.seq != t.Sequence || !fits || w.exists != exists || !bytes.Equal(w.bytes, b) {
				return outcome{what: "sequence"}
			}
			return outcome{what: "ok"}
		}
	}
	if n := k.newest().Timestamp; !own && !n.IsEmpty() && (at.LessEq(n) || op.reads() && ts.Less(n)) {
		return outcome{"too old", n}
	}
	exists, b, ok := op.after(prior)
	if !ok {
		return outcome{what: "failed"}
	}
	if in == nil {
		if local.IsEmpty() {
			local = at
		}
		in = &mIntent{id: id, epoch: t.Epoch, local: local}
	}
	in.ts = at
	// What was rolled back is gone for good with the next write: a late copy of its
	// request, which does not know of the rollback, must not bring it back.
	in.writes = slices.DeleteFunc(in.writes, func(w mWrite) bool { return t.SeqIgnored(w.seq) })
	in.writes = append(in.writes, mWrite{t.Sequence, exists, b})
	k.intent = in
	k.locks = slices.DeleteFunc(k.locks, func(l mLock) bool { return l.id == id && l.epoch < t.Epoch })
	return outcome{what: "ok"}
}

// highest is the highest epoch in which the transaction has something here, -1: none.
func (k *mKey) highest(id byte) int32 {
	epoch := int32(-1)
	if k.intent != nil && k.intent.id == id {
		epoch = k.intent.epoch
	}
	for _, l := range k.locks {
		if l.id == id {
			epoch = max(epoch, l.epoch)
		}
	}
	return epoch
}

func (k *mKey) lock(t *kv.Txn, s kv.LockStrength) outcome {
	id := idOf(t)
	if k.blocked(id, s, hlc.Max) {
		return outcome{what: "locked"}
	}
	if k.highest(id) > t.Epoch {
		return outcome{what: "stale"}
	}
	for _, l := range k.locks {
		if l.id == id && l.epoch == t.Epoch && l.strength >= s && !t.SeqIgnored(l.seq) {
			return outcome{what: "ok"}
		}
	}
	k.locks = slices.DeleteFunc(k.locks, func(l mLock) bool { return l.id == id && (l.epoch < t.Epoch || l.strength == s) })
	k.locks = append(k.locks, mLock{id, t.Epoch, t.Sequence, s})
	if k.intent != nil && k.intent.id == id && k.intent.epoch < t.Epoch {
		k.intent = nil // void, and would stand in the way of others
	}
	slices.SortFunc(k.locks, func(a, b mLock) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.strength, b.strength))
	})
	return outcome{what: "ok"}
}

func (k *mKey) resolve(u kv.LockUpdate) {
	id, over := u.Txn.ID[0], u.Status == kv.Committed || u.Status == kv.Aborted
	k.locks = slices.DeleteFunc(k.locks, func(l mLock) bool { return l.id == id && (over || l.epoch < u.Txn.Epoch) })
	in := k.intent
	switch {
	case in == nil || in.id != id:
	case u.Status == kv.Committed && in.epoch == u.Txn.Epoch && !u.Txn.WriteTS.Less(in.ts):
		if w, ok := in.last(1<<30, u.IgnoredSeqs); ok {
			k.versions = slices.Insert(k.versions, 0, Value{Bytes: w.bytes, Exists: w.exists, Timestamp: u.Txn.WriteTS, Local: in.local})
		}
		k.intent = nil
	case over, in.epoch < u.Txn.Epoch:
		k.intent = nil
	case u.Status == kv.Pending:
		in.ts = in.ts.Forward(u.Txn.WriteTS)
	}
}

// collect drops what no read above the threshold sees.
func (k *mKey) collect(threshold hlc.Timestamp) {
	var kept []Value
	below := false
	for _, v := range k.versions {
		if threshold.Less(v.Timestamp) {
			kept = append(kept, v)
		} else if !below {
			below = true
			if v.Exists {
				kept = append(kept, v)
			}
		}
	}
	k.versions = kept
}

func (k *mKey) refresh(from, to hlc.Timestamp, id byte) bool {
	if in := k.intent; in != nil && in.id != id && in.ts.LessEq(to) {
		return false
	}
	return !slices.ContainsFunc(k.versions, func(v Value) bool { return from.Less(v.Timestamp) && v.Timestamp.LessEq(to) })
}
