package workloads

import (
	"slices"

	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// counters are keys that only grow: what is acknowledged counts exactly once, and
// what failed not at all.
type counters struct {
	*base
	keys []string
}

func newCounters(b *base) *counters {
	p := b.Params
	c := &counters{base: b}
	for i := range p.Counters {
		c.keys = append(c.keys, counterKey(p.Slots, i))
	}
	return c
}

func (w *counters) name() string { return "increments" }

// once increments, or sometimes reads, a counter.
func (w *counters) once(t env.Task, c *Client) outcome {
	i := hotOr(c.Rand, w.Counters, w.Hot, w.HotPercent)
	if c.Rand.IntN(10) == 0 {
		return w.do(t, c, history.Timestamp{}, w.get(i))
	}
	return w.do(t, c, history.Timestamp{}, w.add(i, 1+c.Rand.Int64N(9)))
}

func (w *counters) get(i int) step {
	return getStep(w.keys[i])
}

func (w *counters) add(i int, delta int64) step {
	return incrementStep(w.keys[i], delta)
}

func incrementStep(key string, delta int64) step {
	return step{Op{Kind: Increment, Key: []byte(key), Delta: delta},
		history.Action{F: history.Increment, Key: key, Arg: history.Int(delta)},
		func(res OpResult) (history.Value, error) { return history.Int(res.Int), nil }}
}

func (w *counters) touch(slot int) []step {
	if slot >= len(w.keys) {
		return nil
	}
	return []step{w.add(slot, 1)}
}

func (w *counters) sweep(slot int) []step {
	var steps []step
	for i := slot; i < len(w.keys); i += w.Slots {
		steps = append(steps, w.get(i))
	}
	return steps
}

// universe lists all counters.
func (w *counters) universe() []string {
	all := slices.Clone(w.keys)
	slices.Sort(all)
	return all
}
