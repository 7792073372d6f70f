package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/cluster"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/internal/cputime"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// BenchmarkIdleCluster is a simulated second of a cluster in three regions whose ranges
// sleep: what is left is heartbeats of nodes, their connections, and gossip. With leases of
// epochs ranges have leases all the same; after a minute connections that nobody uses are
// closed. events/node is what a node costs: it should not grow with the cluster, but for
// news, which each node tells every other.
func BenchmarkIdleCluster(b *testing.B) {
	for _, size := range []struct{ zones, nodes, ranges int }{{3, 1, 12}, {5, 2, 500}, {5, 6, 500}, {5, 6, 5000}} {
		b.Run(fmt.Sprintf("nodes=%d/ranges=%d", 3*size.zones*size.nodes, size.ranges), func(b *testing.B) {
			topology := cluster.Uniform(regions, size.zones, size.nodes, 0)
			idle(b, cluster.Config{Topology: topology, Splits: manySplits(size.ranges - 1)}, len(topology.Nodes))
		})
	}
}

// manySplits are n keys in order, of which none is like another.
func manySplits(n int) [][]byte {
	var out [][]byte
	for i := range n {
		out = append(out, fmt.Appendf(nil, "s%05d/", i+1))
	}
	return out
}

func idle(b *testing.B, cfg cluster.Config, nodes int) {
	s := sim.New(sim.Config{Seed: 1, Knobs: map[string]int64{"lease.epoch": 1}})
	defer s.Close()
	layOut(b, s, cfg)
	s.RunUntil(s.Now().Add(90 * time.Second))
	events := s.Events()
	b.ReportAllocs()
	b.ResetTimer()
	start := cputime.Used()
	for range b.N {
		s.RunUntil(s.Now().Add(time.Second))
	}
	used := cputime.Used() - start
	b.ReportMetric(float64(s.Events()-events)/float64(b.N)/float64(nodes), "events/node")
	b.ReportMetric(float64(b.N)/used.Seconds(), "sim-s/cpu-s")
}

// BenchmarkReplicatedPut is a Put of 200 bytes from client to gateway to
// leaseholder to three replicas and back, with simulated disks and network. pumps/op
// is how many turns of the bare pump (BenchmarkBarePump) the same processor time would
// buy.
func BenchmarkReplicatedPut(b *testing.B) {
	for _, clients := range []int{1, 30} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			repeat(b, oneRegion(clients), func(t env.Task, s *cluster.Session, key []byte) error {
				_, err := s.Do(t, []workloads.Op{{Kind: workloads.Put, Key: key, Value: value}}, workloads.Options{})
				return err
			})
		})
	}
}

// BenchmarkTransactionalPut is the same Put as a transaction, which commits in one phase.
func BenchmarkTransactionalPut(b *testing.B) {
	repeat(b, oneRegion(30), func(t env.Task, s *cluster.Session, key []byte) error {
		return s.DB().Txn(t, func(tx *kv.TxnHandle) error {
			_, err := tx.CommitWith(t, kv.Header{}, &kv.PutRequest{Key: append(keys.ClientStart.Clone(), key...), Value: value})
			return err
		})
	})
}

// BenchmarkTransactions are transactions of three operations, in conversation: two reads
// and a write, in two ranges.
func BenchmarkTransactions(b *testing.B) {
	repeat(b, oneRegion(30), func(t env.Task, s *cluster.Session, key []byte) error {
		_, err := s.Txn(t, workloads.TxnOptions{}, func(tx workloads.Tx) error {
			for _, op := range []workloads.Op{{Kind: workloads.Get, Key: []byte("s00/other")}, {Kind: workloads.Get, Key: key}, {Kind: workloads.Put, Key: key, Value: value}} {
				if _, err := tx.Do(t, op); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
}

// BenchmarkCommitLatency is the virtual time of a transaction that writes three ranges
// with leaseholders in three regions: committed in parallel with its writes, and in two phases.
// In conversation the writes come one by one, and the time is that of the commit.
func BenchmarkCommitLatency(b *testing.B) {
	for _, conversation := range []bool{false, true} {
		for _, parallel := range []int64{1, 0} {
			b.Run(fmt.Sprintf("conversation=%t/parallel=%d", conversation, parallel), func(b *testing.B) { commitLatency(b, conversation, parallel) })
		}
	}
}

func commitLatency(b *testing.B, conversation bool, parallel int64) {
	s := sim.New(sim.Config{Seed: 1, Knobs: map[string]int64{"txn.parallel_commit": parallel}})
	defer s.Close()
	c := layOut(b, s, cluster.Config{Topology: cluster.Uniform(regions, 1, 1, 1), Splits: splits(11)})
	var spent time.Duration
	done := 0
	c.Clients()[0].Run(func(t env.Task, cl *cluster.Session) {
		for n := 0; ; n++ {
			from := s.Now()
			err := cl.DB().Txn(t, func(tx *kv.TxnHandle) error {
				var puts []kv.Request
				for r := range 3 {
					puts = append(puts, &kv.PutRequest{Key: append(keys.ClientStart.Clone(), fmt.Appendf(nil, "s%02d/%d", r*3, n)...), Value: value})
				}
				for conversation && len(puts) > 0 {
					if _, err := tx.Batch(t, kv.Header{}, puts[0]); err != nil {
						return err
					}
					puts = puts[1:]
					from = s.Now()
				}
				_, err := tx.CommitWith(t, kv.Header{}, puts...)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			if n > 10 {
				spent += time.Duration(s.Now() - from)
				if done++; done == b.N {
					s.Halt()
				}
			}
		}
	})
	s.RunUntil(s.Now().Add(time.Hour))
	b.ReportMetric(float64(spent.Milliseconds())/float64(max(done, 1)), "virtual-ms/op")
}

var value = make([]byte, 200)

// oneRegion is a cluster of three nodes in one region, and clients.
func oneRegion(clients int) cluster.Config {
	return cluster.Config{Topology: cluster.Uniform(regions[:1], 3, 1, clients), Splits: splits(11)}
}

// repeat measures op, which all clients do over and over, each on keys of its own.
func repeat(b *testing.B, cfg cluster.Config, op func(t env.Task, s *cluster.Session, key []byte) error) {
	s := sim.New(sim.Config{Seed: 1})
	defer s.Close()
	c := layOut(b, s, cfg)
	done, want := 0, 0
	for i, cl := range c.Clients() {
		cl.Run(func(t env.Task, session *cluster.Session) {
			for n := 0; ; n++ {
				if err := op(t, session, fmt.Appendf(nil, "s%02d/%d/%d", i%12, i, n%100)); err != nil {
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
		b.Fatalf("%d of %d done", done-before, b.N)
	}
	b.ReportMetric(float64(s.Events()-events)/float64(b.N), "events/op")
	b.ReportMetric(float64(used)/float64(b.N)/float64(pump), "pumps/op")
	b.ReportMetric(float64(b.N)/used.Seconds(), "op/cpu-s")
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
