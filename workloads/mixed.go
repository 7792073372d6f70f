package workloads

import (
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// part is one kind of data that a workload keeps, on keys of its own.
type part interface {
	name() string
	// once does one operation of one client.
	once(t env.Task, c *Client) outcome
	// touch is a batch that writes to a slot, sweep one that reads all of it; nil if
	// the part has nothing there.
	touch(slot int) []step
	sweep(slot int) []step
	// universe lists the keys, as histories call them.
	universe() []string
	// kinds are the operations that must succeed in a run that means anything.
	kinds() []history.F
	// check judges the part's keys.
	check(h *history.History, ctx Context) []checker.Verdict
}

// mixed is a workload of one or more parts. A client draws for each operation
// which part it is of.
type mixed struct {
	*base
	name    string
	parts   []part
	weights []int
}

func newMixed(name string, b *base, parts ...part) *mixed {
	return &mixed{base: b, name: name, parts: parts, weights: []int{1}}
}

// Name implements Workload.
func (w *mixed) Name() string { return w.name }

// Splits implements Workload.
func (w *mixed) Splits() [][]byte { return splitsOf(w.Slots) }

// Setup implements Workload: a first write to each slot, so that the run begins
// with every range served.
func (w *mixed) Setup(t env.Task, c *Client) error {
	for slot := range w.Slots {
		for _, p := range w.parts {
			if err := w.insist(t, c, func() []step { return p.touch(slot) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// Run implements Workload.
func (w *mixed) Run(t env.Task, c *Client) {
	w.loop(t, c, func() outcome { return w.parts[weighted(c.Rand, w.weights...)].once(t, c) })
}

// loop does step after step, until the client is done.
func (b *base) loop(t env.Task, c *Client, step func() outcome) {
	for !c.Done() && t.Err() == nil {
		o := step()
		pause := exponential(c.Rand, b.Think)
		if !o.ok() { // a refusal may cost no time: never ask again at the same instant
			pause = max(pause, b.backoff(c))
		}
		if pause > 0 && t.Sleep(pause) != nil {
			return
		}
	}
}

// backoff draws how long a client waits after an error.
func (b *base) backoff(c *Client) time.Duration {
	return time.Duration(5+c.Rand.IntN(45)) * time.Millisecond
}

// Final implements Workload.
func (w *mixed) Final(t env.Task, c *Client) Final {
	return w.final(c, func(slot int) error { return w.serve(t, c, slot) })
}

// final has slot after slot served, until one is not.
func (b *base) final(c *Client, serve func(slot int) error) Final {
	begin := c.Now()
	f := Final{Slots: b.Slots}
	for slot := range b.Slots {
		if err := serve(slot); err != nil {
			f.Missing, f.LastError = slotPrefix(slot), err.Error()
			break
		}
		f.Served++
	}
	f.Took = time.Duration(c.Now() - begin)
	return f
}

// serve writes to a slot, then reads all of it.
func (w *mixed) serve(t env.Task, c *Client, slot int) error {
	for _, p := range w.parts {
		if err := w.insist(t, c, func() []step { return p.touch(slot) }); err != nil {
			return err
		}
	}
	// A read that is called at the very instant at which a write was answered does
	// not certainly come after it.
	if err := t.Sleep(time.Millisecond); err != nil {
		return err
	}
	for _, p := range w.parts {
		if err := w.insist(t, c, func() []step { return p.sweep(slot) }); err != nil {
			return err
		}
	}
	return nil
}

// insist does a batch until it is acknowledged. Each attempt is an operation of
// its own, with values of its own. It gives up when the task must end.
func (w *mixed) insist(t env.Task, c *Client, batch func() []step) error {
	for {
		steps := batch()
		if len(steps) == 0 {
			return nil
		}
		o := w.do(t, c, history.Timestamp{}, steps...)
		if o.ok() {
			return nil
		}
		if t.Sleep(w.backoff(c)) != nil || c.Done() {
			return o.err
		}
	}
}
