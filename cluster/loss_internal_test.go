package cluster

import (
	"slices"
	"testing"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
)

// A disk is spared if a range would never have a quorum again, as any of those sees it who
// may be at its head. Who is down counts, and whose disk is lost does not.
func TestSparedDisks(t *testing.T) {
	desc := func(id kv.RangeID, from, to string, generation int64, voters ...kv.NodeID) *kv.RangeDescriptor {
		d := &kv.RangeDescriptor{RangeID: id, StartKey: keys.Key(from), EndKey: keys.Key(to), Generation: generation}
		for _, n := range voters {
			d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: n, StoreID: kv.StoreID(n), ReplicaID: kv.ReplicaID(n)})
		}
		return d
	}
	typed := func(d *kv.RangeDescriptor, types ...kv.ReplicaType) *kv.RangeDescriptor {
		for i, is := range types {
			d.Replicas[i].Type = is
		}
		return d
	}
	const full, in, out = kv.VoterFull, kv.VoterIncoming, kv.VoterDemoting
	plain := desc(1, "a", "z", 1, 1, 2, 3)
	joint := typed(desc(1, "a", "z", 2, 1, 2, 3, 4), full, full, out, in)
	move := typed(desc(1, "a", "z", 2, 1, 2, 3, 4, 5), full, out, out, in, in)
	again := desc(1, "a", "z", 9, 1, 2, 3)
	again.Replicas[2].ReplicaID = 7
	for _, c := range []struct {
		name   string
		lost   []int
		held   map[int][]*kv.RangeDescriptor
		spared []int
	}{
		{"all copies are there", nil, map[int][]*kv.RangeDescriptor{1: {plain}, 2: {plain}, 3: {plain}}, nil},
		{"one disk is lost", []int{3}, map[int][]*kv.RangeDescriptor{1: {plain}, 2: {plain}}, []int{1, 2}},
		{"one copy has yet to come", nil, map[int][]*kv.RangeDescriptor{1: {plain}, 2: {plain}}, []int{1, 2}},
		{"one has come again, and is not there yet", nil, map[int][]*kv.RangeDescriptor{1: {again}, 2: {again}, 3: {plain}}, []int{1, 2}},
		{"one is lost, and replaced by half", []int{3}, map[int][]*kv.RangeDescriptor{1: {joint}, 2: {joint}, 4: {joint}}, []int{1, 2}},
		{"one that is to come is lost", []int{4}, map[int][]*kv.RangeDescriptor{1: {move}, 2: {move}, 3: {move}, 5: {move}}, []int{1, 5}},
		{"one is lost, and replaced", []int{3}, map[int][]*kv.RangeDescriptor{1: {desc(1, "a", "z", 3, 1, 2, 4)}, 2: {desc(1, "a", "z", 3, 1, 2, 4)},
			4: {desc(1, "a", "z", 3, 1, 2, 4)}}, nil},
		{"one does not know that it is replaced", []int{3}, map[int][]*kv.RangeDescriptor{1: {desc(1, "a", "z", 3, 1, 2, 4)}, 2: {joint},
			4: {desc(1, "a", "z", 3, 1, 2, 4)}}, []int{1}},
		{"a learner has no vote", nil, map[int][]*kv.RangeDescriptor{1: {typed(desc(1, "a", "z", 1, 1, 2), full, kv.Learner)}, 2: {plain}}, []int{1}},
		{"a left range knows of no split, a right one of no merge", nil, map[int][]*kv.RangeDescriptor{
			1: {desc(1, "a", "m", 2, 1, 2, 3)}, 2: {desc(1, "a", "m", 2, 1, 2, 3), desc(2, "m", "z", 1, 2, 4, 5)}, 3: {desc(1, "a", "z", 3, 1, 2, 3)}}, nil},
	} {
		s := sim.New(sim.Config{Seed: 1})
		cl := New(s, Config{Topology: Uniform([]string{"here"}, 5, 1, 0)})
		for i, n := range cl.nodes {
			for _, d := range c.held[i+1] {
				rd, _ := d.Replica(kv.StoreID(i + 1))
				n.kept = append(n.kept, held{rd.ReplicaID, d})
			}
			if slices.Contains(c.lost, i+1) {
				n.id += idsPerDisk
			}
		}
		var spared []int
		for i, n := range cl.nodes {
			if cl.bereaves(n) != "" {
				spared = append(spared, i+1)
			}
		}
		if !slices.Equal(spared, c.spared) {
			t.Errorf("%s: the disks of %v are spared, and should be those of %v", c.name, spared, c.spared)
		}
		s.Close()
	}
}
