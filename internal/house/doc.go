// Package house holds the tests of the house itself: who may import whom, that
// code under simulation keeps the law of determinism, that every package opens
// with what it is for, that probes and knobs in use are declared, and that rooms
// stay readable in size.
//
//	go test ./internal/house
//
// Every rule is a value with its reason and its replacement, and each is proven
// on a fixture or a made-up package to detect what it forbids.
//
// A violation that is known and will be mended by its room stands in debts.txt,
// one a line, so that it neither fails every build nor is forgotten. An entry that
// no longer applies is named by the test's log.
package house
