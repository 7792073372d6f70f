package keys

import (
	"encoding/binary"
	"math"
)

// First bytes of the parts of the key space.
const (
	localByte  = 0x01
	meta1Byte  = 0x02
	meta2Byte  = 0x03
	systemByte = 0x04
	tableByte  = 0x05
)

// Second byte of a local key.
const (
	localRangeID = 'i'
	localRange   = 'k'
	localStore   = 's'
)

// Third part of a key that is local to a range ID: whether the replicas of the
// range agree on it.
const (
	replicated   = 'r'
	unreplicated = 'u'
)

// Kinds of state that is local to a range ID.
const (
	kindAbortSpan   = 'a'
	kindGCThreshold = 'g'
	kindLease       = 'l'
	kindReadSummary = 'p'
	kindApplied     = 's'

	kindRaftLog   = 'e'
	kindHardState = 'h'
	kindReplicaID = 'i'
	kindTruncated = 't'
	kindTombstone = 'x'
)

// Kinds of state that belongs to a key.
const (
	kindDescriptor = 'd'
	kindTxnRecord  = 't'
)

// Bounds of the parts of the key space. Each part ends where the next begins.
var (
	Min         = Key(nil)
	Local       = Key{localByte}
	LocalEnd    = Key{meta1Byte}
	Meta1       = Key{meta1Byte}
	Meta1End    = Key{meta2Byte}
	Meta2       = Key{meta2Byte}
	Meta2End    = Key{systemByte}
	System      = Key{systemByte}
	SystemEnd   = Key{tableByte}
	TableStart  = Key{tableByte}
	TableEnd    = Key{tableByte + 1}
	ClientStart = Key{tableByte + 1} // keys of clients that know no tables
	Max         = Key{0xff, 0xff}
)

// Second byte of a system key: what is kept about the cluster in ordinary ranges.
const systemLiveness = 'l'

// TxnID is the identity of a transaction.
type TxnID [16]byte

// RangeIDPrefix begins every key that is local to the range.
func RangeIDPrefix(id RangeID) Key {
	return appendRangeID(make(Key, 0, 32), id)
}

func appendRangeID(b []byte, id RangeID) []byte {
	return binary.BigEndian.AppendUint64(append(b, localByte, localRangeID), uint64(id))
}

func rangeIDKey(id RangeID, class, kind byte) Key {
	return append(RangeIDPrefix(id), class, kind)
}

// RangeIDSpan holds all that is local to the range ID.
func RangeIDSpan(id RangeID) Span { return prefixSpan(RangeIDPrefix(id)) }

// RangeIDReplicatedSpan holds what is local to the range ID and the same on every
// replica: it travels in snapshots.
func RangeIDReplicatedSpan(id RangeID) Span {
	return prefixSpan(append(RangeIDPrefix(id), replicated))
}

// RangeIDUnreplicatedSpan holds what is local to the range ID and to one replica.
func RangeIDUnreplicatedSpan(id RangeID) Span {
	return prefixSpan(append(RangeIDPrefix(id), unreplicated))
}

func prefixSpan(k Key) Span { return Span{Key: k, EndKey: k.PrefixEnd()} }

// AbortSpanKey is where an abort of a transaction leaves a note for its requests.
func AbortSpanKey(id RangeID, txn TxnID) Key {
	return append(rangeIDKey(id, replicated, kindAbortSpan), txn[:]...)
}

// AbortSpan holds all AbortSpanKeys of the range.
func AbortSpan(id RangeID) Span { return prefixSpan(rangeIDKey(id, replicated, kindAbortSpan)) }

// DecodeAbortSpanKey is the inverse of AbortSpanKey; ok tells whether k is one.
func DecodeAbortSpanKey(k Key) (id RangeID, txn TxnID, ok bool) {
	id, rest, ok := DecodeRangeID(k)
	if !ok || len(rest) != 2+len(txn) || rest[0] != replicated || rest[1] != kindAbortSpan {
		return 0, txn, false
	}
	return id, TxnID(rest[2:]), true
}

// GCThresholdKey holds the timestamp below which versions may be gone.
func GCThresholdKey(id RangeID) Key { return rangeIDKey(id, replicated, kindGCThreshold) }

// AppliedStateKey holds what application has reached: indexes, closed timestamp,
// statistics.
func AppliedStateKey(id RangeID) Key { return rangeIDKey(id, replicated, kindApplied) }

