package kv

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// LockStrength says what a lock keeps others from.
type LockStrength uint8

// The strengths, in ascending order.
const (
	LockNone      LockStrength = iota
	LockShared                 // from locking exclusively and writing
	LockExclusive              // from locking and writing; reads go on
	LockIntent                 // a provisional value: from reading it, too. No request asks for it
	numLockStrengths
)

var lockStrengthNames = [numLockStrengths]string{"none", "shared", "exclusive", "intent"}

// String is the strength's name.
func (s LockStrength) String() string {
	if s < numLockStrengths {
		return lockStrengthNames[s]
	}
	return "unknown strength"
}

// Conflicts reports that locks of the two strengths, of different transactions,
// cannot be held together. LockNone stands for a read.
func (s LockStrength) Conflicts(o LockStrength) bool {
	if s > o {
		s, o = o, s
	}
	switch s {
	case LockNone:
		return o == LockIntent
	case LockShared:
		return o >= LockExclusive
	}
	return true
}

// LockDurability says what a lock survives.
type LockDurability uint8

// The durabilities.
const (
	Unreplicated LockDurability = iota // is lost when the lease moves
	Replicated                         // as durable as data
	numLockDurabilities
)

// String is the durability's name.
func (d LockDurability) String() string {
	if d == Replicated {
		return "replicated"
	}
	return "unreplicated"
}

// WaitPolicy says what a request does about the locks of others.
type WaitPolicy uint8

// The policies.
const (
	WaitBlock WaitPolicy = iota // waits, and pushes
	WaitError                   // fails with LockConflict, unless the holder is no more
	WaitSkip                    // a locking read leaves out what is locked
	// WaitCommitted reads what is committed, as if there were no locks, and is no promise
	// that it stays so. Ranges are looked up like this: whoever has to push the holder of
	// a lock in the index must be able to find the holder's record by the same index.
	WaitCommitted
	numWaitPolicies
)

var waitPolicyNames = [numWaitPolicies]string{"block", "error", "skip locked", "committed"}

// String is the policy's name.
func (p WaitPolicy) String() string {
	if p < numWaitPolicies {
		return waitPolicyNames[p]
	}
	return "unknown policy"
}

// Lock is a lock that somebody holds.
type Lock struct {
	Key        keys.Key
	Txn        TxnMeta
	Strength   LockStrength
	Durability LockDurability
}

// String prints the lock for reading.
func (l Lock) String() string {
	return fmt.Sprintf("%s %s lock on %s by %s", l.Durability, l.Strength, l.Key, l.Txn)
}

// minLockSize is the least that a lock takes.
const minLockSize = 1 + sizeTxnID + 10

func (l *Lock) size() int { return codec.SizeBytes(l.Key) + l.Txn.Size() + 2*codec.SizeByte }

func (l *Lock) encode(b []byte) []byte {
	return append(l.Txn.Encode(codec.AppendBytes(b, l.Key)), byte(l.Strength), byte(l.Durability))
}

func decodeLock(r *codec.Reader) Lock {
	return Lock{Key: r.Bytes(), Txn: DecodeTxnMeta(r), Strength: LockStrength(decodeEnum(r, byte(numLockStrengths))),
		Durability: LockDurability(decodeEnum(r, byte(numLockDurabilities)))}
}

// LockUpdate says what has become of the transaction that holds locks in a span, and
// by that what is to be done with them: Committed and Aborted release them, Pending
// moves intents up to the transaction's write timestamp. It is also what evaluation
// tells concurrency control.
type LockUpdate struct {
	Span        keys.Span // a point, or a span
	Txn         TxnMeta
	Status      TxnStatus
	IgnoredSeqs []SeqRange
	// ClockObservation is a reading of the leaseholder's clock, taken before the
	// transaction was found to be Pending: what moves up may keep its local timestamp
	// no lower than this. Zero: none.
	ClockObservation ObservedTimestamp
}

// UpdateOf says what txn means for the locks that it holds in s.
func UpdateOf(txn *Txn, s keys.Span) LockUpdate {
	return LockUpdate{Span: s, Txn: txn.TxnMeta, Status: txn.Status, IgnoredSeqs: txn.IgnoredSeqs}
}

// String prints the update for reading.
func (u LockUpdate) String() string { return fmt.Sprintf("%s: %s %s", u.Span, u.Txn, u.Status) }

func sizeObserved(o ObservedTimestamp) int { return codec.SizeVarint(int64(o.NodeID)) + o.TS.Size() }

func appendObserved(b []byte, o ObservedTimestamp) []byte {
	return o.TS.Encode(codec.AppendVarint(b, int64(o.NodeID)))
}

func decodeObserved(r *codec.Reader) ObservedTimestamp {
	return ObservedTimestamp{NodeID(r.Int32()), hlc.Decode(r)}
}
