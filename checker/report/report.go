package report

import (
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Report is all that a page shows. Empty fields leave their section out or say
// that there was nothing.
type Report struct {
	// Title names the run for a person: "Crash loops under a register workload".
	Title string
	// Scenario is the name it is run by.
	Scenario string
	Seed     uint64
	// TraceHash identifies the run: two runs with the same are the same.
	TraceHash string
	// Build is the version of the code, and Started the wall time of the run as
	// text, if that should be on the page at all: it makes pages differ.
	Build, Started string
	// Events is the number of simulated events.
	Events uint64
	// SimTime is virtual time, WallTime what it took.
	SimTime, WallTime time.Duration
	Topology          []Node
	// Clients are the names of the endpoints that ask.
	Clients  []string
	Verdicts []checker.Verdict
	History  *history.History
	Faults   []Fault
	Probes   []Probe
	Knobs    []Knob
	// Reproduce is the command that runs this again.
	Reproduce string
	// Plan is the content of plan.txt.
	Plan string
	// Trace is the content of trace.txt; nil leaves the file out.
	Trace []byte
	// Porcupine is the page of checker.Picture; nil leaves the file out.
	Porcupine []byte
	// PorcupineKey is the key that the picture shows.
	PorcupineKey string
	// Leads tell how operations came to their answers; examples show those of theirs.
	Leads []Lead
	// Places is where copies and leases were over time; nil if nobody looked.
	Places *Places
	// Recorded names the file of a history that was not made by a run of ours. Then
	// nothing is known of faults, nodes, probes and knobs, and the page leaves their
	// sections out.
	Recorded string
	// Files are those that somebody else writes into the same directory.
	Files []File
}

// File is a file beside the page, and what is in it.
type File struct{ Name, Doc string }

// Node is one machine of the cluster.
type Node struct {
	Name, Region, Zone string
	// Note says what is special about it: "added at T+40s".
	Note string
}

// Fault is one fault that ran.
type Fault struct {
	// Line is the fault as its plan prints it.
	Line string
	// Family is process, power, network, clock, disk, topology, ranges or knobs; any
	// other is shown in grey.
	Family string
	// Targets are names of nodes, zones or regions; none means the whole cluster.
	Targets []string
	// Start and End are virtual ns; history.Never as End means that it never healed.
	Start, End int64
	// Effects counts what it did. A fault without effect proves nothing, and the
	// page says so.
	Effects int64
}

// Probe is a rare point of the code and how often the run reached it.
type Probe struct {
	Name  string
	Count int64
}

// Knob is a setting that this seed drew differently from its default.
type Knob struct {
	Name, Value, Default string
}

// span is the virtual time that the axes cover, in ns.
func (r *Report) span() int64 {
	end := int64(r.SimTime)
	if r.History != nil {
		for i := range r.History.Ops {
			op := &r.History.Ops[i]
			end = max(end, op.Call)
			if op.Return != history.Never {
				end = max(end, op.Return)
			}
		}
	}
	for _, f := range r.Faults {
		end = max(end, f.Start)
		if f.End != history.Never {
			end = max(end, f.End)
		}
	}
	return max(end, 1)
}
