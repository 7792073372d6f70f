package kvclient

import (
	"testing"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// BenchmarkRemotePut is a put from a client by way of a gateway that holds the
// lease, with all events of the kernel and the network, and a store that costs
// nothing but two waits.
func BenchmarkRemotePut(b *testing.B) {
	c := newCluster(b, 1)
	client := c.procs["c1"]
	left := b.N
	db := kv.NewDB(client.remote, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for range 8 {
		client.Go("client", func(t env.Task) {
			for left > 0 {
				left--
				if _, err := db.Put(t, keys.Key("a"), nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for left > 0 && c.s.Step() {
	}
}
