// Mutants measures the checkers: it takes a folder of patches, each of which
// removes one rule of the database, builds the command with each, sweeps the
// scenarios that the patch names, and tells which check noticed, and how soon.
//
//	go run ./internal/mutants -dir internal/mutants/patches [-only M11,M14] [-seeds 200] [-blocks 1] [-jobs 2] [-check] [-v]
//
//	patch file --parse--> Mutant --apply--> patched copies --go build -overlay--> binary
//	                                                                                 |
//	table <--judge-- first catch of each block of seeds <-- subprocess a run, results kept by the binary's hash
//
// The work tree is never touched: patched files live in a temporary directory and
// reach the compiler as an overlay. A patch that no longer applies or builds is an
// error that names file, hunk and line; it must be cut again, never skipped.
//
// A catch counts only if the same seed passes without the patch. A control removes
// no safety rule, and must not be flagged by any safety check.
//
// A patch file is a header of "key: value" lines, a blank line and a unified diff:
//
//	id: M11
//	rule: only the current leaseholder mutates
//	scenarios: leases, register      (all: those that the binary lists)
//	checks: linearizable             (expected to notice; none: any may)
//	control: true                    (only for controls)
//	note: anything                   (any number)
//
// Exit codes: 0 all as expected, 1 a mutant was not caught or a control flagged, 2
// usage, or a patch that does not parse, apply or build.
package main
