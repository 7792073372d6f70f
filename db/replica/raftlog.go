package replica

import (
	"encoding/binary"
	"fmt"
	"strings"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
	"simulacrum/db/storage"
)

// raftLog is the part of a replica's log that has been handed to the engine, and
// the raft.Storage that the library reads. Whether it is synced is not its
// business: the library keeps what is not in its own unstable log.
type raftLog struct {
	r *Replica

	// truncated is index and term of the entry before the first. The engine holds
	// exactly the entries (truncated.index, last].
	truncated entryID
	last      entryID
	// cache holds the entries (last-len(cache), last], contiguous; the elements
	// are never changed in place, since slices of it are handed out.
	cache      []raftpb.Entry
	cacheBytes int64 // of their data and headers; at most cacheLimit plus one entry
	cacheLimit int64
	// bytes estimates what all entries in the engine take; exact until a
	// truncation, which takes off a proportional part.
	bytes int64
	key   []byte // scratch: the key of an entry
}

// entryID names a log entry. Two logs that have an entry of the same name are
// equal up to it (Raft's log matching property).
type entryID struct{ index, term uint64 }

const logKeyPrefix = 12 // bytes of a log key before the index
const entryOverhead = 48

func (l *raftLog) init(r *Replica, cacheLimit int64) {
	l.r, l.cacheLimit = r, cacheLimit
	l.key = keys.RaftLogKey(r.rangeID, 0)
}

func (l *raftLog) keyOf(index uint64) []byte {
	binary.BigEndian.PutUint64(l.key[logKeyPrefix:], index)
	return l.key
}

// load finds the log in the engine. A hole or a wrong term order is corruption,
// and an error.
func (l *raftLog) load() error {
	eng := l.r.engine
	if v, ok, err := eng.Get(keys.TruncatedStateKey(l.r.rangeID)); err != nil {
		return err
	} else if ok {
		if l.truncated, err = decodeEntryID(v); err != nil {
			return err
		}
	}
	l.last = l.truncated
	span := keys.RaftLogSpan(l.r.rangeID)
	it := eng.NewIter(span.Key, span.EndKey)
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		e, err := decodeEntry(it.Key(), it.Value())
		if err != nil {
			return err
		}
		if e.Index <= l.truncated.index {
			continue // left behind by a truncation that was cut short
		}
		if e.Index != l.last.index+1 || e.Term < l.last.term {
			return fmt.Errorf("replica: r%d: log entry %d of term %d follows entry %d of term %d",
				l.r.rangeID, e.Index, e.Term, l.last.index, l.last.term)
		}
		l.push(e)
		l.bytes += entrySize(&e)
	}
	return it.Err()
}

func decodeEntryID(v []byte) (entryID, error) {
	r := codec.MakeReader(v)
	id := entryID{index: r.Uvarint(), term: r.Uvarint()}
	return id, r.Done()
}

func (id entryID) encode(b []byte) []byte {
	return codec.AppendUvarint(codec.AppendUvarint(b, id.index), id.term)
}

func entrySize(e *raftpb.Entry) int64 { return int64(len(e.Data)) + entryOverhead }

func encodeEntry(b []byte, e *raftpb.Entry) []byte {
	b = codec.AppendUvarint(b, e.Term)
	b = append(b, byte(e.Type))
	return append(b, e.Data...)
}

// decodeEntry copies the data: entries outlive the iterator that they came from.
func decodeEntry(k, v []byte) (raftpb.Entry, error) {
	_, index, ok := keys.RaftLogIndex(k)
	r := codec.MakeReader(v)
	e := raftpb.Entry{Index: index, Term: r.Uvarint(), Type: raftpb.EntryType(r.Byte())}
	e.Data = append([]byte(nil), r.Rest()...)
	if err := r.Done(); err != nil {
		return e, err
	}
	if !ok || e.Type > raftpb.EntryConfChangeV2 {
		return e, fmt.Errorf("replica: malformed log entry under %s", keys.Key(k))
	}
	return e, nil
}

// append adds the writes that put the entries at their place to b. Entries that
// stood there or after it are of an older term and go: leaving a tail behind would
// let it come back when the log is next loaded.
func (l *raftLog) append(b *storage.Batch, ents []raftpb.Entry) {
	first, final := ents[0].Index, ents[len(ents)-1].Index
	if first > l.last.index+1 || first <= l.truncated.index {
		panic(fmt.Sprintf("replica: appending entries [%d, %d] to a log of (%d, %d]",
			first, final, l.truncated.index, l.last.index))
	}
	if first <= l.last.index {
		l.r.cfg.Env.Probe(probeLogConflict)
		for i := final + 1; i <= l.last.index; i++ {
			b.Delete(l.keyOf(i))
		}
		l.cut(first)
	}
	for i := range ents {
		l.r.scratch = encodeEntry(l.r.scratch[:0], &ents[i])
		b.Put(l.keyOf(ents[i].Index), l.r.scratch)
		l.bytes += entrySize(&ents[i])
		l.push(ents[i])
	}
}

// cut forgets the entries from index first on.
func (l *raftLog) cut(first uint64) {
	gone := l.last.index + 1 - first
	if n := uint64(len(l.cache)); gone >= n {
		l.bytes -= l.cacheBytes // those beyond the cache are left in the estimate
		l.resetCache()
	} else {
		for _, e := range l.cache[n-gone:] {
			l.bytes -= entrySize(&e)
			l.grow(-entrySize(&e))
		}
		// The capacity goes as well: what was handed out must not be overwritten.
		l.cache = l.cache[: n-gone : n-gone]
	}
	l.last = entryID{index: first - 1}
	if t, err := l.Term(first - 1); err == nil {
		l.last.term = t
	}
}

