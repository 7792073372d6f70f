package store

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// BenchmarkPut is one replicated Put through three stores, each with its engine and
// disk, messages passed by reference; the figure to compare with is a bare pump of
// three RawNodes, 5.4 µs.
func BenchmarkPut(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			c := newCluster(b, 3, sim.Config{Seed: 1})
			c.byReference = true
			c.do(put("a", "1"))
			n := c.holder()
			left, running := 0, 0
			value := make([]byte, 64)
			start := func(i int) {
				running++
				k := key(fmt.Sprintf("key%d", i))
				n.proc.Go("client", func(t env.Task) {
					for ; left > 0; left-- {
						br := n.store.Send(t, &kv.BatchRequest{Header: kv.Header{RangeID: 1}, Requests: []kv.Request{&kv.PutRequest{Key: k, Value: value}}})
						if br.Err != nil {
							b.Error(br.Err)
						}
					}
					running--
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			left = b.N
			events, at := c.sim.Events(), c.sim.Now()
			for i := 0; i < clients; i++ {
				start(i)
			}
			c.until(time.Hour, func() bool { return running == 0 })
			b.ReportMetric(float64(c.sim.Events()-events)/float64(b.N), "events/op")
			b.ReportMetric(float64(c.sim.Now()-at)/float64(b.N)/1e3, "virtual-µs/op")
		})
	}
}
