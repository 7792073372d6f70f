// Package storage is the log-structured engine under a store: an ordered map of
// bytes whose commits are atomic, durable when asked, and never wait.
//
//	Commit ──► memtable (visible at once)          reads: memtables, level 0, 1 … 6
//	   │           │ full                                    newest first
//	   ▼           ▼
//	queued      immutable ──flush task──► level 0 ──compaction task──► level 1 … 6
//	records     memtables                    │                            │
//	   │                                     └────── manifest ◄───────────┘
//	log task: write, sync, done()                       ▲
//	   ▼                                              CURRENT
//	NNNNNN.log (removed when the manifest has its contents in tables)
//
// Three tasks wait for the disk, and nobody else does: one writes and syncs the
// log, one flushes, one compacts. Reads look into memory and into files, which
// costs time (ClassKey, ClassDiskRead) but never parks.
//
// # What may fail under it
//
// A power loss keeps any subset of the 512-byte sectors, file sizes and directory
// entries that were written and not synced. A process crash keeps the page cache,
// so that a later incarnation may read what is not durable. A write or sync may
// fail, once or for ever. Durable bytes may rot.
//
// # What it promises nevertheless
//
//   - After any crash the store holds a prefix of the commits, each whole or not at
//     all, and every commit that was acknowledged as synced (with all before it).
//   - A failed write or sync ends the process (Env.Fatal): what the device holds is
//     unknown then, and a later sync that succeeds proves nothing.
//   - Rotten bytes are an error that names file and offset, at Open or at the read
//     that meets them; never a wrong answer, never a panic. One thing cannot be
//     told from a torn tail: rot in the last records of the newest log when no
//     later record is left to testify that they had been durable.
//   - The same operations on the same environment write the same bytes.
//
// # How recovery stays simple
//
// Log files are never reused, and a new one is created only when its predecessor is
// synced to its end: so only the newest log can be torn, and the intact part of the
// logs is a prefix. Open replays logs into tables and writes a new manifest before
// it removes anything or creates a log; so what Open shows is durable, a crash
// during recovery finds the same logs again, and records behind a tear can never
// come back to life under new ones.
package storage
