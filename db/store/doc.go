// Package store keeps the replicas that one node has, and gives them what they must
// not each own: one periodic tick, one place in the queue of events, one message to
// each peer.
//
//	messages in      requests        ticks (only who is awake)      disk is done
//	    |               |                   |                           |
//	    v               v                   v                           v
//	+-------------------------- replicas (package replica) --------------------+
//	    |  Ready(r): each stands in line at most once
//	    v
//	  drain, one callback for all in line
//	    |                      |                          |
//	    v                      v                          v
//	log and apply batches   one message a peer node    snapshots, a task each
//	to the engine           holding all raft messages,  in chunks, at a bounded rate
//	                        heartbeats included
//
// Beside them stands what the ranges of the store need to know, and to have done, about
// transactions whose records and locks are anywhere (Txns), and the queue that removes
// what nobody sees or needs any more (gcQueue).
//
// What it promises: messages of a range reach its replica, in the order in which
// they came; a snapshot is handed over complete or not at all; whatever was
// synced before a restart is found again by Open.
//
// Fault model: as of package replica. The transport may lose, delay and reorder,
// and peers may vanish in the middle of a snapshot: half a snapshot is dropped
// after a while. What the two beside them send may be lost, late and executed twice; they
// remember nothing that could not be found out again.
package store
