package realenv

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/sim/env"
)

var (
	errKilled = errors.New("killed")
	errMemory = errors.New("out of memory")
)

// unwinding is the sentinel that takes a dead process's code off its stack. Only
// the goroutines of this package recover it.
type unwinding struct{}

// Proc is one incarnation of a process. Its methods as an env.Env are for the
// process's own code, which holds the big lock; Kill, Alive and Reason are for
// others.
type Proc struct {
	world *World
	name  string
	fs    *procFS
	died  chan struct{} // closed at death
	own   sync.WaitGroup

	// mu is the big lock. Everything below is under it.
	mu       sync.Mutex
	dead     bool
	reason   error
	current  *task
	tasks    map[*task]struct{}
	posted   []func() // callbacks that are due
	timers   timerHeap
	pending  map[env.Timer]*timer
	sequence uint64
	signal   chan struct{} // wakes the dispatcher
	streams  map[string]*rand.Rand
	memory   int64
	listener net.Listener
	accept   func(env.Conn) env.Handler
	conns    map[*conn]struct{}
}

var _ env.Env = (*Proc)(nil)

func newProc(w *World, name, dir string) *Proc {
	p := &Proc{
		world: w, name: name,
		died:    make(chan struct{}),
		signal:  make(chan struct{}, 1),
		tasks:   map[*task]struct{}{},
		pending: map[env.Timer]*timer{},
		streams: map[string]*rand.Rand{},
		conns:   map[*conn]struct{}{},
	}
	p.fs = newProcFS(p, dir)
	return p
}

// spawn runs a goroutine that World.Close waits for.
func (p *Proc) spawn(fn func()) {
	p.world.all.Add(1)
	go func() {
		defer p.world.all.Done()
		fn()
	}()
}

func (p *Proc) begin(main func(env.Env)) {
	p.posted = append(p.posted, func() { main(p) })
	p.own.Add(1)
	p.spawn(func() {
		defer p.own.Done()
		p.dispatch()
	})
}

// dispatch runs callbacks until the process dies.
func (p *Proc) dispatch() {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		p.mu.Lock()
		if p.dead {
			p.mu.Unlock()
			return
		}
		fn, wait := p.next()
		if fn == nil {
			p.mu.Unlock()
			clock.Reset(wait)
			select {
			case <-p.signal:
			case <-clock.C:
			case <-p.died:
			}
			continue
		}
		p.run(fn)
		p.mu.Unlock()
	}
}

// next takes the callback that is due, or says how long none will be.
func (p *Proc) next() (fn func(), wait time.Duration) {
	wait = time.Hour
	if len(p.timers) > 0 {
		t := p.timers[0]
		wait = t.at - p.Mono()
		if wait <= 0 {
			heap.Pop(&p.timers)
			delete(p.pending, t.id)
			return t.fn, 0
		}
	}
	if len(p.posted) > 0 {
		fn, p.posted = p.posted[0], p.posted[1:]
	}
	return fn, wait
}

// run calls a callback and survives the death of the process under it.
func (p *Proc) run(fn func()) {
	defer func() {
		if r := recover(); r != nil && r != any(unwinding{}) {
			panic(r)
		}
	}()
	fn()
}

// post has fn called as a callback. It is for goroutines that do not hold the lock.
func (p *Proc) post(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.postLocked(fn)
}

func (p *Proc) postLocked(fn func()) {
	if p.dead {
		return
	}
	p.posted = append(p.posted, fn)
	p.nudge()
}

func (p *Proc) nudge() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// Kill ends the incarnation and waits for its tasks. See World.Kill.
func (p *Proc) Kill(reason error) {
	p.mu.Lock()
	p.die(reason)
	p.mu.Unlock()
	p.own.Wait()
}

// Alive reports whether the incarnation lives.
func (p *Proc) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

// Reason is why the incarnation died, or nil.
func (p *Proc) Reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// die makes every later effect impossible and lets the tasks find out.
func (p *Proc) die(reason error) {
	if p.dead {
		return
	}
	p.dead, p.reason = true, reason
	p.world.died(p)
	close(p.died)
	if p.listener != nil {
		p.listener.Close()
	}
	for c := range p.conns {
		c.abort()
	}
	p.fs.release()
	for t := range p.tasks {
		t.signal()
	}
}

// exit leaves the code of a process that died under itself.
func (p *Proc) exit() { panic(unwinding{}) }

// Name implements env.Process.
func (p *Proc) Name() string { return p.name }

// Wall implements env.Process.
func (p *Proc) Wall() int64 { return time.Now().UnixNano() }

// Mono implements env.Process. It starts above zero, which SetDeadline reads as
// "none".
func (p *Proc) Mono() time.Duration { return time.Since(p.world.start) + time.Second }

// Rand implements env.Process.
func (p *Proc) Rand(name string) *rand.Rand {
	if r, ok := p.streams[name]; ok {
		return r
	}
	h := fnv.New128a()
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], p.world.cfg.Seed)
	h.Write(seed[:])
	h.Write([]byte(p.name + "\x00" + name))
	sum := h.Sum(nil)
	r := rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])))
	p.streams[name] = r
	return r
}

// Charge implements env.Process: real work takes its own time.
func (p *Proc) Charge(env.Class, int64) {}

// Memory implements env.Process.
func (p *Proc) Memory(delta int64) {
	p.memory += delta
	if limit := p.world.cfg.Memory; limit > 0 && p.memory > limit {
		p.Fatal(errMemory)
	}
}

// Probe implements env.Process: nobody asks for faults here.
func (p *Proc) Probe(env.Probe) {}

// Knob implements env.Process.
func (p *Proc) Knob(k *env.Knob) int64 {
	if v, ok := p.world.cfg.Knobs[k.Name]; ok {
		return v
	}
	return k.Default
}

// Log implements env.Process.
func (p *Proc) Log(format string, args ...any) {
	if p.world.cfg.Log != nil && !p.dead {
		p.world.cfg.Log(p.name, fmt.Sprintf(format, args...))
	}
}

// Fatal implements env.Process.
func (p *Proc) Fatal(reason error) {
	p.Log("fatal: %v", reason)
	p.die(reason)
	p.exit()
}

// FS implements env.Env.
func (p *Proc) FS() vfs.FS { return p.fs }
