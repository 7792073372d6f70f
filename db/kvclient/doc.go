// Package kvclient delivers batches: from a client to a gateway node (Remote), and
// from a gateway to the leaseholder of the range that the batch is for (Router).
//
//	client                gateway node                        other nodes
//	Remote --rpc--> ServeGateway -> Router --+--local------> Sender of this node's store
//	                                  |      +--rpc--> ServeStore -> Sender
//	                             range cache
//	                                  | misses
//	                                  +---- scans of meta2, in the first range
//
// The Router guesses, and is corrected: a replica that does not hold the lease says
// who does, and one that is asked for keys beyond its range says what it knows of
// them. What the cache holds is never trusted to be true, only replaced by what has
// a higher generation (descriptors) or sequence (leases).
//
// A batch that only reads may cross ranges. It is then divided, and all parts are sent
// at once, or, if it has limits, one after the other in the order of its requests, with
// the limits kept for the whole. If the batch states a timestamp the parts are one
// snapshot, and so they are in a transaction. If not, each part is read at a timestamp
// that the leaseholder of its range chooses: each is linearizable by itself, since it
// sees every write to its range that was acknowledged before the batch was sent, and
// none that began after it was answered; between the parts there is no promise, neither
// that they are of one moment nor that a later one in the order of keys sees more. A
// reader who wants more states a timestamp, or uses a transaction.
//
// A batch that writes and crosses ranges is refused, unless it is a transaction's: then
// it is divided, and an EndTxn comes last, or at the same time if it stages the record.
// Parts of a divided batch must not move up in time by themselves.
//
// Batches of transactions come from a coordinator, which is a chain of interceptors
// over the Router, one object for each transaction (Txns makes them, for a kv.DB):
//
//	kv.TxnHandle --> coordinator     what may follow what; restarts; commit-wait; cleaning up
//	                   heartbeater   chooses the anchor, keeps the record alive, notices aborts
//	                   sequencer     numbers writes, so that they can be told apart and ignored
//	                   pipeliner     writes in flight and their proofs; the footprint of locks
//	                   refresher     what was read; moves it up in time
//	                   committer     how to end: nothing to do, in one phase, in parallel, serially
//	                   counter       metrics
//	                 Router          divides batches among ranges, all parts at once
//
// A transaction's requests may be executed twice without harm: each has a number in
// its transaction. So they are tried again, commits too. But when an attempt to commit
// has an unknown outcome no failure of a later one is taken for the outcome: the result
// is Ambiguous, even if the later one was told that the transaction is aborted.
//
// A client that vanishes takes its coordinator's heartbeat along, if the coordinator is
// in its process; after that anybody may abort the transaction.
//
// Fault model: any node may be dead, slow, unreachable, overloaded or wrong about
// who holds what, and answers may be lost. Promised nevertheless: Send returns by
// its deadline, and what it returns is true in this sense:
//
//   - A response without error: the batch was executed exactly once.
//   - An error that is not Ambiguous: the batch had no effect, and never will.
//   - Ambiguous: unknown. This is the result for ever of a batch that cannot be
//     repeated, once one attempt may have reached a replica and gave no answer. Unless
//     it is a transaction's there is no second attempt: it might be executed twice, and
//     its refusal would not say what became of the first.
//
// For a batch of a transaction that does not commit, "no effect" means none on what
// others will ever see: the coordinator lets no transaction commit that had an error
// which does not say that nothing was written.
//
// Batches that only read, and others that may be repeated, are tried again until the
// deadline.
package kvclient
