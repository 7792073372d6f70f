package invariants_test

import (
	"errors"
	"testing"
	"time"

	"simulacrum/checker/history"
	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// What a transaction committed is a version, at its commit timestamp and once; what it
// rolled back, as a whole or to a savepoint, is none.
func TestVersionsOfTransactions(t *testing.T) {
	s := sim.New(sim.Config{Seed: 3})
	defer s.Close()
	w := invariants.New()
	c := cluster.New(s, cluster.Config{Topology: cluster.Uniform([]string{"us-east"}, 3, 1, 1), MaxOffset: 500 * time.Millisecond, Observer: w})
	w.Attach(c)
	c.Boot()
	put := func(key, value string) workloads.Op {
		return workloads.Op{Kind: workloads.Put, Key: []byte(key), Value: []byte(value)}
	}
	want := map[string]history.Timestamp{}
	c.Clients()[0].Run(func(task env.Task, client *cluster.Session) {
		for len(want) < 2 {
			res, err := client.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
				if _, err := tx.Do(task, put("a", "1")); err != nil {
					return err
				}
				save, err := tx.Savepoint(task)
				if err != nil {
					return err
				}
				if _, err := tx.Do(task, put("a", "2"), put("c", "2")); err != nil {
					return err
				}
				if err := tx.RollbackTo(task, save); err != nil {
					return err
				}
				_, err = tx.Do(task, put("b", "3"))
				return err
			})
			if err == nil {
				ts := history.Timestamp{Wall: res.Commit.Wall, Logical: res.Commit.Logical}
				want["a"], want["b"] = ts, ts
			}
		}
		_, _ = client.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
			if _, err := tx.Do(task, put("a", "4"), put("d", "4")); err != nil {
				return err
			}
			return errors.New("changed its mind")
		})
	})
	s.RunUntil(sim.Time(30 * time.Second))
	for _, f := range s.Findings() {
		t.Fatalf("%s\n%s", &f, f.Stack)
	}
	got := map[string]history.Timestamp{}
	for _, v := range w.Versions() {
		if _, twice := got[v.Key]; twice {
			t.Errorf("%s has another version at %v", v.Key, v.TS)
		}
		got[v.Key] = v.TS
		if value := map[string]int64{"a": 1, "b": 3}[v.Key]; !v.Value.Equal(history.Int(value)) {
			t.Errorf("%s has %v", v.Key, v.Value)
		}
	}
	if len(got) != 2 || got["a"] != want["a"] || got["b"] != want["b"] {
		t.Errorf("versions are %v, want %v", got, want)
	}
	for _, n := range w.Verdicts()[0].Counts {
		if n.Name == "intents never resolved" && n.N != 0 {
			t.Errorf("%d intents are left", n.N)
		}
	}
}
