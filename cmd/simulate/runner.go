package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// runner is what this layer needs to know about runs. Its methods may be called
// from several goroutines at once, with different requests.
type runner interface {
	// Scenarios names those that the binary holds, in the order in which they are
	// listed. The first is what is run when none is asked for.
	Scenarios() []string
	// Check reads the request's scenario and plan without running them. What a
	// person can mend is a *usageError.
	Check(request) error
	// Run makes one run. An error means that there is no result: a *usageError,
	// or else an internal error.
	Run(request) (*result, error)
	// Catalog is what -list prints. The section titled "scenarios" comes first and
	// names those of Scenarios; other programs read it from -list -json.
	Catalog() []section
}

// request says which run to make.
type request struct {
	Scenario string // name or file
	Seed     uint64
	Duration time.Duration // of virtual time; 0: what the scenario says
	Until    time.Duration // stop at this virtual time, without final checks; 0: run to the end
	Plan     string        // file of a recorded fault plan; "": drawn from the seed
	Fork     *fork         // nil: one seed all along
	Record   *window       // events to keep; nil: none
	Why      uint64        // event whose chain of causes is wanted; 0: none
	Out      string        // folder for the run's files; "": none are written
	Failures bool          // write files only when the run fails
	Log      io.Writer     // told what happens as it happens; nil: nobody
}

// fork re-derives all randomness from another seed at one event.
type fork struct{ Event, Seed uint64 }

// window is a range of events, From <= number < To.
type window struct{ From, To uint64 }

// result is what one run gave. Its JSON form is the output of -json and what a
// sweep keeps.
type result struct {
	Scenario   string       `json:"scenario"`
	Seed       uint64       `json:"seed"`
	Exit       int          `json:"exit"`
	Outcome    string       `json:"outcome"`
	Topology   string       `json:"topology,omitempty"`
	Faults     []faultCount `json:"faults,omitempty"`
	Operations []opCount    `json:"operations,omitempty"`
	Ranges     []eventCount `json:"range_events,omitempty"` // of every kind that there is
	Verdicts   []verdict    `json:"verdicts,omitempty"`
	Unreached  []string     `json:"probes_never_reached,omitempty"`
	Probes     int          `json:"probes,omitempty"` // there are
	Notes      []string     `json:"notes,omitempty"`  // what a reader must know to read the rest
	Events     uint64       `json:"events"`
	Virtual    int64        `json:"virtual_ns"`
	Wall       int64        `json:"wall_ns"`
	Trace      string       `json:"trace,omitempty"` // 16 hexadecimal digits
	Files      []string     `json:"files,omitempty"`
	Why        []string     `json:"why,omitempty"`
	Leads      []leadTo     `json:"leads,omitempty"`      // of the first example of each violation
	Internal   string       `json:"internal,omitempty"`   // internal error, with its stack
	Difference string       `json:"difference,omitempty"` // between two runs of the seed

	Spacing     uint64   `json:"-"` // events between two checkpoints
	Checkpoints []uint64 `json:"-"` // trace hashes
	Recorded    []event  `json:"-"`
}

// leadTo names the event in which an operation of an example was answered: where to
// ask why.
type leadTo struct {
	Op     int    `json:"op"`
	Answer uint64 `json:"answer"`
}

// faultCount is one fault that the run's plan held. One without effects did
// nothing, which the report says.
type faultCount struct {
	Fault   string `json:"fault"`
	Effects int64  `json:"effects"`
	Unit    string `json:"unit,omitempty"` // of the effects, such as "messages dropped"
}

// eventCount is how often something happened to ranges.
type eventCount struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
}

// opCount is one kind of client operation by outcome.
type opCount struct {
	Kind   string `json:"kind"`
	OK     int64  `json:"ok"`
	Failed int64  `json:"failed"`
	Info   int64  `json:"info"` // no answer: it may or may not have happened
}

// verdict is the finding of one check.
type verdict struct {
	Check     string   `json:"check"`
	Verdict   string   `json:"verdict"` // one of the words below
	Liveness  bool     `json:"liveness,omitempty"`
	Summary   string   `json:"summary,omitempty"`
	Confirmed string   `json:"confirmed,omitempty"` // the evidence that somebody else confirmed
	Details   []string `json:"details,omitempty"`   // of a violation, the first example explained
}

// The words of verdicts.
const (
	wordOK        = "ok"
	wordViolation = "violation"
	wordUnknown   = "unknown"
	wordVacuous   = "vacuous"
)

// event is one executed event of a recorded window.
type event struct {
	Number uint64
	Hash   uint64
	Text   string // on one line: time, cause, machine, label, notes
}

// section is a part of the -list output.
type section struct {
	Title   string  `json:"title"`
	Entries []entry `json:"entries"`
}

// entry is a name and what it is, in a few words.
type entry struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

// usageError is a mistake in what the run was given, which a person can mend.
type usageError struct {
	File   string // "" if it is not in a file
	Line   int    // 0 if it concerns the whole file
	What   string
	Remedy string
}

func (e *usageError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.What)
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}
