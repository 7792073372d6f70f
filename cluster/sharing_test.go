package cluster_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/cluster"
	"simulacrum/db/replica"
	"simulacrum/db/rpc"
	"simulacrum/internal/sharing"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
	"simulacrum/workloads"
)

// simulated is what stands for the hardware: nodes reach each other only through
// it, by design.
var simulated = []sharing.Allowed{
	sharing.Allow[env.Env]("the simulator's side of a process"),
	sharing.Allow[env.Process]("the same"),
	sharing.Allow[env.Conn]("a connection has two ends"),
	sharing.Allow[env.Task]("tasks belong to the kernel"),
	sharing.Allow[vfs.FS]("the disk, which knows the kernel"),
	sharing.Allow[vfs.File]("the same"),
	sharing.Allow[replica.Observer]("the invariants look into every node"),
	sharing.Allow[*rpc.Kind]("declared once, nothing assigns to it"),
}

// worked is a cluster of three nodes on which clients have written, read and
// scanned, in transactions and without, and of which one node came back from a crash.
func worked(t *testing.T, decode bool) *cluster.Cluster {
	s := sim.New(sim.Config{Seed: 3})
	t.Cleanup(s.Close)
	c := cluster.New(s, cluster.Config{
		Topology: cluster.Uniform(regions, 1, 1, 2), MaxOffset: 500 * time.Millisecond,
		Splits: [][]byte{[]byte("h"), []byte("p")}, Network: network.Config{Decode: decode},
	})
	c.Boot()
	for _, cl := range c.Clients() {
		cl.Run(func(t env.Task, kv *cluster.Session) {
			for i := 0; ; i++ {
				key := []byte(fmt.Sprintf("%c%d", 'a'+i%26, i%7))
				op := workloads.Op{Kind: workloads.Put, Key: key, Value: []byte("value")}
				switch i % 4 {
				case 1:
					op = workloads.Op{Kind: workloads.Get, Key: key}
				case 2:
					op = workloads.Op{Kind: workloads.Scan, Key: []byte("a"), End: []byte("c")}
				case 3:
					op = workloads.Op{Kind: workloads.CPut, Key: key, Value: []byte("other"), Expect: []byte("value")}
				}
				if i%8 > 4 { // the same in a transaction, with a second key and a pause
					_, _ = kv.Txn(t, workloads.TxnOptions{Name: "worked"}, func(tx workloads.Tx) error {
						if _, err := tx.Do(t, op); err != nil {
							return err
						}
						_ = t.Sleep(time.Duration(i%3) * 100 * time.Millisecond)
						_, err := tx.Do(t, workloads.Op{Kind: workloads.Increment, Key: []byte(fmt.Sprintf("n%d", i%5)), Delta: 1})
						return err
					})
					continue
				}
				_, _ = kv.Do(t, []workloads.Op{op}, workloads.Options{})
			}
		})
	}
	s.RunUntil(sim.Time(10 * time.Second))
	c.Crash("n2")
	s.RunUntil(sim.Time(14 * time.Second))
	c.Start("n2")
	s.RunUntil(sim.Time(20 * time.Second))
	for _, f := range s.Findings() {
		t.Fatalf("%s\n%s", &f, f.Stack)
	}
	if !c.Ready() {
		t.Fatal("not all nodes serve")
	}
	return c
}

// between is what any two nodes share beyond what is allowed.
func between(c *cluster.Cluster, allowed []sharing.Allowed) []sharing.Sharing {
	var all []sharing.Sharing
	for i, a := range c.Nodes() {
		for _, b := range c.Nodes()[:i] {
			all = append(all, sharing.Between(b.Server(), a.Server(), allowed...)...)
		}
	}
	return all
}

// Where messages are decoded, no memory of the database is shared by two nodes.
func TestNodesShareNothing(t *testing.T) {
	for _, s := range between(worked(t, true), simulated) {
		t.Error(s)
	}
}

// messages is what came in a message that was not decoded, and may stay: where in a
// server it is kept, and why nothing changes it.
var messages = []struct{ path, reason string }{
	{`(log\.cache\[\d+\]\.Data|proposals\.pending\[\d+\]\.data)$`, "data of raft entries: logs copy the slices that hold entries, and nothing writes to data"},
	{`(sessions\.(open|ended)\.root\..*\.answer\..*|(finished\[\d+\]|wait)\.Txn\.Key|inFlight\[\d+\]\.Key|[tT]xn\.Observed|txn\.TxnMeta\.Key|reads\.pages\[\d+\]\..*\.key|(mems\[\d+\]|frontMem\.m)\.data|latches\.points\.root\..*\.span\.Key)$`,
		"keys and values that a transaction asked for or was answered: whoever keeps one never writes to it"},
	{`\.(info\.Value|own\[\.\.\.\]\.value)$`, "values of infos: whoever published one never writes to it"},
	{`(state\.Desc|cache\.entries\[\d+\]\.desc|router\.firstSeen)$`, "range descriptors that came with an answer: a changed range gets a new one"},
}

// Where messages are not decoded, what is shared came in one and is never changed.
func TestNodesShareOnlyMessages(t *testing.T) {
	count := make([]int, len(messages))
next:
	for _, s := range between(worked(t, false), simulated) {
		for i, m := range messages {
			in := regexp.MustCompile(m.path)
			if in.MatchString(s.A) && in.MatchString(s.B) {
				count[i]++
				continue next
			}
		}
		t.Error(s)
	}
	for i, m := range messages {
		if t.Logf("%d times %s", count[i], m.reason); count[i] == 0 {
			t.Errorf("nothing is shared at %s any more: take it off the list", m.path)
		}
	}
}
