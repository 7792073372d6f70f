package mvcc

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
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

// BenchmarkTxn measures what intents cost: writing one and resolving it, reading an
// own one, and scanning 1,000 keys without and with intents of the reader.
func BenchmarkTxn(b *testing.B) {
	names := make([]keys.Key, 1000)
	for n := range names {
		names[n] = keys.Key(fmt.Sprintf("key%06d", n))
	}
	all := keys.Span{Key: keys.Key("key"), EndKey: keys.Key("kez")}
	val := make([]byte, 64)
	fill := func(eng *storage.Engine, txn *kv.Txn, ts hlc.Timestamp) {
		var batch storage.Batch
		w := Writer{Reader: eng, Batch: &batch, Txn: txn}
		for _, k := range names {
			if err := w.Put(k, ts, val); err != nil {
				b.Fatal(err)
			}
		}
		eng.Commit(&batch, false, nil)
	}
	b.Run("put+resolve", func(b *testing.B) {
		withEngine(b, 1, func(t env.Task, eng *storage.Engine) {
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n++ {
				ts := hlc.Timestamp{Wall: int64(n + 1)}
				txn := kv.NewTxn(kv.TxnID{1}, "", 1, ts, ts)
				var batch, ended storage.Batch
				w := Writer{Reader: eng, Batch: &batch, Txn: txn}
				if err := w.Put(names[n%1000], ts, val); err != nil {
					b.Fatal(err)
				}
				eng.Commit(&batch, false, nil)
				w = Writer{Reader: eng, Batch: &ended}
				u := kv.LockUpdate{Txn: txn.TxnMeta, Status: kv.Committed}
				if ok, err := w.ResolveIntent(names[n%1000], u); !ok || err != nil {
					b.Fatal(err)
				}
				eng.Commit(&ended, false, nil)
				if n%256 == 255 {
					_ = t.Sleep(time.Microsecond)
				}
			}
			b.StopTimer()
		})
	})
	b.Run("get-own-intent", func(b *testing.B) {
		withEngine(b, 1, func(_ env.Task, eng *storage.Engine) {
			txn := kv.NewTxn(kv.TxnID{1}, "", 1, hlc.Timestamp{Wall: 5}, hlc.Timestamp{Wall: 5})
			fill(eng, txn, txn.ReadTS)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n++ {
				if v, err := GetWith(eng, names[n%1000], txn.ReadTS, ReadOptions{Txn: txn}); err != nil || !v.Exists {
					b.Fatal(err)
				}
			}
			b.StopTimer()
		})
	})
	for _, intents := range []bool{false, true} {
		b.Run(fmt.Sprintf("scan-1000/intents=%v", intents), func(b *testing.B) {
			withEngine(b, 1, func(_ env.Task, eng *storage.Engine) {
				fill(eng, nil, hlc.Timestamp{Wall: 1})
				txn := kv.NewTxn(kv.TxnID{1}, "", 1, hlc.Timestamp{Wall: 5}, hlc.Timestamp{Wall: 5})
				if intents {
					fill(eng, txn, txn.ReadTS)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for n := 0; n < b.N; n++ {
					rows, _, err := ScanWith(eng, all, txn.ReadTS, Limit{}, ReadOptions{Txn: txn})
					if err != nil || len(rows) != 1000 {
						b.Fatal(len(rows), err)
					}
				}
				b.StopTimer()
			})
		})
	}
}
