package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

// chores is work of which a test says what it is.
type chores struct {
	looked  map[kv.RangeID]int
	needs   map[kv.RangeID]int
	answer  func(t env.Task, id kv.RangeID) verdict
	cluster uint64
	log     []string
	busy    int
	now     func() time.Duration
}

func (c *chores) need(id kv.RangeID) int {
	c.looked[id]++
	return c.needs[id]
}

func (c *chores) view() uint64 { return c.cluster }

func (c *chores) process(t env.Task, id kv.RangeID) (verdict, error) {
	if c.busy++; c.busy > 1 {
		panic("two at once")
	}
	c.log = append(c.log, fmt.Sprintf("r%d", id))
	v := c.answer(t, id)
	c.busy--
	if v == failed {
		return v, errors.New("it did not work")
	}
	return v, nil
}

// newChores gives a store of so many ranges a queue that looks at them every 10 s.
func newChores(t *testing.T, splits ...string) (*cluster, *queue, *chores) {
	c := newClusterOf(t, 1, sim.Config{Seed: 7}, disk.Config{}, splits...)
	w := &chores{looked: map[kv.RangeID]int{}, needs: map[kv.RangeID]int{}, answer: func(env.Task, kv.RangeID) verdict { return settled }}
	q := &queue{}
	n := c.node(1)
	w.now = n.proc.Mono
	q.init(n.proc, (*heldRanges)(n.store), "test: queue", 10*time.Second, 5*time.Second, w)
	var tick func()
	tick = func() {
		q.tick()
		n.proc.After(500*time.Millisecond, "test: tick", tick)
	}
	tick()
	return c, q, w
}

// In each interval a queue looks at each replica once, a few at a time.
func TestQueuePace(t *testing.T) {
	c, _, w := newChores(t, "b", "c", "d", "e", "f", "g", "h", "i")
	most := 0
	for range 40 {
		before := 0
		for _, n := range w.looked {
			before += n
		}
		c.run(500 * time.Millisecond)
		after := 0
		for _, n := range w.looked {
			after += n
		}
		most = max(most, after-before)
	}
	for id, n := range w.looked {
		if n < 1 || n > 3 {
			t.Errorf("r%d was looked at %d times in two intervals", id, n)
		}
	}
	if len(w.looked) != 9 || most > 1 {
		t.Errorf("%d ranges of 9, and up to %d at a tick", len(w.looked), most)
	}
}

// Who needs it most comes first, whoever came before; equals come in the order of arrival.
func TestQueueOrder(t *testing.T) {
	c, q, w := newChores(t, "b", "c", "d", "e")
	w.answer = func(t env.Task, id kv.RangeID) verdict {
		_ = t.Sleep(3 * time.Second)
		w.needs[id] = 0
		return settled
	}
	for id, n := range map[kv.RangeID]int{1: 1, 2: 1, 3: 1, 4: 9, 5: 5} {
		w.needs[id] = n
	}
	for id := range kv.RangeID(5) {
		q.consider(id + 1)
	}
	c.run(20 * time.Second)
	if got := strings.Join(w.log, " "); got != "r4 r5 r1 r2 r3" {
		t.Error(got)
	}
}

// What fails comes again after pauses that double; what takes too long is ended. A step
// that was made is followed by the next at once.
func TestQueueAgain(t *testing.T) {
	c, _, w := newChores(t)
	var at []time.Duration
	w.needs[1] = 1
	w.answer = func(t env.Task, _ kv.RangeID) verdict {
		at = append(at, w.now())
		switch len(at) {
		case 4:
			if err := t.Sleep(time.Hour); err == nil {
				panic("it lasted an hour")
			}
		case 5:
			return more
		case 6:
			w.needs[1] = 0
			return settled
		}
		return failed
	}
	c.run(40 * time.Second)
	if len(at) != 6 {
		t.Fatalf("%d attempts", len(at))
	}
	want := []time.Duration{1, 2, 4, 5 + 8, 0}
	for i := range want {
		if d := at[i+1] - at[i] - want[i]*time.Second; d < 0 || d > 600*time.Millisecond {
			t.Errorf("attempt %d came %s after the one before it", i+2, at[i+1]-at[i])
		}
	}
}

// What cannot be helped waits until the cluster changes, also if that happened while it
// was being worked on.
func TestQueueStuck(t *testing.T) {
	c, q, w := newChores(t, "b")
	w.needs[1], w.needs[2] = 1, 1
	w.answer = func(env.Task, kv.RangeID) verdict { return stuck }
	c.run(30 * time.Second)
	if len(w.log) != 2 || len(q.stuck) != 2 {
		t.Fatalf("%v, %d stuck", w.log, len(q.stuck))
	}
	w.answer = func(env.Task, kv.RangeID) verdict {
		w.answer = func(_ env.Task, id kv.RangeID) verdict { w.needs[id] = 0; return settled }
		w.cluster++
		return stuck
	}
	w.cluster++
	c.run(2 * time.Second)
	slices.Sort(w.log)
	if got := strings.Join(w.log, " "); got != "r1 r1 r1 r2 r2" {
		t.Errorf("%s; %d stuck", got, len(q.stuck))
	}
}
