package mvcc

import (
	"errors"
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// Uncertainty is the interval above a read's timestamp in which values may have been
// committed, in real time, before the read began, since clocks differ. The zero
// Uncertainty is none.
type Uncertainty struct {
	// GlobalLimit ends the interval.
	GlobalLimit hlc.Timestamp
	// LocalLimit is a reading of the clock that gave values their local timestamps,
	// taken when the read began or later, or what else is known to lie before nothing
	// that the read must see. Values with later local timestamps are certain. Only a
	// leaseholder may know one; zero: GlobalLimit.
	LocalLimit hlc.Timestamp
}

// holds reports that a committed value is uncertain, if it is above the read at all.
func (u *Uncertainty) holds(at, local hlc.Timestamp) bool {
	return at.LessEq(u.GlobalLimit) && (u.LocalLimit.IsEmpty() || local.LessEq(u.LocalLimit))
}

// ReadOptions say for whom, and how, a read is done. The zero ReadOptions are those
// of Get, Scan and ReverseScan: nobody's, certain, stopped by intents.
type ReadOptions struct {
	// Txn reads its own intents of its epoch, up to Txn.Sequence. Nil: nobody.
	Txn         *kv.Txn
	Uncertainty Uncertainty
	// FailOnMoreRecent makes the read fail where the newest version, committed or not,
	// is above its timestamp: for reads that are to be followed by writes.
	FailOnMoreRecent bool
	// Lock is the strength of the lock that a locking read is about to take: locks
	// without value that conflict with it stop the read too.
	Lock kv.LockStrength
	// SkipLocked leaves out the keys at which others' locks would stop the read.
	SkipLocked bool
	// Committed reads what is committed, as if others had no locks, and not even an
	// intent of Txn's own.
	Committed bool
	// MaxLocks is how many locks a read finds before it gives up; 0: DefaultMaxLocks.
	MaxLocks int
}

// DefaultMaxLocks bounds the locks that a LockConflictError tells of.
const DefaultMaxLocks = 64

func (o *ReadOptions) txnID() (id kv.TxnID) {
	if o.Txn != nil {
		id = o.Txn.ID
	}
	return id
}

// Limit bounds a scan; zero fields do not. Bytes counts keys and values of rows;
// the row that reaches it is the last.
type Limit struct{ Keys, Bytes int64 }

func (l Limit) reached(rows int, bytes int64) bool {
	return l.Keys > 0 && int64(rows) >= l.Keys || l.Bytes > 0 && bytes >= l.Bytes
}

// Get returns the newest version of k at or below ts: a value, a tombstone, or the
// zero Value when there is none. Its bytes are the engine's and must not be changed.
// An intent at or below ts is a *LockConflictError.
func Get(r storage.Reader, k keys.Key, ts hlc.Timestamp) (Value, error) {
	return GetWith(r, k, ts, ReadOptions{})
}

// GetWith is Get with options, which can make it fail with a *LockConflictError, an
// *UncertaintyError, a *WriteTooOldError (FailOnMoreRecent) or a *StaleEpochError.
// The version of an own uncommitted value is that of the intent, and may lie above ts.
func GetWith(r storage.Reader, k keys.Key, ts hlc.Timestamp, o ReadOptions) (Value, error) {
	if ts.IsEmpty() {
		return Value{}, nil
	}
	lo, hi := pointBounds(k)
	first, val, ok, err := r.Front(lo, hi)
	if !ok || err != nil {
		return Value{}, err
	}
	if _, at, err := splitKey(first); err != nil {
		return Value{}, err
	} else if !at.IsEmpty() && at.LessEq(ts) { // nearly always
		return decodeValue(first, val, at)
	}
	rd := reader{w: walk{it: r.NewIter(lo, hi)}, ts: ts, o: &o}
	rd.init()
	defer rd.w.it.Close()
	if !rd.w.it.First() {
		return Value{}, rd.w.it.Err()
	}
	v, stopped, err := rd.visit()
	if stopped == errLocked {
		if o.SkipLocked {
			return Value{}, err
		}
		rd.conflict()
		return Value{}, &LockConflictError{rd.locks}
	}
	if err == nil {
		err = stopped
	}
	return v, err
}

// pointBounds are the bounds of what the engine holds of one key, in one allocation.
func pointBounds(k keys.Key) (lo, hi []byte) {
	b := make([]byte, 0, 2*len(k)+4+versionLen)
	b = append(appendEscaped(b, k), 0, endMark)
	n := len(b)
	b = append(append(b, b[:n-1]...), afterEnd)
	return b[:n:n], b[n:]
}

// Scan returns the rows of the span as of ts, in ascending order. If the limit cut
// it short, resume is the rest of the span, from the first row that was not
// returned; otherwise it is the zero Span. What lies in resume was not read, as far
// as the caller is concerned. Intents at or below ts are a *LockConflictError.
func Scan(r storage.Reader, s keys.Span, ts hlc.Timestamp, l Limit) (rows []kv.KeyValue, resume keys.Span, err error) {
	return ScanWith(r, s, ts, l, ReadOptions{})
}

// ReverseScan is Scan in descending order; resume is the lower part of the span.
func ReverseScan(r storage.Reader, s keys.Span, ts hlc.Timestamp, l Limit) (rows []kv.KeyValue, resume keys.Span, err error) {
	return ReverseScanWith(r, s, ts, l, ReadOptions{})
}

// ScanWith is Scan with options. It fails like GetWith; of conflicting locks it finds
// as many as lie before the limit, and they are told rather than another reason that
// comes after the first of them.
func ScanWith(r storage.Reader, s keys.Span, ts hlc.Timestamp, l Limit, o ReadOptions) ([]kv.KeyValue, keys.Span, error) {
	rd := reader{w: makeWalk(r, s), ts: ts, o: &o}
	return rd.scan(s, l)
}

// ReverseScanWith is ScanWith in descending order.
func ReverseScanWith(r storage.Reader, s keys.Span, ts hlc.Timestamp, l Limit, o ReadOptions) ([]kv.KeyValue, keys.Span, error) {
	rd := reader{w: makeWalk(r, s), ts: ts, o: &o}
	rd.w.reverse = true
	return rd.scan(s, l)
}

// reader reads keys of a walk at one timestamp.
type reader struct {
	w     walk
	ts    hlc.Timestamp
	limit hlc.Timestamp // up to which versions and intents above ts matter
	o     *ReadOptions
	rec   *Record   // of the key at which the last visit was stopped by locks
	locks []kv.Lock // in the way, so far
}

// errLocked is why a visit was stopped when others' locks are in the way.
var errLocked = errors.New("mvcc: locked")

func (rd *reader) init() {
	rd.limit = rd.ts.Forward(rd.o.Uncertainty.GlobalLimit)
	if rd.o.FailOnMoreRecent {
		rd.limit = hlc.Max
	}
}

func (rd *reader) scan(s keys.Span, l Limit) (rows []kv.KeyValue, resume keys.Span, err error) {
	rd.init()
	w := &rd.w
	defer w.it.Close()
	var size int64
	for ok := w.first(); ok; ok = w.next() {
		v, stopped, err := rd.visit()
		if err != nil {
			return nil, keys.Span{}, err
		}
		if stopped == nil && !v.Exists || stopped == errLocked && rd.o.SkipLocked {
			continue
		}
		k := unescape(w.key)
		switch {
		case l.reached(len(rows), size):
			if len(rd.locks) > 0 {
				return nil, keys.Span{}, &LockConflictError{rd.locks}
			}
			if w.reverse {
				return rows, keys.Span{Key: s.Key, EndKey: k.Next()}, nil
			}
			return rows, keys.Span{Key: k.Clone(), EndKey: w.end}, nil
		case stopped == errLocked:
			if rd.conflict() {
				return nil, keys.Span{}, &LockConflictError{rd.locks}
			}
		case stopped != nil && len(rd.locks) > 0:
			return nil, keys.Span{}, &LockConflictError{rd.locks}
		case stopped != nil:
			return nil, keys.Span{}, stopped
		default:
			rows = append(rows, kv.KeyValue{Key: k, Value: v.Bytes, Timestamp: v.Timestamp})
			size += int64(len(k) + len(v.Bytes))
		}
	}
	if err := w.it.Err(); err != nil {
		return nil, keys.Span{}, err
	}
	if len(rd.locks) > 0 {
		return nil, keys.Span{}, &LockConflictError{rd.locks}
	}
	return rows, keys.Span{}, nil
}

// conflict notes the locks that stopped the last visit, and reports that they are
// enough.
func (rd *reader) conflict() bool {
	most := rd.o.MaxLocks
	if most <= 0 {
		most = DefaultMaxLocks
	}
	found := rd.rec.conflicts(unescape(rd.w.key), rd.o.txnID(), rd.o.Lock)
	rd.locks = append(rd.locks, found[:min(len(found), most-len(rd.locks))]...)
	return len(rd.locks) >= most
}

// conflicts lists the locks at key k, whose record it is, that others than the given
// transaction hold and that a lock of the given strength conflicts with.
func (r *Record) conflicts(k keys.Key, id kv.TxnID, s kv.LockStrength) (all []kv.Lock) {
	if r == nil {
		return nil
	}
	if in := r.Intent; in != nil && in.Txn.ID != id {
		all = append(all, kv.Lock{Key: k.Clone(), Txn: in.Txn, Strength: kv.LockIntent, Durability: kv.Replicated})
	}
	for _, h := range r.Locks {
		if h.Txn.ID != id && s.Conflicts(h.Strength) {
			all = append(all, kv.Lock{Key: k.Clone(), Txn: h.Txn, Strength: h.Strength, Durability: kv.Replicated})
		}
	}
	return all
}

// visit reads the key at which the iterator stands. stopped is why the key cannot be
// read, err why nothing can.
func (rd *reader) visit() (v Value, stopped, err error) {
	w := &rd.w
	at, err := w.enter()
	if err != nil || rd.ts.IsEmpty() {
		return Value{}, nil, err
	}
	if !at.IsEmpty() && at.LessEq(rd.ts) { // nearly always
		v, err = w.value(at)
		return v, nil, err
	}
	ok := true
	var own hlc.Timestamp // version of an own provisional value that is not to be seen
	if at.IsEmpty() {
		rec, err := DecodeRecord(w.k, w.v)
		if err != nil {
			return Value{}, nil, err
		}
		if rd.stops(rec) {
			rd.rec = rec
			return Value{}, errLocked, nil
		}
		if at, ok, err = w.step(); err != nil {
			return Value{}, nil, err
		}
		if rec.Intent != nil && rd.o.Committed {
			own = rec.Intent.Txn.WriteTS
		} else if in := rec.intentOf(rd.o.txnID()); in != nil {
			if v, ok, err := rd.own(in, at); ok || err != nil {
				return v, nil, err
			}
			own = in.Txn.WriteTS
		}
	}
	if ok {
		at, ok, err = w.descend(at, rd.limit)
	}
	for ok && rd.ts.Less(at) {
		if at != own {
			if stopped, err := rd.newer(at); stopped != nil || err != nil {
				return Value{}, stopped, err
			}
		}
		at, ok, err = w.step()
	}
	if ok && at == own {
		at, ok, err = w.step()
	}
	if !ok || err != nil {
		return Value{}, nil, err
	}
	v, err = w.value(at)
	return v, nil, err
}

// stops reports that others' locks at a key stop the read. An intent within the
// uncertainty interval does: it may be committed already, by a record elsewhere.
func (rd *reader) stops(rec *Record) bool {
	if rd.o.Committed {
		return false
	}
	id := rd.o.txnID()
	if in := rec.Intent; in != nil && in.Txn.ID != id {
		return in.Txn.WriteTS.LessEq(rd.limit) || rd.o.Lock != kv.LockNone
	}
	for _, h := range rec.Locks {
		if h.Txn.ID != id && rd.o.Lock.Conflicts(h.Strength) {
			return true
		}
	}
	return false
}

// own is what the transaction sees of its own intent, whose version at is the one at
// which the walk stands. ok is false if that is nothing.
func (rd *reader) own(in *Intent, at hlc.Timestamp) (v Value, ok bool, err error) {
	t := rd.o.Txn
	switch {
	case at != in.Txn.WriteTS:
		return Value{}, false, &CorruptionError{rd.w.k, fmt.Sprintf("an intent at %v, where the newest version is at %v", in.Txn.WriteTS, at)}
	case in.Txn.Epoch > t.Epoch:
		return Value{}, false, &StaleEpochError{unescape(rd.w.key).Clone(), t.Epoch, in.Txn.Epoch}
	case in.Txn.Epoch < t.Epoch:
		return Value{}, false, nil
	}
	prov, err := rd.w.value(at)
	if err != nil {
		return Value{}, false, err
	}
	v, ok = in.at(t.Sequence, t.IgnoredSeqs, prov)
	return v, ok, nil
}

// newer judges a committed version at, above the timestamp of the read.
func (rd *reader) newer(at hlc.Timestamp) (stopped, err error) {
	if rd.o.FailOnMoreRecent {
		return &WriteTooOldError{unescape(rd.w.key).Clone(), rd.ts, at}, nil
	}
	v, err := rd.w.value(at)
	if err != nil || !rd.o.Uncertainty.holds(at, v.Local) {
		return nil, err
	}
	return &UncertaintyError{unescape(rd.w.key).Clone(), rd.ts, at, v.Local}, nil
}

// String shows a version for people.
func (v Value) String() string {
	switch {
	case v.Timestamp.IsEmpty():
		return "none"
	case !v.Exists:
		return fmt.Sprintf("deleted@%v", v.Timestamp)
	}
	return fmt.Sprintf("%q@%v", v.Bytes, v.Timestamp)
}
