package store

import (
	"testing"
	"time"

	"simulacrum/db/kv"
	"simulacrum/sim"
)

// Three stores elect a leader, which takes the lease, replicates a value and reads
// it back; a restart of all finds it again.
func TestPutGet(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1})
	if br := c.do(put("a", "1")); br.Err != nil {
		t.Fatal(br.Err)
	}
	br := c.do(get("a"))
	if br.Err != nil || string(br.Responses[0].(*kv.GetResponse).Value) != "1" {
		t.Fatal(br)
	}
	c.run(2 * time.Second)
	for _, n := range c.nodes {
		n.kill(true)
	}
	for _, n := range c.nodes {
		n.start(false)
	}
	for _, n := range c.nodes {
		n.await()
	}
	br = c.do(get("a"))
	if br.Err != nil || string(br.Responses[0].(*kv.GetResponse).Value) != "1" {
		t.Fatal(br)
	}
	t.Log(c.String())
}
