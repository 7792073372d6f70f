package store

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
)

// gcWorld is one range with an engine, and a replica that evaluates nothing but
// GCRequests. Transactions are settled by a txnWorld.
type gcWorld struct {
	w         *txnWorld
	s         *Store
	desc      *kv.RangeDescriptor
	threshold hlc.Timestamp // that the replicas have agreed on
	largest   int           // keys that one command may hold; 0: any number
	refuse    bool
	log       []string
	broken    string
}

func newGCWorld(t *testing.T, knobs map[string]int64) *gcWorld {
	w := newTxnWorld(1, knobs)
	g := &gcWorld{w: w, desc: &kv.RangeDescriptor{RangeID: 1, StartKey: keys.Min, EndKey: keys.Key("z")}}
	proc := w.s.Machine("n1", sim.MachineConfig{}).Start("n1")
	e := &nodeEnv{Proc: proc, fs: disk.New(w.s, "n1", disk.Config{}).Mount(proc)}
	g.s = &Store{cfg: Config{Env: w.s.World(), Clock: w.clock, NodeID: 1, StoreID: 1}, txns: w.x}
	proc.Go("open", func(t env.Task) {
		eng, err := storage.Open(t, e, "data", storage.Options{})
		if err != nil {
			panic(err)
		}
		g.s.cfg.Engine = eng
	})
	w.run(time.Second)
	if g.s.cfg.Engine == nil {
		t.Fatal("no engine")
	}
	g.s.gc.init(g.s)
	return g
}

func (g *gcWorld) write(of func(w *mvcc.Writer)) {
	b := g.s.cfg.Engine.NewBatch()
	of(&mvcc.Writer{Reader: g.s.cfg.Engine, Batch: b})
	g.s.cfg.Engine.Commit(b, false, nil)
}

// collect is what the queue does for the range.
func (g *gcWorld) collect() {
	q := &g.s.gc
	g.w.s.Go("collect", func(t env.Task) {
		now := g.w.clock.Now()
		c := collection{q: q, t: t, reader: g.s.cfg.Engine, desc: g.desc, now: now, threshold: now.Add(-q.ttl),
			inForce: g.threshold, mayHide: true, send: func(req *kv.GCRequest) *kv.Error { return g.send(t, req) }}
		if err := c.run(); err != nil {
			g.log = append(g.log, "ends: "+err.Kind.String())
		}
	})
	g.w.run(time.Second)
}

func (g *gcWorld) send(t env.Task, req *kv.GCRequest) *kv.Error {
	_ = t.Sleep(time.Millisecond)
	text := "GC " + req.Span().String()
	if !req.Threshold.IsEmpty() {
		text += fmt.Sprintf(" threshold %d", req.Threshold.Wall/1e9)
	}
	for _, k := range req.Keys {
		text += " " + k.Key.String()
		if !k.Timestamp.IsEmpty() {
			text += fmt.Sprintf("@%d", k.Timestamp.Wall/1e9)
		}
	}
	g.log = append(g.log, text)
	switch {
	case g.refuse:
		return kv.Errorf(kv.NotLeaseholder, "")
	case g.largest > 0 && len(req.Keys) > g.largest:
		return kv.Errorf(kv.BadRequest, "too large")
	}
	g.write(func(w *mvcc.Writer) {
		for _, k := range req.Keys {
			if _, _, ok := keys.DecodeAbortSpanKey(k.Key); ok {
				w.Batch.Delete(k.Key)
				continue
			}
			if g.threshold.Less(k.Timestamp) {
				g.broken = fmt.Sprintf("%s is removed up to %s, and followers serve reads above %s", k.Key, k.Timestamp, g.threshold)
			}
			if err := w.GC(k.Timestamp, []keys.Key{k.Key}); err != nil {
				panic(err)
			}
		}
	})
	g.threshold = g.threshold.Forward(req.Threshold)
	return nil
}

// String lists all versions, and notes.
func (g *gcWorld) String() string {
	var b strings.Builder
	it := g.s.cfg.Engine.NewIter(nil, nil)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if _, id, ok := keys.DecodeAbortSpanKey(keys.Key(it.Key())); ok {
			fmt.Fprintf(&b, "note of %s\n", kv.FormatTxnID(id))
		} else if k, v, bare, err := mvcc.DecodeVersion(it.Key(), it.Value()); err == nil && !bare {
			fmt.Fprintf(&b, "%s@%d %q %t\n", k, v.Timestamp.Wall/1e9, v.Bytes, v.Exists)
		}
	}
	return b.String()
}

// The files open with what they claim. Now is about 100 seconds, and the time to live
// 10.
//
//	new [knob=value ...]
//	put K V ts / delete K ts
//	descriptor V ts              of the range
//	record T1 STATUS ts [SPANS]  at key a, in the engine and in the txnWorld
//	note T1 ts                   in the abort span
//	collect                      prints what is asked of the range, and by cleanup
//	refuse / large N
//	state
func TestGCDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/gc", func(t *testing.T, path string) {
		var g *gcWorld
		defer func() {
			if g != nil {
				g.w.s.Close()
			}
		}()
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			if td.Cmd == "new" {
				if g != nil {
					g.w.s.Close()
				}
				knobs := map[string]int64{"gc.ttl": 10e9, "gc.abort_notes": 20e9}
				for _, a := range td.CmdArgs {
					n, err := strconv.ParseInt(a.Vals[0], 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					knobs[a.Key] = n
				}
				g = newGCWorld(t, knobs)
				return ""
			}
			var out strings.Builder
			for _, line := range strings.Split(strings.TrimSpace(td.Input), "\n") {
				out.WriteString(g.do(t, strings.Fields(line)))
				for _, l := range slices.Concat(g.log, g.w.log) {
					out.WriteString(l + "\n")
				}
				g.log, g.w.log = nil, nil
				if g.broken != "" {
					t.Error(g.broken)
				}
			}
			for _, f := range g.w.s.Findings() {
				t.Fatal(f.String())
			}
			return txnNames(out.String())
		})
	})
}

