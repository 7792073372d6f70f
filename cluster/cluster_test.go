package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
	"simulacrum/workloads"
)

var regions = []string{"us-east", "us-west", "europe-west"}

// boot returns a cluster of three regions that serves, watched by invariants.
func boot(tb testing.TB, s *sim.Sim, zones, clients int, splits ...string) (*cluster.Cluster, *invariants.Watcher) {
	w := invariants.New()
	cfg := cluster.Config{
		Topology: cluster.Uniform(regions, zones, 1, clients), MaxOffset: 500 * time.Millisecond,
		Network: network.Config{Decode: true}, Observer: w,
	}
	for _, k := range splits {
		cfg.Splits = append(cfg.Splits, []byte(k))
	}
	c := cluster.New(s, cfg)
	w.Attach(c)
	c.Boot()
	for s.Now() < sim.Time(10*time.Second) && !c.Ready() {
		s.RunUntil(s.Now().Add(100 * time.Millisecond))
	}
	if !c.Ready() {
		tb.Fatalf("not ready after %s; findings %v", s.Now(), s.Findings())
	}
	return c, w
}

func TestFirstWriteGoesThroughEveryLayer(t *testing.T) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	c, w := boot(t, s, 1, 1, "m")
	var log []string
	c.Clients()[0].Run(func(task env.Task, kv *cluster.Session) {
		for _, key := range []string{"a", "z"} {
			_, err := kv.Do(task, []workloads.Op{{Kind: workloads.Put, Key: []byte(key), Value: []byte("7")}}, workloads.Options{})
			log = append(log, fmt.Sprint(key, " put ", err))
			res, err := kv.Do(task, []workloads.Op{{Kind: workloads.Get, Key: []byte(key)}}, workloads.Options{})
			if err != nil {
				log = append(log, err.Error())
				continue
			}
			log = append(log, fmt.Sprintf("%s = %s", key, res.Ops[0].Value))
		}
	})
	s.RunUntil(sim.Time(30 * time.Second))
	if want := "[a put <nil> a = 7 z put <nil> z = 7]"; fmt.Sprint(log) != want {
		t.Errorf("got %v, want %s", log, want)
	}
	w.CompareReplicas()
	for _, v := range w.Verdicts() {
		t.Log(v)
	}
	for _, f := range s.Findings() {
		t.Errorf("%s\n%s", &f, f.Stack)
	}
}
