package sim

import (
	"fmt"
	"strings"
)

// checkpointEvery is the number of events between two checkpoints of the hash.
const checkpointEvery = 4096

// trace is the rolling hash of all that happened, and what is kept of it.
type trace struct {
	events      uint64 // executed so far; also the number of the present event
	hash        uint64
	checkpoints []uint64
	label       string // of the present event
	record      bool
	from, to    uint64
	kept        []Event
	panicked    *Proc
}

// Event is one executed event, as kept when Config.Record asks for it.
type Event struct {
	Number  uint64
	At      Time
	Cause   uint64 // number of the event that scheduled it; 0 for the set-up
	Machine string
	Label   string
	Task    string   // whose turn it is and why; "" for callbacks
	Hash    uint64   // of the trace after the event
	Notes   []string // for people: what was logged or remarked during the event
	Digests []string // what it fed into the hash, beside its header
}

// String prints the event on one line.
func (e *Event) String() string {
	s := fmt.Sprintf("%s event %d (by %d) %s: %s", e.At, e.Number, e.Cause, e.Machine, e.Doing())
	if len(e.Notes) > 0 {
		s += " | " + strings.Join(e.Notes, " | ")
	}
	return s
}

// Doing is what the event is: a callback's label, or a task and why it goes on.
func (e *Event) Doing() string {
	if e.Task != "" {
		return e.Task
	}
	return e.Label
}

// doing says why a task has its turn; "" for callbacks.
func (sl *slot) doing() string {
	switch sl.kind {
	case kindStart:
		return fmt.Sprintf("task %q begins", sl.label)
	case kindWake:
		return fmt.Sprintf("task %q goes on from %q", sl.task.label, sl.label)
	case kindTimeout:
		return fmt.Sprintf("task %q: time of %q is over", sl.task.label, sl.label)
	}
	return ""
}

func (t *trace) init(cfg Config) {
	t.hash = mix(cfg.Seed + 1)
	t.record, t.from, t.to = cfg.Record, cfg.RecordFrom, cfg.RecordTo
}

// recording reports whether the present event is kept.
func (t *trace) recording() bool {
	return t.record && t.events >= t.from && (t.to == 0 || t.events < t.to)
}

func (t *trace) event(s *Sim, sl *slot) {
	t.events++
	t.label = sl.label
	t.feed(uint64(s.now), sl.proc.name^sl.proc.id, hashString(sl.label))
	if t.events%checkpointEvery == 0 {
		t.checkpoints = append(t.checkpoints, t.hash)
	}
	if t.record && t.recording() {
		t.kept = append(t.kept, Event{Number: t.events, At: s.now, Cause: sl.cause, Machine: sl.proc.machine.name, Label: sl.label, Task: sl.doing(), Hash: t.hash})
	}
}

func (t *trace) feed(a, b, c uint64) {
	h := (t.hash ^ a) * 0xff51afd7ed558ccd
	h = (h ^ h>>32 ^ b) * 0xc4ceb9fe1a85ec53
	h = (h ^ h>>29 ^ c) * 0x9e3779b97f4a7c15
	t.hash = h ^ h>>32
}

// present is the kept record of the present event, or nil.
func (t *trace) present() *Event {
	if n := len(t.kept); n > 0 && t.recording() {
		return &t.kept[n-1]
	}
	return nil
}

// Recording reports whether the present event is kept, so that Remark is worth a
// caller's trouble.
func (s *Sim) Recording() bool { return s.trace.record && s.trace.recording() }

// Remark adds a line for people to the present event, if that is kept. It does not
// touch the hash: what is remarked follows from what was noted.
func (s *Sim) Remark(format string, args ...any) {
	if !s.Recording() {
		return
	}
	if e := s.trace.present(); e != nil {
		e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
	}
}

// tell lets those know who listen or record. It costs nothing if nobody does.
func (s *Sim) tell(who, format string, args ...any) {
	if s.cfg.OnLog == nil && !s.Recording() {
		return
	}
	line := fmt.Sprintf(format, args...)
	if s.cfg.OnLog != nil {
		s.cfg.OnLog(s.now, who, line)
	}
	s.Remark("%s: %s", who, line)
}

// Note feeds the trace from inside an event: a digest of what happened, such as a
// message's size and kind.
func (s *Sim) Note(label string, a, b uint64) {
	s.trace.feed(hashString(label), a, b)
	if !s.Recording() {
		return
	}
	if e := s.trace.present(); e != nil {
		e.Hash = s.trace.hash
		e.Digests = append(e.Digests, fmt.Sprintf("%s %x %x", label, a, b))
	}
}

// Hash is the trace so far.
func (s *Sim) Hash() uint64 { return s.trace.hash }

// Events is the number of events executed so far.
func (s *Sim) Events() uint64 { return s.trace.events }

// Checkpoints are the hashes after each CheckpointEvery events.
func (s *Sim) Checkpoints() []uint64 { return s.trace.checkpoints }

// CheckpointEvery is the distance of Checkpoints, in events.
func CheckpointEvery() uint64 { return checkpointEvery }

// Recorded are the events kept, in order.
func (s *Sim) Recorded() []Event { return s.trace.kept }

// Why is the chain of causes that ends in the given event, the first cause first.
// It needs a run recorded from its first event.
func (s *Sim) Why(number uint64) []Event {
	var chain []Event
	for number != 0 {
		e, ok := s.recorded(number)
		if !ok {
			break
		}
		chain = append(chain, e)
		number = e.Cause
	}
	for i, j := 0, len(chain)-1; i < j; i, j = i+1, j-1 {
		chain[i], chain[j] = chain[j], chain[i]
	}
	return chain
}

func (s *Sim) recorded(number uint64) (Event, bool) {
	if len(s.trace.kept) == 0 {
		return Event{}, false
	}
	i := number - s.trace.kept[0].Number
	if i >= uint64(len(s.trace.kept)) {
		return Event{}, false
	}
	return s.trace.kept[i], true
}
