// Package replica is one replica of one range: a state machine that a group of
// such replicas keeps equal by Raft (Ongaro and Ousterhout 2014; the library is
// go.etcd.io/raft/v3), and on top of it the lease that says which one of them may
// read and write without asking the others.
//
//	     task of a request                        callbacks
//	------------------------------     ---------------------------------------
//	Send: bounds, lease, latches        Step(message)   Tick   storage is done
//	  |        ^                             |            |          |
//	  | evaluate (mvcc) at a timestamp       v            v          v
//	  v                                  +--------- raft.RawNode ---------+
//	propose  -> pending proposals -----> |                                |
//	  |                                  +-- Ready, drained by the store -+
//	  | waits                              |            |             |
//	  v                                    v            v             v
//	applied, before ack               messages     log, synced    commands applied
//	  |                               to peers     (raftlog.go)   in one batch each
//	  +--- latches released <------------------------------------- (apply.go)
//
// What it promises:
//
//   - A write that was acknowledged is in the synced logs of a majority.
//   - A command is applied once or never, on all replicas alike: whether it
//     applies is a function of the log alone (apply.go).
//   - Reads and writes are served by the holder of a lease, and no two holders'
//     leases overlap while clocks stay within the maximum offset (lease.go).
//   - Whoever cannot know the outcome of a write is told so: ambiguous.
//
// Fault model: the process may die between any two callbacks and, with it,
// everything not yet synced; messages may be lost, late, twice and out of order;
// peers are honest. What was synced stays: a replica whose log ends before what it
// has applied refuses to start, since it may have forgotten a vote or an
// acknowledgement. The clock may be off by anything: then reads may be stale, but
// replicas stay equal and writes are not lost.
//
// Nothing here waits inside a callback, and an idle replica is quiescent
// (quiesce.go): no timer, no task, no map.
package replica
