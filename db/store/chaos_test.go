package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// chaos runs clients that increment counters and read them, under crashes, power
// losses, cuts, skewed clocks, lease transfers and small limits, and checks:
//
//   - a counter holds what was acknowledged, and at most what may have happened;
//   - a client never reads less than it, or anybody before it began, had seen;
//   - nothing is served under a lease at or after the start of the next;
//   - replicas that applied the same index hold the same bytes.

type chaos struct {
	*cluster
	rand *rand.Rand

	sure, maybe map[string]int64 // increments acknowledged, and of unknown outcome
	seen        map[string]int64 // the highest value that any finished read returned
	served      map[int64]hlc.Timestamp
	starts      map[int64]hlc.Timestamp
	problem     string
	stop        bool
	clients     int
	ops, unsure int
}

func newChaos(tb testing.TB, seed uint64, knobs map[string]int64) *chaos {
	c := &chaos{
		cluster: newCluster(tb, 3, sim.Config{Seed: seed, Knobs: knobs, Seams: map[string]int{"*": 200}}),
		rand:    rand.New(rand.NewPCG(seed, 7)),
		sure:    map[string]int64{}, maybe: map[string]int64{}, seen: map[string]int64{},
		served: map[int64]hlc.Timestamp{}, starts: map[int64]hlc.Timestamp{},
	}
	c.observe = c
	return c
}

func (c *chaos) fail(format string, args ...any) {
	if c.problem == "" {
		c.problem = fmt.Sprintf(format, args...)
	}
}

func (c *chaos) LeaseApplied(r *replica.Replica, prev, next kv.Lease) {
	if next.Sequence == prev.Sequence {
		return
	}
	c.starts[next.Sequence] = next.Start
	if at, ok := c.served[prev.Sequence]; ok && next.Start.LessEq(at) {
		c.fail("lease %d was served at %s, lease %d starts at %s", prev.Sequence, at, next.Sequence, next.Start)
	}
}

func (c *chaos) Served(r *replica.Replica, _ keys.Span, ts hlc.Timestamp, sequence int64) {
	c.served[sequence] = c.served[sequence].Forward(ts)
	if start, ok := c.starts[sequence+1]; ok && start.LessEq(ts) {
		c.fail("served at %s under lease %d, while lease %d starts at %s", ts, sequence, sequence+1, start)
	}
}

func (c *chaos) client(i int) {
	k := fmt.Sprintf("k%d", i%3)
	at := kv.NodeID(i%3 + 1)
	rnd := rand.New(rand.NewPCG(c.sim.Seed(), uint64(i)))
	c.clients++
	c.sim.Go("client", func(t env.Task) {
		for !c.stop {
			n := c.node(at)
			if n.store == nil {
				at = at%3 + 1
				_ = t.Sleep(50 * time.Millisecond)
				continue
			}
			read := rnd.IntN(2) == 0
			floor := c.seen[k]
			if c.sure[k] > floor {
				floor = c.sure[k]
			}
			var q kv.Request = inc(k)
			if read {
				q = get(k)
			} else {
				c.maybe[k]++ // until it is known
			}
			p := n.send(time.Duration(200+rnd.IntN(3000))*time.Millisecond, q)
			proc := n.proc
			for !p.Ready() && proc.Alive() {
				_ = t.Sleep(5 * time.Millisecond)
			}
			c.ops++
			if !p.Ready() {
				_ = t.Sleep(50 * time.Millisecond)
				continue // it died under us
			}
			br, _ := p.Value()
			switch {
			case br.Err == nil && read:
				var v int64
				if g := br.Responses[0].(*kv.GetResponse); g.Exists {
					v = int64(binary.BigEndian.Uint64(g.Value))
				}
				if v < floor {
					c.fail("%s read %d after %d was seen", k, v, floor)
				}
				c.seen[k] = max(c.seen[k], v)
			case br.Err == nil:
				c.maybe[k]--
				c.sure[k]++
				v := br.Responses[0].(*kv.IncrementResponse).Value
				if v <= floor {
					c.fail("%s was incremented to %d after %d was seen", k, v, floor)
				}
				c.seen[k] = max(c.seen[k], v)
			case br.Err.Ambiguous():
				c.unsure++
			default:
				if !read {
					c.maybe[k]--
				}
				if l := br.Err.Lease; l != nil {
					at = l.Replica.NodeID
				} else {
					at = at%3 + 1
				}
				_ = t.Sleep(time.Duration(10+rnd.IntN(50)) * time.Millisecond)
			}
		}
		c.clients--
	})
}

// disturb does one thing to the cluster.
func (c *chaos) disturb() {
	n := c.nodes[c.rand.IntN(3)]
	m := c.nodes[c.rand.IntN(3)]
	switch c.rand.IntN(10) {
	case 0, 1:
		c.cut[[2]kv.NodeID{n.id, m.id}] = true
	case 2:
		for _, o := range c.nodes {
			c.cut[[2]kv.NodeID{n.id, o.id}], c.cut[[2]kv.NodeID{o.id, n.id}] = true, true
		}
	case 3, 4:
		clear(c.cut)
	case 5, 6:
		if n.store != nil {
			n.kill(c.rand.IntN(2) == 0)
			c.sim.Schedule(time.Duration(c.rand.IntN(5000))*time.Millisecond, "restart", func() { n.start(false) })
		}
	case 9: // the lights go out
		for _, o := range c.nodes {
			if o.store != nil {
				o.kill(true)
				c.sim.Schedule(time.Duration(c.rand.IntN(3000))*time.Millisecond, "restart", func() { o.start(false) })
			}
		}
	case 7:
		n.machine.Clock().SetOffset(time.Duration(c.rand.IntN(480)-240) * time.Millisecond)
	case 8:
		if n.store != nil {
			n.send(5*time.Second, &kv.TransferLeaseRequest{Key: key(""), Target: kv.StoreID(m.id)})
		}
	}
}

