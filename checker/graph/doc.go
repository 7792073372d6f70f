// Package graph decides whether the transactions of a history can be put in one
// serial order, by the dependencies that their reads and writes prove. An operation
// with several actions is one transaction.
//
//	history ─▶ steps (keys and values as small numbers)
//	             │ list-append: every read shows the order of what it read
//	             │ rw-register: order from the initial value, from reading before
//	             │              writing, and from the stored versions when given
//	             ▼
//	         edges  ww wr rw  + session + keyed real time
//	             ▼
//	         components (Tarjan) ── all single ─▶ a serial order, the certificate
//	             │ else
//	             ▼
//	         a short cycle each ─▶ its name, each edge in words, a picture
//
// The dependencies and the names of cycles are Adya's ("Weak Consistency", 1999):
// G0 of writes alone, G1a, G1b, G1c of what must not be read, G-single with one
// anti-dependency, G2-item with more. That unique values in lists reveal the order
// of versions is the idea of Elle (Kingsbury and Alvaro, VLDB 2020), as are
// G-nonadjacent and the suffixes -session and -realtime of cycles that need such
// an edge.
//
// Real time counts between transactions that touch a common key which one of them
// writes, and then only: T1 comes before T2 when T1 was answered before T2 began.
// That is what a database with clocks of bounded skew and no waiting promises. A
// transaction of unknown outcome has no end and so nothing comes after it; a read
// of the past comes after nothing. Cycles through real time between transactions
// that share no key are the causal reverse: counted when asked for, never failed.
//
// For lists the inference is complete: what is not flagged has a serial order, and
// the check gives it. For registers that holds when the stored versions are given,
// and without them everything flagged is wrong but not everything wrong is flagged.
//
// What histories may contain: unknown outcomes (such a transaction counts as soon
// as somebody saw what it wrote), failures, clients that died, reads of the past,
// scans. Promises: the same history gives the same verdict, byte for byte; memory
// and time grow with the number of actions and elements read.
package graph
