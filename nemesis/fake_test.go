package nemesis

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"simulacrum/sim/env"
)

// world is a process with a queue of timers and nothing else.
type world struct {
	env.Process // what a runner must not use is nil
	now         time.Duration
	queue       events
	seq         env.Timer
	log         []string
}

type event struct {
	at  time.Duration
	id  env.Timer
	fn  func()
	off bool
}

type events []*event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].id < q[j].id
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *events) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (w *world) Mono() time.Duration { return w.now }
func (w *world) After(d time.Duration, label string, fn func()) env.Timer {
	w.seq++
	heap.Push(&w.queue, &event{at: w.now + max(d, 0), id: w.seq, fn: fn})
	return w.seq
}
func (w *world) Stop(t env.Timer) bool {
	for _, e := range w.queue {
		if e.id == t && !e.off {
			e.off = true
			return true
		}
	}
	return false
}
func (w *world) Log(format string, args ...any) {}

func (w *world) runUntil(at time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= at {
		e := heap.Pop(&w.queue).(*event)
		w.now = e.at
		if !e.off {
			e.fn()
		}
	}
	w.now = at
}

// fakeTarget keeps account of what is done to it.
type fakeTarget struct {
	w      *world
	topo   Topology
	dead   map[string]bool
	absent map[string]bool // spares that have not joined, and who has left
	gone   []string        // those who are not to come back, as the test knows from the plan
	frozen map[string]bool
	speed  map[string]int64
	clock  map[string]time.Duration
	ppm    map[string]int64
	stand  map[string]bool
	active map[string]int
	moved  time.Duration
	probe  func(string, env.Probe)
	lines  []string
}

func newTarget(w *world, topo Topology) *fakeTarget {
	t := &fakeTarget{w: w, topo: topo, dead: map[string]bool{}, absent: map[string]bool{}, frozen: map[string]bool{}, speed: map[string]int64{},
		clock: map[string]time.Duration{}, ppm: map[string]int64{}, stand: map[string]bool{}, active: map[string]int{}}
	for _, p := range topo.Spares {
		t.absent[p.Name], t.dead[p.Name] = true, true
	}
	return t
}

func (t *fakeTarget) say(format string, args ...any) {
	t.lines = append(t.lines, formatTime(t.w.now)+" "+fmt.Sprintf(format, args...))
}

func (t *fakeTarget) Topology() Topology     { return t.topo }
func (t *fakeTarget) Alive(name string) bool { return !t.dead[name] }
func (t *fakeTarget) kill(name string) bool  { was := !t.dead[name]; t.dead[name] = true; return was }
func (t *fakeTarget) Crash(name string) bool { t.say("crash %s", name); return t.kill(name) }
func (t *fakeTarget) Stop(name string) bool  { t.say("stop %s", name); return t.kill(name) }
func (t *fakeTarget) Drain(name string) bool { t.say("drain %s", name); return t.kill(name) }
func (t *fakeTarget) Join(name string) bool {
	was := t.absent[name]
	t.say("join %s", name)
	delete(t.absent, name)
	return was
}
func (t *fakeTarget) LoseDisk(name string) string {
	if t.absent[name] {
		return name + " was not there"
	}
	t.say("lose disk of %s", name)
	t.kill(name)
	return ""
}

// Decommission takes two seconds if the node lives, and is in vain if not.
func (t *fakeTarget) Decommission(name string) Effect {
	t.say("decommission %s", name)
	e := &askedEffect{}
	t.w.After(2*time.Second, "", func() {
		if t.kill(name) {
			t.say("%s has left", name)
			t.absent[name] = true
			e.done++
		}
	})
	return e
}
func (t *fakeTarget) OnProbe(fn func(string, env.Probe)) { t.probe = fn }
func (t *fakeTarget) PowerLoss(nodes []string) int {
	t.say("power loss %s", strings.Join(nodes, ","))
	n := 0
	for _, name := range nodes {
		if t.kill(name) {
			n++
		}
	}
	return n
}
func (t *fakeTarget) Start(name string) bool {
	if !t.dead[name] || t.absent[name] {
		return false
	}
	t.say("start %s", name)
	t.dead[name] = false
	return true
}
func (t *fakeTarget) Pause(name string) bool {
	t.say("pause %s", name)
	was := t.frozen[name]
	t.frozen[name] = true
	return !was
}
func (t *fakeTarget) Resume(name string) bool {
	t.say("resume %s", name)
	t.frozen[name] = false
	return true
}
func (t *fakeTarget) SetSpeed(name string, factor int64) {
	t.say("speed of %s %d", name, factor)
	t.speed[name] = factor
}

