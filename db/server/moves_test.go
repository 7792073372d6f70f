package server

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// moves is a world whose ranges move among five nodes while clients count, nodes die and
// links are cut.
type moves struct {
	t     *rapid.T // draws; nil if nothing is drawn
	tb    rapid.TB
	w     *world
	cuts  []network.Effect
	sure  map[string]int64 // increments that were acknowledged
	maybe map[string]int64 // and all that were asked for
	open  int              // steps of clients under way
	done  int              // changes, or splits, that succeeded

	merged int // merges that did
}

// counted are the keys that clients count at, in r2 and r3.
var counted = [...]string{"a", "f", "n", "t"}

func newMoves(outer testing.TB, tb rapid.TB, seed uint64) *moves {
	knobs := map[string]int64{"lease.duration": int64(2 * time.Second), "raft.quiesce.ticks": 6, "raft.tick": int64(100 * time.Millisecond),
		"replicagc.interval": int64(2 * time.Second), "snapshot.chunk.bytes": 256, "snapshot.idle": int64(2 * time.Second)}
	return &moves{tb: tb, w: newWorldOf(outer, seed, knobs, nil), sure: map[string]int64{}, maybe: map[string]int64{}}
}

// ask has a node do something as a client, for at most so long.
func (m *moves) ask(n *node, limit time.Duration, do func(t env.Task)) {
	if n.server == nil {
		return
	}
	m.open++
	proc := n.proc
	over := false
	end := func() {
		if !over {
			over = true
			m.open--
		}
	}
	proc.OnDeath(end)
	proc.Go("client", func(t env.Task) {
		t.SetDeadline(proc.Mono() + limit)
		do(t)
		end()
	})
}

func (m *moves) anyNode() *node {
	return m.w.node(kv.NodeID(rapid.IntRange(1, numNodes).Draw(m.t, "node")))
}

// count increments a counter.
func (m *moves) count() { m.countAt(m.anyNode(), rapid.SampledFrom(counted[:]).Draw(m.t, "key")) }

func (m *moves) countAt(n *node, k string) {
	m.ask(n, 10*time.Second, func(t env.Task) {
		m.maybe[k]++
		_, err := n.db.Inc(t, dialogueKey(k), 1)
		switch {
		case err == nil:
			m.sure[k]++
		case !kv.AsError(err).Ambiguous():
			m.maybe[k]--
		}
	})
}

// change asks for other replicas of one of the ranges with counters.
func (m *moves) change() {
	q := &kv.AdminChangeReplicasRequest{Key: dialogueKey(rapid.SampledFrom(counted[:]).Draw(m.t, "key"))}
	for id := kv.NodeID(1); id <= numNodes; id++ {
		if to := rapid.IntRange(-1, int(kv.RoleNonVoter)).Draw(m.t, "role"); to >= 0 {
			q.Changes = append(q.Changes, kv.ReplicaChange{NodeID: id, StoreID: kv.StoreID(id), To: kv.ReplicaRole(to)})
		}
	}
	n := m.anyNode()
	m.ask(n, 20*time.Second, func(t env.Task) {
		if _, err := n.db.Batch(t, kv.Header{}, q); err == nil && len(q.Changes) > 0 {
			m.done++
		}
	})
}

func (m *moves) run() {
	m.w.run(time.Duration(rapid.IntRange(1, 3000).Draw(m.t, "ms")) * time.Millisecond)
	m.check()
}

func (m *moves) kill() {
	n := m.anyNode()
	if n.server == nil {
		return
	}
	n.machine.Kill("test")
	if rapid.Bool().Draw(m.t, "power") {
		n.disk.PowerLoss()
	} else {
		n.disk.CrashProcess()
	}
}

func (m *moves) start() {
	for _, n := range m.w.nodes {
		if n.server == nil && !n.proc.Alive() {
			n.boot()
		}
	}
}

func (m *moves) cut() {
	a, b := []string{endpoint(m.anyNode().id)}, []string{endpoint(m.anyNode().id)}
	m.cuts = append(m.cuts, m.w.net.Cut(a, b, network.Drop))
	if rapid.Bool().Draw(m.t, "both") {
		m.cuts = append(m.cuts, m.w.net.Cut(b, a, network.Drop))
	}
}

