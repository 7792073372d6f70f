// Package mvcc gives every key a history: versions, each at a timestamp, and reads
// as of any timestamp. It is a thin layer of functions over storage.Reader and
// storage.Batch and keeps no state.
//
//	user key ──► one run of engine keys, in this order
//
//	  a  ──►  a 00 01                       the bare key: the record of who has an
//	                                        uncommitted value, or a lock, here; mostly none
//	          a 00 01 ^wall ^logical        newest version, the provisional one if there is
//	                                        an intent
//	          a 00 01 ^wall ^logical        older version …
//	  b  ──►  b 00 01 …
//
// Engine keys order by user key first, because the end mark 00 01 sorts below every
// continuation of the key (a zero byte inside a key is written 00 ff), and then from
// newest to oldest, because timestamps are stored inverted. A read at ts is one seek.
//
// A version's engine value is
//
//	u32 checksum | flags | [ local timestamp ] | bytes
//
// where the checksum (CRC-32C) covers the engine key too, so that a value found
// under another key or version does not pass; a flag says that it is a tombstone.
// Tombstones are a flag and not an empty value, because clients may store empty
// values, and because a deletion has a local timestamp as well.
//
// # Intents
//
// A transaction's write is an intent: its value stands as a version, at the write
// timestamp, above all committed ones, and the record at the bare key says whose it
// is, of which epoch and sequence, and which values of the same epoch it has replaced.
//
//	write seq 1   a: {T epoch 0 seq 1}            a@5 "x"   a@2 "old"
//	write seq 3   a: {T epoch 0 seq 3; 1: "x"}    a@5 "y"   a@2 "old"
//	push to 8     a: {T epoch 0 seq 3; 1: "x"}    a@8 "y"   a@2 "old"   local 5
//	commit at 9, without 3                        a@9 "x"   a@2 "old"   local 5
//	or abort                                                a@2 "old"
//
// Others stop at an intent (LockConflictError); its own transaction reads it, or what
// it had replaced, or nothing of it, depending on sequence, rollbacks and epoch. A
// record can hold replicated locks without a value beside it, or instead.
//
// The rules are section 2 of the design's database.md, 7 for QueryIntent and 13 for GC;
// testdata tells them one by one, and TestTransactions compares with a model of them.
// Not here, because they need more than one key's versions: that reads and failed
// conditions are recorded against later writes, which locks to wait for, and which
// timestamps a replica may serve (CheckReadable).
//
// # Fault model
//
// The engine below returns what was committed or an error. Every value read is
// checked nevertheless: damage gives a CorruptionError, never a wrong row. Bytes
// that are not an engine key of this package give an error, never a panic.
package mvcc
