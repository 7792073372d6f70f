package realenv

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"simulacrum/sim/env"
)

// Config is what the processes of a World have in common.
type Config struct {
	// Dir holds one directory for each process name.
	Dir string
	// Seed feeds the random streams. Unlike a simulation's, a run with the same
	// seed is not the same run.
	Seed uint64
	// Knobs overrides tunables by name.
	Knobs map[string]int64
	// Memory is how many bytes a process may account as held; 0 means no limit.
	Memory int64
	// Log is given each line that processes log; nil drops them. Calls may be
	// concurrent.
	Log func(process, line string)
}

// World is where real processes live, find each other by name and die.
type World struct {
	cfg   Config
	start time.Time

	mu        sync.Mutex
	living    map[string]*Proc
	addresses map[string]string // of those that listen
	all       sync.WaitGroup    // every goroutine of every incarnation
}

// NewWorld returns a world without processes.
func NewWorld(cfg Config) *World {
	return &World{cfg: cfg, start: time.Now(), living: map[string]*Proc{}, addresses: map[string]string{}}
}

// Start begins an incarnation of the named process. main is its first callback. It
// panics if an incarnation lives.
func (w *World) Start(name string, main func(env.Env)) *Proc {
	p := newProc(w, name, filepath.Join(w.cfg.Dir, name))
	w.mu.Lock()
	if w.living[name] != nil {
		w.mu.Unlock()
		panic(fmt.Sprintf("realenv: %s already runs", name))
	}
	w.living[name] = p
	w.mu.Unlock()
	p.begin(main)
	return p
}

// Proc is the living incarnation of that name, or nil.
func (w *World) Proc(name string) *Proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.living[name]
}

// Kill ends the named process, if it lives, and waits until its tasks have ended.
// It must not be called by code of that process: see env.Process.Fatal.
func (w *World) Kill(name string) {
	if p := w.Proc(name); p != nil {
		p.Kill(errKilled)
	}
}

// Close kills whoever lives and waits for every goroutine.
func (w *World) Close() {
	w.mu.Lock()
	var procs []*Proc
	for _, p := range w.living {
		procs = append(procs, p)
	}
	w.mu.Unlock()
	for _, p := range procs {
		p.Kill(errKilled)
	}
	w.all.Wait()
}

// died forgets an incarnation.
func (w *World) died(p *Proc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.living[p.name] == p {
		delete(w.living, p.name)
		delete(w.addresses, p.name)
	}
}

func (w *World) address(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addresses[name]
}

func (w *World) setAddress(name, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses[name] = address
}
