package main

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"
)

// sweeping is the state that the workers of one sweep share.
type sweeping struct {
	app      *app
	opts     *options
	store    *store
	trials   []trial // in the order in which they are run
	deadline time.Time
	progress *progress

	mu      sync.Mutex
	next    int
	results map[trial]*result
	reused  int
	err     error
}

// sweep makes all runs that are asked for, and prints what they gave. An error
// means that the sweep itself could not go on.
func (a *app) sweep(o *options) (int, error) {
	hash, err := a.build()
	if err != nil {
		return 0, err
	}
	s := &sweeping{app: a, opts: o, results: map[trial]*result{}, trials: o.trials()}
	if s.store, err = openStore(filepath.Join(o.Out, "sweep-"+hash+".jsonl")); err != nil {
		return 0, err
	}
	defer s.store.Close()
	start := a.now()
	if o.budget > 0 {
		s.deadline = start.Add(o.budget)
	}
	s.progress = newProgress(a, len(s.trials))
	var wg sync.WaitGroup
	for range o.jobs {
		wg.Go(s.work)
	}
	wg.Wait()
	s.progress.end()
	if s.err != nil {
		return 0, s.err
	}
	sum := s.summarize(a.now().Sub(start))
	if o.json {
		return sum.Exit, s.printLines(sum)
	}
	return sum.Exit, s.print(sum)
}

// trials lists the runs of a sweep: seed by seed, each in every scenario, unless
// shuffled.
func (o *options) trials() []trial {
	prints := make([]string, len(o.scenarios))
	for i, name := range o.scenarios {
		q := o.request
		q.Scenario = name
		prints[i] = fingerprint(q, o.twice)
	}
	var list []trial
	for seed := o.first; ; seed++ {
		for i, name := range o.scenarios {
			list = append(list, trial{name, seed, prints[i]})
		}
		if seed == o.last {
			break
		}
	}
	if o.shuffle != nil {
		r := rand.New(rand.NewPCG(*o.shuffle, 0))
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

func (s *sweeping) take() (trial, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.next == len(s.trials) || !s.deadline.IsZero() && !s.app.now().Before(s.deadline) {
		return trial{}, false
	}
	s.next++
	return s.trials[s.next-1], true
}

func (s *sweeping) work() {
	for {
		t, ok := s.take()
		if !ok {
			return
		}
		r, reused := s.store.get(t)
		var err error
		if !reused {
			r, err = s.make(t)
		}
		s.mu.Lock()
		if err != nil && s.err == nil {
			s.err = err
		}
		if err == nil {
			s.results[t] = r
			if reused {
				s.reused++
			}
			s.progress.done(r)
		}
		s.mu.Unlock()
	}
}

// make runs one trial and keeps the result.
func (s *sweeping) make(t trial) (*result, error) {
	q := s.opts.request
	q.Scenario, q.Seed, q.Failures = t.Scenario, t.Seed, true
	q.Out = filepath.Join(s.opts.Out, folder(q))
	r, err := s.app.once(q, s.opts.twice)
	if err != nil {
		return nil, err
	}
	return r, s.store.put(t, r)
}
