// Package checker judges histories: pure functions from what clients saw (and,
// where asked, from what the database applied) to a verdict that a person can
// follow. It knows no database and no simulator.
//
//	history.History ─┬─▶ Register    one linear sweep of intervals, versions ordered by timestamp
//	                 ├─▶ Porcupine   search for any order, key by key, bounded by work
//	                 │      └─ Agreement: the two must not contradict each other
//	                 ├─▶ Counter, SetDurable, Vacuity, Availability
//	 []Version ──────┼─▶ Witness     each read is the newest version at its timestamp
//	 healing time ───┴─▶ Liveness
//	                        └─▶ Verdict{ok | violation | unknown | vacuous}, Worst
//
// What is judged is linearizability (Herlihy and Wing 1990) of each key. Deciding
// it without knowing the order of writes is NP-complete (Gibbons and Korach,
// "Testing shared memories", 1997); the search here is that of Wing and Gong with
// Lowe's memory of states already met, as Porcupine implements it. With the order
// of writes known it is a question of intervals, decided in linear time, and a
// multi-version database says that order: it stamps each version. So the sweep
// carries the weight, hot keys and long runs too, and the search keeps it honest.
//
// Promises: the same history gives the same verdict, byte for byte. A verdict is
// ok only when everything asked was decided: running out of work is unknown, and
// a run that did too little to mean anything is vacuous. A violation names its
// operations and says in words why no order explains them.
//
// What histories may contain: operations whose outcome nobody knows (they
// happened or not, at any time after their call), clients that died, failed
// conditions that observed a value, batches (atomic on each of their keys), scans
// (a read of each key of the universe), reads of the past. Anomalies that span
// keys are not seen here; they belong to the checks of transactions: the rooms
// graph (dependencies and cycles), txn (replay in timestamp order, banks, long forks
// and the like) and verify (which confirms what graph says).
package checker
