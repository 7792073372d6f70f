// Package recorded judges histories by the name of a model: those of our own runs,
// read back, and those that other tests recorded.
//
//	file ─ history.Detect ─▶ format ─ history.ReadAs(shape of the model) ─▶ History
//	model ─ Find ─▶ Model ─ Judge ─▶ []Verdict   (Worst of them is the outcome)
//
// Fault model: a file can hold anything; what is no history of the model is an
// error that says why. A history from elsewhere may be a part of one. Then what
// only a whole history can show is told and not failed: a value that nobody wrote,
// additions that nobody read afterwards. What was not decided is unknown and never
// a pass, and a history in which the model finds nothing to judge is vacuous.
package recorded
