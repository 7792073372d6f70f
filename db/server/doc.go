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
//	other nodes <--"gossip"--> Gossip --addresses, stores--> peers, ClusterView
//	                             |  ^
//	                     records v  | records            heartbeats by the Router
//	                            Liveness --epochs, who is live--> Store
//
// A node knows the endpoints of a few others to begin with, and learns of the rest by gossip;
// what it learns it keeps on its disk. It has connections to those it talks to, and to
// some others by whose clocks it judges its own (witnesses): never to all, in a large
// cluster.
//
// To stop, a node drains: it tells the others, lets sessions end and hands its leases over.
// A node that is decommissioned does so when it learns of it, and never comes back.
//
// Fault model: the process may die at any moment, and finds on its disk what
// sim/disk says. A node that cannot read its disk, or whose clock is far from those
// of most peers, ends itself (env.Fatal) rather than serve what may be wrong.
package server
