// Package history is what clients did and what they were told: the only thing
// that the checkers look at. It holds the operation types, the recorder that
// workloads write through, and the readers and writers that move a history to
// and from disk.
//
//	workload client ──Invoke──▶ Recorder ──History──▶ checker, report
//	                ──Complete─▶     │
//	                                 ├─ WriteJSONL ⇄ ReadJSONL (one operation a line)
//	                                 └─ WriteEDN ⇄ ReadEDN (events in the form of Jepsen)
//	  recorded elsewhere: ReadEDN, ReadJepsenJSON (Jepsen, Elle, Knossos),
//	                      ReadEtcdLog, ReadKVLog (the test data of Porcupine)
//
// An operation has an interval [Call, Return] of true virtual time, which no
// node of the database can see, and one of three outcomes, as in Jepsen:
//
//	OK    it took effect within the interval, and the results are what it saw
//	Fail  it certainly took no effect (it may still have seen something: a
//	      conditional write that found another value)
//	Info  nobody knows: it took effect at some moment after Call, or never
//
// Fault model: a client may die between Invoke and Complete. Its operation
// stays open and reads as Info without a Return. Nothing is ever lost from a
// Recorder, and files are judged line by line: a bad line is an error that
// names the line and what to do, never a panic.
package history