// catchUp brings the wall clocks to the present.
func (t *fakeTarget) catchUp() {
	d := t.w.now - t.moved
	t.moved = t.w.now
	for _, n := range t.topo.everyone() {
		t.clock[n] += d / 1000 * time.Duration(t.ppm[n]) / 1000
		if t.stand[n] {
			t.clock[n] -= d
		}
	}
}
func (t *fakeTarget) ClockOffset(name string) time.Duration { t.catchUp(); return t.clock[name] }
func (t *fakeTarget) StepClock(name string, by time.Duration) {
	t.catchUp()
	t.say("clock of %s by %v", name, by)
	t.clock[name] += by
}
func (t *fakeTarget) DriftClock(name string, ppm int64) Effect {
	t.catchUp()
	t.bend(name)
	t.ppm[name] = ppm
	return t.effect(fmt.Sprintf("drift %s %dppm", name, ppm), func() { t.catchUp(); t.ppm[name] = 0 })
}
func (t *fakeTarget) bend(name string) {
	if t.ppm[name] != 0 || t.stand[name] {
		panic("the clock of " + name + " is bent twice")
	}
}
func (t *fakeTarget) FreezeClock(name string) Effect {
	t.catchUp()
	t.bend(name)
	t.stand[name] = true
	return t.effect("freeze clock of "+name, func() { t.catchUp(); t.stand[name] = false })
}
func (t *fakeTarget) Cut(from, to []string, mode CutMode) Effect {
	return t.effect(fmt.Sprintf("cut %s>%s mode %d", strings.Join(from, ","), strings.Join(to, ","), mode), nil)
}
func (t *fakeTarget) Degrade(from, to []string, f LinkFault) Effect {
	return t.effect(fmt.Sprintf("degrade %s>%s", strings.Join(from, ","), strings.Join(to, ",")), nil)
}
func (t *fakeTarget) Reset(a, b []string) int64 {
	t.say("reset %s %s", strings.Join(a, ","), strings.Join(b, ","))
	return 0
}
func (t *fakeTarget) Disk(node string, f DiskFault) Effect {
	return t.effect(fmt.Sprintf("disk of %s: kind %d", node, f.Kind), nil)
}

// Each node holds the lease of the range of its number.
func (t *fakeTarget) Leases(node string) []string {
	if t.dead[node] {
		return nil
	}
	return []string{"r" + strings.TrimPrefix(node, "n")}
}

// Replicas are those of the ranges of a node's number and the next.
func (t *fakeTarget) Replicas(node string) []string {
	n, _ := strconv.Atoi(strings.TrimPrefix(node, "n"))
	return []string{fmt.Sprintf("r%d", n), fmt.Sprintf("r%d", n+1)}
}

// Range is refused by even ranges, and done by odd ones a second later.
func (t *fakeTarget) Range(name string, f RangeFault) Effect {
	t.say("range %s: kind %d to %q", name, f.Kind, f.To)
	e := &askedEffect{}
	if n := name[len(name)-1]; n%2 == 1 {
		t.w.After(time.Second, "", func() { e.done++ })
	}
	return e
}

type askedEffect struct{ done int64 }

func (e *askedEffect) Heal()        {}
func (e *askedEffect) Count() int64 { return e.done }

type fakeEffect struct {
	heal func()
}

func (e *fakeEffect) Heal()        { e.heal() }
func (e *fakeEffect) Count() int64 { return 7 }
func (t *fakeTarget) effect(name string, undo func()) Effect {
	t.say("%s", name)
	t.active[name]++
	done := false
	return &fakeEffect{func() {
		if done {
			return
		}
		done = true
		t.say("heal %s", name)
		t.active[name]--
		if undo != nil {
			undo()
		}
	}}
}

// isGone reports that the disk of a node was lost and nobody replaced it.
func (t *fakeTarget) isGone(name string) bool { return slices.Contains(t.gone, name) }

// trouble lists what is not as it was at the beginning.
func (t *fakeTarget) trouble() []string {
	var all []string
	t.catchUp()
	for _, n := range t.topo.everyone() {
		if t.dead[n] && !t.absent[n] && !t.isGone(n) || t.frozen[n] || t.speed[n] > 1 || t.clock[n] != 0 || t.ppm[n] != 0 || t.stand[n] {
			all = append(all, fmt.Sprintf("%s: dead %v frozen %v speed %d clock %v", n, t.dead[n], t.frozen[n], t.speed[n], t.clock[n]))
		}
	}
	for name, n := range t.active {
		if n != 0 {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// twelve is nine with three spares: two in one zone, one elsewhere.
func twelve() Topology {
	topo := nine()
	topo.Spares = []Place{{"n10", "us-east", "a"}, {"n11", "us-east", "a"}, {"n12", "us-west", "b"}}
	return topo
}

// nine is three regions of three zones with a node and two clients each, and nine
// ranges.
func nine() Topology {
	topo := Topology{Ranges: 9}
	for _, r := range []string{"us-east", "us-west", "europe-west"} {
		for _, z := range []string{"a", "b", "c"} {
			topo.Nodes = append(topo.Nodes, Place{fmt.Sprintf("n%d", len(topo.Nodes)+1), r, z})
			for range 2 {
				topo.Clients = append(topo.Clients, Place{fmt.Sprintf("c%d", len(topo.Clients)+1), r, z})
			}
		}
	}
	return topo
}

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