func (c *chaos) check() {
	c.tb.Helper()
	for _, n := range c.nodes {
		if n.store != nil && !n.proc.Alive() {
			c.fail("n%d died of itself: %s", n.id, n.proc.Reason())
			n.store = nil
		}
	}
	if c.problem != "" {
		c.tb.Fatalf("seed %d at %s: %s\n%s", c.sim.Seed(), c.sim.Now(), c.problem, c)
	}
}

func (c *chaos) play(d time.Duration) {
	for i := 0; i < 6; i++ {
		c.client(i)
	}
	for end := c.sim.Now() + sim.Time(d); c.sim.Now() < end; c.check() {
		c.run(time.Duration(100+c.rand.IntN(1500)) * time.Millisecond)
		c.disturb()
	}
	clear(c.cut)
	c.stop = true
	c.run(40 * time.Second)
	c.check()
	if c.clients != 0 {
		c.tb.Fatalf("seed %d: %d clients still wait\n%s", c.sim.Seed(), c.clients, c)
	}
	for i := 0; i < 3; i++ {
		k := fmt.Sprintf("k%d", i)
		br := c.do(get(k))
		var v int64
		if br.Err != nil {
			c.tb.Fatal(br.Err)
		}
		if g := br.Responses[0].(*kv.GetResponse); g.Exists {
			v = int64(binary.BigEndian.Uint64(g.Value))
		}
		if v < c.sure[k] || v > c.sure[k]+c.maybe[k] {
			c.tb.Fatalf("seed %d: %s is %d after %d acknowledged increments and %d of unknown outcome\n%s",
				c.sim.Seed(), k, v, c.sure[k], c.maybe[k], c)
		}
	}
	c.run(10 * time.Second)
	c.compare()
}

// compare checks that all replicas are equal, byte for byte.
func (c *chaos) compare() {
	c.tb.Helper()
	var first []byte
	for _, n := range c.nodes {
		r := n.store.Replica(1)
		if r.State().AppliedIndex != c.nodes[0].store.Replica(1).State().AppliedIndex {
			c.tb.Fatalf("seed %d: replicas did not catch up\n%s", c.sim.Seed(), c)
		}
		got := dump(c.tb, n.engine)
		local, err := mvcc.ComputeStats(n.engine, keys.RangeLocalSpan(r.Desc().Span()))
		user, err2 := mvcc.ComputeStats(n.engine, keys.Span{Key: keys.LocalEnd, EndKey: keys.Max})
		user.Add(local)
		if err != nil || err2 != nil || user != r.State().Stats {
			c.tb.Fatalf("seed %d: statistics %+v of what is there: %+v %v %v", c.sim.Seed(), r.State().Stats, user, err, err2)
		}
		if first == nil {
			first = got
		} else if !bytes.Equal(first, got) {
			c.tb.Fatalf("seed %d: replicas differ\n%s", c.sim.Seed(), c)
		}
	}
}

func dump(tb testing.TB, rd storage.Reader) []byte {
	var b storage.Batch
	d, err := Descriptors(rd)
	if err != nil {
		tb.Fatal(err)
	}
	for _, span := range replica.ReplicatedSpans(d[0]) {
		it := rd.NewIter(span.Key, span.EndKey)
		for it.First(); it.Valid(); it.Next() {
			b.Put(it.Key(), it.Value())
		}
		if it.Err() != nil {
			tb.Fatal(it.Err())
		}
		it.Close()
	}
	return b.Repr()
}

// smallKnobs make rare things happen often.
func smallKnobs(r *rand.Rand) map[string]int64 {
	return map[string]int64{
		"raft.tick":              int64(100 * time.Millisecond),
		"raft.election.ticks":    int64(4 + r.IntN(8)),
		"raft.log.bytes":         int64(1000 + r.IntN(20000)),
		"raft.log.keep.factor":   int64(1 + r.IntN(4)),
		"raft.entry.cache.bytes": int64(r.IntN(3000)),
		"raft.quiesce.ticks":     int64(1 + r.IntN(20)),
		"raft.repropose.ticks":   int64(1 + r.IntN(8)),
		"raft.message.bytes":     int64(1 + r.IntN(2000)),
		"raft.inflight":          int64(1 + r.IntN(64)),
		"raft.uncommitted.bytes": int64(1000 + r.IntN(5000)),
		"lease.duration":         int64(time.Duration(2000+r.IntN(4000)) * time.Millisecond),
		"snapshot.chunk.bytes":   int64(256 + r.IntN(2000)),
		"storage.memtable":       int64(4096 + r.IntN(100000)),
	}
}

func TestChaos(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 6
	}
	var ops, unsure int
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newChaos(t, seed, smallKnobs(rand.New(rand.NewPCG(seed, 1))))
			c.play(30 * time.Second)
			ops, unsure = ops+c.ops, unsure+c.unsure
		})
	}
	t.Logf("%d operations, %d of unknown outcome", ops, unsure)
}

// One seed gives one run, event for event.
func TestDeterministic(t *testing.T) {
	var hashes [2]uint64
	for i := range hashes {
		c := newChaos(t, 11, smallKnobs(rand.New(rand.NewPCG(11, 1))))
		c.play(10 * time.Second)
		hashes[i] = c.sim.Hash()
	}
	if hashes[0] != hashes[1] {
		t.Fatalf("%x and %x", hashes[0], hashes[1])
	}
}