func (m *moves) heal() {
	for _, c := range m.cuts {
		c.Heal()
	}
	m.cuts = nil
}

func (m *moves) check() {
	for _, f := range m.w.sim.Findings() {
		m.tb.Fatalf("%s\n%s", f.String(), f.Stack)
	}
}

// until is world.until, with failures of the drawn run.
func (m *moves) until(d time.Duration, what string, ok func() bool) {
	for end := m.w.sim.Now().Add(d); !ok(); {
		if m.w.sim.Now() >= end || !m.w.sim.Step() {
			m.check()
			m.tb.Fatalf("%s: %s in %s\n%s", m.w.sim.Now(), what, d, m)
		}
	}
	m.check()
}

func (m *moves) String() string {
	s := ""
	for _, n := range m.w.nodes {
		if n.server != nil {
			s += n.server.store.String()
			n.server.store.VisitReplicas(func(r *replica.Replica) bool {
				s += fmt.Sprintf("    %s\n", r.Desc())
				if r.IsLeader() {
					s += r.ProgressString()
				}
				return true
			})
		}
	}
	return s
}

// settle ends all faults and changes, and checks that nothing was lost or is left.
func (m *moves) settle() {
	m.heal()
	m.until(time.Minute, "nodes do not start", func() bool {
		m.start()
		return !slices.ContainsFunc(m.w.nodes, func(n *node) bool { return n.server == nil })
	})
	m.until(3*time.Minute, "steps do not end", func() bool { return m.open == 0 })
	for _, k := range []string{"a", "n"} {
		m.finish(dialogueKey(k))
	}
	n := m.w.node(1)
	for _, k := range counted {
		read := false
		m.ask(n, time.Minute, func(t env.Task) {
			v, err := n.db.Get(t, dialogueKey(k))
			if err != nil {
				m.tb.Fatalf("%s cannot be read: %s", k, err)
			}
			is := int64(0)
			if v.Exists {
				is = int64(binary.BigEndian.Uint64(v.Bytes))
			}
			if is < m.sure[k] || is > m.maybe[k] {
				m.tb.Fatalf("%s is %d after %d increments, of which %d are sure\n%s", k, is, m.maybe[k], m.sure[k], m)
			}
			read = true
		})
		m.until(time.Minute, "nobody reads", func() bool { return read })
	}
	for tries := 0; m.placed() != ""; tries++ {
		if tries == 60 {
			m.tb.Fatalf("%s\n%s", m.placed(), m)
		}
		m.w.run(time.Second)
		m.check()
	}
	m.same()
}

// finish has left what changes left behind.
func (m *moves) finish(k keys.Key) {
	for tries, done := 0, false; !done; tries++ {
		if tries == 100 {
			m.tb.Fatalf("the replicas at %s are not brought into order\n%s", k, m)
		}
		n, over := m.w.node(kv.NodeID(tries%numNodes+1)), false
		m.ask(n, 20*time.Second, func(t env.Task) {
			br, err := n.db.Batch(t, kv.Header{}, &kv.AdminChangeReplicasRequest{Key: k})
			over = true
			if done = err == nil; done {
				for _, d := range br.Responses[0].(*kv.AdminChangeReplicasResponse).Desc.Replicas {
					if d.Type != kv.VoterFull && d.Type != kv.NonVoter {
						m.tb.Fatalf("%s is left behind at %s", d, k)
					}
				}
			}
		})
		m.until(time.Minute, "a change does not end", func() bool { return over })
		if !done {
			m.w.run(time.Second) // another may be under way
		}
	}
}

