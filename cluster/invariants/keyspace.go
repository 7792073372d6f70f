package invariants

import (
	"fmt"
	"slices"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/store"
	"simulacrum/sim"
)

// keyspace is what the logs make of the descriptors of all ranges: of each the newest that
// any replica has ever applied, on nodes that are down now too. It is looked at whenever a
// command changes it, so that there is no instant between two looks. At every one of them
// the ranges tile the keys: a split narrows the left side in the step in which the right
// one begins, a merge ends the right side in the step in which the left one grows, and a
// change of replicas touches no bounds.
type keyspace struct {
	ranges  []*kv.RangeDescriptor // by start key: together all keys, none twice
	gone    map[kv.RangeID]*kv.RangeDescriptor
	changes struct {
		steps  int64 // commands that changed replicas
		joint  int64 // into a joint configuration
		added  int64 // learners and voters that began
		voters int64 // that left
	}
}

func newKeyspace(begin []*kv.RangeDescriptor) keyspace {
	return keyspace{ranges: slices.Clone(begin), gone: map[kv.RangeID]*kv.RangeDescriptor{}}
}

// find is the place of a range, -1 if it has not begun or is gone.
func (s *keyspace) find(id kv.RangeID) int {
	return slices.IndexFunc(s.ranges, func(d *kv.RangeDescriptor) bool { return d.RangeID == id })
}

// split divides a range. It says what is wrong with that.
func (s *keyspace) split(left, right *kv.RangeDescriptor) string {
	i := s.find(left.RangeID)
	switch {
	case i < 0:
		return fmt.Sprintf("%s is divided, and is not there", left)
	case s.find(right.RangeID) >= 0 || s.gone[right.RangeID] != nil:
		return fmt.Sprintf("%s begins, and has begun before", right)
	}
	old := s.ranges[i]
	switch {
	case !old.StartKey.Equal(left.StartKey) || !left.EndKey.Equal(right.StartKey) || !right.EndKey.Equal(old.EndKey):
		return fmt.Sprintf("%s and %s do not come of %s", left, right, old)
	case left.Generation <= old.Generation || right.Generation < left.Generation:
		return fmt.Sprintf("%s and %s are no newer than %s, of which they come", left, right, old)
	case !sameReplicas(old, left) || !sameReplicas(old, right):
		return fmt.Sprintf("%s is divided into %s and %s, which are elsewhere", old, left, right)
	}
	s.ranges[i] = left
	s.ranges = slices.Insert(s.ranges, i+1, right)
	return ""
}

// merge makes whole of a range and its neighbour.
func (s *keyspace) merge(whole, right *kv.RangeDescriptor) string {
	i := s.find(whole.RangeID)
	if i < 0 || i+1 == len(s.ranges) || s.ranges[i+1].String() != right.String() {
		return fmt.Sprintf("%s has taken in %s, and they are not there side by side", whole, right)
	}
	if merged := kv.Merged(s.ranges[i], right); merged.String() != whole.String() {
		return fmt.Sprintf("%s does not come of %s and %s", whole, s.ranges[i], right)
	}
	s.ranges[i] = whole
	s.ranges = slices.Delete(s.ranges, i+1, i+2)
	s.gone[right.RangeID] = right
	return ""
}

