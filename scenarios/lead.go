package scenarios

import (
	"cmp"
	"fmt"
	"slices"

	"simulacrum/checker/history"
	"simulacrum/sim"
)

// moment tells in which events an operation was called and answered; 0 for an
// answer that never came.
type moment struct{ call, answer uint64 }

// told notes the events of an operation and leaves a remark in them, by which a
// reader of the trace finds it.
func (x *run) told(what string, op *history.Op) {
	if what == "begins" {
		x.moments = append(x.moments, moment{call: x.sim.Events()})
	} else {
		x.moments[op.ID].answer = x.sim.Events()
	}
	if x.sim.Recording() {
		x.sim.Remark("%s %s", what, op)
	}
}

// Lead is how an operation came to its answer: the chain of causes from the event in
// which it was called to that in which it was answered. Where the chain goes through
// the work of others (who released a lock, who carried its proposal), so be it: that
// is why the answer came when it did.
type Lead struct {
	Op     int // id
	Answer uint64
	Events []sim.Event
}

// maxWindow bounds the events that are kept at once while a run is made again; of an
// operation that took longer the chain begins in its midst.
const maxWindow = 1 << 17

// Leads makes the run again, recording, and tells how the given operations came to
// their answers, in the order given; one without an answer is left out. Operations
// that lie near each other share a repetition, which ends with the last of them. It
// fails when the run does not repeat itself.
func (r *Result) Leads(ops []int) ([]Lead, error) {
	var wanted []Lead
	for _, id := range ops {
		if id >= 0 && id < len(r.moments) && r.moments[id].answer > 0 {
			wanted = append(wanted, Lead{Op: id, Answer: r.moments[id].answer})
		}
	}
	todo := make([]*Lead, len(wanted))
	for i := range wanted {
		todo[i] = &wanted[i]
	}
	slices.SortFunc(todo, func(a, b *Lead) int { return cmp.Compare(a.Answer, b.Answer) })
	for len(todo) > 0 {
		from, to := r.windowOf(todo[0])
		n := 1
		for ; n < len(todo); n++ {
			f, t := r.windowOf(todo[n])
			f = min(f, from)
			if t-f > maxWindow {
				break
			}
			from, to = f, t
		}
		if err := r.again(todo[:n], from, to); err != nil {
			return nil, err
		}
		todo = todo[n:]
	}
	return wanted, nil
}

// windowOf is from where to where an operation's events reach, at most maxWindow.
func (r *Result) windowOf(l *Lead) (from, to uint64) {
	to = l.Answer + 1
	from = r.moments[l.Op].call
	if to-from > maxWindow {
		from = to - maxWindow
	}
	return from, to
}

// again repeats the run as far as a window of events goes and fills in the leads of
// which that holds all.
func (r *Result) again(leads []*Lead, from, to uint64) error {
	opt := r.opt
	opt.OnLog, opt.Record, opt.RecordFrom, opt.RecordTo = nil, true, from, to
	last := leads[len(leads)-1]
	if end := sim.Time(r.History.Ops[last.Op].Return) + 1; opt.Until == 0 || end < opt.Until {
		opt.Until = end
	}
	x, err := layOut(r.Resolved, opt)
	if err != nil {
		return err
	}
	defer x.sim.Close()
	x.work()
	if !x.cut {
		x.finish()
	}
	x.runner.Close()
	for i, sum := range x.sim.Checkpoints() {
		if i >= len(r.Checkpoints) || sum != r.Checkpoints[i] {
			return fmt.Errorf("the run took another way when it was made again, before event %d", uint64(i+1)*sim.CheckpointEvery())
		}
	}
	for _, l := range leads {
		first, _ := r.windowOf(l)
		l.Events = slices.DeleteFunc(x.sim.Why(l.Answer), func(e sim.Event) bool { return e.Number < first })
		// A chain that reaches back to another's call does not name this one's.
		if all := x.sim.Recorded(); len(l.Events) > 0 && l.Events[0].Number > first && first >= all[0].Number {
			l.Events = slices.Insert(l.Events, 0, all[first-all[0].Number])
		}
	}
	return nil
}
