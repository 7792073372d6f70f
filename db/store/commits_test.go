package store

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"simulacrum/db/keys"
	"simulacrum/sim"
)

// behind is how many followers have not applied what the leader has.
func (c *cluster) behind() (n int) {
	want := c.leader().store.Replica(1).State().AppliedIndex
	for _, o := range c.nodes {
		if o.store.Replica(1).State().AppliedIndex < want {
			n++
		}
	}
	return n
}

// A commit index that no entries follow reaches the followers after the delay, in
// one message for each of them; one that entries follow travels with them.
func TestCommitIndexIsTold(t *testing.T) {
	const delay = 100 * time.Millisecond
	c := newCluster(t, 3, sim.Config{Seed: 1, Knobs: map[string]int64{"raft.commit.delay": int64(delay)}})
	c.do(put("a", "0"))
	c.run(2 * delay)
	if n := c.behind(); n > 0 {
		t.Fatalf("%d followers are behind after the delay", n)
	}
	sent := c.sent
	for i := range 10 {
		c.do(put("a", fmt.Sprint(i)))
	}
	if n := c.behind(); n != 2 {
		t.Fatalf("%d followers are behind the last of the commits, want 2", n)
	}
	last := c.leader().store.Replica(1).State().AppliedIndex
	for _, n := range c.nodes {
		if at := n.store.Replica(1).State().AppliedIndex; at+2 < last {
			t.Errorf("n%d has applied %d of %d: entries did not carry the commit index", n.id, at, last)
		}
	}
	// An append and an answer for each follower and put; told at once, twice as many.
	if n := c.sent - sent; n > 10*2*2+6 {
		t.Errorf("%d messages for 10 puts", n)
	}
	c.run(2 * delay)
	if n := c.behind(); n > 0 {
		t.Fatalf("%d followers are behind after the delay", n)
	}
}

// Term and vote are written when they change, and not beside each entry.
func TestHardStateIsWrittenSeldom(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1})
	c.do(put("a", "0"))
	read := func(n *node) []byte {
		v, ok, err := n.engine.Get(keys.HardStateKey(1))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return v
	}
	var before [][]byte
	for _, n := range c.nodes {
		before = append(before, read(n))
	}
	for i := range 5 {
		c.do(put("a", fmt.Sprint(i)))
	}
	for i, n := range c.nodes {
		if !bytes.Equal(before[i], read(n)) {
			t.Errorf("n%d wrote its hard state, though nobody voted", n.id)
		}
	}
}
