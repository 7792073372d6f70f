package sim

// queue is the event queue: a 4-ary heap of small entries over a table of slots.
// An entry moves, a slot stays, so that an EventID remains good and a cancelled
// event leaves at once (request time-outs are nearly always cancelled: kept as
// garbage until due, they would outnumber live events under load). Slots are
// reused: a run in its stride allocates nothing.
type queue struct {
	heap  []entry
	slots []slot
	pos   []int32 // slot -> index in heap, or one of the negative states below
	free  []int32
}

// Where a slot is when not in the heap.
const (
	posFree int32 = -1 // in the free list
	posLine int32 = -2 // taken out, waiting in a machine's line
	posRun  int32 = -3 // being executed
)

// entry is the ordering key: true time, then a tie-break that the seed draws (a
// fixed order within an instant would hide bugs), then sequence.
type entry struct {
	at   Time
	seq  uint64
	tie  uint32
	slot int32
}

func (a *entry) before(b *entry) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return a.seq < b.seq
}

type kind uint8

const (
	kindFunc    kind = iota // run fn
	kindStart               // start task
	kindWake                // task.Wake
	kindTimeout             // the time limit of a Park
	kindReady               // a machine's CPU is free again
	kindCancelled
)

// slot is what an event does.
type slot struct {
	fn      func()
	task    *Task
	proc    *Proc    // whose event it is; nil for the kernel's own
	machine *Machine // for kindReady
	label   string
	cause   uint64 // number of the event that scheduled this one
	gen     uint32 // incremented at each reuse
	kind    kind
}

// EventID names a scheduled event. The zero EventID is none.
type EventID uint64

func makeID(slot int32, gen uint32) EventID { return EventID(uint64(gen)<<32 | uint64(slot+1)) }

func (q *queue) alloc() int32 {
	if n := len(q.free); n > 0 {
		i := q.free[n-1]
		q.free = q.free[:n-1]
		return i
	}
	q.slots = append(q.slots, slot{gen: 1})
	q.pos = append(q.pos, posFree)
	return int32(len(q.slots) - 1)
}

// release gives a slot back; its EventID is void from now on.
func (q *queue) release(i int32) {
	s := &q.slots[i]
	gen := s.gen + 1
	*s = slot{gen: gen}
	q.pos[i] = posFree
	q.free = append(q.free, i)
}

// find returns the slot of a pending event.
func (q *queue) find(id EventID) (int32, bool) {
	i := int32(uint32(id)) - 1
	if i < 0 || int(i) >= len(q.slots) || q.slots[i].gen != uint32(id>>32) {
		return 0, false
	}
	p := q.pos[i]
	return i, (p >= 0 || p == posLine) && q.slots[i].kind != kindCancelled
}

func (q *queue) push(e entry) {
	q.heap = append(q.heap, e)
	q.up(len(q.heap) - 1)
}

// pop removes the first entry. The heap must not be empty.
func (q *queue) pop() entry {
	first := q.heap[0]
	q.pos[first.slot] = posRun
	q.removeAt(0)
	return first
}

func (q *queue) removeAt(i int) {
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap = q.heap[:n]
	if i == n {
		return
	}
	q.heap[i] = last
	q.pos[last.slot] = int32(i)
	if i > 0 && q.heap[i].before(&q.heap[(i-1)/4]) {
		q.up(i)
	} else {
		q.down(i)
	}
}

func (q *queue) up(i int) {
	e := q.heap[i]
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&q.heap[p]) {
			break
		}
		q.heap[i] = q.heap[p]
		q.pos[q.heap[i].slot] = int32(i)
		i = p
	}
	q.heap[i] = e
	q.pos[e.slot] = int32(i)
}

func (q *queue) down(i int) {
	e := q.heap[i]
	n := len(q.heap)
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		m := c
		for j := c + 1; j < c+4 && j < n; j++ {
			if q.heap[j].before(&q.heap[m]) {
				m = j
			}
		}
		if !q.heap[m].before(&e) {
			break
		}
		q.heap[i] = q.heap[m]
		q.pos[q.heap[i].slot] = int32(i)
		i = m
	}
	q.heap[i] = e
	q.pos[e.slot] = int32(i)
}
