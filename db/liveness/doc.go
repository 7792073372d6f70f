// Package liveness says which nodes are alive, and lends them the epochs by which they
// hold the leases of ordinary ranges.
//
// Each node has one record in the database, under keys.NodeLivenessKey:
//
//	{node, revision, epoch, expiration, draining, membership}
//
//	   the node itself                     any other node
//	     heartbeat: expiration := now + 6 s  increment: epoch := epoch + 1, once the
//	     at its start: epoch := epoch + 1       expiration has passed by its clock
//	            \                                 /
//	             conditional put of the exact record that was seen
//	                            |
//	                   the newest record  ---gossip--->  caches of all nodes
//
// A node that holds epoch 7 may serve under every lease of epoch 7, until a maximum
// clock offset before the expiration that its last heartbeat confirmed (HoldsEpoch).
// Whoever wants such a lease for himself must first end the epoch (IncrementEpoch), and
// can do so only after the expiration has passed by his clock. The two clocks differ by
// the maximum offset at most, so that there is no moment at which the node still holds
// the old epoch and somebody has seen the new one.
//
// Every write is a conditional put of the record that the writer saw, and adds one to
// its revision. So no record ever recurs, of two writers who saw the same one wins, and a
// put that comes late, after its sender gave it up, finds another record and does nothing.
// A put with an ambiguous result is looked up, and if it cannot be, the next one finds out.
//
// What a node promises to others it takes from its own confirmed heartbeats alone. What
// it thinks of others it takes from a cache, which is fed by what it reads and writes
// itself and by gossip, and is therefore late. It does not matter: nobody acts against a
// node but by a conditional put, which fails if the cache was wrong. Only to believe that
// another's epoch is over requires truth, and a record with a higher epoch is the truth
// for ever.
//
// When the higher epoch of a record is seen, its version is above every timestamp at
// which the node has served under the lower one: the version is a reading of a clock that
// had taken in the writer's, which was past the expiration, or, at a restart, past all
// that the earlier incarnation's clock had given out. A lease that follows one of a lower
// epoch therefore begins above that version.
//
// Whether a node that is not live is dead, and one that is back to be relied on, is for
// placement to judge, which says what follows from it (View, Status).
//
// Membership goes from active to decommissioning, back or on to decommissioned, and from
// there nowhere: a decommissioned node has no heartbeats any more.
//
// Rejected: to say who is alive by pings alone. A node that I cannot reach may hold
// leases and be reached by others; somebody must decide, and the database can. Rejected:
// an expiration in every lease; each idle range would cost a write every few seconds.
//
// Fault model: the database may be unreachable, and answers may be lost, late, or never
// come; nodes pause and crash at any moment and clocks differ by the maximum offset at
// most. Promised nevertheless: no two epochs of a node count at one moment, for anybody;
// an epoch never goes down, and no incarnation of a node holds an epoch of an earlier
// one. If clocks differ by more, a node may serve under an epoch that has been ended, as
// long as the excess; the records stay sound all the same.
package liveness