// LeaseKey holds the range's lease.
func LeaseKey(id RangeID) Key { return rangeIDKey(id, replicated, kindLease) }

// ReadSummaryKey holds what a leaseholder handed over about reads it had served.
func ReadSummaryKey(id RangeID) Key { return rangeIDKey(id, replicated, kindReadSummary) }

// HardStateKey holds consensus' term, vote and commit index.
func HardStateKey(id RangeID) Key { return rangeIDKey(id, unreplicated, kindHardState) }

// RaftLogKey holds the log entry of the given index.
func RaftLogKey(id RangeID, index uint64) Key {
	return binary.BigEndian.AppendUint64(rangeIDKey(id, unreplicated, kindRaftLog), index)
}

// RaftLogSpan holds all log entries of the replica.
func RaftLogSpan(id RangeID) Span { return prefixSpan(rangeIDKey(id, unreplicated, kindRaftLog)) }

// RaftLogIndex is the index in a RaftLogKey; ok tells whether k is one.
func RaftLogIndex(k Key) (id RangeID, index uint64, ok bool) {
	if len(k) != 20 || k[0] != localByte || k[1] != localRangeID || k[10] != unreplicated || k[11] != kindRaftLog {
		return 0, 0, false
	}
	return RangeID(binary.BigEndian.Uint64(k[2:])), binary.BigEndian.Uint64(k[12:]), true
}

// TruncatedStateKey holds index and term of the last log entry that was removed.
func TruncatedStateKey(id RangeID) Key { return rangeIDKey(id, unreplicated, kindTruncated) }

// ReplicaIDKey holds the identity of the replica that this store has of the range.
func ReplicaIDKey(id RangeID) Key { return rangeIDKey(id, unreplicated, kindReplicaID) }

// TombstoneKey holds the lowest replica ID that this store may still have of the
// range; it outlives the replica.
func TombstoneKey(id RangeID) Key { return rangeIDKey(id, unreplicated, kindTombstone) }

// DecodeRangeID is the range that a key is local to; ok tells whether it is such
// a key, and rest is what follows the range ID.
func DecodeRangeID(k Key) (id RangeID, rest Key, ok bool) {
	if len(k) < 10 || k[0] != localByte || k[1] != localRangeID {
		return 0, nil, false
	}
	return RangeID(binary.BigEndian.Uint64(k[2:])), k[10:], true
}

// StoreKey holds something that one store alone knows, such as its identity.
func StoreKey(name string) Key { return append(Key{localByte, localStore}, name...) }

// StoreSpan holds all StoreKeys.
func StoreSpan() Span { return prefixSpan(Key{localByte, localStore}) }

// RangeDescriptorKey holds the descriptor of the range that begins at start.
func RangeDescriptorKey(start Key) Key { return append(rangeLocal(start), kindDescriptor) }

// TxnRecordKey holds the record of a transaction, which is anchored at the first
// key that it wrote. If that belongs to another key, so does the record.
func TxnRecordKey(anchor Key, txn TxnID) Key {
	if of, _, ok := DecodeRangeLocal(anchor); ok {
		anchor = of
	}
	return txnRecordKey(anchor, txn)
}

func txnRecordKey(anchor Key, txn TxnID) Key {
	return append(append(rangeLocal(anchor), kindTxnRecord), txn[:]...)
}

// DecodeTxnRecordKey is the inverse of TxnRecordKey; ok tells whether k is one.
func DecodeTxnRecordKey(k Key) (anchor Key, txn TxnID, ok bool) {
	anchor, rest, ok := DecodeRangeLocal(k)
	if !ok || len(rest) != 1+len(txn) || rest[0] != kindTxnRecord {
		return nil, txn, false
	}
	return anchor, TxnID(rest[1:]), true
}

// RangeLocalSpan holds the keys that belong to the keys of s, a span that is no
// point.
func RangeLocalSpan(s Span) Span {
	return Span{Key: rangeLocal(s.Key), EndKey: rangeLocal(s.EndKey)}
}

func rangeLocal(k Key) Key {
	return appendEscaped(append(make(Key, 0, len(k)+22), localByte, localRange), k)
}

// DecodeRangeLocal is the key that k belongs to and what follows it; ok tells
// whether k is such a key.
func DecodeRangeLocal(k Key) (addressed, rest Key, ok bool) {
	if len(k) < 2 || k[0] != localByte || k[1] != localRange {
		return nil, nil, false
	}
	return decodeEscaped(k[2:])
}

