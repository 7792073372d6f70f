// Package report writes what a run showed into a directory that a person can
// open, keep and attach to a ticket:
//
//	index.html      the verdict in one line, then why, then what happened (start here)
//	porcupine.html  one key's operations in order, when there is a picture of it
//	results.json    every verdict with its counts and witnesses
//	history.jsonl   every operation, one a line
//	history.edn     the same as events of Jepsen
//	plan.txt        the faults, in the form that a run replays
//	certificate.json  serial orders and cycles, for another to confirm, if there are
//	events.txt      how the operations of the examples came to their answers, if known
//	trace.txt       the trace, when one was kept
//
// Readers look first at the one-line verdict, then at the names of anomalies,
// then at one explained example, then at the plots; the page has that order. It
// is one file that opens from disk without a network, under a content security
// policy that allows nothing but its own hashed script and style.
//
// The input is a plain struct. Equal inputs give equal bytes: no clock is read
// and no map is ranged over. Nothing here judges; a run with nothing to show
// gives a page that says so.
package report
