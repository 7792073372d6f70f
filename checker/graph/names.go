package graph

import "strings"

// Names lists the names of all that can be found, from worst to mildest within each
// group; those of cycles also stand with -session or -realtime behind them.
func Names() []string {
	return []string{"G0", "G1c", "G-single", "G-nonadjacent", "G2-item", lostUpdate,
		abortedRead, intermediateRead, dirtyUpdate, internal, incompatible, duplicates, garbage, lostWrite, abortedWrite}
}

// Doc says in one sentence what a name means; "" for one that is not known.
func Doc(name string) string {
	base, timed := strings.CutSuffix(name, "-realtime")
	session := false
	if !timed {
		base, session = strings.CutSuffix(name, "-session")
	}
	doc := ""
	switch base {
	case "G0":
		doc = "writes alone form a cycle: each wrote over the next (a dirty write)"
	case "G1c":
		doc = "writes and reads form a cycle: each transaction saw or overwrote what the one before had written (circular information flow)"
	case "G-single":
		doc = "a cycle with one anti-dependency: a transaction saw part of another's effects and missed another part (read skew)"
	case "G-nonadjacent":
		doc = "a cycle with several anti-dependencies, no two of them next to each other: not even snapshot isolation allows it"
	case "G2-item":
		doc = "a cycle with anti-dependencies next to each other: each missed what the next wrote (write skew)"
	case lostUpdate:
		doc = "a transaction wrote over a version that it had not read, from one that it had: the update between them is lost"
	case abortedRead:
		doc = "a transaction read what one wrote that failed (an aborted read)"
	case intermediateRead:
		doc = "a transaction read what another wrote over before it ended (an intermediate read)"
	case dirtyUpdate:
		doc = "a transaction that happened wrote on top of what one wrote that failed"
	case internal:
		doc = "a transaction contradicts what it has itself read or written before"
	case incompatible:
		doc = "two reads of one key show orders of its versions that cannot both have been"
	case duplicates:
		doc = "one write took effect twice"
	case garbage:
		doc = "a value was read that nobody wrote"
	case lostWrite:
		doc = "a write of a transaction that certainly happened was never applied"
	case abortedWrite:
		doc = "the store applied a write of a transaction that failed"
	default:
		return ""
	}
	switch {
	case timed:
		doc += "; the cycle needs an edge of real time, from an answer to a later call on the same key"
	case session:
		doc += "; the cycle needs the order of one session"
	}
	return doc
}