// placed says where a store has a replica that it should not have, or lacks one.
func (m *moves) placed() string {
	newest := map[kv.RangeID]*kv.RangeDescriptor{}
	for _, n := range m.w.nodes {
		n.server.store.VisitReplicas(func(r *replica.Replica) bool {
			if d := newest[r.RangeID()]; d == nil || d.Generation < r.Desc().Generation {
				newest[r.RangeID()] = r.Desc()
			}
			return true
		})
	}
	for id := kv.RangeID(1); id <= 3; id++ {
		for _, n := range m.w.nodes {
			r := n.server.store.Replica(id)
			d, there := newest[id].Replica(kv.StoreID(n.id))
			switch {
			case there != (r != nil), there && (r.Self() != d || r.Desc().Generation != newest[id].Generation):
				return fmt.Sprintf("n%d has %v where %s says %v", n.id, r, newest[id], d)
			case !there && m.holds(n, newest[id]):
				return fmt.Sprintf("n%d holds something of %s", n.id, newest[id])
			}
		}
	}
	return ""
}

// holds reports that a node without a replica of a range has data of it.
func (m *moves) holds(n *node, d *kv.RangeDescriptor) bool {
	for _, s := range replica.ReplicatedSpans(d) {
		it := n.server.engine.NewIter(s.Key, s.EndKey)
		found := it.First()
		it.Close()
		if found {
			return true
		}
	}
	return false
}

// same checks that the replicas of each range hold the same.
func (m *moves) same() {
	for id := kv.RangeID(1); id <= 3; id++ {
		sums := map[uint64]uint64{}
		compared := 0
		for _, n := range m.w.nodes {
			r := n.server.store.Replica(id)
			if r == nil {
				continue
			}
			h := xxhash.New()
			for _, s := range replica.ReplicatedSpans(r.Desc()) {
				it := n.server.engine.NewIter(s.Key, s.EndKey)
				for ok := it.First(); ok; ok = it.Next() {
					fmt.Fprintf(h, "%x %x\n", it.Key(), it.Value())
				}
				it.Close()
			}
			at := r.State().AppliedIndex
			if sum, ok := sums[at]; ok && sum != h.Sum64() {
				m.tb.Fatalf("n%d holds something else of r%d at %d\n%s", n.id, id, at, m)
			}
			sums[at] = h.Sum64()
			compared++
		}
		if compared == 0 {
			m.tb.Fatalf("nobody has r%d", id)
		}
	}
}

// TestMoves claims: whatever changes of replicas are asked for, by whomever and side by
// side, and whatever nodes die and links are cut meanwhile, no increment that was
// acknowledged is lost and none happens twice; and one request without changes leaves the
// range with replicas that vote or are meant not to, all of which hold the same, and leaves
// nothing elsewhere.
func TestMoves(t *testing.T) {
	done := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := newMoves(t, rt, rapid.Uint64Range(1, 1<<32).Draw(rt, "seed"))
		m.t = rt
		defer m.w.sim.Close()
		actions := []func(){m.count, m.count, m.count, m.change, m.change, m.run, m.run, m.run, m.kill, m.start, m.cut, m.heal}
		for range rapid.IntRange(1, 60).Draw(rt, "actions") {
			actions[rapid.IntRange(0, len(actions)-1).Draw(rt, "action")]()
		}
		m.settle()
		done += m.done
	})
	if done == 0 {
		t.Error("no change of replicas succeeded")
	}
}

// TestMoveCrashes claims the same of a move of the leaseholder's own replica, whichever of
// those who have to do with it loses power, and whenever.
func TestMoveCrashes(t *testing.T) {
	const every = 20 * time.Millisecond
	for _, victim := range []kv.NodeID{1, 2, 4} {
		for at := time.Duration(0); at < 1600*time.Millisecond; at += every {
			m := newMoves(t, t, uint64(at/every)+1)
			n := m.w.node(5)
			for _, k := range counted {
				m.countAt(n, k)
			}
			m.ask(n, 20*time.Second, func(t env.Task) {
				_, _ = n.db.Batch(t, kv.Header{}, &kv.AdminChangeReplicasRequest{Key: dialogueKey("a"),
					Changes: []kv.ReplicaChange{on(4, kv.RoleVoter), on(1, kv.RoleNone)}})
			})
			m.w.run(at)
			m.countAt(n, "a")
			m.w.node(victim).machine.Kill("test")
			m.w.node(victim).disk.PowerLoss()
			m.w.run(time.Second)
			m.settle()
			m.w.sim.Close()
		}
	}
}