// push appends to the cache alone, dropping its oldest entries beyond the limit.
func (l *raftLog) push(e raftpb.Entry) {
	l.cache = append(l.cache, e)
	l.grow(entrySize(&e))
	l.last = entryID{e.Index, e.Term}
	for l.cacheBytes > l.cacheLimit && len(l.cache) > 1 {
		l.grow(-entrySize(&l.cache[0]))
		l.cache = l.cache[1:]
	}
}

func (l *raftLog) grow(n int64) {
	l.cacheBytes += n
	l.r.cfg.Env.Memory(n)
}

func (l *raftLog) resetCache() {
	l.grow(-l.cacheBytes)
	l.cache = nil
}

// truncate adds the writes that drop all entries up to id to b.
func (l *raftLog) truncate(b *storage.Batch, id entryID) {
	if id.index <= l.truncated.index {
		return
	}
	if id.index > l.last.index {
		panic(fmt.Sprintf("replica: truncating a log of (%d, %d] to %d", l.truncated.index, l.last.index, id.index))
	}
	b.DeleteRange(keys.RaftLogKey(l.r.rangeID, l.truncated.index+1), l.keyOf(id.index+1))
	all := int64(l.last.index - l.truncated.index)
	gone := int64(id.index - l.truncated.index)
	l.bytes -= l.bytes / all * gone
	for len(l.cache) > 0 && l.cache[0].Index <= id.index {
		l.grow(-entrySize(&l.cache[0]))
		l.cache = l.cache[1:]
	}
	if len(l.cache) == 0 {
		l.cache = nil
	}
	l.truncated = id
	l.r.scratch = id.encode(l.r.scratch[:0])
	b.Put(keys.TruncatedStateKey(l.r.rangeID), l.r.scratch)
}

// reset adds the writes that empty the log at id, which a snapshot reached.
func (l *raftLog) reset(b *storage.Batch, id entryID) {
	span := keys.RaftLogSpan(l.r.rangeID)
	b.DeleteRange(span.Key, span.EndKey)
	l.r.scratch = id.encode(l.r.scratch[:0])
	b.Put(keys.TruncatedStateKey(l.r.rangeID), l.r.scratch)
	l.resetCache()
	l.truncated, l.last, l.bytes = id, id, 0
}

// InitialState implements raft.Storage. On load the commit index is raised to the
// applied one: application may have become durable before the commit index did,
// which is written when there is something else to write.
func (l *raftLog) InitialState() (raftpb.HardState, raftpb.ConfState, error) {
	return l.r.hard, confState(l.r.state.Desc), nil
}

// Entries implements raft.Storage.
func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]raftpb.Entry, error) {
	if lo <= l.truncated.index {
		return nil, raft.ErrCompacted
	}
	if hi > l.last.index+1 {
		return nil, raft.ErrUnavailable
	}
	cacheFirst := l.last.index + 1 - uint64(len(l.cache))
	if lo >= cacheFirst {
		ents := l.cache[lo-cacheFirst : hi-cacheFirst : hi-cacheFirst]
		var size uint64
		for i := range ents {
			if size += uint64(ents[i].Size()); size > maxSize && i > 0 {
				return ents[:i:i], nil
			}
		}
		return ents, nil
	}
	return l.read(lo, hi, maxSize)
}

// read takes entries from the engine.
func (l *raftLog) read(lo, hi, maxSize uint64) ([]raftpb.Entry, error) {
	it := l.r.engine.NewIter(keys.RaftLogKey(l.r.rangeID, lo), keys.RaftLogKey(l.r.rangeID, hi))
	defer it.Close()
	var ents []raftpb.Entry
	var size uint64
	for it.First(); it.Valid(); it.Next() {
		e, err := decodeEntry(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		if size += uint64(e.Size()); size > maxSize && len(ents) > 0 {
			return ents, nil
		}
		ents = append(ents, e)
	}
	if err := it.Err(); err != nil {
		return nil, err
	}
	if len(ents) == 0 {
		return nil, raft.ErrUnavailable
	}
	return ents, nil
}

// Term implements raft.Storage.
func (l *raftLog) Term(i uint64) (uint64, error) {
	switch {
	case i < l.truncated.index:
		return 0, raft.ErrCompacted
	case i == l.truncated.index:
		return l.truncated.term, nil
	case i > l.last.index:
		return 0, raft.ErrUnavailable
	}
	if cacheFirst := l.last.index + 1 - uint64(len(l.cache)); i >= cacheFirst {
		return l.cache[i-cacheFirst].Term, nil
	}
	v, ok, err := l.r.engine.Get(l.keyOf(i))
	if err != nil {
		return 0, err
	}
	r := codec.MakeReader(v)
	if term := r.Uvarint(); ok && r.Err() == nil {
		return term, nil
	}
	return 0, fmt.Errorf("replica: r%d: log entry %d is missing or malformed", l.r.rangeID, i)
}

// LastIndex implements raft.Storage.
func (l *raftLog) LastIndex() (uint64, error) { return l.last.index, nil }

// FirstIndex implements raft.Storage.
func (l *raftLog) FirstIndex() (uint64, error) { return l.truncated.index + 1, nil }

// Snapshot implements raft.Storage. It names the state that a snapshot would have
// now; the data is read when the store sends it, and may then be newer.
func (l *raftLog) Snapshot() (raftpb.Snapshot, error) {
	s := &l.r.state
	return raftpb.Snapshot{Metadata: raftpb.SnapshotMetadata{
		ConfState: confState(s.Desc), Index: s.AppliedIndex, Term: s.AppliedTerm,
	}}, nil
}

// String prints the bounds of the log, for people.
func (l *raftLog) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "log (%d/%d, %d/%d]", l.truncated.index, l.truncated.term, l.last.index, l.last.term)
	return b.String()
}
