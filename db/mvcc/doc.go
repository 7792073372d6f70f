// Package mvcc gives every key a history: versions, each at a timestamp, and reads
// as of any timestamp. It is a thin layer of functions over storage.Reader and
// storage.Batch and keeps no state.
//
//	user key ──► one run of engine keys, in this order
//
//	  a  ──►  a 00 01                       the bare key: room for what is about the
//	                                        key as a whole; nothing is stored yet
//	          a 00 01 ^wall ^logical        newest version
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
// # Fault model
//
// The engine below returns what was committed or an error. Every value read is
// checked nevertheless: damage gives a CorruptionError, never a wrong row. Bytes
// that are not an engine key of this package give an error, never a panic.
package mvcc
