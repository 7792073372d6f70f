package replica

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"pgregory.net/rapid"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// descOf has a replica for each word, such as "1 2 4learner", on the store of its number.
func descOf(words string, generation int64) *kv.RangeDescriptor {
	types := map[string]kv.ReplicaType{"": kv.VoterFull, "incoming": kv.VoterIncoming, "demoting": kv.VoterDemoting,
		"outgoing": kv.VoterOutgoing, "learner": kv.Learner, "nonvoter": kv.NonVoter}
	d := &kv.RangeDescriptor{RangeID: 7, StartKey: keys.System, EndKey: keys.Max, NextReplicaID: 4, Generation: generation}
	for _, w := range strings.Fields(words) {
		id := int(w[0] - '0')
		d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(id), StoreID: kv.StoreID(id), ReplicaID: kv.ReplicaID(id), Type: types[w[1:]]})
		d.NextReplicaID = max(d.NextReplicaID, kv.ReplicaID(id+1))
	}
	return d
}

// Each step is legal by itself, and is one step: whatever begins or ends a vote goes by a
// joint configuration, but for one voter that comes alone; a joint configuration is left as
// it says; who votes is a learner before it is removed; who comes begins without a vote.
func TestSteps(t *testing.T) {
	for _, c := range []struct{ from, to, why string }{
		{"1 2 3", "1 2 3 4learner", ""},
		{"1 2 3", "1 2 3 4nonvoter", ""},
		{"1 2 3 4learner", "1 2 3 4", ""},
		{"1 2 3 4learner", "1 2 3", ""},
		{"1 2 3 4nonvoter", "1 2 3 4", ""},
		{"1 2 3 4learner", "1 2 3 4nonvoter", ""},
		{"1 2 3 4learner", "1 2 3demoting 4incoming", ""},
		{"1 2 3", "1 2 3demoting", ""},
		{"1 2 3", "1 2demoting 3demoting", ""},
		{"1 2 3 4learner 5learner", "1 2 3 4incoming 5incoming", ""},
		{"1 2 3demoting 4incoming", "1 2 3learner 4", ""},
		{"1 2 3learner 4", "1 2 4", ""},

		{"1 2 3", "1 2 3 4", "how a replica begins"},
		{"1 2 3", "1 2 3 4incoming", "how a replica begins"},
		{"1 2 3", "1 2", "a learner before it is removed"},
		{"1 2 3", "1 2 3learner", "in one step"},
		{"1 2 3", "1 2 3outgoing", "in one step"},
		{"1 2 3", "1 2 3", "changes nothing"},
		{"1 2 3", "1 2 3 4learner 5learner", "more than one replica"},
		{"1 2 3 4learner 5learner", "1 2 3 4 5", "more than one replica"},
		{"1 2 3 4learner 5learner", "1 2 3 4 5nonvoter", "more than one replica"},
		{"1 2 3 4learner", "1 2 3demoting 4", "in one step"},
		{"1 2 3 4learner 5learner", "1 2 3demoting 4incoming", "with voters"},
		{"1 2 3 4learner 5learner", "1 2 3demoting 4incoming 5nonvoter", "learners change with voters"},
		{"1 2 3demoting 4incoming", "1 2 3 4incoming", "is followed by"},
		{"1 2 3demoting 4incoming", "1 2 4", "is followed by"},
		{"1 2 3demoting 4incoming", "1 2 3demoting 4incoming 5learner", "is followed by"},
	} {
		from, to := descOf(c.from, 5), descOf(c.to, 6)
		to.NextReplicaID = max(from.NextReplicaID, to.NextReplicaID)
		_, err := confChangeOf(from, to)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%s -> %s: %s", c.from, c.to, err)
		case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%s -> %s: %v, want %q", c.from, c.to, err, c.why)
		}
	}
	for _, next := range []func(d *kv.RangeDescriptor){
		func(d *kv.RangeDescriptor) { d.Generation++ },
		func(d *kv.RangeDescriptor) { d.EndKey = keys.Meta2End },
		func(d *kv.RangeDescriptor) { d.RangeID++ },
		func(d *kv.RangeDescriptor) { d.NextReplicaID = 1 },
	} {
		d := descOf("1 2 3 4learner", 6)
		next(d)
		if _, err := confChangeOf(descOf("1 2 3", 5), d); err == nil {
			t.Errorf("%s is taken for a step", d)
		}
	}
	moved := descOf("1 2 3 4learner", 6)
	moved.Replicas[1].StoreID = 9
	if _, err := confChangeOf(descOf("1 2 3", 5), moved); err == nil {
		t.Error("a replica may go to another store")
	}
}

