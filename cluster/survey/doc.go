// Package survey looks at a running cluster from outside, again and again, and remembers
// what a reader of the run will want to see: where copies and leases were, which ranges
// could not be served and why, what moved, and when all copies were where they belong.
//
//	scenarios -- Look, between two events --> Survey --> Moments   replicas and leases by node, over time
//	                                            |    '-> Outages   ranges without a quorum or a lease, with the cause
//	invariants.Watcher: newest descriptors -----'    '-> Events    splits, merges, moves of copies and of leases
//	                                                 '-> Tree      the ranges at the last look
//	                                                 '-> Placement the verdict on where copies are
//
// It is no part of the simulation: it draws nothing, sends nothing and schedules nothing,
// so that a run which is looked at is the same run. What happens between two looks and is
// undone before the second is not seen; rules that must hold at every instant are package
// invariants' to watch.
package survey
