package realenv

import (
	"container/heap"
	"time"

	"simulacrum/sim/env"
)

// timer is a pending callback.
type timer struct {
	at    time.Duration // by Mono
	id    env.Timer     // counts up, hence breaks ties by order of creation
	fn    func()
	index int
}

// timerHeap holds the earliest timer first.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].id < h[j].id
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}

// After implements env.Process.
func (p *Proc) After(d time.Duration, label string, fn func()) env.Timer {
	if p.dead {
		return 0
	}
	p.sequence++
	t := &timer{at: p.Mono() + max(d, 0), id: env.Timer(p.sequence), fn: fn}
	p.pending[t.id] = t
	heap.Push(&p.timers, t)
	p.nudge()
	return t.id
}

// Stop implements env.Process.
func (p *Proc) Stop(id env.Timer) bool {
	t, ok := p.pending[id]
	if !ok || p.dead {
		return false
	}
	delete(p.pending, id)
	heap.Remove(&p.timers, t.index)
	return true
}
