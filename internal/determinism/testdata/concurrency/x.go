// Claim: whatever hands control to the Go scheduler is reported, and each report
// names what to use instead.
package concurrency

import (
	"iter"
	"sync"        // want "import of sync: .*env.Semaphore"
	"sync/atomic" // want "import of sync/atomic"
)

type shared struct {
	mu sync.Mutex
	n  atomic.Int64
	c  chan int // want "channel type: .*env.Queue"
}

func control(s *shared, seq iter.Seq[int]) {
	go control(s, seq) // want "go statement: .*Env.Go"
	select {           // want "select:"
	case v := <-s.c: // want "channel receive"
		_ = v
	default:
	}
	s.c <- 1        // want "channel send"
	for range s.c { // want "range over a channel"
	}
	defer func() {
		_ = recover() // want "recover: .*only the kernel"
	}()
	next, stop := iter.Pull(seq) // want "iter.Pull: coroutines belong to the kernel"
	_, _ = next, stop
}
