package sharing

import (
	"errors"
	"strings"
	"testing"

	"simulacrum/sim/env"
)

type world struct{ now int }

type peer struct{ name string }

type node struct {
	w     *world
	peers map[string]*peer
	log   []byte
	any   any
	next  *node
	empty *struct{}
	err   error
	knob  *env.Knob
	last  *int
	fixed [2]*peer
}

var (
	errShared = errors.New("shared")
	knob      = env.Knob{Name: "k"}
)

func fresh(w *world) *node {
	n := &node{w: w, peers: map[string]*peer{"a": {"a"}}, log: make([]byte, 8, 16), any: &peer{"b"}, empty: &struct{}{}, err: errShared, knob: &knob}
	n.next = n
	return n
}

// Two nodes that share only what is immutable, or allowed, share nothing; each way
// to share memory is reported with both paths.
func TestBetween(t *testing.T) {
	for _, c := range []struct {
		name  string
		share func(a, b *node)
		want  string // "" for nothing
	}{
		{"nothing", func(a, b *node) {}, ""},
		{"a value of a map", func(a, b *node) { b.peers["z"] = a.peers["a"] }, "a.peers[...] and b.peers[...]"},
		{"a map", func(a, b *node) { b.peers = a.peers }, "a.peers and b.peers"},
		{"a slice's array", func(a, b *node) { b.log = a.log[4:] }, "a.log and b.log"},
		{"the room behind a slice", func(a, b *node) { b.log = a.log[8:12] }, "a.log and b.log"},
		{"behind an interface", func(a, b *node) { b.any = a.any }, "a.any and b.any"},
		{"behind different types", func(a, b *node) { b.any = &a.log }, "b.any"},
		{"a pointer into the other", func(a, b *node) { b.last = &a.fixedCount().now }, "b.last"},
		{"an element of an array", func(a, b *node) { a.fixed[1] = b.any.(*peer) }, "a.fixed[1] and b.any"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{}
			a, b := fresh(w), fresh(w)
			c.share(a, b)
			got := Between(a, b, Allow[*world]("the kernel"))
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("reported %v", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), c.want)):
				t.Errorf("got %v, want one with %q", got, c.want)
			}
		})
	}
}

// fixedCount gives a block of a's own that holds more than what is pointed to.
func (n *node) fixedCount() *world {
	big := &struct {
		pad [3]int
		w   world
	}{}
	n.any = big
	return &big.w
}

// What is not allowed is reported, the kernel too.
func TestNotAllowed(t *testing.T) {
	w := &world{}
	if got := Between(fresh(w), fresh(w)); len(got) != 1 || !strings.Contains(got[0].String(), "*sharing.world is shared: a.w and b.w") {
		t.Errorf("got %v", got)
	}
}
