package replica

import (
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
)

// State is what applying the log has made of a replica. Two replicas of a range
// that have applied the same index have the same State.
type State struct {
	// Desc is never nil for a replica that exists.
	Desc *kv.RangeDescriptor
	// AppliedIndex and AppliedTerm name the last entry that was applied.
	AppliedIndex, AppliedTerm uint64
	// LeaseAppliedIndex is the greatest lease index of a command that applied. It
	// is stored in one batch with what the command wrote: apart, a crash between
	// the two would apply a command twice or never.
	LeaseAppliedIndex uint64
	Lease             kv.Lease
	// GCThreshold is the timestamp below which versions may be gone. Empty: none.
	GCThreshold hlc.Timestamp
	// Stats counts what the range holds, of the spans that clients can address.
	Stats mvcc.Stats
}

// encodeApplied appends the value of the applied state key.
func (s *State) encodeApplied(b []byte) []byte {
	b = codec.AppendUvarint(b, s.AppliedIndex)
	b = codec.AppendUvarint(b, s.AppliedTerm)
	b = codec.AppendUvarint(b, s.LeaseAppliedIndex)
	return s.Stats.Encode(b)
}

func (s *State) decodeApplied(v []byte) error {
	r := codec.MakeReader(v)
	s.AppliedIndex, s.AppliedTerm, s.LeaseAppliedIndex = r.Uvarint(), r.Uvarint(), r.Uvarint()
	s.Stats = mvcc.DecodeStats(&r)
	return r.Done()
}

// load reads the state of a range, but for its descriptor.
func (s *State) load(eng storage.Reader, id kv.RangeID) error {
	v, ok, err := eng.Get(keys.AppliedStateKey(id))
	if err == nil && !ok {
		err = fmt.Errorf("replica: r%d has no applied state", id)
	}
	if err == nil {
		err = s.decodeApplied(v)
	}
	if err != nil {
		return err
	}
	s.Lease = kv.Lease{}
	if v, ok, err = eng.Get(keys.LeaseKey(id)); err != nil {
		return err
	} else if ok {
		r := codec.MakeReader(v)
		s.Lease = kv.DecodeLease(&r)
		if err := r.Done(); err != nil {
			return err
		}
	}
	s.GCThreshold = hlc.Timestamp{}
	if v, ok, err = eng.Get(keys.GCThresholdKey(id)); err != nil {
		return err
	} else if ok {
		r := codec.MakeReader(v)
		s.GCThreshold = hlc.Decode(&r)
		return r.Done()
	}
	return nil
}

// String prints the state on one line.
func (s *State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "r%d applied %d/%d lease index %d, %s", s.Desc.RangeID, s.AppliedIndex, s.AppliedTerm,
		s.LeaseAppliedIndex, s.Lease)
	if !s.GCThreshold.IsEmpty() {
		fmt.Fprintf(&b, ", collected to %s", s.GCThreshold)
	}
	return b.String()
}

// confState is the consensus configuration that a descriptor stands for.
func confState(d *kv.RangeDescriptor) raftpb.ConfState {
	var cs raftpb.ConfState
	joint := false
	for _, r := range d.Replicas {
		id := uint64(r.ReplicaID)
		switch r.Type {
		case kv.VoterFull:
			cs.Voters = append(cs.Voters, id)
			cs.VotersOutgoing = append(cs.VotersOutgoing, id)
		case kv.VoterIncoming:
			cs.Voters = append(cs.Voters, id)
			joint = true
		case kv.VoterOutgoing:
			cs.VotersOutgoing = append(cs.VotersOutgoing, id)
			joint = true
		case kv.VoterDemoting:
			cs.VotersOutgoing = append(cs.VotersOutgoing, id)
			cs.LearnersNext = append(cs.LearnersNext, id)
			joint = true
		case kv.Learner, kv.NonVoter:
			cs.Learners = append(cs.Learners, id)
		}
	}
	if !joint {
		cs.VotersOutgoing = nil
	}
	for _, ids := range [][]uint64{cs.Voters, cs.VotersOutgoing, cs.Learners, cs.LearnersNext} {
		slices.Sort(ids)
	}
	return cs
}

func encodeHardState(b []byte, h *raftpb.HardState) []byte {
	b = codec.AppendUvarint(b, h.Term)
	b = codec.AppendUvarint(b, h.Vote)
	return codec.AppendUvarint(b, h.Commit)
}

func decodeHardState(v []byte) (raftpb.HardState, error) {
	r := codec.MakeReader(v)
	h := raftpb.HardState{Term: r.Uvarint(), Vote: r.Uvarint(), Commit: r.Uvarint()}
	return h, r.Done()
}

// ReplicatedSpans are the parts of the engine, by engine keys, that the replicas of a
// range have in common, in the order in which snapshots carry them: what is local to
// the range ID, what belongs to keys of the range, and those keys.
func ReplicatedSpans(d *kv.RangeDescriptor) [3]keys.Span {
	user := d.Span()
	if user.Key.Less(keys.LocalEnd) {
		user.Key = keys.LocalEnd // the first range does not own what is local
	}
	lo, hi := mvcc.EncodeSpan(keys.RangeLocalSpan(d.Span()))
	userLo, userHi := mvcc.EncodeSpan(user)
	return [3]keys.Span{keys.RangeIDReplicatedSpan(d.RangeID), {Key: lo, EndKey: hi}, {Key: userLo, EndKey: userHi}}
}

// The initial state of all ranges that a cluster begins with: index and term from
// which their logs start. They are not 0 and 1, so that raft sees a log that
// begins with a snapshot and takes its configuration from the descriptor.
const (
	InitialIndex = 10
	InitialTerm  = 5
)

// WriteInitial adds the writes that make the given replica of a new range whose data,
// its descriptor among them, has the given statistics.
func WriteInitial(b *storage.Batch, id kv.RangeID, replica kv.ReplicaID, stats mvcc.Stats) {
	s := State{AppliedIndex: InitialIndex, AppliedTerm: InitialTerm, Stats: stats}
	b.Put(keys.AppliedStateKey(id), s.encodeApplied(nil))
	b.Put(keys.TruncatedStateKey(id), entryID{InitialIndex, InitialTerm}.encode(nil))
	b.Put(keys.HardStateKey(id), encodeHardState(nil, &raftpb.HardState{Term: InitialTerm, Commit: InitialIndex}))
	b.Put(keys.ReplicaIDKey(id), codec.AppendVarint(nil, int64(replica)))
}
