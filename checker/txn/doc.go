// Package txn judges transactions by other means than the dependency graph: each
// check is a pure function from a history to a verdict.
//
//	Witness     replays in the order of the database's own timestamps. With that order
//	            given, serializability is decided at once (and not NP-complete).
//	Strict      searches for any order that keeps real time (Porcupine on whole
//	            transactions): small runs only.
//	AtTimestamps the same search with timestamps for intervals, a third opinion.
//	Bank, LongFork, Predicate, Monotonic, Sequential, CausalReverse
//	            what the workloads of that name promise (after Jepsen's tests of the
//	            same names), read directly off what was seen.
//
// Witness and graph are the two deciders of a run. The witness fails and the graph
// passes: the timestamps are wrong. The graph fails and the witness passes: one of
// the checkers is.
//
// Promises: the same history gives the same verdict, byte for byte; what was not
// decided is unknown, what did not happen is vacuous.
package txn
