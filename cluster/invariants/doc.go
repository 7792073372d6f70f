// Package invariants looks into running nodes, as no client can: at each command
// when it is applied, at each read when it is served, and at whole replicas now and
// then. What it finds broken is broken whatever clients saw.
//
//	replica.Observer calls          samples of the whole cluster
//	        |                                 |
//	     Watcher: log, leases, versions    checksums
//	        |                                 |
//	        +--------- Verdicts --------------+
//
// It only looks: it changes nothing, draws nothing and schedules nothing, so that
// a run with it and a run without it are the same run.
package invariants
