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
// A batch that only reads may cross ranges. It is then executed range by range, in
// the order of its requests, and limits hold for the whole. Each range's part is
// consistent by itself; the parts are one snapshot only if the batch states a
// timestamp. A batch that writes and crosses ranges is refused.
//
// Fault model: any node may be dead, slow, unreachable, overloaded or wrong about
// who holds what, and answers may be lost. Promised nevertheless: Send returns by
// its deadline, and what it returns is true in this sense:
//
//   - A response without error: the batch was executed exactly once.
//   - An error that is not Ambiguous: the batch had no effect, and never will.
//   - Ambiguous: unknown. This is the result for ever of a batch that does not only
//     read, once one attempt may have reached a replica and gave no answer. There is
//     no second attempt: it might be executed twice, and its refusal would not say
//     what became of the first.
//
// Batches that only read are tried again until the deadline.
package kvclient
