package txn

import (
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/graph"
)

// Agreement compares the two deciders of a run. They can differ without a bug of a
// checker in two ways: the graph alone knows real time and sessions, and the
// witness alone knows what order the database claims (and what the store holds). But
// data dependencies that form a cycle cannot be explained by the order of
// timestamps: if the witness passes them, one of the checkers is wrong.
func Agreement(g graph.Result, witness checker.Verdict) checker.Verdict {
	v := checker.Verdict{Check: "transactions-agreement", Valid: checker.OK}
	contradiction := ""
	for _, a := range g.Anomalies {
		timed := strings.HasSuffix(a.Name, "-realtime") || strings.HasSuffix(a.Name, "-session")
		if !timed && !a.Warning && contradiction == "" {
			contradiction = a.Name
		}
	}
	switch {
	case g.Verdict.Valid == checker.Unknown || witness.Valid == checker.Unknown:
		v.Valid, v.Summary = checker.Unknown, "one of the two did not decide"
	case g.Verdict.Valid == checker.Vacuous || witness.Valid == checker.Vacuous:
		v.Valid, v.Summary = checker.Vacuous, "one of the two had nothing to decide"
	case witness.Valid == checker.OK && contradiction != "":
		v.Valid = checker.Violation
		v.Summary = "the order of timestamps explains every read, and the graph says " + contradiction + ": a bug of a checker"
	case witness.Valid == checker.OK && g.Verdict.Valid == checker.Violation:
		v.Summary = "serializable in the order of timestamps, which runs against real time"
	case witness.Valid == checker.Violation && g.Verdict.Valid == checker.OK:
		v.Summary = "some serial order explains every read, but not that of the timestamps: the fault is in those"
	case witness.Valid == checker.Violation:
		v.Summary = "both find the history wrong"
	default:
		v.Summary = "both find a serial order"
	}
	return v
}
