package workloads

import (
	"math/rand/v2"
	"slices"

	"simulacrum/checker/history"
	"simulacrum/sim/env"
)

// registers are keys that are read, written, compared and deleted, alone, in
// atomic batches, and by scans. Every value is written at most once.
type registers struct {
	*base
	slots [][]string // the registers of each slot, ascending
	keys  []string
	slot  []int           // of each key
	last  []history.Value // of each key: what some client knew of it last
}

func newRegisters(b *base) *registers {
	p := b.Params
	r := &registers{base: b, slots: make([][]string, p.Slots)}
	for i := range p.Keys {
		k := registerKey(p.Slots, i)
		r.keys = append(r.keys, k)
		r.slot = append(r.slot, i%p.Slots)
		r.slots[i%p.Slots] = append(r.slots[i%p.Slots], k)
		r.last = append(r.last, history.NoKey())
	}
	return r
}

func (r *registers) name() string { return "register" }

// draw picks a register, one of the hot ones more often than not.
func (r *registers) draw(rng *rand.Rand) int { return hotOr(rng, r.Keys, r.Hot, r.HotPercent) }

// once does one operation.
func (r *registers) once(t env.Task, c *Client) outcome {
	i := r.draw(c.Rand)
	m := r.Mix
	switch weighted(c.Rand, m.Read, m.Write, m.CAS, m.Delete, m.Scan, m.Reverse, m.Batch, m.Past) {
	case 0:
		return r.single(t, c, i, r.get(i))
	case 1:
		return r.single(t, c, i, r.put(i))
	case 2:
		return r.single(t, c, i, r.cas(i))
	case 3:
		return r.single(t, c, i, r.delete(i))
	case 4:
		return r.do(t, c, history.Timestamp{}, r.scan(c.Rand, r.slot[i], false))
	case 5:
		return r.do(t, c, history.Timestamp{}, r.scan(c.Rand, r.slot[i], true))
	case 6:
		return r.batch(t, c, i)
	}
	return r.past(t, c, i)
}

// single does one step on register i and remembers what it taught.
func (r *registers) single(t env.Task, c *Client, i int, s step) outcome {
	o := r.do(t, c, history.Timestamp{}, s)
	switch {
	case o.ok() && s.action.F == history.Read:
		r.last[i] = o.result()
	case o.ok() && s.action.F == history.Delete:
		r.last[i] = history.NoKey()
	case o.ok():
		r.last[i] = s.action.Arg
	case !o.result().IsNone(): // what a failed condition found
		r.last[i] = o.result()
	}
	return o
}

func readValue(res OpResult) (history.Value, error) { return Decode(res.Value) }

func (r *registers) get(i int) step { return getStep(r.keys[i]) }

func (r *registers) put(i int) step { return putStep(r.keys[i], r.fresh()) }

func (r *registers) delete(i int) step { return deleteStep(r.keys[i]) }

// cas expects what some client knew last, which is often still so: clients may
// tell each other.
func (r *registers) cas(i int) step { return casStep(r.keys[i], r.last[i], r.fresh()) }

// scan reads a stretch of a slot's registers, mostly all of them.
func (r *registers) scan(rng *rand.Rand, slot int, reverse bool) step {
	keys := r.slots[slot]
	if len(keys) > 1 && rng.IntN(3) == 0 {
		from := rng.IntN(len(keys) - 1)
		keys = keys[from : from+1+rng.IntN(len(keys)-from)]
	}
	return scanStep(keys, reverse)
}

// batch reads and writes several registers of one slot at one moment.
func (r *registers) batch(t env.Task, c *Client, i int) outcome {
	var steps []step
	wrote := []int{}
	for j := i % r.Slots; j < r.Keys; j += r.Slots {
		if j != i && c.Rand.IntN(2) == 0 {
			continue
		}
		switch c.Rand.IntN(5) {
		case 0, 1:
			steps = append(steps, r.get(j))
		case 2, 3:
			steps = append(steps, r.put(j))
			wrote = append(wrote, j)
		default:
			steps = append(steps, r.delete(j))
		}
		if len(steps) == 4 {
			break
		}
	}
	o := r.do(t, c, history.Timestamp{}, steps...)
	if o.ok() {
		for _, j := range wrote {
			at := slices.IndexFunc(steps, func(s step) bool { return s.action.Key == r.keys[j] })
			r.last[j] = steps[at].action.Arg
		}
	}
	return o
}

// past reads a slot as it was when some earlier operation of this client executed.
func (r *registers) past(t env.Task, c *Client, i int) outcome {
	if len(c.memory) == 0 {
		return r.single(t, c, i, r.get(i))
	}
	at := c.memory[c.Rand.IntN(len(c.memory))]
	if c.Rand.IntN(2) == 0 {
		return r.do(t, c, at, r.get(i))
	}
	return r.do(t, c, at, scanStep(r.slots[r.slot[i]], c.Rand.IntN(2) == 0))
}

// touch writes something of a slot; it is how Final asks whether writes are served.
func (r *registers) touch(slot int) []step {
	if len(r.slots[slot]) == 0 {
		return nil
	}
	return []step{r.put(slot)}
}

// sweep reads all of a slot.
func (r *registers) sweep(slot int) []step {
	if len(r.slots[slot]) == 0 {
		return nil
	}
	return []step{scanStep(r.slots[slot], false)}
}

// universe lists all registers.
func (r *registers) universe() []string {
	all := slices.Clone(r.keys)
	slices.Sort(all)
	return all
}
