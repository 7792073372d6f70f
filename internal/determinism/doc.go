// Package determinism holds the analyzers that keep code under simulation
// deterministic: one seed and one build give one run, whatever the host does. Each
// forbids a construct that would let the host decide something, says why, and names
// what to use instead.
//
//	concurrency  go, select, channels, sync, recover, iter.Pull outside the kernel
//	clock        wall time, host entropy, host facts, %p and printed addresses
//	maporder     loops over maps whose outcome can depend on the order
//	globals      package-level state that changes, which two simulations would share
//
// They are sound only for what they look at: the packages that InScope names,
// without tests. A library that is called may still misbehave; the law in
// ARCHITECTURE.md and the double run of -check-determinism are for that.
//
// A place where the rule does not apply says so, with the reason, on its own line
// or the one above:
//
//	//determinism:ok the loop only closes, and closing commutes
//
// An annotation without a reason, or one that silences nothing, is itself reported.
package determinism
