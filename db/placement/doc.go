// Package placement decides where the replicas and the lease of a range should be: a
// pure function from state to decision. It sends nothing, waits for nothing and knows
// no clock; a queue of the leaseholder's store asks, carries the decision out, and asks
// again.
//
//	stores, as gossip tells --> Cluster --+
//	descriptor, load, config --> Range ---+--> Decide --> Decision: action, changes, reason
//	                                            |
//	      Repair     how many, and on whom: dead, decommissioning, missing, surplus
//	      Shed       the lease leaves a node that drains
//	      Rebalance  constraints, then diversity, then load and space
//	      Lease      preferences, then nearness to the requests, then load
//
// Placements are compared by a Score: violated constraints of the voters, violated
// constraints of all replicas, diversity of the voters, diversity of all replicas. What
// remains equal is decided by imbalance, a convex penalty for each dimension (ranges,
// leases, bytes, requests, CPU, writes) of what lies outside a band around the mean.
//
// Why nothing goes round in circles: order the state of a cluster by missing and
// surplus replicas, then by the scores of its ranges, then by how well leases stand
// (preference, nearness), then by imbalance. Each decision that is carried out moves the
// cluster strictly down in this order: a move for load may not worsen any score, any
// standing of a lease, or the imbalance in any dimension, and must lessen one of them. So
// repeated decisions end, and no decision is undone by the next one while the state they
// look at stays what it was. Against states that do change there are the width of the
// bands and the gap that source and target must have.
//
// The alternative, a weighted sum of all goals, was rejected: nobody can read off it
// why a replica moved, and weights that are right for three stores are wrong for ninety.
//
// What is promised, whatever the state:
//
//   - No live voter is removed if the voters that answer and are up to date would be
//     fewer than a quorum of those that remain; in particular never the last copy.
//   - A replica is added before another leaves: a replacement is one decision with two
//     changes, which joint consensus makes one step.
//   - A store that is not live, is throttled, or nearly full is no target; neither is a
//     second store of a node that has a replica, unless that is the one which moves.
//   - Constraints that every replica must satisfy are never traded for anything: where no
//     store satisfies them, nothing is placed, and the reason says so.
//   - Equal candidates are told apart by a given random source, two drawn and the
//     better one taken, or without one by load and identity; never by the order of a map.
//
// Fault model: everything in the state may be out of date or wrong, since gossip is late.
// A decision is a proposal that the replica change, under its own conditions on the
// descriptor, may still refuse. A store that the state does not know counts as silent.
package placement
