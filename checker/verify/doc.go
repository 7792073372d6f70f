// Package verify confirms the evidence that the graph checker hands out, and
// shares nothing with it but the types: who does not trust the checker reads this.
//
//	a pass      ─▶ Order  replay the serial order: every read must find what it found,
//	                      and nobody may come before what its session or real time
//	                      puts first
//	a violation ─▶ Cycle  derive each edge again from its two transactions (and, for
//	                      the order of two writes, one read that shows both)
//
// It is written for plainness: maps, one pass, no indexes. It fails safe: evidence
// that it does not understand is refused with the reason.
package verify
