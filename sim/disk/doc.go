// Package disk is the disk of a simulated machine, behind pebble's vfs.FS: what was
// written, what of it is durable, how long it takes to become so, and everything
// that can go wrong on the way.
//
//	process ──Write──> page cache ──Sync──> line of the device ──> medium
//	   ^                  │  (survives a crash     (takes time,      (survives a
//	   └──────ReadAt──────┘   of the process)       may hang, fail)   power loss)
//
//	Disk ── mount (one incarnation) ── file (one handle)
//	  ├── volume   tree of inodes; knows neither time nor faults
//	  │     ├── content   one file: cached pages, and the durable image of dirty sectors
//	  │     └── journal   directory operations that are not yet durable
//	  ├── device   syncs in line and in service
//	  └── faults   what is wrong at present
//
// # Fault model
//
// A crash of the process keeps the page cache: the next incarnation reads all that
// was written, durable or not.
//
// A power loss keeps what is durable, and a drawn part of the rest:
//
//   - A sector of 512 bytes is atomic: it is wholly as it was when last made
//     durable, or wholly the newest, or what a sync in flight was writing. Any set
//     of unsynced sectors may survive, whatever the order of the writes.
//     (Contents that were overwritten before any sync was called never appear.)
//   - The size of a file is somewhere between the durable and the newest one: the
//     end of the last sector that survived, or the old size although data beyond
//     it arrived, or the new one although data did not. What was lost inside the
//     size reads as the old content, which is zeros where there was none.
//   - An operation on a directory (create, link, remove, rename) is atomic, and
//     survives or not. Those on one name survive in their order, those on different
//     names independently of each other. After a rename the target is the old file
//     or the new one, and the source has its name unless the target has it.
//   - A file whose name did not survive is gone, whatever was synced of it.
//
// Durable is: of a file, the content and size that it had when a Sync or SyncData
// of it was called that returned nil; of a directory, the operations on it that
// came before such a Sync of it. A sync of a file does not make its name durable.
// SyncTo promises nothing. A sync that is in line or in service when the power goes
// has made nothing durable for sure. When more than Config.JournalLimit operations
// on directories are pending, the older half becomes durable without being asked.
//
// A sync that fails with EIO gives up what it covers, as kernels do: the cache has
// it still, but it counts as clean, so that no later sync writes it, unless its
// sector is written again. A later sync that succeeds may even make the new size
// durable around lost sectors. (Directories are spared this: their operations stay
// pending.) A process that goes on after a failed sync is wrong.
//
// Never happens unasked: durable bytes do not change, reads return what was last
// written, errors are reported to the caller whom they concern. Each can be asked
// for by a fault: BitRot, ReadError, WriteError, SyncError, Full, Slow, Stall,
// LoseAll. Misdirected writes are not modelled.
//
// # Time
//
// Writes go to the cache and take none. Reads are charged by the byte
// (env.ClassDiskRead), as if all were cached. Sync waits for the device, which
// takes Profile.Channels syncs at a time from one line; a task parks for it, and a
// callback makes its machine busy instead. The device works on while the process is
// paused, busy or dead.
package disk
