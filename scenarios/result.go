package scenarios

import (
	"fmt"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/cluster/invariants"
	"simulacrum/cluster/survey"
	"simulacrum/db/server"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// Result is all that a run gave.
type Result struct {
	*Resolved
	History     *history.History
	Verdicts    []checker.Verdict // safety, validity, liveness, in the order of importance to a reader
	Faults      []nemesis.Report
	Probes      []ProbeCount // those of all rooms, by name
	Unknown     []string     // knobs that were set and that nobody asked for
	Findings    []sim.Finding
	Survey      *survey.Survey        // where copies and leases were; nil if nobody looked
	Recoveries  []checker.Recovered   // what losses of nodes cost
	Movements   []invariants.Movement // what queues of stores decided
	RangeEvents []checker.Count       // that happened to ranges, by kind
	Deaths      []string              // processes that ended by themselves, and why
	Events      uint64
	Hash        uint64
	Checkpoints []uint64
	Recorded    []sim.Event
	Why         func(event uint64) []sim.Event
	End         sim.Time
	Cut         bool            // stopped before its end: nothing was judged
	registers   checker.Options // under which the registers were judged
	opt         Options         // how the run was made, to make it again
	moments     []moment        // of the operations, by id
}

// ProbeCount is how often a rare point was reached.
type ProbeCount struct {
	Probe env.Probe
	Count int64
}

// LivenessChecks are the names of verdicts that concern progress, not safety.
var LivenessChecks = []string{"liveness", "unserved", "placement", "convergence", "deadlocks"}

func (x *run) result() *Result {
	r := &Result{
		Resolved: x.Resolved, History: x.recorder.History(), Faults: x.runner.Reports(), Findings: x.sim.Findings(),
		Events: x.sim.Events(), Hash: x.sim.Hash(), Checkpoints: x.sim.Checkpoints(), Recorded: x.sim.Recorded(),
		Why: x.sim.Why, End: x.sim.Now(), Cut: x.cut, Deaths: x.deaths(), opt: x.opt, moments: x.moments,
		Survey: x.survey, RangeEvents: x.rangeEvents(), Movements: x.movements(),
	}
	for _, p := range server.Probes() {
		r.Probes = append(r.Probes, ProbeCount{p, x.sim.ProbeCount(p)})
	}
	for _, k := range x.Knobs {
		if !x.sim.KnobsRead(k.Name) {
			r.Unknown = append(r.Unknown, k.Name)
		}
	}
	r.Verdicts = append(r.Verdicts, x.panics()...)
	if !x.cut {
		r.Verdicts = append(r.Verdicts, x.judge(r)...)
	}
	return r
}

// deaths lists why processes of nodes ended, other than by the nemesis.
func (x *run) deaths() []string {
	var all []string
	for _, n := range x.cluster.Nodes() {
		for _, d := range n.Deaths() {
			if strings.HasPrefix(d, "fatal") || strings.HasPrefix(d, "out of memory") || strings.HasPrefix(d, "panic") {
				all = append(all, n.Name()+": "+d)
			}
		}
	}
	return all
}

// panics turns panics of simulated code into verdicts: the database's are
// violations, all others errors of the simulator.
func (x *run) panics() []checker.Verdict {
	v := checker.Verdict{Check: "panics", Valid: checker.OK, Summary: "no simulated code panicked"}
	internal := checker.Verdict{Check: "internal", Valid: checker.Violation}
	for _, f := range x.sim.Findings() {
		text := f.String() + "\n  " + strings.Join(f.Frames(), "\n  ")
		if f.InDatabase() {
			v.Valid, v.Details = checker.Violation, append(v.Details, text)
			if len(v.Details) == 1 {
				v.Summary = f.String()
			}
		} else {
			internal.Details = append(internal.Details, text)
			if len(internal.Details) == 1 {
				internal.Summary = f.String()
			}
		}
	}
	if len(internal.Details) > 0 {
		return []checker.Verdict{internal, v}
	}
	return []checker.Verdict{v}
}

// judge makes all verdicts on a run that came to its end.
func (x *run) judge(r *Result) []checker.Verdict {
	skewed := !nemesis.Happened(r.Faults).Budget(x.Model()).ClocksWithin
	ctx := workloads.Context{Skewed: skewed}
	if x.watch != nil {
		ctx.Versions = x.watch.Versions()
	}
	r.registers = x.workload.Registers(ctx)
	all := x.workload.Check(r.History, ctx)
	if x.watch != nil {
		all = append(all, x.watch.Verdicts()...)
		all = append(all, x.convergence())
		if x.seeksDeadlocks() {
			all = append(all, x.watch.Deadlocks(x.DeadlockBound))
		}
	}
	all = append(all, x.topologyVerdicts(r)...)
	return append(all, x.liveness(r.History), checker.Availability(r.History))
}

// liveness holds the time at which each key was served again against the bound,
// and every client's final reads against the end of the run.
func (x *run) liveness(h *history.History) checker.Verdict {
	healed := int64(x.Healed)
	firsts := checker.FirstSuccessByKey(h, healed, x.workload.Universe())
	v := checker.Liveness(healed, int64(x.Liveness), firsts)
	for _, f := range x.finals {
		if f.done && f.Served == f.Slots {
			continue
		}
		what := fmt.Sprintf("%s: %d of %d parts of the key space served at the end, %s not: %s", f.client, f.Served, f.Slots, f.Missing, f.LastError)
		if !f.done {
			what = fmt.Sprintf("%s did not finish the final reads within %v", f.client, x.Settle)
		}
		if v.Valid == checker.OK {
			v.Valid, v.Summary = checker.Violation, what
		}
		v.Details = append(v.Details, what)
	}
	if len(x.finals) == 0 {
		v.Valid, v.Summary = checker.Violation, "no client was left for the final reads"
	}
	return v
}

// convergence asks whether the replicas of each range came to the same state once
// nothing was written any more.
func (x *run) convergence() checker.Verdict {
	v := checker.Verdict{Check: "convergence", Valid: checker.OK, Summary: "all replicas of all ranges reached the same index"}
	switch {
	case x.settled && !x.alike:
		v.Summary = "all replicas of all ranges have what any had when the clients were done; a range is written to without pause"
	case !x.settled:
		v.Valid = checker.Violation
		v.Summary = fmt.Sprintf("replicas had not reached the same index %v after the last write", x.Settle.Round(time.Millisecond))
		for _, n := range x.cluster.Nodes() {
			if s := n.Server(); s != nil {
				v.Details = append(v.Details, s.String())
			} else {
				v.Details = append(v.Details, n.Name()+" is down")
			}
		}
	}
	return v
}

// Registers judges the registers again, for a picture of one key.
func (r *Result) Registers() (checker.RegisterResult, checker.Options, bool) {
	if r.Cut || len(r.registers.Keys) == 0 {
		return checker.RegisterResult{}, checker.Options{}, false
	}
	return checker.Registers(r.History, r.registers), r.registers, true
}

// Seconds is the virtual length of the run.
func (r *Result) Seconds() float64 { return time.Duration(r.End).Seconds() }
