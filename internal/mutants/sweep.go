package main

import (
	"sync"
)

// Block is the sweep of one block of seeds, up to the first catch.
type Block struct {
	First  *Outcome // the catching outcome with the lowest seed, or nil
	Depth  uint64   // seeds from the block's start to First, itself included
	Tried  int      // runs that were needed, in the order of seeds
	Errors []Outcome
	Doubts []Outcome // catches that do not count: the unpatched build fails there too
}

// confirm says whether a catch counts.
type confirm func(Outcome) (bool, error)

// SweepBlock runs seeds start .. start+n-1, each in every scenario, with jobs
// workers. It stops at the first catch that counts. Which one that is does not
// depend on the number of workers: runs with lower seeds are waited for.
func SweepBlock(r *Runs, scenarios []string, start uint64, n, jobs int, counts confirm) (Block, error) {
	s := &sweep{runs: r, counts: counts, outcomes: map[int]Outcome{}, doubtful: map[int]bool{}}
	for i := range n {
		for _, name := range scenarios {
			s.trials = append(s.trials, Trial{name, start + uint64(i)})
		}
	}
	s.stop = len(s.trials)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(s.work)
	}
	wg.Wait()
	if s.err != nil {
		return Block{}, s.err
	}
	return s.block(start), nil
}

// sweep is the state that the workers of one block share.
type sweep struct {
	runs   *Runs
	trials []Trial
	counts confirm

	mu       sync.Mutex
	next     int // first trial not handed out
	stop     int // no trial from here on matters; the catch is the one before
	caught   bool
	outcomes map[int]Outcome
	doubtful map[int]bool
	err      error
}

func (s *sweep) take() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.next >= s.stop {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

func (s *sweep) work() {
	for {
		i, ok := s.take()
		if !ok {
			return
		}
		o, err := s.runs.Run(s.trials[i])
		counts := false
		if err == nil && o.Caught() {
			counts, err = s.counts(o)
		}
		s.mu.Lock()
		s.outcomes[i] = o
		s.doubtful[i] = o.Caught() && !counts
		if counts && i < s.stop {
			s.stop, s.caught = i+1, true
		}
		if err != nil && s.err == nil {
			s.err = err
		}
		s.mu.Unlock()
	}
}

// block sums up the trials that matter.
func (s *sweep) block(start uint64) Block {
	b := Block{Tried: s.stop}
	for i := range s.stop {
		o := s.outcomes[i]
		switch {
		case s.doubtful[i]:
			b.Doubts = append(b.Doubts, o)
		case o.Error != "":
			b.Errors = append(b.Errors, o)
		}
	}
	if s.caught {
		o := s.outcomes[s.stop-1]
		b.First, b.Depth = &o, o.Seed-start+1
	}
	return b
}
