package workloads

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// script is what a workload of transactions does with its keys.
type script interface {
	// setup writes what must be there before anybody begins. It is asked again until
	// it succeeds, also when an attempt of unknown outcome has.
	setup(t env.Task, c *Client) error
	// once does one transaction of one client.
	once(t env.Task, c *Client) outcome
	// sweep are reads of all that the script has in a slot at the end; nil for nothing.
	sweep(slot int) []step
	// wants are the kinds of things that committed transactions must have done.
	wants() []string
	// check judges the script's keys.
	check(h *history.History, ctx Context) []checker.Verdict
}

// transactional is a workload of transactions.
type transactional struct {
	*base
	script
	name  string
	ready bool // set up: before, clients wait
}

// Name implements Workload.
func (w *transactional) Name() string { return w.name }

// Splits implements Workload.
func (w *transactional) Splits() [][]byte { return splitsOf(w.Slots) }

// Setup implements Workload: what the script needs, for which all clients wait, and a
// first write to each slot.
func (w *transactional) Setup(t env.Task, c *Client) error {
	for !w.ready {
		err := w.setup(t, c)
		w.ready = err == nil
		if err != nil && (t.Sleep(w.backoff(c)) != nil || c.Done()) {
			return err
		}
	}
	for slot := range w.Slots {
		if err := w.touch(t, c, slot); err != nil {
			return err
		}
	}
	return nil
}

// Run implements Workload.
func (w *transactional) Run(t env.Task, c *Client) {
	for !w.ready {
		if c.Done() || t.Sleep(w.backoff(c)) != nil {
			return
		}
	}
	w.loop(t, c, func() outcome { return w.step(t, c) })
}

const (
	// touchEvery is how many transactions of the script there are for one that asks some
	// slot whether it is served, and touchTries how often it asks before it goes on.
	touchEvery = 40
	touchTries = 6
)

func (w *transactional) step(t env.Task, c *Client) outcome {
	if c.Rand.IntN(touchEvery) > 0 {
		return w.once(t, c)
	}
	fn := w.touching(t, c.Rand.IntN(w.Slots))
	o := w.transact(t, c, TxnOptions{Name: "touch"}, fn)
	for tries := 1; tries < touchTries && !o.ok() && !c.Done() && t.Sleep(w.backoff(c)) == nil; tries++ {
		o = w.transact(t, c, TxnOptions{Name: "touch"}, fn)
	}
	return o
}

// Final implements Workload.
func (w *transactional) Final(t env.Task, c *Client) Final {
	return w.final(c, func(slot int) error { return w.serve(t, c, slot) })
}

// serve writes to a slot, then reads all of it.
func (w *transactional) serve(t env.Task, c *Client, slot int) error {
	if err := w.touch(t, c, slot); err != nil {
		return err
	}
	// A read that is called at the very instant at which a write was answered does
	// not certainly come after it.
	if err := t.Sleep(time.Millisecond); err != nil {
		return err
	}
	if err := w.settle(t, c, slot); err != nil {
		return err
	}
	steps := w.sweep(slot)
	if len(steps) == 0 {
		return nil
	}
	return w.persist(t, c, func(x *transaction) error { return x.do(t, steps...) })
}

// settle reads everything in a slot, so that what transactions left open there is
// decided, and the store tells what became of it. What it finds is nobody's answer.
func (w *transactional) settle(t env.Task, c *Client, slot int) error {
	all := Op{Kind: Scan, Key: []byte(slotPrefix(slot)), End: []byte(slotPrefix(slot) + "\xff")}
	for {
		_, err := c.txns().Txn(t, TxnOptions{Name: "settle"}, func(tx Tx) error {
			_, err := tx.Do(t, all)
			return err
		})
		if err == nil || t.Sleep(w.backoff(c)) != nil || c.Done() {
			return err
		}
	}
}

// touch reads and writes the key of a slot that is there to be asked for.
func (w *transactional) touch(t env.Task, c *Client, slot int) error {
	return w.persist(t, c, w.touching(t, slot))
}

func (w *transactional) touching(t env.Task, slot int) func(x *transaction) error {
	key := touchKey(slot)
	return func(x *transaction) error {
		if err := x.do(t, getStep(key)); err != nil {
			return err
		}
		return x.do(t, putStep(key, w.fresh()))
	}
}

