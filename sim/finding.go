package sim

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Finding is a panic in simulated code, or the kernel's own complaint.
type Finding struct {
	At      Time
	Event   uint64 // number of the event in which it happened
	Machine string
	Task    string // label of the task, or of the callback
	Value   string
	Stack   string
}

// InDatabase reports whether the code that panicked is the database's: then it is
// a safety violation, else an internal error.
func (f *Finding) InDatabase() bool {
	// The first frame below the panic that is ours decides.
	lines := strings.Split(f.Stack, "\n")
	after := false
	for _, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			after = true
			continue
		}
		if !after || strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "runtime") {
			continue
		}
		switch {
		case strings.HasPrefix(l, "simulacrum/db/"), strings.HasPrefix(l, "go.etcd.io/raft"):
			return true
		case strings.HasPrefix(l, "simulacrum/"):
			return false
		}
	}
	return false
}

// String is one line for people; the stack is apart.
func (f *Finding) String() string {
	return fmt.Sprintf("%s event %d on %s in %q: %s", f.At, f.Event, f.Machine, f.Task, f.Value)
}

// maxFrames is how much of a stack a person is shown at once.
const maxFrames = 12

// Frames are the calls of our own code, and of the libraries it runs on, that led
// to the panic, the innermost first, each with its file and line. What is below the
// event or the task, the kernel and its driver, is left out.
func (f *Finding) Frames() []string {
	lines := strings.Split(f.Stack, "\n")
	var out []string
	after := false
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			after, out = true, nil
			continue
		}
		if !after || i+1 == len(lines) || strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "runtime.") {
			continue
		}
		if strings.HasPrefix(l, "simulacrum/sim.(*Sim).execute") || strings.HasPrefix(l, "simulacrum/sim.(*Sim).runTask") {
			break
		}
		if len(out) == maxFrames {
			return append(out, "...")
		}
		out = append(out, frame(l, lines[i+1]))
	}
	return out
}

// frame shortens a call of a stack: no arguments, no addresses, the file from its
// room on.
func frame(call, file string) string {
	if i := strings.LastIndexByte(call, '('); i > 0 {
		call = call[:i]
	}
	call = strings.TrimPrefix(call, "simulacrum/")
	file, _, _ = strings.Cut(strings.TrimSpace(file), " +0x")
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		file = file[i+1:]
	}
	return call + " " + file
}

// Findings are the panics so far, in order.
func (s *Sim) Findings() []Finding { return s.findings }

func (s *Sim) find(f Finding) {
	f.At, f.Event = s.now, s.trace.events
	s.findings = append(s.findings, f)
}

// findPanic records a panic, where the stack still is. The process is killed by
// afterPanic, once its task is off the stack.
func (s *Sim) findPanic(p *Proc, label string, r any) {
	f := Finding{Machine: p.machine.name, Task: label, Value: fmt.Sprint(r), Stack: string(debug.Stack())}
	s.find(f)
	s.trace.panicked = p
}

// afterPanic ends the process that panicked: what it holds can no longer be
// trusted. A panic of the world ends the run.
func (s *Sim) afterPanic() {
	p := s.trace.panicked
	if p == nil {
		return
	}
	s.trace.panicked = nil
	if p == s.world {
		s.halted = true
		return
	}
	if p.alive {
		p.machine.Kill("panic: " + s.findings[len(s.findings)-1].Value)
	}
}

// recoverCallback is deferred around the loop: a callback may panic, or find its
// process dead under it.
func (s *Sim) recoverCallback() {
	r := recover()
	if r == nil {
		return
	}
	p := s.proc
	if p == nil {
		panic(r) // the kernel's own
	}
	if r != any(unwinding) {
		s.findPanic(p, s.trace.label, r)
	}
	s.proc, s.current = nil, nil
	s.afterPanic()
	p.machine.scheduleReady()
}