// change gives a range other replicas. Two configurations that follow each other must not
// be able to decide apart: they differ by one vote, or one of them is joint and has the
// other as a half.
func (s *keyspace) change(d *kv.RangeDescriptor) string {
	i := s.find(d.RangeID)
	if i < 0 {
		return fmt.Sprintf("the replicas of %s change, and it is not there", d)
	}
	old := s.ranges[i]
	switch {
	case !old.StartKey.Equal(d.StartKey) || !old.EndKey.Equal(d.EndKey):
		return fmt.Sprintf("%s becomes %s: a change of replicas moves no bounds", old, d)
	case d.Generation <= old.Generation:
		return fmt.Sprintf("%s becomes %s, which is no newer", old, d)
	case d.NextReplicaID < old.NextReplicaID:
		return fmt.Sprintf("%s becomes %s: an identity of replicas may be used twice", old, d)
	}
	for _, r := range d.Replicas {
		was, known := old.ReplicaByID(r.ReplicaID)
		if !known && r.ReplicaID < old.NextReplicaID || known && was.StoreID != r.StoreID {
			return fmt.Sprintf("%s becomes %s: identity %d has been that of another replica", old, d, r.ReplicaID)
		}
		if !known {
			s.changes.added++
		}
	}
	before, after := voters(old), voters(d)
	apart := false
	switch {
	case old.Joint() && d.Joint():
		apart = !slices.Equal(before[0], after[0]) || !slices.Equal(before[1], after[1])
	case d.Joint():
		apart = !slices.Equal(before[0], after[0])
		s.changes.joint++
	case old.Joint():
		apart = !slices.Equal(before[1], after[1])
	default:
		apart = differ(before[0], after[0]) > 1
	}
	if apart {
		return fmt.Sprintf("%s becomes %s in one step: majorities of the two need not meet", old, d)
	}
	if !d.Joint() {
		for _, id := range before[0] {
			if !slices.Contains(after[1], id) {
				s.changes.voters++
			}
		}
	}
	s.changes.steps++
	s.ranges[i] = d
	return ""
}

// voters are the identities of those that vote in the old half and in the new one, which
// are the same unless the configuration is joint.
func voters(d *kv.RangeDescriptor) (halves [2][]kv.ReplicaID) {
	for _, r := range d.Replicas {
		if r.Type == kv.VoterFull || r.Type == kv.VoterOutgoing || r.Type == kv.VoterDemoting {
			halves[0] = append(halves[0], r.ReplicaID)
		}
		if r.Type == kv.VoterFull || r.Type == kv.VoterIncoming {
			halves[1] = append(halves[1], r.ReplicaID)
		}
	}
	slices.Sort(halves[0])
	slices.Sort(halves[1])
	return halves
}

// differ counts the identities that are in one list and not in the other.
func differ(a, b []kv.ReplicaID) int {
	n := 0
	for _, id := range a {
		if !slices.Contains(b, id) {
			n++
		}
	}
	for _, id := range b {
		if !slices.Contains(a, id) {
			n++
		}
	}
	return n
}

func sameReplicas(a, b *kv.RangeDescriptor) bool { return slices.Equal(a.Replicas, b.Replicas) }

// tiles says where two ranges hold one key or a key has none; "" if nowhere.
func (s *keyspace) tiles() string {
	end := keys.Min
	for _, d := range s.ranges {
		if !d.StartKey.Equal(end) {
			return fmt.Sprintf("%s begins elsewhere than at %s, where the range before it ends", d, end)
		}
		end = d.EndKey
	}
	if !end.Equal(keys.Max) {
		return fmt.Sprintf("no range holds [%s, %s)", end, keys.Max)
	}
	return ""
}

// knows holds a replica's own descriptor against the logs: it may be behind, never ahead,
// and never something else of the same age.
func (s *keyspace) knows(d *kv.RangeDescriptor) string {
	newest := s.gone[d.RangeID]
	if i := s.find(d.RangeID); i >= 0 {
		newest = s.ranges[i]
	}
	switch {
	case newest == nil:
		return fmt.Sprintf("%s is there, and never began", d)
	case d.Generation > newest.Generation || d.Generation == newest.Generation && d.String() != newest.String():
		return fmt.Sprintf("%s is there, and the newest in any log is %s", d, newest)
	}
	return ""
}

// Ranges are the descriptors of all ranges in order, of each the newest that any replica
// has applied, be its node up or down. The caller must not change them.
func (w *Watcher) Ranges() []*kv.RangeDescriptor { return w.space.ranges }

// Movement is a decision of a store's queues about a range, with what became of it.
type Movement struct {
	At    sim.Time // when its outcome was known
	Store kv.StoreID
	store.Movement
}

// Moved implements store.MoveObserver.
func (w *Watcher) Moved(by kv.StoreID, m store.Movement) {
	at := sim.Time(0)
	if w.cluster != nil {
		at = w.cluster.Sim().Now()
	}
	w.movements = append(w.movements, Movement{At: at, Store: by, Movement: m})
}

// Movements are all decisions of all stores, in the order of their outcomes.
func (w *Watcher) Movements() []Movement { return w.movements }