// persist does a transaction until it is acknowledged. It gives up when the task
// must end.
func (b *base) persist(t env.Task, c *Client, fn func(x *transaction) error) error {
	for {
		o := b.transact(t, c, TxnOptions{Name: "persist"}, fn)
		if o.ok() {
			return nil
		}
		if t.Sleep(b.backoff(c)) != nil || c.Done() {
			return o.err
		}
	}
}

// Universe lists the keys on which liveness is measured: one of each slot.
func (w *transactional) Universe() []string {
	var all []string
	for slot := range w.Slots {
		all = append(all, touchKey(slot))
	}
	return all
}

// Registers implements Workload: what transactions do to registers is judged whole.
func (w *transactional) Registers(Context) checker.Options { return checker.Options{} }

// Check implements Workload.
func (w *transactional) Check(h *history.History, ctx Context) []checker.Verdict {
	all := []checker.Verdict{w.vacuity(h), w.wellFormed(h)}
	return append(all, w.check(h, ctx)...)
}

// vacuity asks whether each kind of thing was done by a transaction that committed,
// and whether transactions met.
func (w *transactional) vacuity(h *history.History) checker.Verdict {
	v := checker.Vacuity(h, nil)
	var missing []string
	for _, kind := range w.wants() {
		v.Counts = append(v.Counts, checker.Count{Name: kind, N: int64(w.done[kind])})
		if w.done[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	v.Counts = append(v.Counts, checker.Count{Name: "attempts", N: int64(w.attempts)}, checker.Count{Name: "rolled back by clients", N: int64(w.rolledBack)})
	if v.Valid == checker.OK && v.Count("conflicts") == 0 {
		missing = append(missing, "conflict")
	}
	if len(missing) > 0 {
		v.Valid = checker.Vacuous
		v.Summary = fmt.Sprintf("too little happened: no %s among %s", missing[0], checker.Plural(len(h.Ops), "operation"))
		for _, kind := range missing {
			v.Details = append(v.Details, fmt.Sprintf("No committed transaction had a %s.", kind))
		}
	}
	return v
}

// wantsOf picks the kinds that have a weight.
func wantsOf(list ...any) []string {
	var all []string
	for i := 0; i < len(list); i += 2 {
		if list[i].(int) > 0 {
			all = append(all, list[i+1].(string))
		}
	}
	return all
}

// isCondition reports whether a transaction may go on after err, without what failed.
func isCondition(err error) bool {
	var c *ConditionError
	return errors.As(err, &c)
}

func getStep(key string) step {
	return step{Op{Kind: Get, Key: []byte(key)}, history.Action{F: history.Read, Key: key}, readValue}
}

func putStep(key string, n int64) step {
	return step{Op{Kind: Put, Key: []byte(key), Value: EncodeInt(n)}, history.Action{F: history.Write, Key: key, Arg: history.Int(n)}, nil}
}

func deleteStep(key string) step {
	return step{Op{Kind: Delete, Key: []byte(key)}, history.Action{F: history.Delete, Key: key}, nil}
}

// scanStep scans from the first of some sorted keys to the last: these are all of
// their part that may be there. Keys of other parts between them are none of its business.
func scanStep(keys []string, reverse bool) step {
	return scanOf([]byte(keys[0]), []byte(keys[len(keys)-1]+"\x00"), keys, reverse)
}

// scanOf scans a span in which there may be these keys, and no others of their part.
func scanOf(key, end []byte, keys []string, reverse bool) step {
	universe := make([]history.Row, len(keys))
	for i, k := range keys {
		universe[i] = history.Row{Key: k, Value: history.NoKey()}
	}
	kind := Scan
	if reverse {
		kind = ReverseScan
	}
	read := func(res OpResult) (history.Value, error) {
		rows, odd := rowsOf(res.Rows, key, end, reverse)
		all := make([]history.Row, 0, len(rows))
		for _, row := range rows {
			if partOf(string(row.Key)) != partOf(keys[0]) {
				continue
			}
			v, err := Decode(row.Value)
			if err != nil {
				odd = err
			}
			if _, ok := slices.BinarySearch(keys, string(row.Key)); !ok {
				odd = fmt.Errorf("a scan found %q, which nobody writes", row.Key)
			}
			all = append(all, history.Row{Key: string(row.Key), Value: v})
		}
		return history.Rows(all...), odd
	}
	return step{Op{Kind: kind, Key: key, End: end}, history.Action{F: history.Scan, Key: keys[0], Arg: history.Rows(universe...)}, read}
}