// Addr is the key by which k is found: itself, or the key that it belongs to. It
// is not ok for keys that cannot be addressed.
func Addr(k Key) (Key, bool) {
	if len(k) == 0 || k[0] != localByte {
		return k, true
	}
	addressed, _, ok := DecodeRangeLocal(k)
	return addressed, ok
}

// MetaKeys are where the descriptor of a range that holds [start, end) is recorded: by its
// end in meta2 and, if it holds a part of meta2, by the end of that part in meta1.
func MetaKeys(start, end Key) []Key {
	var ks []Key
	if Meta2End.Less(end) {
		ks = append(ks, Meta2Key(end))
	}
	if start.Less(Meta2End) && Meta2.Less(end) {
		part := Max
		if end.Less(Meta2End) {
			part = end[1:]
		}
		ks = append(ks, Meta1Key(part))
	}
	return ks
}

// Meta1Key and Meta2Key are where the descriptor of a range is found, by the key
// at which the range ends (for Meta1Key: a key of meta2, without its first byte).
func Meta1Key(end Key) Key { return append(Key{meta1Byte}, end...) }

// Meta2Key: see Meta1Key.
func Meta2Key(end Key) Key { return append(Key{meta2Byte}, end...) }

// MetaSpan is where the descriptor of k's range is the first entry: what lies above MetaKey.
// The last key of meta2 that has an entry is in the range of the last entry of meta1, and
// nothing lies above that. ok is as for MetaKey.
func MetaSpan(k Key) (s Span, ok bool) {
	if last := Meta2Key(Max); !k.Less(last) && k.Less(Meta2End) {
		return Span{Key: Meta1Key(Max), EndKey: Meta1End}, true
	}
	meta, end, ok := MetaKey(k)
	if !ok {
		return Span{}, false
	}
	return Span{Key: meta.Next(), EndKey: end}, true
}

// MetaKeyBelow is where the search for the range begins that holds the keys just below
// end: the descriptor is the first entry at or above it. Otherwise it is like MetaKey.
func MetaKeyBelow(end Key) (meta, metaEnd Key, ok bool) {
	switch {
	case !Meta2.Less(end):
		return nil, nil, false
	case end.Equal(Meta2End):
		return Meta1Key(Max), Meta1End, true
	case end.Less(Meta2End):
		return Meta1Key(end[1:]), Meta1End, true
	}
	return Meta2Key(end), Meta2End, true
}

// MetaKey is where the search for k's range begins: the descriptor is the first
// entry strictly above it, below metaEnd. For keys of meta1, and those below it,
// there is no such entry: they are in the first range, whose place everybody
// knows. Then ok is false.
func MetaKey(k Key) (meta, metaEnd Key, ok bool) {
	switch {
	case k.Less(Meta2):
		return nil, nil, false
	case k.Less(Meta2End):
		return Meta1Key(k[1:]), Meta1End, true
	}
	return Meta2Key(k), Meta2End, true
}

// NodeLivenessKey holds a node's liveness record.
func NodeLivenessKey(n NodeID) Key {
	return AppendUint(Key{systemByte, systemLiveness}, uint64(n))
}

// NodeLivenessSpan holds all liveness records, in the order of the nodes.
func NodeLivenessSpan() Span { return prefixSpan(Key{systemByte, systemLiveness}) }

// DecodeNodeLivenessKey is the inverse of NodeLivenessKey; ok tells whether k is one.
func DecodeNodeLivenessKey(k Key) (n NodeID, ok bool) {
	if len(k) < 3 || k[0] != systemByte || k[1] != systemLiveness {
		return 0, false
	}
	v, rest, ok := DecodeUint(k[2:])
	return NodeID(v), ok && len(rest) == 0 && v <= math.MaxInt32
}

// RangeIDCounterKey counts the ranges that were ever made: it holds the highest RangeID.
var RangeIDCounterKey = append(System.Clone(), "range-ids"...)

// TablePrefix begins every key of a table.
func TablePrefix(table uint64) Key { return AppendUint(Key{tableByte}, table) }

// IndexPrefix begins every key of an index.
func IndexPrefix(table, index uint64) Key { return AppendUint(TablePrefix(table), index) }
