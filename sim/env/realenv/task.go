package realenv

import (
	"time"

	"simulacrum/sim/env"
)

// task is a goroutine that holds its process's lock while it runs.
type task struct {
	proc     *Proc
	wake     chan struct{} // of capacity one: wakes the goroutine, whatever for
	permit   bool          // a Wake is still to be used
	err      error
	deadline time.Duration
	done     bool
}

var _ env.Task = (*task)(nil)

// Go implements env.Process.
func (p *Proc) Go(label string, fn func(env.Task)) env.Task {
	t := &task{proc: p, wake: make(chan struct{}, 1)}
	if p.dead {
		t.done = true
		return t
	}
	p.tasks[t] = struct{}{}
	p.own.Add(1)
	p.spawn(func() {
		defer p.own.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		t.run(fn)
		t.done = true
		delete(p.tasks, t)
	})
	return t
}

func (t *task) run(fn func(env.Task)) {
	p := t.proc
	if p.dead {
		return
	}
	p.current = t
	defer func() {
		p.current = nil
		if r := recover(); r != nil && r != any(unwinding{}) {
			panic(r)
		}
	}()
	fn(t)
}

// Current implements env.Process.
func (p *Proc) Current() env.Task {
	if p.current == nil {
		return nil
	}
	return p.current
}

// release lets others run while fn waits for something outside.
func (t *task) release(fn func()) {
	p := t.proc
	if p.dead {
		p.exit()
	}
	p.current = nil
	p.mu.Unlock()
	fn()
	p.mu.Lock()
	p.current = t
	if p.dead {
		p.exit()
	}
}

func (t *task) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// wait lets others run until signalled, or until Mono reaches at (< 0: never).
func (t *task) wait(at time.Duration) {
	t.release(func() {
		if at < 0 {
			<-t.wake
			return
		}
		clock := time.NewTimer(at - t.proc.Mono())
		defer clock.Stop()
		select {
		case <-t.wake:
		case <-clock.C:
		}
	})
}

// until is when a wait that began now and is limited by d ends, -1 if never.
func (t *task) until(d time.Duration) time.Duration {
	at := time.Duration(-1)
	if d >= 0 {
		at = t.proc.Mono() + d
	}
	return at
}

// limit is the earlier of at (-1: never) and the task's deadline.
func (t *task) limit(at time.Duration) time.Duration {
	if t.deadline != 0 && (at < 0 || t.deadline < at) {
		return t.deadline
	}
	return at
}

// Park implements env.Task.
func (t *task) Park(label string, d time.Duration) error {
	for at := t.until(d); ; t.wait(t.limit(at)) {
		if t.proc.dead {
			t.proc.exit()
		}
		if err := t.Err(); err != nil {
			return err
		}
		if t.permit {
			t.permit = false
			return nil
		}
		if at >= 0 && t.proc.Mono() >= at {
			return env.ErrTimeout
		}
	}
}

// Sleep implements env.Task. A Wake meanwhile is kept for the next Park.
func (t *task) Sleep(d time.Duration) error {
	for at := t.until(max(d, 0)); ; t.wait(t.limit(at)) {
		if t.proc.dead {
			t.proc.exit()
		}
		if err := t.Err(); err != nil {
			return err
		}
		if t.proc.Mono() >= at {
			return nil
		}
	}
}

// Wake implements env.Task.
func (t *task) Wake() {
	t.permit = true
	t.signal()
}

// Cancel implements env.Task.
func (t *task) Cancel(err error) {
	if t.err == nil {
		t.err = err
	}
	t.signal()
}

// Err implements env.Task.
func (t *task) Err() error {
	if t.err == nil && t.deadline != 0 && t.proc.Mono() >= t.deadline {
		return env.ErrDeadline
	}
	return t.err
}

// SetDeadline implements env.Task.
func (t *task) SetDeadline(at time.Duration) time.Duration {
	previous := t.deadline
	t.deadline = at
	return previous
}

// Yield implements env.Task: seams are for the simulator.
func (t *task) Yield(string) {}

// Done implements env.Task.
func (t *task) Done() bool { return t.done }