func (g *gcWorld) do(t *testing.T, f []string) string {
	id := func() kv.TxnID { n, _ := strconv.Atoi(f[1][1:]); return testTxnID(n) }
	at := func(i int) hlc.Timestamp {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatalf("%s: %s", f, err)
		}
		return txnSecond(n)
	}
	switch f[0] {
	case "put":
		g.write(func(w *mvcc.Writer) { w.PutNew(keys.Key(f[1]), at(3), []byte(f[2])) })
	case "delete":
		g.write(func(w *mvcc.Writer) {
			if _, err := w.Delete(keys.Key(f[1]), at(2)); err != nil {
				t.Fatal(err)
			}
		})
	case "descriptor":
		g.write(func(w *mvcc.Writer) { w.PutNew(keys.RangeDescriptorKey(g.desc.StartKey), at(2), []byte(f[1])) })
	case "record":
		txn := kv.NewTxn(id(), "", 5, at(3), at(3))
		txn.Key, txn.Status = keys.Key("a"), txnStatus(f[2])
		if len(f) > 4 {
			txn.LockSpans = txnSpans(f[4])
		}
		g.w.records[txn.ID] = txn
		g.write(func(w *mvcc.Writer) {
			k := mvcc.EncodeKey(nil, keys.TxnRecordKey(txn.Key, txn.ID), hlc.Timestamp{})
			w.Batch.Put(k, replica.EncodeRecord(k, txn))
		})
	case "note":
		g.write(func(w *mvcc.Writer) {
			note := replica.AbortNote{Anchor: keys.Key("a"), WriteTS: txnSecond(1), At: at(2)}
			w.Batch.Put(keys.AbortSpanKey(1, id()), note.Encode(nil))
		})
	case "collect":
		g.collect()
	case "refuse":
		g.refuse = true
	case "large":
		g.largest, _ = strconv.Atoi(f[1])
	case "state":
		return g.String()
	default:
		t.Fatalf("unknown command: %s", f)
	}
	return ""
}

// A pass is made when its time has come, for ranges whose lease the store has, and owns
// no task afterwards.
func TestGCPace(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1, Knobs: map[string]int64{"gc.ttl": 1e9, "gc.interval": 10e9, "raft.quiesce.ticks": 1 << 30}})
	c.do(put("a", "1"))
	c.do(put("a", "2"))
	asked := func() int64 { return c.sim.ProbeCount(probeGCRaised) + c.sim.ProbeCount(probeGCRefused) }
	n := c.holder()
	due := n.store.gc.next
	for n.proc.Mono() < due {
		if asked() > 0 {
			t.Fatalf("a pass %s before its time", due-n.proc.Mono())
		}
		c.run(100 * time.Millisecond)
	}
	c.run(2 * time.Second)
	if n := asked(); n != 1 {
		t.Fatalf("%d ranges were asked, and one node has the lease", n)
	}
	for _, n := range c.nodes {
		if n.store.gc.running {
			t.Fatal("a pass does not end")
		}
		// What was hidden is gone on every replica, and each knows below what not to read.
		if st := n.store.Replica(1).State(); st.GCThreshold.IsEmpty() || st.Stats.Versions != st.Stats.Live {
			t.Fatalf("n%d: %s, %+v", n.id, st, st.Stats)
		}
		if v, err := mvcc.Get(n.engine, key("a"), hlc.Max); err != nil || string(v.Bytes) != "2" {
			t.Fatal(v, err)
		}
	}
}

// A range whose replicas do not reach each other keeps a pass from the others for a
// while, and not for ever.
func TestGCPatience(t *testing.T) {
	c := newCluster(t, 3, sim.Config{Seed: 1, Knobs: map[string]int64{"gc.ttl": 1e9, "gc.interval": 1e12,
		"lease.duration": 20e9, "raft.quiesce.ticks": 1 << 30}})
	c.do(put("a", "1"))
	c.do(put("a", "2"))
	c.run(2 * time.Second) // until the first is garbage
	n := c.holder()
	for _, o := range c.nodes {
		c.cut[[2]kv.NodeID{n.id, o.id}], c.cut[[2]kv.NodeID{o.id, n.id}] = true, true
	}
	n.send(0, put("a", "3")) // waits for a quorum, and keeps its latch
	c.run(10 * time.Millisecond)
	n.store.gc.next = 0
	c.until(time.Second, func() bool { return n.store.gc.running })
	c.run(gcPatience - time.Second)
	if !n.store.gc.running {
		t.Fatal("nothing is waited for, and nothing is tested")
	}
	c.run(2 * time.Second)
	if n.store.gc.running {
		t.Fatal("it still waits")
	}
}
