package mvcc

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// BenchmarkEngine measures reads and writes of versions: 1,000 keys, 64 bytes.
func BenchmarkEngine(b *testing.B) {
	names := make([]keys.Key, 1000)
	for n := range names {
		names[n] = keys.Key(fmt.Sprintf("key%06d", n))
	}
	val := make([]byte, 64)
	b.Run("put", func(b *testing.B) {
		withEngine(b, 1, func(t env.Task, eng *storage.Engine) {
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n++ {
				var batch storage.Batch
				w := Writer{Reader: eng, Batch: &batch}
				if err := w.Put(names[n%1000], hlc.Timestamp{Wall: int64(n + 1)}, val); err != nil {
					b.Fatal(err)
				}
				eng.Commit(&batch, false, nil)
				if n%256 == 255 {
					_ = t.Sleep(time.Microsecond)
				}
			}
			b.StopTimer()
		})
	})
	b.Run("get", func(b *testing.B) {
		withEngine(b, 1, func(_ env.Task, eng *storage.Engine) {
			var batch storage.Batch
			w := Writer{Reader: eng, Batch: &batch}
			for _, k := range names {
				if err := w.Put(k, hlc.Timestamp{Wall: 1}, val); err != nil {
					b.Fatal(err)
				}
			}
			eng.Commit(&batch, false, nil)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n++ {
				if v, err := Get(eng, names[n%1000], hlc.Timestamp{Wall: 5}); err != nil || !v.Exists {
					b.Fatal(err)
				}
			}
			b.StopTimer()
		})
	})
}
