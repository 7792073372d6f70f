package sim

import (
	"iter"
	"time"

	"simulacrum/sim/env"
)

// coroutine is a stack that tasks run on, one after the other: making one costs
// several times a switch.
type coroutine struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	task  *Task
}

// Task implements env.Task.
type Task struct {
	proc       *Proc
	prev, next *Task // the process's living tasks
	label      string
	fn         func(env.Task)
	co         *coroutine
	err        error         // set by Cancel, for ever
	deadline   time.Duration // by Mono; 0: none
	result     error         // of the Park that is being left
	timer      EventID       // time limit of the present Park
	waiting    string        // label of the present Park
	parked     bool
	permit     bool // a Wake came while it was not parked
	waking     bool // a kindWake event is on its way
	dead       bool // to be unwound
	done       bool
}

var _ env.Task = (*Task)(nil)

// unwindingType is the sentinel that ends a task whose process is dead. Only the
// kernel recovers it.
type unwindingType struct{}

var unwinding = &unwindingType{}

// Go implements env.Process.
func (p *Proc) Go(label string, fn func(env.Task)) env.Task {
	t := &Task{proc: p, label: label, fn: fn}
	if !p.alive {
		t.done = true
		return t
	}
	if p.last == nil {
		p.first = t
	} else {
		p.last.next, t.prev = t, p.last
	}
	p.last = t
	_, sl := p.sim.add(0, kindStart, label, p)
	sl.task = t
	return t
}

func (t *Task) unlink() {
	p := t.proc
	if t.prev == nil {
		p.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		p.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	t.done = true
	t.fn = nil
}

// start gives the task a coroutine and runs it to its first wait.
func (t *Task) start() {
	s := t.proc.sim
	if n := len(s.idle); n > 0 {
		t.co = s.idle[n-1]
		s.idle = s.idle[:n-1]
	} else {
		t.co = newCoroutine(s)
	}
	t.co.task = t
	t.resume()
}

func newCoroutine(s *Sim) *coroutine {
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			s.runTask(c.task)
			c.task = nil
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

// runTask runs a task's function to its end, whatever way it ends.
func (s *Sim) runTask(t *Task) {
	defer func() {
		r := recover()
		if r != nil && r != any(unwinding) {
			s.findPanic(t.proc, t.label, r)
		}
	}()
	t.fn(t)
}

// resume hands control to the task until it waits or ends.
func (t *Task) resume() {
	s := t.proc.sim
	outer := s.current
	s.current = t
	c := t.co
	c.next()
	s.current = outer
	if c.task == nil {
		t.co = nil
		t.unlink()
		s.idle = append(s.idle, c)
		s.afterPanic()
	}
}

// unwind ends a task of a dead process: its deferred functions run, without effect.
func (t *Task) unwind() {
	t.dead = true
	t.proc.sim.Cancel(t.timer)
	t.timer = 0
	if t.co == nil { // not yet begun
		t.unlink()
		return
	}
	t.resume()
}

// Park implements env.Task.
func (t *Task) Park(label string, d time.Duration) error {
	p := t.proc
	s := p.sim
	if s.current != t {
		panic("sim: Park of task " + t.label + " by another")
	}
	if !p.alive {
		panic(unwinding)
	}
	if err := t.Err(); err != nil {
		return err
	}
	if t.permit {
		t.permit = false
		return nil
	}
	if t.deadline != 0 {
		if left := t.deadline - p.Mono(); d < 0 || left < d {
			d = left
		}
	}
	if d >= 0 {
		i, sl := s.add(p.machine.clock.trueTime(d), kindTimeout, label, p)
		sl.task = t
		t.timer = makeID(i, sl.gen)
	}
	t.parked, t.waiting = true, label
	t.co.yield(struct{}{})
	if t.dead {
		panic(unwinding)
	}
	return t.result
}

// leavePark makes a parked task run again, with the given result of its Park.
func (t *Task) leavePark(result error) {
	t.parked, t.result = false, result
	if t.timer != 0 {
		t.proc.sim.Cancel(t.timer)
		t.timer = 0
	}
	t.resume()
}

// woken is the event that Wake scheduled.
func (t *Task) woken() {
	t.waking = false
	switch {
	case t.done:
	case t.parked:
		t.leavePark(t.Err())
	default:
		t.permit = true
	}
}

// timedOut is the event of a Park's time limit.
func (t *Task) timedOut() {
	t.timer = 0
	if err := t.Err(); err != nil {
		t.leavePark(err)
	} else {
		t.leavePark(env.ErrTimeout)
	}
}

// Wake implements env.Task.
func (t *Task) Wake() {
	if t.done || t.waking || !t.proc.alive {
		return
	}
	if !t.parked {
		t.permit = true
		return
	}
	t.waking = true
	_, sl := t.proc.sim.add(0, kindWake, t.waiting, t.proc)
	sl.task = t
}

// Sleep implements env.Task.
func (t *Task) Sleep(d time.Duration) error {
	until := t.proc.Mono() + d
	for {
		left := until - t.proc.Mono()
		if left < 0 {
			left = 0
		}
		err := t.Park("sleep", left)
		if err == env.ErrTimeout {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Cancel implements env.Task.
func (t *Task) Cancel(err error) {
	if t.err == nil {
		t.err = err
		t.Wake()
	}
}

// Err implements env.Task.
func (t *Task) Err() error {
	if t.err != nil {
		return t.err
	}
	if t.deadline != 0 && t.proc.Mono() >= t.deadline {
		return env.ErrDeadline
	}
	return nil
}

// SetDeadline implements env.Task.
func (t *Task) SetDeadline(at time.Duration) time.Duration {
	previous := t.deadline
	t.deadline = at
	return previous
}

// Done implements env.Task.
func (t *Task) Done() bool { return t.done }

// seam is one named yield seam in use.
type seam struct {
	chance int // in 1,024
	stream interface{ IntN(int) int }
	hits   int64
}

// Yield implements env.Task.
func (t *Task) Yield(name string) {
	s := t.proc.sim
	if len(s.cfg.Seams) == 0 {
		return
	}
	sm, ok := s.seams[name]
	if !ok {
		chance, named := s.cfg.Seams[name]
		if !named {
			chance = s.cfg.Seams["*"]
		}
		sm = &seam{chance: chance, stream: s.streams.get("seam/" + name)}
		s.seams[name] = sm
	}
	if sm.chance == 0 || sm.stream.IntN(1024) >= sm.chance {
		return
	}
	sm.hits++
	// Mostly the rest of this instant; now and then long enough for a message.
	var d time.Duration
	if sm.stream.IntN(4) == 0 {
		d = time.Duration(sm.stream.IntN(int(5 * time.Millisecond)))
	}
	// A wake-up that comes meanwhile, or came before, is for the next wait.
	permit := t.permit
	t.permit = false
	woken := t.Park(name, d) == nil
	t.permit = t.permit || permit || woken
}
