package env

import (
	"errors"
	"slices"
	"time"
)

// Task is a thread of control that may wait. Its methods Sleep, Park, Yield and
// SetDeadline are for the task itself; Wake and Cancel are for others.
type Task interface {
	// Sleep waits for d by the monotonic clock. It returns early with the task's
	// error when the task is cancelled or its deadline passes.
	Sleep(d time.Duration) error

	// Park waits until Wake, at most d (d < 0: without limit). A Wake that came
	// while the task was running is kept: the next Park returns at once. Wake-ups
	// may be spurious, so that callers re-check what they wait for. It returns nil
	// when woken, ErrTimeout after d, or the task's error. The label names the
	// wait in traces and must be a constant.
	Park(label string, d time.Duration) error

	// Wake makes the task runnable, as an event of its own.
	Wake()

	// Cancel makes this and every later wait of the task return err.
	Cancel(err error)

	// Err is nil until the task is cancelled or past its deadline.
	Err() error

	// SetDeadline makes every wait end with ErrDeadline once Mono has reached at
	// (0: no deadline). It returns the deadline that was in force.
	SetDeadline(at time.Duration) (previous time.Duration)

	// Yield is a named seam: a place where another task may be let in between. It
	// costs nothing unless the run has turned the seam on.
	Yield(seam string)

	// Done reports whether the task has returned.
	Done() bool
}

// Errors that waits end with.
var (
	ErrTimeout  = errors.New("timed out")
	ErrDeadline = errors.New("deadline exceeded")
	ErrCanceled = errors.New("task canceled")
)

// Promise is a value that will be known later. The zero Promise is ready to use.
// Any number of tasks may wait for it; callbacks may ask Ready.
type Promise[T any] struct {
	value   T
	err     error
	done    bool
	waiters []Task
}

// Resolve sets the outcome and wakes all who wait. Only the first call counts.
func (p *Promise[T]) Resolve(v T, err error) {
	if p.done {
		return
	}
	p.value, p.err, p.done = v, err, true
	for _, t := range p.waiters {
		t.Wake()
	}
	p.waiters = nil
}

// Ready reports whether the outcome is known.
func (p *Promise[T]) Ready() bool { return p.done }

// Value is the outcome, once Ready.
func (p *Promise[T]) Value() (T, error) { return p.value, p.err }

// Wait returns the outcome, or the error of the wait itself: ErrTimeout after d
// (d < 0: no limit), or the task's.
func (p *Promise[T]) Wait(t Task, label string, d time.Duration) (T, error) {
	if err := wait(t, label, d, &p.waiters, func() bool { return p.done }); err != nil {
		var zero T
		return zero, err
	}
	return p.value, p.err
}

// Queue is an unbounded first-in first-out line between tasks and callbacks.
// Whoever fills it bounds it, by Len. The zero Queue is ready to use.
type Queue[T any] struct {
	items   []T
	head    int
	waiters []Task
}

// Len is the number of items in line.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// Push adds an item and wakes one waiter.
func (q *Queue[T]) Push(v T) {
	q.items = append(q.items, v)
	if len(q.waiters) > 0 {
		w := q.waiters[0]
		q.waiters = q.waiters[1:]
		w.Wake()
	}
}

// TryPop takes the first item, if there is one.
func (q *Queue[T]) TryPop() (T, bool) {
	var zero T
	if q.Len() == 0 {
		return zero, false
	}
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v, true
}

// Pop takes the first item, waiting for one at most d (d < 0: no limit).
func (q *Queue[T]) Pop(t Task, label string, d time.Duration) (T, error) {
	if err := wait(t, label, d, &q.waiters, func() bool { return q.Len() > 0 }); err != nil {
		var zero T
		return zero, err
	}
	v, _ := q.TryPop()
	return v, nil
}

// Semaphore counts free places. Waiters are served in order of arrival: a place
// that is given back belongs at once to the first of them, so that nobody who
// comes while it is being woken takes it.
type Semaphore struct {
	Free    int // set before use; no waiter is told of a later change
	waiters []*place
}

// place is one waiter's claim.
type place struct {
	task    Task
	granted bool
}

// Acquire takes a place, waiting for one at most d (d < 0: no limit).
func (s *Semaphore) Acquire(t Task, label string, d time.Duration) error {
	if s.Free > 0 && len(s.waiters) == 0 {
		s.Free--
		return nil
	}
	p := &place{task: t}
	s.waiters = append(s.waiters, p)
	for !p.granted {
		err := t.Park(label, d)
		if err == nil || err == ErrTimeout && p.granted {
			continue
		}
		if p.granted { // cancelled with the place in hand: the next one has it
			s.Release()
			return err
		}
		s.waiters = slices.DeleteFunc(s.waiters, func(w *place) bool { return w == p })
		return err
	}
	return nil
}

// Release gives a place back.
func (s *Semaphore) Release() {
	if len(s.waiters) == 0 {
		s.Free++
		return
	}
	p := s.waiters[0]
	s.waiters = s.waiters[1:]
	p.granted = true
	p.task.Wake()
}

// wait parks t, listed in waiters, until ready. The time limit is kept in ticks
// of Park itself: a spurious wake-up restarts it only when nothing was gained,
// which ends because each wake-up here means that some other waiter was served.
func wait(t Task, label string, d time.Duration, waiters *[]Task, ready func() bool) error {
	for !ready() {
		*waiters = append(*waiters, t)
		err := t.Park(label, d)
		forget(waiters, t)
		if err != nil {
			if ready() && err == ErrTimeout {
				return nil
			}
			if len(*waiters) > 0 && ready() {
				(*waiters)[0].Wake() // the wake-up that was meant for t goes on
			}
			return err
		}
	}
	return nil
}

func forget(waiters *[]Task, t Task) {
	for i, w := range *waiters {
		if w == t {
			*waiters = append((*waiters)[:i], (*waiters)[i+1:]...)
			return
		}
	}
}
