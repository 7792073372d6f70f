// Package server is the composition root of one node: it puts an engine, a hybrid
// clock, the replicas of a store, a router and the handlers of calls together, in
// the order in which each may rely on the one before, and takes them apart again.
//
//	clients --"batch via gateway"--> Router --+--"batch"--> other nodes' stores
//	        --"session"-> Gateway -> Txns -^  |
//	                                          |
//	other nodes --"batch"------------------> Store <--"raft", "snapshot"--> other stores
//	                                          |
//	                                        Engine on the node's disk
//
// Fault model: the process may die at any moment, and finds on its disk what
// sim/disk says. A node that cannot read its disk, or whose clock is far from those
// of most peers, ends itself (env.Fatal) rather than serve what may be wrong.
package server
