package main

import (
	"fmt"
	"os"
	"time"
)

// progress is the one line on stderr that tells how far a sweep is. Off a terminal
// it prints nothing.
type progress struct {
	app      *app
	total    int
	start    time.Time
	last     time.Time
	finished int
	failed   int
}

// progressEvery is the least time between two changes of the line.
const progressEvery = 200 * time.Millisecond

func newProgress(a *app, total int) *progress {
	return &progress{app: a, total: total, start: a.now()}
}

// done counts a run. The caller sees to it that only one calls at a time.
func (p *progress) done(r *result) {
	p.finished++
	if r.Exit != exitOK {
		p.failed++
	}
	now := p.app.now()
	if !p.app.live || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	left := time.Duration(float64(now.Sub(p.start)) / float64(p.finished) * float64(p.total-p.finished))
	fmt.Fprintf(p.app.stderr, "\r%d of %d runs, %d not ok, %v left \x1b[K", p.finished, p.total, p.failed, left.Round(time.Second))
}

// end removes the line.
func (p *progress) end() {
	if p.app.live && !p.last.IsZero() {
		fmt.Fprint(p.app.stderr, "\r\x1b[K")
	}
}

// terminal reports whether f is one, or another device on which a line that
// rewrites itself does no harm.
func terminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
