package server

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// divide asks for a split at one of a few keys.
func (m *moves) divide() {
	k := dialogueKey(rapid.SampledFrom([]string{"g", "m", "p"}).Draw(m.t, "at"))
	n := m.anyNode()
	m.ask(n, 20*time.Second, func(t env.Task) {
		if _, err := n.db.Batch(t, kv.Header{}, &kv.AdminSplitRequest{Key: k, SplitKey: k}); err == nil {
			m.done++
		}
	})
}

// unite asks for a merge of a range with counters with its neighbour.
func (m *moves) unite() {
	k := dialogueKey(rapid.SampledFrom(counted[:]).Draw(m.t, "key"))
	n := m.anyNode()
	m.ask(n, 20*time.Second, func(t env.Task) {
		if _, err := n.db.Batch(t, kv.Header{}, &kv.AdminMergeRequest{Key: k}); err == nil {
			m.merged++
		}
	})
}

// hand has a lease handed over.
func (m *moves) hand() {
	q := &kv.TransferLeaseRequest{Key: dialogueKey(rapid.SampledFrom(counted[:]).Draw(m.t, "key")), Target: kv.StoreID(rapid.IntRange(1, replicas).Draw(m.t, "to"))}
	n := m.anyNode()
	m.ask(n, 10*time.Second, func(t env.Task) { _, _ = n.db.Batch(t, kv.Header{}, q) })
}

// readable checks that every counter can be read and written, and that no increment is
// lost or happened twice.
func (m *moves) readable() {
	n := m.w.node(1)
	for _, k := range counted {
		read := false
		m.ask(n, time.Minute, func(t env.Task) {
			is, err := n.db.Inc(t, dialogueKey(k), 0)
			for err != nil && t.Err() == nil { // what was begun before may have to be given up first
				is, err = n.db.Inc(t, dialogueKey(k), 0)
			}
			if err != nil {
				m.tb.Fatalf("%s cannot be counted: %s\n%s", k, err, m)
			}
			if is < m.sure[k] || is > m.maybe[k] {
				m.tb.Fatalf("%s is %d after %d increments, of which %d are sure\n%s", k, is, m.maybe[k], m.sure[k], m)
			}
			read = true
		})
		m.until(time.Minute, "nobody counts", func() bool { return read })
	}
}

// tiled says where the ranges of all nodes are not the same, or do not hold every key once.
func (m *moves) tiled() string {
	var first []*kv.RangeDescriptor
	for _, n := range m.w.nodes[:replicas] {
		var descs []*kv.RangeDescriptor
		n.server.store.VisitReplicas(func(r *replica.Replica) bool {
			descs = append(descs, r.Desc())
			return true
		})
		slices.SortFunc(descs, func(a, b *kv.RangeDescriptor) int { return a.StartKey.Compare(b.StartKey) })
		end := keys.Min
		for _, d := range descs {
			if !d.StartKey.Equal(end) {
				return "a gap, or an overlap, at " + end.String()
			}
			end = d.EndKey
		}
		if !end.Equal(keys.Max) {
			return "nothing above " + end.String()
		}
		if first == nil {
			first = descs
		}
		if !slices.EqualFunc(first, descs, func(a, b *kv.RangeDescriptor) bool { return a.String() == b.String() }) {
			return "nodes do not agree"
		}
	}
	return ""
}

// calm ends all faults, and checks that the ranges serve and hold each key once.
func (m *moves) calm() {
	m.heal()
	m.until(time.Minute, "nodes do not start", func() bool {
		m.start()
		return !slices.ContainsFunc(m.w.nodes, func(n *node) bool { return n.server == nil })
	})
	m.until(3*time.Minute, "steps do not end", func() bool { return m.open == 0 })
	m.readable()
	for tries := 0; m.tiled() != ""; tries++ {
		if tries == 60 {
			m.tb.Fatalf("%s\n%s", m.tiled(), m)
		}
		m.w.run(time.Second)
		m.check()
	}
}

// TestMerges claims: whatever splits, merges and transfers of leases are asked for, by whomever
// and side by side, and whatever nodes die and links are cut meanwhile, no increment that was
// acknowledged is lost and none happens twice; no range stays frozen; and in the end every
// node has every key in one range, the same as the others.
func TestMerges(t *testing.T) {
	done, merged := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		m := newMoves(t, rt, rapid.Uint64Range(1, 1<<32).Draw(rt, "seed"))
		m.t = rt
		defer m.w.sim.Close()
		actions := []func(){m.count, m.count, m.count, m.divide, m.unite, m.unite, m.hand, m.run, m.run, m.run, m.kill, m.start, m.cut, m.heal}
		for range rapid.IntRange(1, 60).Draw(rt, "actions") {
			actions[rapid.IntRange(0, len(actions)-1).Draw(rt, "action")]()
		}
		m.calm()
		done, merged = done+m.done, merged+m.merged
	})
	if done == 0 || merged == 0 {
		t.Errorf("%d splits and %d merges succeeded", done, merged)
	}
}

// TestCrashAtEveryStepOfAMerge claims: whichever node loses its power at whichever moment of a
// merge, and be it all of them at once, the two ranges are whole in the end, or the one is, and
// what was written before is there.
func TestCrashAtEveryStepOfAMerge(t *testing.T) {
	committed, aborted := 0, 0
	for _, victims := range [][]kv.NodeID{{1}, {2}, {3}, {1, 2}, {1, 2, 3}} {
		for at := time.Duration(0); at < 260*time.Millisecond; at += 4 * time.Millisecond {
			m := newMoves(t, t, 1)
			for _, k := range counted {
				m.ask(m.w.node(4), time.Minute, func(t env.Task) {
					if _, err := m.w.node(4).db.Inc(t, dialogueKey(k), 1); err == nil {
						m.sure[k], m.maybe[k] = 1, 1
					}
				})
			}
			m.until(10*time.Second, "nobody counts", func() bool { return m.open == 0 })
			m.ask(m.w.node(4), 5*time.Second, func(t env.Task) {
				_, _ = m.w.node(4).db.Batch(t, kv.Header{}, &kv.AdminMergeRequest{Key: dialogueKey("a")})
			})
			m.w.run(at)
			for _, id := range victims {
				n := m.w.node(id)
				n.machine.Kill("test")
				n.disk.PowerLoss()
			}
			m.w.run(50 * time.Millisecond)
			m.calm()
			if m.w.node(1).server.store.Replica(3) == nil {
				committed++
			} else {
				aborted++
			}
			m.w.sim.Close()
		}
	}
	if committed == 0 || aborted == 0 {
		t.Errorf("%d merges were committed and %d aborted", committed, aborted)
	}
}
