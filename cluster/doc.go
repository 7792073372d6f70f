// Package cluster is the one place where the simulator and the database meet: N
// servers and M clients in one simulation. It lays out the topology, boots nodes on
// their disks, lets them crash, lose power, stop and come back, and gives faults,
// workloads and invariants something to hold on to.
//
//	nemesis.Target                 workloads.KV
//	      |                             |
//	   Cluster ----------------------- client: own endpoint, rpc to a gateway node
//	      |
//	   node: machine + disk + endpoint -> env.Env -> db/server
//
// Fault model: what a node's environment may do to it is written in sim, sim/network
// and sim/disk. A node that nemesis took down stays down until nemesis starts it; a
// node that died by itself (a failed sync, out of memory, a stray clock, a panic)
// stays down here too: nemesis.Runner starts it again after a while, as an init
// system would.
package cluster
