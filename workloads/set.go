package workloads

import (
	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// sets are elements that are added once and never removed, a key each: what was
// acknowledged is there for ever, and nothing is there that nobody added. Each
// slot is a set of its own.
type sets struct {
	*base
	next int64 // the last element that was given out
}

func newSets(b *base) *sets { return &sets{base: b} }

func (w *sets) name() string { return "set" }

// once adds an element to some set, or sometimes reads one.
func (w *sets) once(t env.Task, c *Client) outcome {
	slot := c.Rand.IntN(w.Slots)
	if c.Rand.IntN(20) == 0 {
		return w.do(t, c, history.Timestamp{}, w.sweep(slot)...)
	}
	return w.do(t, c, history.Timestamp{}, w.touch(slot)...)
}

// touch adds a fresh element.
func (w *sets) touch(slot int) []step {
	w.next++
	return []step{addStep(slot, w.next)}
}

func addStep(slot int, n int64) step {
	return step{Op{Kind: Put, Key: []byte(elementKey(slot, n)), Value: EncodeInt(n)},
		history.Action{F: history.Add, Key: setName(slot), Arg: history.Int(n)}, nil}
}

// sweep reads the whole set of a slot.
func (w *sets) sweep(slot int) []step { return []step{setStep(slot)} }

func setStep(slot int) step {
	key, end := spanOf(setName(slot))
	read := func(res OpResult) (history.Value, error) {
		rows, odd := rowsOf(res.Rows, key, end, false)
		all := make([]int64, 0, len(rows))
		for _, row := range rows {
			n, err := element(row.Key)
			if err != nil {
				odd = err
			}
			all = append(all, n)
		}
		return history.List(all...), odd
	}
	return step{Op{Kind: Scan, Key: key, End: end}, history.Action{F: history.Read, Key: setName(slot)}, read}
}

// universe lists the sets.
func (w *sets) universe() []string {
	var all []string
	for i := range w.Slots {
		all = append(all, setName(i))
	}
	return all
}
