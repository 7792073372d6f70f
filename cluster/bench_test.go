package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/cluster"
	"simulacrum/internal/cputime"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// BenchmarkIdleCluster is a simulated second of nine nodes in three regions whose
// twelve ranges sleep: what is left is heartbeats of nodes and of leases.
func BenchmarkIdleCluster(b *testing.B) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	layOut(b, s, cluster.Config{Topology: cluster.Uniform(regions, 3, 1, 0), Splits: splits(11)})
	s.RunUntil(s.Now().Add(20 * time.Second))
	events := s.Events()
	b.ReportAllocs()
	b.ResetTimer()
	start := cputime.Used()
	for range b.N {
		s.RunUntil(s.Now().Add(time.Second))
	}
	used := cputime.Used() - start
	b.ReportMetric(float64(s.Events()-events)/float64(b.N), "events/op")
	b.ReportMetric(float64(b.N)/used.Seconds(), "sim-s/cpu-s")
}

// BenchmarkReplicatedPut is a Put of 200 bytes from client to gateway to
// leaseholder to three replicas and back, with simulated disks and network. pumps/op
// is how many turns of the bare pump (BenchmarkBarePump) the same processor time would
// buy.
func BenchmarkReplicatedPut(b *testing.B) {
	for _, clients := range []int{1, 30} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := sim.New(sim.Config{Seed: 1})
			defer s.Close()
			c := layOut(b, s, cluster.Config{Topology: cluster.Uniform(regions[:1], 3, 1, clients), Splits: splits(11)})
			done, want := 0, 0
			value := make([]byte, 200)
			for i, cl := range c.Clients() {
				cl.Run(func(t env.Task, kv *cluster.Session) {
					for n := 0; ; n++ {
						key := fmt.Appendf(nil, "s%02d/%d", i%12, n%100)
						if _, err := kv.Do(t, []workloads.Op{{Kind: workloads.Put, Key: key, Value: value}}, workloads.Options{}); err != nil {
							b.Fatal(err)
						}
						if done++; done == want {
							s.Halt()
						}
					}
				})
			}
			s.RunUntil(s.Now().Add(2 * time.Second))
			pump := cluster.TimePump(b, 200) // before and after: other work on the machine comes and goes
			events, before := s.Events(), done
			want = before + b.N
			b.ReportAllocs()
			b.ResetTimer()
			start := cputime.Used()
			s.RunUntil(s.Now().Add(time.Hour))
			used := cputime.Used() - start
			b.StopTimer()
			pump = (pump + cluster.TimePump(b, 200)) / 2
			if done != want {
				b.Fatalf("%d of %d written", done-before, b.N)
			}
			b.ReportMetric(float64(s.Events()-events)/float64(b.N), "events/op")
			b.ReportMetric(float64(used)/float64(b.N)/float64(pump), "pumps/op")
		})
	}
}

// splits cuts the clients' keys into n+1 ranges.
func splits(n int) [][]byte {
	var out [][]byte
	for i := range n {
		out = append(out, fmt.Appendf(nil, "s%02d/", i+1))
	}
	return out
}

// layOut boots a cluster without observers and waits until it serves.
func layOut(b *testing.B, s *sim.Sim, cfg cluster.Config) *cluster.Cluster {
	cfg.MaxOffset = 500 * time.Millisecond
	cfg.Disk = disk.Config{Profile: disk.NVMe()}
	c := cluster.New(s, cfg)
	c.Boot()
	for s.Now() < sim.Time(10*time.Second) && !c.Ready() {
		s.RunUntil(s.Now().Add(100 * time.Millisecond))
	}
	if !c.Ready() {
		b.Fatalf("not ready after %s; findings %v", s.Now(), s.Findings())
	}
	return c
}
