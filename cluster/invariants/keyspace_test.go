package invariants

import (
	"strings"
	"testing"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

func rangeOf(id kv.RangeID, start, end string, generation int64, replicas ...kv.ReplicaDescriptor) *kv.RangeDescriptor {
	d := &kv.RangeDescriptor{RangeID: id, StartKey: keys.Key(start), EndKey: keys.Key(end), Generation: generation, NextReplicaID: 9, Replicas: replicas}
	if end == "" {
		d.EndKey = keys.Max
	}
	return d
}

func on(id int32, t kv.ReplicaType) kv.ReplicaDescriptor {
	return kv.ReplicaDescriptor{NodeID: kv.NodeID(id), StoreID: kv.StoreID(id), ReplicaID: kv.ReplicaID(id), Type: t}
}

// What the logs may do to the key space, and what they may not: each refusal is of one
// rule that the change beside it keeps.
func TestKeyspace(t *testing.T) {
	a, b, c, d := on(1, kv.VoterFull), on(2, kv.VoterFull), on(3, kv.VoterFull), on(4, kv.VoterFull)
	learner, incoming, outgoing := on(4, kv.Learner), on(4, kv.VoterIncoming), on(1, kv.VoterOutgoing)
	begin := func() keyspace {
		return newKeyspace([]*kv.RangeDescriptor{rangeOf(1, "", "m", 1, a, b, c), rangeOf(2, "m", "", 4, a, b, c)})
	}
	split := func(left, right *kv.RangeDescriptor) func(*keyspace) string {
		return func(s *keyspace) string { return s.split(left, right) }
	}
	change := func(d *kv.RangeDescriptor) func(*keyspace) string {
		return func(s *keyspace) string { return s.change(d) }
	}
	merge := func(left, right *kv.RangeDescriptor) func(*keyspace) string {
		left.NextReplicaID, right.NextReplicaID = 4, 4
		return func(s *keyspace) string { whole := kv.Merged(left, right); return s.merge(&whole, right) }
	}
	joint := rangeOf(1, "", "m", 2, outgoing, b, c, incoming)
	joint.NextReplicaID = 9
	for name, test := range map[string]struct {
		steps []func(*keyspace) string
		wrong string // what is said of the last step
	}{
		"a split":                    {[]func(*keyspace) string{split(rangeOf(1, "", "f", 2, a, b, c), rangeOf(3, "f", "m", 2, a, b, c))}, ""},
		"a split that leaves a gap":  {[]func(*keyspace) string{split(rangeOf(1, "", "f", 2, a, b, c), rangeOf(3, "g", "m", 2, a, b, c))}, "do not come of"},
		"a split that is no newer":   {[]func(*keyspace) string{split(rangeOf(1, "", "f", 1, a, b, c), rangeOf(3, "f", "m", 2, a, b, c))}, "no newer"},
		"a split elsewhere":          {[]func(*keyspace) string{split(rangeOf(1, "", "f", 2, a, b, c), rangeOf(3, "f", "m", 2, a, b, d))}, "elsewhere"},
		"a split of nothing":         {[]func(*keyspace) string{split(rangeOf(7, "", "f", 2, a, b, c), rangeOf(3, "f", "m", 2, a, b, c))}, "is not there"},
		"a split into one there is":  {[]func(*keyspace) string{split(rangeOf(1, "", "f", 2, a, b, c), rangeOf(2, "f", "m", 2, a, b, c))}, "has begun before"},
		"a merge":                    {[]func(*keyspace) string{merge(rangeOf(1, "", "m", 1, a, b, c), rangeOf(2, "m", "", 4, a, b, c))}, ""},
		"a merge of what is past":    {[]func(*keyspace) string{change(rangeOf(2, "m", "", 5, a, b, c, learner)), merge(rangeOf(1, "", "m", 1, a, b, c), rangeOf(2, "m", "", 4, a, b, c))}, "not there side by side"},
		"a range that begins again":  {[]func(*keyspace) string{merge(rangeOf(1, "", "m", 1, a, b, c), rangeOf(2, "m", "", 4, a, b, c)), split(rangeOf(1, "", "f", 9, a, b, c), rangeOf(2, "f", "", 9, a, b, c))}, "has begun before"},
		"a learner":                  {[]func(*keyspace) string{change(rangeOf(1, "", "m", 2, a, b, c, learner))}, ""},
		"one voter more":             {[]func(*keyspace) string{change(rangeOf(1, "", "m", 2, a, b, c, d))}, ""},
		"one voter for another":      {[]func(*keyspace) string{change(rangeOf(1, "", "m", 2, b, c, d))}, "need not meet"},
		"into a joint configuration": {[]func(*keyspace) string{change(joint)}, ""},
		"and out of it":              {[]func(*keyspace) string{change(joint), change(rangeOf(1, "", "m", 3, b, c, d))}, ""},
		"and out of it elsewhere":    {[]func(*keyspace) string{change(joint), change(rangeOf(1, "", "m", 3, a, b, c))}, "need not meet"},
		"a joint one of others":      {[]func(*keyspace) string{change(rangeOf(1, "", "m", 2, outgoing, c, incoming))}, "need not meet"},
		"an identity used twice":     {[]func(*keyspace) string{change(rangeOf(1, "", "m", 2, a, b, c, kv.ReplicaDescriptor{NodeID: 5, StoreID: 5, ReplicaID: 3, Type: kv.Learner}))}, "that of another"},
		"replicas and bounds":        {[]func(*keyspace) string{change(rangeOf(1, "", "n", 2, a, b, c, learner))}, "moves no bounds"},
		"replicas, and no newer":     {[]func(*keyspace) string{change(rangeOf(1, "", "m", 1, a, b, c, learner))}, "no newer"},
	} {
		s := begin()
		for _, r := range s.ranges {
			r.NextReplicaID = 4
		}
		said := ""
		for i, step := range test.steps {
			if said = step(&s); i+1 < len(test.steps) && said != "" {
				t.Errorf("%s: step %d: %s", name, i+1, said)
			}
		}
		if test.wrong == "" && said != "" || !strings.Contains(said, test.wrong) {
			t.Errorf("%s: %q", name, said)
		}
		if gap := s.tiles(); gap != "" {
			t.Errorf("%s: %s", name, gap)
		}
	}
	s := begin()
	for wrong, d := range map[string]*kv.RangeDescriptor{
		"":                  rangeOf(2, "m", "z", 3, a, b),
		"never began":       rangeOf(7, "m", "z", 3, a, b),
		"the newest in any": rangeOf(2, "m", "z", 4, a, b, c),
		"log is":            rangeOf(2, "m", "", 5, a, b, c),
	} {
		if said := s.knows(d); !strings.Contains(said, wrong) || wrong == "" && said != "" {
			t.Errorf("%s: %q", d, said)
		}
	}
}