// What the library makes of a step is what the descriptor after it stands for: a replica
// that was there, and one that is loaded afterwards, go by the same majorities.
func TestStepsAgreeWithDescriptors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := descOf("1 2 3", 1)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			next := drawStep(t, d)
			cc, err := confChangeOf(d, next)
			if err != nil {
				continue
			}
			if got, want := applied(t, d, cc), confStateString(next); got != want {
				t.Fatalf("%s -> %s: the library has %s, the descriptor says %s", d, next, got, want)
			}
			d = next
		}
	})
}

// drawStep is a descriptor that may come after d.
func drawStep(t *rapid.T, d *kv.RangeDescriptor) *kv.RangeDescriptor {
	if d.Joint() {
		return d.LeaveJoint()
	}
	next := *d
	next.Generation++
	next.Replicas = nil
	joint := rapid.Bool().Draw(t, "joint")
	for _, r := range d.Replicas {
		types := []kv.ReplicaType{r.Type, r.Type, r.Type, kv.VoterFull, kv.Learner, kv.NonVoter}
		if joint {
			types = []kv.ReplicaType{r.Type, r.Type, kv.VoterIncoming, kv.VoterDemoting}
		}
		r.Type = rapid.SampledFrom(types).Draw(t, "type")
		if joint || rapid.IntRange(0, 7).Draw(t, "gone") > 0 {
			next.Replicas = append(next.Replicas, r)
		}
	}
	if !joint && rapid.Bool().Draw(t, "add") {
		id := next.NextReplicaID
		next.Replicas = append(next.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(id), StoreID: kv.StoreID(id), ReplicaID: id,
			Type: rapid.SampledFrom([]kv.ReplicaType{kv.Learner, kv.NonVoter}).Draw(t, "new")})
		next.NextReplicaID++
	}
	trigger := kv.ChangeTrigger{Desc: next}
	if trigger.Validate() != nil {
		return d // nobody would vote: no step
	}
	return &next
}

func applied(t *rapid.T, d *kv.RangeDescriptor, cc *raftpb.ConfChangeV2) string {
	tr := tracker.MakeProgressTracker(10, 0)
	cfg, progress, err := confchange.Restore(confchange.Changer{Tracker: tr, LastIndex: 10}, confState(d))
	if err != nil {
		t.Fatal(err)
	}
	tr.Config, tr.Progress = cfg, progress
	if cc == nil {
		return sorted(tr.ConfState())
	}
	change := confchange.Changer{Tracker: tr, LastIndex: 10}
	if cc.LeaveJoint() {
		cfg, progress, err = change.LeaveJoint()
	} else if auto, ok := cc.EnterJoint(); ok {
		if auto {
			t.Fatal("the library would leave the joint configuration by itself")
		}
		cfg, progress, err = change.EnterJoint(auto, cc.Changes...)
	} else {
		cfg, progress, err = change.Simple(cc.Changes...)
	}
	if err != nil {
		t.Fatalf("%s, %v: %s", d, cc.Changes, err)
	}
	tr.Config, tr.Progress = cfg, progress
	return sorted(tr.ConfState())
}

func confStateString(d *kv.RangeDescriptor) string { return sorted(confState(d)) }

// sorted prints a configuration; the library lists members as they come.
func sorted(cs raftpb.ConfState) string {
	for _, ids := range [][]uint64{cs.Voters, cs.VotersOutgoing, cs.Learners, cs.LearnersNext} {
		slices.Sort(ids)
	}
	return cs.String()
}

// Whoever does not vote is in no half of the configuration.
func TestLearnersDoNotVote(t *testing.T) {
	cs := confState(descOf("1 2demoting 3incoming 4learner 5nonvoter", 1))
	if !slices.Equal(cs.Voters, []uint64{1, 3}) || !slices.Equal(cs.VotersOutgoing, []uint64{1, 2}) ||
		!slices.Equal(cs.Learners, []uint64{4, 5}) || !slices.Equal(cs.LearnersNext, []uint64{2}) || cs.AutoLeave {
		t.Errorf("configuration is %s", cs.String())
	}
}
